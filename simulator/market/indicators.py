"""Indicators: pure functions on one series each, oldest value first.

Every function returns an array as long as its input. Value t is known at the close of bar t and depends on bars
0 … t only, bit for bit: the sums run in the same order however long the series is. NaN stands where there are not yet
enough bars; leading NaN in the input are passed over, so indicators can be chained. Windows `n` are in bars and at
least 1 (ValueError otherwise).

J. Welles Wilder, New Concepts in Technical Trading Systems (1978): rsi, atr. Gerald Appel (1979): macd.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from simulator.errors import UsageError, did_you_mean
from simulator.market.bars import Bars, Floats
from simulator.numerics import log

SESSIONS_PER_YEAR = 252


class Macd(NamedTuple):
    """(n,) each: fast less slow average, its signal average, and the difference of the two."""

    line: Floats
    signal: Floats
    histogram: Floats


def sma(x: Floats, n: int) -> Floats:
    """Mean of the last `n` values."""
    return _rolling(np.add, _series(x, n), n) / n


def ema(x: Floats, n: int) -> Floats:
    """Exponential average with weight 2 / (n + 1) on the newest value, begun with the mean of the first `n`."""
    return smooth(_series(x, n), n, 2.0 / (n + 1))


def rsi(close: Floats, n: int = 14) -> Floats:
    """Wilder's relative strength index, 0 to 100; first known after `n` changes. 100 without losses, 50 without
    any change at all."""
    change = np.diff(_series(close, n), prepend=np.nan)
    gain = smooth(np.where(np.isnan(change), np.nan, np.maximum(change, 0.0)), n, 1.0 / n)
    loss = smooth(np.where(np.isnan(change), np.nan, np.maximum(-change, 0.0)), n, 1.0 / n)
    total = gain + loss
    return np.where(total == 0.0, 50.0, 100.0 * gain / np.where(total == 0.0, 1.0, total))


def macd(close: Floats, fast: int = 12, slow: int = 26, signal: int = 9) -> Macd:
    """Moving average convergence/divergence. Each average begins with the mean of its own first values."""
    line = ema(close, fast) - ema(close, slow)
    averaged = ema(line, signal)
    return Macd(line, averaged, line - averaged)


def atr(high: Floats, low: Floats, close: Floats, n: int = 14) -> Floats:
    """Wilder's average true range, in the unit of the prices; first known after `n` bars with a bar before them."""
    before = np.concatenate(([np.nan], _series(close, n)[:-1]))[: len(close)]
    spans = np.asarray(high, dtype=np.float64) - low
    true_range = np.maximum(spans, np.maximum(np.abs(high - before), np.abs(low - before)))
    return smooth(true_range, n, 1.0 / n)


def returns(x: Floats, k: int = 1) -> Floats:
    """Simple return over `k` bars, as a fraction: 0.01 is 1 %."""
    series = _series(x, k)
    found = np.full(len(series), np.nan)
    found[k:] = series[k:] / series[: max(0, len(series) - k)] - 1.0
    return found


def realised_volatility(close: Floats, n: int = 20, per_year: int = SESSIONS_PER_YEAR) -> Floats:
    """Standard deviation (ddof 1) of the last `n` log returns, times √`per_year`: 0.2 is 20 % a year. `n` ≥ 2."""
    _check_spread(n, "standard deviation")
    return _deviation(np.diff(log(_series(close, n)), prepend=np.nan), n) * math.sqrt(per_year)


def drawdown(x: Floats) -> Floats:
    """Distance below the highest value so far, as a fraction: 0 at a high, −0.2 when 20 % below it."""
    series = _series(x, 1)
    return series / np.fmax.accumulate(series) - 1.0 if len(series) else series


def correlation(a: Floats, b: Floats, n: int) -> Floats:
    """Pearson correlation of the last `n` values of two series (usually returns); NaN where one does not move.
    `n` ≥ 2."""
    _check_spread(n, "correlation")
    a, b = _series(a, n), _series(b, n)
    if len(a) != len(b):
        raise ValueError(f"series of {len(a)} and {len(b)} values")
    apart = _deviation(a, n) * _deviation(b, n) * (n - 1)
    together = _rolling_products(a, b, n) / np.where(apart > 0.0, apart, np.nan)
    return np.clip(together, -1.0, 1.0)


def rolling_max(x: Floats, n: int) -> Floats:
    """Highest of the last `n` values."""
    return _rolling(np.maximum, _series(x, n), n)


