"""Which results count as trials, counted by hand; the deflated Sharpe ratio against the literature; real registries."""

from __future__ import annotations

import gzip
import json
import math
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import simulator
from simulator.analysis.trial_returns import Excess, read_excess
from simulator.analysis.trials import (
    FIGURES,
    Trials,
    deflate,
    summarise,
    trials,
    trials_facts,
    with_correlations,
    with_earlier,
)
from simulator.council.spec import load_definition
from simulator.errors import DataError
from simulator.evidence.reader import with_trials
from simulator.evidence.unrecorded import Seen, all_results, record_unrecorded
from simulator.runs.strategies import definition_digest
from simulator.stats.inference import expected_maximum
from simulator.stats.selection import effective_trials
from simulator.store.database import Store
from simulator.store.events import definition_of

from ..conftest import Sim

pytestmark = pytest.mark.medium

GOLDEN = Path(__file__).parents[1] / "stats" / "golden"
ROOT = math.sqrt(252)


def row(number: int, **changes: Any) -> dict[str, Any]:
    """A row of the registry: a result of its own on SPY in 2023, 250 sessions."""
    return {
        "run_id": f"id{number}",
        "digest": f"digest{number}",
        "strategy": "s",
        "symbols": ["SPY"],
        "first": "2023-01-01",
        "last": "2023-12-29",
        "metrics": {"total_return": number / 7, "volatility": 0.1, "max_drawdown": -0.1, "sharpe": number / 10},
        "folder": f"f{number}",
        "partial": False,
        **changes,
    }


def judged(number: int = 0, **changes: Any) -> dict[str, Any]:
    """run.json of such a result."""
    of = row(number, **changes)
    return {**of, "from": of["first"], "to": of["last"], "sessions": changes.get("sessions", 250), "cash": 1.0}


def left_out(tried: Trials) -> dict[str, str]:
    return {trial.run_id: trial.why for trial in tried.left_out}


def counted(tried: Trials) -> list[str]:
    return [trial.run_id for trial in tried.counted]


def test_a_run_alone_is_its_own_only_trial() -> None:
    for rows in ([], [row(0)]):
        tried = trials(rows, judged())
        assert (tried.count, counted(tried), tried.left_out, tried.sharpe_variance) == (1, ["id0"], (), None)


def test_distinct_results_on_shared_symbols_and_sessions_count_and_others_say_why_not() -> None:
    rows = [
        row(0),
        row(1),
        row(2, symbols=["QQQ", "SPY"]),
        row(3, symbols=["QQQ"], strategy="another"),
        row(4, first="2024-01-01", last="2024-06-28", strategy="another"),
        row(5, first="2022-01-01", last="2023-01-03", strategy="another"),
        row(6, first="2022-01-01", last="2023-01-02", strategy="another"),
        row(7, strategy="buy_and_hold"),
    ]
    tried = trials(rows, judged())
    assert counted(tried) == ["id0", "id1", "id2", "id5", "id7"]
    # id6 meets the run's dates on 1 and 2 January only, when the exchange was closed.
    assert left_out(tried) == {
        "id3": "QQQ: no symbol in common",
        "id4": "2024-01-01 to 2024-06-28: no session in common",
        "id6": "2022-01-01 to 2023-01-02: no session in common",
    }


def test_the_same_strategy_counts_on_whatever_symbols_and_dates_it_was_tried() -> None:
    one_by_one = [row(n, symbols=[f"S{n}"]) for n in range(18)]
    assert trials(one_by_one, judged(17, symbols=["S17"])).count == 18
    assert trials([row(1, first="2015-01-01", last="2015-12-31")], judged()).count == 2


def test_an_edit_that_changes_no_result_is_no_new_trial() -> None:
    same_bytes = row(1, digest="digest0")
    same_returns = row(2, metrics=row(0)["metrics"])
    other_period = row(3, metrics=row(0)["metrics"], first="2023-01-03")
    tried = trials([row(0), same_bytes, same_returns, other_period], judged())
    assert left_out(tried) == {"id1": "the same result as id0", "id2": "the same returns as id0"}
    assert counted(tried) == ["id0", "id3"]


