"""`sim explain RUN NUMBER`: every number of the report is made of parts that add up to it."""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import simulator
from simulator.analysis import profit
from simulator.analysis.account_series import read_account
from simulator.analysis.explain_number import ExplainedNumber, explain_figure, explain_number
from simulator.analysis.parts import METHODS
from simulator.analysis.verdict import judge
from simulator.errors import DataError, UsageError
from simulator.evidence.reader import read
from simulator.report.catalogue import CATALOGUE, DIFFERENCE, GROUPS, METRICS, SELECTION
from simulator.report.explain_number import find_metric, print_number, to_json, write_value
from simulator.report.renderers.console import capture
from simulator.report.sections.all_figures import BENCHMARKS, tabulate_figures
from simulator.report.sections.significance import tabulate_origin, tabulate_significance
from simulator.workspace import make_workspace

pytestmark = pytest.mark.medium

OF_RUNS = [metric.key for metrics in GROUPS.values() for metric in metrics]
OTHER = {metric.key for metric in (*DIFFERENCE, *SELECTION)}
WITHOUT_PARTS = {"sharpe_interval", "calmar"}
NOT_BY_SYMBOL = {"max_drawdown_sessions", "ulcer", "var_95", "cvar_95", "tail_ratio", "skew", "kurtosis", "omega"}


def swing(market, window=30, cadence="weekly"):  # noqa: ARG001
    """Long what rose over a month and short what fell, turned around in one order."""
    weights = {}
    for symbol in market.symbols:
        closes = market.history(symbol, last=22)
        weights[symbol] = 0.0 if len(closes) < 22 else 0.45 if closes[-1] > closes[0] else -0.3
    return weights


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("numbers") / "lab"
    make_workspace(folder, git=False)
    return folder


@pytest.fixture(scope="module")
def folders(lab: Path) -> dict[str, Path]:
    """Runs of a council, of trades both ways, of one purchase, of nothing, and of too few sessions."""
    idle = "from simulator.rules import Rule\nclass Idle(Rule):\n    def weights(self, market):\n        return {}\n"
    (lab / "strategies" / "idle.py").write_text(idle)
    made = {
        "council": simulator.run("macro_council", "SPY,QQQ", "2024-01-02", "2024-06-28", workspace=lab),
        "swing": simulator.run(swing, "SPY,QQQ,GLD", "2022-01-03", "2023-12-29", workspace=lab),
        "hold": simulator.run("buy_and_hold", "SPY", "2023-01-03", "2023-12-29", workspace=lab),
        "idle": simulator.run("idle", "SPY", "2023-01-03", "2023-06-30", workspace=lab),
        "short": simulator.run("sma_cross", "SPY", "2024-01-02", "2024-02-20", workspace=lab),
    }
    return {name: run.folder for name, run in made.items()}


RUNS = ("council", "swing", "hold", "idle", "short")


def every(folder: Path, account: str | None = None) -> dict[str, ExplainedNumber]:
    series = read_account(folder, account)
    return {key: explain_figure(series, key) for key in METRICS}


def test_every_metric_of_the_catalogue_has_a_method() -> None:
    assert set(METHODS) == set(METRICS)
    assert {key for key, one in METHODS.items() if one.command} == OTHER


def test_alpha_and_beta_beside_the_verdict_are_those_on_the_equal_weight_basket(folders: dict[str, Path]) -> None:
    evidence = read(folders["swing"])
    free = evidence.equity["risk_free"]
    own, basket = (
        np.diff(np.r_[100_000.0, evidence.equity[name]]) / np.r_[100_000.0, evidence.equity[name][:-1]] - free
        for name in ("equity", "equal_weight")
    )
    beta, alpha = np.polyfit(basket, own, 1)
    found = evidence.run["inference"]
    assert (found["beta_basket"], found["alpha_basket"]) == pytest.approx((beta, alpha * 252), rel=1e-9)
    assert found["alpha_basket"] != pytest.approx(evidence.run["metrics"]["alpha"], rel=1e-3)
    told = [one for one in judge(evidence.run).details if one.startswith("On the equal-weight basket: beta")]
    assert len(told) == 1
    rows = [row.label for row in tabulate_significance(evidence.run).rows]
    assert {"Beta, basket", "Alpha, basket", "Alpha, basket, t"} <= {*rows}


