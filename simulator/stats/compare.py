"""Comparison of two Sharpe ratios: two strategies on the same dates, paired.

The test is that of Ledoit & Wolf (2008): the difference over a HAC standard error, judged by a studentised circular
block bootstrap. The test of Jobson & Korkie (1981), which takes returns to be independent and normal, rejects too often
and is not offered. The answer can be "cannot tell them apart"; it is never "no difference".
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from simulator.errors import DataError
from simulator.numerics import correlation as pearson
from simulator.numerics import decompose, dot, least_squares, matmul, power, products, weighing
from simulator.stats.bootstrap import DRAWS, block_length, count_rows, interval, sharpe_pair_draws
from simulator.stats.distributions import normal_cdf, student_reach
from simulator.stats.hac import sharpe_influence
from simulator.stats.metrics import PERIODS
from simulator.stats.power import detectable_difference
from simulator.stats.series import Floats, Integers, Undefined, align, as_series, excess_over, is_constant
from simulator.stats.skill import cosines, ewc_variance

Kernel = Literal["parzen", "prewhitened"]
Verdict = Literal["the first is better", "the second is better", "cannot tell them apart"]

CHUNK = 500

PARZEN = 2.6614
"""Andrews's (1991) constant for the bandwidth of the Parzen kernel."""


@dataclass(frozen=True)
class SharpeDifference:
    """Two Sharpe ratios and their difference, annualised, with everything a verdict needs.

    Attributes
    ----------
    difference : first − second
    error : prewhitened HAC standard error of the difference
    p : two-sided, studentised circular block bootstrap; p_hac is the normal one, beside it
    low, high : 95 % interval, difference ± bootstrap quantile of |t| · error
    paired_low, paired_high : 95 % percentile interval of the stationary bootstrap on the same sessions
    correlation : of the two series
    detectable : difference found with 80 % power at this length, two-sided 5 %
    block : rows to a block of the circular bootstrap
    sessions, draws : history and bootstrap
    """

    first: float
    second: float
    difference: float
    error: float
    p: float
    p_hac: float
    low: float
    high: float
    paired_low: float
    paired_high: float
    correlation: float
    detectable: float
    block: int
    sessions: int
    draws: int

    @property
    def borderline(self) -> bool:
        """True where p lies between 0.03 and 0.07, where another seed or another month may change the verdict."""
        return 0.03 <= self.p <= 0.07

    @property
    def verdict(self) -> Verdict:
        """At 5 %. Not finding a difference is not finding that there is none."""
        if self.p >= 0.05:
            return "cannot tell them apart"
        return "the first is better" if self.difference > 0.0 else "the second is better"


def compare(
    first: ArrayLike,
    second: ArrayLike,
    risk_free: ArrayLike | float = 0.0,
    periods: float = PERIODS,
    *,
    draws: int = DRAWS,
    block: int | None = None,
    seed: int = 0,
) -> SharpeDifference | Undefined:
    """Test the difference of two Sharpe ratios; `first` and `second` (n,) returns on the same sessions.

    `block` None takes the automatic length of the series whose mean the difference is. Undefined when one series does
    not vary, when they differ by a constant multiple only, and below 30 sessions.
    """
    a = excess_over(first, risk_free)
    b = align(second, a.size, "second") - align(risk_free, a.size, "risk_free")
    if a.size < 30:
        return Undefined("fewer than 30 sessions")
    if is_constant(a) or is_constant(b):
        return Undefined("excess returns of one of the two do not vary")
    correlation = pearson(a, b)
    error = difference_error(a, b, "prewhitened")
    if correlation > 1.0 - 1e-12 or not error > 1e-12:
        return Undefined("the two move as one")
    size = block or max(round(block_length(sharpe_influence(a) - sharpe_influence(b), "circular")), 1)
    test = studentised_bootstrap(a, b, block=size, draws=draws, seed=seed)
    if test.replicates.size < 0.99 * draws:
        return Undefined("too few sessions differ from each other to draw from")
    root = math.sqrt(periods)
    ratios = np.array([_ratio(a), _ratio(b)]) * root
    reach = float(np.quantile(test.replicates, 0.95)) * error * root
    difference = float(ratios[0] - ratios[1])
    drawn = np.subtract(*sharpe_pair_draws(a, b, block_length(a - b), draws, np.random.default_rng(seed), periods))
    paired = interval(drawn[np.isfinite(drawn)], difference)
    return SharpeDifference(
        first=float(ratios[0]),
        second=float(ratios[1]),
        difference=difference,
        error=error * root,
        p=test.p,
        p_hac=2.0 * normal_cdf(-abs(difference) / (error * root)),
        low=difference - reach,
        high=difference + reach,
        paired_low=paired[0],
        paired_high=paired[1],
        correlation=correlation,
        detectable=detectable_difference(a.size, float(ratios[0]), float(ratios[1]), correlation, periods),
        block=size,
        sessions=a.size,
        draws=draws,
    )


