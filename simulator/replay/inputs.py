"""The inputs of a replay: bars, what is known at each point of decision, and where trading starts."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal, overload

import numpy as np

from simulator.market.bars import Bars, Floats, Instants, Snapshot, moment
from simulator.market.events import Event
from simulator.market.news import News
from simulator.trading.schedule import MEETING

Engine = Literal["auto", "backtrader", "kernel"]
MOST_SNAPSHOTS = 4096
"""Snapshots held at once, for the accounts of a council that look at the same ones in turn."""


@dataclass(frozen=True, eq=False)
class ReplayInputs:
    """Bars, context, events and points of one replay.

    `bars` and `context` reach back before the run; trading starts at row `start`. `instants` (K,) are the moments of
    decision, nanoseconds since the epoch, `points` the name of each; all are meetings where none are given. `risk_free`
    is a sentence on where the cash return of `bars` comes from. `engine` plays: the kernel where there are very many
    bars and the strategy does not read its account, if nobody chose.
    """

    bars: Bars
    context: Bars
    start: int
    instants: Instants
    events: Sequence[Event] = ()
    points: tuple[str, ...] = ()
    news: Sequence[News] = ()
    risk_free: str = ""
    engine: Engine = "auto"

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
    def snapshots(self) -> Sequence[Snapshot]:
        """Knowledge at each decision, each put together when it is looked at."""
        self.bars.worked_out["looked at"] = np.searchsorted(self.bars.closes_at, self.instants, side="right")
        return _Snapshots(self)

    def until(self, k: int) -> ReplayInputs:
        """Return the inputs as they were before decision `k`: the first k, and the bars that open before the next."""
        if k >= len(self.instants):
            return self
        end = int(np.searchsorted(self.bars.opens_at, self.instants[k], side="left"))
        bars, context = self.bars.rows(0, end), self.context.rows(0, end)
        return replace(self, bars=bars, context=context, instants=self.instants[:k], points=self.points[:k])


class _Snapshots(Sequence[Snapshot]):
    """A snapshot for each decision of `inputs`. Those between two announcements of events share one tuple of them."""

    def __init__(self, inputs: ReplayInputs) -> None:
        self.inputs = inputs
        self.announced = sorted(event.known_at for event in inputs.events)
        self.events: dict[int, tuple[Event, ...]] = {}
        self.made: dict[int, Snapshot] = {}

    def __len__(self) -> int:
        return len(self.inputs.instants)

    @overload
    def __getitem__(self, k: int) -> Snapshot: ...
    @overload
    def __getitem__(self, k: slice) -> Sequence[Snapshot]: ...
    def __getitem__(self, k: int | slice) -> Snapshot | Sequence[Snapshot]:
        if isinstance(k, slice):
            return [self[n] for n in range(len(self))[k]]
        if k not in self.made:
            if len(self.made) >= MOST_SNAPSHOTS:
                self.made.clear()
            self.made[k] = self._make(k)
        return self.made[k]

    def _make(self, k: int) -> Snapshot:
        at = moment(int(self.inputs.instants[k]))
        known = bisect_right(self.announced, at)
        if known not in self.events:
            self.events[known] = tuple(event for event in self.inputs.events if event.known_at <= at)
        return self.inputs.bars.snapshot_with(at, self.events[known], self.inputs.context, self.inputs.news)