@pytest.mark.parametrize("name", RUNS)
def test_every_number_is_that_of_the_report_and_its_parts_add_up_to_it(name: str, folders: dict[str, Path]) -> None:
    evidence = read(folders[name])
    accounts = [one["name"] for one in evidence.run["accounts"]] or [None]
    known = 0
    for account in (*accounts, *BENCHMARKS):
        for key, found in every(folders[name], account).items():
            total, value = found.total, found.values.get(METRICS[key].value_key)
            if total is not None and not found.method.command:
                assert total == pytest.approx(value, rel=1e-8, abs=1e-12), (account, key)
                known += key in OF_RUNS
            elif value is not None and account is None and key in OF_RUNS:
                assert key in WITHOUT_PARTS, (account, key)
    assert known > (30 if name == "idle" else 60)


@pytest.mark.parametrize("name", RUNS)
def test_texts_are_those_of_the_report(name: str, folders: dict[str, Path]) -> None:
    run = read(folders[name]).run
    own = every(folders[name])
    tables = [tabulate_figures(run), tabulate_significance(run), tabulate_origin(run)]
    rows = [row for table in tables if table for row in table.rows]
    labels = {one.name: one.key for one in CATALOGUE if one.key not in OTHER}
    assert len(rows) > 30
    for row in rows:
        if row.label in labels:
            assert write_value(own[labels[row.label]]).text == row.cells[0].text, row.label
    for column, key in enumerate(BENCHMARKS, 1):
        other = every(folders[name], key)
        for row in tabulate_figures(run).rows:
            assert write_value(other[labels[row.label]]).text == row.cells[column].text, (key, row.label)


def test_accounts_of_a_council_have_the_numbers_of_the_leaderboard_and_are_held_against_the_market(
    folders: dict[str, Path],
) -> None:
    run = read(folders["council"]).run
    for entry in run["accounts"]:
        assert entry["metrics"]["alpha"] is not None
        assert entry["metrics"]["information_ratio"] is not None
        for key, found in every(folders["council"], entry["name"]).items():
            if key in entry["metrics"]:
                assert found.values[key] == entry["metrics"][key]
        bill = explain_number(folders["council"], "llm_cost", entry["name"])
        assert bill.total == pytest.approx(entry["llm"]["cost_usd"])
        assert sum(row["questions"] for row in bill.rows) == entry["llm"]["calls"]
        for key, value in (("calibration", entry["calibration"]["ic"]), ("reviews", entry["reviews"]["correlation"])):
            assert explain_number(folders["council"], key, entry["name"]).values[key] == value
    own = next(one for one in run["accounts"] if one["name"] == run["account"])
    assert own["metrics"] == run["metrics"]


@pytest.mark.parametrize("name", ["council", "swing"])
def test_symbols_and_trades_add_up_to_what_positions_earned(name: str, folders: dict[str, Path]) -> None:
    series = read_account(folders[name])
    symbols = series.run["symbols"]
    for key in OF_RUNS:
        found = explain_figure(series, key)
        if found.total is None or key in NOT_BY_SYMBOL:
            assert not found.by_symbol
            if found.values.get(key) is not None:
                with pytest.raises(UsageError, match=f"{key} has no parts by symbol"):
                    explain_figure(series, key, symbol="SPY")
            continue
        by_symbol = {one: explain_figure(series, key, symbol=one).sum for one in symbols}
        assert by_symbol == pytest.approx({one: found.by_symbol.get(one, 0.0) for one in symbols}, abs=1e-9), key
        if key not in ("turnover", "exposure"):
            trades = explain_figure(series, key, trades=10_000)
            assert trades.sum == pytest.approx(sum(found.by_symbol.values()), abs=1e-9), key
            few = explain_figure(series, key, trades=2)
            assert len(few.rows) == 2
            assert {row["symbol"] for row in few.rows} <= set(symbols)
    # What is over cash is earned by positions: nothing is left over but dividends and the interest on short sales.
    sharpe = explain_figure(series, "sharpe")
    assert sum(sharpe.by_symbol.values()) == pytest.approx(sharpe.total, abs=0.3)


