"""Reality check and step-down of any number of configurations, block by block: no matrix of all of them is made.

    rows (n, T) of a block ──► replicates (B, n): m*, sd* ──► largest so far (B,)               reality check
                                       └──► t, (SR* − SR)/error ──► staircases (B, few)         step-down

All resample the sessions of all configurations together, so their dependence is kept, and none needs more of a
replicate than how often it drew each session: one matrix product gives every mean and every variance.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from simulator.numerics import dot, weighing
from simulator.stats.bootstrap import DRAWS, block_length, count_rows, stationary_counts
from simulator.stats.series import Floats, Integers

CHUNK = 500
"""Replicates handled at a time: 500 × 2,520 sessions are 10 MB."""

KEPT = 10_000_000
"""Counts of draws kept between blocks, 80 MB; more are drawn again for each."""

MOST_FOR_LENGTH = 200
"""Configurations whose block lengths are averaged; of more, evenly spaced ones."""

Moments = Callable[[Floats], tuple[Floats, Floats]]


@dataclass(frozen=True)
class Resampling:
    """Rule by which replicates are drawn: given `rows` (B, T), or `draws` of them with this block length and seed.

    `block` None takes the mean over configurations of the automatic length, over 200 evenly spaced ones of more.
    """

    draws: int = DRAWS
    block: float | None = None
    seed: int = 0
    rows: Integers | None = None

    def block_for(self, excess: Floats) -> float:
        if self.block is not None:
            return self.block
        return float(np.mean([block_length(excess[:, i]) for i in evenly(excess.shape[1], MOST_FOR_LENGTH)]))

    def counts(self, excess: Floats) -> Iterator[Floats]:
        """Yield (b, T) how often each replicate drew each session, chunk by chunk."""
        sessions = len(excess)
        if self.rows is not None:
            for start in range(0, len(self.rows), CHUNK):
                yield count_rows(self.rows[start : start + CHUNK], sessions)
            return
        rng, block = np.random.default_rng(self.seed), self.block_for(excess)
        for start in range(0, self.draws, CHUNK):
            yield stationary_counts(sessions, block, min(CHUNK, self.draws - start), rng)


@dataclass(frozen=True, eq=False)
class Many:
    """N configurations tested together, per session; where returns do not vary, NaN and p = 1.

    Attributes
    ----------
    mean, ratio, error, t : (N,) means, Sharpe ratios, the sd of their replicates (ddof 1), and one over the other
    p : (N,) Romano-Wolf adjusted
    p_ratio : (N,) the same step-down of the ratios themselves, each replicate recentred by its mean and divided by its
        own sd, as the reality check has them: nearer to its size where t = ratio/error says too much of heavy tails
    p_level : (N,) that of the means less what a change of level earned
    best : the largest ratio, with its p by the reality check; `null` (B,) the largest recentred ratio of each replicate
    null_t : (B,) the largest (SR* − SR)/error of each replicate
    effective : number of independent configurations they amount to
    """

    mean: Floats
    ratio: Floats
    error: Floats
    t: Floats
    p: Floats
    p_ratio: Floats
    p_level: Floats
    best: int
    p_best: float
    null: Floats
    null_t: Floats
    effective: float


def evenly(count: int, most: int) -> list[int]:
    """Return at most `most` evenly spaced numbers of 0 … count − 1, first and last among them."""
    return sorted({i * (count - 1) // max(min(count, most) - 1, 1) for i in range(min(count, most))})


def varying(rows: Floats) -> NDArray[np.bool_]:
    """(n,) where rows (n, T) are finite and vary by more than rounding, as `is_constant` has it."""
    with np.errstate(invalid="ignore"):
        return np.asarray(np.ptp(rows, axis=1) > 1e-13 + 1e-12 * np.abs(rows).max(axis=1))


def moments_of(x: Floats) -> Moments:
    """Return the function from counts (b, T) to means (b, N) and standard deviations (b, N, ddof 1) of replicates.

    A constant replicate has sd infinity.
    """
    n, centre = len(x), x.mean(axis=0)
    centred = x - centre
    squares = centred**2
    # Rounding of the sums, and of the values before they are added (see `weighing`).
    noise = 1e-14 * squares.mean(axis=0) + 4.5e-16 * n * squares.max(axis=0)
    sums, sums_of_squares = weighing(centred, n), weighing(squares, n)

    def moments(counts: Floats) -> tuple[Floats, Floats]:
        first = sums(counts) / n
        variance = (sums_of_squares(counts) - n * first**2) / (n - 1)
        # Of a replicate that drew the same value throughout, the difference of sums leaves rounding, not 0. Its sd is
        # infinite rather than that: the ratio becomes 0, not a huge number that wins every maximum.
        return first + centre, np.where(variance > noise, np.sqrt(np.maximum(variance, 0.0)), np.inf)

    return moments


def compare_many(
    blocks: Iterable[Floats],
    resampling: Resampling,
    levels: Floats | None = None,
    judged: NDArray[np.bool_] | None = None,
) -> Many:
    """Test all rows of `blocks`, (n, T) each, together; `levels` (N,) is what a change of level earned per session.

    The largest ratio by White's (2000) reality check, each replicate recentred by the mean alone and divided by its own
    sd; each configuration by the step-down of Romano & Wolf (2005, 2016). Rows that hold what is not finite take no
    part. The block length has to be given in `resampling`, or `rows`. Memory grows by a few numbers a configuration.
    """
    kept: list[Floats] = []
    parts: list[Floats] = []
    null, null_t, together, varied, first = NONE, NONE, np.zeros(1), 0, 0
    tested = np.zeros(0, dtype=np.bool_)
    steps = [Staircases(), Staircases(), Staircases()]
    for rows in blocks:
        active = varying(rows)
        parts.append(np.full((3, len(rows)), np.nan))
        gain = np.zeros(len(rows)) if levels is None else np.maximum(levels[first : first + len(rows)], 0.0)
        among = active if judged is None else active & judged[first : first + len(rows)]
        tested = np.append(tested, among)
        first += len(rows)
        if not active.any():
            continue
        x = np.ascontiguousarray(rows[active])
        if not kept and resampling.draws * x.shape[1] <= KEPT:
            kept = list(resampling.counts(x.T))
        mean, spread = x.mean(axis=1), x.std(axis=1, ddof=1)
        recentred, away = _replicate(x, mean, kept or resampling.counts(x.T))
        ratio, error = mean / spread, away.std(axis=0, ddof=1)
        away = (away - ratio) / error
        kind = among[active]
        if kind.any():
            null, null_t = _larger(null, recentred[:, kind].max(axis=1)), _larger(null_t, away[:, kind].max(axis=1))
            steps[0].add((ratio / error)[kind], away[:, kind])
            steps[1].add(ratio[kind], recentred[:, kind])
            if levels is not None:
                steps[2].add(((mean - gain[active]) / spread)[kind], recentred[:, kind])
        parts[-1][:, active] = mean, ratio, error
        together = together + ((x - mean[:, None]) / (spread * np.sqrt(x.shape[1] - 1.0))[:, None]).sum(axis=0)
        varied += len(x)
    mean, ratio, error = np.hstack(parts)
    p = np.ones((3, len(ratio)))
    p[:, tested] = [one.p() for one in (steps if levels is not None else (*steps[:2], steps[1]))]
    best = int(np.argmax(np.where(tested, ratio, -np.inf))) if null.size else 0
    p_best = (1.0 + float(np.sum(null >= ratio[best]))) / (null.size + 1.0) if null.size else 1.0
    effective = effective_of(together, varied, len(ratio))
    return Many(mean, ratio, error, ratio / error, p[0], p[1], p[2], best, p_best, null, null_t, effective)


def _replicate(x: Floats, mean: Floats, counts: Iterable[Floats]) -> tuple[Floats, Floats]:
    """Ratios (B, n) of the replicates of x (n, T), recentred by the mean alone, and as they are."""
    recentred, ratios, moments = [], [], moments_of(x.T)
    for drawn_often in counts:
        drawn, own = moments(drawn_often)
        # Divided by the replicate's own sd: a fixed sd over-rejects.
        recentred.append((drawn - mean) / own)
        ratios.append(drawn / own)
    return np.concatenate(recentred), np.concatenate(ratios)


NONE: Floats = np.empty(0)


def _larger(before: Floats, now: Floats) -> Floats:
    return np.maximum(before, now) if before.size else now


def effective_of(together: Floats, varied: int, count: int) -> float:
    """Return ρ̄ + (1 − ρ̄)N of N = `count` series, of which `varied` do; `together` (T,) is the sum of these, each
    centred and of length 1.

    Σᵢⱼ ρᵢⱼ is the sum of squares of that sum: no matrix of all pairs. Constant ones count as independent.
    """
    if varied < 2:
        return float(count)
    average = (dot(together, together) - varied) / (count * (count - 1))
    return float(np.clip(average + (1.0 - average) * count, 1.0, count))


class Staircases:
    """The step-down without its matrix: for each replicate the largest deviation among all configurations with a t of
    at most so much, a staircase in t, of which only the steps are kept."""

    def __init__(self) -> None:
        self._t: list[Floats] = []
        self._at: Floats = NONE
        self._high: Floats = NONE

    def add(self, t: Floats, deviation: Floats) -> None:
        """Add configurations with statistics `t` (n,) and deviations of their replicates (B, n)."""
        self._t.append(t)
        order = np.argsort(t, kind="stable")
        at, high = np.broadcast_to(t[order], deviation.shape), deviation[:, order]
        if self._at.size:
            at, high = np.hstack([self._at, at]), np.hstack([self._high, high])
            by = np.argsort(at, axis=1, kind="stable")
            at, high = np.take_along_axis(at, by, axis=1), np.take_along_axis(high, by, axis=1)
        high = np.maximum.accumulate(high, axis=1)
        # A step that does not reach its own t reaches none above it.
        step = (np.diff(high, axis=1, prepend=-np.inf) > 0) & (high >= at)
        by = np.argsort(~step, axis=1, kind="stable")[:, : max(int(step.sum(axis=1).max()), 1)]
        there = np.take_along_axis(step, by, axis=1)
        self._at = np.where(there, np.take_along_axis(at, by, axis=1), np.inf)
        self._high = np.where(there, np.take_along_axis(high, by, axis=1), -np.inf)

    def p(self) -> Floats:
        """Return p (N,) in the order in which configurations were added: from the largest t downwards (1 + #{largest
        deviation of those at or below ≥ t})/(B + 1), made monotone, so that a smaller t never gets the smaller p."""
        if not self._t:
            return NONE
        t = np.concatenate(self._t)
        order = np.argsort(-t, kind="stable")
        rising = t[order][::-1]
        # Each step covers the t from where it begins to as high as it reaches, or to the next step.
        after = np.hstack([self._at[:, 1:], np.full((len(self._at), 1), np.inf)])
        low = np.searchsorted(rising, self._at.ravel())
        reach = np.searchsorted(rising, self._high.ravel(), side="right")
        high = np.maximum(np.minimum(reach, np.searchsorted(rising, after.ravel())), low)
        change = np.bincount(low, minlength=t.size + 1) - np.bincount(high, minlength=t.size + 1)
        covered = np.cumsum(change)[: t.size][::-1]
        p = np.empty(t.size)
        p[order] = np.maximum.accumulate((1.0 + covered) / (len(self._at) + 1.0))
        return p
