"""A forward session against the rehearsal exchange: strategy by script, bars from memory, alerts in the store."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, time
from pathlib import Path
from typing import Any

import numpy as np

from simulator.errors import BudgetError, UnansweredError
from simulator.forward.books import Books, Split, adjust_for_splits
from simulator.forward.protocols import Known
from simulator.forward.session import Session
from simulator.forward.settings import Forward
from simulator.forward.state import State
from simulator.forward.trader import Trader
from simulator.forward.watch import Watch, Watched
from simulator.market.bars import Bars, Snapshot, instant, moment
from simulator.market.calendar import NEW_YORK, day_number
from simulator.store.database import Store
from simulator.trading.cycle import TradingRules
from simulator.trading.execution import ExecutionRules
from simulator.trading.model import Book, Decision, Target
from simulator.trading.orders import Origin
from simulator.trading.risk import Limits
from simulator.trading.schedule import Point
from simulator.workspace import Workspace

from .conftest import Market

MONDAY, TUESDAY, WEDNESDAY, THURSDAY, FRIDAY = (date(2024, 6, day) for day in range(3, 8))
RUN = "0123456789"
MEETING = Point("meeting", time(8, 45), "daily", always=True)

Plan = Mapping[date, Sequence[Target]]


@dataclass(frozen=True)
class Script:
    """A strategy whose targets are written down by session; one of them may fail, or ask."""

    plan: Plan
    fails: frozenset[date] = frozenset()
    name: str = "script"
    cadence: Any = "daily"
    window: int = 1
    reads: Any = "market"

    async def opine(self, snapshot: Snapshot, _journal: Sequence[Decision]) -> str:
        if _day(snapshot) in self.fails:
            raise BudgetError("the budget is spent")
        return "asked"

    def decide(self, snapshot: Snapshot, _opinion: Any, _book: Book, _journal: Sequence[Decision]) -> Decision:
        return Decision(snapshot.as_of, tuple(self.plan.get(_day(snapshot), ())))


@dataclass(frozen=True)
class AskingScript(Script):
    """A script that asks about each account; `unanswered` says of which, and when, nobody answers."""

    unanswered: Callable[[date, Book], bool] = lambda *_: False

    async def consult(self, snapshot: Snapshot, opinion: str, book: Book, _journal: Sequence[Decision]) -> str:
        if self.unanswered(_day(snapshot), book):
            raise UnansweredError("the service answers with nothing")
        return opinion


def _day(snapshot: Snapshot) -> date:
    return snapshot.as_of.astimezone(NEW_YORK).date()


@dataclass
class MemoryFeed:
    """Bars of the exchange, as traded; `splits` are known from their morning on."""

    market: Market
    first: date
    splits: Sequence[Split] = ()

    async def known_at(self, as_of: datetime) -> Known:
        bars: Bars = self.market.served.call(lambda exchange: exchange.bars)
        end = int(np.searchsorted(bars.closes_at, instant(as_of), side="right"))
        start = int(np.searchsorted(bars.session_of, day_number(self.first)))
        known = [one for one in self.splits if one.session <= as_of.astimezone(NEW_YORK).date()]
        return Known(adjust_for_splits(bars, known).snapshot(as_of), bars.rows(min(start, end), end), known)


@dataclass(frozen=True)
class Conducted:
    """The exchange's clock, which moves when the session sleeps."""

    market: Market

    async def now(self) -> datetime:
        return moment(self.market.served.call(lambda exchange: exchange.now))

    async def sleep_until(self, at: datetime, busy: bool = False) -> None:
        await asyncio.to_thread(self.market.served.advance, instant(at), busy)


@dataclass
class Test:
    """A forward test of `plan` from Tuesday on; `play` goes on where the one before it ended."""

    __test__ = False
    market: Market
    folder: Path
    plan: Plan
    last: date = WEDNESDAY
    names: tuple[str, ...] = ("COUNCIL",)
    splits: Sequence[Split] = ()
    whole_shares: bool = True
    points: tuple[Point, ...] = (MEETING,)
    settings: Forward = field(default_factory=Forward)
    more: dict[str, Any] = field(default_factory=dict)
    sessions: list[Session] = field(default_factory=list)

    def open(self, **more: Any) -> Session:
        execution = ExecutionRules(alpaca=True, whole_shares=self.whole_shares, min_trade=1.0)
        rules = TradingRules(Limits(2.0, 2.0, 2.0, {}), execution)
        fails, unanswered = more.pop("fails", frozenset()), more.pop("unanswered", None)
        strategy = AskingScript(self.plan, fails, unanswered=unanswered) if unanswered else Script(self.plan, fails)
        opened: Bars = self.market.served.call(lambda exchange: exchange.bars)
        marks = dict(zip(opened.symbols, opened.close[0].tolist(), strict=True))
        traders = []
        for name in self.names:
            broker = self.market.account(name, key=f"KEY-{name}-{self.folder.name}")
            books = Books(100_000.0, marks, rules.execution)
            traders.append(Trader(name, strategy, broker, books, State(Origin(RUN, name))))
        clock, feed = Conducted(self.market), MemoryFeed(self.market, TUESDAY, self.splits)
        store = Store(self.folder / "sim.db")
        session = Session(
            RUN,
            strategy,
            traders,
            self.points,
            rules,
            clock,
            feed,
            store,
            TUESDAY,
            self.last,
            locks=self.folder / "locks",
            **{**self.more, **more},
        )
        watched = Watched(RUN, "script", {one.name: "" for one in traders})
        workspace = Workspace(self.folder, self.folder)
        session.watch = Watch(workspace, self.settings, watched, session.record, channels={})
        self.sessions.append(session)
        return session

    def play(self, **more: Any) -> Session:
        session = self.open(**more)
        asyncio.run(session.go())
        return session

    def script(self, *lines: str) -> None:
        """Put lines of a script of the exchange down, once the accounts are there."""
        from simulator.exchange.script import play

        def do(exchange: Any) -> None:
            for name in self.names:
                exchange.account(f"KEY-{name}-{self.folder.name}", "secret-of-this-test")
            play(exchange, lines)

        self.market.served.call(do)

    def exits(self, symbol: str = "A") -> list[tuple[str, float | None, float]]:
        """Kind, price and shares of the live exits of the first account."""
        found = self.market.orders(self.sessions[-1].traders[0].broker)  # type: ignore[arg-type]
        live = [one for one in found if one.is_open and one.status != "held" and one.symbol == symbol]
        return sorted((one.kind, one.stop_price or one.limit_price, one.qty - one.filled) for one in live)

    def held(self, symbol: str = "A") -> float:
        return self.market.held(self.sessions[-1].traders[0].broker, symbol)  # type: ignore[arg-type]

    def events(self, kind: str) -> list[Mapping[str, Any]]:
        found = self.sessions[-1].store.of_forward(RUN)
        return [one.event.payload for one in found if one.event.kind == f"forward.{kind}"]

    def alerts(self, *kinds: str) -> list[str]:
        return [one["text"] for one in self.events("alert") if one["kind"] in kinds]
