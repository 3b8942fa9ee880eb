"""Several accounts side by side."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from simulator.errors import BrokerError
from simulator.forward.accounts import close_all_positions, get_all_accounts, get_all_positions, place_orders_parallel
from simulator.forward.alpaca import AlpacaAccount
from simulator.trading.broker import DeniedError
from simulator.trading.model import Book, OrderReport

from .conftest import run, ticket

if TYPE_CHECKING:
    from conftest import Market
else:
    Market = Any

NAMES = ("CHATGPT", "GEMINI", "CLAUDE", "GROQ", "DEEPSEEK", "COUNCIL")


@pytest.fixture
def six(market: Market) -> dict[str, AlpacaAccount]:
    return {name: market.account(name, key=f"KEY-{name}") for name in NAMES}


def revoke(market: Market, name: str) -> None:
    market.served.call(lambda exchange: setattr(exchange.accounts[f"KEY-{name}"], "digest", "another"))


def test_one_account_that_fails_hides_none_of_the_others(market: Market, six: dict[str, AlpacaAccount]) -> None:
    run(get_all_accounts(six))
    orders = {name: [ticket(10.0 + k), ticket(0.0), ticket(2.0, "B")] for k, name in enumerate(NAMES)}
    revoke(market, "CLAUDE")
    sent = run(place_orders_parallel(six, orders))
    assert [isinstance(one, BrokerError) for one in sent["CLAUDE"]] == [True, True, True]
    for name in set(NAMES) - {"CLAUDE"}:
        first, odd, last = sent[name]
        assert isinstance(first, OrderReport)
        assert isinstance(odd, DeniedError)
        assert isinstance(last, OrderReport)
    market.advance()
    books, positions = run(get_all_accounts(six)), run(get_all_positions(six))
    assert isinstance(positions["CLAUDE"], BrokerError)  # which is not flat
    assert {name: one for name, one in positions.items() if name != "CLAUDE"} == {
        name: {"A": 10.0 + k, "B": 2.0} for k, name in enumerate(NAMES) if name != "CLAUDE"
    }
    assert [name for name, one in books.items() if not isinstance(one, Book)] == ["CLAUDE"]


def test_an_account_that_is_not_there_is_noticed_before_anything_is_sent(
    market: Market, six: dict[str, AlpacaAccount]
) -> None:
    run(get_all_accounts(six))
    with pytest.raises(KeyError):
        run(place_orders_parallel(six, {"COUNCIL": [ticket()], "COUNCL": [ticket()]}))
    assert market.orders(six["COUNCIL"]) == []


def test_everything_is_closed_and_repeated_it_orders_what_is_left(
    market: Market, six: dict[str, AlpacaAccount]
) -> None:
    run(place_orders_parallel(six, {name: [ticket(10.5), ticket(-4.0, "B")] for name in NAMES}))
    market.advance()
    for account in six.values():
        run(account.protect("A", 90.0, 120.0, "a" * 40))
    run(six["GROQ"].submit(ticket(-1.0, "B", kind="limit", limit=80.0)))
    revoke(market, "CLAUDE")
    for _ in range(2):
        closing = run(close_all_positions(six, "kill switch"))
        assert isinstance(closing.pop("CLAUDE"), BrokerError)
        for one in closing.values():
            assert not isinstance(one, BrokerError)
            assert (len(one.orders), dict(one.failed)) == (2, {})
    open_orders = {name: [one.qty for one in market.orders(six[name]) if one.is_open] for name in NAMES}
    assert open_orders == {name: [10.5, 4.0] if name != "CLAUDE" else [10.0, 10.0] for name in NAMES}
    market.advance()
    left = run(get_all_positions(six))
    assert {name for name, one in left.items() if one == {}} == set(NAMES) - {"CLAUDE"}
