"""The inputs of a replay: bars, what is known at each point of decision, and where trading starts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from simulator.market.bars import Bars, Floats, Instants, Snapshot, moment
from simulator.market.events import Event
from simulator.market.news import News
from simulator.trading.schedule import MEETING


@dataclass(frozen=True, eq=False)
class ReplayInputs:
    """Bars, context, events and points of one replay.

    `bars` and `context` reach back before the run; trading starts at row `start`. `instants` (K,) are the moments of
    decision, nanoseconds since the epoch, `points` the name of each; all are meetings where none are given. `risk_free`
    is a sentence on where the cash return of `bars` comes from.
    """

    bars: Bars
    context: Bars
    start: int
    instants: Instants
    events: Sequence[Event] = ()
    points: tuple[str, ...] = ()
    news: Sequence[News] = ()
    risk_free: str = ""

    def __post_init__(self) -> None:
        if not self.points:
            object.__setattr__(self, "points", (MEETING,) * len(self.instants))

    @property
    def meetings(self) -> int:
        """Number of points that are meetings."""
        return self.points.count(MEETING)

    @cached_property
    def traded(self) -> Bars:
        """The bars of the run itself."""
        return self.bars.rows(self.start, len(self.bars))

    @cached_property
    def opening_marks(self) -> Floats:
        """(N,) last close of each symbol before the run, 0 where it has none: the first sizes rest on it."""
        before = self.bars.close[: self.start]
        known = np.zeros(len(self.bars.symbols))
        for n, column in enumerate(before.T):
            closes = column[~np.isnan(column)]
            known[n] = closes[-1] if len(closes) else 0.0
        return known

    @cached_property
    def snapshots(self) -> tuple[Snapshot, ...]:
        """Knowledge at each decision."""
        moments = (moment(int(at)) for at in self.instants)
        return tuple(self.bars.snapshot(at, self.events, self.context, self.news) for at in moments)

    def until(self, k: int) -> ReplayInputs:
        """Return the inputs as they were before decision `k`: the first k, and the bars that open before the next."""
        if k >= len(self.instants):
            return self
        end = int(np.searchsorted(self.bars.opens_at, self.instants[k], side="left"))
        bars, context = self.bars.rows(0, end), self.context.rows(0, end)
        return replace(self, bars=bars, context=context, instants=self.instants[:k], points=self.points[:k])
