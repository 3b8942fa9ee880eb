"""The stationary bootstrap (Politis & Romano 1994), its block length, and the intervals made with it.

A replicate strings together blocks of consecutive sessions, each starting anywhere (the end is followed by the
beginning) and of geometric length, until it is as long as the history. Everything is seeded: the same call gives the
same numbers on every machine.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from simulator.errors import UsageError
from simulator.numerics import dot, exp, log1p, power
from simulator.stats.distributions import normal_cdf, normal_quantile
from simulator.stats.series import Floats, Integers, Measure, Undefined, as_series, excess_over, is_constant

DRAWS = 10_000
QUANTILES = (0.05, 0.5, 0.95)
"""Of the maximum drawdown, deepest first."""
NONE: Floats = np.empty(0)
Unsigned = NDArray[np.uint64]
SHORT_BLOCK = 5.0
"""Sessions below which drawing a block costs more than adding it up."""

Method = Literal["percentile", "basic", "normal", "bias_corrected"]
Scheme = Literal["stationary", "circular"]


@dataclass(frozen=True)
class Interval:
    """A confidence interval and how it was made.

    Attributes
    ----------
    low, high : bounds at `level`, in the units of `estimate`
    estimate : value in the sample itself
    block_length : mean length of a block, in sessions
    draws : replicates asked for; those without the statistic (a replicate of constant returns) are left out
    """

    low: float
    high: float
    estimate: float
    level: float
    block_length: float
    draws: int


IntervalAndBand = tuple[Interval | Undefined, tuple[float, ...] | Undefined]
"""Interval of a Sharpe ratio, and quantiles of the maximum drawdown."""

CHUNK = 4
"""Replicates whose numbers are drawn at a time for all series: they and one series fit the processor's cache."""


def block_length(series: ArrayLike, scheme: Scheme = "stationary") -> float:
    """Block length that minimises the mean squared error of the variance of the mean, in sessions, at least 1.

    Politis & White (2004) with the correction of Patton, Politis & White (2009): flat-top lag window, cut off at
    twice the first lag from which K = max(5, ⌊log₁₀ n⌋) autocorrelations in a row are below 2√(log₁₀ n / n), and at
    most min(3√n, n/3). A constant or very short series has no dependence to keep: 1.
    """
    x = as_series(series)
    n = x.size
    if n < 8 or is_constant(x):
        return 1.0
    covariance, cut = _autocovariances(x)
    k = np.arange(1, cut + 1)
    window = np.where(k <= cut / 2, 1.0, 2.0 * (1.0 - k / cut)) * covariance[1 : cut + 1]
    spectrum = covariance[0] + 2.0 * float(window.sum())
    bias = 2.0 * float((k * window).sum())
    # Blocks of geometric length make the variance of the variance larger than fixed ones: 2 instead of 4/3.
    spread = (2.0 if scheme == "stationary" else 4.0 / 3.0) * spectrum**2
    longest = math.ceil(min(3.0 * math.sqrt(n), n / 3.0))
    # The flat-top window is not positive definite: a spectrum of 0 or less says nothing, and the longest is safe.
    if spread <= 0.0:
        return float(longest)
    return float(min(max(power(2.0 * bias**2 / spread * n, 1.0 / 3.0), 1.0), longest))


def stationary_rows(n: int, block: float, draws: int, rng: np.random.Generator) -> Integers:
    """Return (draws, n) row numbers 0 … n − 1 of the stationary bootstrap with mean block length `block` ≥ 1."""
    from simulator.stats import bootstrap_kernels

    out = np.empty((draws, n), dtype=np.int64)
    bootstrap_kernels.rows(_seeds(draws, rng), *_lengths(n, block), out, *np.empty((2, n), dtype=np.int64))
    return out


def stationary_counts(n: int, block: float, draws: int, rng: np.random.Generator) -> Floats:
    """Return (draws, n) how often each row is in each replicate of `stationary_rows` drawn with the same generator."""
    from simulator.stats import bootstrap_kernels

    out = np.zeros((draws, n))
    bootstrap_kernels.counts(_seeds(draws, rng), *_lengths(n, block), out, *np.empty((2, n), dtype=np.int64))
    return out


def count_rows(rows: Integers, n: int) -> Floats:
    """Return (draws, n) how often each of n rows stands in each line of `rows`."""
    offset = np.arange(len(rows))[:, None] * n
    return np.bincount((rows + offset).ravel(), minlength=len(rows) * n).reshape(len(rows), n).astype(np.float64)


