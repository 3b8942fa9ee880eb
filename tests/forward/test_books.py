"""Own books: from the fills alone they are what a replay's ledger has, accruals among them."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, datetime

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simulator.errors import DataError
from simulator.forward.books import Books, Split, adjust_for_splits
from simulator.forward.payloads import write_fill
from simulator.forward.project import project
from simulator.forward.status import read_positions
from simulator.market.bars import Bars, instant, moment
from simulator.market.calendar import NEW_YORK
from simulator.rehearsal.parity import cash_of
from simulator.store.events import Event, Stored
from simulator.trading.execution import ExecutionRules
from simulator.trading.fills import Account, Order, on_bar, submit
from simulator.trading.model import BrokerFill

HOUR = 3_600_000_000_000
DAYS = np.arange(19_877, 19_882)
RULES = ExecutionRules(slippage_bps=3.0, borrow_rate=0.04, cash_interest=0.05, margin_spread=0.02)


def _bars(seed: int, per_day: int = 1) -> Bars:
    luck = np.random.default_rng(seed)
    session_of = np.repeat(DAYS, per_day)
    step = 13 * HOUR // 2 // per_day
    opens = session_of * 24 * HOUR + 13 * HOUR + HOUR // 2 + np.tile(np.arange(per_day), len(DAYS)) * step
    close = 100.0 * np.cumprod(1.0 + luck.normal(0.0, 0.02, (len(opens), 2)), axis=0)
    o = close * (1.0 + luck.normal(0.0, 0.005, close.shape))
    high, low = np.maximum(o, close) * 1.004, np.minimum(o, close) * 0.996
    paid = np.where(luck.random(close.shape) < 0.2, luck.random(close.shape), 0.0)
    return Bars(("A", "B"), opens, opens + step, o, high, low, close, close, paid, session_of, ("x", "x"))


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from([1, 3]), st.data())
def test_books_from_fills_are_the_ledger_of_a_replay(seed: int, per_day: int, data: st.DataObject) -> None:
    bars = _bars(seed, per_day)
    account, fills = Account.open(100_000.0, {"A": 100.0, "B": 100.0}), list[BrokerFill]()
    cash, equity = [], []
    for t in range(len(bars)):
        for symbol in ("A", "B"):
            if data.draw(st.booleans()):
                shares = float(data.draw(st.integers(-300, 300)))
                stop = data.draw(st.sampled_from([None, 0.99, 1.01]))
                price = None if stop is None else float(bars.open[t, bars.column(symbol)]) * stop
                submit(account, Order(len(fills), symbol, int(bars.opens_at[t]) - 1, shares, stop=price))
        row = [tuple(float(one[t, n]) for one in _columns(bars)) for n in range(2)]
        starts, ends = t % per_day == 0, (t + 1) % per_day == 0
        done = on_bar(account, row, int(bars.opens_at[t]), starts / 252, RULES, 0.0 if ends else None)  # type: ignore[arg-type]
        for fill in done.fills:
            paid = fill.price + fill.slippage / fill.quantity
            fills.append(BrokerFill(f"{len(fills)}", "own", fill.symbol, fill.at, fill.quantity, paid))
        cash.append(account.cash)
        equity.append(account.equity)
    steps = list(Books(100_000.0, {"A": 100.0, "B": 100.0}, RULES).by_bar(bars, fills))
    assert len(steps) == len(bars) + 1
    own = Books(100_000.0, {"A": 100.0, "B": 100.0}, RULES).at(bars, fills)
    assert own.cash == pytest.approx(cash[-1], rel=1e-12, abs=1e-7)
    assert own.equity == pytest.approx(equity[-1], rel=1e-12, abs=1e-7)
    booked = sum(one.interest + one.dividends + one.borrow for one in steps)
    assert own.cash - 100_000.0 + sum(one.quantity * one.price for one in fills) == pytest.approx(booked, abs=1e-6)


def _columns(bars: Bars) -> tuple[np.ndarray, ...]:
    return bars.open, bars.high, bars.low, bars.close, bars.dividend


def test_over_a_split_books_keep_their_worth() -> None:
    bars = _bars(1)
    prices = {name: getattr(bars, name).copy() for name in ("open", "high", "low", "close")}
    for values in prices.values():
        values[3:, 0] /= 7.0
    raw = replace(bars, **prices, dividend=bars.dividend * 0.0)
    bought = [BrokerFill("1", "own", "A", int(bars.opens_at[0]), 100.0, 100.0)]
    split = [Split("A", date(2024, 6, 6), 7.0)]
    books = Books(100_000.0, {"A": 100.0, "B": 100.0}, ExecutionRules())
    whole, split_up = books.at(replace(bars, dividend=bars.dividend * 0.0), bought), books.at(raw, bought, (), split)
    assert split_up.positions == {"A": 700.0}
    assert split_up.equity == pytest.approx(whole.equity, rel=1e-12)
    morning = books.at(raw.rows(0, 3), bought, (), split, date(2024, 6, 6))
    assert morning.equity == pytest.approx(books.at(raw.rows(0, 3), bought).equity, rel=1e-12)
    assert morning.positions == {"A": 700.0}
    as_of = moment(int(bars.closes_at[-1]))
    sold = [*bought, BrokerFill("2", "own", "A", int(bars.opens_at[3]), -300.0, 100.0 / 7.0, "stop")]
    always = [replace(sold[0], quantity=700.0, price=100.0 * (1.0 / 7.0)), sold[1]]
    (trip,), (due,) = (
        books.past(one, fills, as_of, told).trips
        for one, fills, told in ((raw, sold, split), (adjust_for_splits(raw, split), always, []))
    )
    assert trip == due, "a round trip is told in new shares, whatever was paid for old ones"
    assert books.past(raw, sold, as_of, split).splits == {"A": 7.0}


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from([1, 3]), st.data())
def test_books_at_each_decision_in_one_pass_are_those_of_each_alone(
    seed: int, per_day: int, data: st.DataObject
) -> None:
    bars, symbols = _bars(seed, per_day), ["A", "B", *(["XYZ"] if seed % 5 == 0 else [])]
    books = Books(100_000.0, {"A": 100.0, "B": 90.0}, replace(RULES, commission_bps=5.0))
    split = [Split("A", date(2024, 6, 5), 7.0)]
    told, known = list[BrokerFill](), list[tuple[int, list[BrokerFill], date]]()
    for n in range(8):
        after = data.draw(st.integers(0, len(bars)))
        at = int(bars.opens_at[after]) if after < len(bars) else int(bars.closes_at[-1]) + 1
        shares = float(data.draw(st.integers(1, 50)))
        told.append(BrokerFill(str(n), str(n // 2), data.draw(st.sampled_from(symbols)), at, shares, 100.0))
    for count in sorted(data.draw(st.lists(st.integers(0, len(bars)), min_size=4, max_size=4))):
        so_far = told[: data.draw(st.integers(len(known[-1][1]) if known else 0, len(told)))]
        day = date.fromordinal(719_163 + int(bars.session_of[min(count, len(bars) - 1)]))
        known.append((count, sorted(so_far, key=lambda one: (one.at, one.id)), day))
    for (count, fills, day), book in zip(known, books.at_each(bars, known, split), strict=True):
        alone = books.at(bars.rows(0, count), fills, (), split, day)
        assert (book.cash, book.equity) == pytest.approx((alone.cash, alone.equity), rel=1e-12)
        assert (book.positions, book.marks) == (alone.positions, alone.marks)


def test_a_part_of_a_share_that_was_paid_out_after_a_split_ends_its_round_trip() -> None:
    bars = _bars(2)
    raw = adjust_for_splits(bars, [Split("A", date(2024, 6, 4), 2.0)])  # of which two become one then
    split, books = [Split("A", date(2024, 6, 4), 0.5)], Books(100_000.0, {"A": 100.0, "B": 100.0}, ExecutionRules())
    fills = [
        BrokerFill(str(n), "own", "A", int(bars.opens_at[t]), shares, float(raw.open[t, 0]))
        for n, (t, shares) in enumerate([(0, 33.0), (2, -16.0), (3, 20.0)])
    ]
    as_of = moment(int(bars.closes_at[-1]))
    first, second = books.past(raw, fills, as_of, split, {"A": 20.0}).trips
    assert (first.quantity, first.exit_at, second.entry_at) == (16.5, fills[1].at, fills[2].at)
    assert (second.quantity, second.entry_price) == (20.0, fills[2].price)
    (whole,) = books.past(raw, fills, as_of, split, {"A": 20.5}).trips
    assert whole.quantity == 36.5, "one that is held still belongs to what it was bought with"


def test_fills_of_symbols_that_are_not_traded_are_in_the_books() -> None:
    bars = _bars(2)
    foreign = [BrokerFill("1", "", "XYZ", int(bars.opens_at[1]), 10.0, 20.0)]
    book = Books(1_000.0, {}, ExecutionRules()).at(bars, foreign)
    assert (book.cash, book.positions, book.equity) == (800.0, {"XYZ": 10.0}, 1_000.0)


def test_what_an_account_held_when_a_test_began_is_in_every_reading_of_its_record() -> None:
    opening = {"COUNCIL": {"number": "PA1", "cash": 400.0, "equity": 1_400.0, "positions": {"A": 10.0}}}
    told = [
        Event("forward.started", "2024-06-03T20:00:00-04:00", None, {"opening": opening}),
        Event(
            "forward.split", "2024-06-04T08:30:00-04:00", None, {"symbol": "A", "session": "2024-06-04", "ratio": 2.0}
        ),
    ]
    stored = [Stored(n + 1, "0123456789", "", "2024-06-04T12:30:00+00:00", one) for n, one in enumerate(told)]
    assert read_positions("COUNCIL", stored) == {"A": 20.0}
    bought = BrokerFill("f", "", "A", instant(datetime(2024, 6, 4, 10, tzinfo=NEW_YORK)), 1.0, 50.0)
    fill = Event("forward.fill", "2024-06-04T10:00:00-04:00", "COUNCIL", write_fill(bought))
    late = [Stored(n, "0123456789", "", "", one) for n, one in enumerate((told[0], fill, told[1]), 1)]
    assert read_positions("COUNCIL", late) == {"A": 21.0}, "bought after the split, which was told later"
    assert project("0123456789", stored).cash == {"COUNCIL": 1_400.0}
    assert Books(400.0, {"A": 100.0}, RULES, {"A": 10.0}).equity == 1_400.0
    with pytest.raises(DataError, match="COUNCIL held A before the test"):
        cash_of(told)
