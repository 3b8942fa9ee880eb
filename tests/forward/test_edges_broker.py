"""Edges at which accounts at a broker lose money, each by name against the rehearsal exchange over HTTP."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
import requests

from simulator.errors import BrokerError
from simulator.forward import alpaca
from simulator.forward.alpaca import AlpacaAccount, protected_by
from simulator.forward.requests import AccessError, UnsentError
from simulator.trading.broker import DeniedError, RejectedError, UnansweredError
from simulator.trading.model import OrderReport

from .conftest import QUICK, run, ticket, trading

if TYPE_CHECKING:
    from conftest import Market
else:
    Market = Any

pytestmark = pytest.mark.medium


@asynccontextmanager
async def listening(account: AlpacaAccount) -> AsyncIterator[list[OrderReport]]:
    """Updates of an account as they come, from when its stream listens."""
    told: list[OrderReport] = []

    async def listen() -> None:
        async with aclosing(account.updates()) as updates:
            async for report in updates:
                told.append(report)

    task = asyncio.create_task(listen())
    await until(lambda: account.stream is not None and account.stream.listening.is_set())
    yield told
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def until(happened: Callable[[], object], within_s: float = 5.0) -> None:
    for _ in range(int(within_s / 0.01)):
        if happened():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("it did not happen")


def around(account: AlpacaAccount, call: str, before: Any = None, after: Any = None) -> None:
    """Have something happen before or after the next request of the client by that name."""
    asked, left = getattr(account._client, call), [None]

    def once(*args: Any, **options: Any) -> Any:
        first = bool(left and [left.pop()])
        if first and before:
            before()
        found = asked(*args, **options)
        if first and after:
            after()
        return found

    setattr(account._client, call, once)


def bought(market: Market, shares: float = 10.0, **more: Any) -> AlpacaAccount:
    """An account that holds `shares` of A, bought at 101."""
    account = market.account(**more)
    run(account.submit(ticket(shares)))
    market.advance()
    assert market.held(account) == shares
    return account


def ask(market: Market, account: AlpacaAccount, method: str, path: str, **body: Any) -> requests.Response:
    """A request by hand, as somebody on the broker's page makes it."""
    headers = {"APCA-API-KEY-ID": account._keys.key, "APCA-API-SECRET-KEY": account._keys.secret}
    return requests.request(method, market.served.url + path, json=body or None, headers=headers, timeout=10)


async def look(account: AlpacaAccount, times: int) -> None:
    for _ in range(times):
        await account.clock()


POST = "POST /v2/orders"
LOST = ["reply-lost", "504-after", "503-after", "502-html-after", "hang-after", "429-after", "id-taken"]


@pytest.mark.fault(
    "services",
    "the broker's answer to an order is lost after it was taken (broken connection, 5xx, 429, hang)",
    "it is looked up by its id; there is one order",
)
@pytest.mark.parametrize("fault", LOST)
def test_1_an_order_whose_answer_is_lost_is_looked_up_and_there_is_one(market: Market, fault: str) -> None:
    account, order = market.account(), ticket()
    with market.fault(fault, on=POST, times=1):
        assert run(account.submit(order)).status == "open"
    assert market.served.wire.faults.happened == {fault: 1}
    assert len(market.orders(account)) == 1


@pytest.mark.fault(
    "services",
    "the broker answers an order with a page of HTML and status 502",
    "outcome unknown, never rejected; the same id is sent again",
)
@pytest.mark.parametrize("fault", ["502-html", "503", "504", "request-lost", "hang"])
def test_1_an_order_that_may_still_come_is_unknown_never_called_rejected_and_not_repeated_by_the_client(
    market: Market, fault: str
) -> None:
    account, order = market.account(), ticket()
    with market.fault(fault, on=POST), pytest.raises(UnansweredError):
        run(account.submit(order))
    assert market.served.wire.faults.happened == {fault: 1}
    assert run(account.find(order.client_order_id)) is None
    assert run(account.submit(order)).status == "open"
    assert len(market.orders(account)) == 1


