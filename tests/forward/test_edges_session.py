"""Edges of a broker that a session has to see to, by their numbers: the rehearsal exchange makes each happen."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from simulator.errors import UsageError
from simulator.forward.books import Split
from simulator.forward.market_data import Quote
from simulator.forward.settings import Forward
from simulator.forward.state import Protection
from simulator.forward.status import find_left_alone
from simulator.forward.switches import PAUSE, STOP, throw
from simulator.forward.watch import StoppedError
from simulator.market.bars import moment
from simulator.market.calendar import NEW_YORK
from simulator.trading.model import Book, BrokerFill, Target
from simulator.workspace import Workspace

from .conftest import Market, trading
from .sessions import THURSDAY, TUESDAY, WEDNESDAY, Script, Test

pytestmark = pytest.mark.medium

BRACKET = Target("A", 0.5, stop=97.0, take_profit=120.0)
FLAT = [100.0, 100.0, 100.0, 100.0, 100.0]


@pytest.fixture
def flat() -> Iterator[Market]:
    with trading(FLAT) as market:
        yield market


@pytest.mark.fault(
    "services",
    "an entry fills in part and no exit is taken beside it",
    "its rest is cancelled after 30 s, what has filled is protected",
)
def test_edge_11_the_filled_part_of_an_entry_is_protected_and_its_rest_is_given_up(
    flat: Market, tmp_path: Path
) -> None:
    test = Test(flat, tmp_path, {TUESDAY: [BRACKET]}, TUESDAY)
    test.script("partial times=1")
    test.play()
    assert test.held() == 250.0
    assert test.exits() == [("limit", 120.0, 250.0), ("stop", 97.0, 250.0)]
    assert "its rest did not fill" in test.events("order")[-1]["why"]
    assert test.alerts("books differ", "position unintended") == []


@pytest.mark.fault("services", "a take-profit fills in part", "the stop is cut to the rest")
def test_edge_12_a_take_profit_that_fills_in_part_leaves_a_stop_for_the_rest(flat: Market, tmp_path: Path) -> None:
    test = Test(flat, tmp_path, {TUESDAY: [BRACKET]}, WEDNESDAY)
    test.script("stop-uncut", "at 2024-06-05T11:00 fill A take_profit shares=200")
    test.play()
    assert test.held() == 300.0
    assert test.exits() == [("limit", 120.0, 300.0), ("stop", 97.0, 300.0)]


@pytest.mark.fault("services", "one exit of a group is cancelled", "both are put anew")
def test_edge_14_what_is_left_of_a_group_protects_nothing_so_all_is_put_anew(flat: Market, tmp_path: Path) -> None:
    test = Test(flat, tmp_path, {TUESDAY: [BRACKET]}, WEDNESDAY)
    test.script("group-left", "at 2024-06-05T11:00 end A stop_loss canceled")
    test.play()
    assert test.held() == 500.0
    assert test.exits() == [("limit", 120.0, 500.0), ("stop", 97.0, 500.0)]


@pytest.mark.fault(
    "services", "stop and take-profit both fill", "the short that nobody wanted is closed, with an alert"
)
def test_edge_15_when_both_exits_fill_what_is_short_then_is_closed(flat: Market, tmp_path: Path) -> None:
    test = Test(flat, tmp_path, {TUESDAY: [BRACKET]}, THURSDAY)
    test.script("both-legs", "at 2024-06-05T11:00 fill A stop_loss")
    test.play()
    assert test.held() == 0.0
    assert test.exits() == []
    assert "closed at the market" in test.alerts("position unintended")[0]
    assert not test.sessions[-1].traders[0].state.shares


@pytest.mark.fault(
    "services", "an entry's fill is told after its exit's", "nothing is closed that the broker does not have"
)
def test_a_fill_that_is_told_late_is_no_position_that_nobody_decided_on(flat: Market, tmp_path: Path) -> None:
    test = Test(flat, tmp_path, {TUESDAY: [BRACKET]}, WEDNESDAY)
    test.script("at 2024-06-04T11:00 fill A take_profit")
    session = test.open()
    broker: Any = session.traders[0].broker
    told, answers = broker.executions, list[int]()

    async def without_buys() -> list[BrokerFill]:
        fills: list[BrokerFill] = await told()
        sold = [one for one in fills if one.quantity < 0.0]
        answers.extend([len(sold)] if sold else [])
        return fills if len(answers) > 1 else sold

    broker.executions = without_buys
    asyncio.run(session.go())
    assert len(answers) > 1
    assert test.held() == 0.0
    assert [one.kind for one in test.market.orders(broker) if one.filled] == ["market", "limit"]
    assert test.alerts("books differ", "position unintended") == []
    assert not session.traders[0].state.shares


@pytest.mark.fault(
    "services", "a symbol is split over night", "shares are multiplied, exits priced anew before the open"
)
@pytest.mark.parametrize("orders", ["left", "cancelled"])  # what a broker does with those of old prices
def test_edge_25_over_a_split_shares_are_multiplied_and_exits_are_priced_anew(
    flat: Market, tmp_path: Path, orders: str
) -> None:
    # The exchange shows prices before the split as they were traded then: at 1,000.
    bracket = Target("A", 0.5, stop=970.0, take_profit=1200.0)
    test = Test(flat, tmp_path, {TUESDAY: [bracket]}, WEDNESDAY, splits=[Split("A", WEDNESDAY, 10.0)])
    test.script("at 2024-06-05T04:00 split A 10" + " orders=cancelled" * (orders == "cancelled"))
    test.play()
    assert test.held() == 500.0
    assert test.exits() == [("limit", 120.0, 500.0), ("stop", 97.0, 500.0)]
    days = [one for one in test.events("session") if "equity" in one]
    assert [round(one["equity"], 6) for one in days] == [100_000.0, 100_000.0]
    assert test.alerts("books differ", "position unintended") == []
    assert test.alerts("split") == ["A 10 for 1 on 2024-06-05"]


def test_edge_25_exits_after_a_split_are_on_the_tick_of_the_new_prices_and_never_worse() -> None:
    def after(ratio: float, long: bool, *prices: float) -> tuple[float | None, float | None]:
        divided = Protection(*prices, "decided").divide(ratio, long)
        return divided.stop, divided.take_profit

    assert after(10.0, True, 3.88, 5.05) == (0.388, 0.505)  # below a dollar
    assert after(7.0, True, 97.0, 120.0) == (13.86, 17.15)
    assert after(7.0, False, 120.0, 97.0) == (17.14, 13.85)
    assert after(0.1, True, 0.3881, 0.5) == (3.89, 5.0)


def test_edge_27_a_short_that_cannot_be_borrowed_is_cancelled_and_said(flat: Market, tmp_path: Path) -> None:
    test = Test(flat, tmp_path, {TUESDAY: [Target("A", -0.5)]}, TUESDAY)
    test.script("at 2024-06-04T09:00 hard-to-borrow A")
    test.play()
    assert test.held() == 0.0
    assert test.alerts("order refused")


def test_edge_28_orders_on_a_halted_symbol_are_given_up_with_the_reason(flat: Market, tmp_path: Path) -> None:
    test = Test(flat, tmp_path, {TUESDAY: [BRACKET, Target("B", 0.2)]}, TUESDAY)
    test.script("halt A")
    test.play()
    assert (test.held("A"), test.held("B")) == (0.0, 400.0)
    assert any("A" in text for text in test.alerts("order refused"))


@pytest.mark.parametrize("block", ["account-blocked", "trading-blocked", "suspend-trade"])
def test_edge_29_a_restricted_account_enters_nothing_and_says_which(flat: Market, tmp_path: Path, block: str) -> None:
    test = Test(flat, tmp_path, {TUESDAY: [BRACKET]}, TUESDAY)
    test.script(block)
    test.play()
    assert test.held() == 0.0
    assert test.alerts("account restricted")[0] in ("account_blocked", "trading_blocked", "trade_suspended_by_user")


@pytest.mark.fault(
    "money", "a key is revoked in the middle of a session", "that account is left alone, the others go on"
)
def test_edge_33_a_revoked_key_ends_the_account_and_not_the_others(flat: Market, tmp_path: Path) -> None:
    test = Test(flat, tmp_path, {TUESDAY: [BRACKET]}, TUESDAY, names=("COUNCIL", "CLAUDE"))
    test.script(f"at 2024-06-04T08:40 key-revoked KEY-CLAUDE-{tmp_path.name}")
    session = test.play()
    assert [one.name for one in session.traders if one.barred] == ["CLAUDE"]
    assert test.held() == 500.0
    assert len(test.alerts("key refused")) == 1
    assert test.events("point")[0]["left"] == ["CLAUDE"]
    (told,) = find_left_alone(session.store.of_forward(session.run)).items()
    assert told == ("CLAUDE", f"{session.traders[1].barred}: nothing is done there any more")


@pytest.mark.fault("money", "a paper account is reset", "its new number is refused")
def test_edge_33_an_account_that_was_reset_is_refused(flat: Market, tmp_path: Path) -> None:
    test = Test(flat, tmp_path, {TUESDAY: [BRACKET]}, TUESDAY)
    session = test.open()
    test.script()
    broker = session.traders[0].broker
    broker.number = asyncio.run(broker.state()).number  # type: ignore[attr-defined]
    test.script("at 2024-06-04T08:40 reset")
    asyncio.run(session.go())
    assert session.traders[0].barred
    assert len(test.alerts("account changed")) == 1
    assert test.held() == 0.0


@pytest.mark.fault("services", "an order is entered by hand", "in the books, never cancelled")
def test_edge_34_an_order_by_hand_is_in_the_books_and_left_alone(flat: Market, tmp_path: Path) -> None:
    test = Test(flat, tmp_path, {TUESDAY: [Target("A", 0.5)]}, WEDNESDAY)
    test.script(
        "at 2024-06-04T09:00 order B buy 10",
        "at 2024-06-04T12:00 order A buy 5 type=limit limit_price=50.0 time_in_force=gtc",
    )
    session = test.play()
    assert session.traders[0].state.shares == {"A": 500.0, "B": 10.0}
    assert test.exits() == [("limit", 50.0, 5.0)]
    assert len(test.alerts("external order")) == 2
    assert test.alerts("books differ") == []


def test_edge_35_an_order_that_ended_early_is_told_before_new_ones(flat: Market, tmp_path: Path) -> None:
    test = Test(flat, tmp_path, {TUESDAY: [Target("A", 0.5)], WEDNESDAY: [Target("A", 0.5)]}, WEDNESDAY)
    test.script("at 2024-06-04T09:00 end A entry canceled")
    test.play()
    assert test.held() == 500.0
    assert test.alerts("order refused") == ["A ended early: cancelled, 0 filled"]


@pytest.mark.fault(
    "services", "a broker is down at a point of decision", "decided when it is back, in the same session"
)
def test_a_broker_that_is_down_at_a_point_is_decided_on_when_it_is_back(flat: Market, tmp_path: Path) -> None:
    test = Test(flat, tmp_path, {TUESDAY: [BRACKET]}, TUESDAY, names=("COUNCIL", "CLAUDE"))
    mine = f"account=KEY-COUNCIL-{tmp_path.name}"
    test.script(f"at 2024-06-04T08:40 503 {mine}", f"at 2024-06-04T09:00 503=0 {mine}")
    session = test.play()
    assert test.events("point")[0]["left"] == ["COUNCIL"]
    assert [one.state.shares for one in session.traders] == [{"A": 500.0}] * 2
    assert test.alerts("broker unreachable")


def test_edge_13_a_cancel_that_a_fill_outruns_leaves_no_second_exit(flat: Market, tmp_path: Path) -> None:
    test = Test(flat, tmp_path, {TUESDAY: [BRACKET], WEDNESDAY: [Target("A", 0.0)]}, THURSDAY)
    test.script("at 2024-06-05T08:30 fill-wins times=1")
    session = test.play()
    assert [one.quantity for one in session.traders[0].fills] == [500.0, -500.0]
    assert (test.held(), test.exits()) == (0.0, [])


def test_edge_16_more_of_a_position_with_live_exits_is_bought_and_all_of_it_protected(
    flat: Market, tmp_path: Path
) -> None:
    more = Target("A", 0.8, stop=97.0, take_profit=120.0)
    test = Test(flat, tmp_path, {TUESDAY: [BRACKET], WEDNESDAY: [more]}, WEDNESDAY)
    test.play()
    assert test.held() == 800.0
    assert test.exits() == [("limit", 120.0, 800.0), ("stop", 97.0, 800.0)]
    assert test.alerts("order refused", "position unprotected") == []


def test_edge_28_a_symbol_that_was_quoted_long_ago_is_not_ordered(flat: Market, tmp_path: Path) -> None:
    test = Test(flat, tmp_path, {TUESDAY: [Target("A", 0.5), Target("B", 0.2)]}, TUESDAY, more={"late": True})
    flat.served.advance(flat.served.call(lambda exchange: exchange.now) + 90 * 60 * 1_000_000_000)

    async def quotes(symbols: Sequence[str]) -> dict[str, Quote]:
        now = moment(flat.served.call(lambda exchange: exchange.now))
        return {one: Quote(now - timedelta(minutes=20 if one == "A" else 0), 99.9, 100.1) for one in symbols}

    session = test.play(quotes=quotes)
    assert [one.symbol for one in flat.orders(session.traders[0].broker)] == ["B"]  # type: ignore[arg-type]
    assert [one.split(":")[0] for one in test.alerts("stale quote")] == ["A"]


def test_edge_30_a_closure_that_no_calendar_knew_is_told_and_nothing_is_decided(
    flat: Market, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    test = Test(flat, tmp_path, {TUESDAY: [BRACKET]}, TUESDAY)
    session = test.open()

    async def closed(*_: object) -> list[object]:
        return []

    monkeypatch.setattr(session.traders[0].broker, "calendar", closed)
    asyncio.run(session.go())
    assert [(one["state"], one["why"]) for one in test.events("point")] == [("missed", "the broker is closed")]
    assert test.alerts("halt") == ["the broker is closed on 2024-06-04: nothing is decided"]
    assert flat.orders(session.traders[0].broker) == []  # type: ignore[arg-type]


# ── when something is down ──────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.fault(
    "answers", "the budget is spent at a point of a forward test", "nothing is entered, exits go on, an alert"
)
def test_without_an_answer_nothing_is_entered_and_exits_go_on(market: Market, tmp_path: Path) -> None:
    test = Test(market, tmp_path, {TUESDAY: [BRACKET], WEDNESDAY: [Target("B", 0.5)]}, THURSDAY)
    test.play(fails=frozenset({WEDNESDAY}))
    assert [(one["state"], one["why"]) for one in test.events("point")][1] == ("failed", "the budget is spent")
    assert test.held("B") == 0.0
    assert [one.quantity for one in test.sessions[-1].traders[0].fills] == [500.0, -500.0]  # the stop, on Thursday
    assert len(test.alerts("decision failed")) == 1


@pytest.mark.fault("answers", "no answer to what one account asks", "the other trades, exits go on, an alert")
def test_without_an_answer_on_its_book_an_account_enters_nothing_and_the_loop_goes_on(
    market: Market, tmp_path: Path
) -> None:
    names = ("ONE", "TWO")
    test = Test(market, tmp_path, {TUESDAY: [BRACKET], WEDNESDAY: [Target("B", 0.5)]}, THURSDAY, names)
    asked = []

    def unanswered(day: date, _book: Book) -> bool:
        asked.append(day)
        return asked.count(WEDNESDAY) == 1 and day == WEDNESDAY

    session = test.play(unanswered=unanswered)
    states = [(one["state"], one["why"]) for one in test.events("point")]
    (silent,) = [one.name for one in session.traders if not any(two.symbol == "B" for two in one.fills)]
    assert states == [("done", ""), ("done", f"none in {silent}: the service answers with nothing"), ("done", "")]
    assert [[two.quantity for two in one.fills if two.symbol == "A"] for one in session.traders] == [
        [500.0, -500.0]
    ] * 2
    assert len(test.alerts("decision failed")) == 1
    assert asked.count(WEDNESDAY) == 2, "nobody is asked again before the next point"


def test_a_pause_stops_entries_and_keeps_exits(flat: Market, tmp_path: Path) -> None:
    test = Test(flat, tmp_path, {TUESDAY: [BRACKET], WEDNESDAY: [Target("A", 0.0), Target("B", 0.5)]}, TUESDAY)
    test.play()
    throw(Workspace(tmp_path, tmp_path), PAUSE, "by hand")
    test.last = WEDNESDAY
    test.play()
    assert (test.held("A"), test.held("B")) == (0.0, 0.0)


def test_the_kill_switch_ends_the_loop_and_cancels_entries_that_wait(flat: Market, tmp_path: Path) -> None:
    test = Test(flat, tmp_path, {TUESDAY: [Target("A", 0.5, order="limit", limit=90.0)]}, WEDNESDAY)
    session = test.open()
    clock = session.clock
    sleep = clock.sleep_until

    async def until(at: object, busy: bool = False) -> None:
        await sleep(at, busy)  # type: ignore[arg-type]
        if session.traders[0].state.open_ids:
            throw(Workspace(tmp_path, tmp_path), STOP, "enough")

    object.__setattr__(clock, "sleep_until", until)
    with pytest.raises(StoppedError, match="enough"):
        asyncio.run(session.go())
    assert test.exits() == []
    assert test.alerts("kill switch") == ["enough"]


def test_beyond_the_loss_of_a_day_nothing_is_entered(flat: Market, tmp_path: Path) -> None:
    plan = {TUESDAY: [Target("A", 0.5)], WEDNESDAY: [Target("B", 0.2), Target("A", 0.25)]}
    test = Test(flat, tmp_path, plan, WEDNESDAY, settings=Forward(daily_loss={"*": "2%"}))
    test.script("at 2024-06-05T08:40 cash 45000")  # of 50,000
    test.play()
    assert test.held("B") == 0.0
    assert test.held("A") < 500.0
    assert test.alerts("loss limit")[0].startswith("lost $5,000.00 of the $2,000.00")


def test_a_point_that_was_missed_is_told_and_held_late_only_where_that_is_asked(flat: Market, tmp_path: Path) -> None:
    test = Test(flat, tmp_path, {TUESDAY: [BRACKET]}, TUESDAY)
    flat.served.advance(flat.served.call(lambda exchange: exchange.now) + 30 * 60 * 1_000_000_000)
    test.play()
    assert [one["state"] for one in test.events("point")] == ["missed"]
    assert len(test.alerts("point missed")) == 1
    assert test.held() == 0.0


def test_a_missed_point_is_made_good_in_its_session_where_config_says_so(flat: Market, tmp_path: Path) -> None:
    test = Test(flat, tmp_path, {TUESDAY: [BRACKET]}, TUESDAY, more={"late": True})
    flat.served.advance(flat.served.call(lambda exchange: exchange.now) + 30 * 60 * 1_000_000_000)
    test.play()
    assert [one["state"] for one in test.events("point")] == ["late"]
    assert test.held() == 500.0


@pytest.mark.fault(
    "machine", "a second loop is started on one test or account", "refused, with the process that has it"
)
def test_two_loops_on_one_test_are_refused(flat: Market, tmp_path: Path) -> None:
    test = Test(flat, tmp_path, {TUESDAY: [BRACKET]}, TUESDAY)
    from simulator.forward.lock import hold

    with hold(["test 0123456789"], tmp_path / "locks"), pytest.raises(UsageError, match="a loop is at work"):
        test.play()


def test_a_point_that_was_decided_after_the_open_is_late_and_told(flat: Market, tmp_path: Path) -> None:
    test = Test(flat, tmp_path, {TUESDAY: [BRACKET]}, TUESDAY)
    session = test.open()
    opine = Script.opine

    async def think(self: Script, snapshot: Any, journal: Any) -> str:
        await session.clock.sleep_until(datetime(2024, 6, 4, 9, 41, tzinfo=NEW_YORK))
        return await opine(self, snapshot, journal)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(Script, "opine", think)
        asyncio.run(session.go())
    (point,) = test.events("point")
    why = "decided at 09:41:00, sent at 09:41:00 EDT, after the open; orders: 1"
    assert (point["state"], point["why"]) == ("late", why)
    assert test.alerts("point late") == [f"meeting of 2024-06-04 08:45 EDT {why}"]