@pytest.mark.parametrize("name", ["council", "swing"])
def test_positions_earn_what_the_trades_of_the_folder_did(name: str, folders: dict[str, Path]) -> None:
    trips = pd.read_csv(folders[name] / "trades.csv")
    found = explain_number(folders[name], "final_equity", trades=10_000)
    assert len(found.rows) == len(trips) > 5
    ours = sorted((row["symbol"], row["entry"], row["P&L"]) for row in found.rows)
    theirs = sorted(zip(trips["symbol"], trips["entry_at"].str[:10], trips["pnl"], strict=True))
    assert [one[:2] for one in ours] == [one[:2] for one in theirs]
    assert [one[2] for one in ours] == pytest.approx([one[2] for one in theirs], abs=1e-6)
    assert all(row["decided"] <= row["entry"] for row in found.rows)
    shown = {part.key: part.pnl for part in profit.by_symbol(read(folders[name]).own_trips or ())}
    assert found.by_symbol == pytest.approx(shown)


def test_numbers_recomputed_by_pandas_alone(folders: dict[str, Path]) -> None:
    equity = pd.read_csv(folders["swing"] / "equity.csv", index_col="session")
    r = equity["equity"] / equity["equity"].shift(1, fill_value=100_000.0) - 1
    hold = equity["buy_and_hold"] / equity["buy_and_hold"].shift(1, fill_value=100_000.0) - 1
    e, m = r - equity["risk_free"], hold - equity["risk_free"]
    beta = e.cov(m) / m.var()
    expected = {
        "sharpe": e.mean() / e.std() * 252**0.5,
        "volatility": r.std() * 252**0.5,
        "beta": beta,
        "alpha": (e.mean() - beta * m.mean()) * 252,
        "information_ratio": (r - hold).mean() / (r - hold).std() * 252**0.5,
        "var_95": r.quantile(0.05),
        "total_return": (1 + r).prod() - 1,
    }
    for key, value in expected.items():
        assert explain_number(folders["swing"], key).total == pytest.approx(value, rel=1e-9), key
    for row, excess in zip(explain_number(folders["swing"], "sharpe").rows, e, strict=True):
        assert row["part"] == pytest.approx(excess * 252**0.5 / len(e) / e.std(), abs=1e-12)


def test_a_folder_that_held_its_accounts_against_nothing_is_explained_all_the_same(folders: dict[str, Path]) -> None:
    path = folders["council"] / "run.json"
    before = path.read_text(encoding="utf-8")
    run = json.loads(before)
    entry = next(one for one in run["accounts"] if one["name"] == "GROQ")
    stated = dict(entry["metrics"])
    names = ("alpha", "beta", "alpha_t", "information_ratio")
    entry["metrics"].update(dict.fromkeys(names))
    entry["reasons"].update(dict.fromkeys(names, "no benchmark was given"))
    path.write_text(json.dumps(run), encoding="utf-8")
    try:
        found = {name: explain_number(folders["council"], name, "GROQ") for name in names}
    finally:
        path.write_text(before, encoding="utf-8")
    for name, one in found.items():
        assert one.values[name] == stated[name]
        assert one.total == pytest.approx(stated[name])


def test_the_command_shows_a_number_page_by_page_by_symbol_and_by_trade(
    lab: Path, folders: dict[str, Path], sim: Any
) -> None:
    run = folders["swing"].name
    first = sim("explain", run, "Sharpe ratio", "--page", "1", cwd=lab).stdout
    assert re.match(r"Sharpe ratio of swing: −?\d\.\d\d  swing", first)
    assert "page 1 of 13, `--page 2` has the next" in first
    assert "standard deviation" in first
    last = sim("explain", run, "sharpe", "--page", "13", cwd=lab).stdout
    assert re.search(r"^sum ", last, re.MULTILINE)
    whole = sim("explain", run, "sharpe", cwd=lab).stdout
    assert len(re.findall(r"^20\d\d-\d\d-\d\d ", whole, re.MULTILINE)) == 501
    assert "there is no page 14; pages are 1 to 13" in sim("explain", run, "sharpe", "--page", "14", cwd=lab).stderr
    found = json.loads(sim("explain", run, "alpha", "gld", "--json", cwd=lab).stdout)
    assert (found["metric"], found["symbol"], found["name"]) == ("alpha", "GLD", "Alpha")
    assert found["sum"] == pytest.approx(sum(row["part"] for row in found["rows"]))
    trades = sim("explain", run, "max_drawdown", "--trades", "3", "--symbol", "QQQ", cwd=lab).stdout
    assert "3\u00a0trades: " in trades.replace("3 trades", "3\u00a0trades")
    traced = sim("explain", run, "--trades", "2", "--symbol", "SPY", cwd=lab).stdout
    assert "that earned or lost most" in traced
    assert not re.search(r"\bGLD\b", traced)


