"""The desk as a Strategy: named points of the day, one state machine, plans that wait for the open.

06:30 pre-market  screen ─► score the best three ─► size and protect what is approved ─► plans
09:30 open        plans ─► targets

It keeps no state: what is planned is read from the record of its last decision.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import time
from typing import Any

from simulator.desk import formulas
from simulator.desk.formulas import Caps, Technicals, read_technicals
from simulator.market.bars import Snapshot
from simulator.trading.model import Book, Cadence, Decision, Target
from simulator.trading.schedule import Point
from simulator.trading.strategy import Reads, Strategy

PRE_MARKET, OPEN, MONITOR, REVIEW = "pre-market", "open", "monitor", "review"

ANALYSED = 3
"""Symbols of the watchlist that are looked at closely."""


@dataclass(frozen=True)
class Plan:
    """A trade that waits for the open: whole shares, dollars a share."""

    symbol: str
    shares: int
    entry: float
    stop: float
    targets: tuple[float, float]
    atr: float
    binding: str


class Desk:
    """A desk of momentum traders, long only."""

    cadence: Cadence = "daily"
    reads: Reads = "nothing"

    def __init__(self, name: str = "momentum_desk", window: int = 260, caps: Caps = Caps()) -> None:  # noqa: B008
        self.name, self.window, self.caps = name, window, caps

    @property
    def points(self) -> tuple[Point, ...]:
        monitors = tuple(Point(f"{MONITOR} {at:%H:%M}", at) for at in (time(10), time(11), time(14)))
        return (
            Point(PRE_MARKET, time(6, 30), always=True),
            Point(OPEN, time(9, 30), always=True),
            *monitors,
            Point(REVIEW, time(16), always=True),
        )

    def at(self, point: str) -> Strategy[Any]:
        return DeskPoint(self, point)

    async def opine(self, snapshot: Snapshot, journal: Sequence[Decision]) -> None:
        """Nobody is asked yet."""

    def decide(self, snapshot: Snapshot, opinion: None, book: Book, journal: Sequence[Decision]) -> Decision:
        return self.at(PRE_MARKET).decide(snapshot, opinion, book, journal)


@dataclass(frozen=True)
class DeskPoint:
    """The desk at one of its points."""

    desk: Desk
    point: str
    cadence: Cadence = "daily"
    reads: Reads = "nothing"

    @property
    def name(self) -> str:
        return self.desk.name

    @property
    def window(self) -> int:
        return self.desk.window

    async def opine(self, snapshot: Snapshot, journal: Sequence[Decision]) -> None:
        """Nobody is asked yet."""

    def decide(self, snapshot: Snapshot, _opinion: None, book: Book, journal: Sequence[Decision]) -> Decision:
        """Return what the desk does at this point, with its workflow after it in the record."""
        if self.point == PRE_MARKET:
            return self._plan(snapshot, book)
        if self.point == OPEN:
            return self._open(snapshot, book, journal)
        return Decision(snapshot.as_of, (), {"kind": "desk", "point": self.point})

    def _plan(self, snapshot: Snapshot, book: Book) -> Decision:
        known = [read_technicals(snapshot, symbol) for symbol in snapshot.symbols if snapshot.has(symbol)]
        passed = [t for t in known if not formulas.failed_filters(t, as_traded=False)]
        best = sorted(passed, key=lambda t: -formulas.momentum_score(t)[0])[:ANALYSED]
        plans = []
        for t in best:
            points = formulas.signal_points(t)
            score = formulas.confidence([*points.values()], t.lead63 > 0.0)
            if formulas.classify(score) in ("STRONG_BUY", "BUY") and not book.positions.get(t.symbol):
                plan = self._size(t, book)
                if plan is not None and plan.shares:
                    plans.append(plan)
        record = {"kind": "desk", "point": self.point, "plans": [vars(plan) for plan in plans]}
        return Decision(snapshot.as_of, (), record)

    def _size(self, t: Technicals, book: Book) -> Plan | None:
        stop = formulas.stop_price(t.price, t.atr, t.support)
        if stop is None:
            return None
        gross = sum(abs(book.weight(symbol)) for symbol in book.positions)
        multiplier = formulas.exposure_multiplier(gross, 0.0)
        size = formulas.position_size(t.price, stop, book.equity, book.cash, 1.0, multiplier, self.desk.caps)
        return Plan(t.symbol, size.shares, t.price, stop, formulas.target_prices(t.price, stop), t.atr, size.binding)

    def _open(self, snapshot: Snapshot, book: Book, journal: Sequence[Decision]) -> Decision:
        planned: Sequence[Mapping[str, Any]] = journal[-1].record.get("plans", ()) if journal else ()
        targets = tuple(
            Target(
                plan["symbol"],
                plan["shares"] * book.marks[plan["symbol"]] / book.equity,
                stop=plan["stop"],
                take_profit=plan["targets"][1],
                reason=f"planned before the open, bound by {plan['binding']}",
            )
            for plan in planned
            if plan["symbol"] in book.marks and book.equity > 0.0
        )
        return Decision(snapshot.as_of, targets, {"kind": "desk", "point": self.point, "plans": list(planned)})
