"""Named points of the day at which a strategy is asked, on the sessions of the exchange.

points ──► make_schedule ──► instants, names, notes ──► replay: every instant in order
sessions, closes of bars         │                 └──► forward: the last one due by now, the next one after it
                                 └── a point that brings no new bar is skipped, and a note says so

Nothing here reads a clock: `now` is handed in.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, time, timedelta

import numpy as np

from simulator.market.bars import Instants, instant
from simulator.market.calendar import Sessions, checkpoint_instants, decision_instants, week_ends
from simulator.trading.model import Cadence

MEETING = "meeting"
"""Name of the point at which a strategy without points of its own decides."""

DAY = timedelta(days=1)


@dataclass(frozen=True)
class Point:
    """A named time at which a strategy is asked.

    Attributes
    ----------
    name : e.g. ``meeting`` or ``checkpoint 12:00``
    at : New York wall time
    cadence : sessions it falls on
    always : kept even where it brings no new bar; a daily one that is not is also left out once its session is closed
    since, until : first day, and the day before which it ends; None without such an end
    ends_week : on the last session of each week alone, mostly a Friday
    """

    name: str
    at: time
    cadence: Cadence = "daily"
    always: bool = False
    since: date | None = None
    until: date | None = None
    ends_week: bool = False


@dataclass(frozen=True, eq=False)
class Schedule:
    """`instants` (K,) in nanoseconds since the epoch, oldest first, the name of the point at each, and notes on what
    was left out."""

    instants: Instants
    names: tuple[str, ...]
    notes: tuple[str, ...] = ()

    def due(self, now: datetime) -> int | None:
        """Return the index of the last point at or before `now`; None before the first."""
        k = int(np.searchsorted(self.instants, instant(now), side="right")) - 1
        return k if k >= 0 else None

    def following(self, now: datetime) -> int | None:
        """Return the index of the first point after `now`; None after the last."""
        k = int(np.searchsorted(self.instants, instant(now), side="right"))
        return k if k < len(self.instants) else None


def make_schedule(points: Sequence[Point], on: Sessions, closes_at: Instants, weekday: int = 0) -> Schedule:
    """Return the schedule of `points` on the sessions `on`; of two at one instant the earlier one of `points` is kept.

    `closes_at` (T,) are the closing instants of the bars, `weekday` (0 = Monday) that of weekly points.
    """
    due: dict[int, Point] = {}
    covered: Counter[str] = Counter()
    for point in reversed(points):
        during = on.between(point.since or date.min, (point.until or date.max) - DAY)
        during = week_ends(during) if point.ends_week else during
        if point.always or point.cadence != "daily":
            instants = decision_instants(during, point.cadence, point.at, weekday)
        else:
            instants = checkpoint_instants(during, (point.at,))
        covered.update(due[at].name for at in instants.tolist() if at in due)
        due |= dict.fromkeys(instants.tolist(), point)
    schedule = drop_uninformed(due, closes_at)
    listed = ", ".join(f"{name} × {count}" for name, count in sorted(covered.items()))
    said = f"{covered.total()} points fall on the instant of another, which alone is held ({listed})"
    return replace(schedule, notes=(*schedule.notes, said)) if covered else schedule


def drop_uninformed(due: Mapping[int, Point], closes_at: Instants) -> Schedule:
    """Return the schedule of those points `due` {instant: point} that are kept `always`, and of those after the first
    of them that know a bar the point before did not. Where none is kept always, the first that is due is."""
    waits = any(point.always for point in due.values())
    known = dict(zip(due, np.searchsorted(closes_at, list(due), side="right").tolist(), strict=True))
    kept: list[int] = []
    skipped: list[Point] = []
    for at in sorted(due):
        if due[at].always or (known[at] > known[kept[-1]] if kept else not waits):
            kept.append(at)
        elif kept:
            skipped.append(due[at])
    return Schedule(np.array(kept, dtype=np.int64), tuple(due[at].name for at in kept), _notes(skipped))


def _notes(skipped: Sequence[Point]) -> tuple[str, ...]:
    if not skipped:
        return ()
    times = Counter(f"{point.at:%H:%M}" for point in skipped)
    listed = ", ".join(f"{time} × {count}" for time, count in sorted(times.items()))
    what = "checkpoints" if all(point.name.startswith("checkpoint") for point in skipped) else "points"
    return (f"{len(skipped)} {what} bring no bar newer than the occasion before and are skipped ({listed})",)
