"""One symbol's bars as a source delivers them: before they are checked and put on a shared timeline.

source (file, sample, yahoo, alpaca, synthetic) ──► BarTable ──► quality.check ──► load ──► Bars
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simulator.market.bars import FIELDS, NUMBERS, Bars, Floats, Instants
from simulator.market.calendar import MINUTE, OPEN, SECOND, Sessions, day_of, wall_to_utc

PRICES = ("open", "high", "low", "close")
DAILY = "1d"
ROUNDING = 1e-6
"""Relative distance by which an open or close may lie outside [low, high] and still count as rounding of the source."""


@dataclass(frozen=True, eq=False)
class BarTable:
    """n bars of one symbol, in the order they were delivered, unchecked.

    Attributes
    ----------
    source : as shown to people, e.g. ``data/SPY.csv`` or ``sample``
    frequency : ``1d``, ``1min``, ...; the spacing of the bars' start labels
    session_of : (n,) int64, days since the epoch, New York date of each bar
    starts : (n,) int64 nanoseconds UTC, start of each bar; 9:30 New York time for daily bars
    open, high, low, close, volume, dividend : (n,) float64; NaN where the source says nothing
    path, lines : the file as shown to people and the line each bar stands on (none for Parquet)
    notes : sentences about these bars for readers of results
    """

    symbol: str
    source: str
    frequency: str
    session_of: Instants
    starts: Instants
    open: Floats
    high: Floats
    low: Floats
    close: Floats
    volume: Floats
    dividend: Floats
    path: str = ""
    lines: Instants | None = None
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.session_of)

    @property
    def daily(self) -> bool:
        return self.frequency == DAILY

    @property
    def key(self) -> Instants:
        """(n,) identity of each bar: the session of daily bars, else the start."""
        return self.session_of if self.daily else self.starts

    @property
    def first(self) -> date:
        return day_of(self.session_of[0])

    @property
    def last(self) -> date:
        return day_of(self.session_of[-1])

    def where(self, row: int) -> str:
        """``file:line`` of a bar, as far as it is known."""
        if self.lines is not None:
            return f"{self.path}:{self.lines[row]}"
        return self.path or self.source

    def take(self, rows: slice | NDArray[Any]) -> BarTable:
        """The same table with only `rows` (a slice, a mask or positions)."""
        arrays = {name: getattr(self, name)[rows] for name in ("session_of", "starts", *NUMBERS)}
        return replace(self, lines=None if self.lines is None else self.lines[rows], **arrays)


def daily_table(symbol: str, source: str, days: Instants, columns: Mapping[str, Floats]) -> BarTable:
    """A table of daily bars on `days` (days since the epoch).

    `columns` holds open, high, low, close and volume, and dividend where the source carries dividends.
    """
    days = np.asarray(days, dtype=np.int64)
    arrays: dict[str, Any] = {name: np.asarray(columns[name], dtype=np.float64) for name in FIELDS}
    arrays |= absorb_rounding(*(arrays[name] for name in PRICES))
    dividend = np.asarray(columns.get("dividend", np.zeros(len(days))), dtype=np.float64)
    return BarTable(symbol, source, DAILY, days, wall_to_utc(days, OPEN), **arrays, dividend=dividend)


def absorb_rounding(open: Floats, high: Floats, low: Floats, close: Floats) -> dict[str, Floats]:
    """``{"high": …, "low": …}`` widened to open and close where these lie outside by rounding only (ROUNDING).

    Sources that multiply each price by an adjustment factor leave such crumbs; larger breaches are left for
    the quality checks to refuse.
    """
    top, bottom = np.maximum(open, close), np.minimum(open, close)
    return {
        "high": np.where((top > high) & (top <= high * (1 + ROUNDING)), top, high),
        "low": np.where((bottom < low) & (bottom >= low * (1 - ROUNDING)), bottom, low),
    }


def step_of(frequency: str) -> int:
    """Nanoseconds between the starts of intraday bars: ``1min`` → 60,000,000,000, ``30s`` → 30,000,000,000."""
    if frequency.endswith("min"):
        return int(frequency[:-3]) * MINUTE
    return int(frequency[:-1]) * SECOND


def in_hours(table: BarTable, on: Sessions) -> NDArray[np.bool_]:
    """(n,) True for bars that start within the regular hours of one of the sessions `on`."""
    if not len(on):
        return np.zeros(len(table), dtype=np.bool_)
    rows = np.clip(np.searchsorted(on.session_of, table.session_of), 0, len(on) - 1)
    within = (table.starts >= on.opens_at[rows]) & (table.starts < on.closes_at[rows])
    return np.asarray(within & (on.session_of[rows] == table.session_of))


def to_bars(tables: Sequence[BarTable], timeline: Sessions, frequency: str = DAILY) -> Bars:
    """Put the tables' bars on one timeline; NaN where a symbol has no bar there, dividend 0.

    Bars of a table that are not on the timeline are left out. Daily tables on an intraday timeline stand on the last
    bar of their session: that is when they are known.
    """
    shape = (len(timeline), len(tables))
    arrays = {name: np.full(shape, np.nan) for name in FIELDS} | {"dividend": np.zeros(shape)}
    for column, table in enumerate(tables):
        rows, taken = _places(table, timeline, frequency)
        for name, array in arrays.items():
            array[rows, column] = getattr(table, name)[taken]
    for array in arrays.values():
        array.flags.writeable = False  # bars take them as they are, and copy none
    return Bars(
        symbols=tuple(t.symbol for t in tables),
        session_of=timeline.session_of,
        opens_at=timeline.opens_at,
        closes_at=timeline.closes_at,
        **arrays,
        sources=tuple(t.source for t in tables),
        frequency=frequency,
    )


def _places(table: BarTable, timeline: Sessions, frequency: str) -> tuple[Instants, Instants]:
    """Rows of the timeline and the rows of `table` that belong there."""
    by_session = table.daily and frequency != DAILY
    axis = timeline.session_of if table.daily else timeline.opens_at
    keys = table.key
    rows = np.searchsorted(axis, keys, side="right" if by_session else "left") - int(by_session)
    inside = (rows >= 0) & (rows < len(axis))
    inside[inside] = axis[rows[inside]] == keys[inside]
    return rows[inside], np.flatnonzero(inside)
