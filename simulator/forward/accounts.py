"""Several accounts side by side: one that fails never hides the others, and what is not known is never flat.

Each function returns {account: what it asked for, or the error that came instead}.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from simulator.errors import BrokerError
from simulator.forward.alpaca import AlpacaAccount
from simulator.trading.model import Book, OrderReport
from simulator.trading.orders import Ticket

T = TypeVar("T")

Answers = dict[str, T | BrokerError]


@dataclass(frozen=True)
class Closing:
    """An account that is closed: orders to close its positions, and what could not be ordered, by symbol."""

    orders: tuple[OrderReport, ...]
    failed: Mapping[str, BrokerError]


async def get_all_accounts(accounts: Mapping[str, AlpacaAccount]) -> Answers[Book]:
    """Return each account from one reading: cash, positions, open orders, marks, equity."""
    return await _side_by_side({name: one.account() for name, one in accounts.items()})


async def get_all_positions(accounts: Mapping[str, AlpacaAccount]) -> Answers[dict[str, float]]:
    """Return signed shares by symbol of each account."""
    return await _side_by_side({name: one.positions() for name, one in accounts.items()})


async def place_orders_parallel(
    accounts: Mapping[str, AlpacaAccount], tickets: Mapping[str, Sequence[Ticket]]
) -> dict[str, list[OrderReport | BrokerError]]:
    """Send the `tickets` of each account, in their order; a ticket that fails holds up none of the others.

    Raises KeyError, before anything is sent, for an account that is not among `accounts`.
    """

    async def send(account: AlpacaAccount, some: Sequence[Ticket]) -> list[OrderReport | BrokerError]:
        return [await _caught(account.submit(one)) for one in some]

    pairs = [(accounts[name], some) for name, some in tickets.items()]
    return dict(zip(tickets, await asyncio.gather(*[send(*pair) for pair in pairs]), strict=True))


async def close_all_positions(accounts: Mapping[str, AlpacaAccount], reason: str) -> Answers[Closing]:
    """Cancel our own orders and order the close of every position, in all accounts; orders of others are left.

    `reason` names this closing: repeated, it withdraws what is still open of it and orders what is left to close.
    Positions are closed when these orders fill, which `get_all_positions` shows.
    """
    return await _side_by_side({name: _close(one, reason) for name, one in accounts.items()})


async def _close(account: AlpacaAccount, reason: str) -> Closing:
    failed = await account.withdraw()
    orders = []
    for symbol in sorted(await account.positions()):
        name = hashlib.sha256(f"{account.name} {symbol} {reason}".encode()).hexdigest()[:40]
        found = await _caught(account.flatten(symbol, name))
        if isinstance(found, BrokerError):
            failed[symbol] = found
        elif found is not None:
            orders.append(found)
    return Closing(tuple(orders), failed)


async def _side_by_side(work: Mapping[str, Awaitable[T]]) -> Answers[T]:
    found = await asyncio.gather(*[_caught(one) for one in work.values()])
    return dict(zip(work, found, strict=True))


async def _caught(work: Awaitable[T]) -> T | BrokerError:
    """Return the result, or the BrokerError that came instead."""
    try:
        return await work
    except BrokerError as error:
        return error