def test_another_result_of_the_same_run_is_a_trial() -> None:
    again = row(0, digest="asked anew", metrics=row(9)["metrics"])
    assert trials([row(0), again], judged()).count == 2


def test_a_run_json_that_was_edited_counts_what_the_store_has_of_the_run_as_well() -> None:
    rows = [row(0, **months(JANUARY)), row(1), row(2, strategy="another", **months(JANUARY, symbol="COPY"))]
    assert trials(rows, judged(**months(JANUARY))).count == 3
    edited = judged(strategy="mine", symbols=["OTHER"], bar_months={})
    assert trials(rows, edited).count == 3


def test_figures_that_are_unknown_make_nothing_alike() -> None:
    blank = [row(n, metrics={"sharpe": None}) for n in (1, 2)]
    tried = trials(blank, judged())
    assert (tried.count, tried.sharpe_variance) == (3, None)


def test_a_partial_run_counts_until_the_whole_one_is_there() -> None:
    stops = [row(1, digest=f"stop{n}", partial=True, metrics=row(n)["metrics"]) for n in (3, 4)]
    tried = trials(stops, judged())
    assert [t.digest for t in tried.counted] == ["digest0", "stop4"]
    assert left_out(tried) == {"id1": "an earlier stop of id1, which went on"}
    tried = trials([*stops, row(1)], judged())
    assert [t.digest for t in tried.counted] == ["digest0", "digest1"]
    assert left_out(tried) == {"id1": "the beginning of id1, whose whole is there"}


def test_a_partial_run_that_is_judged_is_counted_itself() -> None:
    own = judged(0, digest="stop1", partial=True)
    earlier = row(0, digest="stop0", partial=True, metrics=row(5)["metrics"])
    assert counted(trials([earlier], own)) == ["id0"]
    whole = row(0, metrics=row(8)["metrics"])
    assert counted(trials([earlier, whole], own)) == ["id0", "id0"]


def test_the_variance_is_that_of_sharpe_ratios_per_session_where_all_have_one_length() -> None:
    tried = trials([row(1), row(4)], judged())
    by_hand = [s / 10 / ROOT for s in (0, 1, 4)]
    assert {t.sessions for t in tried.counted} == {250}
    assert tried.sharpe_variance == pytest.approx(np.var(by_hand, ddof=1), rel=1e-12)


def test_a_short_trial_weighs_by_its_length() -> None:
    # Ten sessions from 3 to 17 January: a Sharpe ratio of 10 there is 10 · √(10/250) = 2 over a year.
    short = row(1, last="2023-01-17", metrics={**row(1)["metrics"], "sharpe": 10.0})
    tried = trials([short], judged())
    assert [t.sessions for t in tried.counted] == [250, 10]
    assert tried.sharpe_variance == pytest.approx(np.var([0.0, 2.0 / ROOT], ddof=1), rel=1e-12)


def _skewed(low: int, high: int) -> np.ndarray:
    """A two-point sample with `low` bad and `high` good sessions, mean 0 and sd (ddof 1) 1."""
    x = np.r_[np.full(low, -1.0), np.full(high, low / high)]
    return np.random.default_rng(0).permutation(x / x.std(ddof=1))


def test_the_worked_example_of_2014_comes_out() -> None:
    """Bailey & López de Prado (2014): SR 2.5 a year of 250 days, 1,250 days, skew −3, kurtosis 10, 100 trials whose
    annual Sharpe ratios vary by ½: a maximum of 0.1132 a day is expected, DSR 0.9004."""
    returns = _skewed(105, 1145) + 2.5 / math.sqrt(250)
    tried = Trials(100, None, 0.5 / 250, (), ())
    found, reasons = deflate(returns, 0.0, tried)
    assert found["expected_max_sharpe"] / ROOT == pytest.approx(0.1132, abs=5e-5)
    assert found["dsr"] == pytest.approx(0.9004, abs=2e-4)
    assert found["dsr_effective"] is None
    assert "dsr_effective" in reasons


