"""Instants at which a forward session does something by itself: the agenda of a replay, and what surrounds it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Literal

import numpy as np

from simulator.market.bars import instant, moment
from simulator.market.calendar import NEW_YORK, day_of, say_time, sessions
from simulator.trading.orders import session_hours
from simulator.trading.schedule import Point, Schedule, make_schedule

SETTLE = timedelta(minutes=20)
"""Time after a close at which its bars are complete and the day is booked."""
MORNING = timedelta(hours=1)
"""Time before an open at which the night is looked at; points may come before it."""
GRACE = timedelta(seconds=60)
"""Time after a point within which a loop that starts still holds it."""
ASK_AGAIN = timedelta(seconds=30)
"""Time between two questions for a day's bar that is still to come."""
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


def newest_close(at: datetime, step: int) -> datetime:
    """Return the instant at which the newest bar by `at` closed: a session, or `step` nanoseconds of one."""
    day, now = at.astimezone(NEW_YORK).date(), instant(at)
    on = sessions(day - timedelta(days=15), day)
    opens, closes = (column[on.opens_at <= now].tolist() for column in (on.opens_at, on.closes_at))
    if now >= closes[-1]:
        return moment(closes[-1])
    within = (now - opens[-1]) // step if step else 0
    return moment(opens[-1] + within * step if within else closes[-2])


def wait_until(at: datetime, step: int, minutes: float) -> datetime:
    """Return the instant until which a point at `at` waits for the newest bar: so many minutes after its close, within
    the day no longer than a bar takes."""
    wait = timedelta(minutes=minutes)
    return newest_close(at, step) + (min(wait, timedelta(microseconds=step // 1000)) if step else wait)


def judge(
    at: datetime, now: datetime, began: datetime | None, begun: bool, decided: bool, late: bool
) -> tuple[str, str]:
    """Return how the point at `at` is held, ``done`` or ``late``, or how it is not, ``missed`` or ``failed``, and why.

    The loop is at work since `began`; an earlier one had `begun` the point, and some account has `decided`. What was
    begun before the open is finished before it, and what one account decided is decided in all; for the rest `late`
    says whether a point that was missed is held later in its session.
    """
    opens, closes = session_hours(at)
    down = began is not None and at < began - GRACE
    if begun and now >= closes:
        return "failed", "the loop stopped in the middle of it, and its session is over"
    if down and not (begun and (decided or now < opens)) and not (late and now < closes):
        return "missed", f"the loop was down until {say_time(began or now)}"
    if now >= closes:
        return "missed", "what came before it took until after its session"
    return ("late" if down else "done"), ""
