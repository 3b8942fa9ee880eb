"""Distribution of the returns of sessions or months: how many fell into each bin, and the best and worst of them."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from simulator.stats.series import Floats

EXTREMES = 5


@dataclass(frozen=True)
class Distribution:
    """Counts of returns in bins of equal width, one edge of which is 0.

    Attributes
    ----------
    edges, counts : (B + 1,) fractions and (B,) returns from each edge up to, not including, the next
    best, worst : (position, return) of the largest and the smallest, EXTREMES of them at most, none in both
    """

    edges: tuple[float, ...]
    counts: tuple[int, ...]
    best: tuple[tuple[int, float], ...]
    worst: tuple[tuple[int, float], ...]


def distribute(returns: Floats, most: int) -> Distribution:
    """Return the distribution of (n,) finite returns, n ≥ 1, in at most `most` + 2 bins of a round width."""
    low, high = min(0.0, float(returns.min())), max(0.0, float(returns.max()))
    width = max(high - low, 1e-4) / most
    scale = 10.0 ** (math.floor(math.log10(width)) - 1)
    step = next(m * scale for m in (10, 20, 25, 50, 100) if m * scale >= width * (1 - 1e-12))
    first, last = math.floor(low / step), math.floor(high / step) + 1
    edges = np.arange(first, last + 1) * step
    counts = np.bincount(np.searchsorted(edges, returns, side="right") - 1, minlength=last - first)
    order = np.argsort(returns, kind="stable").tolist()
    above, below = min(EXTREMES, -(-len(order) // 2)), min(EXTREMES, len(order) // 2)
    best = sorted(order[len(order) - above :], key=lambda at: (-returns[at], at))
    return Distribution(
        tuple(edges.tolist()),
        tuple(counts.tolist()),
        tuple((at, float(returns[at])) for at in best),
        tuple((at, float(returns[at])) for at in order[:below]),
    )