def test_one_trial_is_not_deflated_and_has_the_golden_psr() -> None:
    with gzip.open(GOLDEN / "daily_open.csv.gz", "rt") as lines:
        names = next(lines).strip().split(",")
        columns = dict(zip(names, zip(*(line.strip().split(",") for line in lines), strict=True), strict=True))
    returns, free = (np.array(columns[name], dtype=float) for name in ("strat_a", "rf"))
    golden = json.loads((GOLDEN / "performance_analytics.json").read_text())
    wanted = next(_found(golden, "psr_2012"))
    found, _ = deflate(returns, free, trials([], judged()))
    assert found["dsr"] == pytest.approx(wanted, rel=1e-6)
    assert (found["trials"], found["trial_sharpe_sd"], found["expected_max_sharpe"]) == (1, 0.0, 0.0)


def _found(content: Any, key: str) -> Any:
    if isinstance(content, dict):
        if key in content:
            yield content[key]
        for inner in content.values():
            yield from _found(inner, key)


def test_more_trials_deflate_more_and_too_few_figures_say_so() -> None:
    returns = np.random.default_rng(3).normal(0.0005, 0.01, 500)
    values = [deflate(returns, 0.0, Trials(n, float(n), 0.03**2, (), ()))[0]["dsr"] for n in (1, 2, 10, 1000)]
    assert values[0] > values[2] > values[3]
    assert values[0] >= values[1] > values[2]
    unknown = deflate(returns, 0.0, Trials(3, 3.0, None, (), ()))
    assert (unknown[0]["dsr"], unknown[1]["dsr"]) == (None, "fewer than two trials have a Sharpe ratio")
    still = deflate(np.zeros(500), 0.0, Trials(1, 1.0, None, (), ()))
    assert (still[0]["dsr"], still[1]["dsr"]) == (None, "excess returns do not vary")
    assert deflate(returns[:5], 0.0, Trials(1, 1.0, None, (), ()))[1]["dsr"] == "fewer than 10 sessions"


def _excess(returns: np.ndarray, start: int = 0) -> Excess:
    days = np.datetime64("2020-01-01") + np.arange(start, start + len(returns))
    return Excess(days, returns, np.zeros(len(returns)))


def test_the_effective_number_of_a_sweep_is_that_of_the_statistics_room() -> None:
    with gzip.open(GOLDEN / "sweep_open.csv.gz", "rt") as lines:
        names = next(lines).strip().split(",")
        table = [line.strip().split(",") for line in lines]
    sweep = np.array([[float(v) for n, v in zip(names, line, strict=True) if n != "date"] for line in table])
    sweep[:, 5] = 0.0
    count = sweep.shape[1]
    tried = trials([row(n) for n in range(1, count)], judged())
    found = with_correlations(tried, {f"digest{n}": _excess(sweep[:, n]) for n in range(count)})
    assert found.effective == pytest.approx(effective_trials(sweep), rel=1e-9)


def test_trials_without_a_folder_or_a_common_stretch_count_as_independent() -> None:
    rng = np.random.default_rng(1)
    market = rng.normal(0, 0.01, 400)
    tried = trials([row(1), row(2), row(3)], judged())
    twins = {"digest0": _excess(market), "digest1": _excess(market)}
    assert with_correlations(tried, twins).effective == pytest.approx(1 + 2)
    assert with_correlations(tried, {**twins, "digest2": _excess(market[:19], 399 - 18)}).effective == pytest.approx(
        1 / 3 + (1 - 1 / 3) * 3 + 1
    )
    assert with_correlations(tried, {**twins, "digest2": None, "digest3": None}).effective == pytest.approx(1.0)
    assert with_correlations(tried, {}).effective is None


@pytest.fixture(scope="module")
def tried_out(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[simulator.Run]]:
    """A workspace in which four rules were run, one of them twice and one elsewhere in time."""
    from simulator.workspace import make_workspace

    folder = tmp_path_factory.mktemp("trials") / "workspace"
    make_workspace(folder, git=False)
    spans = {"start": "2023-01-03", "end": "2024-06-28", "workspace": folder}
    made = [
        simulator.run("sma_cross", ["SPY", "QQQ"], **spans),
        simulator.run("sma_cross", ["SPY", "QQQ"], parameters={"fast": 20}, **spans),
        simulator.run("buy_and_hold", ["SPY"], **spans),
        simulator.run("equal_weight", ["AAPL", "NVDA"], **spans),
        simulator.run("buy_and_hold", ["SPY"], "2021-01-04", "2022-12-30", workspace=folder),
    ]
    simulator.run("sma_cross", ["SPY", "QQQ"], **spans)
    return folder, made