@pytest.mark.fault(
    "services",
    "an order's id is taken at the broker already",
    "fetched and compared: the same order is accepted, a different one stops",
)
def test_2_an_id_that_is_taken_is_fetched_and_compared(market: Market) -> None:
    account, order = market.account(), ticket()
    first = run(account.submit(order))
    assert run(account.submit(order)) == first
    with pytest.raises(BrokerError, match="is another one") as caught:
        run(account.submit(replace(order, quantity=11.0)))
    assert not isinstance(caught.value, RejectedError | UnansweredError)
    assert [one.qty for one in market.orders(account)] == [10.0]
    with market.fault("id-stolen", times=1), pytest.raises(BrokerError, match="is another one"):
        run(account.submit(ticket()))


@pytest.mark.fault(
    "services",
    "the broker's requests of a minute are used up",
    "waits for its reset; the last tenth is kept for orders",
)
def test_3_reading_leaves_a_part_of_the_minute_to_orders_and_waits_for_the_reset() -> None:
    with trading(per_minute=30) as market:
        account = market.account()
        run(look(account, 27))
        assert market.slept == []
        run(account.submit(ticket()))
        assert (len(market.orders(account)), market.slept) == (1, [])
        with pytest.raises(UnsentError, match="429"):  # a minute was slept here, and none has passed there
            run(look(account, 30))
        assert 0.0 < market.slept[0] <= 60.2


@pytest.mark.fault(
    "services",
    "the broker refuses an order with 429",
    "backed off until the reset and sent again by us, never by its client",
)
def test_3_an_order_refused_by_429_had_no_effect_and_is_sent_again_after_the_reset(market: Market) -> None:
    account, order = market.account(), ticket()
    with market.fault("429"), pytest.raises(UnsentError):
        run(account.submit(order))
    assert market.served.wire.faults.happened["429"] == QUICK.attempts
    resets = [seconds for seconds in market.slept if seconds > 1.0]
    assert len(resets) == QUICK.attempts - 1
    assert max(resets) <= 60.2
    assert run(account.submit(order)).status == "open"
    assert len(market.orders(account)) == 1


def test_4_a_page_of_html_is_judged_by_its_status(market: Market) -> None:
    account = market.account()
    with market.fault("502-html"), pytest.raises(UnansweredError, match="GET /v2/clock: 502 Bad Gateway"):
        run(account.clock())
    assert market.served.wire.faults.happened["502-html"] == QUICK.attempts


@pytest.mark.fault("services", "a broker's socket that hangs", "given up after our own time-out")
def test_5_a_socket_that_hangs_is_given_up(market: Market) -> None:
    account = market.account()
    with market.fault("hang"), pytest.raises(UnansweredError, match="ReadTimeout"):
        run(account.clock())


@pytest.mark.fault("services", "the broker's stream tells a fill twice", "booked once")
def test_6_a_fill_told_twice_is_booked_once(market: Market) -> None:
    account = market.account()

    async def go() -> None:
        async with listening(account) as told:
            with market.fault("fill-twice"):
                await account.submit(ticket())
                await until(lambda: told)
                await asyncio.to_thread(market.advance)
                await until(lambda: told[-1].status == "filled")
            await asyncio.sleep(0.4)
            assert [one.status for one in told] == ["open", "filled"]

    run(go())
    for _ in range(2):
        assert [(one.quantity, one.price) for one in run(account.executions())] == [(10.0, 101.0)]


@pytest.mark.fault(
    "services",
    "the broker's stream loses a fill, or is open and mute",
    "found by looking, the stream connected anew",
)
@pytest.mark.parametrize("fault", ["fill-lost", "mute"])
def test_7_8_what_the_stream_does_not_tell_is_found_by_looking_and_the_stream_connected_anew(
    market: Market, fault: str
) -> None:
    account = market.account()

    async def go() -> None:
        async with listening(account) as told:
            stream = account.stream
            assert stream is not None
            with market.fault(fault):
                await account.submit(ticket())
                await until(lambda: told)
                await asyncio.sleep(0.1)
                await asyncio.to_thread(market.advance)
                await until(lambda: told[-1].status == "filled")
                await until(lambda: stream.connections >= 2)
            await account.submit(ticket())
            await until(lambda: told[-1].status == "open")

    run(go())


