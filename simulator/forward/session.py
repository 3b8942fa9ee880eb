"""A forward test: the strategy's points, one after the other, on accounts at a broker.

    wake at: a point ──► bars recorded ─► opine ─► per account: book ─► consult ─► plan ─► recorded ─► execute
             an open ──► what waits is sent, fills are booked
             an end of a session ──► fills booked, books against the broker, a row of the day

What is impure is handed in: clock, feed, brokers. All that must last stands in the store, event by event, before
anything is sent; after a crash the same command reads store and broker and goes on.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Any, Literal

import numpy as np

from simulator.forward import payloads
from simulator.forward.books import Books
from simulator.forward.protocols import Clock, Feed, ForwardBroker, Known
from simulator.market.bars import instant, moment
from simulator.market.calendar import day_of, sessions
from simulator.store.database import Store
from simulator.store.events import Event, Kind
from simulator.trading.cycle import Intent, TradingRules, execute, plan
from simulator.trading.model import Book, BrokerFill, Decision
from simulator.trading.orders import Origin
from simulator.trading.schedule import Point, Schedule, make_schedule
from simulator.trading.strategy import Consults, KeepsMinutes, Strategy, strategy_at

SETTLE = timedelta(minutes=20)
"""Time after a close at which its bars are complete and the day is booked."""

Wake = Literal["point", "open", "end"]


@dataclass(eq=False)
class Trader:
    """One account: the strategy as it trades there, its broker, its own books, and what it decided so far."""

    name: str
    strategy: Strategy[Any]
    broker: ForwardBroker
    books: Books
    journal: list[Decision] = field(default_factory=list)
    intent: Intent | None = None
    """The newest intent; `waiting` says whether part of it still has to be sent."""
    waiting: bool = False
    orders: int = 0
    booked: dict[str, BrokerFill] = field(default_factory=dict)

    @property
    def fills(self) -> list[BrokerFill]:
        return sorted(self.booked.values(), key=lambda fill: (fill.at, fill.id))


@dataclass(eq=False)
class Session:
    """A forward test of `strategy` on `traders`, from the session `first` on.

    `points` and `weekday` make the agenda, the same as a replay's; `run` names it in the store and in every order's id.
    """

    run: str
    strategy: Strategy[Any]
    traders: Sequence[Trader]
    points: Sequence[Point]
    rules: TradingRules
    clock: Clock
    feed: Feed
    store: Store
    first: date
    last: date
    weekday: int = 0
    minutes: Decision | None = None
    done: set[int] = field(default_factory=set)
    """Instants of the points that were held."""

    def agenda(self) -> Schedule:
        """Return the points from `first` to `last`: bars are expected at the end of every session."""
        on = sessions(self.first, self.last)
        before = sessions(self.first - timedelta(days=15), self.first - timedelta(days=1))
        return make_schedule(self.points, on, np.concatenate([before.closes_at[-1:], on.closes_at]), self.weekday)

    def wakes(self) -> list[tuple[int, Wake, str]]:
        """Return (instant, why, name of the point or session) of everything that is due, oldest first."""
        agenda, on = self.agenda(), sessions(self.first, self.last)
        due: list[tuple[int, Wake, str]] = []
        due += [(at, "point", name) for at, name in zip(agenda.instants.tolist(), agenda.names, strict=True)]
        days = [str(day_of(day)) for day in on.session_of.tolist()]
        due += [(at, "open", day) for at, day in zip(on.opens_at.tolist(), days, strict=True)]
        settle = int(SETTLE.total_seconds() * 1e9)
        due += [(at + settle, "end", day) for at, day in zip(on.closes_at.tolist(), days, strict=True)]
        return sorted(due)

    async def go(self) -> None:
        """Hold every point that is due, until the end of `last`. Raises SimError."""
        self.resume()
        for at, why, name in self.wakes():
            if at in self.done:
                continue
            await self.clock.sleep_until(moment(at))
            if why == "point":
                await self.hold(moment(at), name)
            else:
                await asyncio.gather(*(self._book_fills(trader) for trader in self.traders))
                if why == "end":
                    await self._end(moment(at), name)
            self.done.add(at)

    # ── one point ───────────────────────────────────────────────────────────────────────────────────────────────────

    async def hold(self, at: datetime, name: str) -> None:
        """Ask, decide and order at the point `name`, in every account."""
        known = await self.feed.known_at(at)
        deciding = strategy_at(self.strategy, name)
        opinion = None
        if deciding.reads != "nothing":
            minutes = (self.minutes,) if deciding.reads == "minutes" and self.minutes is not None else ()
            journal = tuple(self.traders[0].journal) if deciding.reads == "journal" else minutes
            opinion = await deciding.opine(known.snapshot, journal)
        written = deciding.minutes(opinion) if isinstance(deciding, KeepsMinutes) else None
        self.minutes = None if written is None else Decision(at, (), written)
        await asyncio.gather(*(self._decide(trader, known, name, opinion) for trader in self.traders))
        await self._record("forward.point", at, None, {"name": name, "state": "done", "minutes": written})

    async def _decide(self, trader: Trader, known: Known, name: str, opinion: Any) -> None:
        deciding, past = strategy_at(trader.strategy, name), tuple(trader.journal)

        async def planned(account: Book, revision: int) -> Intent:
            await self._book_fills(trader)
            book = self._book(trader, known, account)
            told = opinion
            if isinstance(deciding, Consults):
                told = await deciding.consult(known.snapshot, opinion, book, past)
            return plan(known.snapshot, deciding, book, past, self.rules, told, trader.orders, revision)

        async def record(intent: Intent) -> None:
            await self._record("forward.intent", intent.decision.as_of, trader.name, payloads.write_intent(intent))
            trader.intent = intent

        intent = await planned(await trader.broker.account(), 0)
        await record(intent)
        trader.journal.append(intent.decision)
        execution = await execute(intent, trader.broker, Origin(self.run, trader.name), planned, record)
        trader.orders += len(execution.intent.orders)

    def _book(self, trader: Trader, known: Known, account: Book) -> Book:
        """Return the account as replay would have it: own cash and marks, with the broker's open orders."""
        return trader.books.at(known.traded, trader.fills, account.open_orders)

    # ── between points ──────────────────────────────────────────────────────────────────────────────────────────────

    async def _book_fills(self, trader: Trader) -> None:
        """Record fills that are new; each counts once, however often it is told."""
        for fill in await trader.broker.executions():
            if fill.id not in trader.booked:
                await self._record("forward.fill", moment(fill.at), trader.name, payloads.write_fill(fill))
                trader.booked[fill.id] = fill

    async def _end(self, at: datetime, day: str) -> None:
        known = await self.feed.known_at(at)
        for trader in self.traders:
            book, account = self._book(trader, known, await trader.broker.account()), await trader.broker.account()
            row = payloads.session_row(day, book, account)
            await self._record("forward.session", at, trader.name, row)

    # ── the record ──────────────────────────────────────────────────────────────────────────────────────────────────

    async def _record(self, kind: Kind, at: datetime, account: str | None, payload: Mapping[str, Any]) -> None:
        self.store.append(self.run, [Event(kind, at.isoformat(), account, payload)])

    def resume(self) -> None:
        """Read what stands in the store: decisions, fills, points that were held."""
        traders = {trader.name: trader for trader in self.traders}
        for stored in self.store.of_forward(self.run):
            event = stored.event
            if event.kind == "forward.point":
                at = datetime.fromisoformat(str(event.at))
                self.done.add(instant(at))
                minutes = event.payload["minutes"]
                self.minutes = None if minutes is None else Decision(at, (), minutes)
            elif event.kind == "forward.session":
                self.done.add(instant(datetime.fromisoformat(str(event.at))))
            elif event.kind == "forward.fill":
                fill = payloads.read_fill(event.payload)
                traders[str(event.account)].booked[fill.id] = fill
            elif event.kind == "forward.intent":
                intent, trader = payloads.read_intent(event.payload), traders[str(event.account)]
                if trader.intent is not None and trader.intent.decision.as_of == intent.decision.as_of:
                    trader.journal.pop()
                    trader.orders -= len(trader.intent.orders)
                trader.journal.append(intent.decision)
                trader.orders += len(intent.orders)
                trader.intent = intent
