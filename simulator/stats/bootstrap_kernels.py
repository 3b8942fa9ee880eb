"""Compiled loops of the stationary bootstrap. Importing this module loads numba: do so where draws are made.

Each replicate has a 64-bit seed and a stream of its own (SplitMix64: Steele, Lea & Flood 2014), so it is the same
number on every platform and whatever the number of replicates asked for. A block is drawn from two numbers of
the stream: its start, uniform over the n sessions, and its length, geometric, by inversion of the cumulative
probabilities with a guide table (Devroye 1986, III.2.4), which is twice as fast as taking logarithms. Blocks of one
session, what returns without autocorrelation ask for, skip the length: a third of the time, the same draws.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numba import njit

_STEP = np.uint64(0x9E3779B97F4A7C15)


def _compiled(function: Callable[..., Any], **options: Any) -> Callable[..., Any]:
    """`function` compiled and kept on disk; where numba finds no folder to keep it in, compiled anew each time."""
    try:
        compiled: Callable[..., Any] = njit(cache=True, nogil=True, **options)(function)
    except RuntimeError:
        compiled = njit(nogil=True, **options)(function)
    return compiled


def _mix(state: Any) -> Any:
    z = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


mix = _compiled(_mix, inline="always")


def _start(random: Any, n: Any) -> Any:
    return np.int64(((random >> np.uint64(32)) * np.uint64(n)) >> np.uint64(32))


start_of = _compiled(_start, inline="always")


def _length(random: Any, cumulative: Any, guide: Any) -> Any:
    u = np.float64(random >> np.uint64(11)) * 2.0**-53
    at = guide[np.int64(u * guide.size)]
    while cumulative[at] <= u:
        at += 1
    return at + 1


length_of = _compiled(_length, inline="always")


def _moments_of_singles(prefix: Any, seeds: Any, out: Any) -> None:
    n = (prefix.shape[0] - 1) // 2
    # Differences of running sums, not the values themselves: the same bits as with longer blocks.
    own = prefix[1 : n + 1] - prefix[:n]
    for b in range(seeds.size):
        state = seeds[b] + _STEP
        first = 0.0
        second = 0.0
        for _ in range(n):
            at = start_of(mix(state), n)
            state += _STEP + _STEP
            first += own[at, 0]
            second += own[at, 1]
        out[b, 0] = first
        out[b, 1] = second


moments_of_singles = _compiled(_moments_of_singles)


def _moments(prefix: Any, seeds: Any, cumulative: Any, guide: Any, out: Any) -> None:
    n = (prefix.shape[0] - 1) // 2
    if cumulative.size == 1:
        moments_of_singles(prefix, seeds, out)
        return
    for b in range(seeds.size):
        state = seeds[b]
        left = n
        first = 0.0
        second = 0.0
        while left > 0:
            start = start_of(mix(state + _STEP), n)
            state += _STEP + _STEP
            length = min(length_of(mix(state), cumulative, guide), left)
            end = start + length
            first += prefix[end, 0] - prefix[start, 0]
            second += prefix[end, 1] - prefix[start, 1]
            left -= length
        out[b, 0] = first
        out[b, 1] = second


moments = _compiled(_moments)
"""(prefix (2n+1, 2), seeds, cumulative, guide, out (B, 2)): sums over each replicate out of running sums of the
series repeated twice, so a block costs two look-ups however long it is."""


def _pair_moments(prefix: Any, seeds: Any, cumulative: Any, guide: Any, out: Any) -> None:
    n = (prefix.shape[0] - 1) // 2
    for b in range(seeds.size):
        state = seeds[b]
        left = n
        first = 0.0
        second = 0.0
        third = 0.0
        fourth = 0.0
        while left > 0:
            start = start_of(mix(state + _STEP), n)
            state += _STEP + _STEP
            length = min(length_of(mix(state), cumulative, guide), left)
            end = start + length
            first += prefix[end, 0] - prefix[start, 0]
            second += prefix[end, 1] - prefix[start, 1]
            third += prefix[end, 2] - prefix[start, 2]
            fourth += prefix[end, 3] - prefix[start, 3]
            left -= length
        out[b, 0] = first
        out[b, 1] = second
        out[b, 2] = third
        out[b, 3] = fourth


pair_moments = _compiled(_pair_moments)
"""As `moments` for two series on the same rows: prefix (2n+1, 4), out (B, 4)."""


def _deepest_of_singles(logs: Any, seeds: Any, out: Any) -> None:
    n = logs.size // 2
    for b in range(seeds.size):
        state = seeds[b] + _STEP
        value = 0.0
        peak = 0.0
        worst = 0.0
        for _ in range(n):
            value += logs[start_of(mix(state), n)]
            state += _STEP + _STEP
            peak = max(peak, value)
            worst = min(worst, value - peak)
        out[b] = worst


deepest_of_singles = _compiled(_deepest_of_singles)


def _deepest(logs: Any, seeds: Any, cumulative: Any, guide: Any, out: Any) -> None:
    n = logs.size // 2
    if cumulative.size == 1:
        deepest_of_singles(logs, seeds, out)
        return
    for b in range(seeds.size):
        state = seeds[b]
        left = n
        value = 0.0
        peak = 0.0
        worst = 0.0
        while left > 0:
            start = start_of(mix(state + _STEP), n)
            state += _STEP + _STEP
            length = min(length_of(mix(state), cumulative, guide), left)
            for i in range(start, start + length):
                value += logs[i]
                peak = max(peak, value)
                worst = min(worst, value - peak)
            left -= length
        out[b] = worst


deepest = _compiled(_deepest)
"""(logs (2n,), seeds, cumulative, guide, out (B,)): lowest log(E) − log(peak) of each replicate, log(1 + r) twice."""


def _both_of_singles(prefix: Any, logs: Any, seeds: Any, sums: Any, depths: Any) -> None:
    n = logs.size // 2
    own = np.empty((n, 3))
    own[:, :2] = prefix[1 : n + 1] - prefix[:n]
    own[:, 2] = logs[:n]
    for b in range(seeds.size):
        state = seeds[b] + _STEP
        first = 0.0
        second = 0.0
        value = 0.0
        peak = 0.0
        worst = 0.0
        for _ in range(n):
            at = start_of(mix(state), n)
            state += _STEP + _STEP
            first += own[at, 0]
            second += own[at, 1]
            value += own[at, 2]
            peak = max(peak, value)
            worst = min(worst, value - peak)
        sums[b, 0] = first
        sums[b, 1] = second
        depths[b] = worst


both_of_singles = _compiled(_both_of_singles)


def _both(prefix: Any, logs: Any, seeds: Any, cumulative: Any, guide: Any, sums: Any, depths: Any) -> None:
    n = logs.size // 2
    if cumulative.size == 1:
        both_of_singles(prefix, logs, seeds, sums, depths)
        return
    path = np.empty(n + 4)
    for b in range(seeds.size):
        state = seeds[b]
        at = 0
        first = 0.0
        second = 0.0
        while at < n:
            start = start_of(mix(state + _STEP), n)
            state += _STEP + _STEP
            length = min(length_of(mix(state), cumulative, guide), n - at)
            first += prefix[start + length, 0] - prefix[start, 0]
            second += prefix[start + length, 1] - prefix[start, 1]
            # Four at once, whatever the length: what is too much is overwritten, and no branch is guessed wrongly.
            path[at] = logs[start]
            path[at + 1] = logs[start + 1]
            path[at + 2] = logs[start + 2]
            path[at + 3] = logs[start + 3]
            for i in range(4, length):
                path[at + i] = logs[start + i]
            at += length
        value = 0.0
        peak = 0.0
        worst = 0.0
        for i in range(n):
            value += path[i]
            peak = max(peak, value)
            worst = min(worst, value - peak)
        sums[b, 0] = first
        sums[b, 1] = second
        depths[b] = worst


both = _compiled(_both)
"""`moments` and `deepest` of the same draws in one pass, for n ≥ 4: twice as fast as one after the other while blocks
are short, slower when they are long."""


def _rows(seeds: Any, cumulative: Any, guide: Any, out: Any) -> None:
    n = out.shape[1]
    for b in range(seeds.size):
        state = seeds[b]
        at = 0
        while at < n:
            row = start_of(mix(state + _STEP), n)
            state += _STEP + _STEP
            end = min(at + length_of(mix(state), cumulative, guide), n)
            while at < end:
                out[b, at] = row
                at += 1
                row += 1
                if row == n:
                    row = 0


rows = _compiled(_rows)
"""(seeds, cumulative, guide, out (B, n)): the row numbers each replicate consists of."""


def _counts(seeds: Any, cumulative: Any, guide: Any, out: Any) -> None:
    n = out.shape[1]
    for b in range(seeds.size):
        state = seeds[b]
        left = n
        while left > 0:
            row = start_of(mix(state + _STEP), n)
            state += _STEP + _STEP
            length = min(length_of(mix(state), cumulative, guide), left)
            left -= length
            while length > 0:
                out[b, row] += 1.0
                length -= 1
                row += 1
                if row == n:
                    row = 0


counts = _compiled(_counts)
"""(seeds, cumulative, guide, out (B, n) of zeros): how often each row is in each replicate, the same ones as `rows`."""