def sharpe_draws(excess: ArrayLike, block: float, draws: int, rng: np.random.Generator, periods: float = 252) -> Floats:
    """Return (draws,) Sharpe ratios of stationary-bootstrap replicates, times √P; NaN where a replicate is constant."""
    return _draw_histories(as_series(excess, "excess returns"), NONE, block, _seeds(draws, rng), periods)[0]


def sharpe_pair_draws(
    first: ArrayLike, second: ArrayLike, block: float, draws: int, rng: np.random.Generator, periods: float = 252
) -> tuple[Floats, Floats]:
    """Return Sharpe ratios (draws,) of two excess-return series on the *same* replicate sessions, times √P."""
    seeds = _seeds(draws, rng)
    a, b = as_series(first, "first"), as_series(second, "second")
    # Drawn once for each, from the same seeds: the same rows, and half the code of a loop for both.
    return _draw_histories(a, NONE, block, seeds, periods)[0], _draw_histories(b, NONE, block, seeds, periods)[0]


def drawdown_draws(returns: ArrayLike, block: float, draws: int, rng: np.random.Generator) -> Floats:
    """Return (draws,) the maximum drawdown of each replicate of `returns`, negative fractions; returns must be ≥ -1."""
    return _draw_histories(NONE, as_series(returns), block, _seeds(draws, rng))[1]


def sharpe_interval(
    returns: ArrayLike,
    risk_free: ArrayLike | float = 0.0,
    periods: float = 252,
    *,
    level: float = 0.95,
    draws: int = DRAWS,
    block: float | None = None,
    seed: int = 0,
) -> Interval | Undefined:
    """Percentile interval of the annualised Sharpe ratio by the stationary bootstrap.

    `block` is the mean block length in sessions; None takes that of `block_length` of the excess returns.
    Undefined when the excess returns do not vary, below 10 sessions, or when more than one replicate in a hundred
    is constant.
    """
    e = excess_over(returns, risk_free)
    if e.size < 10:
        return Undefined("fewer than 10 sessions")
    if is_constant(e):
        return Undefined("excess returns do not vary")
    length = block_length(e) if block is None else block
    return _percentiles(e.tobytes(), length, draws, seed, level, periods)


@lru_cache(maxsize=16)
def _percentiles(
    excess: bytes, length: float, draws: int, seed: int, level: float, periods: float
) -> Interval | Undefined:
    # A run asks three times about its own returns: on their own, among its accounts and beside other fills.
    e = np.frombuffer(excess)
    replicates = sharpe_draws(e, length, draws, np.random.default_rng(seed), periods)
    return _sharpe_interval(e, replicates, length, level, periods)


def drawdown_band(
    returns: ArrayLike,
    quantiles: tuple[float, ...] = QUANTILES,
    *,
    draws: int = DRAWS,
    block: float | None = None,
    seed: int = 0,
) -> tuple[float, ...] | Undefined:
    """Quantiles of the maximum drawdown over bootstrap histories of the same length, negative, deepest first.

    The realised drawdown is one draw from this distribution. Undefined below 10 sessions and for a return below -100 %.
    """
    r = as_series(returns)
    if r.size < 10:
        return Undefined("fewer than 10 sessions")
    if (r < -1.0).any():
        return Undefined("a session lost more than everything")
    length = block_length(r) if block is None else block
    depths = drawdown_draws(r, length, draws, np.random.default_rng(seed))
    return tuple(float(q) for q in np.quantile(depths, quantiles))


def interval_and_band(
    returns: ArrayLike,
    risk_free: ArrayLike | float = 0.0,
    periods: float = 252,
    *,
    level: float = 0.95,
    draws: int = DRAWS,
    seed: int = 0,
) -> IntervalAndBand:
    """Return `sharpe_interval` and `drawdown_band` of one strategy, the same to the last bit, in about half the time.

    With the same seed and block length both look at the same histories, which are drawn once.
    """
    return intervals_and_bands([(returns, risk_free)], periods, level=level, draws=draws, seed=seed)[0]