def difference_error(first: ArrayLike, second: ArrayLike, kernel: Kernel = "prewhitened") -> float:
    """HAC standard error of SR₁ − SR₂ per session, of two excess-return series (n,).

    Delta method on the four moments mean and mean square of each; Parzen kernel with the automatic bandwidth of
    Andrews (1991); "prewhitened" by a VAR(1), Andrews & Monahan (1992). Source: Ledoit & Wolf (2008), §3.1.
    """
    a, b = as_series(first, "first"), as_series(second, "second")
    moments = np.column_stack([a, b, a * a, b * b])
    centred = moments - moments.mean(axis=0)
    covariance = _parzen(centred) if kernel == "parzen" else _prewhiten(centred)
    gradient = _gradient(moments.mean(axis=0))
    return math.sqrt(max(dot((covariance * gradient).sum(axis=1), gradient), 0.0) / a.size)


@dataclass(frozen=True, eq=False)
class Studentised:
    """p of "equal Sharpe ratios" and the bootstrap distribution of |t| it was read from.

    Replicates in which a series is constant have no t and are left out.
    """

    p: float
    t: float
    replicates: Floats


def studentised_bootstrap(
    first: ArrayLike,
    second: ArrayLike,
    *,
    block: int,
    draws: int = DRAWS,
    seed: int = 0,
    starts: Integers | None = None,
) -> Studentised:
    """Ledoit & Wolf's (2008, §3.2) bootstrap of |SR₁ − SR₂| over its prewhitened HAC error.

    ⌊n/block⌋ blocks of consecutive sessions, the end followed by the beginning. `starts` (B, ⌊n/block⌋) gives the first
    row of each block in place of `draws` and `seed`. p = (1 + #{t* ≥ t})/(B + 1).
    """
    a, b = as_series(first, "first"), as_series(second, "second")
    if a.size != b.size:
        raise DataError(f"second has {b.size} values, first has {a.size}", mend="align both by date")
    count = a.size // block
    if starts is None:
        starts = np.random.default_rng(seed).integers(0, a.size, size=(draws, count))
    difference = _ratio(a) - _ratio(b)
    t = abs(difference) / difference_error(a, b, "prewhitened")
    sums = weighing(_block_table(a / a.std(), b / b.std(), block), count)
    replicates = np.concatenate(
        [
            _t_of_replicates(sums(count_rows(starts[i : i + CHUNK], a.size)) / count, block, count, difference)
            for i in range(0, len(starts), CHUNK)
        ]
    )
    replicates = replicates[np.isfinite(replicates)]
    return Studentised((1.0 + float(np.sum(replicates >= t))) / (len(replicates) + 1.0), t, replicates)


@dataclass(frozen=True)
class Change:
    """A difference of annual means with its 95 % interval; `decayed` when the interval lies below 0."""

    difference: float
    low: float
    high: float

    @property
    def decayed(self) -> bool:
        """True where the later mean is lower beyond what chance allows."""
        return self.high < 0.0


def change_in_mean(before: ArrayLike, after: ArrayLike, periods: float = PERIODS) -> Change | Undefined:
    """mean(after) − mean(before), times P, two stretches of one history with long-run variances of their own.

    EWC variances (Lazarus, Lewis, Stock & Watson 2018), Student's t with Welch's degrees of freedom, rounded down: a
    bootstrap of some sixty sessions is too narrow. Undefined below 10 sessions a side, and where neither varies.
    """
    old, new = as_series(before, "before"), as_series(after, "after")
    if min(old.size, new.size) < 10:
        return Undefined("fewer than 10 sessions on one side")
    if is_constant(old) and is_constant(new):
        return Undefined("neither varies")
    counts = [cosines(x.size) for x in (old, new)]
    variances = [ewc_variance(x, count) / x.size for x, count in zip((old, new), counts, strict=True)]
    total = variances[0] + variances[1]
    degrees = total * total / math.fsum(v * v / count for v, count in zip(variances, counts, strict=True))
    reach = student_reach(int(degrees + 1e-9), 0.025) * math.sqrt(total) * periods
    difference = float(new.mean() - old.mean()) * periods
    return Change(difference, difference - reach, difference + reach)


def _ratio(x: Floats) -> float:
    return float(x.mean() / x.std(ddof=1))


