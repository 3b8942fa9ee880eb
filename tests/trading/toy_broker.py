"""A broker that is asynchronous, unreliable, and outlives its client: its state is a JSON file, or a dict in memory.

Before and after every call an item of the script comes true: a fill, a trade of somebody else's, a time-out, the death
of the client. It does not refuse an order it has already: sent twice, an order fills twice.

    python toy_broker.py STATE LABEL    a session that kills its own process at the first wait of that label
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Iterable
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import TypeAdapter

from simulator.errors import BrokerError
from simulator.market.bars import Bars, Snapshot
from simulator.trading.broker import Broker, RejectedError, UnansweredError
from simulator.trading.cycle import Execution, Intent, TradingRules, execute, plan
from simulator.trading.execution import ExecutionRules
from simulator.trading.model import Book, Decision, OrderReport, Target
from simulator.trading.orders import Origin, Ticket
from simulator.trading.parts import Parts
from simulator.trading.risk import Limits

ORIGIN = Origin("run", "COUNCIL")
MARKS = {"A": 100.0, "B": 50.0}
WEIGHTS = {"A": 0.5, "B": -0.2}
RULES = TradingRules(Limits(1.0, 1.0, 2.0, {}), ExecutionRules())
AS_OF = datetime(2024, 1, 3, 13, tzinfo=UTC)
INTENT = TypeAdapter(Intent)
HAND = "by hand"
"""Begins the ids of orders that somebody else sends."""


class Killed(BaseException):
    """The client is no more."""


def opened(**changed: Any) -> dict[str, Any]:
    """The state of a new account. `log` holds everything in order: readings, recorded intents, accepted orders."""
    return {"cash": 10_000.0, "positions": {}, "orders": {}, "brackets": {}, "log": [], **changed}


class ToyBroker:
    """See the module. `script` is read from its end; ``[]`` is a world in which nothing happens."""

    def __init__(self, state: dict[str, Any] | Path, script: Iterable[Any] = (), kill_at: str | None = None) -> None:
        self.file = state if isinstance(state, Path) else None
        self.state: dict[str, Any] = json.loads(state.read_text()) if isinstance(state, Path) else state
        self.script, self.kill_at = list(script)[::-1], kill_at

    # Broker.

    async def account(self) -> Book:
        await self.wait("account: asked")
        book = self.book()
        self.note("read", asdict(book))
        await self.wait("account: read")
        return book

    async def find(self, client_order_id: str) -> OrderReport | None:
        await self.wait("find: asked")
        found = self.state["orders"].get(client_order_id)
        await self.wait("find: found")
        return self.report(client_order_id) if found else None

    async def submit(self, ticket: Ticket) -> OrderReport:
        await self.wait("submit: asked")
        if self.state.get("strict") and self.state["brackets"].get(ticket.symbol, [None])[0] is not None:
            raise RejectedError("insufficient qty available: its exits hold the shares", status=403)
        quantity = ticket.quantity if ticket.quantity is not None else ticket.notional / MARKS[ticket.symbol]
        if quantity * MARKS[ticket.symbol] > self.state.get("power", 1e9) + self.state["cash"]:
            raise RejectedError("insufficient buying power", status=403)
        self.take(ticket.client_order_id, ticket.symbol, quantity)
        await self.wait("submit: accepted")
        return self.report(ticket.client_order_id)

    async def cancel(self, client_order_id: str) -> OrderReport:
        await self.wait("cancel: asked")
        order = self.state["orders"][client_order_id]
        if order["status"] == "open":
            order["status"] = "partly_filled" if order["filled"] else "cancelled"
        self.save()
        await self.wait("cancel: done")
        return self.report(client_order_id)

    async def protect(
        self, symbol: str, stop: float | None, take_profit: float | None, client_order_id: str, exits: Parts = ()
    ) -> float:
        await self.wait("protect: asked")
        self.state["brackets"][symbol] = [stop, take_profit, client_order_id, *exits]
        self.save()
        await self.wait("protect: done")
        return abs(self.state["positions"].get(symbol, 0.0))

    async def release(self, symbol: str) -> None:
        await self.wait("release: asked")
        self.state["brackets"].pop(symbol, None)
        self.note("release", {"symbol": symbol})
        await self.wait("release: done")

    async def updates(self) -> AsyncIterator[OrderReport]:
        for key in list(self.state["orders"]):
            yield self.report(key)

    # The client's own records, on the same disk so that one log shows what came before what.

    async def record(self, intent: Intent) -> None:
        await self.wait("record: asked")
        self.note("record", INTENT.dump_python(intent, mode="json"))
        await self.wait("record: done")

    def intents(self) -> list[Intent]:
        return [INTENT.validate_python(what) for kind, what in self.state["log"] if kind == "record"]

    # The world.

    async def wait(self, label: str) -> None:
        await asyncio.sleep(0)
        if label == self.kill_at:
            os.kill(os.getpid(), signal.SIGKILL)
        match self.script.pop() if self.script else None:
            case "time out" if not label.startswith("record"):  # a disk of one's own
                raise UnansweredError("no answer")
            case "kill":
                raise Killed
            case ("fill", share):
                for key in self.open():
                    self.fill(key, share)
            case ("stop", symbol) if self.state["brackets"].pop(symbol, [None])[0] is not None:
                self.trade(symbol, -self.state["positions"].get(symbol, 0.0))
            case ("trade", symbol, shares):
                self.trade(symbol, shares)
            case ("order", symbol, shares):
                self.take(f"{HAND} {len(self.state['orders'])}", symbol, shares)

    def book(self) -> Book:
        held = {symbol: shares for symbol, shares in self.state["positions"].items() if shares}
        equity = self.state["cash"] + sum(shares * MARKS[symbol] for symbol, shares in held.items())
        return Book(self.state["cash"], held, MARKS, equity, tuple(self.report(key) for key in self.open()))

    def open(self) -> list[str]:
        return [key for key, order in self.state["orders"].items() if order["status"] == "open"]

    def report(self, key: str) -> OrderReport:
        order = self.state["orders"][key]
        return OrderReport(key, order["symbol"], order["status"], order["filled"])

    def take(self, key: str, symbol: str, quantity: float) -> None:
        again = key in self.state["orders"]
        self.note("accept", {"key": key, "symbol": symbol, "quantity": quantity, "again": again})
        if again:
            quantity += self.state["orders"][key]["quantity"]
        self.state["orders"][key] = {"symbol": symbol, "quantity": quantity, "filled": 0.0, "status": "open"}
        self.save()

    def fill(self, key: str, share: float) -> None:
        order = self.state["orders"][key]
        part = (order["quantity"] - order["filled"]) * share
        order["filled"] += part
        if share == 1.0:
            order["filled"], order["status"] = order["quantity"], "filled"
        self.trade(order["symbol"], part, key if share == 1.0 else None)

    def trade(self, symbol: str, shares: float, whole: str | None = None) -> None:
        self.state["positions"][symbol] = self.state["positions"].get(symbol, 0.0) + shares
        self.state["cash"] -= shares * MARKS[symbol]
        self.note("fill", {"symbol": symbol, "shares": shares, "whole": whole})

    def note(self, kind: str, what: dict[str, Any]) -> None:
        self.state["log"].append((kind, what))
        self.save()

    def save(self) -> None:
        if self.file is not None:
            fresh = self.file.with_suffix(".new")
            fresh.write_text(json.dumps(self.state))
            fresh.replace(self.file)


class Steady:
    """Wants `WEIGHTS`, with stops, whatever it holds."""

    name, cadence, window, reads = "steady", "daily", 1, "nothing"

    async def opine(self, snapshot: Snapshot, journal: Any) -> None: ...

    def decide(self, snapshot: Snapshot, opinion: None, book: Book, journal: Any) -> Decision:  # noqa: ARG002
        stops = {"A": 90.0, "B": 60.0}
        return Decision(snapshot.as_of, tuple(Target(s, w, stop=stops[s]) for s, w in WEIGHTS.items()))


def planned(book: Book, revision: int) -> Intent:
    nothing = np.empty((0, len(MARKS)))
    times = np.empty(0, dtype=np.int64)
    bars = Bars(tuple(MARKS), times, times, *(nothing,) * 6, times, ("test",) * len(MARKS))
    return plan(bars.snapshot(AS_OF), Steady(), book, (), RULES, None, revision=revision)


async def session(toy: ToyBroker) -> Execution:
    """A client from its start: what is recorded is gone on with."""

    async def replan(book: Book, revision: int) -> Intent:
        return planned(book, revision)

    broker: Broker = toy
    recorded = toy.intents()
    intent = recorded[-1] if recorded else planned(await broker.account(), 0)
    if not recorded:
        await toy.record(intent)
    return await execute(intent, broker, ORIGIN, replan, toy.record)


def run_until_done(state: dict[str, Any], script: Iterable[Any]) -> tuple[ToyBroker, Execution]:
    """Sessions one after the other, as often as the client dies or gives up; the world goes on through them."""
    left = list(script)
    while True:
        toy = ToyBroker(state, left)
        try:
            return toy, asyncio.run(session(toy))
        except (Killed, BrokerError):
            left = toy.script[::-1]


if __name__ == "__main__":
    asyncio.run(session(ToyBroker(Path(sys.argv[1]), kill_at=sys.argv[2])))
