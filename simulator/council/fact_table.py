"""Facts of a symbol at many dates at once: each is worked out once a run, for all dates it is asked for, and looked up.

    daily bars of a symbol ──► tabulate: {fact: (K,) numbers} of K windows ──► row_of: the facts of one, rounded

Window k is the bars `first[k]` to before `end[k]`; nothing outside of it enters, so a table holds what each date alone
would give, bit for bit: sums run along one window in the order in which they run along a series.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from simulator.market import indicators
from simulator.market.bars import Bars, Floats
from simulator.market.daily import daily_bars
from simulator.numerics import log
from simulator.trading.execution import SESSIONS_A_YEAR

LOOKBACK = 400
"""Sessions looked at: more than 253, so that a few missing bars of one symbol do not shorten what is known of it."""
RETURNS = (1, 5, 21, 63, 252)
VOLATILITIES = (21, 63)
AVERAGES = (20, 50, 200)
CHANNELS = (20, 55)
SMOOTHED = 251
"""Sessions that RSI, ATR and MACD start from; a session further back would weigh less than 1e-8."""
FAST, SLOW, SIGNAL = 12, 26, 9
WILDER = 14

BLOCK = 512
"""Dates worked out at a time: all of two years, and what hundreds of symbols have room for."""
FEW = 8
"""Windows up to which one after the other is faster than all of them a bar at a time."""

Rows = NDArray[np.intp]
Known = NDArray[np.bool_]
Table = Mapping[str, tuple[Known, Floats]]


def tabulate(close: Floats, high: Floats, low: Floats, first: Rows, end: Rows) -> Table:
    """Return {fact: (K,) True where it is known, its value} of K windows of one symbol's bars, in the order of facts.

    Bars are (T,), oldest first, without NaN; every window has a bar at least. Nothing is rounded yet: see `row_of`.
    """
    length, last = end - first, close[end - 1]
    table: dict[str, tuple[Known, Floats]] = {"close": (length > 0, last)}
    for k in RETURNS:
        there = length > k
        table[f"return_{k}_pct"] = _spread(there, last[there] / close[end[there] - 1 - k] - 1)
    logs = np.diff(log(close), prepend=np.nan)
    for k in VOLATILITIES:
        there = length > k
        deviation = _newest(logs, end[there], k).std(axis=1, ddof=1) if there.any() else np.empty(0)
        table[f"volatility_{k}_pct"] = _spread(there, deviation * math.sqrt(SESSIONS_A_YEAR))
    table |= _oscillators(close, high, low, first, end)
    for k in AVERAGES:
        there = length >= k
        average = _newest(close, end[there], k).mean(axis=1) if there.any() else np.empty(0)
        table[f"sma_{k}_distance_pct"] = _spread(there, last[there] / average - 1)
    there = length > 1
    top = _extremes(np.maximum, close, np.maximum(first, end - SESSIONS_A_YEAR)[there], end[there])
    table["drawdown_252_pct"] = _spread(there, last[there] / top - 1)
    for k in CHANNELS:
        there = length > k
        before = end[there] - 1
        table[f"prior_high_{k}"] = _spread(there, _extremes(np.maximum, high, before - k, before))
        table[f"prior_low_{k}"] = _spread(there, _extremes(np.minimum, low, before - k, before))
    return table


def row_of(table: Table, k: int) -> dict[str, float]:
    """Return the facts of window `k`, rounded as they are shown; those that are not known are left out."""
    return {name: _round_fact(name, float(values[k])) for name, (known, values) in table.items() if known[k]}


@dataclass(frozen=True, eq=False)
class Ahead:
    """Facts worked out ahead for the dates of a run, a block of them at a time, at the date of `bars`.

    `at` is its place among `ends`, the rows at which sessions that are looked at end.
    """

    bars: Bars
    ends: NDArray[np.intp]
    at: int

    @classmethod
    def of_bars(cls, bars: Bars) -> Ahead | None:
        """Return None for bars that nobody announced to read, and where the newest session is not over."""
        whole = bars.whole
        if "ends" not in whole.worked_out:
            if "looked at" not in whole.worked_out or (bars.cut_from is not None and bars.cut_from[1] > 0):
                return None
            overs = np.flatnonzero(np.append(np.diff(whole.session_of) != 0, True)) + 1
            whole.worked_out["ends"] = np.intersect1d(whole.worked_out["looked at"], overs)
        ends = whole.worked_out["ends"]
        at = int(np.searchsorted(ends, len(bars)))
        return cls(whole, ends, at) if at < len(ends) and ends[at] == len(bars) else None

    def of(self, symbol: str) -> dict[str, float] | None:
        """Return the facts of `symbol`; None where it has no bar within the sessions looked back at."""
        block, k = divmod(self.at, BLOCK)
        key = ("facts", symbol, block)
        kept = self.bars.worked_out
        if key not in kept:
            kept.pop(("facts", symbol, block - 2), None)
            kept[key] = self._tabulate(symbol, self.ends[block * BLOCK : (block + 1) * BLOCK])
        place, table = kept[key]
        return row_of(table, place[k]) if place[k] >= 0 else None

    def _tabulate(self, symbol: str, ends: NDArray[np.intp]) -> tuple[list[int], Table]:
        """Return the place of each date in the table, -1 for none, and the table."""
        days = daily_bars(self.bars)
        n = self.bars.column(symbol)
        there = np.flatnonzero(~np.isnan(days.close[:, n]))
        count = np.searchsorted(days.first_row, ends)  # sessions that have begun
        first, end = np.searchsorted(there, np.maximum(count - LOOKBACK, 0)), np.searchsorted(there, count)
        some = end > first
        place = np.where(some, np.cumsum(some) - 1, -1).tolist()
        close, high, low = (array[there, n] for array in (days.close, days.high, days.low))
        return place, tabulate(close, high, low, first[some], end[some]) if some.any() else {}


def six_digits(price: float) -> float:
    """Return `price` to six significant digits: enough for a price, and the same text on every machine."""
    return float(f"{price:.6g}")


def percent(fraction: float) -> float:
    """Return `fraction` in per cent, to two decimals."""
    return round(100 * fraction, 2) + 0.0  # no -0.0


def _round_fact(name: str, value: float) -> float:
    if name.startswith("macd"):
        return round(100 * value, 3) + 0.0
    if name.endswith("_pct"):
        return percent(value)
    return round(value, 1) if name == "rsi_14" else six_digits(value)


def _spread(there: Known, values: Floats) -> tuple[Known, Floats]:
    spread = np.full(len(there), np.nan)
    spread[there] = values
    return there, spread


def _newest(x: Floats, end: Rows, k: int) -> Floats:
    """Return (M, k) the `k` values before each of `end`."""
    # Copied, so that each window is summed along memory as a series of its own is.
    return np.ascontiguousarray(sliding_window_view(x, k)[end - k])


def _extremes(choose: np.ufunc, x: Floats, first: Rows, end: Rows) -> Floats:
    """Return (M,) the largest, or smallest, of `x` in each window."""
    found = np.empty(len(end))
    for size in np.unique(end - first).tolist():
        at = np.flatnonzero(end - first == size)
        found[at] = choose.reduce(sliding_window_view(x, size)[first[at]], axis=1)
    return found


def _oscillators(close: Floats, high: Floats, low: Floats, first: Rows, end: Rows) -> Table:
    first = np.maximum(first, end - SMOOTHED)
    length = end - first
    change = np.diff(close, prepend=np.nan)
    before = np.concatenate(([np.nan], close[:-1]))
    true_range = np.maximum(high - low, np.maximum(np.abs(high - before), np.abs(low - before)))
    there = length > WILDER
    begin, until = first[there] + 1, end[there]  # from the second bar on there is a bar before
    gain = smooth(np.maximum(change, 0.0), begin, until, WILDER)
    loss = smooth(np.maximum(-change, 0.0), begin, until, WILDER)
    total = gain + loss
    rsi = np.where(total == 0.0, 50.0, 100.0 * gain / np.where(total == 0.0, 1.0, total))
    longer = length >= SLOW + SIGNAL
    line, signal = _macd(close, first[longer], end[longer])
    return {
        "rsi_14": _spread(there, rsi),
        "atr_14": _spread(there, smooth(true_range, begin, until, WILDER)),
        "macd_pct": _spread(longer, line / close[end[longer] - 1]),
        "macd_signal_pct": _spread(longer, signal / close[end[longer] - 1]),
    }


def smooth(x: Floats, first: Rows, end: Rows, n: int) -> Floats:
    """Return (K,) Wilder's average at the end of each window, begun with the mean of its first `n` values."""
    if len(first) <= FEW:
        each = [indicators.smooth(x[a:b], n, 1.0 / n)[-1] for a, b in zip(first, end, strict=True)]
        return np.array(each, dtype=np.float64)
    order = np.argsort(first - end, kind="stable")
    begin, length = first[order], (end - first)[order]
    average = _means(x, begin, n)
    for j, count in _steps(length, n):
        average[:count] += (1.0 / n) * (x[begin[:count] + j] - average[:count])
    return _in_order(average, order)