def results(workspace: Path) -> Seen:
    return all_results(workspace / "sim.db", workspace / "reports")


def test_a_real_registry_counts_three_trials_of_six_runs(tried_out: Any) -> None:
    workspace, made = tried_out
    facts = trials_facts(results(workspace), made[0].facts, made[0].folder)
    assert {t["run_id"] for t in facts["counted"]} == {run.facts["run_id"] for run in made[:3]}
    assert {t["run_id"]: t["why"].split(": ")[1] for t in facts["left_out"]} == {
        made[3].facts["run_id"]: "no symbol and no month of bars in common",
        made[4].facts["run_id"]: "no session in common",
    }
    sharpes = [run.metrics["sharpe"] for run in made[:3]]
    found = facts["inference"]
    assert found["trials"] == 3
    assert found["trial_sharpe_sd"] == pytest.approx(np.std(sharpes, ddof=1), rel=1e-9)
    assert found["expected_max_sharpe"] == pytest.approx(expected_maximum(3) * np.std(sharpes, ddof=1), rel=1e-9)
    returns = np.column_stack([read_excess(run.folder).excess for run in made[:3]])  # type: ignore[union-attr]
    assert found["effective_trials"] == pytest.approx(effective_trials(returns), rel=1e-9)
    assert 0.0 < found["dsr"] < made[0].facts["inference"]["psr"]


def test_sessions_counted_by_the_calendar_are_those_of_the_run(tried_out: Any) -> None:
    workspace, made = tried_out
    tried = trials(results(workspace).rows, made[0].facts)
    assert {t.run_id: t.sessions for t in tried.counted} == {r.facts["run_id"]: r.facts["sessions"] for r in made[:3]}


def test_the_same_registry_gives_the_same_facts_and_a_removed_folder_is_independent(tried_out: Any) -> None:
    workspace, made = tried_out
    own, rows = made[0], results(workspace)
    first, again = (trials_facts(rows, own.facts, own.folder) for _ in range(2))
    assert json.dumps(first, allow_nan=False) == json.dumps(again, allow_nan=False)
    hidden = made[2].folder.rename(made[2].folder.with_name("elsewhere"))
    try:
        without = trials_facts(rows, own.facts, own.folder)
    finally:
        hidden.rename(made[2].folder)
    assert without["inference"]["trials"] == 3
    assert without["inference"]["effective_trials"] > first["inference"]["effective_trials"]


def test_the_verdict_speaks_of_the_trials_once_they_are_with_the_run(tried_out: Any) -> None:
    from simulator.analysis.verdict import judge

    workspace, made = tried_out
    run = made[0].facts
    facts = trials_facts(results(workspace), run, made[0].folder)
    told = " ".join(judge(with_trials(run, facts)).details).replace("\u00a0", " ")
    counted = "3 trials counted: this run, 1 other result of sma_cross on any bars and 1 result of other strategies on"
    assert f"{counted} the same bars" in told
    assert with_trials(run, {**facts, "digest": "of another result"}) == run


def test_whatever_prints_a_verdict_counts_the_trials_of_that_moment(tmp_path: Path, sim: Sim) -> None:
    from simulator.workspace import make_workspace

    make_workspace(tmp_path / "w", git=False)

    def toss(seed: int) -> simulator.Run:
        span = {"start": "2024-01-02", "end": "2024-12-30", "parameters": {"seed": seed}, "workspace": tmp_path / "w"}
        return simulator.run("random_entry", "SPY,QQQ", **span)

    def told(*command: str) -> str:
        return " ".join(sim(*command, cwd=tmp_path / "w").stdout.replace("\u00a0", " ").split())

    first, *others = [toss(seed) for seed in range(4)]
    written = (first.folder / "trials.json").read_bytes()
    assert json.loads(written)["inference"]["trials"] == 1
    headline = first.verdict.headline.replace("\u00a0", " ")
    assert "and 4 trials" in headline, "a run that was made before the others"
    assert headline in " ".join(repr(simulator.load(first.id, tmp_path / "w")).replace("\u00a0", " ").split())
    assert (first.folder / "trials.json").read_bytes() == written
    assert f"A by itself: {headline}" in told("compare", first.id, others[0].id)
    for command in (("check", first.id, "--only", "costs"), ("compare", first.id, others[1].id)):
        (first.folder / "trials.json").write_bytes(written)
        told(*command)
        assert "and 4 trials" in (first.folder / "report.html").read_text().replace("\u00a0", " "), command
    (tmp_path / "w" / "sim.db").unlink()
    found = told("compare", first.id, others[0].id)
    assert "sessions and at least 4 trials" in found
    assert "at least 4 trials" in simulator.load(first.id, tmp_path / "w").verdict.headline.replace("\u00a0", " ")
    assert "as the best of at least 4 trials" in " ".join(first.verdict.details).replace("\u00a0", " ")


