"""Instants at which a forward session does something by itself: the agenda of a replay, and what surrounds it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Literal

import numpy as np

from simulator.market.calendar import day_of, sessions
from simulator.trading.schedule import Point, Schedule, make_schedule

SETTLE = timedelta(minutes=20)
"""Time after a close at which its bars are complete and the day is booked."""
MORNING = timedelta(hours=1)
"""Time before an open at which the night is looked at; points may come before it."""

Wake = Literal["morning", "open", "point", "end"]
RANK: tuple[Wake, ...] = ("morning", "point", "open", "end")
"""Of what is due at one instant: a point at the open is decided before what fills in its auction."""


@dataclass(frozen=True)
class Due:
    """A thing that is due at an instant: `name` is that of the point, or the session."""

    at: int
    why: Wake
    name: str


def make_agenda(points: Sequence[Point], first: date, last: date, weekday: int, step: int) -> Schedule:
    """Return the points from `first` to `last`: bars are expected at the end of every session, intraday ones each
    `step` nanoseconds."""
    on = sessions(first, last)
    days = zip(on.opens_at.tolist(), on.closes_at.tolist(), strict=True)
    within = [np.arange(a + step, b, step) for a, b in days] if step else []
    before = sessions(first - timedelta(days=15), first - timedelta(days=1))
    return make_schedule(points, on, np.sort(np.concatenate([before.closes_at[-1:], on.closes_at, *within])), weekday)


def list_wakes(points: Mapping[int, str], first: date, last: date) -> list[Due]:
    """Return everything that is due from `first` to `last`, oldest first; `points` are names by instant."""
    on = sessions(first, last)
    due = [Due(at, "point", name) for at, name in points.items()]
    before, after = (int(one.total_seconds() * 1e9) for one in (MORNING, SETTLE))
    for day, opens, closes in zip(on.session_of.tolist(), on.opens_at.tolist(), on.closes_at.tolist(), strict=True):
        name = str(day_of(day))
        due += [Due(opens - before, "morning", name), Due(opens, "open", name), Due(closes + after, "end", name)]
    return sorted(due, key=lambda one: (one.at, RANK.index(one.why)))