@pytest.mark.parametrize(
    ("words", "error"),
    [
        (("sharp",), 'there is no number "sharp", did you mean "sharpe"?'),
        (("sharpe", "SPX"), '"SPX" was not traded in this run, did you mean "SPY"?; it traded SPY, QQQ, GLD'),
        (("skew", "--trades", "2"), "skew has no parts by trade"),
        (("sharpe", "--account", "GROQ"), "this run has one account only"),
        (("2023-03-08", "--trades", "2"), "--trades with a date"),
        (("sharpe", "--trades", "2", "--account", "buy_and_hold"), "sharpe has no parts by trade"),
    ],
)
def test_what_cannot_be_explained_is_said_in_one_line(
    words: tuple[str, ...], error: str, lab: Path, folders: dict[str, Path], sim: Any
) -> None:
    done = sim("explain", folders["swing"].name, *words, cwd=lab)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert error in done.stderr


def test_figures_of_a_year_stay_withheld_and_undefined_ones_say_why(folders: dict[str, Path]) -> None:
    text = capture(lambda console: print_number(explain_number(folders["short"], "sharpe"), console))
    assert "withheld (annualised figures are withheld below 60 sessions)" in text
    assert "2024-01-03" not in text
    text = capture(lambda console: print_number(explain_number(folders["hold"], "hit_rate"), console))
    assert "Hit rate of buy_and_hold: n/a (no trade was closed)" in text
    text = capture(lambda console: print_number(explain_number(folders["hold"], "pbo"), console))
    assert "`sim stats FILE` gives it" in text


def test_python_has_the_same_as_a_table(lab: Path, folders: dict[str, Path]) -> None:
    run = simulator.load(folders["swing"].name, lab)
    answer = run.explain("sharpe")
    assert answer.facts == to_json(explain_number(folders["swing"], "sharpe"))
    assert answer.headline.startswith("Sharpe ratio of swing: ")
    assert answer.table["part"].sum() == pytest.approx(run.metrics["sharpe"])
    assert answer.table.index.equals(run.returns.index)
    assert answer.table["return"].to_list() == pytest.approx(run.returns.to_list())
    few = run.explain("alpha", symbol="GLD", trades=3).table
    assert few["symbol"].to_list() == ["GLD"] * 3
    assert str(few["entry"].dtype) == "datetime64[ns]"
    assert "Sharpe" in answer._repr_html_()


@pytest.mark.skipif(sys.platform == "win32", reason="a terminal of Unix")
def test_a_terminal_gets_the_readers_pager_and_a_pipe_does_not(lab: Path, folders: dict[str, Path]) -> None:
    import pty

    pager = lab / "pager.sh"
    pager.write_text("#!/bin/sh\necho PAGED\nwc -l\n")
    pager.chmod(0o755)
    words = [sys.executable, "-m", "simulator", "--workspace", str(lab), "explain", folders["swing"].name, "sharpe"]
    kept = {**os.environ, "PAGER": str(pager), "TERM": "xterm"}
    pid, terminal = pty.fork()
    if pid == 0:
        os.execvpe(words[0], words, kept)
    shown = b""
    try:
        while part := os.read(terminal, 65536):
            shown += part
    except OSError:  # Linux ends a closed terminal so
        pass
    os.waitpid(pid, 0)
    assert b"PAGED" in shown
    assert int(shown.split()[-1]) > 501


def test_names_are_found_as_keys_and_as_tables_write_them() -> None:
    assert find_metric("max-drawdown").key == "max_drawdown"
    assert find_metric("Value at risk 95 %").key == "var_95"
    assert find_metric("Alpha, t").key == "alpha_t"


def test_a_folder_whose_sessions_do_not_agree_is_named_in_one_line(folders: dict[str, Path], tmp_path: Path) -> None:
    for name in ("equity.csv", "weights.csv"):
        folder = tmp_path / name / "run"
        shutil.copytree(folders["hold"], folder)
        cut = (folder / name).read_text().splitlines(keepends=True)[:60]
        (folder / name).write_text("".join(cut))
        with pytest.raises(DataError, match=rf"{name}.*writes it again"):
            every(folder)
