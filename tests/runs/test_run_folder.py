"""What a run leaves behind is whole, agrees with itself, and says the same as `--json`."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

import simulator
from simulator.errors import SimError
from simulator.rules import Rule

pytestmark = pytest.mark.medium

FILES = {
    *("run.json", "decisions.jsonl", "orders.csv", "fills.csv", "rejected.csv", "equity.csv", "weights.csv"),
    *(
        "trades.csv",
        "prices.csv",
        "prompts.json",
        "exposure.csv",
        "llm_calls.jsonl",
        "runtime.json",
        "trials.json",
        "report.html",
    ),
}

PERIOD = ("2024-01-02", "2024-03-28")


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def council(tmp_path_factory: pytest.TempPathFactory) -> simulator.Run:
    from simulator.workspace import make_workspace

    workspace = tmp_path_factory.mktemp("council") / "workspace"
    make_workspace(workspace, git=False)
    # Without borrow cost, so that the fills alone account for the cash.
    (workspace / "config" / "costs.yaml").write_text("slippage_bps: 2\nborrow_rate: 0\n")
    run = simulator.run("macro_council", ["SPY", "QQQ", "GLD"], *PERIOD, workspace=workspace)
    run.report()
    return run


def test_the_folder_holds_every_file_of_evidence(council: simulator.Run) -> None:
    assert {p.name for p in council.folder.iterdir()} == {*FILES, "accounts"}


def test_cash_and_fills_account_for_every_dollar(council: simulator.Run) -> None:
    """Fills and interest, replayed by hand, give the cash of every session and the shares behind every weight."""
    fills, equity, weights = (rows(council.folder / f"{name}.csv") for name in ("fills", "equity", "weights"))
    assert fills
    cash, held = 100_000.0, dict.fromkeys(council.facts["symbols"], 0.0)
    carried = cash
    for day, weight in zip(equity, weights, strict=True):
        for fill in (f for f in fills if f["session"] == day["session"]):
            quantity = float(fill["quantity"])
            cash -= quantity * float(fill["price"]) + float(fill["slippage"]) + float(fill["commission"])
            held[fill["symbol"]] += quantity
        assert carried > 0
        cash += carried * float(day["risk_free"])
        carried = cash + sum(min(0.0, float(weight[symbol])) for symbol in held) * float(day["equity"])
        assert float(day["cash"]) == pytest.approx(cash, rel=1e-12)
        invested = sum(float(weight[symbol]) for symbol in held) * float(day["equity"])
        assert cash + invested == pytest.approx(float(day["equity"]), rel=1e-12)
        assert [bool(held[s]) for s in held] == [bool(float(weight[s])) for s in held]


def test_no_fill_comes_before_its_order_or_outside_its_bar(council: simulator.Run) -> None:
    from datetime import date

    from simulator.market.load import load_bars
    from simulator.workspace import find_workspace

    folders = find_workspace(council.folder.parent.parent).bar_folders
    bars = load_bars(council.facts["symbols"], folders, first=date(2024, 1, 2), last=date(2024, 3, 28)).bars
    days = [str(d) for d in bars.dates]
    orders = {o["id"]: o for o in rows(council.folder / "orders.csv")}
    for fill in rows(council.folder / "fills.csv"):
        t, n = days.index(fill["session"]), bars.column(fill["symbol"])
        assert bars.low[t, n] <= float(fill["price"]) <= bars.high[t, n]
        assert fill["at"] >= orders[fill["order_id"]]["submitted_at"]


def test_the_two_engines_agree_to_the_last_bit(council: simulator.Run) -> None:
    assert council.facts["audit"]["max_relative_difference"] == 0.0


def test_every_question_of_the_council_is_on_record(council: simulator.Run) -> None:
    calls = [json.loads(line) for line in (council.folder / "llm_calls.jsonl").read_text().splitlines()]
    records = [row["record"] for row in council.records]
    meetings = sum(record["kind"] == "council" for record in records)
    theses = [t for record in records if record["kind"] == "checkpoint" for t in record["theses"] if t["keys"]]
    asked = {"research": 2, "pitch": 5, "review": 20, "chairman": 1}
    stages = [call["stage"] for call in calls]
    assert {stage: stages.count(stage) for stage in set(stages)} == {
        **{stage: meetings * count for stage, count in asked.items()},
        "checkpoint": len(theses),
    }
    assert {key for thesis in theses for key in thesis["keys"]} <= {call["key"] for call in calls}
    assert {call["outcome"] for call in calls} == {"answer"}
    assert len(calls) == council.facts["llm"]["calls"]


def test_six_accounts_trade_side_by_side(council: simulator.Run) -> None:
    columns = rows(council.folder / "equity.csv")[0]
    names = [account["name"] for account in council.facts["accounts"]]
    assert names == ["CHATGPT", "GEMINI", "CLAUDE", "GROQ", "DEEPSEEK", "COUNCIL"]
    assert [f"account:{name}" for name in names] == [c for c in columns if c.startswith("account:")]
    assert council.facts["account"] == "COUNCIL"
    assert all(row["equity"] == row["account:COUNCIL"] for row in rows(council.folder / "equity.csv"))
    assert {account["audit"]["max_relative_difference"] for account in council.facts["accounts"]} == {0.0}


def test_every_account_but_the_council_s_has_its_books_in_a_folder_of_its_own(council: simulator.Run) -> None:
    kept = {"decisions.jsonl", "orders.csv", "fills.csv", "rejected.csv", "weights.csv", "trades.csv"}
    folders = {
        folder.name: {file.name for file in folder.iterdir()} for folder in (council.folder / "accounts").iterdir()
    }
    assert folders == dict.fromkeys(("CHATGPT", "GEMINI", "CLAUDE", "GROQ", "DEEPSEEK"), kept)
    pitched = json.loads((council.folder / "accounts/GROQ/decisions.jsonl").read_text().splitlines()[0])["record"]
    assert pitched["kind"] == "member"
    assert pitched["pitch"]["seat"] == "pm.carry"


def test_higher_costs_never_pay(council: simulator.Run) -> None:
    paid = [row["costs_paid"] for row in council.facts["cost_sensitivity"]]
    returns = [row["metrics"]["total_return"] for row in council.facts["cost_sensitivity"]]
    assert paid[0] == 0
    assert paid == sorted(paid)
    assert returns == sorted(returns, reverse=True)
    assert council.facts["cost_sensitivity"][1]["metrics"]["total_return"] == council.metrics["total_return"]


def test_json_is_one_object_with_the_promised_keys(sim, workspace: Path) -> None:
    done = sim(
        "run", "--strategy", "equal_weight", "--from", PERIOD[0], "--to", PERIOD[1], "--json", "--workspace", workspace
    )
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert {
        *("run_id", "dir", "digest", "strategy", "source", "from", "to", "sessions", "metrics", "benchmarks"),
        *("audit", "llm"),
    } <= set(said)
    assert set(said["llm"]) == {"asked", "cached", "failed", "cost_usd", "analysts"}
    assert set(said["audit"]) == {"max_relative_difference"}
    assert set(said["benchmarks"]) == {"buy_and_hold", "equal_weight", "exposure_matched"}
    assert said["llm"]["analysts"] is None
    assert Path(said["dir"], "report.html").is_file()


def test_a_rerun_keeps_what_other_commands_found_out_about_the_same_result(workspace: Path) -> None:
    def run() -> Path:
        return simulator.run("equal_weight", ["SPY", "QQQ"], *PERIOD, workspace=workspace).folder

    folder = run()
    (folder / "checks.json").write_text('{"of": "this result"}')
    run()
    assert (folder / "checks.json").read_text() == '{"of": "this result"}'
    (folder / "run.json").write_text((folder / "run.json").read_text().replace('"digest": "', '"digest": "other'))
    run()
    assert not (folder / "checks.json").exists()


def test_markdown_stands_in_the_folder_and_where_a_repository_s_readers_look(sim, workspace: Path) -> None:
    words = ("run", "--strategy", "sma_cross", "--symbols", "AAPL,SPY,QQQ,NVDA", "--to", "2024-12-30", "--format", "md")
    done = sim(*words, "--json", "--workspace", workspace)
    assert done.returncode == 0, done.stderr
    first, second = map(Path, json.loads(done.stdout)["files"])
    assert (first.name, second) == ("report.md", workspace / "docs" / "backtest_results.md")
    text = first.read_text(encoding="utf-8")
    assert second.read_text(encoding="utf-8") == text
    wanted = (
        "| Win rate | above 50.0",
        "| Profit factor | above 1.50",
        "| Sharpe ratio | above 1.00",
        "| Largest drawdown | below 10.0",
    )
    assert all(line in text.replace("\u00a0", " ").replace("\u202f", " ") for line in wanted)


def test_a_benchmark_is_as_much_invested_as_the_run_and_chooses_nothing(council: simulator.Run) -> None:
    lines = rows(council.folder / "equity.csv")
    held = sum(float(row["net"]) for row in lines) / len(lines)
    matched = council.facts["benchmarks"]["exposure_matched"]
    assert matched["exposure"] == pytest.approx(held, abs=0.01)
    assert float(lines[-1]["exposure_matched"]) / 100_000 - 1 == pytest.approx(matched["total_return"])


class Seer(Rule):
    """In SPY exactly on the days it will rise: it knows them from the file the bars come from."""

    cadence = "daily"
    rising: tuple[str, ...] = ()

    def weights(self, market: simulator.Snapshot) -> dict[str, float]:
        return {"SPY": 1.0} if str(market.session) in self.rising else {}


def test_who_is_invested_at_the_right_time_stands_above_all_shifts_of_its_positions(workspace: Path) -> None:
    import pyarrow.parquet as pq

    table = pq.read_table(workspace / "data" / "sample" / "SPY.parquet").to_pandas()
    days, close = [str(d)[:10] for d in table["date"]], table["close"].to_list()
    # Known at the close of day t, held from the open of t + 1 on: what counts is the return of t + 1.
    rising = tuple(days[t] for t in range(len(days) - 1) if close[t + 1] > close[t])
    seer = simulator.run(Seer, ["SPY"], *PERIOD, workspace=workspace, parameters={"rising": rising})
    assert seer.facts["inference"]["timing_percentile"] > 0.95
    held = simulator.run("buy_and_hold", ["SPY"], *PERIOD, workspace=workspace)
    assert not held.facts["inference"]["timing_percentile"] or held.facts["inference"]["timing_p"] > 0.05


def test_a_run_of_one_session_says_what_cannot_be_known_of_it(workspace: Path) -> None:
    run = simulator.run("macro_council", ["SPY", "QQQ"], "2024-06-03", "2024-06-03", workspace=workspace)
    assert run.facts["sessions"] == 1
    assert run.facts["inference"]["timing_p"] is None


def test_prices_are_those_that_positions_are_worth_and_stops_those_that_closed_them(council: simulator.Run) -> None:
    from simulator.evidence.reader import read
    from simulator.evidence.rows import exchange_time
    from simulator.report.sections.prices import protection

    evidence = read(council.folder)
    held = {symbol: [] for symbol in evidence.prices}  # type: dict[str, list[float]]
    for day in evidence.sessions:
        for symbol, shares in held.items():
            these = [f.quantity for f in evidence.fills if f.symbol == symbol and exchange_time(f.at)[:10] == str(day)]
            shares.append((shares[-1] if shares else 0.0) + sum(these))
    assert set(held) == {fill.symbol for fill in evidence.fills}
    for symbol, shares in held.items():
        worth = evidence.weights[symbol] * evidence.equity["equity"]
        assert shares * evidence.prices[symbol] == pytest.approx(worth, abs=1e-6)
    levels, number = protection(evidence, list(held)), {str(day): n for n, day in enumerate(evidence.sessions)}
    ended = [fill for fill in evidence.fills if fill.why in ("stop", "take_profit")]
    assert ended
    for fill in ended:
        one, session = levels[fill.symbol], number[exchange_time(fill.at)[:10]]
        long = fill.quantity < 0
        if fill.why == "stop":
            assert (fill.price <= one.stop[session]) if long else (fill.price >= one.stop[session])
        else:
            assert (fill.price >= one.target[session]) if long else (fill.price <= one.target[session])


def test_the_prompts_of_a_folder_are_those_that_were_asked(council: simulator.Run, tmp_path: Path) -> None:
    from simulator.evidence.prompts import prompts_before
    from simulator.llm.cache import AnswerCache

    content = (council.folder / "prompts.json").read_bytes()
    kept = json.loads(content)
    asked = [json.loads(line)["key"] for line in (council.folder / "llm_calls.jsonl").read_text().splitlines()]
    assert set(kept["prompts"]) <= set(asked)
    assert len(kept["prompts"]) > 100
    with AnswerCache(council.folder.parents[1] / "llm_cache") as cache:
        for key, messages in list(kept["prompts"].items())[::5]:
            entry = cache.entry(key)
            assert entry is not None
            read = [(one["role"], "".join(kept["lines"][n] for n in spread(one["lines"]))) for one in messages]
            assert read == [(one["role"], one["content"]) for one in entry.request["messages"]]
    parts = {
        name: (council.folder / name).read_bytes() for name in ("llm_calls.jsonl", "decisions.jsonl", "orders.csv")
    }
    assert prompts_before(council.folder, parts) == {"prompts.json": content}
    assert prompts_before(council.folder, {**parts, "orders.csv": b"others"}) is None
    assert prompts_before(tmp_path, parts) is None
    again = simulator.run("macro_council", ["SPY", "QQQ", "GLD"], *PERIOD, workspace=council.folder.parents[1])
    assert (again.folder / "prompts.json").read_bytes() == content


def spread(runs: str) -> list[int]:
    ends = [[int(number) for number in run.split("-")] for run in runs.split(",")]
    return [n for run in ends for n in range(run[0], run[-1] + 1)]


def test_a_run_that_never_traded_has_no_prices_and_its_report_is_built(tmp_path: Path) -> None:
    from simulator.workspace import make_workspace

    make_workspace(tmp_path, git=False)

    def decide(market: object) -> dict[str, float]:
        del market
        return {}

    run = simulator.run(decide, ["SPY"], *PERIOD, workspace=tmp_path)
    assert not (run.folder / "prices.csv").exists()
    assert 'id="prices"' not in run.report().read_text(encoding="utf-8")


def test_a_symbol_whose_bars_begin_late_has_no_price_before(workspace: Path) -> None:
    run = simulator.run("equal_weight", ["SPY", "QQQ"], "2017-12-01", "2018-02-28", workspace=workspace)
    closes = rows(run.folder / "prices.csv")
    assert closes[0]["QQQ"] == ""
    assert float(closes[0]["SPY"]) > 0
    assert float(closes[-1]["QQQ"]) > 0
    assert run.report().is_file()


def test_a_run_is_kept_where_its_report_cannot_be_made(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import simulator.report

    def fail(_: Path) -> Path:
        raise ValueError("no page today")

    monkeypatch.setattr(simulator.report, "build", fail)
    with pytest.raises(SimError, match=r"kept without its pages .*no page today"):
        simulator.run("buy_and_hold", ["SPY"], "2024-01-02", "2024-02-29", workspace=workspace)
    monkeypatch.undo()
    run = simulator.load(workspace=workspace)
    assert run.report().is_file()
