"""Positions between entry and exit, on a market made by hand."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, datetime

import numpy as np
import pytest

from simulator.desk.formulas import read_technicals
from simulator.desk.holding import Kept, keep, protect
from simulator.desk.records import HeldRecord, PlanRecord
from simulator.desk.screening import at_price, propose
from simulator.desk.state import DeskState
from simulator.market.bars import Bars, moment
from simulator.market.calendar import NEW_YORK, sessions
from simulator.trading.model import Book, RoundTrip

ON = sessions(date(2024, 1, 2), date(2024, 3, 1))


def state_at(close: float, shares: float = 10.0) -> DeskState:
    """A position of A, entered at 100 at the open of the last session, whose bar closed at `close`; ATR about 2."""
    closes = np.full((len(ON), 1), 100.0)
    closes[-1] = close
    columns = (np.full_like(closes, 100.0), closes + 1.0, closes - 1.0, closes, np.full_like(closes, 1e6))
    days = ON.session_of
    bars = Bars(("A",), ON.opens_at, ON.closes_at, *columns, np.zeros_like(closes), days, ("test",))
    trip = RoundTrip(
        "A", "long", int(ON.opens_at[-1]), None, 10.0, 100.0, None, 0.0, 0.0, 0.0, 0, 0, 0, 0, 0, 1, None, "still held"
    )
    book = Book(9_000.0, {"A": shares}, {"A": close}, 9_000.0 + shares * close)
    return DeskState(bars.snapshot(moment(int(ON.closes_at[-1]))), book, trips=(trip,))


def held(stop: float = 97.0) -> HeldRecord:
    return {"entry": 100.0, "shares": 10.0, "first_stop": 97.0, "stop": stop, "targets": [104.5, 107.5]}


@pytest.mark.parametrize(
    ("close", "stop", "part", "words"),
    [
        (102.0, 97.0, None, ""),
        (103.0, 100.0, 1.0, "one risk of profit"),
        (104.6, 100.3, 1.0, "after the first target"),
        (107.2, 97.0, 0.0, "near its second target"),
        (96.0, 97.0, 0.0, "not above its stop"),
    ],
)
def test_stops_follow_and_what_is_near_its_second_target_is_left(
    close: float, stop: float, part: float | None, words: str
) -> None:
    state = state_at(close)
    kept = keep(state, {"A": held()}, (), sells=True)
    if part is None:
        assert (kept.targets, kept.moves) == ((), ())
        return
    (target,), (move,) = kept.targets, kept.moves
    assert words in move
    assert target.weight == pytest.approx(part * state.book.weight("A"))
    if part:
        assert target.stop == kept.held["A"]["stop"] == pytest.approx(stop, abs=0.5)
        assert (target.exits, target.take_profit) == (((0.5, 104.5),), 107.5)


def test_half_leaves_at_the_first_target_once() -> None:
    (whole,) = keep(state_at(103.0), {"A": held()}, (), sells=True).targets
    (left,) = keep(state_at(103.0, shares=5.0), {"A": held()}, (), sells=True).targets
    assert (whole.exits, left.exits) == (((0.5, 104.5),), ())
    found = keep(state_at(101.0, shares=5.0), {}, (), sells=False)  # it was reached on the day of the entry
    assert (found.held["A"]["shares"], found.targets[0].exits) == (10.0, ())


def test_a_part_of_a_share_that_is_paid_out_is_no_first_target() -> None:
    (target,) = keep(state_at(103.0), {"A": held() | {"shares": 10.5}}, (), sells=True).targets
    assert target.exits == ((0.5, 104.5),)


def test_a_stop_that_has_passed_the_first_target_leaves_no_half_behind_it() -> None:
    (target,) = keep(state_at(106.9), {"A": held(stop=100.0) | {"targets": [101.0, 107.5]}}, (), sells=True).targets
    assert target.stop > 101.0
    assert target.exits == ()


def test_a_stop_never_comes_down_and_nothing_is_sold_before_the_open() -> None:
    kept = keep(state_at(104.6), {"A": held(stop=103.0)}, (), sells=False)
    assert kept.targets == ()
    assert kept.held["A"]["stop"] == 103.0


def test_a_new_position_is_protected_from_what_was_paid_never_wider_than_three_per_cent() -> None:
    kept = keep(state_at(101.0), {}, (), sells=False)
    assert kept.held["A"] == {**held(), "targets": [104.5, 107.5]}
    assert keep(state_at(101.0, shares=0.0), {"A": held()}, (), sells=True).held == {}


def test_what_has_filled_in_a_bar_that_goes_on_keeps_the_exits_it_was_sent_with() -> None:
    """What was paid is known with the bar; the newest close is another price."""
    plan: PlanRecord = {"symbol": "A", "shares": 10, "entry": 100.0, "limit": None, "stop": 97.0, "atr": 2.0,
                        "targets": [104.5, 107.5], "support": None, "lows": [], "binding": "position"}  # fmt: skip
    filled = replace(state_at(99.0), trips=())
    assert keep(filled, {}, [plan], sells=True) == Kept({}, (), ())
    assert keep(filled, {}, (), sells=False).held["A"]["entry"] == 99.0, "nobody sent it: it is protected at once"


PLANNED: PlanRecord = {"symbol": "A", "shares": 10, "entry": 301.99, "limit": 301.99, "stop": 299.92, "atr": 4.14,
                       "targets": [305.1, 307.17], "support": 299.92, "lows": [294.61, 299.92],
                       "binding": "position"}  # fmt: skip


@pytest.mark.parametrize(
    ("paid", "stop", "first_stop"),
    [
        (301.99, 299.92, 299.92),
        (301.31, 299.92, 299.24),  # worked out anew it would be 294.61: half an ATR, 2.07, is the risk
        (299.95, 299.92, 297.88),
        (299.50, 299.92, 297.43),  # opened at or below its stop: that stands, and sells it
        (309.50, 301.22, 301.22),  # above the plan the stop comes up
    ],
)
def test_a_fill_below_its_plan_never_lowers_the_stop_that_stands(paid: float, stop: float, first_stop: float) -> None:
    marked = state_at(100.0)
    marked = replace(marked, book=replace(marked.book, marks={"A": paid}))
    found = protect(marked, "A", 10.0, None, PLANNED)
    assert (found["stop"], found["first_stop"]) == (pytest.approx(stop), pytest.approx(first_stop))
    first, second = found["targets"]
    risk = paid - first_stop
    assert (first, second) == (pytest.approx(paid + 1.5 * risk, abs=0.006), pytest.approx(paid + 2.5 * risk, abs=0.006))


def test_an_entry_that_waits_at_a_support_is_protected_at_the_next_one_below(bars: Bars) -> None:
    snapshot = bars.snapshot(datetime(2024, 6, 3, 10, tzinfo=NEW_YORK))
    flat = DeskState(snapshot, Book(100_000.0, {}, {one: snapshot.last(one) for one in snapshot.symbols}, 100_000.0))
    (plan,), vetoes = propose(flat, [read_technicals(snapshot, "SPY")], lambda _: "BUY")
    assert (plan["entry"], plan["limit"], vetoes) == (513.65, 513.65, [])  # a low of May was 513.6523
    assert (plan["support"], plan["stop"]) == (pytest.approx(507.4656, abs=1e-4), 507.47)  # two ATR below is 504.02
    # What is paid has its own support: above the limit that low itself, as little above it half an ATR.
    for paid, stop in ((513.65, 507.47), (513.0, 507.47), (507.4656, 505.05), (516.5, 513.66), (514.0, 511.6)):
        marked = replace(flat, book=replace(flat.book, marks={"SPY": paid}))
        assert protect(marked, "SPY", 1.0, None, plan)["first_stop"] == pytest.approx(stop, abs=0.011)
    now = at_price({**plan, "limit": None}, 516.5, flat.caps)
    assert now is not None
    assert (now["support"], now["stop"]) == (pytest.approx(513.6523, abs=1e-4), 513.66)