def rolling_min(x: Floats, n: int) -> Floats:
    """Lowest of the last `n` values."""
    return _rolling(np.minimum, _series(x, n), n)


def zscore(x: Floats, n: int) -> Floats:
    """Distance of the newest of `n` values from their mean, in standard deviations (ddof 1); NaN where none moves.
    `n` ≥ 2."""
    _check_spread(n, "standard deviation")
    series = _series(x, n)
    spread = _deviation(series, n)
    return (series - sma(series, n)) / np.where(spread > 0.0, spread, np.nan)


FIELDS_OF = {
    **dict.fromkeys(("sma", "ema", "rsi", "macd", "returns", "realised_volatility", "drawdown"), ("close",)),
    **dict.fromkeys(("rolling_max", "rolling_min", "zscore"), ("close",)),
    "atr": ("high", "low", "close"),
}
"""{indicator of one symbol: the fields it is made of}."""


def along(bars: Bars, name: str, column: int, windows: Sequence[int]) -> Any:
    """Return an indicator of FIELDS_OF on all bars of one symbol: worked out once for the whole bars, and sliced.

    Bars that begin later than the whole have indicators of their own: averages rest on where a series begins.
    """
    if name not in FIELDS_OF:
        guess = did_you_mean(name, FIELDS_OF)
        raise UsageError(f'no indicator "{name}" of one symbol{guess}', mend=f"there are {', '.join(FIELDS_OF)}")
    function, fields = globals()[name], FIELDS_OF[name]
    spans = [bars.locate(field, column) for field in fields]
    first, end = max(span[1] for span in spans), spans[0][2]
    if first > 0:
        return function(*(values[first:end] for values, _, _ in spans), *windows)
    key = ("indicator", name, column, tuple(windows))
    kept = bars.whole.worked_out
    if key not in kept:
        found = function(*(values for values, _, _ in spans), *windows)
        for values in found if isinstance(found, Macd) else (found,):
            values.flags.writeable = False
        kept[key] = found
    found = kept[key]
    return Macd(*(values[:end] for values in found)) if isinstance(found, Macd) else found[:end]


def _series(x: Floats, n: int) -> Floats:
    if n < 1:
        raise ValueError(f"a window of {n} bars")
    return np.asarray(x, dtype=np.float64)


def _check_spread(n: int, what: str) -> None:
    if n < 2:
        raise ValueError(f"a {what} needs at least 2 values, not {n}")


def _rolling(combine: np.ufunc, x: Floats, n: int) -> Floats:
    """Combine the last `n` values, oldest first, one step for all windows at a time.

    Not a running sum, whose rounding would depend on where the series begins.
    """
    found = np.full(len(x), np.nan)
    if len(x) >= n:
        windows = len(x) - n + 1
        total = x[:windows].copy()
        for offset in range(1, n):
            combine(total, x[offset : offset + windows], out=total)
        found[n - 1 :] = total
    return found


def _deviation(x: Floats, n: int) -> Floats:
    """Standard deviation (ddof 1) of the last `n` values; exactly 0 where the window does not move."""
    spread = np.sqrt(_rolling_products(x, x, n) / (n - 1))
    spread[rolling_max(x, n) == rolling_min(x, n)] = 0.0
    return spread


def _rolling_products(a: Floats, b: Floats, n: int) -> Floats:
    """Σ (a − mean a)(b − mean b) over the last `n` values, in two passes: the difference of sums would cancel."""
    found = np.full(len(a), np.nan)
    if len(a) >= n:
        windows = len(a) - n + 1
        mean_a, mean_b = _rolling(np.add, a, n)[n - 1 :] / n, _rolling(np.add, b, n)[n - 1 :] / n
        total = np.zeros(windows)
        for offset in range(n):
            total += (a[offset : offset + windows] - mean_a) * (b[offset : offset + windows] - mean_b)
        found[n - 1 :] = total
    return found


def smooth(x: Floats, n: int, weight: float) -> Floats:
    """Recursive average: the mean of the first `n` values that are known, then ``y += weight · (x − y)``."""
    found = np.full(len(x), np.nan)
    known = np.flatnonzero(~np.isnan(x))
    begin = int(known[0]) if len(known) else len(x)
    if len(x) - begin < n:
        return found
    values = x[begin:].tolist()
    average = math.fsum(values[:n]) / n
    averages = [average]
    for value in values[n:]:
        average += weight * (value - average)
        averages.append(average)
    found[begin + n - 1 :] = averages
    return found
