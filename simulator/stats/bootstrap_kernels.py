"""Compiled loops of the stationary bootstrap.

Each replicate has a 64-bit seed and a stream of its own (SplitMix64: Steele, Lea & Flood 2014), so it is the same
number on every platform and whatever the number of replicates asked for. A block is drawn from two numbers of
the stream: its start, uniform over the n sessions, and its length, geometric, by inversion of the cumulative
probabilities with a guide table (Devroye 1986, III.2.4), which is twice as fast as taking logarithms. Blocks of one
session, what returns without autocorrelation ask for, skip the length: a third of the time, the same draws.

Row numbers are unsigned throughout: for a signed one every look-up would first ask if it counts from the end, which
took half of the time.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from simulator.compiled import entry, inner

_STEP = np.uint64(0x9E3779B97F4A7C15)
_ONE, _HALF = np.uint64(1), np.uint64(32)


@inner
def mix(state: Any) -> Any:
    z = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


@inner
def start_of(random: Any, n: Any) -> Any:
    # Multiply and shift instead of a remainder: no division, and the bias is below n / 2³².
    return ((random >> _HALF) * np.uint64(n)) >> _HALF


@inner
def length_of(random: Any, bounds: Any, guide: Any) -> Any:
    # The upper 53 bits; the highest ten of them look into the guide. No number reaches the last bound: the search ends.
    number = random >> np.uint64(11)
    at = guide[random >> np.uint64(54)]
    while bounds[at] <= number:
        at += _ONE
    return at + _ONE


@inner
def draw(seed: Any, n: Any, bounds: Any, guide: Any, starts: Any, ends: Any) -> Any:
    # Blocks of one replicate. One may end beyond n: rows go on from the beginning there.
    state = seed
    at = np.uint64(0)
    count = 0
    while at < n:
        start = start_of(mix(state + _STEP), n)
        # A block of one session takes its second number all the same, so that streams keep in step.
        state += _STEP + _STEP
        length = _ONE if bounds.size == 1 else min(length_of(mix(state), bounds, guide), n - at)
        starts[count] = start
        ends[count] = start + length
        count += 1
        at += length
    return count


@inner
def fill(seeds: Any, n: Any, starts: Any, numbers: Any) -> None:
    # The first n starts of each replicate, and where `numbers` is as long, what their lengths are drawn from.
    for b in range(seeds.size):
        state = seeds[b]
        for k in range(n):
            starts[b, k] = start_of(mix(state + _STEP), np.uint64(n))
            state += _STEP + _STEP
            if numbers.size:
                numbers[b, k] = mix(state)


@inner
def singles(n: Any, own: Any, one: Any, two: Any, found: Any, depths: Any) -> None:
    # Blocks of one session, two replicates side by side: differences of running sums, the same bits as longer blocks.
    first = other_first = second = other_second = 0.0
    value = other = peak = other_peak = worst = other_worst = 0.0
    for k in range(n):
        here, there = one[k], two[k]
        first += own[here, 0]
        second += own[here, 1]
        value += own[here, 2]
        other_first += own[there, 0]
        other_second += own[there, 1]
        other += own[there, 2]
        peak, other_peak = max(peak, value), max(other_peak, other)
        worst, other_worst = min(worst, value - peak), min(other_worst, other - other_peak)
    found[0, 0], found[0, 1] = first, second
    depths[0] = worst
    found[-1, 0], found[-1, 1] = other_first, other_second
    depths[-1] = other_worst


@inner
def path(seed: Any, n: Any, series: Any, lengths: Any, drawn: Any, way: Any, sums: Any) -> None:
    # The logs of one replicate in its order, into `way` (n + 4,), and its sums. `drawn` are its numbers, if at hand.
    prefix, logs = series
    bounds, guide = lengths
    starts, numbers = drawn
    state = seed
    at = np.uint64(0)
    block = 0
    first = 0.0
    second = 0.0
    while at < n:
        if numbers.size:
            start, number = np.uint64(starts[block]), numbers[block]
            block += 1
        else:
            start = start_of(mix(state + _STEP), n)
            state += _STEP + _STEP
            number = mix(state)
        length = min(length_of(number, bounds, guide), n - at)
        if prefix.size:
            first += prefix[start + length, 0] - prefix[start, 0]
            second += prefix[start + length, 1] - prefix[start, 1]
        if logs.size:
            # Four at once, whatever the length: what is too much is overwritten, and few branches are guessed wrongly.
            # All are read before one is written: the compiler does not know that the two arrays are not the same.
            done = np.uint64(0)
            while done < length:
                here = start + done
                there = at + done
                one, two = logs[here], logs[here + _ONE]
                three, four = logs[here + np.uint64(2)], logs[here + np.uint64(3)]
                way[there] = one
                way[there + _ONE] = two
                way[there + np.uint64(2)] = three
                way[there + np.uint64(3)] = four
                done += np.uint64(4)
        at += length
    sums[0] = first
    sums[1] = second


@inner
def deepest(n: Any, a: Any, b: Any, c: Any, d: Any) -> Any:
    # Four replicates side by side: each waits for its own last sum, and one alone would leave the processor idle.
    v0 = v1 = v2 = v3 = 0.0
    p0 = p1 = p2 = p3 = 0.0
    w0 = w1 = w2 = w3 = 0.0
    for i in range(n):
        v0 += a[i]
        v1 += b[i]
        v2 += c[i]
        v3 += d[i]
        p0, p1, p2, p3 = max(p0, v0), max(p1, v1), max(p2, v2), max(p3, v3)
        w0, w1, w2, w3 = min(w0, v0 - p0), min(w1, v1 - p1), min(w2, v2 - p2), min(w3, v3 - p3)
    return w0, w1, w2, w3


@entry(__file__)
def histories(n: Any, series: Any, seeds: Any, bounds: Any, guide: Any, found: Any, room: Any) -> None:
    """Write the sums of each replicate of S series and the logarithm of its deepest drawdown.

    `series` are prefix (S, 2n + 1, 2), logs (S, 2n + 4), of which one may have no column, and its result is then
    without meaning, and own (S, n, 3), the difference of the sums and the logarithm of each session, which a series
    without blocks needs. `bounds` (S, m) end beyond the last length; one whose first is beyond it has blocks of one
    session. `found` are sums (S, B, 2) and depths (S, B); `room` is (4, n + 4) to work in, and (C, n) starts and
    numbers of C replicates, drawn once for all series; without them each is drawn where it is used. The series stand
    twice in both: a block costs two look-ups of running sums however long it is, and never wraps around. Both at once
    is twice as fast as one after the other while blocks are short, for drawing them is most of the work.
    """
    prefix, logs, own = series
    sums, depths = found
    paths, starts, numbers = room
    chunk = starts.shape[0]
    for begin in range(0, seeds.size, chunk):
        count = min(chunk, seeds.size - begin)
        if starts.shape[1]:
            fill(seeds[begin : begin + count], n, starts, numbers)
        for s in range(bounds.shape[0]):
            if own.shape[1] and bounds[s, 0] >> np.uint64(54):
                for b in range(0, count, 2):
                    last = min(b + 1, count - 1)  # the same again where there is no other: it comes out the same
                    ours, theirs = sums[s, begin + b : begin + last + 1], depths[s, begin + b : begin + last + 1]
                    singles(n, own[s], starts[b], starts[last], ours, theirs)
                continue
            for b in range(0, count, 4):
                for lane in range(4):
                    row = min(b + lane, count - 1)
                    drawn = starts[row], numbers[row]
                    own_series, lengths = (prefix[s], logs[s]), (bounds[s], guide[s])
                    ours = sums[s, begin + row]
                    path(seeds[begin + row], np.uint64(n), own_series, lengths, drawn, paths[lane], ours)
                if logs.shape[1]:
                    worst = deepest(n, paths[0], paths[1], paths[2], paths[3])
                    for lane in range(4):
                        depths[s, begin + min(b + lane, count - 1)] = worst[lane]


@entry(__file__)
def rows(seeds: Any, bounds: Any, guide: Any, out: Any, starts: Any, ends: Any) -> None:
    """Write into `out` (B, n) the row numbers each replicate consists of; `starts` and `ends` (n,) are to work in."""
    n = out.shape[1]
    for b in range(seeds.size):
        at = 0
        for k in range(draw(seeds[b], np.uint64(n), bounds, guide, starts, ends)):
            for row in range(starts[k], ends[k]):
                out[b, at] = row if row < n else row - n
                at += 1


@entry(__file__)
def counts(seeds: Any, bounds: Any, guide: Any, out: Any, starts: Any, ends: Any) -> None:
    """Add to `out` (B, n) how often each row is in each replicate; `starts` and `ends` (n,) are to work in."""
    n = out.shape[1]
    for b in range(seeds.size):
        for k in range(draw(seeds[b], np.uint64(n), bounds, guide, starts, ends)):
            for row in range(starts[k], ends[k]):
                out[b, row if row < n else row - n] += 1.0
