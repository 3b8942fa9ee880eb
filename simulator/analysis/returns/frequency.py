"""Periods a year, read off the rows of a file of returns."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

Dates = NDArray[np.datetime64]

SESSIONS, DAYS = 252, 365
DAY = 86_400.0
COMMON = (52, 26, 24, 12, 6, 4, 2, 1)
"""Periods a year of rows more than four days apart."""
LONG_GAP = 10.0
"""Days, and times the usual spacing, from which on rows are missing; the longest closure of an exchange is a week."""


def rows_a_year(dates: Dates | None) -> float:
    """Return the periods a year of (T,) dates, ascending; 252 where there are fewer than three or none.

    Daily rows without weekends are sessions, 252 a year, with weekends 365; several rows a day as many times that;
    weeks, months, quarters and years by their spacing. Where rows stand on some days of the week only, as many of 252
    or 365 as there are. Weeks without a row do not count: a gap does not make daily rows rarer.
    """
    if dates is None or len(dates) < 3:
        return SESSIONS
    gaps = _gaps(dates)
    step = float(np.median(gaps))
    if step > 4.5:
        rate = 365.25 / step
        nearest = min(COMMON, key=lambda one: abs(math.log(rate / one)))
        return nearest if abs(math.log(rate / nearest)) < 0.15 else round(rate, 2)
    days, counts = np.unique(dates.astype("datetime64[D]"), return_counts=True)
    a_day = _middle(counts)
    if len(days) < 3 and a_day > 1:  # hours of one day or two: by their spacing, around the clock where nights are in
        return SESSIONS * a_day if (gaps > 1.5 * step).any() else round(DAYS / step)
    weekend = float(counts[~np.is_busday(days)].sum()) / len(dates)
    # 1970-01-01 was a Thursday; weeks begin on Monday.
    weeks, days_a_week = np.unique((days.astype(np.int64) + 3) // 7, return_counts=True)
    usual = _middle(days_a_week) if len(weeks) > 3 else 7 if weekend else 5
    if weekend < 0.01:
        return SESSIONS * a_day if usual == 5 else round(SESSIONS * usual / 5 * a_day)
    if usual == 7 and counts[~np.is_busday(days)].max() >= a_day:  # weekends as whole as other days
        return DAYS * a_day
    rows = _middle(np.unique((dates.astype("datetime64[D]").astype(np.int64) + 3) // 7, return_counts=True)[1])
    return round(rows * DAYS / 7)


def longest_gap(dates: Dates | None) -> int | None:
    """Return the row before the longest stretch without one, None where none is long for the spacing of the rows."""
    if dates is None or len(dates) < 3:
        return None
    gaps = _gaps(dates)
    at = int(np.argmax(gaps))
    return at if gaps[at] > LONG_GAP and gaps[at] > 5.0 * float(np.median(gaps)) else None


def _gaps(dates: Dates) -> NDArray[np.float64]:
    """(T − 1,) days from row to row."""
    return np.diff(dates).astype(np.float64) / DAY


def _middle(counts: NDArray[np.intp]) -> float:
    """The lower middle, first and last left out, which may be cut: the day clocks go back has an hour more."""
    if len(counts) < 4:
        return float(counts.max())
    inner = np.sort(counts[1:-1])
    return float(inner[(len(inner) - 1) // 2])
