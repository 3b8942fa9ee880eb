"""Backtest tools, within a replay and on record."""

from __future__ import annotations

import asyncio
import json
import os
import re
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simulator.api import make_backtester
from simulator.config import load_config
from simulator.desk.backtests import Backtest, Wanted
from simulator.desk.tools import load_tools
from simulator.desk.tools.backtest import judge
from simulator.desk.tools.registry import ToolError
from simulator.errors import SimError, UsageError
from simulator.evidence.unrecorded import list_runs
from simulator.evidence.verify import open_run
from simulator.market.bars import NUMBERS, instant
from simulator.market.load import load_bars
from simulator.runs.backtests import BacktesterWithin
from simulator.runs.desk_state import DeskRequest, open_desk
from simulator.store.folders import run_id_of
from simulator.workspace import Workspace, find_workspace

TOOLS = load_tools()
SHIPPED = Path(__file__).parents[2] / "strategies" / "momentum_desk"
GRID = {"fast": [5, 10, 20], "slow": [50, 100]}
SMA = {"strategy": "sma_cross", "symbols": ["SPY", "QQQ"], "start": "2023-06-01"}


def ask(state, name, **given):
    return json.loads(TOOLS[name].call(state, given).model_dump_json())


@pytest.fixture
def place(workspace) -> Workspace:
    return find_workspace(workspace)


@pytest.fixture
def market(place):
    config = load_config(place.config)
    context = (config.assets.cash_instrument, *config.assets.context)
    loaded = load_bars(
        ("SPY", "QQQ"), place.bar_folders, first=date(2022, 1, 3), last=date(2024, 6, 28), context=context
    )
    return loaded.bars, loaded.context


@pytest.fixture
def within(place, market, desk):
    """A desk within a replay, on the last day of March."""
    bars, context = market
    base = desk.state(desk.at("2024-03-31"), desk.bars("2024-03-25", "2024-03-28"))
    return replace(
        base,
        snapshot=bars.snapshot(desk.at("2024-03-31"), context=context),
        backtester=BacktesterWithin(place.strategies, load_config(place.config)),
    )


def test_there_are_twenty_tools_in_four_groups():
    groups = [tool.group for tool in TOOLS.values()]
    assert [groups.count(group) for group in ("market", "position", "risk", "backtest")] == [5, 5, 5, 5]


@pytest.mark.medium
def test_a_backtest_within_a_replay_is_that_on_record_and_leaves_nothing(place, within):
    async def asked_in_a_loop():
        return ask(within, "run_backtest", **SMA)

    inside = asyncio.run(asked_in_a_loop())
    swept = ask(within, "test_parameter_sensitivity", **SMA, sweep=GRID)
    assert not place.reports.exists() or not list_runs(place)
    assert (inside["recorded"], swept["recorded"]) == (False, False)
    outside = replace(within, backtester=make_backtester(place))
    recorded = ask(outside, "run_backtest", **SMA)
    assert [row["run_id"] for row in list_runs(place)] == [recorded["id"]]
    assert recorded["recorded"]
    assert recorded["last"] == inside["last"] == "2024-03-28"  # Good Friday: the week's last session is a Thursday
    same = ("sessions", "trades", "total_return", "sharpe", "max_drawdown", "cvar_95", "exposure", "win_rate")
    for name in (*same, "profit_dollars", "p"):
        assert recorded[name] == (inside[name] if inside[name] is None else pytest.approx(inside[name], abs=1e-9)), name
    again = ask(outside, "test_parameter_sensitivity", **SMA, sweep=GRID)
    assert again["overfitting"] == pytest.approx(swept["overfitting"])
    figures = [{str(m["settings"]): m["sharpe"] for m in one["members"]} for one in (swept, again)]
    assert figures[0] == pytest.approx(figures[1])
    assert again["best"]["settings"] == swept["best"]["settings"]
    # As one of its members it is judged by what they are, and by all that was tried, the run before among it, apart.
    assert again["best"]["p"] == min(one["p"] for one in again["members"])
    assert again["p_of_all"] >= max(again["best"]["p"], swept["p_of_all"])
    assert "the smallest p among these members" in again["best_by"]
    # What goes on after now is not found, also where it is on record.
    earlier = replace(outside, snapshot=within.snapshot.bars.snapshot(within.snapshot.as_of.replace(year=2023)))
    with pytest.raises(UsageError, match="goes on to 2024-03-28"):
        ask(earlier, "calculate_metrics", backtest=recorded["id"])