@pytest.mark.fault("services", "the broker's stream does not listen", "no order goes out")
@pytest.mark.parametrize("fault", ["unlistened", "stream-refused"])
def test_8_no_order_goes_out_before_the_stream_listens(market: Market, fault: str) -> None:
    account = market.account(patience=replace(QUICK, settle_s=0.1))
    with market.fault(fault), pytest.raises(UnsentError, match="does not listen"):
        run(send_unheard(account))
    assert market.orders(account) == []


async def send_unheard(account: AlpacaAccount) -> None:
    first = asyncio.create_task(anext(account.updates()))
    await until(lambda: account.stream is not None)
    try:
        await account.submit(ticket())
    finally:
        first.cancel()
        await asyncio.gather(first, return_exceptions=True)


@pytest.mark.fault(
    "services",
    "the broker's stream breaks, and orders fill meanwhile",
    "everything is read again after the reconnect",
)
def test_9_after_a_gap_everything_is_read_again(market: Market) -> None:
    account = market.account(patience=replace(QUICK, poll_s=60.0))

    async def go() -> None:
        async with listening(account) as told:
            await account.submit(ticket())
            await until(lambda: told)
            with market.fault("stream-cut", times=1):
                await asyncio.to_thread(market.advance)
            await until(lambda: told[-1].status == "filled")
            stream = account.stream
            assert stream is not None
            await until(lambda: stream.connections == 2)

    run(go())


@pytest.mark.fault("services", "a fill is told before the order's own answer", "no unknown order")
def test_10_a_fill_that_comes_before_the_answer_is_no_unknown_order(market: Market) -> None:
    account, order = market.account(), ticket()

    async def go() -> OrderReport:
        async with listening(account) as told:
            with market.fault("fill-first"):
                sent = await account.submit(order)
            await until(lambda: told and told[-1].status == "filled")
            assert {one.client_order_id for one in told} == {order.client_order_id}
            return sent

    market.open()
    run(go())
    assert [one.client_order_id for one in run(account.executions())] == [order.client_order_id]


@pytest.mark.parametrize("fault", ["partial", "stop-uncut"])
def test_12_after_a_part_of_the_take_profit_the_rest_is_protected(fault: str) -> None:
    with trading([100.0, 101.0, 102.0, 106.0, 106.0]) as market:
        account = bought(market)
        run(account.protect("A", 90.0, 104.0, "a" * 40))
        market.advance()
        with market.fault("partial"), market.fault(fault):
            market.open()
        assert market.held(account) == 5.0
        assert run(account.protect("A", 90.0, 120.0, "b" * 40)) == 5.0
        assert sorted((one.kind, one.left) for one in market.orders(account) if one.is_open) == [
            ("limit", 5.0), ("stop", 5.0)
        ]  # fmt: skip


@pytest.mark.fault("services", "the cancel of a stop races its fill", "the fill wins, no second exit is sent")
def test_13_a_cancel_that_races_a_fill_loses_and_no_second_exit_is_sent() -> None:
    with trading([100.0, 101.0, 95.0, 95.0, 95.0]) as market:
        account = bought(market)
        run(account.protect("A", 98.0, None, "a" * 40))
        with market.fault("fill-wins"):
            assert run(account.protect("A", 97.0, None, "b" * 40)) == 0.0
        assert market.held(account) == 0.0
        assert [one.status for one in market.orders(account)] == ["filled", "filled"]


def test_13_a_cancel_that_is_not_confirmed_is_followed_by_no_second_exit(market: Market) -> None:
    account = bought(market)
    run(account.protect("A", 90.0, None, "a" * 40))
    with market.fault("cancel-late"), pytest.raises(UnansweredError, match="not confirmed"):
        run(account.protect("A", 95.0, None, "b" * 40))
    market.advance()
    assert market.held(account) == 0.0
    assert run(account.protect("A", 95.0, None, "b" * 40)) == 0.0
    assert len(market.orders(account)) == 2


def test_13_a_cancelled_order_comes_back_as_it_ended(market: Market) -> None:
    account, order = market.account(), ticket()
    run(account.submit(order))
    around(account, "cancel_order_by_id", before=market.advance)
    assert run(account.cancel(order.client_order_id)).status == "filled"


