"""The probability of backtest overfitting by combinatorially symmetric cross-validation (CSCV).

The history is cut into S blocks; for every way to take half of them as "in sample" the best configuration there is
looked up in the other half. Source: Bailey, Borwein, López de Prado & Zhu (2017).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from simulator.errors import UsageError
from simulator.numerics import dot, log
from simulator.stats.series import Floats, Integers, Measure, Undefined, as_matrix, is_constant

CELLS = 100_000
"""Splits times configurations handled at a time: small enough to stay in the processor's cache."""


@dataclass(frozen=True, eq=False)
class Overfitting:
    """Fate of the in-sample best, over C(S, S/2) splits; Sharpe ratios per session.

    Attributes
    ----------
    probability : share of splits that put it in the lower half out of sample (logit ≤ 0; tied at 0: half); noise: 0.5
    logits : (C,) log(ω/(1 − ω)), ω = rank/(N + 1), rank 1 the worst; ties share the mean rank
    chosen : (C,) the column that was best in sample
    ranks : (C,) its rank out of sample, 1 … N
    in_sample, out_of_sample : (C,) its Sharpe ratios
    loss : share of splits with a Sharpe ratio below 0 out of sample
    slope, intercept : OLS of out_of_sample on in_sample; undefined when all in-sample bests are equal
    dropped : oldest rows left out because T is not a multiple of S; a report says how many
    """

    probability: float
    logits: Floats
    chosen: Integers
    ranks: Floats
    in_sample: Floats
    out_of_sample: Floats
    loss: float
    slope: Measure
    intercept: Measure
    dropped: int


