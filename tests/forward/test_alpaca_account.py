"""An account at the rehearsal exchange, by way of alpaca-py."""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from conftest import Market
else:
    Market = Any

from simulator.forward.market_data import MarketData
from simulator.forward.mode import Keys

from .conftest import run, ticket


def test_an_order_from_sending_to_the_book(market: Market) -> None:
    account, order = market.account(), ticket()
    sent = run(account.submit(order))
    assert (sent.status, sent.client_order_id) == ("open", order.client_order_id)
    assert run(account.account()).open_orders == (sent,)
    market.advance()
    done = run(account.find(order.client_order_id))
    assert done is not None
    assert (done.status, done.filled, done.price) == ("filled", 10.0, 101.0)
    book = run(account.account())
    assert (book.positions, book.cash, book.equity, book.marks) == ({"A": 10.0}, 98_990.0, 100_000.0, {"A": 101.0})
    assert run(account.find("f" * 40)) is None


def test_protection_is_put_replaced_and_released(market: Market) -> None:
    account = market.account()
    run(account.submit(ticket(10.5)))
    market.advance()
    assert run(account.protect("A", 90.0, 120.0, "a" * 40)) == 10.0
    assert run(account.protect("A", 90.0, 120.0, "a" * 40)) == 10.0
    assert run(account.account()).open_orders == ()
    assert len([one for one in market.orders(account) if one.is_open]) == 2
    assert run(account.protect("A", 92.0, None, "b" * 40)) == 10.0
    (stop,) = [one for one in market.orders(account) if one.is_open]
    assert (stop.kind, stop.stop_price, stop.qty) == ("stop", 92.0, 10.0)
    run(account.release("A"))
    assert not [one for one in market.orders(account) if one.is_open]


def test_what_leaves_in_parts_has_an_exit_for_each(market: Market) -> None:
    account = market.account()
    run(account.submit(ticket(11.0)))
    market.advance()
    halves = ((0.5, 110.0),)
    for _ in range(2):  # the same call twice is one
        assert run(account.protect("A", 90.0, 120.0, "a" * 40, halves)) == 11.0
    open_now = [one for one in market.orders(account) if one.is_open]
    assert sorted((one.limit_price or one.stop_price, one.qty) for one in open_now) == [
        (90.0, 5.0), (90.0, 6.0), (110.0, 5.0), (120.0, 6.0),
    ]  # fmt: skip
    assert run(account.protect("A", 95.0, None, "b" * 40, halves)) == 11.0
    open_now = [one for one in market.orders(account) if one.is_open]
    assert sorted((one.limit_price or one.stop_price, one.qty) for one in open_now) == [
        (95.0, 5.0), (95.0, 6.0), (110.0, 5.0),
    ]  # fmt: skip
    assert run(account.protect("A", None, None, "c" * 40, halves)) == 5.0, "the rest has no price"
    run(account.release("A"))
    assert not [one for one in market.orders(account) if one.is_open]


def test_the_clock_and_the_calendar_are_the_brokers(market: Market) -> None:
    account = market.account()
    clock = run(account.clock())
    assert (clock.is_open, f"{clock.next_open.astimezone():%Y-%m-%d}") == (False, "2024-06-04")
    ((opens, closes),) = run(account.calendar(date(2024, 7, 3), date(2024, 7, 3)))
    assert (opens.isoformat(), closes.isoformat()) == ("2024-07-03T09:30:00-04:00", "2024-07-03T13:00:00-04:00")


def test_prices_come_as_they_were_traded(market: Market) -> None:
    data = MarketData(Keys("DATA", "KEY", "secret-of-this-test"), url=market.served.url)
    quote = run(data.quotes(["A", "B"]))["A"]
    assert (quote.bid, quote.ask, quote.at.isoformat()) == (99.995, 100.005, "2024-06-04T12:30:00+00:00")
    data.close()
