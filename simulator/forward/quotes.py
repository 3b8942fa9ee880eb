"""Quotes that orders of an open market rest on: those on a symbol whose quote is old or missing are not made."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime

from simulator.forward.market_data import Quote
from simulator.forward.trader import Tell, Trader
from simulator.market.calendar import NEW_YORK
from simulator.trading.cycle import Intent
from simulator.trading.model import Rejection

Quotes = Callable[[Sequence[str]], Awaitable[Mapping[str, Quote]]]


async def with_fresh_quotes(trader: Trader, intent: Intent, quotes: Quotes, oldest: datetime, tell: Tell) -> Intent:
    """Return `intent` without orders on symbols that were last quoted before `oldest`; `trader` keeps the quotes."""
    found = await quotes([one.symbol for one in intent.orders])
    trader.quotes = {
        symbol: {"at": one.at.isoformat(), "bid": one.bid, "ask": one.ask} for symbol, one in found.items()
    }
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
