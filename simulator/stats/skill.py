"""Skill: does a run earn more than its own usual exposure to its own symbols?

    e   excess return of the run over cash, after costs                       (n,)
    w   signed weights held when each session opens, x  excess returns of the symbols over it   (n, N)
    b = Σ w̄ᵢxᵢ, w̄ₜ the mean of w up to t: the usual exposure, known before xₜ                   (n,)
    d = e − b: choosing and timing, less costs
    level = Σ mean(wᵢ − w̄ᵢ)·mean(xᵢ), or Σ mean(wᵢ − w̄ᵢ)·mean(x) of all: of the mean of d, the reward of an exposure
        that moved one way

w̄ lags behind an exposure that only rises, or only falls: d then holds the mean of the market, and a rising one would
pass for choosing, or a rise that was missed for choosing badly. So d must pass without that reward, too: at half the p,
or at all of it where the reward is more than a third of d.

No slope is estimated and nothing divided by, so one formula serves timing of one symbol, pickers, long/short books and
leverage alike. A regression on the exposure of the whole sample would look ahead: it takes dip buyers without skill for
skilled. Returns are simple, per session.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from simulator.errors import DataError
from simulator.numerics import matmul, turn_cosines
from simulator.stats.distributions import student_sf
from simulator.stats.inference import FEWEST, deflated_sharpe, probabilistic_sharpe
from simulator.stats.many import Many, varying
from simulator.stats.metrics import kurtosis, skew
from simulator.stats.series import Floats, Integers, Measure, Undefined, as_matrix, as_series, is_constant


@dataclass(frozen=True)
class MeanTest:
    """Test of "the mean of a series (n,) per session is 0 or less".

    Attributes
    ----------
    sessions, mean : n, and the mean per session
    t, degrees : mean over its error, by the EWC long-run variance; Student's with so many degrees of freedom
    p_mean : one-sided p of t; `p_worse` that of the lower tail
    p_ratio : 1 − PSR(series; 0), which asks skew and tails as well
    p_level : the larger of the two without the reward of the change of level, where that is a gain; `p_worse` takes
        half of its own where it is a loss
    level : that gain per session, 0 or more
    ratio, skew, kurtosis : mean over standard deviation per session (ddof 1), and the moments
    """

    sessions: int
    mean: float
    t: float
    degrees: int
    p_mean: float
    p_worse: float
    p_ratio: float
    p_level: float
    ratio: float
    skew: float
    kurtosis: float
    level: float

    @property
    def p(self) -> float:
        """The largest of `p_mean`, `p_ratio` and half of `p_level`, or all of that where the change of level earned
        more than a third of the mean: skill owes less to it, and keeps its power."""
        return max(self.p_mean, self.p_ratio, self.p_level * share_of_level(self.mean, self.level))


@dataclass(frozen=True)
class Split:
    """(n,) parts of a run's excess return e that add up to it: usual exposure, choosing and timing, and costs (≤ 0)."""

    exposure: Floats
    choosing: Floats
    costs: Floats

    @property
    def beyond(self) -> Floats:
        """(n,) d: what was earned beyond the usual exposure, after costs."""
        return self.choosing + self.costs


def usual_exposure(weights: ArrayLike, moves: ArrayLike) -> Floats:
    """Return (n,) b = Σ w̄ᵢxᵢ of w and x (n, N); w̄ₜ, the mean of w up to t, is known before xₜ.

    Raises DataError where the shapes differ.
    """
    w, x = as_matrix(weights, "weights"), as_matrix(moves, "moves")
    if w.shape != x.shape:
        raise DataError(f"weights have shape {w.shape}, moves {x.shape}", mend="align both by session and symbol")
    return np.asarray((mean_so_far(w) * x).sum(axis=1))


def mean_so_far(weights: Floats, since: Integers | None = None, before: Floats | float = 0.0, count: int = 0) -> Floats:
    """Return w̄ of w (n, N): row t is the mean of the rows up to t, from row ``since[i]`` (N,) on, 0 before.

    What could not be held yet is no choice: counted as 0, it would leave the mean behind for long. `count` rows whose
    mean was `before` (N,) came earlier.
    """
    rows = np.arange(1, len(weights) + 1)[:, None]
    seen = rows if since is None else np.maximum(rows - since, 1)
    if not count:
        return np.asarray(np.cumsum(weights, axis=0) / seen)
    return np.asarray((np.cumsum(weights, axis=0) + count * np.asarray(before)) / (seen + count))


