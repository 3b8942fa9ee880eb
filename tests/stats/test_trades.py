"""Closed trades by average cost, and their statistics."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simulator.errors import DataError
from simulator.stats.trades import closed_trades, trade_statistics


def fills(*rows):
    """(quantity, price, cost) of one symbol at times 0, 1, 2 …"""
    q, p, c = zip(*rows, strict=True)
    return closed_trades([0] * len(rows), range(len(rows)), q, p, c)


def test_statistics_agree_with_the_definitions(table, expected):
    net, want = table("trades_open")["net_pnl"], expected("trades")
    got = trade_statistics(net)
    same = {
        "trades": "n",
        "wins": "wins",
        "losses": "losses",
        "scratches": "scratches",
        "hit_rate": "hit_rate_excluding_scratches",
        "profit_factor": "profit_factor",
        "payoff": "payoff_ratio",
        "expectancy": "expectancy_per_trade",
        "gross_profit": "gross_profit",
        "gross_loss": "gross_loss",
        "max_consecutive_losses": "max_consecutive_losses",
    }
    for ours, theirs in same.items():
        assert math.isclose(got[ours], want[theirs], rel_tol=1e-9), ours
    assert math.isclose(got["wins"] / got["trades"], want["hit_rate_all"], rel_tol=1e-9)


def test_a_round_trip_earns_the_difference_less_both_costs():
    t = fills((10, 100.0, 1.0), (-10, 110.0, 1.5))
    assert (t.net.tolist(), t.side.tolist(), t.opened_at.tolist(), t.closed_at.tolist()) == ([97.5], [1], [0], [1])


def test_a_gain_smaller_than_its_costs_is_a_loss():
    t = fills((10, 100.0, 6.0), (-10, 101.0, 6.0))
    assert t.net.tolist() == [-2.0]
    assert trade_statistics(t.net)["hit_rate"] == 0.0


def test_a_partial_close_carries_its_share_of_the_entry_cost():
    t = fills((10, 100.0, 2.0), (-4, 110.0, 0.5), (-6, 90.0, 0.5))
    assert np.allclose(t.costs, [0.4 * 2 + 0.5, 0.6 * 2 + 0.5])
    assert np.allclose(t.net, [40 - 1.3, -60 - 1.7])


def test_a_round_trip_counts_once_however_often_slivers_of_it_are_closed():
    """Restored weights close a little of a winner each week: nine gains in ten by fills, one loss by round trips."""
    slivers = [(-1, 101.0, 0.0)] * 9
    t = fills((100, 100.0, 0.0), *slivers, (-91, 90.0, 0.0))
    assert trade_statistics(t.net)["hit_rate"] == 0.9
    assert t.round_trips().tolist() == [9.0 - 910.0]


def test_a_flip_ends_a_round_trip_and_an_open_position_is_none():
    t = fills((10, 100.0, 0.0), (-15, 110.0, 0.0), (2, 100.0, 0.0))
    assert t.flat.tolist() == [True, False]
    assert t.round_trips().tolist() == [100.0]


def test_the_entry_price_is_the_average_of_what_is_held():
    t = fills((10, 100.0, 0.0), (30, 120.0, 0.0), (-20, 120.0, 0.0), (-20, 120.0, 0.0))
    assert np.allclose(t.entry_price, [115.0, 115.0])
    assert t.opened_at.tolist() == [0, 0]


def test_splitting_the_entry_changes_neither_the_number_nor_the_profit_of_trades():
    whole = fills((30, 100.0, 3.0), (-30, 104.0, 1.0))
    parts = fills((10, 100.0, 1.0), (10, 100.0, 1.0), (10, 100.0, 1.0), (-30, 104.0, 1.0))
    assert parts.net.size == whole.net.size == 1
    assert np.allclose(parts.net, whole.net)


def test_a_short_earns_when_the_price_falls():
    t = fills((-10, 50.0, 1.0), (10, 40.0, 1.0))
    assert (t.side.tolist(), t.net.tolist()) == ([-1], [98.0])


def test_a_flip_closes_one_trade_and_opens_the_next_at_the_same_price():
    t = fills((10, 100.0, 1.0), (-30, 110.0, 3.0), (20, 105.0, 2.0))
    assert t.side.tolist() == [1, -1]
    assert np.allclose(t.net, [100 - 1 - 1, 100 - 2 - 2])
    assert t.opened_at.tolist() == [0, 1]


def test_fractions_that_do_not_cancel_exactly_still_close_the_position():
    t = fills((0.1, 10.0, 0.0), (0.2, 10.0, 0.0), (-0.3, 11.0, 0.0), (5.0, 20.0, 0.0), (-5.0, 21.0, 0.0))
    assert np.allclose(t.net, [0.3, 5.0])
    assert t.opened_at.tolist() == [0, 3]


def test_symbols_do_not_mix_and_open_positions_are_not_trades():
    t = closed_trades([0, 1, 0, 1], [0, 0, 1, 1], [1, 1, -1, 1], [10, 20, 12, 30], [0, 0, 0, 0])
    assert (t.symbol.tolist(), t.net.tolist()) == ([0], [2.0])


def test_no_fills_are_no_trades_and_no_statistic_is_made_up():
    t = closed_trades([], [], [], [], [])
    s = trade_statistics(t.net)
    assert s["trades"] == 0.0
    assert all(s[k].reason == "no trade was closed" for k in ("hit_rate", "profit_factor", "payoff", "expectancy"))


def test_one_winning_trade_has_no_profit_factor():
    s = trade_statistics([5.0])
    assert (s["hit_rate"], s["expectancy"]) == (1.0, 5.0)
    assert s["profit_factor"].reason == s["payoff"].reason == "no trade lost"


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ((0.0, 10.0, 0.0), "fill 1 has quantity 0"),
        ((1.0, 0.0, 0.0), "fill 1 has price 0.0"),
        ((np.nan, 10.0, 0.0), "quantities holds nan at position 1"),
        ((1.0, 10.0, np.inf), "costs holds inf at position 1"),
    ],
)
def test_a_fill_that_cannot_be_is_named(row, message):
    with pytest.raises(DataError, match=message):
        fills((1.0, 10.0, 0.0), row)


def test_fills_out_of_order_are_refused():
    with pytest.raises(DataError, match="fill 2 is earlier"):
        closed_trades([0, 1, 0], [5, 1, 4], [1, 1, -1], [1, 1, 1], [0, 0, 0])
    with pytest.raises(DataError, match="2 symbols, 1 times"):
        closed_trades([0, 1], [5], [1, 1], [1, 1], [0, 0])


fill = st.tuples(
    st.integers(0, 2),
    st.integers(-40, 40).filter(bool),
    st.integers(100, 20_000),
    st.integers(0, 500),
)


@pytest.mark.medium
@settings(max_examples=200, deadline=None)
@given(st.lists(fill, min_size=1, max_size=40))
def test_when_everything_is_sold_trades_add_up_to_the_cash_made(rows):
    symbol, quantity, price, cost = (list(column) for column in zip(*rows, strict=True))
    for code in range(3):
        left = sum(q for s, q in zip(symbol, quantity, strict=True) if s == code)
        if left:
            symbol.append(code), quantity.append(-left), price.append(777), cost.append(3)
    t = closed_trades(symbol, range(len(symbol)), quantity, price, cost)
    cash = -sum(q * p + c for q, p, c in zip(quantity, price, cost, strict=True))
    assert math.isclose(t.net.sum(), cash, rel_tol=1e-9, abs_tol=1e-6)
    assert math.isclose(t.round_trips().sum(), cash, rel_tol=1e-9, abs_tol=1e-6)
    assert (t.quantity > 0).all()
