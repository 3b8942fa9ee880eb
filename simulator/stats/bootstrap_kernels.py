"""Compiled loops of the stationary bootstrap. Importing this module loads numba: do so where draws are made.

Each replicate has a 64-bit seed and a stream of its own (SplitMix64: Steele, Lea & Flood 2014), so it is the same
number on every platform and whatever the number of replicates asked for. A block is drawn from two numbers of
the stream: its start, uniform over the n sessions, and its length, geometric, by inversion of the cumulative
probabilities with a guide table (Devroye 1986, III.2.4), which is twice as fast as taking logarithms. Blocks of one
session, what returns without autocorrelation ask for, skip the length: a third of the time, the same draws.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from simulator.compiled import compiled

_STEP = np.uint64(0x9E3779B97F4A7C15)


_compile = partial(compiled, nogil=True)


def _mix(state: Any) -> Any:
    z = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


mix = _compile(_mix, inline="always")


def _start(random: Any, n: Any) -> Any:
    # Multiply and shift instead of a remainder: no division, and the bias is below n / 2³².
    return np.int64(((random >> np.uint64(32)) * np.uint64(n)) >> np.uint64(32))


start_of = _compile(_start, inline="always")


def _length(random: Any, cumulative: Any, guide: Any) -> Any:
    # The upper 53 bits, exactly representable. The last entry of `cumulative` is 2: the search always ends.
    u = np.float64(random >> np.uint64(11)) * 2.0**-53
    at = guide[np.int64(u * guide.size)]
    while cumulative[at] <= u:
        at += 1
    return at + 1


length_of = _compile(_length, inline="always")


def _draw(seed: Any, n: Any, cumulative: Any, guide: Any, starts: Any, ends: Any) -> Any:
    state = seed
    at = 0
    count = 0
    while at < n:
        start = start_of(mix(state + _STEP), n)
        # A block of one session takes its second number all the same, so that streams keep in step.
        state += _STEP + _STEP
        length = 1 if cumulative.size == 1 else min(length_of(mix(state), cumulative, guide), n - at)
        starts[count] = start
        ends[count] = start + length
        count += 1
        at += length
    return count


draw = _compile(_draw)
"""(seed, n, cumulative, guide, starts (n,), ends (n,)): write the blocks of one replicate, return how many there are.
A block may end beyond n: rows go on from the beginning there."""


def _singles(n: Any, prefix: Any, logs: Any, seeds: Any, sums: Any, depths: Any) -> None:
    # Differences of running sums, not the values themselves: the same bits as with longer blocks.
    own = np.zeros((n, 3))
    if prefix.size:
        own[:, :2] = prefix[1 : n + 1] - prefix[:n]
    if logs.size:
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


singles = _compile(_singles)


def _histories(n: Any, prefix: Any, logs: Any, seeds: Any, cumulative: Any, guide: Any, sums: Any, depths: Any) -> None:
    if cumulative.size == 1:
        singles(n, prefix, logs, seeds, sums, depths)
        return
    starts = np.empty(n, dtype=np.int64)
    ends = np.empty(n, dtype=np.int64)
    path = np.empty(n + 4)
    for b in range(seeds.size):
        count = draw(seeds[b], n, cumulative, guide, starts, ends)
        if prefix.size:
            first = 0.0
            second = 0.0
            for k in range(count):
                first += prefix[ends[k], 0] - prefix[starts[k], 0]
                second += prefix[ends[k], 1] - prefix[starts[k], 1]
            sums[b, 0] = first
            sums[b, 1] = second
        if logs.size:
            at = 0
            for k in range(count):
                start = starts[k]
                # Four at once, whatever the length: what is too much is overwritten, and no branch is guessed wrongly.
                path[at] = logs[start]
                path[at + 1] = logs[start + 1]
                path[at + 2] = logs[start + 2]
                path[at + 3] = logs[start + 3]
                length = ends[k] - start
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
            depths[b] = worst


histories = _compile(_histories)
"""(n, prefix (2n + 1, 2), logs (2n + 4,), seeds, cumulative, guide, sums (B, 2), depths (B,)): sums of each replicate
and the logarithm of its deepest drawdown; `prefix` or `logs` may be empty, and its result is then without meaning.
The series stand twice in both: a block costs two look-ups of running sums however long it is, and never wraps around.
Both at once is twice as fast as one after the other while blocks are short, for drawing them is most of the work."""


def _rows(seeds: Any, cumulative: Any, guide: Any, out: Any) -> None:
    n = out.shape[1]
    starts = np.empty(n, dtype=np.int64)
    ends = np.empty(n, dtype=np.int64)
    for b in range(seeds.size):
        at = 0
        for k in range(draw(seeds[b], n, cumulative, guide, starts, ends)):
            for row in range(starts[k], ends[k]):
                out[b, at] = row if row < n else row - n
                at += 1


rows = _compile(_rows)
"""(seeds, cumulative, guide, out (B, n)): the row numbers each replicate consists of."""


def _counts(seeds: Any, cumulative: Any, guide: Any, out: Any) -> None:
    n = out.shape[1]
    starts = np.empty(n, dtype=np.int64)
    ends = np.empty(n, dtype=np.int64)
    for b in range(seeds.size):
        for k in range(draw(seeds[b], n, cumulative, guide, starts, ends)):
            for row in range(starts[k], ends[k]):
                out[b, row if row < n else row - n] += 1.0


counts = _compile(_counts)
"""(seeds, cumulative, guide, out (B, n) of zeros): how often each row is in each replicate, the same ones as `rows`."""
