"""Arithmetic of the compiled fill rules: margin, costs, and the parts of an order.

As in `trading.fills`, and written down again: what the two share, one cannot audit in the other. Rates come divided by
ten thousand, once for each member (`AccountState`).
"""

from __future__ import annotations

import numpy as np

from simulator.compiled import inner
from simulator.replay.kernel.state import AccountState, Member
from simulator.trading.execution import SESSIONS_A_YEAR

TOLERANCE = 1 + 1e-12
"""As in `trading.fills`, and written down again."""


@inner
def initial_margin(rules: Member, shares: float) -> float:
    return rules.initial_margin_long if shares > 0.0 else rules.initial_margin_short


@inner
def commission_of(a: AccountState, rules: Member, shares: float, price: float) -> float:
    if shares == 0.0:
        return 0.0
    size = abs(shares)
    return max(rules.commission_min, size * rules.commission_per_share + size * price * a.commission)


@inner
def cash_rate(a: AccountState, rules: Member, cash_return: float) -> float:
    """Return the interest of a session whose `cash_return` is this, as a fraction of the cash carried into it."""
    rate = cash_return if np.isnan(a.interest) else a.interest
    return rate + rules.margin_spread / SESSIONS_A_YEAR if a.carried < 0.0 else rate


@inner
def open_slippage(a: AccountState, shares: float, price: float, limit: float) -> float:
    paid = abs(shares) * price * a.slippage
    return paid if np.isnan(limit) else min(paid, abs(shares) * abs(limit - price))


@inner
def reducing_part(held: float, shares: float) -> float:
    part = shares if abs(shares) <= abs(held) else -held
    return 0.0 if (held == 0.0) | ((held > 0.0) == (shares > 0.0)) else part


@inner
def least_worth(rules: Member, equity: float) -> float:
    """Return the dollars below which a change of position is not worth an order, at the last close's equity."""
    return max(rules.min_trade, rules.min_trade_share * equity)


@inner
def nine_digits(rules: Member, shares: float) -> float:
    """Return `shares` to nine decimals where orders are Alpaca's."""
    # + 0.0: what rounds to nothing may be -0.0
    return (np.rint(shares * 1e9) + 0.0) / 1e9 if rules.alpaca > 0 else shares


@inner
def after_cut(a: AccountState, rules: Member, left: float, price: float) -> float:
    if rules.whole_shares + rules.alpaca > 0:
        left = np.trunc(left)
    return 0.0 if abs(left) * price < least_worth(rules, a.equity) else left


@inner
def affordable(a: AccountState, rules: Member, shares: float, price: float, free: float) -> float:
    """Return what one limit order within the bar gets of `free` margin."""
    gross = initial_margin(rules, shares) * abs(shares) * price
    commission = commission_of(a, rules, shares, price)
    if gross + commission <= free * TOLERANCE:
        return shares
    left = shares * (max(0.0, free - commission) / gross)
    return after_cut(a, rules, left, price) if left != shares else shares


@inner
def clearance(rules: Member, limit: float) -> float:
    """Return how far the price must go beyond `limit` within a bar to fill there."""
    if rules.limit_through == 0:
        return 0.0
    relative = 1e-4 * limit
    return max(0.01, relative) if limit >= 1.0 else relative
