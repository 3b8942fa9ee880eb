"""Selection: the worth of the best of many configurations, once it is admitted that it was chosen.

`excess` is always (T, N): excess returns of N configurations over the risk-free return or over a benchmark, on the same
T sessions. All tests resample the sessions of all configurations together, so their dependence is kept, and none needs
more of a replicate than how often it drew each session: one matrix product gives every mean and every variance.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from simulator.errors import DataError
from simulator.numerics import products, weighing
from simulator.stats.many import Many, Resampling, compare_many, effective_of, varying
from simulator.stats.series import Floats, Integers, as_matrix, is_constant


@dataclass(frozen=True, eq=False)
class RealityCheck:
    """Test of the best Sharpe ratio of a sweep against the best of as many lucky ones.

    Attributes
    ----------
    best : column with the largest Sharpe ratio
    sharpe : (N,) Sharpe ratios per session
    p : probability of a best at least this large without any edge; above 0.05 reads "consistent with luck given
        N trials"
    null : (B,) largest recentred Sharpe ratio of each replicate, per session
    """

    best: int
    sharpe: Floats
    p: float
    null: Floats


@dataclass(frozen=True, eq=False)
class StepDown:
    """Romano-Wolf adjusted p (N,), with the Sharpe ratios per session, their bootstrap errors and t statistics."""

    sharpe: Floats
    error: Floats
    t: Floats
    p: Floats


@dataclass(frozen=True)
class Superiority:
    """p-values of the superior predictive ability test: liberal, consistent and conservative recentring."""

    statistic: float
    lower: float
    consistent: float
    upper: float


@dataclass(frozen=True, eq=False)
class ConfidenceSet:
    """The configurations that cannot be told from the best, and the MCS p-value (N,) at which each would leave."""

    included: tuple[int, ...]
    p: Floats
    size: float


def max_sharpe_reality_check(excess: ArrayLike, resampling: Resampling | None = None) -> RealityCheck:
    """White's (2000) reality check for the largest Sharpe ratio, each replicate divided by its own sd.

    Statistic max SRᵢ; null max (m*ᵢ − mᵢ)/sd*ᵢ; p = (1 + #{null ≥ statistic})/(B + 1). Not studentising the mean loses
    nearly all power when configurations differ in volatility; studentising by a fixed sd over-rejects.
    Configurations whose returns do not vary take no part.
    """
    found = _compare(excess, resampling)
    return RealityCheck(found.best, found.ratio, found.p_best, found.null)


def romano_wolf(excess: ArrayLike, resampling: Resampling | None = None) -> StepDown:
    """Step-down p per configuration for "its Sharpe ratio is 0 or less", whatever their dependence.

    t = SR / sd of the bootstrap Sharpe ratios (ddof 1); from the largest t downwards, p = (1 + #{max over the remaining
    of (SR* − SR)/sd ≥ t})/(B + 1), made monotone. Source: Romano & Wolf (2005, 2016).
    A configuration whose returns do not vary has NaN in `sharpe`, `error` and `t` and p = 1.
    """
    found = _compare(excess, resampling)
    return StepDown(found.ratio, found.error, found.t, found.p)


def superior_predictive_ability(
    excess: ArrayLike, resampling: Resampling | None = None, *, studentise: bool = True
) -> Superiority:
    """Hansen's (2005) SPA test that no configuration has a mean above 0; unstudentised its `upper` is White's (2000).

    Here for comparison with other programs: unstudentised it loses power when volatilities differ, studentised
    it over-rejects. The verdict of a sweep is `max_sharpe_reality_check`. p = #{null > statistic}/B.
    """
    x, _ = _active(excess)
    resampling = resampling or Resampling()
    n, mean = len(x), x.mean(axis=0)
    omega = _hansen_scale(x, resampling.block_for(x))
    scale = omega if studentise else np.ones_like(omega)
    root = np.sqrt(n)
    statistic = max(float(np.max(root * mean / scale)), 0.0) if studentise else float(np.max(root * mean))
    threshold = -math.sqrt(2.0 * math.log(math.log(n)) / n) * omega
    recentred = {"lower": np.maximum(mean, 0.0), "consistent": np.where(mean >= threshold, mean, 0.0), "upper": mean}
    over = dict.fromkeys(recentred, 0)
    total, sums = 0, weighing(x, n)
    for counts in resampling.counts(x):
        drawn = sums(counts) / n
        total += len(drawn)
        for name, centre in recentred.items():
            null = np.max(root * (drawn - centre) / scale, axis=1)
            over[name] += int(np.sum((np.maximum(null, 0.0) if studentise else null) > statistic))
    return Superiority(statistic, **{name: count / total for name, count in over.items()})


def model_confidence_set(
    excess: ArrayLike,
    resampling: Resampling | None = None,
    *,
    size: float = 0.10,
    statistic: Literal["range", "max"] = "range",
    whole: bool = True,
) -> ConfidenceSet:
    """Return the set that contains the configuration with the best mean with probability 1 − `size`.

    Configurations leave one by one, worst first, until equal means are no longer rejected. "range": largest |t| of all
    pairs, work N³B; "max": largest t against the average of the set, work N²B, weaker. Source: Hansen, Lunde & Nason
    (2011). Means, not Sharpe ratios: scale returns to equal volatility first if that is the question. Unless `whole`,
    it stops at the set, and the p of those within is the least it can be.
    """
    x = as_matrix(excess, "excess returns")
    resampling = resampling or Resampling(draws=1000)
    mean = x.mean(axis=0)
    sums = weighing(x, len(x))
    deviation = np.concatenate([sums(counts) / len(x) - mean for counts in resampling.counts(x)])
    test = _range_statistic if statistic == "range" else _max_statistic
    left, p, highest = list(range(x.shape[1])), np.ones(x.shape[1]), 0.0
    while len(left) > 1:
        reached, worst = test(mean[left], deviation[:, left])
        # A p never falls from step to step: sets of different `size` would else not lie within each other.
        highest = max(highest, reached)
        if not whole and highest > size:
            p[left] = highest
            break
        p[left[worst]] = highest
        del left[worst]
    return ConfidenceSet(tuple(int(i) for i in np.flatnonzero(p > size)), p, size)


def effective_trials(excess: ArrayLike) -> float:
    """Effective number of trials N̂ = ρ̄ + (1 − ρ̄)N with the mean correlation ρ̄ of all pairs.

    Between 1 and N. Source: Bailey & López de Prado (2014), appendix. Constant configurations count as independent.
    """
    rows = np.ascontiguousarray(as_matrix(excess, "excess returns").T)
    z = rows[varying(rows)]
    z = z - z.mean(axis=1)[:, None]
    z /= np.sqrt((z * z).sum(axis=1))[:, None]
    return effective_of(z.sum(axis=0), len(z), len(rows))


def _compare(excess: ArrayLike, resampling: Resampling | None) -> Many:
    x, _ = _active(excess)
    resampling = resampling or Resampling()
    if resampling.rows is None:
        resampling = replace(resampling, block=resampling.block_for(x))
    return compare_many([np.ascontiguousarray(as_matrix(excess).T)], resampling)


def _active(excess: ArrayLike) -> tuple[Floats, Integers]:
    """The columns that vary, and which they are."""
    x = as_matrix(excess, "excess returns")
    active = np.array([i for i in range(x.shape[1]) if not is_constant(x[:, i])], dtype=np.int64)
    if not active.size or len(x) < 10:
        raise DataError(
            f"{x.shape[1]} configurations over {len(x)} sessions, {active.size} with returns that vary",
            mend="a sweep needs at least 10 sessions and one configuration that trades",
        )
    return x[:, active], active


def _p(null: Floats, statistic: float) -> float:
    return (1.0 + float(np.sum(null >= statistic))) / (null.size + 1.0)


def _hansen_scale(x: Floats, block: float) -> Floats:
    """√ of the long-run variance as the stationary bootstrap with this mean block length has it (Hansen 2005)."""
    n, q = len(x), 1.0 / block
    centred = x - x.mean(axis=0)
    total = np.mean(centred**2, axis=0)
    for k in range(1, n):
        # Two values k apart share a block with (1 − q)ᵏ, and so do those n − k apart: blocks run around the end.
        weight = (n - k) / n * math.pow(1.0 - q, k) + k / n * math.pow(1.0 - q, n - k)
        total += 2.0 * weight * np.sum(centred[k:] * centred[:-k], axis=0) / n
    return np.asarray(np.sqrt(total))


def _range_statistic(mean: Floats, deviation: Floats) -> tuple[float, int]:
    """p of equal means by the largest pairwise |t|, and the configuration that should leave."""
    gram = products(deviation, deviation) / len(deviation)
    own = np.diag(gram)
    spread = np.sqrt(np.maximum(own[:, None] + own[None, :] - 2.0 * gram, 0.0))
    # Two configurations that are the same have no spread: they are equal, t = 0.
    inverse = np.divide(1.0, spread, out=np.zeros_like(spread), where=spread > 1e-14)
    t = (mean[:, None] - mean[None, :]) * inverse
    null = np.zeros(len(deviation))
    for i in range(len(mean) - 1):
        gaps = np.abs(deviation[:, i : i + 1] - deviation[:, i + 1 :]) * inverse[i, i + 1 :]
        np.maximum(null, gaps.max(axis=1), out=null)
    return _p(null, float(np.max(t))), int(np.argmin(t.min(axis=1)))


def _max_statistic(mean: Floats, deviation: Floats) -> tuple[float, int]:
    """p of equal means by the largest shortfall against the average of the set, and who has it."""
    gap = mean.mean() - mean
    drawn = deviation.mean(axis=1, keepdims=True) - deviation
    spread = np.sqrt(np.mean(drawn**2, axis=0))
    inverse = np.divide(1.0, spread, out=np.zeros_like(spread), where=spread > 1e-14)
    t = gap * inverse
    return _p(np.max(drawn * inverse, axis=1), float(np.max(t))), int(np.argmax(t))
