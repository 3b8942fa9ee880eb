"""Risk limits compiled: `trading.risk` on the kernel's own book, with an exactly rounded sum of its own."""

from __future__ import annotations

import numpy as np

from simulator.compiled import inner
from simulator.market.bars import Instants
from simulator.replay.kernel.market import MarketArrays, Targets
from simulator.replay.kernel.state import KernelState, Member
from simulator.trading.risk import Codes, Numbers, make_limiter


@inner
def exact_sum(values: Numbers, groups: Codes, group: int, partials: Numbers) -> float:
    """Return the sum of |values| of one group (-1 = of all), rounded once: bit for bit what math.fsum returns.

    Shewchuk's algorithm as CPython has it (Adaptive Precision Floating-Point Arithmetic, 1997): `partials` holds the
    sum so far as numbers that do not overlap, at most one for each value. NaN and infinity come out as they add up.
    """
    count = 0
    endless = 0.0
    for v in range(len(values)):
        if group >= 0 and groups[v] != group:
            continue
        x = abs(values[v])
        if not np.isfinite(x):
            endless += x
            continue
        kept = 0
        for j in range(count):
            y = partials[j]
            if abs(x) < abs(y):
                x, y = y, x
            high = x + y
            low = y - (high - x)  # exactly what rounding took from `high`, since |x| >= |y|
            if low != 0.0:
                partials[kept] = low
                kept += 1
            x = high
        partials[kept] = x
        count = kept + 1
    if endless != 0.0:
        return endless
    total = low = 0.0
    while count > 0 and low == 0.0:
        count -= 1
        x = total
        total = x + partials[count]
        low = partials[count] - (total - x)
    # Halfway cases: `total` was rounded to even without the partials below, whose sign decides.
    if count > 0 and ((low < 0.0 and partials[count - 1] < 0.0) or (low > 0.0 and partials[count - 1] > 0.0)):
        x = total + low * 2.0
        if low * 2.0 == x - total:
            total = x
    return total


limit_weights = inner(make_limiter(exact_sum))


@inner
def _all_fit(weights: Numbers, rules: Member) -> bool:
    """Return True where `limit_weights` surely cuts none of `weights`, the only ones there are."""
    total = 0.0
    for i in range(len(weights)):
        if not abs(weights[i]) <= rules.max_weight:
            return False
        total += abs(weights[i])
    # A plain sum rounds by less than this part of itself, and most sums are far from the limit.
    room = max(min(rules.max_group, rules.max_gross), 0.0)
    return total * (1 + 4e-16 * len(weights)) <= room * (1 + 1e-12)


@inner
def limit_decision(m: MarketArrays, targets: Targets, s: KernelState, groupings: Instants, t: int, k: int) -> None:
    """Put the weights of decision `k`, cut to the member's limits on its book, into ``s.limits.weights``."""
    x, a, rules, groups = s.limits, s.account[0], s.rules, groupings[s.rules.grouping]
    count, others, last_group = 0, 0, -1
    for n in range(len(s.positions)):
        if not np.isnan(targets.weight[k, n]):
            weight = targets.weight[k, n]
            x.weights[count] = 0.0 if weight < 0.0 and groups[n] % 2 == 1 else weight  # shares nobody lends
            x.groups[count] = groups[n] // 2
            last_group = max(last_group, groups[n] // 2)
            count += 1
    for i in range(a.active):
        n = s.active[i]
        held = s.positions[n].held
        if held != 0.0 and np.isnan(targets.weight[k, n]):
            # Held, so a bar has passed: there is one before t.
            x.others[others] = held * m.mark[t - 1, n] / a.equity if a.equity > 0.0 else 0.0
            x.groups_of_others[others] = groups[n] // 2
            others += 1
    # What all hold together no group exceeds, and mostly nothing is cut.
    if others == 0 and _all_fit(x.weights[:count], rules):
        return
    limit_weights(
        x.weights[:count],
        x.groups[:count],
        x.others[:others],
        x.groups_of_others[:others],
        (rules.max_weight, rules.max_group, rules.max_gross),
        x.asked[: last_group + 2],
        x.room[: last_group + 2],
        x.partials,
    )