@pytest.mark.fault(
    "services",
    "one order of a group is cancelled by hand",
    "the rest is cancelled, the position protected anew",
)
def test_14_what_is_left_of_a_group_is_cancelled_and_the_position_protected_anew(market: Market) -> None:
    account = bought(market)
    run(account.protect("A", 90.0, 120.0, "a" * 40))
    stop = next(one for one in market.orders(account) if one.stop_price)
    with market.fault("group-left"):
        ask(market, account, "DELETE", f"/v2/orders/{stop.id}")
    assert run(account.protect("A", 90.0, 120.0, "a" * 40)) == 10.0
    left = [one for one in market.orders(account) if one.is_open]
    assert sorted((one.stop_price or 0.0, one.limit_price or 0.0) for one in left) == [(0.0, 120.0), (90.0, 0.0)]
    assert protected_by(left[0].client_order_id) == "a" * 40


def test_15_a_position_that_has_changed_its_side_is_not_protected_but_told_and_flattened() -> None:
    with trading([100.0, 101.0, 105.0, 105.0, 105.0]) as market:
        account = bought(market)
        run(account.protect("A", 90.0, 104.0, "a" * 40))

        def fill_both() -> None:
            with market.fault("both-legs"):
                market.advance()

        around(account, "cancel_order_by_id", before=fill_both)
        with pytest.raises(BrokerError, match="holds -10 A where it held 10"):
            run(account.protect("A", 91.0, 104.0, "b" * 40))
        assert run(account.flatten("A", "c" * 40)) is not None
        market.advance()
        assert market.held(account) == 0.0
        assert run(account.flatten("A", "c" * 40)) is None


def test_16_live_legs_are_released_before_a_position_is_closed_or_increased(market: Market) -> None:
    account = bought(market)
    run(account.protect("A", 90.0, 120.0, "a" * 40))
    for shares, why in ((-10.0, "insufficient qty"), (5.0, "wash trade")):
        with pytest.raises(RejectedError, match=why):
            run(account.submit(ticket(shares)))
    run(account.release("A"))
    run(account.submit(ticket(5.0)))
    market.advance()
    assert run(account.protect("A", 90.0, 120.0, "b" * 40)) == 15.0


ODD = [
    {"quantity": 0.0}, {"quantity": float("nan")}, {"quantity": float("inf")}, {"quantity": 1e-10}, {"quantity": None},
    {"quantity": None, "notional": 0.5}, {"quantity": None, "notional": float("nan")},
    {"quantity": None, "notional": -50.0}, {"quantity": 1.0, "notional": 50.0}, {"kind": "limit"}, {"limit": 90.0},
    {"kind": "limit", "limit": 290.123}, {"kind": "limit", "limit": -1.0}, {"stop": 90.0},
    {"order_class": "bracket", "stop": 90.0}, {"quantity": 1.5, "time_in_force": "gtc"},
    {"order_class": "bracket", "stop": 90.0, "take_profit": 120.0, "quantity": 1.5},
    {"order_class": "bracket", "stop": 90.0, "take_profit": 120.0, "quantity": None, "notional": 500.0},
    {"order_class": "oto", "stop": 90.0, "time_in_force": "opg"},
]  # fmt: skip


@pytest.mark.parametrize("odd", ODD, ids=[" ".join(map(str, one.items())) for one in ODD])
def test_22_what_no_broker_takes_is_denied_and_never_sent(market: Market, odd: dict[str, Any]) -> None:
    account, order = market.account(), ticket(**odd)
    around(account, "submit_order", before=lambda: pytest.fail("sent"))
    with pytest.raises(DeniedError, match="was not sent"):
        run(account.submit(order))
    found = run(account.find(order.client_order_id))
    assert found is not None
    assert found.status == "rejected"


def test_22_shares_are_cut_to_nine_decimals(market: Market) -> None:
    account = market.account()
    run(account.submit(ticket(1.23456789012345678)))
    assert [one.qty for one in market.orders(account)] == [1.234567890]