@pytest.mark.medium
def test_the_last_account_is_that_of_a_person_whatever_tools_have_tried_since(place, within, capsys):
    by_tool = replace(within, backtester=make_backtester(place, by_tool=True))
    by_person = replace(within, backtester=make_backtester(place))
    span = {"symbols": ["SPY"], "start": "2024-03-01"}
    tried = ask(by_tool, "run_backtest", strategy="sma_cross", **span)
    with pytest.raises(UsageError, match="was asked for by a tool"):
        open_desk(DeskRequest(run="last"), place)
    own = ask(by_person, "run_backtest", strategy="buy_and_hold", **span)
    ask(by_tool, "run_backtest", strategy="equal_weight", **span)
    ask(by_tool, "run_backtest", strategy="buy_and_hold", **span)  # again: it stays a person's
    written = {run_id_of(folder.name): folder for folder in place.reports.glob("*-2024-03-01-*")}
    for seconds, folder in enumerate(written[one] for one in (tried["id"], own["id"])):
        os.utime(folder / "runtime.json", (seconds, seconds))
    assert open_run(place, "last").folder == written[own["id"]], "for explain and report as for the desk"
    assert len(capsys.readouterr().err.splitlines()) == 1
    state = open_desk(DeskRequest(run="last"), place)()
    assert state.book.positions["SPY"] > 0.0
    told = capsys.readouterr().err.replace("\xa0", " ")
    assert told == f"sim: last is {written[own['id']].name}; passed over: 1 newer run that tools asked for\n"
    # A person who asks for the same makes it their own.
    ask(by_person, "run_backtest", strategy="equal_weight", **span)
    open_desk(DeskRequest(run="last"), place)
    assert capsys.readouterr().err == ""


@pytest.mark.medium
def test_bars_after_now_change_nothing_of_a_backtest_within_a_replay(place, within, market, desk):
    bars, context = market
    known = len(within.snapshot)
    later = {name: np.concatenate([getattr(bars, name)[:known], getattr(bars, name)[known:] * 2.5]) for name in NUMBERS}
    other = replace(within, snapshot=replace(bars, **later).snapshot(within.snapshot.as_of, context=context))
    for name, more in (("run_backtest", {}), ("test_parameter_sensitivity", {"sweep": GRID})):
        assert ask(within, name, **SMA, **more) == ask(other, name, **SMA, **more)
    other = replace(other, backtester=BacktesterWithin(place.strategies, load_config(place.config)))
    strategies = ("sma_cross", "buy_and_hold")
    here, there = (
        [ask(one, "run_backtest", **{**SMA, "strategy": s})["id"] for s in strategies] for one in (within, other)
    )
    assert here == there
    read = {"calculate_metrics": {"backtest": here[0]}, "generate_equity_curve": {"backtest": here[0]}}
    for name, more in {**read, "compare_strategies": {"backtests": here}}.items():
        assert ask(within, name, **more) == ask(other, name, **more)
    made = ask(within, "run_backtest", **SMA)
    assert ask(within, "calculate_metrics", backtest=made["id"])["sharpe"] == made["sharpe"]
    curve = ask(within, "generate_equity_curve", backtest=made["id"], points=10)
    assert (len(curve["points"]), curve["points"][-1]["session"]) == (10, "2024-03-28")
    assert curve["left_out"] == made["sessions"] - 10
    # An hour later in the replay it is made again or not known: whoever begins here decides as who came all the way.
    next_point = replace(within, snapshot=bars.snapshot(desk.at("2024-04-01", "10:00"), context=context))
    with pytest.raises(UsageError, match="no backtest"):
        ask(next_point, "calculate_metrics", backtest=made["id"])