def mean_moves(moves: Floats) -> Floats:
    """Return (N,) the mean of each column of x (n, N) from its first move on: before, there was nothing to hold."""
    moved = moves != 0.0
    since = np.where(moved.any(axis=0), moved.argmax(axis=0), 0)
    return np.asarray(moves.sum(axis=0) / np.maximum(len(moves) - since, 1))


def level_reward(ahead: ArrayLike, moves: ArrayLike) -> float:
    """Return what a change of level earned, per session, of a = w − w̄ and x (n, N): of Σ mean(aᵢ)·mean(xᵢ) and
    Σ mean(aᵢ)·mean(x), with the mean of all x, the larger where Σ aᵢxᵢ earned, the smaller where it lost.

    More of everything is one choice, whatever it was spread over: symbols bought because they had fallen have low means
    of their own. It looks at the whole sample, and only ever takes from what is to be shown.
    """
    a, x = as_matrix(ahead, "weights"), as_matrix(moves, "moves")
    levels, rewards = a.mean(axis=0), mean_moves(x)
    own = math.fsum((levels * rewards).tolist())
    pooled = math.fsum(levels.tolist()) * math.fsum(rewards.tolist()) / max(len(rewards), 1)
    return max(own, pooled) if math.fsum((a * x).ravel().tolist()) > 0 else min(own, pooled)


def anchoring(weights: ArrayLike, moves: ArrayLike) -> float:
    """Return the correlation of w (n, N) with each symbol's price since the start, the sum of its moves x (n, N) before
    the session, or with that price less the mean price of all where this is lower; 0 where nothing varies.

    Both are taken from their straight lines. A book that holds more the further a price has fallen below its start,
    or below where a trend from there has it, is near −1: of the sums that its d is made of Student's t is not the law
    (Dickey & Fuller 1979), and p is too small.
    """
    w, x = as_matrix(weights, "weights"), as_matrix(moves, "moves")
    price = np.vstack([np.zeros((1, x.shape[1])), np.cumsum(x, axis=0)[:-1]])
    held = _without_line(w)
    return min(_correlation(held, _without_line(one)) for one in (price, price - price.mean(axis=1, keepdims=True)))


def _without_line(values: Floats) -> Floats:
    """(n, N) less the straight line of each column by least squares."""
    t = np.arange(len(values))[:, None] - (len(values) - 1) / 2.0
    return np.asarray(values - values.mean(axis=0) - t * ((t * values).sum(axis=0) / max(float((t * t).sum()), 1.0)))


def _correlation(one: Floats, other: Floats) -> float:
    scale = math.sqrt(float((one * one).sum()) * float((other * other).sum()))
    return float((one * other).sum()) / scale if scale > 1e-12 else 0.0


def split_return(excess: ArrayLike, exposure: ArrayLike, costs: ArrayLike) -> Split:
    """Return the parts of `excess` (n,): b as :func:`usual_exposure` gives it, `costs` as fractions of equity, ≥ 0."""
    e, b, paid = as_series(excess), as_series(exposure, "exposure"), as_series(costs, "costs")
    if not e.size == b.size == paid.size:
        raise DataError(f"{e.size} sessions, {b.size} of exposure, {paid.size} of costs", mend="align all by session")
    return Split(b, (e - b) + paid, -paid)


def cosines(n: int) -> int:
    """Number B of cosines: max(4, ⌊0.4·n^⅔⌋) (Lazarus, Lewis, Stock & Watson 2018)."""
    count = 4
    while 125 * (count + 1) * (count + 1) * (count + 1) <= 8 * n * n:  # in whole numbers: 1000^⅔ is 99.99… in floats
        count += 1
    return count


def ewc_variance(series: Floats, count: int) -> float:
    """Long-run variance of a series (n,): the mean of the squares of its first `count` cosine transforms, n > `count`.

    Source: Lazarus, Lewis, Stock & Watson (2018). Each transform leaves the mean out by itself.
    """
    n = series.size
    # cos(jπ(t + ½)/n) is the cosine of a whole multiple of π/2n, and those repeat after 4n.
    table = turn_cosines(n)
    odd = 2 * np.arange(n) + 1
    transforms = [math.fsum(series * table[j * odd % (4 * n)]) for j in range(1, count + 1)]
    return 2.0 / n * math.fsum(value * value for value in transforms) / count


