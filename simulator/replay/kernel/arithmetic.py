"""Arithmetic of the compiled fill rules: margin, costs, and the parts of an order.

As in `trading.fills`, and written down again: what the two share, one cannot audit in the other.
"""

from __future__ import annotations

import numpy as np

from simulator.compiled import inner
from simulator.replay.kernel.state import KernelState, Member


@inner
def initial_margin(rules: Member, shares: float) -> float:
    return rules.initial_margin_long if shares > 0.0 else rules.initial_margin_short


@inner
def commission_of(rules: Member, shares: float, price: float) -> float:
    if shares == 0.0:
        return 0.0
    by_share = abs(shares) * rules.commission_per_share
    by_value = abs(shares) * price * (rules.commission_bps / 1e4)
    return max(rules.commission_min, by_share + by_value)


@inner
def open_slippage(rules: Member, shares: float, price: float, limit: float) -> float:
    paid = abs(shares) * price * (rules.slippage_bps / 1e4)
    if np.isnan(limit):
        return paid
    return min(paid, abs(shares) * abs(limit - price))


@inner
def free_margin(s: KernelState) -> float:
    worth = s.account.cash
    bound = 0.0
    for i in range(s.account.active):
        position = s.positions[s.active[i]]
        if position.held != 0.0:
            worth += position.held * position.mark
            bound += initial_margin(s.rules, position.held) * abs(position.held) * position.mark
    return worth - bound


@inner
def reducing_part(held: float, shares: float) -> float:
    if held == 0.0 or (held > 0.0) == (shares > 0.0):
        return 0.0
    return shares if abs(shares) <= abs(held) else -held


@inner
def after_cut(rules: Member, left: float, price: float) -> float:
    if rules.whole_shares > 0:
        left = np.trunc(left)
    if abs(left) * price < rules.min_trade:
        return 0.0
    return left


@inner
def clearance(rules: Member, limit: float) -> float:
    """Return how far the price must go beyond `limit` within a bar to fill there."""
    if rules.limit_through == 0:
        return 0.0
    relative = 1e-4 * limit
    return max(0.01, relative) if limit >= 1.0 else relative
