"""A strategy over history: opinions asked ahead, the reference engine, and the kernel as its auditor.

instants ──► prefetch ──► reference engine ──step──► Ledger, turns
             (all dates      │                          │
              at once)       └── tape ──► kernel ──► audit: largest difference
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simulator.market.bars import Bars, Snapshot, moment
from simulator.market.events import Event
from simulator.replay import audit, kernel, reference
from simulator.replay.ledger import Ledger
from simulator.replay.tape import Tape
from simulator.trading.cycle import Terms, Turn, step
from simulator.trading.nouns import Broker, Decision, Strategy

Progress = Callable[[str, int, int, str], None]
"""Called with (stage, done, total, session) after each piece of work."""

DATES_AT_ONCE = 64


@dataclass(frozen=True, eq=False)
class Scene:
    """What a replay plays on.

    `bars` and `context` reach back before the run; trading starts at row `start`. `instants` (K,) are the moments of
    decision, nanoseconds since the epoch.
    """

    bars: Bars
    context: Bars
    start: int
    instants: NDArray[np.int64]
    events: Sequence[Event] = ()

    @cached_property
    def traded(self) -> Bars:
        """The bars of the run itself."""
        return self.bars.rows(self.start, len(self.bars))

    @cached_property
    def opening_marks(self) -> NDArray[np.float64]:
        """(N,) the last close of each symbol before the run, 0 where it has none: what the first sizes rest on."""
        before = self.bars.close[: self.start]
        known = np.zeros(len(self.bars.symbols))
        for n, column in enumerate(before.T):
            closes = column[~np.isnan(column)]
            known[n] = closes[-1] if len(closes) else 0.0
        return known

    @cached_property
    def snapshots(self) -> tuple[Snapshot, ...]:
        """What is known at each decision."""
        moments = (moment(int(at)) for at in self.instants)
        return tuple(self.bars.snapshot(at, self.events, self.context) for at in moments)


@dataclass(frozen=True)
class Replayed:
    """What came of it: the books, the decisions, the opinions behind them, and how far the two engines differ."""

    ledger: Ledger
    turns: tuple[Turn, ...]
    tape: Tape
    largest_difference: float
    opinions: Mapping[int, Any] = field(default_factory=dict)


def replay_strategy(
    strategy: Strategy, scene: Scene, terms: Terms, cash: float, progress: Progress | None = None
) -> Replayed:
    """Replay `strategy` over `scene` with both engines. Raises AuditError when they differ by over 1e-9 of equity."""
    report = progress or (lambda *_: None)
    with asyncio.Runner() as loop:
        opinions = loop.run(prefetch(strategy, scene, report)) if strategy.opines_ahead else {}
        turns: list[Turn] = []
        journal: list[Decision] = []

        def decide(k: int, broker: Broker) -> None:
            snapshot = scene.snapshots[k]
            turn = loop.run(step(snapshot, strategy, broker, tuple(journal), terms, opinions.get(k)))
            turns.append(turn)
            journal.append(turn.wanted)
            report("replay", k + 1, len(scene.instants), str(snapshot.session))

        ledger = reference.replay(scene.traded, scene.instants, decide, terms.rules, cash, scene.opening_marks)
    tape = Tape.from_decisions([t.allowed for t in turns], scene.bars.symbols)
    difference = audit.audit(ledger, kernel.replay_tape(scene.traded, tape, terms.rules, cash, scene.opening_marks))
    return Replayed(ledger, tuple(turns), tape, difference, opinions)


async def prefetch(strategy: Strategy, scene: Scene, report: Progress) -> dict[int, Any]:
    """The opinions of all decision dates, asked side by side, oldest first: {index of the instant: opinion}."""
    room = asyncio.Semaphore(DATES_AT_ONCE)
    opinions: dict[int, Any] = {}

    async def one(k: int) -> None:
        async with room:
            snapshot = scene.snapshots[k]
            opinions[k] = await strategy.opine(snapshot, ())
            report("ask", len(opinions), len(scene.instants), str(snapshot.session))

    await asyncio.gather(*(one(k) for k in range(len(scene.instants))))
    return opinions