def mean_test(series: ArrayLike, level: float = 0.0) -> MeanTest | Undefined:
    """Return the test of the mean of `series` (n,), of which a change of level earned `level` per session.

    Undefined below ten sessions, for a series that does not vary, and where the variance of its ratio is not positive.
    """
    d = as_series(series)
    g3, g4 = skew(d), kurtosis(d)
    if d.size < FEWEST or is_constant(d) or isinstance(g3, Undefined) or isinstance(g4, Undefined):
        return Undefined(f"fewer than {FEWEST} sessions" if d.size < FEWEST else "it does not vary")
    degrees, mean = cosines(d.size), float(np.mean(d))
    root, deviation = math.sqrt(d.size / ewc_variance(d, degrees)), float(np.std(d, ddof=1))
    t, ratio = mean * root, mean / deviation
    gained, lost = mean - max(level, 0.0), mean - min(level, 0.0)
    psr = probabilistic_sharpe(ratio, d.size, 0.0, g3, g4)
    without = probabilistic_sharpe(gained / deviation, d.size, 0.0, g3, g4)
    if isinstance(psr, Undefined):
        return psr
    p_worse = max(student_sf(-t, degrees), student_sf(-lost * root, degrees) / 2)
    p_level = max(student_sf(gained * root, degrees), 1.0 if isinstance(without, Undefined) else 1.0 - without)
    p_mean = student_sf(t, degrees)
    return MeanTest(d.size, mean, t, degrees, p_mean, p_worse, 1.0 - psr, p_level, ratio, g3, g4, max(level, 0.0))


def p_values(series: Floats, levels: Floats) -> Floats:
    """Return (N,) `mean_test(...).p` of each row of `series` (N, n), to twelve digits; 1 where it is undefined."""
    n, count = series.shape[1], cosines(series.shape[1])
    found = np.ones(len(series))
    if n < FEWEST:
        return found
    mean = series.mean(axis=1)
    away = series - mean[:, None]
    square = (away**2).mean(axis=1)
    table, odd = turn_cosines(n), 2 * np.arange(n) + 1
    transforms = matmul(away, table[np.arange(1, count + 1)[None, :] * odd[:, None] % (4 * n)])
    error = np.sqrt(2.0 / n * (transforms**2).sum(axis=1) / count / n)
    for i in np.flatnonzero(varying(series)).tolist():
        deviation, level = math.sqrt(square[i] * n / (n - 1)), max(float(levels[i]), 0.0)
        cubes = away[i] * away[i] * away[i]
        g3 = float(cubes.mean()) / (square[i] * math.sqrt(square[i]))
        g4 = float((cubes * away[i]).mean()) / (square[i] * square[i])
        parts = []
        for gained in (float(mean[i]), float(mean[i]) - level):
            psr = probabilistic_sharpe(gained / deviation, n, 0.0, g3, g4)
            parts.append(max(student_sf(gained / error[i], count), 1.0 if isinstance(psr, Undefined) else 1.0 - psr))
        found[i] = max(parts[0], parts[1] * share_of_level(float(mean[i]), level))
    return found


def share_of_level(mean: float, level: float) -> float:
    """Return how much of the p without a change of level counts: half of it, all where that earned a third."""
    return 1.0 if 3.0 * level > mean else 0.5


def p_of_all(many: Many, levels: Floats) -> Floats:
    """Return (N,) p of each configuration as one of all: the largest of the step-downs of t, of the ratio, and, at the
    share it counts for, of the mean without what a change of level earned, `levels` (N,) per session."""
    with np.errstate(invalid="ignore"):
        share = np.where(3.0 * np.maximum(levels, 0.0) > many.mean, share_of_level(0.0, 1.0), 0.5)
    return np.asarray(np.maximum(np.maximum(many.p, many.p_ratio), many.p_level * share))


def p_of_trials(p: float, trials: float) -> float:
    """Return 1 − (1 − p)^N, the p of the best of N = `trials` (Šidák 1967): one more trial never lowers it."""
    return -math.expm1(trials * math.log1p(-p)) if p < 1.0 else 1.0


def deflated_ratio(sessions: int, ratio: float, skew: float, kurtosis: float, trials: float) -> Measure:
    """PSR of a `ratio` per session against the one the best of `trials` shows without skill, E[max_N]/√n.

    The spread of luck is that of n sessions and not taken from the trials, so that one more never raises the result.
    Source: Bailey & López de Prado (2014), with σ = 1/√n.
    """
    return deflated_sharpe(ratio, sessions, trials, 1.0 / math.sqrt(sessions), skew, kurtosis)
