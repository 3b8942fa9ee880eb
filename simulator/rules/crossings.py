"""Crossings of moving averages, compiled: many pairs of windows at once, from running sums."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from simulator.compiled import entry, inner
from simulator.market.bars import Floats, Instants

Counts = NDArray[np.uint64]


@inner
def _compare_each_bar(own: Floats, ends: Counts, fast: int, slow: int, weight: float, targets: Floats) -> bool:
    """Do as `compare_averages` for one symbol whose closes become known one by one, all that are sure; return False
    where some are not."""
    first = min(max(slow, ends[0]) - ends[0], np.uint64(len(ends)))
    for k in range(first):
        targets[k] = 0.0 if ends[k] > 0 else np.nan
    count, end = len(ends) - first, ends[0] + first
    now, before, long_before = own[end : end + count], own[end - fast :], own[end - slow :]
    found, short, long, unsure = targets[first:], float(fast), float(slow), 0
    rounding = 1e-15 * len(own) * abs(own[-1]) * long
    for k in range(len(now)):
        above = (now[k] - before[k]) * long - (now[k] - long_before[k]) * short
        found[k] = weight if above > 0.0 else 0.0
        unsure += int(abs(above) <= rounding)
    return unsure == 0


@entry(__file__)
def compare_averages(
    sums: Floats, known: Counts, windows: Counts, weight: float, targets: Floats, unsure: Instants, count: Instants
) -> None:
    """Write `weight` where the mean of the last ``windows[r, 0]`` closes is above that of the last ``windows[r, 1]``, 0
    where it is not, NaN before the first close, into `targets` (R, KN), date by date.

    `sums` (N, k + 1) are those of the first closes and `known` (N, K) is how many of them are. Rows of `unsure` (M, 3)
    name r, k and n of the first M, of `count` (1,), that lie closer than such sums round. Counts have no sign: places
    would else be asked if they count from the end.
    """
    leaps = len(known) - 1
    for k in range(known.shape[1]):
        leaps += int(known[0, k] != known[0, 0] + np.uint64(k))
    for r in range(len(windows)):
        fast, slow = windows[r, 0], windows[r, 1]
        short, long = float(fast), float(slow)
        if leaps == 0 and _compare_each_bar(sums[0], known[0], fast, slow, weight, targets[r]):
            continue
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
                targets[r, k * len(sums) + n] = value