@pytest.mark.parametrize(
    ("name", "given", "told"),
    [
        ("run_backtest", {**SMA, "end": "2024-04-01"}, "the last session that is over is 2024-03-28"),
        ("run_backtest", {**SMA, "start": "2024-04-01"}, "start was 2024-04-01"),
        ("run_backtest", {**SMA, "end": "2023-01-01"}, "lies before start"),
        ("run_backtest", {**SMA, "start": "soon"}, "not a date"),
        ("run_backtest", {**SMA, "start": "2024-03-28"}, "too few to trade on"),
        ("run_backtest", {**SMA, "strategy": "sma_crss"}, 'did you mean "sma_cross"'),
        ("run_backtest", {**SMA, "strategy": "/etc/hostname.py"}, "no strategy"),
        ("run_backtest", {**SMA, "strategy": "../strategies/sma_cross.py"}, "no strategy"),
        ("run_backtest", {**SMA, "strategy": "macro_council"}, "is no rule"),
        ("run_backtest", {**SMA, "symbols": ["SPX"]}, 'did you mean "SPY"'),
        ("run_backtest", {**SMA, "symbols": []}, "symbols"),
        ("run_backtest", {**SMA, "parameters": {"fst": 5}}, "fst"),
        ("run_backtest", {**SMA, "parameters": {"fast": float("nan")}}, "parameters"),
        ("test_parameter_sensitivity", {**SMA, "sweep": {"fast": [5]}}, "1 combinations"),
        ("test_parameter_sensitivity", {**SMA, "sweep": {"fast": [*range(2, 40)], "slow": [*range(50, 90)]}}, "1520"),
        ("test_parameter_sensitivity", {**SMA, "sweep": {"fast": [5, 9]}, "parameters": {"fast": 5}}, "under sweep"),
        ("test_parameter_sensitivity", {**SMA, "sweep": {"fst": [5, 9]}}, "every member failed"),
        ("compare_strategies", {"backtests": ["a", "a"]}, "named twice"),
        ("compare_strategies", {"backtests": ["a"]}, "backtests"),
        ("compare_strategies", {"backtests": ["a", "b"]}, 'no backtest "a"'),
        ("calculate_metrics", {}, "no session behind it"),
        ("generate_equity_curve", {"points": 1}, "points"),
    ],
)
def test_what_cannot_be_made_is_refused_with_the_reason(within, name, given, told):
    with pytest.raises(SimError, match=told):
        ask(within, name, **given)


def test_without_anybody_who_makes_backtests_the_tools_say_who_would(desk):
    state = desk.state(desk.at("2024-03-20"), desk.bars("2024-01-02", "2024-03-28"))
    with pytest.raises(ToolError, match="sim mcp backtest"):
        ask(state, "run_backtest", **{**SMA, "start": "2024-01-03"})


@pytest.mark.medium
def test_progress_is_told_and_whoever_hears_it_can_end_the_work(place, within):
    heard = []
    ask(replace(within, report=lambda *now: heard.append(now)), "run_backtest", **SMA)
    assert heard[-1][0] == heard[-1][1] > 40

    def stop(done, _total, _what):
        if done >= 3:
            raise KeyboardInterrupt

    for backtester in (within.backtester, make_backtester(place)):
        for name, more in (("run_backtest", {}), ("test_parameter_sensitivity", {"sweep": GRID})):
            with pytest.raises(KeyboardInterrupt):
                ask(replace(within, backtester=backtester, report=stop), name, **SMA, **more)
    # A run that was ended is none; members of a sweep that were to be seen count, also where nobody concluded.
    assert [str(row["folder"])[:16] for row in list_runs(place)] == ["sweep-sma_cross-"]


def made_of(desk, results, equity, p=0.01):
    """A backtest of so many closed trades, with such equity."""
    trips = [desk.trip("AAA", "2024-03-01", "2024-03-12", pnl) for pnl in results]
    days = tuple(date.fromordinal(738_000 + n) for n in range(len(equity)))
    metrics = {"sharpe": 1.2, "max_drawdown": -0.05, "cvar_95": -0.015, "total_return": 0.1}
    wanted = Wanted("rule", ("AAA",), days[0], days[-1])
    return Backtest("x", False, wanted, equity[0], days, np.array(equity), trips, metrics, {}, p, 1.0, "so")


def test_checks_grade_and_risk_of_a_backtest_by_hand(desk):
    told = judge(made_of(desk, [3.0, -1.0] * 15, [100.0] * 60))
    assert (told.trades, told.win_rate, told.profit_factor) == (30, 0.5, 3.0)
    assert all(told.checks.values())
    assert told.ready
    assert told.grade == "GOOD"  # half of them won: not more
    # 5 % of 20 %, 1.5 % of 3 %, p 0.01, a fifteenth of the profit
    assert told.risk_score == pytest.approx((25 + 50 + 1 + 100 / 15) / 4)
    assert told.risk_class == "LOW"


@pytest.mark.parametrize(
    ("results", "sessions", "p", "missed"),
    [
        ([3.0, -1.0] * 14 + [3.0], 60, 0.01, "30 trades or more"),
        ([3.0, -1.0] * 15, 60, 0.05, "p below 0.05"),
        ([3.0, -1.0] * 15, 60, None, "p below 0.05"),
        ([3.0, -1.0, 3.0, -1.0, -1.0] * 6, 60, 0.01, "win rate above 40%"),
        ([3.0, -1.0] * 15, 59, 0.01, "Sharpe above 0.5"),  # of 59 sessions there is none
    ],
)
def test_each_check_at_its_edge(desk, results, sessions, p, missed):
    told = judge(made_of(desk, results, [100.0] * sessions, p))
    assert [name for name, met in told.checks.items() if not met] == [missed]
    assert not told.ready


