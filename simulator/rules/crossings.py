"""Crossings of moving averages, compiled: many pairs of windows at once, from running sums."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from simulator.compiled import entry
from simulator.market.bars import Floats, Instants

Counts = NDArray[np.uint64]


@entry(__file__)
def compare_averages(
    sums: Floats, known: Counts, windows: Counts, weight: float, targets: Floats, unsure: Instants, count: Instants
) -> None:
    """Write `weight` where the mean of the last ``windows[r, 0]`` closes is above that of the last ``windows[r, 1]``, 0
    where it is not, NaN before the first close, into `targets` (R, K, N).

    `sums` (N, k + 1) are those of the first closes and `known` (N, K) is how many of them are. Rows of `unsure` (M, 3)
    name r, k and n of the first M, of `count` (1,), that lie closer than such sums round. Counts have no sign: places
    would else be asked if they count from the end.
    """
    for r in range(len(windows)):
        fast, slow = windows[r, 0], windows[r, 1]
        short, long = float(fast), float(slow)
        for n in range(len(sums)):  # all symbols of a member before the next: its targets stay near
            own, ends = sums[n], known[n]
            rounding = 1e-15 * len(own) * abs(own[-1]) * long
            for k in range(len(ends)):
                end = ends[k]
                value = 0.0 if end > 0 else np.nan
                if end >= slow:
                    above = (own[end] - own[end - fast]) * long - (own[end] - own[end - slow]) * short
                    value = weight if above > 0.0 else 0.0
                    if abs(above) <= rounding:
                        if count[0] < len(unsure):
                            unsure[count[0], 0] = r
                            unsure[count[0], 1] = k
                            unsure[count[0], 2] = n
                        count[0] += 1
                targets[r, k, n] = value