def test_a_folder_that_cannot_be_read_is_a_stated_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"equity\.csv: cannot be read; `sim run again` writes it again"):
        trials_facts(Seen(()), {**judged(), "command": "sim run again"}, tmp_path)


def test_what_never_held_anything_says_nothing_of_the_spread_of_luck() -> None:
    figures = judged()["metrics"]
    own = {**judged(), "metrics": {**figures, "exposure": 0.9}}
    tried = row(1, metrics={**figures, "sharpe": 0.7, "exposure": 0.9})
    idle = row(2, metrics={**figures, "sharpe": -20.0, "exposure": 0.0})
    found = trials([tried, idle], own)
    assert found.count == 3
    assert [trial.sharpe for trial in found.counted if trial.run_id == idle["run_id"]] == [None]
    assert found.sharpe_variance == trials([tried], own).sharpe_variance


def months(*digests: str, symbol: str = "SPY", first: str = "2023-01") -> dict[str, Any]:
    return {"symbols": [symbol], "bar_months": {symbol: [first, *digests]}}


JANUARY, FEBRUARY, MARCH = "a" * 16, "b" * 16, "c" * 16


def test_one_common_month_of_bars_counts_whatever_the_symbol_is_called() -> None:
    own = judged(**months(JANUARY, FEBRUARY))
    rows = [
        row(1, strategy="another", **months(JANUARY, FEBRUARY, symbol="COPY")),
        row(2, strategy="another", **months(FEBRUARY, MARCH, symbol="CUT", first="2023-02")),
        row(3, strategy="another", **months("d" * 8 + "a" * 8, symbol="ROUNDED")),
        row(4, strategy="another", **months(JANUARY, symbol="LATER", first="2023-02")),
        row(5, strategy="another", **months(MARCH, "", symbol="OTHER")),
        row(6, strategy="another"),
        row(7, strategy="renamed", symbols=["QQQ"], definition="sha of the file"),
    ]
    tried = trials(rows, {**own, "strategy_files": {"s.py": "sha of the file"}})
    found = {trial.run_id: trial.why.replace("\u00a0", " ") for trial in tried.counted}
    assert found == {
        "id0": "this run",
        "id1": "2 common months of COPY (here SPY)",
        "id2": "1 common month of CUT (here SPY)",
        "id3": "1 common month of ROUNDED (here SPY)",
        "id6": "SPY on common dates",
        "id7": "same strategy under another name",
    }
    assert left_out(tried) == {
        "id4": "LATER: no symbol and no month of bars in common",
        "id5": "OTHER: no symbol and no month of bars in common",
    }
    of = "this run, 1 other result of s on any bars and 4 results of other strategies on the same bars"
    assert summarise(tried).replace("\u00a0", " ") == f"6 trials counted: {of}."


