"""Second-line descriptions of a return series, for anyone who compares with another program.

None of these enters a verdict: they assume a normal distribution, depend on a second series, or repeat what
`metrics` says in another form. Conventions as in `metrics`.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from simulator.stats.distributions import normal_quantile
from simulator.stats.metrics import PERIODS, cagr, kurtosis, skew
from simulator.stats.series import Measure, Undefined, aligned, as_series, is_constant, measured, standard_deviation


def gaussian_value_at_risk(returns: ArrayLike, level: float = 0.95) -> Measure:
    """mean + z·sd (ddof 0), z the (1 − level) quantile of the normal distribution; negative for a loss."""
    r = as_series(returns)
    return float(r.mean() + normal_quantile(1.0 - level) * r.std())


def gaussian_expected_shortfall(returns: ArrayLike, level: float = 0.95) -> Measure:
    """mean − sd (ddof 0)·φ(z)/(1 − level)."""
    r = as_series(returns)
    density = np.exp(-0.5 * normal_quantile(1.0 - level) ** 2) / np.sqrt(2.0 * np.pi)
    return float(r.mean() - r.std() * density / (1.0 - level))


def cornish_fisher_value_at_risk(returns: ArrayLike, level: float = 0.95) -> Measure:
    """Gaussian VaR with z corrected for skew and excess kurtosis. Source: Zangari (1996)."""
    r = as_series(returns)
    s, k = skew(r), kurtosis(r)
    if isinstance(s, Undefined) or isinstance(k, Undefined):
        return s if isinstance(s, Undefined) else k
    z = normal_quantile(1.0 - level)
    bent = z + (z**2 - 1) * s / 6 + (z**3 - 3 * z) * (k - 3) / 24 - (2 * z**3 - 5 * z) * s**2 / 36
    return float(r.mean() + bent * r.std())


def sample_excess_kurtosis(returns: ArrayLike) -> Measure:
    """G₂ = (n−1)/((n−2)(n−3)) · ((n+1)·(m₄/m₂² − 3) + 6), unbiased under normality. Source: Joanes & Gill (1998)."""
    r, k = as_series(returns), kurtosis(returns)
    if isinstance(k, Undefined) or r.size < 4:
        return k if isinstance(k, Undefined) else Undefined("four observations are needed")
    n = r.size
    return (n - 1) / ((n - 2) * (n - 3)) * ((n + 1) * (k - 3) + 6)


def upside_frequency(returns: ArrayLike) -> Measure:
    """Share of sessions with r > 0, of all n sessions. It is not a hit rate: that is over closed trades."""
    return float(np.mean(as_series(returns) > 0.0))


def tracking_error(returns: ArrayLike, benchmark: ArrayLike, periods: float = PERIODS) -> Measure:
    """sd(r − b, ddof 1)·√P."""
    r = as_series(returns)
    spread = standard_deviation(r - aligned(benchmark, r.size, "benchmark"))
    return spread if isinstance(spread, Undefined) else spread * float(np.sqrt(periods))


def active_premium(returns: ArrayLike, benchmark: ArrayLike, periods: float = PERIODS) -> Measure:
    """CAGR of the strategy less CAGR of the benchmark."""
    own, other = cagr(returns, periods), cagr(aligned(benchmark, as_series(returns).size, "benchmark"), periods)
    if isinstance(own, Undefined) or isinstance(other, Undefined):
        return own if isinstance(own, Undefined) else other
    return own - other


def correlation(returns: ArrayLike, benchmark: ArrayLike) -> Measure:
    """Pearson's correlation of two series of the same sessions."""
    r = as_series(returns)
    b = aligned(benchmark, r.size, "benchmark")
    if r.size < 2 or is_constant(r) or is_constant(b):
        return Undefined("one of the two series does not vary")
    return float(np.clip(np.corrcoef(r, b)[0, 1], -1.0, 1.0))


def capture(returns: ArrayLike, benchmark: ArrayLike, side: int = 1) -> Measure:
    """Σr / Σb over the sessions in which the benchmark rose (`side` 1) or did not (`side` -1), uncompounded."""
    r = as_series(returns)
    b = aligned(benchmark, r.size, "benchmark")
    chosen = b > 0.0 if side > 0 else b <= 0.0
    moved = float(b[chosen].sum())
    if moved == 0.0:
        return Undefined("the benchmark never rose" if side > 0 else "the benchmark never fell")
    return measured(float(r[chosen].sum()) / moved, "the benchmark's moves are too small to divide by")
