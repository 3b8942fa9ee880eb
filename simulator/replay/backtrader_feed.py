"""A backtrader feed that takes whole arrays into its line buffers instead of loading cell by cell.

A symbol's feed holds only the bars the symbol really has. A clock feed with every bar of the run comes first, so that
Cerebro turns once per bar even where some, or all, symbols miss it.
"""

from __future__ import annotations

import warnings
from array import array
from math import inf
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simulator.later import load_later
from simulator.market.bars import FIELDS, Bars, Floats
from simulator.trading.fills import Bar

# Three quarters of what importing backtrader takes; a replay has none of them.
load_later(*(f"backtrader.{name}" for name in ("indicators", "indicators.contrib", "studies", "studies.contrib")))
for part in ("analyzers", "feeds", "filters", "observers", "signals", "stores", "strategies", "talib"):
    load_later(f"backtrader.{part}")
with warnings.catch_warnings():  # backtrader writes \* in plain strings, which Python 3.12 complains about
    warnings.simplefilter("ignore", SyntaxWarning)
    warnings.simplefilter("ignore", DeprecationWarning)
    import backtrader

bt = backtrader

COLUMNS = (*FIELDS, "dividend")
NANOSECONDS_A_DAY = 86_400_000_000_000
EPOCH = 719_163.0
"""1970-01-01 in backtrader's days since the year 1."""


class ArrayFeed(backtrader.feed.DataBase):  # type: ignore[misc]
    """One symbol, or the clock. `dataname` is a mapping from line names to float64 arrays of equal length."""

    lines: Any = ("dividend",)

    def preload(self) -> None:
        """Fill every line at once and go back to the start."""
        columns = self.p.dataname
        for name, values in columns.items():
            getattr(self.lines, name).array = array("d", np.ascontiguousarray(values, dtype=np.float64).tobytes())
        self.home()
        self._buffers = tuple(self.lines)
        self._prices = tuple(getattr(self.lines, name) for name in ("open", "high", "low", "close", "dividend"))
        self._dates: list[float] = columns["datetime"].tolist()
        self._at = -1

    def advance_peek(self) -> float:
        """Return the instant of the next bar, infinity when there is none."""
        following = self._at + 1
        return self._dates[following] if following < len(self._dates) else inf

    def advance(self, size: int = 1, datamaster: object = None, ticks: bool = True) -> None:  # noqa: ARG002
        """Go on by one bar."""
        # backtrader's own version also copies the bar into fourteen tick attributes, at twice the cost.
        self._at += size
        for buffer in self._buffers:
            buffer._idx += size
            buffer.lencount += size

    def bar(self, now: float) -> Bar | None:
        """Return the bar that came at this turn of the clock, None where the symbol has none."""
        at = self._at
        if at < 0 or self._dates[at] != now:
            return None
        opened, high, low, close, dividend = self._prices
        return (opened.array[at], high.array[at], low.array[at], close.array[at], dividend.array[at])

    def now(self) -> float:
        """Return the instant of the newest bar, in backtrader's days."""
        return self._dates[self._at]


def clock(bars: Bars) -> ArrayFeed:
    """Return the feed with every instant of `bars` and no prices."""
    nothing = np.full(len(bars), np.nan)
    return ArrayFeed(dataname=_lines(bars, dict.fromkeys(COLUMNS, nothing)), name="clock")


def feeds(bars: Bars) -> list[ArrayFeed]:
    """Return a feed per symbol with its own bars; damaged ones (a price NaN, infinite or not positive) are left out.

    A dividend going ex on a bar that is left out is paid on the next: who held before it held through it.
    """
    made = []
    for n, symbol in enumerate(bars.symbols):
        lines = _lines(bars, {name: getattr(bars, name)[:, n] for name in COLUMNS})
        four = np.column_stack([lines[name] for name in ("open", "high", "low", "close")])
        rows = np.asarray((np.isfinite(four) & (four > 0)).all(axis=1))
        kept = {name: values[rows] for name, values in lines.items()}
        kept["dividend"] = _paid_on(rows, lines["dividend"])
        made.append(ArrayFeed(dataname=kept, name=symbol))
    return made


def _paid_on(rows: NDArray[np.bool_], dividend: Floats) -> Floats:
    """Return what each of `rows` pays: its own dividend and those of the rows left out before it."""
    paid, owed = [], 0.0
    for kept, dollars in zip(rows.tolist(), dividend.tolist(), strict=True):
        owed += dollars if dollars == dollars else 0.0
        if kept:
            paid.append(owed)
            owed = 0.0
    return np.array(paid, dtype=np.float64)


def _lines(bars: Bars, columns: dict[str, Floats]) -> dict[str, Floats]:
    dates = EPOCH + bars.closes_at / NANOSECONDS_A_DAY
    return {"datetime": dates, **columns, "openinterest": np.zeros(len(bars))}
