"""Prices of the rehearsal exchange: bars that have closed by now, last trades, quotes, the calendar."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from datetime import date, datetime, time, timedelta
from functools import cached_property
from math import isnan, prod
from typing import Any, NamedTuple

import numpy as np

from simulator.exchange.faults import About, Faults
from simulator.market import calendar
from simulator.market.bars import Bars, Instants
from simulator.market.calendar import DAY, NEW_YORK, SECOND, Sessions, day_number

SPREAD = 1e-4
"""Ask over bid, as a fraction of the price: half of it on either side of the last trade."""

MINUTE = 60 * SECOND
PRICES = ("open", "high", "low", "close", "dividend")
AGED_DAYS = 90
"""An order that is good till cancelled is cancelled so many days after it came."""

AHEAD = timedelta(days=400)
"""Calendar beyond the last bar, for clients that ask when the market opens next."""


class Split(NamedTuple):
    """`ratio` new shares for an old one, from the instant `at` on; the data interface serves it from `told` on."""

    symbol: str
    at: int
    ratio: float
    told: int = 0


def traded_prices(bars: Bars, splits: Iterable[Split], after: bool = False) -> Bars:
    """Return bars as traded from bars that do not show `splits`: prices before each times its ratio; where `after`,
    those from it on divided by it, as if the split were made up. Dividends likewise, volumes the other way."""
    columns: dict[str, Any] = {name: np.array(getattr(bars, name)) for name in (*PRICES, "volume")}
    for one in splits:
        rows = bars.opens_at >= one.at if after else bars.opens_at < one.at
        factor, n = 1.0 / one.ratio if after else one.ratio, bars.columns[one.symbol]
        for name in PRICES:
            columns[name][rows, n] *= factor
        columns["volume"][rows, n] /= factor
    return replace(bars, **columns)


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
    faults: Faults = field(default_factory=Faults)
    splits: tuple[Split, ...] = ()
    opened: Callable[[], int] = lambda: sys.maxsize
    """Bars that have opened: at its own instant one may still be to open."""

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

    def today(self, now: int) -> tuple[int, int, int] | None:
        """Return open, close and 19:00 in New York of the session of this day, None on a day without one."""
        day = day_number(datetime.fromtimestamp(now / 1e9, NEW_YORK).date())
        k = int(np.searchsorted(self.sessions.session_of, day))
        if k == len(self.sessions) or self.sessions.session_of[k] != day:
            return None
        evening = calendar.wall_to_utc(self.sessions.session_of[k : k + 1], time(19))
        return int(self.sessions.opens_at[k]), int(self.sessions.closes_at[k]), int(evening[0])

    def expiry(self, time_in_force: str, now: int) -> int:
        """Return the instant at which an order that comes now ends by itself: with the session or an auction of it, or
        after 90 days, at 16:15 in New York."""
        if time_in_force == "gtc":
            day = day_number(datetime.fromtimestamp(now / 1e9, NEW_YORK).date()) + AGED_DAYS
            return int(calendar.wall_to_utc(np.array([day]), time(16, 15))[0])
        return self.next_open(now) if time_in_force == "opg" else self.next_close(now)

    def new_shares(self, symbol: str, then: int, now: int) -> float:
        """Return the shares that one of `then` has become by `now` through splits."""
        return prod(one.ratio for one in self.splits if one.symbol == symbol and then < one.at <= now)

    def next_open(self, now: int) -> int:
        """Return the instant of the next opening bell after `now`."""
        return int(self.sessions.opens_at[np.searchsorted(self.sessions.opens_at, now, side="right")])

    def next_close(self, now: int) -> int:
        """Return the instant of the next closing bell after `now`."""
        return int(self.sessions.closes_at[np.searchsorted(self.sessions.closes_at, now, side="right")])

    def last_trade(self, symbol: str, now: int) -> tuple[int, float] | None:
        """Return (instant, dollars) of the newest price: a close, or the open of a bar that goes on; None without."""
        newest = self._newest(symbol, now)
        return None if newest is None else newest[:2]

    def _newest(self, symbol: str, now: int) -> tuple[int, float, int] | None:
        """Return instant and dollars of the newest price, and the instant its bar opened."""
        n = self.bars.columns.get(symbol)
        if n is None:
            return None
        t = min(int(np.searchsorted(self.bars.opens_at, now, side="right")), self.opened())
        while t > 0:
            t -= 1
            if np.isfinite(self.bars.close[t, n]):
                if self.bars.closes_at[t] <= now:
                    return int(self.bars.closes_at[t]), float(self.bars.close[t, n]), int(self.bars.opens_at[t])
                return int(self.bars.opens_at[t]), float(self.bars.open[t, n]), int(self.bars.opens_at[t])
        return None

    def price(self, symbol: str, now: int) -> float:
        """Return the newest price in dollars, in shares as they are after splits, NaN before any."""
        newest = self._newest(symbol, now)
        return float("nan") if newest is None else newest[1] / self.new_shares(symbol, newest[2], now)

    def quote(self, symbol: str, now: int) -> tuple[int, float, float] | None:
        """Return (instant, bid, ask): around the newest price, at least a cent apart, standing until now, or as they
        were when the symbol was halted or its quote went stale."""
        rules = [self.faults.rule(name, About(symbol=symbol)) for name in ("halt", "stale")]
        at = min([now, *(rule.since for rule in rules if rule is not None)])
        price = self.price(symbol, at)
        if isnan(price):
            return None
        half = max(0.005, price * SPREAD / 2)
        return at, round(price - half, 4), round(price + half, 4)

    def close_before(self, symbol: str, now: int) -> float:
        """Return the last close of a session before the one of `now`, NaN before any."""
        n = self.bars.columns[symbol]
        known = np.flatnonzero(np.isfinite(self.bars.close[:, n]) & (self.bars.closes_at <= now))
        here = self.sessions.session_of[min(self.session(now), len(self.sessions) - 1)]
        before = known[self.bars.session_of[known] < here]
        if not before.size:
            return float("nan")
        return float(self.bars.close[before[-1], n]) / self.new_shares(symbol, int(self.bars.opens_at[before[-1]]), now)

    def past_bars(
        self, symbol: str, step: int, span: tuple[int, int, int], adjustment: str = "raw"
    ) -> Iterator[PastBar]:
        """Yield the bars of `step` nanoseconds that begin in `span` (start, end, now) and had closed by now, oldest
        first: as traded, or adjusted for ``split``, ``dividend`` or ``all`` that came until now.

        Days are sessions and are named by their midnight in New York. None where the exchange's bars are longer.
        """
        n, (start, end, now) = self.bars.columns.get(symbol), span
        if n is None or (step < DAY and self.bars.frequency == "1d"):
            return
        names = self._names(step)
        within = slice(np.searchsorted(names, start), np.searchsorted(names, end, side="right"))
        rows = np.flatnonzero(np.isfinite(self.bars.close[within, n])) + within.start
        if not rows.size:
            return
        starts = np.flatnonzero(np.r_[True, np.diff(names[rows]) != 0])
        for first, last in zip(starts.tolist(), [*starts[1:].tolist(), len(rows)], strict=True):
            part, b = rows[first:last], self.bars
            old = 1.0 if adjustment in ("raw", "dividend") else self.new_shares(symbol, int(b.opens_at[part[0]]), now)
            scale = (1.0 if adjustment in ("raw", "split") else self._paid_out(n, int(part[-1]), now)) / old
            if b.closes_at[np.searchsorted(names, names[part[0]], side="right") - 1] > now:
                return
            yield PastBar(
                int(names[part[0]]), float(b.open[part[0], n]) * scale, float(b.high[part, n].max()) * scale,
                float(b.low[part, n].min()) * scale, float(b.close[part[-1], n]) * scale,
                float(np.nan_to_num(b.volume[part, n]).sum()) * old,
            )  # fmt: skip

    def _paid_out(self, n: int, t: int, now: int) -> float:
        """Return the part of a price at row `t` that dividends since have left in it."""
        gone = np.flatnonzero((self.bars.dividend[t + 1 :, n] > 0.0) & (self.bars.opens_at[t + 1 :] <= now)) + t + 1
        left = 1.0
        for k in gone.tolist():
            before = self.bars.close[:k, n][np.isfinite(self.bars.close[:k, n])]
            left *= 1.0 - float(self.bars.dividend[k, n]) / float(before[-1]) if before.size else 1.0
        return left

    def _names(self, step: int) -> Instants:
        """(T,) instant by which the data interface names the bar of `step` that each bar lies in."""
        if ("names", step) not in self.bars.worked_out:
            b = self.bars
            names = calendar.wall_to_utc(b.session_of, time(0)) if step >= DAY else b.opens_at - b.opens_at % step
            b.worked_out["names", step] = names
        found: Instants = self.bars.worked_out["names", step]
        return found
