"""Splits of a history into sessions to fit on and sessions to judge on. Positions are 0-based rows in order of time.

Nothing within `purge` sessions of a test session is fitted on, and nothing in the `embargo` sessions after it, so
that an outcome measured over several sessions cannot be in both.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from simulator.errors import UsageError
from simulator.stats.series import Floats, Integers


@dataclass(frozen=True, eq=False)
class Split:
    """Rows to fit on, and the stretches of rows to judge on, each in order of time."""

    train: Integers
    test: tuple[Integers, ...]


def walk_forward(
    sessions: int, train: int, test: int, *, purge: int = 0, step: int | None = None, anchored: bool = False
) -> tuple[Split, ...]:
    """Train on `train` rows, leave out `purge`, judge on the next `test`, move on by `step`; only whole windows.

    `step` is `test` where none is given: then each row after the first training part is judged once, without a gap.
    `anchored` keeps the first row and lets the training part grow. Errors: `UsageError` when no window fits.
    """
    step = test if step is None else step
    if min(train, test, step) < 1 or purge < 0 or train + purge + test > sessions:
        raise UsageError(
            f"{sessions} sessions hold no window of {train} + {purge} + {test}", mend="take shorter windows"
        )
    starts = range(0, sessions - train - purge - test + 1, step)
    return tuple(
        Split(
            np.arange(0 if anchored else start, start + train),
            (np.arange(start + train + purge, start + train + purge + test),),
        )
        for start in starts
    )


def combinatorial_purged(
    sessions: int, folds: int, test_folds: int, *, purge: int = 0, embargo: int = 0
) -> tuple[Split, ...]:
    """Every choice of `test_folds` out of `folds` stretches to judge on, the rest, purged, to fit on.

    C(folds, test_folds) splits in lexicographic order; each row is tested in test_folds/folds of them. Folds are of
    equal length, the last one longer where they do not divide, as in skfolio. `purge` rows before and after each test
    stretch and `embargo` further ones after it are left out. Source: López de Prado (2018), ch. 7 and 12.

    Errors: `UsageError` where that is no split, or what is left out would fill a fold.
    """
    if not 0 < test_folds < folds <= sessions or purge < 0 or embargo < 0:
        raise UsageError(
            f"{test_folds} of {folds} folds over {sessions} sessions is not a split",
            mend="take fewer test folds than folds, and no more folds than sessions",
        )
    size = sessions // folds
    if purge + embargo and purge + embargo >= size - 1:
        raise UsageError(
            f"a purge of {purge} and an embargo of {embargo} fill a fold of {size} sessions", mend="take fewer folds"
        )
    stretches = np.split(np.arange(sessions), np.arange(1, folds) * size)
    splits = []
    for chosen in itertools.combinations(range(folds), test_folds):
        free = np.ones(sessions, dtype=bool)
        for fold in chosen:
            first, last = int(stretches[fold][0]), int(stretches[fold][-1])
            free[max(first - purge, 0) : last + 1 + purge + embargo] = False
        splits.append(Split(np.flatnonzero(free), tuple(stretches[fold] for fold in chosen)))
    return tuple(splits)


def backtest_paths(folds: int, test_folds: int) -> Integers:
    """Return (paths, folds): which split of `combinatorial_purged` judges each fold on each whole path through history.

    test_folds/folds · C(folds, test_folds) paths; split s judges a fold on one path only.
    """
    paths = math.comb(folds, test_folds) * test_folds // folds
    table = np.empty((paths, folds), dtype=np.int64)
    used = [0] * folds
    for split, chosen in enumerate(itertools.combinations(range(folds), test_folds)):
        for fold in chosen:
            table[used[fold], fold] = split
            used[fold] += 1
    return table


def ratios_within(series: ArrayLike, windows: Sequence[Integers]) -> Floats:
    """Return (N, F) mean over standard deviation (ddof 1) of N series (N, T) on the rows, rising, of each of F windows.

    NaN where a series does not vary there, or holds NaN. What lies outside a window changes no bit of its figures.
    """
    x = np.ascontiguousarray(series, dtype=np.float64)
    stretches = [part for rows in windows for part in np.split(rows, np.flatnonzero(np.diff(rows) > 1) + 1)]
    cuts = np.unique([0, x.shape[1], *(int(part[0]) for part in stretches), *(int(part[-1]) + 1 for part in stretches)])
    starts, counts = cuts[:-1], np.diff(cuts)
    # By stretches between edges, each summed once: windows that overlap would be summed anew for each.
    means = np.add.reduceat(x, starts, axis=1) / counts
    squares = np.add.reduceat((x - np.repeat(means, counts, axis=1)) ** 2, starts, axis=1)
    low, high = np.minimum.reduceat(x, starts, axis=1), np.maximum.reduceat(x, starts, axis=1)
    found = np.empty((len(x), len(windows)))
    for f, rows in enumerate(windows):
        parts = np.flatnonzero(np.isin(starts, rows)).tolist()
        total = spread = np.zeros(len(x))
        for g in parts:
            total = total + counts[g] * means[:, g]
        mean = total / len(rows)
        for g in parts:
            spread = spread + squares[:, g] + counts[g] * (means[:, g] - mean) ** 2
        least, most = low[:, parts].min(axis=1), high[:, parts].max(axis=1)
        varies = most - least > 1e-13 + 1e-12 * np.maximum(np.abs(least), np.abs(most))  # as `is_constant` has it
        deviation = np.sqrt(spread / max(len(rows) - 1, 1))
        found[:, f] = np.where(varies, mean / np.where(varies, deviation, 1.0), np.nan)
    return found
