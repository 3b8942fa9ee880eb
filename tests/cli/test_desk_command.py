"""`sim desk` as a person types it, and the desk's section of a report, on three months of a universe of no market."""

from __future__ import annotations

import csv
import json
import os
from collections import Counter
from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result

import simulator
from simulator.analysis.desk import CLASSES, EXPECTED_A_DAY, EXPECTED_A_WEEK, read_desk
from simulator.cli import sim as command
from simulator.desk.records import desk_record
from simulator.desk.rules import RULES
from simulator.desk.tools.backtest import calculate_metrics
from simulator.desk.workflow import STATES
from simulator.errors import SimError
from simulator.evidence.reader import Evidence, read
from simulator.market import calendar
from simulator.market.sources import synthetic
from simulator.market.sources.files import read_table, write_csv
from simulator.market.sources.synthetic import UNIVERSE
from simulator.report.desk import print_desk
from simulator.report.markdown import as_markdown
from simulator.report.renderers.console import Console
from simulator.runs.desk_state import DeskRequest, open_desk
from simulator.workspace import find_workspace, make_workspace

pytestmark = pytest.mark.medium

SYMBOLS = ("--symbols", ",".join(UNIVERSE))
AS_TRADED = ("--set", "as_traded=true")
MORNING = ("--as-of", "2024-03-15T06:30", *SYMBOLS)


def call(workspace: Path, *words: object) -> Result:
    return CliRunner().invoke(command, ["--workspace", str(workspace), *map(str, words)])


