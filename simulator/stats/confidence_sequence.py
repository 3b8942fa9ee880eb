"""Confidence sequence of a mean: an interval that holds at every look at once, however often one looks.

    mean_t ± sd_t·√(2(tρ² + 1)/(t²ρ²)·log(√(tρ² + 1)/α))      e_t = exp(ρ²S²/2(tρ² + 1))/√(tρ² + 1), S = t·mean_t/sd_t

Robbins' normal mixture, with the standard deviation so far for the unknown one: the chance that the interval ever
leaves the true mean out is α (Waudby-Smith, Arbour, Sinha, Kennedy & Ramdas 2021, thm 2.2). Of returns that depend on
each other, sd² is the long-run variance. ρ makes the interval narrowest at a stated target of sessions, the same for
every run. e_t is the e-value of "the mean is 0": it is 1/α just where the interval ends at 0.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import count

import numpy as np
from numpy.typing import ArrayLike

from simulator.numerics import exp
from simulator.stats.distributions import normal_quantile, student_quantile
from simulator.stats.inference import FEWEST
from simulator.stats.series import Floats, Measure, Undefined, is_constant
from simulator.stats.skill import cosines, ewc_variance, share_of_level

ALPHA = 0.05
LAGS = 4
"""Of the Newey-West variance."""

TARGET = 252
"""Sessions at which the interval is narrowest."""

FIRST_LOOK = 60
"""Sessions before which no verdict is given: the long-run variance of fewer is not known well enough."""


@dataclass(frozen=True, eq=False)
class ConfidenceSequence:
    """(…, n) after each session: the mean so far, half the width of its interval, the e-value of a mean of 0.

    Where nothing has varied yet the width is infinite and the e-value 1.
    """

    mean: Floats
    half_width: Floats
    e_value: Floats

    @property
    def low(self) -> Floats:
        return self.mean - self.half_width

    @property
    def high(self) -> Floats:
        return self.mean + self.half_width


def mixture_scale(target: float = TARGET, alpha: float = ALPHA) -> float:
    """Return ρ = √((−2 log α + log(1 − 2 log α))/t₀), which makes the interval narrowest at about `target` sessions."""
    spent = -2.0 * math.log(alpha)
    return math.sqrt((spent + math.log(spent + 1.0)) / target)


def confidence_sequence(
    series: ArrayLike, target: float = TARGET, alpha: float = ALPHA, lags: int = LAGS
) -> ConfidenceSequence:
    """Return the sequence of the mean of `series` (…, n), sessions last, each row by itself.

    `alpha` is the chance to leave the mean out; ρ stays that of 5 %, so that the e-value is one for all. ``lags=0``
    takes the plain standard deviation (ddof 0). Row t rests on the values up to t alone.
    """
    x = np.asarray(series, dtype=np.float64)
    t = np.arange(1.0, x.shape[-1] + 1)
    mean, variance = np.cumsum(x, axis=-1) / t, running_variance(x, lags)
    square = mixture_scale(target) ** 2
    spread = t * square + 1.0
    varies = variance > 0.0
    known = np.where(varies, variance, 1.0)
    half = np.sqrt(known * _width(t, square, alpha))
    # exp overflows beyond 709: at such evidence a larger number says no more.
    exponent = np.minimum(square * (t * mean) ** 2 / (2.0 * spread * known), 700.0)
    e_value = np.where(varies, exp(exponent) / np.sqrt(spread), 1.0)
    return ConfidenceSequence(mean, np.where(varies, half, np.inf), e_value)


def _width(t: Floats, square: float, alpha: float) -> Floats:
    """(n,) squares of half the width for a variance of 1."""
    spread = t * square + 1.0
    # One by one: numpy's logarithm of arrays differs between processors in the last bit.
    logs = np.array([0.5 * math.log(one) for one in spread.tolist()]) - math.log(alpha)
    return np.asarray(2.0 * spread / (t * t * square) * logs)


def running_variance(series: Floats, lags: int = LAGS) -> Floats:
    """Return (…, n) long-run variances of the values up to each: γ₀ + 2 Σₖ (1 − k/(L + 1)) γₖ (Newey & West 1987).

    Autocovariances are divided by t, the mean is that so far. 0 where nothing varies, within rounding.
    """
    n = series.shape[-1]
    # Covariances do not depend on the level, and running sums of squares of a high one would cancel to noise.
    x = series - series[..., :1]
    t = np.arange(1.0, n + 1)
    sums = np.cumsum(x, axis=-1)
    mean, squares = sums / t, np.cumsum(x * x, axis=-1)
    found = squares - sums * mean
    for k in range(1, min(lags, n - 1) + 1):
        # Σ(xᵢ − m)(xᵢ₋ₖ − m) over i ≤ t: products less m times the sums of either factor.
        products = np.cumsum(x[..., k:] * x[..., :-k], axis=-1)
        m = mean[..., k:]
        either = (sums[..., k:] - sums[..., k - 1 : k]) + sums[..., :-k]
        found[..., k:] += 2.0 * (1.0 - k / (lags + 1.0)) * (products - m * either + (t[k:] - k) * m * m)
    return np.asarray(np.where(found > 1e-12 * squares, found / t, 0.0))


def one_look(series: Floats, alpha: float = ALPHA) -> tuple[float, float] | Undefined:
    """Return the ends of the fixed-sample interval of the mean of `series` (n ≥ 10,), which holds for one look alone:
    EWC variance and Student's t (:mod:`simulator.stats.skill`)."""
    if series.size < FEWEST or is_constant(series):
        return Undefined(f"fewer than {FEWEST} sessions" if series.size < FEWEST else "it does not vary")
    degrees, mean = cosines(series.size), float(series.mean())
    half = student_quantile(1.0 - alpha / 2.0, degrees) * math.sqrt(ewc_variance(series, degrees) / series.size)
    return mean - half, mean + half


