"""Course of an account from session to session, as rolling figures, drawdowns and distributions read it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from simulator.analysis.paired import returns_of
from simulator.evidence.reader import Evidence, Series
from simulator.stats.rolling import Rolling, roll
from simulator.stats.series import Floats, Undefined

WINDOWS = (63, 126, 252)
"""Sessions of a quarter, half a year and a year."""


@dataclass(frozen=True, eq=False)
class Course:
    """Returns (T,) of an account, of the cash instrument and of buy-and-hold, None where it has no column."""

    returns: Floats
    risk_free: Floats
    benchmark: Floats | None


def course_of(evidence: Evidence) -> Course | Undefined:
    """Return the course of the account a run reports; undefined where nothing was traded or the account was lost."""
    if not len(evidence.fills):
        return Undefined("nothing was traded")
    return take_course(evidence.equity, float(evidence.run["cash"]))


def take_course(equity: Mapping[str, Series], cash: float) -> Course | Undefined:
    """Return the course of the column ``equity`` of equity.csv from `cash` on; undefined where it was lost."""
    own, hold = equity["equity"], equity.get("buy_and_hold")
    if not (np.isfinite(own).all() and own.min() > 0):
        return Undefined("the account was lost")
    free = np.nan_to_num(equity.get("risk_free", np.zeros_like(own)))
    against = None if hold is None or not (np.isfinite(hold).all() and hold.min() > 0) else returns_of(hold, cash)
    return Course(returns_of(own, cash), free, against)


def roll_course(course: Course) -> tuple[Rolling, ...]:
    """Return the rolling figures of each of WINDOWS that the sessions fill."""
    full = [window for window in WINDOWS if window <= len(course.returns)]
    return tuple(roll(course.returns, window, course.risk_free, course.benchmark) for window in full)