def intervals_and_bands(
    series: Sequence[tuple[ArrayLike, ArrayLike | float]],
    periods: float = 252,
    *,
    level: float = 0.95,
    draws: int = DRAWS,
    seed: int = 0,
) -> list[IntervalAndBand]:
    """Return `interval_and_band` of each (returns, risk-free return); those of one length share what they draw from."""
    found: dict[int, IntervalAndBand] = {}
    together: dict[int, list[tuple[int, Floats, Floats, float]]] = {}
    for number, (returns, risk_free) in enumerate(series):
        r, e = as_series(returns), excess_over(returns, risk_free)
        length = block_length(e)
        same = length < SHORT_BLOCK and length == block_length(r)
        if same and e.size >= 10 and not is_constant(e) and not (r < -1.0).any():
            together.setdefault(e.size, []).append((number, e, r, length))
        else:
            alone = sharpe_interval(e, 0.0, periods, level=level, draws=draws, seed=seed)
            found[number] = alone, drawdown_band(r, draws=draws, seed=seed)
    seeds = _seeds(draws, np.random.default_rng(seed))
    for alike in together.values():
        drawn = _draw_many([(e, r) for _, e, r, _ in alike], [length for *_, length in alike], seeds, periods)
        for (number, e, _, length), (replicates, depths) in zip(alike, drawn, strict=True):
            band = tuple(float(q) for q in np.quantile(depths, QUANTILES))
            found[number] = _sharpe_interval(e, replicates, length, level, periods), band
    return [found[number] for number in range(len(series))]


def _sharpe_interval(
    e: Floats, replicates: Floats, length: float, level: float, periods: float
) -> Interval | Undefined:
    kept = replicates[np.isfinite(replicates)]
    if kept.size < 0.99 * replicates.size:
        return Undefined("too few sessions differ from each other to draw from")
    estimate = float(e.mean() / e.std(ddof=1) * math.sqrt(periods))
    low, high = interval(kept, estimate, level)
    return Interval(low, high, estimate, level, length, replicates.size)


def interval(
    replicates: ArrayLike, estimate: float, level: float = 0.95, method: Method = "percentile"
) -> tuple[float, float]:
    """Return (low, high) out of bootstrap replicates (B,), quantiles of type 7.

    Source: Efron & Tibshirani (1993), ch. 12–14.


    percentile : quantiles of the replicates
    basic : 2·estimate − those quantiles, swapped
    normal : estimate ± z·sd (ddof 0) of the replicates
    bias_corrected : quantiles shifted by the share of replicates below the estimate, without acceleration
    """
    draws = as_series(replicates, "replicates")
    tail = (1.0 - level) / 2.0
    if method == "normal":
        reach = normal_quantile(1.0 - tail) * float(draws.std())
        return estimate - reach, estimate + reach
    lower, upper = tail, 1.0 - tail
    if method == "bias_corrected":
        share = float(np.clip(np.mean(draws < estimate), 0.5 / draws.size, 1.0 - 0.5 / draws.size))
        shift = 2.0 * normal_quantile(share)
        lower, upper = (normal_cdf(shift + normal_quantile(p)) for p in (lower, upper))
    low, high = (float(q) for q in np.quantile(draws, (lower, upper)))
    return (2.0 * estimate - high, 2.0 * estimate - low) if method == "basic" else (low, high)


def two_sided_p(replicates: ArrayLike, estimate: float) -> Measure:
    """Bootstrap p of "the true value is 0": (1 + #{|replicate − estimate| ≥ |estimate|}) / (B + 1)."""
    draws = as_series(replicates, "replicates")
    return (1.0 + float(np.sum(np.abs(draws - estimate) >= abs(estimate)))) / (draws.size + 1.0)


def _autocovariances(x: Floats) -> tuple[Floats, int]:
    """Autocovariances up to the largest lag considered, and the lag at which the flat-top window ends."""
    n = x.size
    run = max(5, int(math.log10(n)))
    most = min(math.ceil(math.sqrt(n)) + run, n - 2)
    centred = x - x.mean()
    squares = np.concatenate(([0.0], np.cumsum(centred**2)))
    products = np.array([dot(centred[k:], centred[: n - k]) for k in range(most + 1)])
    lags = np.arange(1, most + 1)
    # Each correlation is scaled by the two stretches it is computed from, as the published programs do.
    scale = np.sqrt((squares[n] - squares[lags]) * squares[n - lags])
    small = np.abs(products[1:]) < 2.0 * math.sqrt(math.log10(n) / n) * scale
    passed = np.concatenate(([0], np.cumsum(small)))
    quiet = passed[run:] - passed[:-run] == run
    first = int(np.argmax(quiet)) + 1 if quiet.any() else most
    return products / n, min(2 * first, most)


