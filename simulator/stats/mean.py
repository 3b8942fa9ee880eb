"""Mean of paired differences, with the stationary bootstrap."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from simulator.stats.bootstrap import DRAWS, block_length, interval, stationary_rows, two_sided_p
from simulator.stats.series import Floats, is_constant

FEWEST = 10
"""Observations below which no interval is given."""


@dataclass(frozen=True)
class Mean:
    """A mean with its percentile interval and the two-sided p of its being 0; None below 10 observations and for
    what does not vary."""

    value: float
    low: float | None = None
    high: float | None = None
    p: float | None = None


def mean_of(
    values: Floats, times: float = 1.0, draws: int = DRAWS, seed: int = 0, chunk: int = 500, level: float = 0.95
) -> Mean:
    """Return the mean of `values` (n ≥ 1, in order of time), times `times`; `chunk` draws are held at once,
    and `level` is that of the interval."""
    mean = float(values.mean()) * times
    if values.size < FEWEST or is_constant(values):
        return Mean(mean)
    rng, block = np.random.default_rng(seed), block_length(values)
    sizes = [min(chunk, draws - done) for done in range(0, draws, chunk)]
    rows = (stationary_rows(values.size, block, size, rng) for size in sizes)
    means = np.concatenate([values[one].mean(axis=1) for one in rows]) * times
    low, high = interval(means, mean, level)
    p = two_sided_p(means, mean)
    return Mean(mean, low, high, p if isinstance(p, float) else None)
