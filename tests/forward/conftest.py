"""A rehearsal exchange in this process, asked over HTTP, and accounts at it."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np
import pytest

from simulator.exchange.exchange import Exchange
from simulator.exchange.server import Served, serve
from simulator.forward.alpaca import AlpacaAccount
from simulator.forward.mode import Keys
from simulator.forward.requests import Patience
from simulator.market.bars import Bars
from simulator.trading.orders import Ticket

T = TypeVar("T")

HOUR = 3_600_000_000_000
DAYS = np.arange(19_877, 19_882)  # a week of June 2024, Monday to Friday
OPENS = [100.0, 101.0, 102.0, 95.0, 110.0]
"""Opens and closes of A, a day each; B costs half as much. A day's range is a dollar either way."""
QUICK = Patience(connect_s=1.0, read_s=0.3, whole_s=1.0, attempts=3, backoff_s=0.02, settle_s=1.0, poll_s=0.3)
KEYS = itertools.count()


@dataclass
class Market:
    """An exchange before the open of a Tuesday, and what a test does to it."""

    served: Served
    slept: list[float] = field(default_factory=list)
    opened: list[AlpacaAccount] = field(default_factory=list)

    def account(self, name: str = "COUNCIL", key: str | None = None, **more: Any) -> AlpacaAccount:
        async def sleep(seconds: float) -> None:
            self.slept.append(seconds)
            await asyncio.sleep(min(seconds, 0.02))

        own = key or f"KEY{next(KEYS)}"
        settings = {"patience": QUICK, "sleep": sleep, **more}
        made = AlpacaAccount(Keys(name, own, "secret-of-this-test"), url=self.served.url, **settings)
        self.opened.append(made)
        return made

    @contextmanager
    def fault(self, name: str, **rule: Any) -> Iterator[None]:
        """Have a fault of the exchange while the context lasts; `rule` as in `simulator.exchange.faults.Rule`."""
        place = {key: rule[key] for key in ("account", "symbol", "on") if key in rule}
        self.served.call(lambda _: self.served.wire.faults.set({name: rule}))
        try:
            yield
        finally:
            self.served.call(lambda _: self.served.wire.faults.set({name: {**place, "chance": 0.0}}))

    def advance(self, bars: int = 1) -> None:
        """Go to the close of the next bar, or of one after it."""

        def due(exchange: Exchange) -> int:
            later = exchange.bars.closes_at[exchange.bars.closes_at > exchange.now]
            return int(later[bars - 1])

        self.served.advance(self.served.call(due))

    def open(self) -> None:
        """Go to a second after the next open."""

        def due(exchange: Exchange) -> int:
            return int(exchange.bars.opens_at[exchange.bars.opens_at > exchange.now][0]) + 1_000_000_000

        self.served.advance(self.served.call(due))

    def orders(self, account: AlpacaAccount) -> list[Any]:
        """Every order there ever was of an account, oldest first."""
        key = account._keys.key
        return self.served.call(lambda exchange: list(exchange.accounts[key].orders.values()))

    def held(self, account: AlpacaAccount, symbol: str = "A") -> float:
        key = account._keys.key
        return self.served.call(lambda exchange: exchange.accounts[key].shares_of(symbol))


@contextmanager
def trading(opens: list[float] | None = None, per_minute: int = 100_000) -> Iterator[Market]:
    o = np.array([[one, one / 2] for one in opens or OPENS])
    at = DAYS * 24 * HOUR + 13 * HOUR + HOUR // 2
    bars = Bars(("A", "B"), at, at + 13 * HOUR // 2, o, o + 1, o - 1, o, o * 1e4, o * 0, DAYS, ("x", "x"))
    with serve(Exchange(bars, int(at[1]) - HOUR, slippage_bps=0.0), per_minute=per_minute) as served:
        market = Market(served)
        try:
            yield market
        finally:
            for one in market.opened:
                one.close()


@pytest.fixture
def market() -> Iterator[Market]:
    with trading() as market:
        yield market


def run(work: Coroutine[Any, Any, T]) -> T:
    return asyncio.run(work)


IDS = itertools.count(1)


def ticket(quantity: float | None = 10.0, symbol: str = "A", **more: Any) -> Ticket:
    return Ticket(f"{next(IDS):040x}", symbol, quantity, **more)
