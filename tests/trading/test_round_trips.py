"""Round trips by hand, and against a walk over the bars that knows each price path by its rules."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulator.market.bars import Bars
from simulator.replay.ledger import FILL_COLUMNS, ORDER_COLUMNS, REJECTION_COLUMNS, Ledger
from simulator.stats.trades import closed_trades
from simulator.trading.round_trips import round_trips

DAY = 86_400_000_000_000
AT_OPEN, AT_LIMIT, STOP, TAKE_PROFIT = range(4)
OHLC = [(100, 104, 98, 102), (103, 110, 101, 108), (107, 109, 96, 97), (98, 99, 90, 95), (96, 105, 94, 104)]


def ledger_of(bars: list[tuple[float, ...]], fills: list[tuple[int, float, float, int]], cost: float = 0.0) -> Ledger:
    """Books of one symbol with `fills` (bar, shares, price, why)."""
    n = len(bars)
    prices = np.array(bars, dtype=float)[:, :, None]
    days = np.arange(n, dtype=np.int64)
    columns = (prices[:, k] for k in range(4))
    table = Bars(("X",), days * DAY, days * DAY + 1, *columns, np.ones((n, 1)), np.zeros((n, 1)), days, ("test",))
    rows = np.zeros(len(fills), dtype=FILL_COLUMNS)
    for k, (bar, shares, price, why) in enumerate(fills):
        rows[k] = (k, 0, bar * DAY, shares, price, cost, 0.0, why)
    flat = np.zeros((n, 1))
    empty = [np.zeros(0, dtype=kind) for kind in (ORDER_COLUMNS, REJECTION_COLUMNS)]
    return Ledger(table, flat[:, 0], flat[:, 0], flat, empty[0], rows, empty[1], np.zeros(1))


def one(fills: list[tuple[int, float, float, int]], cost: float = 0.0):
    (trip,) = round_trips(ledger_of(OHLC, fills, cost))
    return trip


def test_bought_and_sold_at_the_open_sees_the_bars_between_whole() -> None:
    trip = one([(0, 10, 100, AT_OPEN), (2, -10, 107, AT_OPEN)], cost=1.0)
    assert (trip.side, trip.quantity, trip.entry_price, trip.exit_price, trip.sessions) == ("long", 10, 100, 107, 2)
    assert (trip.costs, trip.pnl, trip.pnl_fraction) == (2.0, 68.0, 0.068)
    # The low of bar 0 counts, for it filled at its open; of bar 2 only the open does.
    assert (trip.mae, trip.mfe, trip.mae_usd, trip.mfe_usd) == pytest.approx((-0.02, 0.10, -20, 100))


def test_the_bar_of_a_stop_counts_from_its_open_to_the_stop() -> None:
    trip = one([(1, 10, 103, AT_OPEN), (2, -10, 99, STOP)])
    assert trip.ended == "stop"
    assert (trip.mae, trip.mfe) == pytest.approx(((99 - 103) / 103, (110 - 103) / 103))


def test_the_bar_of_a_limit_entry_does_not_count() -> None:
    trip = one([(2, 10, 100, AT_LIMIT), (4, -10, 96, AT_OPEN)])
    assert (trip.mae, trip.mfe) == pytest.approx((-0.10, 0.0))  # bar 3's low; 99 is below what was paid
    within = one([(2, 10, 100, AT_LIMIT), (2, -10, 97, STOP)])
    assert (within.mae, within.mfe, within.sessions) == pytest.approx((-0.03, 0.0, 0))


def test_excursions_are_of_the_entry_price_that_is_printed_and_of_all_dollars_of_the_trade() -> None:
    trip = one([(0, 10, 100, AT_OPEN), (1, 10, 103, AT_OPEN), (3, -10, 98, AT_OPEN), (4, -10, 96, AT_OPEN)])
    assert trip.entry_price == 101.5
    # The low of bar 3 and the high of bar 1, both against 101.5, as P&L % is.
    assert (trip.mae, trip.mfe) == pytest.approx((90 / 101.5 - 1, 110 / 101.5 - 1))
    # Bar 3 at 90: 980 taken, ten left of twenty that cost 2,030. Bar 1 at 110: all twenty.
    assert (trip.mae_usd, trip.mfe_usd) == pytest.approx((980 + 10 * 90 - 2030, 20 * 110 - 2030))
    short = one([(0, -10, 100, AT_OPEN), (1, -10, 103, AT_OPEN), (3, 20, 98, AT_OPEN)])
    assert (short.mae, short.mfe) == pytest.approx((1 - 110 / 101.5, 1 - 96 / 101.5))


def test_a_short_position_fears_highs() -> None:
    trip = one([(0, -10, 100, AT_OPEN), (3, 10, 98, AT_OPEN)])
    assert (trip.side, trip.pnl) == ("short", 20.0)
    assert (trip.mae, trip.mfe) == pytest.approx((-0.10, 0.04))


def test_what_is_still_held_is_worth_its_last_close() -> None:
    trip = one([(3, 10, 98, AT_OPEN)])
    assert (trip.exit_at, trip.exit_price, trip.exit_order, trip.ended) == (None, None, None, "still held")
    assert (trip.pnl, trip.sessions) == (60.0, 1)
    assert (trip.mae, trip.mfe) == pytest.approx(((90 - 98) / 98, (105 - 98) / 98))


def test_a_flip_is_two_round_trips_that_share_its_costs() -> None:
    long, short = round_trips(ledger_of(OHLC, [(0, 10, 100, AT_OPEN), (1, -30, 103, AT_OPEN)], cost=3.0))
    assert (long.side, long.quantity, long.costs, long.pnl) == ("long", 10, 4.0, 26.0)
    assert (short.side, short.quantity, short.costs, short.exit_at) == ("short", 20, 2.0, None)


BARS = st.lists(
    st.tuples(st.floats(90, 110), st.floats(0, 8), st.floats(0, 8), st.floats(-1, 1)).map(
        lambda t: (t[0], t[0] + t[1], t[0] - t[2], t[0] + t[3] * min(t[1], t[2]))
    ),
    min_size=3,
    max_size=12,
)


@pytest.mark.medium
@given(BARS, st.data())
def test_random_trades_agree_with_a_walk_bar_by_bar(bars: list[tuple[float, ...]], data: st.DataObject) -> None:
    fills: list[tuple[int, float, float, int]] = []
    for bar, (opened, high, low, _) in enumerate(bars):
        if data.draw(st.booleans()):
            fills.append((bar, data.draw(st.sampled_from([-7.0, -3.0, 3.0, 7.0])), opened, AT_OPEN))
        if data.draw(st.integers(0, 3)) == 0 and high > low:
            price = low + (high - low) * data.draw(st.sampled_from([0.25, 0.75]))
            fills.append((bar, data.draw(st.sampled_from([-4.0, 4.0])), price, AT_LIMIT))
    trips = round_trips(ledger_of(bars, fills, cost=0.5))
    if fills:
        columns = [np.array(column) for column in zip(*fills, strict=True)]
        zeros, costs = np.zeros(len(fills), int), np.full(len(fills), 0.5)
        earned = closed_trades(zeros, columns[0], columns[1], columns[2], costs).round_trips()
        assert [trip.pnl for trip in trips if trip.exit_at is not None] == pytest.approx(list(earned), abs=1e-6)
    assert all(trip.mae <= 0 <= trip.mfe and math.isfinite(trip.mae_usd) for trip in trips)
    simple = [trip for trip in trips if trip.exit_at is not None and fills_of(trip, fills) == 2]
    for trip in simple:
        worst, best = walk(bars, fills, trip)
        assert (trip.mae, trip.mfe) == pytest.approx((worst, best), abs=1e-12)
        dollars = trip.quantity * trip.entry_price
        assert (trip.mae_usd, trip.mfe_usd) == pytest.approx((worst * dollars, best * dollars), abs=1e-8)


def fills_of(trip, fills) -> int:
    return trip.exit_order - trip.entry_order + 1 if fills[trip.entry_order][1] == -fills[trip.exit_order][1] else 0


def walk(bars, fills, trip) -> tuple[float, float]:
    """Worst and best price of a round trip of two fills, from the rules as they are written in `RoundTrip`."""
    (first, _, paid, _), (last, _, got, _) = fills[trip.entry_order], fills[trip.exit_order]
    side = 1 if trip.side == "long" else -1
    seen = [paid, got]
    for bar in range(first, last + 1):
        opened, high, low, _ = bars[bar]
        if bar == last:
            seen += [] if bar == first and paid != opened else [opened]
        elif bar > first or paid == opened:
            seen += [high, low]
    moves = [side * (price - paid) / paid for price in seen]
    return min(0.0, *moves), max(0.0, *moves)