def test_24_a_chain_of_replacements_is_followed(market: Market) -> None:
    account, order = market.account(), ticket(kind="limit", limit=90.0, time_in_force="gtc")
    run(account.submit(order))
    with market.fault("replace-pending"):
        ask(market, account, "PATCH", f"/v2/orders/{market.orders(account)[0].id}", qty=10)
    with pytest.raises(UnansweredError, match="not confirmed"):  # refused while it is pending
        run(account.cancel(order.client_order_id))
    market.open()
    for shares in (11, 12):
        newest = market.orders(account)[-1]
        assert ask(market, account, "PATCH", f"/v2/orders/{newest.id}", qty=shares).status_code == 200
    found = run(account.find(order.client_order_id))
    assert found is not None
    assert (found.status, found.client_order_id, found.external) == ("open", order.client_order_id, False)
    assert run(account.account()).open_orders == (found,)
    assert run(market.account(key=account._keys.key).account()).open_orders == (found,)  # after a restart
    assert run(account.cancel(order.client_order_id)).status == "cancelled"
    assert [one.status for one in market.orders(account)] == ["replaced", "replaced", "replaced", "canceled"]


def test_24_a_chain_longer_than_a_page_of_orders_leads_to_the_order_that_was_sent(
    market: Market, monkeypatch: pytest.MonkeyPatch
) -> None:
    account, order = market.account(), ticket(kind="limit", limit=200.0, time_in_force="gtc")
    run(account.submit(order))
    for shares in range(11, 31):
        newest = market.orders(account)[-1]
        assert ask(market, account, "PATCH", f"/v2/orders/{newest.id}", qty=shares).status_code == 200
    market.open()
    monkeypatch.setattr(alpaca, "MOST_ORDERS", 5)
    again = market.account(key=account._keys.key)
    again.is_own = lambda key: key == order.client_order_id
    (fill,) = run(again.executions())
    assert (fill.client_order_id, fill.quantity) == (order.client_order_id, 30.0)


def test_24_replacements_in_a_circle_end_and_are_nobodys(market: Market) -> None:
    account = market.account()
    run(account.submit(ticket(kind="limit", limit=90.0, time_in_force="gtc")))
    first = market.orders(account)[0].id
    assert ask(market, account, "PATCH", f"/v2/orders/{first}", qty=11).status_code == 200

    def turn(exchange: Any) -> None:
        one, two = exchange.accounts[account._keys.key].orders.values()
        one.replaces = two.id

    market.served.call(turn)
    again = market.account(key=account._keys.key)
    again.is_own = lambda _: False
    (found,) = run(again.account()).open_orders
    assert found.external


@pytest.mark.parametrize("fault", ["clock-ahead", "clock-behind"])
def test_31_the_brokers_clock_counts_and_beyond_the_limit_nothing_is_done(market: Market, fault: str) -> None:
    here = run(market.account().clock()).now
    account = market.account(local_time=lambda: here)
    with market.fault(fault, seconds=90):
        assert abs((run(account.clock()).now - here).total_seconds()) == 90.0
    with market.fault(fault, seconds=300), pytest.raises(BrokerError, match="300 s from this machine's"):
        run(account.clock())


@pytest.mark.fault(
    "services",
    "the broker's key is revoked in mid-session",
    "refused twice, then nothing is asked; orders stop",
)
def test_33_a_key_that_is_revoked_stops_the_account_without_a_storm_of_requests(market: Market) -> None:
    account = bought(market)

    asked = market.served.wire.clock.begun
    with market.fault("key-revoked"):
        for call in (account.account, account.positions, account.clock):
            with pytest.raises(AccessError, match="401"):
                run(call())
        with pytest.raises(AccessError):
            run(account.submit(ticket()))
    assert market.served.wire.clock.begun == asked + 2


def test_33_a_stream_that_takes_the_key_no_longer_is_not_asked_again(market: Market) -> None:
    account = bought(market)

    async def go() -> None:
        async with listening(account):
            stream = account.stream
            assert stream is not None
            with market.fault("key-revoked"):
                await stream.reconnect()
                await until(lambda: stream.refused or account._line.closed)  # whichever is asked first
            with pytest.raises(AccessError):
                await account.submit(ticket())

    run(go())


@pytest.mark.fault("services", "a paper account was reset", "its new number is refused")
def test_33_an_account_that_was_reset_is_another_one_and_refused(market: Market) -> None:
    number = run(market.account(key="KEY-BEFORE").state()).number
    same, reset = market.account(key="KEY-BEFORE", number=number), market.account(key="KEY-RESET", number=number)
    assert run(same.account()).cash == 100_000.0
    with pytest.raises(BrokerError, match="registered"):
        run(reset.account())


