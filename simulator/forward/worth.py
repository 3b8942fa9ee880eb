"""Worth of the accounts of forward tests at this moment: own books, at the newest price that is known of each symbol.

forward.started, .session, .fill, .split ──► books since the close booked last ──┐
heartbeat of the loop: quotes of what is held ───────────────────────────────────┴──► Worth
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from math import fsum
from typing import Any

from simulator.forward import payloads
from simulator.forward.market_data import Quote
from simulator.forward.quotes import read_quotes
from simulator.forward.state import State
from simulator.forward.switches import read_heartbeats
from simulator.market.bars import instant, moment
from simulator.market.calendar import NEW_YORK
from simulator.store.database import Store
from simulator.store.events import Stored
from simulator.store.kept import Kept
from simulator.trading.model import BrokerFill
from simulator.trading.orders import Origin
from simulator.workspace import Workspace


@dataclass(frozen=True)
class Price:
    """Price of a symbol, dollars: of a close, a fill or a quote, at the instant `at`."""

    price: float
    at: datetime


@dataclass(frozen=True)
class Worth:
    """Dollars of an account. `equity` and `pnl`, since the test began, are None where a symbol that is held has no
    price; `at` is the instant (ISO, New York) of the newest price, fill or close in it."""

    equity: float | None
    pnl: float | None
    cash: float
    at: str
    prices: Mapping[str, Price]


@dataclass(eq=False)
class Running:
    """Books of an account since the close booked last, of whose cash and prices they go on."""

    state: State
    began: float
    cash: float
    at: datetime
    prices: dict[str, Price] = field(default_factory=dict)
    since: list[BrokerFill] = field(default_factory=list)
    """Fills later than the last row of a session."""

    def take(self, kind: str, at: datetime, given: Mapping[str, Any]) -> None:
        """Take in an event of the account, or a split."""
        if kind == "forward.fill" and (fill := payloads.read_fill(given)).id not in self.state.fills:
            self.since.append(fill)
            self._pay(fill)
        elif kind == "forward.session" and given["session"] >= self.state.day.get("session", ""):
            self.cash, self.at = float(given["cash"]), max(at, self.at)
            self.prices |= {symbol: Price(float(price), at) for symbol, price in given["marks"].items()}
            self.since = [one for one in self.since if one.at > instant(at)]
            for one in self.since:  # of the session after it, where the row was written late
                self._pay(one)
        elif kind == "forward.split" and (last := self.prices.get(given["symbol"])) is not None:
            before = str(last.at.astimezone(NEW_YORK).date()) < given["session"]
            self.prices[given["symbol"]] = Price(last.price / float(given["ratio"]), last.at) if before else last
        self.state.apply(kind, given)

    def _pay(self, fill: BrokerFill) -> None:
        self.cash -= fill.quantity * fill.price
        at = moment(fill.at)
        self.at = max(at, self.at)
        self._price(self.prices, fill.symbol, Price(fill.price, at))

    @staticmethod
    def _price(prices: dict[str, Price], symbol: str, new: Price) -> None:
        if symbol not in prices or prices[symbol].at < new.at:
            prices[symbol] = new

    def worth(self, quotes: Mapping[str, Quote]) -> Worth:
        """Return what the account is worth by `quotes`, where they are newer than what the books know."""
        shares, prices = self.state.shares, dict(self.prices)
        for symbol in shares.keys() & quotes.keys():
            if quotes[symbol].price > 0.0:
                self._price(prices, symbol, Price(quotes[symbol].price, quotes[symbol].at))
        held = {symbol: prices[symbol] for symbol in shares if symbol in prices}
        equity = None
        if len(held) == len(shares):
            equity = self.cash + fsum(shares[symbol] * one.price for symbol, one in held.items())
        at = max([self.at, *(one.at for one in held.values())]).astimezone(NEW_YORK).isoformat()
        return Worth(equity, None if equity is None else equity - self.began, self.cash, at, held)


Books = dict[str, dict[str, Running]]


def _take(known: Books, stored: Stored) -> None:
    event, of_run = stored.event, known.setdefault(stored.run_id, {})
    at = datetime.fromisoformat(str(event.at or stored.recorded_at))
    for name, one in event.payload.get("opening", {}).items():
        if name not in of_run:
            state = State(Origin(stored.run_id, name))
            state.begin(one)
            began = one["equity" if one.get("positions") else "cash"]
            of_run[name] = Running(state, float(began), float(one["cash"]), at)
    touched = of_run.values() if event.kind == "forward.split" else filter(None, [of_run.get(event.account or "")])
    for running in touched:
        running.take(event.kind, at, event.payload)


_books = Kept(("forward.started", "forward.session", "forward.fill", "forward.split"), Books, _take)


def read_worth(workspace: Workspace, store: Store) -> dict[str, dict[str, Worth]]:
    """Return {test: {account: its worth}} of all that are on record. Raises SimError."""
    quotes = {one.run: read_quotes(one.prices) for one in read_heartbeats(workspace)}
    with _books.of(store) as known:
        return {
            run: {name: one.worth(quotes.get(run, {})) for name, one in accounts.items()}
            for run, accounts in known.items()
        }
