"""Quotes: orders of an open market rest on them, and are not made where one is old or missing; a person who is asked
for a trade is shown the price of now by them.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from simulator.errors import BrokerError
from simulator.forward.market_data import Quote
from simulator.forward.trader import Tell, Trader
from simulator.market.calendar import NEW_YORK
from simulator.trading.cycle import Intent
from simulator.trading.model import Rejection

Quotes = Callable[[Sequence[str]], Awaitable[Mapping[str, Quote]]]


async def with_fresh_quotes(trader: Trader, intent: Intent, quotes: Quotes, oldest: datetime, tell: Tell) -> Intent:
    """Return `intent` without orders on symbols that were last quoted before `oldest`; `trader` keeps the quotes."""
    found = await quotes([one.symbol for one in intent.orders])
    trader.quotes = write_quotes(found)
    stale = {one.symbol for one in intent.orders if one.symbol not in found or found[one.symbol].at < oldest}
    for symbol in sorted(stale):
        last = f"{found[symbol].at.astimezone(NEW_YORK):%H:%M:%S %Z}" if symbol in found else "never"
        tell("stale quote", f"{symbol}: no order, last quoted {last}", trader.name)
    refused = [
        Rejection(-1, one.symbol, one.submitted_at, one.quantity or 0.0, 0.0, "stale quote")
        for one in intent.orders
        if one.symbol in stale
    ]
    first = intent.orders[0].id
    kept = [one for one in intent.orders if one.symbol not in stale]
    orders = tuple(replace(one, id=first + n) for n, one in enumerate(kept))
    return replace(intent, orders=orders, refused=(*intent.refused, *refused))


def write_quotes(quotes: Mapping[str, Quote]) -> dict[str, dict[str, str | float]]:
    """Return quotes by symbol, JSON-able."""
    return {symbol: {"at": one.at.isoformat(), "bid": one.bid, "ask": one.ask} for symbol, one in quotes.items()}


def read_quotes(written: Mapping[str, Mapping[str, str | float]]) -> dict[str, Quote]:
    """Return what `write_quotes` was given."""
    return {
        symbol: Quote(datetime.fromisoformat(str(one["at"])), float(one["bid"]), float(one["ask"]))
        for symbol, one in written.items()
    }


@dataclass(eq=False)
class QuotesOfWaiting:
    """Newest quotes of the symbols that wait for a person or are held, asked for once in `every` of the broker's time.
    Where nobody answers the last ones stay, each with its instant."""

    quotes: Quotes
    every: timedelta = timedelta(seconds=15)
    known: Mapping[str, Quote] = field(default_factory=dict)
    _asked: tuple[datetime, frozenset[str]] | None = None

    async def look(self, symbols: Collection[str], now: datetime, kept: Collection[str] = ()) -> None:
        """Ask for the quotes of `symbols` where it is time, and forget those of others that are not to be `kept`."""
        wanted, before = frozenset(symbols), self._asked
        self.known = {name: one for name, one in self.known.items() if name in wanted or name in kept}
        if before is not None and before[1] == wanted and now - before[0] < self.every:
            return
        self._asked = now, wanted
        with suppress(BrokerError):
            self.known = {**self.known, **(await self.quotes(sorted(wanted)) if wanted else {})}
