"""Crossings of moving averages, compiled: many pairs of windows at once, from running sums."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from simulator.compiled import entry
from simulator.market.bars import Floats, Instants

Counts = NDArray[np.uint64]


@entry(__file__)
def compare_averages(
    sums: Floats,
    known: Counts,
    windows: Counts,
    column: int,
    weight: float,
    targets: Floats,
    unsure: Instants,
    count: Instants,
) -> None:
    """Write `weight` where the mean of the last ``windows[r, 0]`` closes is above that of the last ``windows[r, 1]``, 0
    where it is not, NaN before the first close, into column `column` of `targets` (R, K, N).

    `sums` (k + 1,) are those of the first closes and `known` (K,) is how many of them are. Rows of `unsure` (M, 2) name
    r and k of the first M, of `count` (1,), that lie closer than such sums round. Counts have no sign: places would
    else be asked if they count from the end.
    """
    rounding = 1e-15 * len(sums) * abs(sums[-1])
    for r in range(len(windows)):
        fast, slow = windows[r, 0], windows[r, 1]
        short, long = float(fast), float(slow)
        for k in range(len(known)):
            end = known[k]
            value = 0.0 if end > 0 else np.nan
            if end >= slow:
                above = (sums[end] - sums[end - fast]) * long - (sums[end] - sums[end - slow]) * short
                value = weight if above > 0.0 else 0.0
                if abs(above) <= rounding * long:
                    if count[0] < len(unsure):
                        unsure[count[0], 0] = r
                        unsure[count[0], 1] = k
                    count[0] += 1
            targets[r, k, column] = value