def _gradient(means: Floats) -> Floats:
    """∂(SR₁ − SR₂) by the means and mean squares (…, 4) in the order m₁, m₂, q₁, q₂."""
    m1, m2, q1, q2 = np.moveaxis(means, -1, 0)
    v1, v2 = q1 - m1**2, q2 - m2**2
    v1, v2 = v1 * np.sqrt(v1), v2 * np.sqrt(v2)
    return np.stack([q1 / v1, -q2 / v2, -0.5 * m1 / v1, 0.5 * m2 / v2], axis=-1)


def _parzen(centred: Floats) -> Floats:
    """Long-run covariance (4, 4) with the Parzen kernel and Andrews's bandwidth, times T/(T − 4)."""
    n = len(centred)
    width = PARZEN * power(_andrews(centred) * n, 0.2)
    total = products(centred, centred) / n
    for lag in range(1, min(math.ceil(width), n)):
        x = lag / width
        weight = 1.0 - 6.0 * x * x * (1.0 - x) if x <= 0.5 else 2.0 * (1.0 - x) * (1.0 - x) * (1.0 - x)
        gamma = products(centred[lag:], centred[:-lag]) / n
        total = total + weight * (gamma + gamma.T)
    return np.asarray(total * n / (n - 4.0))


def _andrews(centred: Floats) -> float:
    """α(2) of Andrews (1991), eq. 6.4, from an AR(1) with intercept fitted to each column."""
    above = below = 0.0
    for column in centred.T:
        past, now = column[:-1] - column[:-1].mean(), column[1:] - column[1:].mean()
        spread = dot(past, past)
        # A column that varies in one session only has no autocorrelation; one of 1 has no bandwidth.
        rho = min(max(dot(past, now) / spread, -0.97), 0.97) if spread > 0.0 else 0.0
        variance = float(np.mean((now - rho * past) ** 2))
        fourth = ((1.0 - rho) ** 2) ** 2
        above += 4.0 * rho**2 * variance**2 / fourth**2
        below += variance**2 / fourth
    return above / below if below > 0.0 else 0.0


def _prewhiten(centred: Floats) -> Floats:
    past, now = centred[:-1], centred[1:]
    left, squares, right = decompose(least_squares(past, now))
    # Singular values below 1, or recolouring would divide by nothing (Andrews & Monahan 1992, 0.97 as they have it).
    stable = matmul(left * np.minimum(0.97 / np.sqrt(np.maximum(squares, 1e-300)), 1.0), right.T)
    recolour = least_squares(np.eye(4) - stable, np.eye(4))
    return matmul(matmul(recolour.T, _parzen(now - matmul(past, stable))), recolour)


def _block_table(a: Floats, b: Floats, block: int) -> Floats:
    """(n, 20) of the block that starts at each row, wrapping around: its sums of a, b, a², b², and their 16 products.

    A replicate's means and its covariance of blocks are sums of these rows, so drawing is counting. Series of unit
    spread keep the products from cancelling; the Sharpe ratio does not depend on scale.
    """
    moments = np.column_stack([a, b, a * a, b * b])
    running = np.vstack([np.zeros(4), np.cumsum(np.vstack([moments, moments[:block]]), axis=0)])
    sums = running[block : block + a.size] - running[: a.size]
    return np.hstack([sums, (sums[:, :, None] * sums[:, None, :]).reshape(-1, 16)])


def _t_of_replicates(drawn: Floats, block: int, count: int, difference: float) -> Floats:
    """(B,) |t*| of replicates given as means (B, 20) of their blocks' rows of the table; NaN where there is none."""
    n = count * block
    means = drawn[:, :4] / block
    covariance = (drawn[:, 4:].reshape(-1, 4, 4) - drawn[:, :4, None] * drawn[:, None, :4]) / block
    variance = means[:, 2:] - means[:, :2] ** 2
    # The series have unit spread: what is left of a constant replicate is rounding, the more the rarer they move.
    means = np.where(np.min(variance, axis=1, keepdims=True) > 1e-8, means, np.nan)
    gradient = _gradient(means)
    # n/(n − 4) as in the estimate itself: four moments are fitted.
    pairs = gradient[:, :, None] * covariance * gradient[:, None, :]
    squared = pairs.reshape(-1, 16).sum(axis=1) / (n - 4.0)
    error = np.sqrt(np.where(squared > 0.0, squared, np.nan))
    spread = np.sqrt((means[:, 2:] - means[:, :2] ** 2) * n / (n - 1.0))
    ratios = means[:, :2] / spread
    return np.asarray(np.abs(ratios[:, 0] - ratios[:, 1] - difference) / error)
