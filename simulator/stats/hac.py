"""Variances that allow for autocorrelation and changing variance (HAC).

Bartlett weights 1 − k/(L+1) on the autocovariances up to lag L: Newey & West (1987). The result is never negative.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from simulator.numerics import dot
from simulator.stats.series import Floats


@dataclass(frozen=True)
class Regression:
    """y = intercept + slope·x, with the HAC standard error of the intercept."""

    intercept: float
    slope: float
    intercept_error: float


def newey_west_lag(n: int) -> int:
    """⌊4·(n/100)^(2/9)⌋, at most n − 1: the usual truncation for Bartlett weights (Newey & West 1994, table II)."""
    return min(int(4.0 * (n / 100.0) ** (2.0 / 9.0)), n - 1)


def bartlett_sum(scores: Floats, lag: int) -> float:
    """Return Σxₜ² + 2 Σₖ (1 − k/(L+1)) Σ xₜxₜ₋ₖ of scores (n,) that sum to 0: n times their long-run variance."""
    total = dot(scores, scores)
    for k in range(1, min(lag, scores.size - 1) + 1):
        total += 2.0 * (1.0 - k / (lag + 1.0)) * dot(scores[k:], scores[:-k])
    # Bartlett weights never make the sum negative; rounding can.
    return total if total > 0.0 else 0.0


def long_run_variance(series: Floats, lag: int) -> float:
    """γ₀ + 2 Σₖ (1 − k/(L+1)) γₖ of a series (n,), its mean removed, autocovariances divided by n."""
    return bartlett_sum(series - series.mean(), lag) / series.size


def sharpe_influence(excess: Floats) -> Floats:
    """Contribution (n,) of each session to the error of the Sharpe ratio: z − SR·(z² − 1)/2, z = (e − mean)/sd, ddof 0.

    The delta method on mean and mean square: its long-run variance is that of √n·SR per session (Lo 2002).
    """
    z = (excess - excess.mean()) / excess.std()
    return np.asarray(z - 0.5 * float(excess.mean() / excess.std()) * (z * z - 1.0))


def mean_error(series: Floats, lag: int) -> float:
    """Standard error of mean(series): √(long-run variance / n)."""
    return float(np.sqrt(long_run_variance(series, lag) / series.size))


def regression_on_one(y: Floats, x: Floats, lag: int) -> Regression:
    """OLS of y on a constant and x, both (n,).

    The standard error is the sandwich with Bartlett weights up to `lag`, without a small-sample factor.
    """
    centred = x - x.mean()
    spread = dot(centred, centred)
    slope = dot(centred, y) / spread
    intercept = float(y.mean()) - slope * float(x.mean())
    residual = y - intercept - slope * x
    # Row of (X'X)⁻¹X' that belongs to the intercept: its variance is that of the sum of influence × residual.
    influence = 1.0 / y.size - x.mean() * centred / spread
    scores = influence * residual
    return Regression(intercept, slope, float(np.sqrt(bartlett_sum(scores, lag))))
