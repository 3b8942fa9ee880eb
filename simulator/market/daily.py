"""Daily bars out of bars of any frequency: whole sessions are put together once, one that goes on each time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from simulator.market.bars import Bars, Floats

Rows = NDArray[np.intp]


@dataclass(frozen=True, eq=False)
class DailyBars:
    """Daily closes, highs and lows, shape (S, N), of S sessions; NaN where a symbol has no bar.

    `first_row` (S,) are the rows at which the sessions begin in the bars they are made of.
    """

    symbols: tuple[str, ...]
    dates: NDArray[np.datetime64]
    first_row: Rows
    close: Floats
    high: Floats
    low: Floats


def daily_bars(bars: Bars) -> DailyBars:
    """Return all sessions of `bars`, put together once."""
    if "daily" not in bars.worked_out:
        starts = np.flatnonzero(np.append(True, np.diff(bars.session_of) != 0)[: len(bars)])
        bars.worked_out["daily"] = _put_together(bars, starts)
    found: DailyBars = bars.worked_out["daily"]
    return found


def newest_days(bars: Bars, columns: Sequence[int], count: int) -> DailyBars:
    """Return the newest `count` sessions of some columns; the last of them may not be over yet.

    Raises IndexError where there is no bar.
    """
    whole = bars.whole if bars.cut_from is None or bars.cut_from[1] == 0 else bars
    days, end = daily_bars(whole), len(bars)
    until = int(np.searchsorted(days.first_row, end))
    if end == (days.first_row[until] if until < len(days.first_row) else len(whole)):
        return _cut(days, slice(max(0, until - count), until), columns)
    begins = int(days.first_row[until - 1])
    before = _cut(days, slice(max(0, until - count), until - 1), columns)
    now = _cut(_put_together(bars.rows(begins, end), np.array([0])), slice(None), columns)
    names = ("dates", "first_row", "close", "high", "low")
    joined = {name: np.concatenate([getattr(before, name), getattr(now, name)]) for name in names}
    return DailyBars(before.symbols, **joined)


def _cut(days: DailyBars, rows: slice, columns: Sequence[int]) -> DailyBars:
    symbols = tuple(days.symbols[n] for n in columns)
    prices = (getattr(days, name)[rows][:, columns] for name in ("close", "high", "low"))
    return DailyBars(symbols, days.dates[rows], days.first_row[rows], *prices)


def _put_together(bars: Bars, starts: Rows) -> DailyBars:
    dates = bars.session_of[starts].astype("datetime64[D]")
    close, high, low = bars.close, bars.high, bars.low
    if len(starts) < len(bars):
        close, high, low = _last_known(close, starts), np.fmax.reduceat(high, starts), np.fmin.reduceat(low, starts)
    return DailyBars(bars.symbols, dates, starts, close, high, low)


def _last_known(close: Floats, starts: Rows) -> Floats:
    """(S, N) the newest close within each of the S sessions that begin at rows `starts`; NaN where there is none."""
    rows = np.where(np.isnan(close), -1, np.arange(len(close))[:, None])
    newest = np.maximum.reduceat(rows, starts)
    there = newest >= starts[:, None]
    return np.where(there, np.take_along_axis(close, np.where(there, newest, 0), axis=0), np.nan)