@pytest.mark.fault(
    "services",
    "orders at the broker that somebody sent by hand",
    "taken into the books, never cancelled by us",
)
def test_34_orders_by_hand_are_in_the_book_and_never_cancelled_by_us(market: Market) -> None:
    account = bought(market)
    body = {"symbol": "A", "qty": "3", "side": "sell", "type": "limit", "limit_price": "150", "time_in_force": "gtc"}
    byhand = ask(market, account, "POST", "/v2/orders", **body).json()["client_order_id"]
    (found,) = run(account.account()).open_orders
    assert (found.client_order_id, found.external) == (byhand, True)
    with pytest.raises(BrokerError, match="somebody else"):
        run(account.cancel(byhand))
    assert run(account.protect("A", 90.0, None, "a" * 40)) == 7.0
    run(account.release("A"))
    assert run(account.withdraw()) == {}
    assert [one.client_order_id for one in market.orders(account) if one.is_open] == [byhand]
    market.advance()
    (first, *_) = market.orders(account)
    assert [one.client_order_id for one in run(account.executions())] == [first.client_order_id]


def test_34_fills_of_orders_by_hand_are_told_as_nobodys(market: Market) -> None:
    account = market.account()
    ask(market, account, "POST", "/v2/orders", symbol="A", qty=2, side="buy", type="market", time_in_force="day")
    market.advance()
    assert [(one.client_order_id, one.quantity) for one in run(account.executions())] == [("", 2.0)]
    assert run(account.positions()) == {"A": 2.0}


def test_36_fields_of_earlier_rules_on_day_trading_may_be_there_or_not(market: Market) -> None:
    account = market.account()
    whole = run(account.state())
    with market.fault("no-pdt-fields"):
        assert run(account.state()) == whole


@pytest.mark.parametrize(
    ("fault", "flag"),
    [("account-blocked", "account_blocked"), ("trading-blocked", "trading_blocked"),
     ("suspend-trade", "trade_suspended_by_user")],
)  # fmt: skip
def test_29_a_restricted_account_says_which(market: Market, fault: str, flag: str) -> None:
    account = market.account()
    assert run(account.state()).restrictions == ()
    with market.fault(fault):
        assert run(account.state()).restrictions == (flag,)


def test_no_key_stands_in_a_log_an_error_or_a_repr(market: Market, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    account = market.account(key="KEY-OF-THIS-TEST-1")

    async def go() -> None:
        async with listening(account):
            await account.submit(ticket())

    run(go())
    texts = [caplog.text, repr(account), repr(vars(account)), repr(account._line)]
    with market.fault("key-revoked"), pytest.raises(AccessError) as caught:
        run(account.account())
    texts += [repr(caught.value), str(caught.value), repr(caught.value.__dict__)]
    assert not [one for one in texts if "KEY-OF-THIS-TEST-1" in one or "secret-of-this-test" in one]


def test_whatever_happens_to_its_requests_each_order_is_there_once(market: Market) -> None:
    account = market.account(key="KEY-OF-FAULTS", patience=replace(QUICK, attempts=6, read_s=0.1))
    faults = [
        "hang",
        "request-lost",
        "reply-lost",
        "504-after",
        "502-html",
        "503-after",
        "429",
        "429-after",
        "id-taken",
    ]
    tickets = [ticket(1.0 + k, "AB"[k % 2]) for k in range(12)]

    async def insist(order: Any) -> OrderReport:
        for _ in range(50):
            try:
                return await account.submit(order)
            except (UnansweredError, UnsentError):
                continue
        raise AssertionError("never taken")

    async def go() -> None:
        for order in tickets:
            assert (await insist(order)).client_order_id == order.client_order_id

    market.served.call(lambda _: market.served.wire.faults.set(dict.fromkeys(faults, 0.12)))
    run(go())
    market.served.call(lambda _: market.served.wire.faults.set(dict.fromkeys(faults, 0.0)))
    assert [(one.client_order_id, one.qty) for one in market.orders(account)] == [
        (one.client_order_id, one.quantity) for one in tickets
    ]
    assert len(market.served.wire.faults.happened) >= 7