def test_one_more_trial_never_lowers_p_nor_raises_the_deflated_ratio_in_a_hundred_random_registries() -> None:
    from simulator.analysis.verdict import deflated_skill, p_of_skill

    rng = np.random.default_rng(12)
    for _ in range(100):
        skill: Any = {
            "sessions": int(rng.integers(60, 1000)),
            "ratio": float(rng.normal(0.03, 0.05)),
            "skew": float(rng.normal(0, 0.5)),
            "kurtosis": float(rng.uniform(2.5, 6.0)),
            "p": float(rng.uniform(0, 0.3)),
        }
        rows: list[dict[str, Any]] = []
        before = (0, 0.0, 2.0)
        for number in range(1, int(rng.integers(3, 40))):
            # Near copies, repetitions and strangers; some are stops of others.
            sharpe = float(rng.choice([0.5, rng.normal()]))
            changes = {
                "strategy": str(rng.choice(["s", "t"])),
                "symbols": [str(rng.choice(["SPY", "QQQ"]))],
                "metrics": {**row(1)["metrics"], "total_return": sharpe, "sharpe": sharpe},
                "bar_months": {"X": ["2023-01", str(rng.choice([JANUARY, MARCH]))]},
            }
            rows.append(row(number, **changes))
            count = trials(rows, judged(**months(JANUARY))).count
            now = (count, p_of_skill(skill, count) or 0.0, deflated_skill(skill, count) or 0.0)
            assert now[0] >= before[0]
            assert now[1] >= before[1]
            assert now[2] <= before[2]
            before = now


def swept(number: int, members: int, **changes: Any) -> dict[str, Any]:
    return row(number, sweep={"members": members, "sharpe_mean": 0.1, "sharpe_sd": 0.2, "effective": 1.0}, **changes)


def test_a_run_beside_another_strategys_sweep_is_the_best_of_all_its_members() -> None:
    coins = [swept(number, 500, strategy="coins") for number in (1, 2)]
    beside = trials(coins[:1], judged())
    assert (beside.count, beside.units, beside.within) == (501, 501, [])
    # A sweep of two of its own takes the run in, and none of the coins out.
    before = 0
    for number in range(5):
        rows = [*coins, swept(3, 2), swept(4, 30)][:number]
        tried = trials(rows, judged())
        assert tried.units >= before
        before = tried.units
        member = replace(
            tried, count=tried.count - bool(tried.within), member_of={t.digest: (0, 0.1) for t in tried.within}
        )
        assert member.units == tried.units == 1 + 500 * min(number, 2) + max(number - 3, 0)


def test_what_only_an_earlier_file_tells_of_counts_and_the_number_is_a_lower_bound(tmp_path: Path) -> None:
    lost = {**row(4, strategy="another"), "sessions": 250, "sharpe": 0.4}
    facts = {"run_id": "id0", "digest": "x", "inference": {}, "reasons": {}, "counted": [lost], "left_out": []}
    (tmp_path / "trials.json").write_text(json.dumps(facts))
    seen = with_earlier(Seen((row(1),)), {**judged(), "command": "sim run"}, [tmp_path])
    assert seen.at_least.replace("\u00a0", " ") == "of 1 only an earlier trials.json tells"
    tried = trials(seen.rows, judged(), seen.at_least)
    assert counted(tried) == ["id0", "id1", "id4"]
    assert summarise(tried).startswith("At least 3")
    assert with_earlier(Seen((row(1), row(4))), {**judged(), "command": "sim run"}, [tmp_path]).at_least == ""


def test_a_copy_of_what_only_an_earlier_file_tells_of_is_no_trial_more(tmp_path: Path) -> None:
    metrics = row(4)["metrics"]
    lost = {**row(4), "sessions": 250, "sharpe": 0.4, "figures": [metrics[name] for name in FIGURES]}
    facts = {"run_id": "id0", "digest": "x", "inference": {}, "reasons": {}, "counted": [lost], "left_out": []}
    (tmp_path / "trials.json").write_text(json.dumps(facts))
    seen = with_earlier(Seen((row(5, metrics=metrics),)), {**judged(), "command": "sim run"}, [tmp_path])
    assert counted(trials(seen.rows, judged())) == ["id0", "id5"]