def _macd(close: Floats, first: Rows, end: Rows) -> tuple[Floats, Floats]:
    """Return (K,) the line and its signal of moving average convergence/divergence at the end of each window."""
    if len(first) <= FEW:
        found = [indicators.macd(close[a:b], FAST, SLOW, SIGNAL) for a, b in zip(first, end, strict=True)]
        return np.array([one.line[-1] for one in found]), np.array([one.signal[-1] for one in found])
    order = np.argsort(first - end, kind="stable")
    begin, length = first[order], (end - first)[order]
    fast, slow = _means(close, begin, FAST), _means(close, begin, SLOW)
    line, signal, lines = np.empty(len(begin)), np.empty(len(begin)), np.empty((len(begin), SIGNAL))
    for j, count in _steps(length, FAST):
        value = close[begin[:count] + j]
        fast[:count] += (2.0 / (FAST + 1)) * (value - fast[:count])
        if j >= SLOW:
            slow[:count] += (2.0 / (SLOW + 1)) * (value - slow[:count])
        if j < SLOW - 1:
            continue
        line[:count] = fast[:count] - slow[:count]
        known = j - (SLOW - 1)
        if known < SIGNAL:
            lines[:count, known] = line[:count]
        if known == SIGNAL - 1:
            signal[:] = [math.fsum(row) / SIGNAL for row in lines.tolist()]
        elif known >= SIGNAL:
            signal[:count] += (2.0 / (SIGNAL + 1)) * (line[:count] - signal[:count])
    return _in_order(line, order), _in_order(signal, order)


def _means(x: Floats, begin: Rows, n: int) -> Floats:
    values = x.tolist()
    return np.array([math.fsum(values[at : at + n]) / n for at in begin.tolist()], dtype=np.float64)


def _steps(length: Rows, n: int) -> Iterator[tuple[int, int]]:
    """Yield each place from `n` on, and how many windows, longest first, reach that far."""
    for j in range(n, int(length.max(initial=0))):
        yield j, int(np.searchsorted(-length, -j, side="left"))


def _in_order(values: Floats, order: Rows) -> Floats:
    found = np.empty_like(values)
    found[order] = values
    return found