@dataclass(frozen=True)
class AnytimeTest:
    """The e-value of a mean of 0 and p-values that hold at every look at once: of a mean of 0 or less, of which a
    change of level earned a part, and of the lower tail, of one that it lost (:mod:`simulator.stats.skill`)."""

    e_value: float
    p: float
    p_worse: float


def anytime_test(series: Floats, level: float = 0.0) -> AnytimeTest:
    """Return the test of `series` (n ≥ 1,) after its last session, of which a change of level earned `level` each.

    p is 1/e: the mixture looks to both sides, so that each tail has half.
    """
    mean = float(series.mean())
    e = float(confidence_sequence(series).e_value[-1])
    gained, lost = mean - max(level, 0.0), mean - min(level, 0.0)
    without = float(confidence_sequence(series - level).e_value[-1])
    p_level = 1.0 / without if gained > 0 else 1.0
    p = max(1.0 / e, share_of_level(mean, max(level, 0.0)) * (p_level if level > 0 else 1.0 / e)) if mean > 0 else 1.0
    worse = max(0.5 / e, 0.25 / without if level < 0 and lost < 0 else 0.25 if level < 0 else 0.0)
    return AnytimeTest(e, min(p, 1.0), min(worse, 1.0) if mean < 0 else 1.0)


SMALLEST = 1e-4
"""Ratio a session, a thousandth or two a year, below which nobody waits."""


def sessions_to_find(ratio: float, chance: float = 0.8, alpha: float = ALPHA, target: float = TARGET) -> Measure:
    """Sessions until the sequence leaves 0 out with `chance`, of independent normal returns whose true `ratio`, mean
    over standard deviation, is per session: the first at which mean − z/√t reaches the width, from the first look on.

    It may be found earlier at one of the looks before: `chance` is a lower bound.
    """
    if ratio <= 0.0:
        return Undefined("the edge is not positive: no number of sessions would show it")
    if ratio < SMALLEST:
        return Undefined("the edge is too small: no number of sessions that anybody lives to see would show it")
    square, z = mixture_scale(target) ** 2, normal_quantile(chance)

    def is_found(t: int) -> bool:
        return ratio - z / math.sqrt(t) >= math.sqrt(float(_width(np.array([float(t)]), square, alpha)[0]))

    high = next(2**i for i in count(6) if is_found(2**i))
    low = FIRST_LOOK - 1
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if is_found(middle) else (middle, high)
    return float(high)