def answer(workspace: Path, *words: object) -> dict[str, Any]:
    result = call(workspace, *words, "--json")
    assert result.exit_code == 0, (result.output, result.exception)
    found: dict[str, Any] = json.loads(result.stdout)
    return found


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace with the universe and one run of the desk on it."""
    place = tmp_path_factory.mktemp("desk") / "house"
    make_workspace(place, git=False)
    fetch = ("data", "fetch", "--source", "synthetic", "--universe", "1d", "--seed", 7)
    assert call(place, *fetch, "--from", "2023-01-03", "--to", "2024-04-30").exit_code == 0
    run = call(
        place,
        "run",
        "--strategy",
        "momentum_desk",
        *SYMBOLS,
        "--from",
        "2024-01-02",
        "--to",
        "2024-03-28",
        "--format",
        "md",
    )
    assert run.exit_code == 0, (run.output, run.exception)
    return place


def first_run(house: Path) -> Path:
    """Return the folder of the run that the fixture made; tests may have made more."""
    return min((house / "reports").glob("momentum_desk-*"), key=lambda one: (one / "run.json").stat().st_mtime_ns)


@pytest.fixture(scope="module")
def evidence(house: Path) -> Evidence:
    return read(first_run(house))


def test_a_watchlist_is_shown_as_json_and_written_as_csv(house: Path, tmp_path: Path) -> None:
    found = answer(house, "desk", "screen", *MORNING, "--out", tmp_path / "watchlist.csv")
    assert found["as_of"] == "2024-03-15T06:30:00-04:00"
    listed = [one["symbol"] for one in found["candidates"]]
    assert listed
    assert not set(listed) & set(found["rejected"])
    with (tmp_path / "watchlist.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["symbol"] for row in rows] == listed
    assert [float(row["score"]) for row in rows] == [one["score"] for one in found["candidates"]]


def test_one_symbol_is_analysed_and_its_plan_keeps_to_the_rules(house: Path) -> None:
    symbol = answer(house, "desk", "screen", *MORNING)["candidates"][0]["symbol"]
    analysis = answer(house, "desk", "analyze", symbol.lower(), *MORNING)
    assert analysis["recommendation"] in CLASSES
    assert analysis["held"]["sector"] == UNIVERSE[symbol]
    assert analysis["agent"]["agent"] == "analyzer"
    found = answer(house, "desk", "optimize", symbol, *MORNING)
    plan = found["plan"]
    assert sum(part["shares"] for part in plan["scaling"]) == plan["shares"]
    assert plan["shares"] * plan["entry"] <= 0.15 * found["account"]["equity"]
    assert 0.97 * plan["entry"] <= plan["stop"] < plan["entry"] < plan["targets"][0] < plan["targets"][1]
    assert found["approved"] is found["agent"]["said"]["approve"]


def test_an_unknown_symbol_is_told_from_what_is_there(house: Path) -> None:
    error = call(house, "desk", "analyze", "SYN-TECH-9", *MORNING).exception
    assert isinstance(error, SimError)
    assert "SYN-TECH-1" in str(error)
    assert "is no desk" in str(call(house, "desk", "screen", *MORNING, "--strategy", "macro_council").exception)


def test_the_age_of_prices_is_told_and_the_benchmark_is_there_whatever_is_looked_at(house: Path) -> None:
    found = answer(house, "desk", "optimize", "SYN-TECH-1", "--symbols", "SYN-TECH-1", "--as-of", "2024-05-02")
    assert found["prices"] == {"until": "2024-04-30T16:00:00-04:00", "sessions_since": 2}
    alone, beside = (
        answer(house, "desk", "analyze", "NVDA", "--symbols", symbols, "--as-of", "2024-03-15T10:00")
        for symbols in ("NVDA", "NVDA,SPY")
    )
    assert alone["prices"] == {"until": "2024-03-14T16:00:00-04:00", "sessions_since": 0}
    assert alone["score"] == beside["score"] == 60 * 105 // 100, "it led SPY over 63 sessions"


def test_half_hours_beside_daily_bars_are_looked_at_apart_and_said(tmp_path: Path) -> None:
    make_workspace(tmp_path / "house", git=False)
    for table in synthetic.fetch(("SYN-TECH-1", "SYN-HEAL-1"), date(2023, 10, 2), date(2024, 3, 15), 7, "30min"):
        write_csv(table, tmp_path / "house" / "data" / f"{table.symbol}.csv", table.source)
    at = ("--as-of", "2024-03-15")
    told = call(tmp_path / "house", "desk", "analyze", "AAPL", *at)
    assert told.exit_code == 0, told.exception
    said = " ".join(told.stderr.replace("\xa0", " ").split())
    assert "1d bars of 5 symbols are looked at; --symbols takes others: SYN-TECH-1, SYN-HEAL-1 (30min)" in said
    assert call(tmp_path / "house", "desk", "screen", *at).exit_code == 0
    (own,) = synthetic.fetch(("OWN",), date(2023, 10, 2), date(2024, 3, 15), 7)
    write_csv(own, tmp_path / "house" / "data" / "OWN.csv", own.source)
    assert answer(tmp_path / "house", "desk", "analyze", "OWN", *at)["symbol"] == "OWN", "config/assets.yaml or not"
    asked_about = answer(tmp_path / "house", "desk", "analyze", "SYN-TECH-1", *at)
    assert asked_about["prices"]["until"] == "2024-03-15T16:00:00-04:00"
    mixed = str(call(tmp_path / "house", "desk", "screen", *at, "--symbols", "SPY,SYN-TECH-1,QQQ").exception)
    assert mixed.startswith("1d bars of SPY, QQQ; 30min bars of SYN-TECH-1; one run takes bars of one frequency")


def test_the_account_of_a_run_is_reviewed(house: Path, evidence: Evidence) -> None:
    found = answer(house, "desk", "review", "--run", "last", "--period", 7, "--detailed")
    assert found["account"]["equity"] == pytest.approx(evidence.equity["equity"][-1])
    assert found["days"] == 7
    assert "trades" in found
    assert found["agent"]["agent"] == "reviewer"
    assert "trades" not in answer(house, "desk", "review", "--run", "last")


def test_the_desk_measures_itself_as_its_report_does(house: Path, evidence: Evidence) -> None:
    """From the starting cash on, over what cash earned: review, daily record and tools say one number."""
    run = evidence.run
    told, cash = run["metrics"], run["cash"]
    assert len(evidence.sessions) >= 60
    found = answer(house, "desk", "review", "--run", run["run_id"], "--period", "365")
    assert found["so_far"]["sharpe"] == pytest.approx(told["sharpe"], rel=1e-9)
    assert found["so_far"]["largest_drawdown"] == pytest.approx(-told["max_drawdown"], rel=1e-9)
    assert found["return"] == pytest.approx(told["total_return"], rel=1e-9)
    assert found["profit"] == pytest.approx(found["equity"] - cash)

    state = open_desk(DeskRequest(run=run["run_id"]), find_workspace(house))()
    measured = calculate_metrics(state)
    for name in ("sharpe", "total_return", "max_drawdown", "sortino", "cagr", "cvar_95"):
        assert getattr(measured, name) == pytest.approx(told[name], rel=1e-9), name
    assert measured.profit_dollars == pytest.approx(found["profit"])

    reports = [one["record"]["report"] for one in evidence.decisions if one["record"]["point"] == "review"]
    assert reports[-1]["so_far"]["sharpe"] == pytest.approx(told["sharpe"], rel=1e-9)
    assert [one["profit"] for one in reports[:2]] == pytest.approx(
        [reports[0]["equity"] - cash, reports[1]["equity"] - reports[0]["equity"]]
    )


def test_the_last_session_is_reviewed_as_any_other_and_a_week_may_end_on_a_thursday(evidence: Evidence) -> None:
    reviewed = [one["session"] for one in evidence.decisions if one["record"]["point"] == "review"]
    assert reviewed == [str(day) for day in evidence.sessions]
    *_, day, week = evidence.decisions  # Good Friday comes next
    told = [(one["record"]["point"], one["record"]["report"]["session"]) for one in (day, week)]
    assert told == [("review", "2024-03-28"), ("week", "2024-03-28")]
    assert week["record"]["report"]["equity"] == pytest.approx(evidence.equity["equity"][-1])
    assert week["record"]["agents"][0]["agent"] == "reviewer"


def test_the_status_has_the_keys_it_was_designed_with(house: Path, evidence: Evidence) -> None:
    found = answer(house, "desk", "status")
    keys = ["running", "mode", "workflow_state", "daily_cost", "budget_remaining", "trades_today", "next_task"]
    assert [key for key in found if key in keys] == keys
    last = evidence.decisions[-1]["record"]["workflow"]["state"]
    assert (found["running"], found["mode"], found["workflow_state"]) == (False, "backtest", last.lower())
    assert (found["daily_cost"], found["budget_remaining"]) == (0.0, 5.0)
    here = simulator.desk.status(house)
    assert {**here, "next_task": list(here["next_task"] or ())} == found


def test_a_backtest_that_a_person_asks_for_is_on_record_and_judged(house: Path) -> None:
    span = ("--from", "2024-01-02", "--as-of", "2024-03-28", "--symbols", "SYN-TECH-1,SYN-HEAL-1")
    found = answer(house, "desk", "backtest-strategy", "equal_weight", *span)
    assert found["recorded"]
    assert (found["strategy"], found["last"]) == ("equal_weight", "2024-03-28")
    assert list((house / "reports").glob("equal_weight-*"))
    assert found["agent"]["said"]["verdict"] in ("adopt", "reject", "more evidence")
    assert not found["ready"]
    with (printed := Console()).capture() as shown:
        print_desk(found, printed)
    assert f"trials: {found['trials']:.0f}\n" in shown.get()
    error = call(house, "desk", "backtest-strategy", "equal_wait", *span).exception
    assert "equal_weight" in str(error)


def test_a_watchlist_takes_the_place_of_no_pipe(house: Path) -> None:
    os.mkfifo(house / "pipe")
    for place in (str(house / "pipe"), ""):
        done = call(house, "desk", "screen", "--symbols", "SPY,QQQ", "--as-of", "2024-06-03", "--out", place)
        assert isinstance(done.exception, SimError), (place, done.exception)
    assert (house / "pipe").is_fifo()


def write_split(folder: Path, first: date, split_on: date, told: bool) -> None:
    """Write bars of SYN-TECH-1 as traded to March of 2024, ten for one on a day, in a column where told."""
    folder.mkdir()
    lines = ["date,open,high,low,close,volume" + ",stock splits" * told]
    for day in calendar.sessions(first, date(2024, 3, 28)).dates.tolist():
        price, split = (1000.0 if day < split_on else 100.0), 10 if day == split_on else 0
        lines.append(f"{day},{price},{price + 1},{price - 1},{price},1000000" + f",{split}" * told)
    (folder / "SYN-TECH-1.csv").write_text("\n".join(lines), encoding="utf-8")


@pytest.mark.parametrize("told", [False, True])
def test_prices_as_traded_are_refused_where_they_hold_a_split_or_seem_to(house: Path, told: bool) -> None:
    write_split(house / f"split{told}", date(2023, 6, 1), date(2024, 2, 1), told)
    span = ("run", "--strategy", "momentum_desk", "--bars", f"split{told}", "--symbols", "SYN-TECH-1",
            "--from", "2024-01-02", "--to", "2024-03-28")  # fmt: skip
    adjusted, as_traded = (call(house, *span, *more) for more in ((), AS_TRADED))
    assert adjusted.exit_code == 0, adjusted.exception
    assert isinstance(as_traded.exception, SimError)
    assert "across a split: SYN-TECH-1" in str(as_traded.exception)
    assert "2024-02-01" in str(as_traded.exception)


def test_a_split_before_the_first_bar_that_is_read_forbids_no_prices_as_traded(house: Path) -> None:
    write_split(house / "early", date(2022, 6, 1), date(2022, 6, 15), told=True)
    span = ("run", "--strategy", "momentum_desk", "--bars", "early", "--symbols", "SYN-TECH-1", *AS_TRADED)
    after, across, before = (
        call(house, *span, "--from", first, "--to", last)
        for first, last in (("2024-03-20", "2024-03-28"), ("2023-05-01", "2023-05-05"), ("2022-06-03", "2022-06-13"))
    )
    assert after.exit_code == 0, after.exception
    assert "the bars read begin on 2022-06-01" in str(across.exception), "history reaches over it"
    assert "2022-06-15" in str(before.exception), "divided by a split to come, they are as nobody saw them"


def test_a_sweep_of_a_desk_is_planned_and_no_worker_asks_its_agents(house: Path) -> None:
    span = ("--strategy", "momentum_desk", *SYMBOLS, "--from", "2024-03-18", "--to", "2024-03-28")
    planned = call(house, "sweep", *span, "--set", "caps.stop=0.02,0.03", "--plan")
    assert planned.exit_code == 0, planned.exception
    assert "this process plays member after member" in " ".join(planned.stdout.split())
    error = call(house, "sweep", *span, "--set", "caps.stop=0.02,0.03", "--executor", "loky").exception
    assert isinstance(error, SimError)
    assert "asked by this process" in str(error)


def test_a_plan_of_a_desk_counts_what_its_run_asks_reviews_and_backtests_among_it(house: Path) -> None:
    asked = Counter(
        json.loads(line)["stage"] for line in (first_run(house) / "llm_calls.jsonl").read_text().splitlines()
    )
    span = ("--strategy", "momentum_desk", *SYMBOLS, "--from", "2024-01-02", "--to", "2024-03-28")
    lines = {one["stage"]: one for one in answer(house, "run", *span, "--plan")["lines"]}
    assert {name: one["calls"] for name, one in lines.items()} == asked
    assert {"optimizer", "reviewer", "backtester"} <= set(lines)
    assert not any(one["misses"] for one in lines.values())
    assert all(lines[name]["most_calls"] >= lines[name]["calls"] for name in ("optimizer", "reviewer", "backtester"))


def test_a_desk_reads_as_text(house: Path) -> None:
    assert "recommendation:" in call(house, "desk", "analyze", "SYN-TECH-1", *MORNING).stdout
    assert "workflow state: " in call(house, "desk", "status").stdout


def test_classes_are_held_against_the_bars_that_followed(house: Path, evidence: Evidence) -> None:
    work = read_desk(evidence)
    assert work is not None
    assert work.calls
    assert {one.symbol for one in work.calls} <= set(evidence.prices)
    for one in work.calls[:10]:
        table = read_table(house / "data" / f"{one.symbol}.csv")
        day = np.datetime64(evidence.sessions[one.session]).astype(np.int64)
        row = int(np.flatnonzero(table.session_of == day)[0])
        if one.outcome is not None:
            assert one.outcome == pytest.approx(table.close[row + 4] / table.close[row - 1] - 1.0)
    counted = {outcome.name: outcome.calls for outcome in work.decided}
    assert counted == {name: sum(one.decided == name for one in work.calls) for name in CLASSES}


def test_no_entry_is_further_above_its_stop_than_the_rule_allows_nor_beyond_its_targets(evidence: Evidence) -> None:
    """Bars of a day bring no price before it is paid: a limit holds what the check at the open would."""
    planned = {
        (one["session"], target["symbol"]): target
        for one in evidence.decisions
        for target in one["targets"]
        if target["reason"].startswith("planned before the open")
    }
    bought = [
        (planned[str(fill.session), fill.symbol], fill.price)
        for fill in evidence.fills
        if fill.quantity > 0.0 and (str(fill.session), fill.symbol) in planned
    ]
    assert len(bought) > 5
    for target, price in bought:
        assert price <= target["limit"]
        assert 1.0 - target["stop"] / price <= 0.03 + 1e-9
        assert price < target["exits"][0][1]


@pytest.mark.parametrize("off", ["schedule.review", "schedule.pre_market", "schedule.open"])
def test_a_point_that_is_switched_off_is_not_missed(house: Path, off: str) -> None:
    period = ("--from", "2024-01-02", "--to", "2024-01-31", "--set", "agents=false", "--set", f"{off}=off")
    run = call(house, "run", "--strategy", "momentum_desk", *SYMBOLS, *period)
    assert run.exit_code == 0, (run.output, run.exception)
    newest = max((house / "reports").glob("momentum_desk-*"), key=lambda one: (one / "run.json").stat().st_mtime_ns)
    work = read_desk(read(newest))
    assert work is not None
    entered = {one.name: one.entered for one in work.states}
    assert entered["ERROR"] == 0
    assert entered["WEEKLY_REVIEW"] >= 4


def test_vetoes_states_and_bills_are_those_of_the_records(evidence: Evidence) -> None:
    work = read_desk(evidence)
    assert work is not None
    assert set(work.vetoes) <= {*RULES, "exposure", "buying power", "check at the open"}
    assert [one.name for one in work.states] == list(STATES)
    entered = {one.name: one.entered for one in work.states}
    assert entered["MARKET_EXECUTION"] == len(evidence.sessions)
    assert entered["WEEKLY_REVIEW"] == work.weeks
    assert work.weeks in (12, 13)  # nothing is held after the last bar
    questions: Mapping[str, int] = {one.agent: one.questions for one in work.bills}
    assert sum(questions.values()) == len(evidence.calls)
    assert sum(EXPECTED_A_DAY.values()) == pytest.approx(0.0032)
    assert sum(EXPECTED_A_WEEK.values()) == pytest.approx(0.0022)


def test_the_report_shows_them_and_markdown_goes_where_a_repository_keeps_it(house: Path, evidence: Evidence) -> None:
    text = as_markdown(evidence.folder)
    for title in (
        "## Desk",
        "### Acceptance",
        "### Classes against what followed",
        "### Time in states, nights left out",
        "### Bills",
    ):
        assert title in text
    assert "## Desk" in (house / "docs" / "backtest_results.md").read_text(encoding="utf-8")
    page = (evidence.folder / "report.html").read_text(encoding="utf-8")
    assert 'id="desk"' in page
    assert "synthetic bars, nothing here happened in a market" in page
    assert "A decision is made at 06:30 (pre-market), 09:30 (open)" in " ".join(text.split())
    assert "its rules decide alone" not in page
    assert "state no conviction" not in text
    assert "Rank correlation of the class of an analysis" in text


def test_explain_says_why_symbols_did_not_pass_what_was_not_checked_and_how_the_day_was_graded(
    house: Path, evidence: Evidence
) -> None:
    day = next(one["session"] for one in evidence.decisions if one["targets"] and one["record"].get("notes"))
    told = " ".join(call(house, "explain", evidence.folder.name, day).stdout.split())
    of_day = [one["record"] for one in evidence.decisions if one["session"] == day]
    symbol, why = next((name, why) for one in of_day for name, why in one.get("rejected", {}).items())
    assert f"{symbol}: {'; '.join(why)}" in told
    assert "the check that it opens above its stop is skipped" in told
    (graded,) = (one["report"] for one in of_day if "report" in one)
    assert f"grade {graded['grade']}, " in told


def test_explain_says_which_symbols_to_be_bought_are_held_already(house: Path, evidence: Evidence) -> None:
    found = None
    for row in evidence.decisions:
        record = desk_record(row["record"])
        assert record is not None
        held = record["workflow"]["context"].get("held", {})
        found = found or next(
            ((row["session"], one["symbol"]) for one in record.get("analyses", ())
             if one.get("agent", one["recommendation"]) in ("BUY", "STRONG_BUY") and one["symbol"] in held), None,
        )  # fmt: skip
    assert found is not None
    told = " ".join(call(house, "explain", evidence.folder.name, *found).stdout.split())
    assert f"{found[1]}: held already, and the desk adds to no position; its stop is " in told


def test_samples_that_end_on_different_days_are_looked_at_where_most_end(workspace: Path, sim: Any) -> None:
    """SPY's bars go on for a year after those of the others: none of these could be screened at their end."""
    done = sim("desk", "screen", "--json", cwd=workspace)
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("as of 2024-12-30, where most bars end; SPY has later ones") == 1
    found = json.loads(done.stdout)
    assert (found["as_of"][:10], found["prices"]["sessions_since"]) == ("2024-12-30", 0)
    assert "no bar" not in json.dumps(found["rejected"])
    later = json.loads(sim("desk", "screen", "--as-of", "2025-06-30", "--json", cwd=workspace).stdout)
    assert later["as_of"][:10] == "2025-06-30"
