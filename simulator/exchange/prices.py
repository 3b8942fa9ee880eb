"""Prices of the rehearsal exchange: bars that have closed by now, last trades, quotes, the calendar."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date, time, timedelta
from functools import cached_property

import numpy as np

from simulator.market import calendar
from simulator.market.bars import Bars, Instants
from simulator.market.calendar import DAY, SECOND, Sessions

SPREAD = 1e-4
"""Ask over bid, as a fraction of the price: half of it on either side of the last trade."""

MINUTE = 60 * SECOND
AHEAD = timedelta(days=400)
"""Calendar beyond the last bar, for clients that ask when the market opens next."""


@dataclass(frozen=True)
class PastBar:
    """One bar as the data interface tells it: the instant it is named by, and open, high, low, close, volume."""

    at: int
    open: float
    high: float
    low: float
    close: float
    volume: float


@dataclass(frozen=True, eq=False)
class Prices:
    """Bars of the exchange. Everything asked of it is asked as of `now`, nanoseconds since the epoch: a bar that has
    not opened is not there, of one that has not closed only its open is known."""

    bars: Bars
    halted: set[str] = field(default_factory=set)

    @cached_property
    def sessions(self) -> Sessions:
        """The sessions of the exchange from a month before the first bar on."""
        first, last = (self.bars.dates[k].astype(date) for k in (0, -1))
        return calendar.sessions(first - timedelta(days=40), last + AHEAD)

    def is_open(self, now: int) -> bool:
        """Return True in regular trading hours."""
        k = int(np.searchsorted(self.sessions.opens_at, now, side="right")) - 1
        return k >= 0 and now < int(self.sessions.closes_at[k])

    def session(self, now: int) -> int:
        """Return the row in `sessions` of the session that is open, else of the next one."""
        return int(np.searchsorted(self.sessions.closes_at, now, side="right"))

    def next_open(self, now: int) -> int:
        """Return the instant of the next opening bell after `now`."""
        return int(self.sessions.opens_at[np.searchsorted(self.sessions.opens_at, now, side="right")])

    def next_close(self, now: int) -> int:
        """Return the instant of the next closing bell after `now`."""
        return int(self.sessions.closes_at[np.searchsorted(self.sessions.closes_at, now, side="right")])

    def last_trade(self, symbol: str, now: int) -> tuple[int, float] | None:
        """Return (instant, dollars) of the newest price: a close, or the open of a bar that goes on; None without."""
        n = self.bars.columns.get(symbol)
        if n is None:
            return None
        t = int(np.searchsorted(self.bars.opens_at, now, side="right"))
        while t > 0:
            t -= 1
            if np.isfinite(self.bars.close[t, n]):
                if self.bars.closes_at[t] <= now:
                    return int(self.bars.closes_at[t]), float(self.bars.close[t, n])
                return int(self.bars.opens_at[t]), float(self.bars.open[t, n])
        return None

    def price(self, symbol: str, now: int) -> float:
        """Return the newest price in dollars, NaN before any."""
        last = self.last_trade(symbol, now)
        return float("nan") if last is None else last[1]

    def quote(self, symbol: str, now: int) -> tuple[int, float, float] | None:
        """Return (instant, bid, ask) around the last trade, at least a cent apart."""
        last = self.last_trade(symbol, now)
        if last is None:
            return None
        half = max(0.005, last[1] * SPREAD / 2)
        return last[0], round(last[1] - half, 4), round(last[1] + half, 4)

    def close_before(self, symbol: str, now: int) -> float:
        """Return the last close of a session before the one of `now`, NaN before any."""
        n = self.bars.columns[symbol]
        known = np.flatnonzero(np.isfinite(self.bars.close[:, n]) & (self.bars.closes_at <= now))
        here = self.sessions.session_of[min(self.session(now), len(self.sessions) - 1)]
        before = known[self.bars.session_of[known] < here]
        return float(self.bars.close[before[-1], n]) if before.size else float("nan")

    def past_bars(self, symbol: str, step: int, start: int, end: int, now: int) -> Iterator[PastBar]:
        """Yield the bars of `step` nanoseconds that begin in [start, end] and had closed by `now`, oldest first.

        Days are sessions and are named by their midnight in New York. None where the exchange's bars are longer.
        """
        n = self.bars.columns.get(symbol)
        if n is None or (step < DAY and self.bars.frequency == "1d"):
            return
        names = self._names(step)
        rows = np.flatnonzero(np.isfinite(self.bars.close[:, n]) & (names >= start) & (names <= end))
        if not rows.size:
            return
        starts = np.flatnonzero(np.r_[True, np.diff(names[rows]) != 0])
        for first, last in zip(starts.tolist(), [*starts[1:].tolist(), len(rows)], strict=True):
            part, b = rows[first:last], self.bars
            if b.closes_at[np.searchsorted(names, names[part[0]], side="right") - 1] > now:
                return
            yield PastBar(
                int(names[part[0]]), float(b.open[part[0], n]), float(b.high[part, n].max()),
                float(b.low[part, n].min()), float(b.close[part[-1], n]), float(np.nan_to_num(b.volume[part, n]).sum()),
            )  # fmt: skip

    def _names(self, step: int) -> Instants:
        """(T,) instant by which the data interface names the bar of `step` that each bar lies in."""
        if step >= DAY:
            return calendar.wall_to_utc(self.bars.session_of, time(0))
        return self.bars.opens_at - self.bars.opens_at % step

    def listed(self) -> Mapping[str, int]:
        """Return {symbol: column}."""
        return self.bars.columns
