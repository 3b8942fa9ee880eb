"""Positions, orders and fills of a forward test as its page shows them.

events ──► State of each account ──► positions with cost, stop and target; orders with what filled of them
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import fsum
from typing import Any

from simulator.forward.state import State
from simulator.market.bars import moment
from simulator.market.calendar import NEW_YORK
from simulator.store.events import Stored
from simulator.store.projections import Holding as Booked
from simulator.store.projections import fold_holdings
from simulator.trading.orders import Origin


@dataclass(frozen=True)
class Holding:
    """Position by our own books: signed shares, dollars paid for each (None where the test began with some), and the
    prices that close it."""

    account: str
    symbol: str
    shares: float
    average: float | None
    stop: float | None
    target: float | None

    def value(self, price: float) -> float:
        """Return its dollars at `price`."""
        return price * self.shares

    def pnl(self, price: float) -> float | None:
        """Return the dollars won at `price`, None where nobody here paid for it."""
        return None if self.average is None else (price - self.average) * self.shares


@dataclass(frozen=True)
class OrderLine:
    """Order as it stands, or a fill of none that we sent (an exit that an entry brought along, or somebody else's).
    `prices` are limit, stop and target; `filled` signed shares at their mean `price`."""

    at: str
    account: str
    symbol: str
    kind: str
    state: str
    quantity: float | None = None
    notional: float | None = None
    prices: tuple[float | None, float | None, float | None] = (None, None, None)
    filled: float = 0.0
    price: float | None = None
    why: str = ""

    @property
    def side(self) -> str:
        size = self.quantity or self.notional or self.filled
        return "" if not size else "buy" if size > 0.0 else "sell"


class _Account:
    def __init__(self, origin: Origin, opening: dict[str, float]) -> None:
        self.state = State(origin, with_records=False)
        self.state.begin({"positions": opening})
        self.sent: dict[str, OrderLine] = {}

    def take(self, stored: Stored) -> None:
        event = stored.event
        self.state.apply(event.kind, event.payload)
        if event.kind == "forward.order":
            self._take_order(str(event.at), event.payload)

    def _take_order(self, at: str, given: Mapping[str, object]) -> None:
        key, state = str(given["client_order_id"]), str(given["state"]).replace("_", " ")
        old, ticket = self.sent.get(key), self.state.tickets.get(key)
        kind = ticket.kind if ticket else "exit" if self.state.owns(key) else "somebody else's"
        symbol = ticket.symbol if ticket else str(given.get("symbol", ""))
        prices = (ticket.limit, ticket.stop, ticket.take_profit) if ticket else (None, None, None)
        size = (ticket.quantity, ticket.notional) if ticket else (None, None)
        why = str(given.get("why") or (old.why if old else ""))
        since = old.at if old else at
        self.sent[key] = OrderLine(since, self.state.origin.account, symbol, kind, state, *size, prices, why=why)

    def holdings(self, booked: Mapping[tuple[str, str], Booked]) -> list[Holding]:
        name, found = self.state.origin.account, []
        for symbol, shares in sorted(self.state.shares.items()):
            guard, own = self.state.protection.get(symbol), booked.get((name, symbol))
            prices = (guard.stop, guard.take_profit) if guard else (None, None)
            average = None if own is None or own.closed_at is not None else own.entry_price
            found.append(Holding(name, symbol, shares, average, *prices))
        return found

    def lines(self) -> list[OrderLine]:
        filled: dict[str, list[tuple[float, float, str, str]]] = {}
        for one in self.state.booked:
            at = moment(one.at).astimezone(NEW_YORK).isoformat()
            key = one.client_order_id or f"external {one.id}"
            filled.setdefault(key, []).append((one.quantity, one.price, at, one.symbol))
        rows = []
        for key in {**self.sent, **filled}:
            fills = filled.get(key, [])
            shares = fsum(quantity for quantity, *_ in fills)
            price = fsum(quantity * price for quantity, price, *_ in fills) / shares if shares else None
            kind = "exit" if self.state.owns(key) else "somebody else's"
            line = self.sent.get(key)
            if line is None:
                line = OrderLine(fills[0][2], self.state.origin.account, fills[0][3], kind, "filled")
            size = line.quantity if line.quantity is not None or line.notional is not None else shares or None
            rows.append(OrderLine(line.at, line.account, line.symbol or (fills[0][3] if fills else ""), line.kind,
                                  line.state, size, line.notional, line.prices, shares, price, line.why))  # fmt: skip
        return rows


def read_book(stored: Sequence[Stored]) -> tuple[list[Holding], list[OrderLine]]:
    """Return the positions of all accounts of a test, and its orders and fills, the newest first."""
    openings = (one.event.payload["opening"] for one in stored if "opening" in one.event.payload)
    opening: Mapping[str, Mapping[str, Any]] = next(openings, {})
    accounts = {
        name: _Account(Origin(stored[0].run_id, name), dict(one.get("positions", {}))) for name, one in opening.items()
    }
    for one in stored:
        if one.event.account in accounts:
            accounts[one.event.account].take(one)
        elif one.event.kind == "forward.split":
            for account in accounts.values():
                account.state.apply(one.event.kind, one.event.payload)
    lines = [line for account in accounts.values() for line in account.lines()]
    booked = fold_holdings(stored)
    held = [one for account in accounts.values() for one in account.holdings(booked)]
    return held, sorted(lines, key=lambda line: line.at, reverse=True)
