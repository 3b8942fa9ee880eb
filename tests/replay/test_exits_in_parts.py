"""Exits in parts, worked out by hand, on both engines."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from simulator.trading.execution import ExecutionRules

RULES = ExecutionRules(slippage_bps=0.0, whole_shares=True, limit_through=False, min_trade=0.0)
FLAT = (100.0, 101.0, 99.0, 100.0)


def played(replay, bars_of, tape_of, *rows, rules=RULES, weight=0.0101, exits=((0.5, 110.0),), stop=90.0, take=120.0):
    """Fills of a position of 101 shares that is bought on the second bar."""
    bars = bars_of({"A": [FLAT, FLAT, *rows]})
    tape = tape_of(bars, (1, {"A": (weight, np.nan, stop, take)}))
    given = np.full((1, 1, len(exits), 2), np.nan)
    given[0, 0] = exits
    ledger = replay(bars, replace(tape, exits=given), rules, 1e6)
    return [(fill.quantity, fill.price, fill.why) for fill in ledger.fills]


@pytest.mark.parametrize(
    ("rows", "found"),
    [
        ([(105.0, 111.0, 104.0, 106.0)], [(-50.0, 110.0, "take_profit")]),
        ([(112.0, 113.0, 111.0, 112.0)], [(-50.0, 112.0, "take_profit")]),
        ([(105.0, 121.0, 104.0, 120.0)], [(-50.0, 110.0, "take_profit"), (-51.0, 120.0, "take_profit")]),
        ([(112.0, 121.0, 111.0, 120.0)], [(-50.0, 112.0, "take_profit"), (-51.0, 120.0, "take_profit")]),
        ([(105.0, 121.0, 89.0, 100.0)], [(-101.0, 90.0, "stop")]),
        ([(112.0, 121.0, 89.0, 100.0)], [(-50.0, 112.0, "take_profit"), (-51.0, 90.0, "stop")]),
        ([(85.0, 121.0, 80.0, 100.0)], [(-101.0, 85.0, "stop")]),
        ([(105.0, 111.0, 104.0, 106.0), (100.0, 111.0, 89.0, 95.0)],
         [(-50.0, 110.0, "take_profit"), (-51.0, 90.0, "stop")]),
    ],
)  # fmt: skip
def test_profit_is_taken_at_each_price_and_one_stop_closes_what_is_left(replay, bars_of, tape_of, rows, found):
    assert played(replay, bars_of, tape_of, *rows) == [(101.0, 100.0, "open"), *found]


def test_a_short_position_is_the_mirror(replay, bars_of, tape_of):
    short = {"weight": -0.0101, "exits": ((0.5, 90.0),), "stop": 110.0, "take": 80.0}
    found = played(replay, bars_of, tape_of, (95.0, 96.0, 89.0, 92.0), (92.0, 111.0, 91.0, 100.0), **short)
    assert found == [(-101.0, 100.0, "open"), (50.0, 90.0, "take_profit"), (51.0, 110.0, "stop")]


def test_shares_that_add_up_to_one_need_no_take_profit(replay, bars_of, tape_of):
    thirds = {"exits": ((1 / 3, 110.0), (1 / 3, 115.0), (1 / 3, 120.0)), "take": np.nan, "stop": np.nan}
    found = played(replay, bars_of, tape_of, (105.0, 125.0, 104.0, 106.0), **thirds)
    assert [quantity for quantity, _, _ in found] == [101.0, -33.0, -34.0, -34.0]
    assert [price for _, price, _ in found[1:]] == [110.0, 115.0, 120.0]


def test_fractions_of_shares_leave_as_such_and_a_touch_is_no_passing(replay, bars_of, tape_of):
    fractions = ExecutionRules(slippage_bps=10.0, limit_through=True, min_trade=0.0)
    touched = played(replay, bars_of, tape_of, (105.0, 110.0, 104.0, 106.0), rules=fractions)
    assert len(touched) == 1
    (_, (quantity, price, _)) = played(replay, bars_of, tape_of, (105.0, 110.02, 104.0, 106.0), rules=fractions)
    assert (quantity, price) == (-touched[0][0] / 2, 110.0)