def _lengths(n: int, block: float) -> tuple[Unsigned, Unsigned]:
    """Cumulative probabilities of the geometric block length 1 … m in units of 2⁻⁵³, the last one 2, and where to start
    looking for a number whose ten highest bits are known."""
    if not block >= 1.0:
        raise UsageError(f"a mean block length of {block:g} sessions is not possible", mend="take 1 or more")
    if block == 1.0:
        return np.zeros(1, dtype=np.uint64), np.zeros(1, dtype=np.uint64)
    # exp(-37.5) is below 2⁻⁵³: no random number of 53 bits reaches a longer block.
    most = max(1, min(n, math.ceil(-37.5 / math.log1p(-1.0 / block))))
    cumulative = 1.0 - np.cumprod(np.full(most, 1.0 - 1.0 / block))
    cumulative[-1] = 2.0
    guide = np.searchsorted(cumulative, np.arange(1024) / 1024.0, side="right")
    return np.ceil(cumulative * 2.0**53).astype(np.uint64), guide.astype(np.uint64)


def _seeds(draws: int, rng: np.random.Generator) -> Unsigned:
    return rng.integers(0, 2**64, size=draws, dtype=np.uint64)


def _draw_histories(
    excess: Floats, returns: Floats, block: float, seeds: Unsigned, periods: float = 252
) -> tuple[Floats, Floats]:
    """Return the Sharpe ratio of `excess` and the maximum drawdown of `returns` in each replicate, (draws,) each.

    Where one of the two is `NONE`, so is its result.
    """
    return _draw_many([(excess, returns)], [block], seeds, periods)[0]


def _draw_many(
    pairs: Sequence[tuple[Floats, Floats]], blocks: Sequence[float], seeds: Unsigned, periods: float = 252
) -> list[tuple[Floats, Floats]]:
    """Return `_draw_histories` of each pair of excess returns and returns, all of one length, or all of one `NONE`.

    The same to the last bit as one by one; the numbers they are drawn from are the same, and drawn once.
    """
    from simulator.stats import bootstrap_kernels

    count, n = len(pairs), max(pairs[0][0].size, pairs[0][1].size)
    sharpe_too, depth_too = pairs[0][0].size > 0, pairs[0][1].size > 0
    prefix = np.zeros((count, 2 * n + 1 if sharpe_too else 0, 2))
    logs = np.zeros((count, 2 * n + 4 if depth_too else 0))
    lengths = [_lengths(n, block) for block in blocks]
    bounds = np.full((count, max(one.size for one, _ in lengths)), 2**63, dtype=np.uint64)
    guides = np.zeros((count, 1024), dtype=np.uint64)
    for i, ((excess, returns), (ends, guide)) in enumerate(zip(pairs, lengths, strict=True)):
        if sharpe_too:
            # Running sums of x and x² of the centred series. Centred, for a variance out of sums of squares cancels.
            centred = np.tile(excess - excess.mean(), 2)
            np.cumsum(centred, out=prefix[i, 1:, 0])
            np.cumsum(centred**2, out=prefix[i, 1:, 1])
        if depth_too:
            # exp(-800) is 0 in floating point: a total loss without an infinity. Four more: the kernel looks ahead.
            logs[i, : 2 * n] = np.tile(np.maximum(log1p(returns), -800.0), 2)
        if ends.size > 1:
            bounds[i, : ends.size], guides[i] = ends, guide
    single = any(block == 1.0 for block in blocks)
    own = np.zeros((count, n if single else 0, 3))
    if single and sharpe_too:
        own[:, :, :2] = np.diff(prefix[:, : n + 1], axis=1)
    if single and depth_too:
        own[:, :, 2] = logs[:, :n]
    starts = np.empty((CHUNK, n if single or count > 1 else 0), dtype=np.uint64)
    numbers = np.empty((CHUNK, n if count > 1 and max(blocks) > 1.0 else 0), dtype=np.uint64)
    sums, depths = np.empty((count, seeds.size, 2)), np.empty((count, seeds.size))
    room = np.empty((4, n + 4)), starts, numbers
    bootstrap_kernels.histories(n, (prefix, logs, own), seeds, bounds, guides, (sums, depths), room)
    return [
        (
            _ratios(one[:, 0], one[:, 1], float(excess.mean()), n, periods) if sharpe_too else NONE,
            exp(depth) - 1.0 if depth_too else NONE,
        )
        for (excess, _), one, depth in zip(pairs, sums, depths, strict=True)
    ]


def _ratios(first: Floats, second: Floats, centre: float, n: int, periods: float) -> Floats:
    """mean / sd (ddof 1) · √P out of Σx and Σx² of centred values; NaN where the variance is only rounding."""
    mean = first / n
    variance = (second - n * mean**2) / (n - 1)
    # 2n running sums of the largest term carry about n·1e-16 of it as rounding.
    noise = 1e-15 * n * max(float(np.max(second)) / n, 1e-300) + 1e-26
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(variance > noise, (centre + mean) / np.sqrt(np.maximum(variance, 0.0)), np.nan) * math.sqrt(
            periods
        )