@pytest.fixture(scope="module")
def one_by_one(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[simulator.Run]]:
    """A workspace in which one symbol, and copies of its bars under other names, were tried one by one."""
    from simulator.workspace import make_workspace

    folder = tmp_path_factory.mktemp("escapes") / "workspace"
    make_workspace(folder, git=False)
    bars = pd.read_parquet(folder / "data" / "sample" / "SPY.parquet")
    bars = bars[bars["date"].astype(str).str[:4] >= "2022"] if "date" in bars else bars.loc["2022":]
    prices = ["open", "high", "low", "close"]
    shapes = {
        "COPY": bars,
        "CENTS": bars.assign(**{name: (bars[name] * 2).round(2) for name in prices}),
        "SMALL": bars.assign(**{name: (bars[name] / 77).round(2) for name in prices}),
        "FOURS": bars[[n % 5 != 4 for n in range(len(bars))]],
        "CUT": bars[bars.index >= bars.index[70]],
        "LONGER": pd.concat([bars.iloc[:-20], bars.iloc[-20:].assign(volume=1)]),
    }
    for name, shape in shapes.items():
        shape.to_parquet(folder / "data" / f"{name}.parquet")
    span = {"start": "2023-01-03", "end": "2023-04-28", "workspace": folder}
    made = [simulator.run("sma_cross", ["SPY"], **span)]
    made += [simulator.run("random_entry", [name], parameters={"seed": n}, **span) for n, name in enumerate(shapes)]
    made.append(simulator.run("sma_cross", ["QQQ"], **span))
    return folder, made


def test_bars_under_another_name_scale_or_length_count_and_so_do_symbols_one_by_one(one_by_one: Any) -> None:
    workspace, made = one_by_one
    facts = trials_facts(results(workspace), made[0].facts, made[0].folder)
    found = {",".join(t["symbols"]): t["why"].replace("\u00a0", " ") for t in facts["counted"]}
    assert found == {
        "SPY": "this run",
        "COPY": "4 common months of COPY (here SPY)",
        "CENTS": found["CENTS"],
        "SMALL": "40 common days of SMALL, nearly as SPY here",
        "FOURS": "33 common days of FOURS, nearly as SPY here",
        "CUT": "4 common months of CUT (here SPY)",
        "LONGER": "4 common months of LONGER (here SPY)",
        "QQQ": "same strategy",
    }
    assert found["CENTS"].endswith("of CENTS (here SPY)")
    assert facts["at_least"] == ""


def test_a_deleted_store_leaves_the_number_and_says_at_least(one_by_one: Any) -> None:
    workspace, made = one_by_one
    before = trials_facts(results(workspace), made[0].facts, made[0].folder)
    (workspace / "sim.db").unlink()
    gone = trials_facts(results(workspace), made[0].facts, made[0].folder)
    assert gone["inference"]["trials"] == before["inference"]["trials"] == 8
    assert gone["at_least"] == "run folders are older than the store"
    again = simulator.run("sma_cross", ["SPY"], "2023-01-03", "2023-04-28", workspace=workspace)
    told = json.loads((again.folder / "trials.json").read_text())
    assert told["inference"]["trials"] == 8
    assert told["summary"].startswith("At least 8")
    assert told["at_least"] == "run folders are older than the store"
    with Store(workspace / "sim.db") as store:
        assert len(record_unrecorded(store, workspace / "reports")) == 7
    recorded = results(workspace)
    assert recorded.at_least == "run folders are older than the store"
    assert trials_facts(recorded, made[0].facts, made[0].folder)["inference"]["trials"] == 8


def test_a_folder_that_cannot_be_read_makes_the_number_a_lower_bound(one_by_one: Any) -> None:
    workspace, made = one_by_one
    torn = made[1].folder / "run.json"
    whole = torn.read_bytes()
    torn.write_bytes(whole[:100])
    try:
        assert results(workspace).at_least.endswith(f"{made[1].folder.name} cannot be read")
    finally:
        torn.write_bytes(whole)


def test_a_copy_with_comments_another_layout_and_another_class_is_the_same_definition() -> None:
    source = b'class A(Rule):\n    """One."""\n    n = 2\n    def weights(self, m):\n        return {"SPY": 1/self.n}\n'
    copy = source.replace(b"class A", b"# mine\n\nclass B").replace(b"One", b"Two").replace(b"n = 2", b"n = 2  # two")
    copy = copy.replace(b"        return", b"      return").replace(b"1/self.n", b"1 / self.n")
    assert copy.count(b"\n") == source.count(b"\n") + 2
    assert definition_digest(source) == definition_digest(copy)
    shape, exact = definition_digest(source).split("-")
    assert exact == "c1a6eb345a5c598cf124f72420a87d8c8445cc07533cc53cb69ad7b7d1db1afa"
    other, changed = definition_digest(source.replace(b"n = 2", b"n = 3")).split("-")
    assert exact != changed
    assert shape == other


