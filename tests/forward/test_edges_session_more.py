"""More edges of a broker that a session has to see to: what goes over the wire, what is staged, whose clock counts."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import requests

from simulator.forward.clock import BrokerClock, ask_broker
from simulator.forward.session import Session
from simulator.market.bars import moment
from simulator.market.calendar import NEW_YORK
from simulator.runs.forward_start import Hints
from simulator.trading.model import Target

from .conftest import QUICK, Market, trading
from .sessions import THURSDAY, TUESDAY, WEDNESDAY, Test

pytestmark = pytest.mark.medium

BRACKET = Target("A", 0.5, stop=97.0, take_profit=120.0)
SECOND = 1_000_000_000


@pytest.fixture
def flat() -> Iterator[Market]:
    with trading([100.0] * 5) as market:
        yield market


def sent(market: Market, session: Session) -> list[Any]:
    return [one for one in market.orders(session.traders[0].broker) if one.status != "held"]  # type: ignore[arg-type]


def whenever_it_sleeps(session: Session, do: Callable[[], object]) -> None:
    sleep = session.clock.sleep_until

    async def until(at: datetime, busy: bool = False) -> None:
        await sleep(at, busy)
        await asyncio.to_thread(do)

    object.__setattr__(session.clock, "sleep_until", until)


# Edges 1 to 10 are those of the line to the broker; here the session that trades over it must not notice them.
WIRE = ("1 reply-lost", "1 504-after", "2 id-taken", "3 429", "4 502-html", "5 hang-after", "10 fill-first")


@pytest.mark.parametrize("edge", WIRE, ids=[f"edge_{one.replace(' ', '_')}" for one in WIRE])
def test_whatever_becomes_of_an_answer_the_session_has_one_order_and_its_exits(
    flat: Market, tmp_path: Path, edge: str
) -> None:
    test = Test(flat, tmp_path, {TUESDAY: [BRACKET]}, TUESDAY)
    session = test.open()
    with flat.fault(edge.split()[1], on="POST /v2/orders", times=1):
        asyncio.run(session.go())
    assert [(one.quantity, one.price) for one in session.traders[0].fills] == [(500.0, 100.0)]
    assert test.exits() == [("limit", 120.0, 500.0), ("stop", 97.0, 500.0)]
    assert len([one for one in sent(flat, session) if one.kind == "market"]) == 1
    assert test.alerts("order refused", "order unknown", "books differ", "position unprotected") == []


@pytest.mark.fault("services", "another order has taken the id of ours", "the account is left alone, with an alert")
def test_edge_2_an_id_that_another_order_has_stops_the_account_and_nothing_is_sent_under_it(
    flat: Market, tmp_path: Path
) -> None:
    test = Test(flat, tmp_path, {TUESDAY: [BRACKET]}, TUESDAY)
    session = test.open()
    with flat.fault("id-stolen", on="POST /v2/orders", times=1):
        asyncio.run(session.go())
        assert "is another one" in session.traders[0].barred
    (alert,) = test.alerts("order unknown")
    assert "is another one, for A: nothing is done there any more" in alert
    again = test.play()  # after a restart too
    assert [one.qty for one in sent(flat, session) if one.kind == "market"] == [1000.0]
    assert "is another one" in again.traders[0].barred


# ── what the stream does ────────────────────────────────────────────────────────────────────────────────────────────


def listens(session: Session) -> bool:
    stream = session.traders[0].broker.stream  # type: ignore[attr-defined]
    return stream is not None and stream.listening.is_set()


async def go_listening(session: Session, deaf: bool = False) -> None:
    """Play `session` with its stream beside it, from when that listens, or where it is `deaf` is there."""
    broker = session.traders[0].broker
    async with Hints({"COUNCIL": broker}).running():  # type: ignore[dict-item]
        while broker.stream is None or not (deaf or listens(session)):  # type: ignore[attr-defined]
            await asyncio.sleep(0.01)
        await session.go()


STREAM = ("6 fill-twice", "7 fill-lost", "8 mute", "9 stream-cut")


@pytest.mark.parametrize("edge", STREAM, ids=[f"edge_{one.replace(' ', '_')}" for one in STREAM])
def test_whatever_its_stream_tells_the_session_books_each_fill_once_and_has_its_exits(
    market: Market, tmp_path: Path, edge: str
) -> None:
    test = Test(market, tmp_path, {TUESDAY: [BRACKET]}, THURSDAY)
    session, exits = test.open(), list[object]()
    whenever_it_sleeps(session, lambda: exits.append(test.exits()))
    with market.fault(edge.split()[1]):
        asyncio.run(go_listening(session))
    assert [(one.quantity, one.price) for one in session.traders[0].fills] == [(500.0, 101.0), (-500.0, 95.0)]
    assert [one["quantity"] for one in test.events("fill")] == [500.0, -500.0]
    assert [("limit", 120.0, 500.0), ("stop", 97.0, 500.0)] in exits
    assert test.alerts("books differ", "position unprotected", "position unintended", "order refused") == []


def test_edge_8_what_a_deaf_stream_held_up_is_ordered_once_it_listens(flat: Market, tmp_path: Path) -> None:
    test = Test(flat, tmp_path, {TUESDAY: [Target("A", 0.5)]}, WEDNESDAY)
    session, before = test.open(), list[object]()
    session.traders[0].broker.patience = replace(QUICK, settle_s=0.1)  # type: ignore[attr-defined]

    def listen_again() -> None:
        if test.events("intent") and not before:
            before.extend((sent(flat, session), listens(session)))
            flat.served.call(lambda _: flat.served.wire.faults.set({"unlistened": {"chance": 0.0}}))
            ends = time.monotonic() + 5.0
            while not listens(session) and time.monotonic() < ends:
                time.sleep(0.01)

    whenever_it_sleeps(session, listen_again)
    with flat.fault("unlistened"):
        asyncio.run(go_listening(session, deaf=True))
    assert before == [[], False]
    assert [(one.symbol, one.qty) for one in sent(flat, session)] == [("A", 500.0)]
    assert test.held() == 500.0


# ── orders ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_edge_22_no_order_has_more_digits_than_a_broker_takes_or_less_than_it_takes(
    flat: Market, tmp_path: Path
) -> None:
    odd = [Target("A", 0.12345678901234567), Target("B", 1e-7)]
    test = Test(flat, tmp_path, {TUESDAY: odd, WEDNESDAY: [Target("A", 0.06543210987654321)]}, WEDNESDAY)
    test.whole_shares = False
    session = test.play()
    bought, sold = sent(flat, session)
    assert (bought.symbol, bought.notional) == ("A", 12_345.67)
    assert sold.qty == round(sold.qty, 9) != round(sold.qty, 8)
    assert test.held() == pytest.approx(123.4567 - sold.qty, rel=1e-12)
    assert [[one["symbol"] for one in intent["refused"]] for intent in test.events("intent")] == [["B"], []]
    assert test.alerts("order refused", "books differ") == []


def test_edge_18_what_sales_pay_for_is_bought_after_they_have_filled(flat: Market, tmp_path: Path) -> None:
    plan = {TUESDAY: [Target("A", 1.9)], WEDNESDAY: [Target("A", 0.0), Target("B", 1.9)]}
    test = Test(flat, tmp_path, plan, WEDNESDAY)
    session = test.play()
    bought, sold, financed = sent(flat, session)
    assert [(one.symbol, one.status) for one in (bought, sold, financed)] == [(one, "filled") for one in "AAB"]
    assert financed.created_at >= sold.filled_at
    assert (test.held("A"), test.held("B")) == (0.0, 3800.0)
    assert test.alerts("order refused") == []


def test_edge_19_and_21_what_is_sent_is_at_the_tick_and_in_whole_shares_where_it_has_exits(
    flat: Market, tmp_path: Path
) -> None:
    test = Test(flat, tmp_path, {TUESDAY: [Target("A", 0.33333, stop=97.123, take_profit=120.127)]}, TUESDAY)
    test.play()
    assert test.held() == 333.0
    assert test.exits() == [("limit", 120.13, 333.0), ("stop", 97.13, 333.0)]
    assert test.alerts("order refused", "position unprotected") == []


def test_edge_20_exits_that_would_be_refused_are_refused_when_staged(flat: Market, tmp_path: Path) -> None:
    test = Test(flat, tmp_path, {TUESDAY: [Target("A", 0.5, stop=99.995), Target("B", 0.2)]}, TUESDAY)
    session = test.play()
    assert [one.symbol for one in sent(flat, session)] == ["B"]
    (intent,) = test.events("intent")
    assert [one["symbol"] for one in intent["refused"]] == ["A"]


def test_edge_23_one_exit_is_an_order_with_one_leg(flat: Market, tmp_path: Path) -> None:
    test = Test(flat, tmp_path, {TUESDAY: [Target("A", 0.5, stop=97.0)]}, TUESDAY)
    session = test.play()
    assert sent(flat, session)[0].order_class == "oto"
    assert test.exits() == [("stop", 97.0, 500.0)]


def test_edge_24_an_order_that_was_replaced_by_hand_is_followed(flat: Market, tmp_path: Path) -> None:
    test = Test(flat, tmp_path, {TUESDAY: [Target("A", 0.5, order="limit", limit=90.0)]}, TUESDAY)
    session = test.open()
    key, asked = session.traders[0].broker._keys, []  # type: ignore[attr-defined]

    def replace_once() -> None:
        found = [one for one in sent(flat, session) if one.is_open]
        if found and not asked:
            headers = {"APCA-API-KEY-ID": key.key, "APCA-API-SECRET-KEY": key.secret}
            url = f"{flat.served.url}/v2/orders/{found[0].id}"
            asked.append(requests.patch(url, json={"limit_price": "99.5"}, headers=headers, timeout=10).status_code)

    whenever_it_sleeps(session, replace_once)
    asyncio.run(session.go())
    assert asked == [200]
    (fill,) = session.traders[0].fills
    assert fill.client_order_id == sent(flat, session)[0].client_order_id
    assert (test.held(), session.traders[0].state.shares["A"]) == (fill.quantity, fill.quantity)
    assert test.alerts("books differ", "external order", "position unintended") == []


def test_edge_26_a_dividend_that_no_paper_account_books_is_in_our_books_apart(tmp_path: Path) -> None:
    with trading([100.0] * 5) as market:
        bars = market.served.call(lambda exchange: exchange.bars)
        paid = bars.dividend.copy()
        paid[2, 0] = 0.75  # a share of A, on Wednesday
        with_dividend = replace(bars, dividend=paid)
        market.served.call(lambda exchange: setattr(exchange, "bars", with_dividend))
        test = Test(market, tmp_path, {TUESDAY: [Target("A", 0.5)], WEDNESDAY: [Target("A", 0.5)]}, WEDNESDAY)
        test.play()
        days = [one for one in test.events("session") if "equity" in one]
        assert [one["equity"] - one["broker_equity"] for one in days] == [0.0, 375.0]
        assert [one["accruals"]["dividends"] for one in days] == [0.0, 375.0]
        assert [one["unexplained"] for one in days] == [0.0, 0.0]
        assert test.alerts("books differ") == []


def test_edge_27_a_small_account_sells_nothing_short_and_says_so(flat: Market, tmp_path: Path) -> None:
    test = Test(flat, tmp_path, {TUESDAY: [Target("A", -0.5), Target("B", 0.5)]}, TUESDAY)
    test.script("cash 1500")
    session = test.play()
    assert [one.symbol for one in sent(flat, session)] == ["B"]
    (intent,) = test.events("intent")
    assert [one["symbol"] for one in intent["refused"]] == ["A"]


# ── whose clock counts ──────────────────────────────────────────────────────────────────────────────────────────────


def on_the_brokers_clock(test: Test) -> Session:
    """A session that asks its broker for the time, on a machine whose clock is that of the exchange."""
    served, session = test.market.served, test.open()
    broker, watch = session.traders[0].broker, session.watch
    assert watch is not None

    def here() -> datetime:
        return moment(served.call(lambda exchange: exchange.now)).astimezone(UTC)

    async def wait(seconds: float) -> bool:
        await asyncio.to_thread(served.advance, served.call(lambda exchange: exchange.now) + int(seconds * SECOND))
        return False

    broker._local_time = here  # type: ignore[attr-defined]
    session.clock = BrokerClock(
        lambda: ask_broker(broker.clock, watch.doubt_clock),  # type: ignore[attr-defined]
        lambda _now: None, 3600.0, wait, lambda: here().timestamp(),
    )  # fmt: skip
    session.clock._idle_s = 3600.0
    return session


@pytest.mark.parametrize(("fault", "seconds"), [("clock-ahead", 90), ("clock-behind", -90)])
def test_edge_31_points_are_held_on_the_brokers_clock(flat: Market, tmp_path: Path, fault: str, seconds: int) -> None:
    test = Test(flat, tmp_path, {TUESDAY: [BRACKET]}, TUESDAY)
    session = on_the_brokers_clock(test)
    test.script(f"{fault}=90")
    asyncio.run(session.go())
    (point,) = test.events("point")
    assert (point["state"], point["ran_at"][:16]) == ("done", "2024-06-04T08:45")
    # Brackets go at the open by that clock: at the exchange as much earlier or later as it is wrong.
    true = datetime(2024, 6, 4, 9, 30, tzinfo=NEW_YORK) - timedelta(seconds=seconds)
    made = moment(sent(flat, session)[0].created_at)
    assert abs((made - true).total_seconds()) < 5.0
    assert test.alerts("clock") == []
    assert test.held() == (
        500.0 if seconds > 0 else 0.0
    )  # what comes after the open fills in the next bar, a day later


@pytest.mark.fault(
    "machine", "its clock and the broker's are minutes apart", "nothing is entered while they are; exits stay, an alert"
)
def test_edge_31_while_the_clocks_are_too_far_apart_nothing_is_entered_and_exits_stay(
    flat: Market, tmp_path: Path
) -> None:
    test = Test(flat, tmp_path, {TUESDAY: [BRACKET], WEDNESDAY: [BRACKET, Target("B", 0.2)]}, WEDNESDAY)
    session = on_the_brokers_clock(test)
    test.script("at 2024-06-05T07:00 clock-ahead=300")
    asyncio.run(session.go())
    assert (test.held("A"), test.held("B")) == (500.0, 0.0)
    assert test.exits() == [("limit", 120.0, 500.0), ("stop", 97.0, 500.0)]
    assert test.alerts("clock") == ["the broker's clock is 300 s from this machine's: nothing is entered"]


# ── orders of another time ──────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(("minutes", "kind"), [(30, "opg"), (60, "day")], ids=["in time", "too late"])
def test_edge_32_orders_that_come_too_late_for_the_auction_are_orders_of_the_day(
    flat: Market, tmp_path: Path, minutes: int, kind: str
) -> None:
    test = Test(flat, tmp_path, {TUESDAY: [Target("A", 0.5)]}, TUESDAY, more={"late": True})
    flat.served.advance(flat.served.call(lambda exchange: exchange.now) + (minutes - 1) * 60 * SECOND)
    session = test.play()
    assert [one.time_in_force for one in sent(flat, session)] == [kind]
    assert test.held() == 500.0 or kind == "day"
    assert test.alerts("order refused") == []


def test_edge_35_what_is_left_from_yesterday_has_ended_before_anything_new_is_sent(
    flat: Market, tmp_path: Path
) -> None:
    limits = {
        day: [Target("A", 0.5, order="limit", limit=price)] for day, price in ((TUESDAY, 90.0), (WEDNESDAY, 91.0))
    }
    test = Test(flat, tmp_path, limits, WEDNESDAY)
    session = test.play()
    old, new = sent(flat, session)
    assert (old.limit_price, new.limit_price) == (90.0, 91.0)
    ended = [one for one in test.events("order") if one["client_order_id"] == old.client_order_id][-1]
    assert (ended["state"], test.events("intent")[1]["cancels"]) == ("cancelled", ["A"])
    assert 0 < old.canceled_at <= new.created_at


def test_edge_36_a_session_trades_with_the_old_fields_on_day_trading_and_without(flat: Market, tmp_path: Path) -> None:
    test = Test(flat, tmp_path, {TUESDAY: [BRACKET]}, TUESDAY)
    session = test.open()
    with flat.fault("no-pdt-fields", chance=0.5):
        asyncio.run(session.go())
    assert test.held() == 500.0
    assert test.alerts("books differ", "broker unreachable") == []