@dataclass(frozen=True, eq=False)
class BlockSums:
    """Sums over each of S blocks of `size` sessions, all that CSCV needs of N configurations.

    `centre` (N,) are their means, `mean` and `square` (S, N) sums of what lies beyond these and of its squares.
    """

    centre: Floats
    mean: Floats
    square: Floats
    size: int
    dropped: int

    @classmethod
    def of(cls, parts: Iterable[Floats], blocks: int) -> BlockSums:
        """Return the sums of `parts`, (n, T) each. Raises UsageError for blocks that cannot be halved or are short."""
        if blocks % 2 or not 2 <= blocks <= 20:
            raise UsageError(f"{blocks} blocks cannot be halved in every way", mend="take an even number from 2 to 20")
        found = []
        sessions = 0
        for rows in parts:
            sessions = rows.shape[1]
            if sessions < 2 * blocks:
                raise UsageError(f"{sessions} sessions make blocks of {sessions // blocks}", mend="take fewer blocks")
            kept = rows[:, sessions % blocks :]
            centre = kept.mean(axis=1)
            away = (kept - centre[:, None]).reshape(len(rows), blocks, -1)
            found.append((centre, away.sum(axis=2).T, (away**2).sum(axis=2).T))
        centre, mean, square = (np.concatenate(one, axis=-1) for one in zip(*found, strict=True))
        return cls(centre, mean, square, sessions // blocks, sessions % blocks)


def backtest_overfitting(excess: ArrayLike, blocks: int = 16) -> Overfitting:
    """PBO of N configurations on T sessions, `excess` (T, N), with `blocks` = S blocks, even, in order of time.

    The Sharpe ratio of a half comes from sums over its blocks, and those from two tables of the sums over all sets of
    the first S/2 blocks and of the last: one addition a split and configuration.
    A configuration without variance in a half is ranked by the sign of its mean, at 0 when it earned nothing.
    Errors: `UsageError` for an odd S, S > 20, fewer than two configurations or fewer than two sessions a block.
    """
    x = as_matrix(excess, "excess returns")
    return overfitting_of(BlockSums.of([np.ascontiguousarray(x.T)], blocks))


def overfitting_of(sums: BlockSums) -> Overfitting:
    """Return :func:`backtest_overfitting` of what :class:`BlockSums` keeps of the returns."""
    centre, mean, square = sums.centre, sums.mean, sums.square
    blocks, count = mean.shape
    if count < 2:
        raise UsageError("one configuration was not selected from anything", mend="pass at least two")
    n = sums.size * blocks // 2
    mean, square = mean / n, square / (n - 1.0)
    tables = (*_tables(mean), *_tables(square))
    flat = 1e-14 * (square.sum(axis=0) + 1e-12)
    # The blocks in sample as bits of a number, the first block the lowest, in lexicographic order.
    ways = np.array(list(itertools.combinations(range(blocks), blocks // 2)), dtype=np.int64)
    halves = np.asarray((1 << ways).sum(axis=1))
    # The other half of the split i from the front is the split i from the back: each plays both roles.
    front: list[tuple[np.ndarray, ...]] = []
    back: list[tuple[np.ndarray, ...]] = []
    step, every = max(CELLS // count, 1), 2**blocks - 1
    for start in range(0, len(halves) // 2, step):
        one = halves[start : min(start + step, len(halves) // 2)]
        sharpe, other = (_sharpe(h, tables, centre, flat, n) for h in (one, every - one))
        front.append(_judge(sharpe, other))
        back.append(tuple(column[::-1] for column in _judge(other, sharpe)))
    chosen, ranks, tied, inside, outside = (np.concatenate(c) for c in zip(*front, *back[::-1], strict=True))
    # Ranks are halves of whole numbers: their logarithms are looked up.
    steps = np.arange(1, 2 * count + 1) / 2.0 / (count + 1.0)
    logits = log(steps / (1.0 - steps))[(2.0 * ranks).astype(np.int64) - 1]
    slope, intercept = _line(inside, outside)
    return Overfitting(
        probability=float(np.mean(logits <= 0.0) - np.mean((logits == 0.0) & tied) / 2.0),
        logits=logits,
        chosen=chosen.astype(np.int64),
        ranks=ranks,
        in_sample=inside,
        out_of_sample=outside,
        loss=float(np.mean(outside < 0.0)),
        slope=slope,
        intercept=intercept,
        dropped=sums.dropped,
    )


def _tables(rows: Floats) -> tuple[Floats, Floats]:
    """Return two (2^(S/2), N): sums of the first and of the last S/2 of `rows` (S, N), for all sets of them as bits."""
    first, last = (np.zeros((1, rows.shape[1])) for _ in range(2))
    for k in range(len(rows) // 2):
        first = np.vstack((first, first + rows[k]))
        last = np.vstack((last, last + rows[k + len(rows) // 2]))
    return first, last


def _judge(inside: Floats, outside: Floats) -> tuple[np.ndarray, ...]:
    """For each split: the best in sample, its rank out of sample, whether it shares that, and its two Sharpe ratios."""
    chosen = np.argmax(inside, axis=1)
    row = np.arange(len(inside))
    own = outside[row, chosen]
    below = np.count_nonzero(outside < own[:, None], axis=1)
    level = np.count_nonzero(outside == own[:, None], axis=1)
    return chosen, below + (level + 1.0) / 2.0, level > 1, inside[row, chosen], own


def _sharpe(halves: Integers, tables: tuple[Floats, ...], centre: Floats, least: Floats, n: int) -> Floats:
    """(c, N) Sharpe ratios of halves of n sessions, by the `tables` of Σx/n and Σx²/(n − 1); no variance: `least`."""
    low, high = halves % len(tables[0]), halves // len(tables[0])
    first, variance = (tables[i][low] + tables[i + 1][high] for i in (0, 2))
    variance -= n / (n - 1.0) * first**2
    first += centre
    flat = variance <= least
    if flat.any():
        variance[flat] = 1.0
        first[flat] = np.where(np.abs(first[flat]) < 1e-13, 0.0, np.sign(first[flat]) * 1e9)
    np.sqrt(variance, out=variance)
    first /= variance
    return first


def _line(x: Floats, y: Floats) -> tuple[Measure, Measure]:
    if is_constant(x):
        return (Undefined("the best in sample was equally good in every split"),) * 2
    away = x - x.mean()
    slope = dot(away, y - y.mean()) / dot(away, away)
    if not math.isfinite(slope):
        return (Undefined("the line is too steep to represent"),) * 2
    return slope, float(y.mean()) - slope * float(x.mean())