def test_a_risk_that_is_not_known_is_no_low_one(desk):
    told = judge(made_of(desk, [-1.0] * 30, [100.0] * 60))
    assert (told.risk_score, told.risk_class, told.ready) == (None, None, False)
    assert told.reasons["best_trade_share"] == "no trade won"
    never = judge(made_of(desk, [1.0] * 30, [100.0] * 60))
    assert (never.profit_factor, never.reasons["profit_factor"], never.grade) == (None, "no trade lost", "EXCELLENT")


def test_the_account_has_figures_and_a_curve_of_its_own(desk):
    days = [date.fromordinal(738_000 + n) for n in range(5)]
    equity = [*zip(days, (100.0, 110.0, 99.0, 105.0, 120.0), strict=True)]
    trips = [desk.trip("AAA", "2024-03-01", "2024-03-12", 5.0), desk.trip("AAA", "2024-03-13", None, -9.0)]
    state = desk.state(desk.at("2024-03-20"), desk.bars("2024-01-02", "2024-03-28"), equity=equity, trips=trips)
    told = ask(state, "calculate_metrics")
    assert (told["id"], told["trades"], told["win_rate"], told["sharpe"]) == (None, 1, 1.0, None)
    assert told["total_return"] == pytest.approx(0.2)
    assert told["profit_dollars"] == 20.0
    curve = ask(state, "generate_equity_curve", points=3)
    assert [point["equity"] for point in curve["points"]] == [100.0, 99.0, 120.0]
    assert (curve["points"][1]["drawdown"], curve["left_out"]) == (pytest.approx(0.1), 2)


@pytest.fixture(scope="module")
def walks(desk):
    return desk.bars("2024-01-02", "2024-07-31")


@settings(max_examples=12)
@given(data=st.data())
def test_no_backtest_tool_tells_of_anything_after_now(desk, walks, data):
    now = desk.at("2024-03-01", "00:00") + timedelta(minutes=data.draw(st.integers(0, 60 * 24 * 150), "minutes"))
    known = int(np.searchsorted(walks.closes_at, instant(now), side="right"))
    later = {
        name: np.concatenate([getattr(walks, name)[:known], getattr(walks, name)[known:] * 3.7]) for name in NUMBERS
    }
    symbols = data.draw(st.lists(st.sampled_from(["AAA", "BBB", "SPY", "LATE", "NOPE"]), min_size=1, max_size=3))
    day = st.dates(date(2024, 1, 3), date(2024, 8, 30)).map(str)
    wanted = {"strategy": "sma_cross", "symbols": symbols, "start": data.draw(day, "start")}
    wanted["end"] = data.draw(st.none() | day, "end")
    points = data.draw(st.integers(2, 1000), "points")
    told = []
    for bars in (walks, replace(walks, **later)):
        account = [(date(2024, 1, 2), 1e5), (date(2024, 1, 3), 1.01e5)]
        within = BacktesterWithin(SHIPPED.parent, load_config(SHIPPED.parents[1] / "config"))
        state = desk.state(now, bars, {"AAA": 10.0}, equity=account, backtester=within)
        made = answered(state, "run_backtest", **wanted, parameters={"fast": 3, "slow": 8})
        swept = answered(state, "test_parameter_sensitivity", **wanted, sweep={"fast": [3, 5]}, parameters={"slow": 8})
        other = answered(state, "run_backtest", **{**wanted, "strategy": "equal_weight"})
        ids = [one.get("id", "none") for one in (made, other)]
        read = [answered(state, "compare_strategies", backtests=ids)]
        for name in (ids[0], None):
            read += [answered(state, "calculate_metrics", backtest=name)]
            read += [answered(state, "generate_equity_curve", backtest=name, points=points)]
        told.append([made, swept, other, *read])
    assert told[0] == told[1]
    dates = re.findall(r'"(20\d\d-\d\d-\d\d)', json.dumps(told[0]))
    assert all(date.fromisoformat(one) <= now.date() for one in dates)


def answered(state, name, **given):
    """Answer of a tool, or why there is none."""
    try:
        return ask(state, name, **given)
    except SimError as error:
        return {"refused": str(error).split("\n")[0] if "by now" in str(error) else type(error).__name__}
