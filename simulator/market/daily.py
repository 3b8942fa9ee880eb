"""Daily bars out of bars of any frequency: whole sessions are put together once, one that goes on each time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date

import numpy as np
from numpy.typing import NDArray

from simulator.market import calendar
from simulator.market.bars import Bars, Floats, Snapshot

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


def closed_sessions(market: Snapshot) -> Snapshot:
    """Return `market` in daily bars, of the sessions that were over by its instant alone."""
    if market.bars.frequency == "1d":
        return market
    bars = market.bars
    whole = bars.whole if bars.cut_from is None or bars.cut_from[1] == 0 else bars
    if "sessions" not in whole.worked_out:
        whole.worked_out["sessions"] = _sessions(whole)
    days: Bars = whole.worked_out["sessions"]
    return replace(market, bars=days.snapshot_with(market.as_of, (), None, ()).bars)


def _sessions(bars: Bars) -> Bars:
    days = daily_bars(bars)
    if not len(bars):
        return replace(bars, frequency="1d")
    at, ends = days.first_row, np.append(days.first_row[1:], len(bars)) - 1
    on = calendar.sessions(days.dates[0].astype(date), days.dates[-1].astype(date))
    # A session is over when the exchange closes, not when the newest bar that is known of it has.
    places = np.searchsorted(on.session_of, bars.session_of[at]).clip(max=max(0, len(on) - 1))
    known = len(on) > 0 and on.session_of[places] == bars.session_of[at]
    closes_at = np.maximum(bars.closes_at[ends], np.where(known, on.closes_at[places], 0) if len(on) else 0)
    fresh = np.logical_or.reduceat(bars.fresh, at)
    return Bars(
        bars.symbols,
        bars.opens_at[at],
        closes_at,
        np.where(fresh, _first_known(bars.open, at), np.nan),
        days.high,
        days.low,
        days.close,
        np.where(fresh, np.add.reduceat(np.where(bars.fresh, bars.volume, 0.0), at), np.nan),
        np.add.reduceat(bars.dividend, at),
        bars.session_of[at],
        bars.sources,
    )


def _first_known(values: Floats, starts: Rows) -> Floats:
    """(S, N) the oldest value within each of the S sessions that begin at rows `starts`; NaN where there is none."""
    rows = np.where(np.isnan(values), len(values), np.arange(len(values))[:, None])
    oldest = np.minimum.reduceat(rows, starts)
    ends = np.append(starts[1:], len(values))[:, None]
    there = oldest < ends
    return np.where(there, np.take_along_axis(values, np.where(there, oldest, 0), axis=0), np.nan)


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