RULE = b"""from simulator.rules import Rule, uniform

class Coin(Rule):
    seed = 0
    odds: float = 0.5

    def weights(self, market):
        held = [s for s in market.symbols if uniform(self.seed, market.as_of.date(), s) < self.odds]
        return {symbol: 1 / len(market.symbols) for symbol in held}
"""


@pytest.mark.parametrize(
    "edit",
    [
        (b"seed = 0", b"seed = 7"),
        (b"seed = 0", b"seed = -7.5"),
        (b"seed", b"number"),
        (b"held", b"kept"),
        (b"market", b"now"),
        (b"odds: float", b"odds"),
        (b"(self, market)", b"(self, market: object) -> dict[str, float]"),
        (b"symbol:", b"one:"),
    ],
)
def test_an_edited_copy_is_of_the_same_family(edit: tuple[bytes, bytes]) -> None:
    edited = RULE.replace(*edit).replace(
        b"for symbol in held", b"for one in held" if edit[1] == b"one:" else b"for symbol in held"
    )
    assert edited != RULE
    assert definition_digest(edited).split("-")[0] == definition_digest(RULE).split("-")[0]
    own = {**judged(symbols=["QQQ"]), "definition": definition_digest(RULE)}
    tried = trials([row(1, strategy="copy", definition=definition_digest(edited))], own)
    assert tried.counted[1].why == "same strategy under another name"


@pytest.mark.parametrize(
    "edit", [(b"<", b">"), (b"as_of", b"opened"), (b"1 / len", b"2 - len"), (b"uniform(", b"max(")]
)
def test_what_does_something_else_is_another_family(edit: tuple[bytes, bytes]) -> None:
    assert definition_digest(RULE.replace(*edit)).split("-")[0] != definition_digest(RULE).split("-")[0]


def test_shipped_rules_are_families_of_their_own_and_old_rows_are_known_again() -> None:
    rules = [path.read_bytes() for path in sorted((Path(__file__).parents[2] / "strategies").glob("*.py"))]
    assert len({definition_digest(rule).split("-")[0] for rule in rules}) == len(rules) >= 6
    own = {**judged(symbols=["QQQ"]), "definition": definition_digest(RULE)}
    earlier = row(1, strategy="copy", definition=definition_digest(RULE).split("-")[1])
    assert len(trials([earlier], own).counted) == 2


def files_of(council: Path) -> dict[str, str]:
    return {
        f"{council.name}/{name}": digest for name, digest in load_definition(council / "strategy.yaml").files.items()
    }


@pytest.mark.parametrize("edited", ["strategy.yaml", "prompts/pitch.md"])
def test_an_edited_copy_of_a_council_is_of_the_same_family_and_another_council_is_not(
    tmp_path: Path, edited: str
) -> None:
    shipped = Path(__file__).parents[2] / "strategies"
    copy = tmp_path / "mine"
    shutil.copytree(shipped / "macro_council", copy)
    path = copy / edited
    path.write_text(path.read_text().replace("window: ", "window: 1") + ("\n" if edited.endswith("md") else ""))
    files = {name: files_of(folder) for name, folder in (("mine", copy), ("small_council", shipped / "small_council"))}
    own = judged(strategy="macro_council", strategy_files=files_of(shipped / "macro_council"), symbols=["QQQ"])
    assert files["mine"][f"mine/{edited}"] != own["strategy_files"][f"macro_council/{edited}"]
    rows = [row(n, strategy=name, definition=definition_of({"strategy_files": of}))
            for n, (name, of) in enumerate(files.items(), 1)]  # fmt: skip
    tried = trials(rows, own)
    assert [(one.strategy, one.why) for one in tried.counted[1:]] == [("mine", "same strategy under another name")]
    earlier = own["strategy_files"]["macro_council/strategy.yaml"]
    assert trials([row(3, strategy="renamed", definition=earlier)], own).count == 2
