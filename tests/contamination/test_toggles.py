"""The same tape filled at next open, same close and same open, against positions worked out by hand."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, datetime

import numpy as np
import pytest

from simulator.analysis.toggles import execution_toggles, replay_toggles, with_closing_auctions
from simulator.market.bars import Bars, instant
from simulator.market.calendar import NEW_YORK
from simulator.market.sources.synthetic import synthetic_bars
from simulator.replay.inputs import ReplayInputs
from simulator.replay.tape import Tape
from simulator.trading.execution import ExecutionRules

CASH = 100_000.0
FREE_OF_COSTS = ExecutionRules(min_trade=0.0)


def scene_of(bars: Bars, start: int) -> ReplayInputs:
    days = bars.dates[start:]
    instants = [
        instant(datetime.combine(day.astype(date), datetime.min.time().replace(hour=8), NEW_YORK)) for day in days
    ]
    return ReplayInputs(bars, bars.select(()), start, np.array(instants, dtype=np.int64))


@pytest.fixture(scope="module")
def bars() -> Bars:
    return synthetic_bars(("AAA",), date(2023, 1, 3), date(2023, 6, 30), seed=7)


def tape_of(inputs: ReplayInputs, weights: np.ndarray, stop: float = np.nan) -> Tape:
    cells = weights[:, None]
    nothing = np.full_like(cells, np.nan)
    return Tape(inputs.instants, inputs.bars.symbols, cells, nothing, np.full_like(cells, stop), nothing)


def test_each_toggle_earns_what_its_fill_moment_earns(bars: Bars) -> None:
    start = 20
    inputs = scene_of(bars, start)
    weights = np.where(np.arange(len(inputs.instants)) % 2 == 0, 1.0, 0.0)
    opened, close = bars.open[:, 0], bars.close[:, 0]
    made = {one.name: one.returns for one in replay_toggles(inputs, tape_of(inputs, weights), FREE_OF_COSTS, CASH)}
    days = range(start, len(bars))
    held = {day: weights[day - start] for day in days}
    held[len(bars)] = held[start - 1] = 0.0

    def before(day: int) -> float:
        return held.get(day - 1, 0.0)

    overnight, within = (lambda d: opened[d] / close[d - 1]), (lambda d: close[d] / opened[d])
    expected = {
        "next open": [(overnight(d) if before(d) else 1) * (within(d) if held[d] else 1) - 1 for d in days],
        "same close": [(close[d] / close[d - 1] if held[d] else 1) - 1 for d in days],
        "same open": [(overnight(d) if held[d] else 1) * (within(d) if held[d + 1] else 1) - 1 for d in days],
    }
    for name, values in expected.items():
        assert made[name] == pytest.approx(values, abs=1e-9), name


def test_the_default_is_the_run_and_the_others_say_that_they_look_ahead(bars: Bars) -> None:
    inputs = scene_of(bars, 20)
    weights = np.where(np.arange(len(inputs.instants)) % 3 == 0, 1.0, 0.2)
    rules = ExecutionRules(slippage_bps=5, cash_interest=0.03)
    rows = execution_toggles(inputs, tape_of(inputs, weights), rules, CASH, np.zeros(len(inputs.instants)))
    assert [(row["name"], row["default"], row["looks_ahead"]) for row in rows] == [
        ("next open", True, False),
        ("same close", False, True),
        ("same open", False, True),
        ("limit passed", False, False),
    ]
    from simulator.replay.kernel import replay_tape

    equity = replay_tape(inputs.traded, tape_of(inputs, weights), rules, CASH, inputs.opening_marks).equity
    assert rows[0]["metrics"]["total_return"] == pytest.approx(equity[-1] / CASH - 1, rel=1e-12)
    assert rows[0]["sharpe_less_default"] == 0.0
    for row in rows:
        assert row["sharpe_ci_low"] < row["metrics"]["sharpe"] < row["sharpe_ci_high"]


def test_who_knows_the_close_beforehand_earns_it_only_with_a_toggle_that_looks_ahead(bars: Bars) -> None:
    inputs = scene_of(bars, 20)
    rose = np.diff(bars.close[:, 0], prepend=np.nan) > 0
    weights = np.where(rose[19:-1], 1.0, 0.0)
    rows = execution_toggles(inputs, tape_of(inputs, weights), FREE_OF_COSTS, CASH, np.zeros(len(inputs.instants)))
    sharpe = {row["name"]: row["metrics"]["sharpe"] for row in rows}
    assert sharpe["same open"] > sharpe["next open"] + 3


def test_a_gap_through_a_stop_is_paid_at_the_open_whenever_the_position_was_entered(bars: Bars) -> None:
    values = {name: getattr(bars, name).copy() for name in ("open", "high", "low", "close")}
    for name in values:
        values[name][:30] = 100.0
        values[name][30:] = 80.0
    gap = replace(bars, **values)
    inputs = scene_of(gap, 20)
    weights = np.where(np.arange(len(inputs.instants)) == 5, 1.0, np.nan)
    made = {
        one.name: one.returns
        for one in replay_toggles(inputs, tape_of(inputs, weights, stop=95.0), FREE_OF_COSTS, CASH)
    }
    for name, returns in made.items():
        assert np.prod(1 + returns) - 1 == pytest.approx(-0.2), name


def test_what_limits_earn_by_being_touched_only_is_shown(bars: Bars) -> None:
    inputs = scene_of(bars, 20)
    weights = np.where(np.arange(len(inputs.instants)) % 5 == 0, 1.0, np.nan)
    tape = tape_of(inputs, weights)
    touched = inputs.traded.low[::5][: len(weights[::5])]
    limit = np.full(tape.weight.shape, np.nan)
    limit[::5, 0] = touched[:, 0]
    rules = replace(FREE_OF_COSTS, limit_through=True)
    rows = execution_toggles(inputs, replace(tape, limit=limit), rules, CASH, np.zeros(len(inputs.instants)))
    found = {row["name"]: row["total_return_less_default"] for row in rows}
    assert found["limit touched"] > 0.01


def test_closing_auctions_hold_every_close_once_and_leave_gaps_alone(bars: Bars) -> None:
    closes = bars.close.copy()
    closes[3] = np.nan
    woven = with_closing_auctions(replace(bars, close=closes))
    assert len(woven) == 2 * len(bars)
    assert (np.diff(woven.opens_at) > 0).all()
    assert (np.diff(woven.closes_at) > 0).all()
    np.testing.assert_array_equal(woven.open[1::2], closes)
    np.testing.assert_array_equal(woven.open[::2], bars.open)
    np.testing.assert_array_equal(woven.session_of[1::2], bars.session_of)
