"""The fill rules of docs/decisions/0001-fill-rules.md compiled: one pass over the bars, state in, state out.

The reference broker's arithmetic in the reference broker's order, by other means: per bar only symbols that are held
or have an order pending are touched. Skipping a symbol with nothing held leaves every sum the same to the last bit,
because adding 0.0 does.

    per bar: _decide (A) ──► _accrue, _dividends (B) ──► _trade: auction (C), protection (D), limits (E) ──► _close (F)
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar, cast
from zlib import crc32

import numba
import numpy as np

from simulator.replay import ledger
from simulator.replay.kernel import state
from simulator.replay.kernel.state import Curves, KernelState, Line, Market, Rules, Wishes
from simulator.trading import sizing
from simulator.trading.sizing import DOLLARS, NO_ORDER, NO_PRICE, compiled, size

F = TypeVar("F", bound=Callable[..., object])

TOLERANCE = 1 + 1e-12


def inner(function: F) -> F:
    """A function compiled into the one cached entry, not on its own: a cached part would outlive a change elsewhere."""
    return cast(F, numba.njit(_nrt=False, error_model="numpy")(function))


# Arithmetic.


@inner
def _margin(rules: Rules, shares: float) -> float:
    return rules.initial_long if shares > 0.0 else rules.initial_short


@inner
def _commission(rules: Rules, shares: float, price: float) -> float:
    if shares == 0.0:
        return 0.0
    by_share = abs(shares) * rules.commission_per_share
    by_value = abs(shares) * price * rules.commission_rate
    return max(rules.commission_min, by_share + by_value)


@inner
def _open_slippage(rules: Rules, shares: float, price: float, limit: float) -> float:
    paid = abs(shares) * price * rules.slippage_rate
    if np.isnan(limit):
        return paid
    return min(paid, abs(shares) * abs(limit - price))


@inner
def _free_margin(d: KernelState) -> float:
    worth = d.account.cash
    bound = 0.0
    for i in range(d.account.active):
        line = d.lines[d.active[i]]
        if line.held != 0.0:
            worth += line.held * line.mark
            bound += _margin(d.rules, line.held) * abs(line.held) * line.mark
    return worth - bound


@inner
def _reducing(held: float, shares: float) -> float:
    if held == 0.0 or (held > 0.0) == (shares > 0.0):
        return 0.0
    return shares if abs(shares) <= abs(held) else -held


@inner
def _after_cut(rules: Rules, left: float, price: float) -> float:
    if rules.whole_shares > 0:
        left = np.trunc(left)
    if abs(left) * price < rules.min_trade:
        return 0.0
    return left


# Bookkeeping.


@inner
def _bracketed(line: Line) -> int:
    return 0 if np.isnan(line.stop) and np.isnan(line.take) else 1


@inner
def _set_bracket(d: KernelState, line: Line, stop: float, take: float) -> None:
    d.account.brackets -= _bracketed(line)
    line.stop = stop
    line.take = take
    d.account.brackets += _bracketed(line)


@inner
def _fill(d: KernelState, n: int, order: int, trade: tuple[float, float, float], why: int) -> None:
    """Book `trade` = (shares, price, slippage); `order` is -1 for exits and margin calls."""
    shares, price, slippage = trade
    commission = _commission(d.rules, shares, price)
    d.account.cash -= shares * price
    d.account.cash -= slippage
    d.account.cash -= commission
    line = d.lines[n]
    line.held += shares
    if order >= 0:
        line.last_order = order
    if line.held == 0.0:
        _set_bracket(d, line, np.nan, np.nan)
    elif order >= 0 and (line.held > 0.0) == (shares > 0.0):
        _set_bracket(d, line, d.orders[order].stop, d.orders[order].take_profit)
    i = d.account.fills
    d.account.fills = i + 1
    if i < len(d.fills):
        row = d.fills[i]
        row.order_id = line.last_order
        row.symbol = n
        row.at = d.account.at
        row.quantity = shares
        row.price = price
        row.slippage = slippage
        row.commission = commission
        row.why = why


@inner
def _refuse(d: KernelState, n: int, order: int, at: int, shares: tuple[float, float], why: int) -> None:
    """Log `shares` = (wanted, got)."""
    row = d.refusals[d.account.refusals]
    d.account.refusals += 1
    row.order_id = order
    row.symbol = n
    row.at = at
    row.wanted, row.got = shares
    row.why = why


@inner
def _cancel(d: KernelState, n: int) -> None:
    line = d.lines[n]
    if line.pending >= 0:
        d.orders[line.pending].status = ledger.CANCELLED
        line.pending = -1
        d.account.pending -= 1


@inner
def _done(d: KernelState, n: int, wanted: float, got: float, why: int) -> None:
    line = d.lines[n]
    order = line.pending
    line.pending = -1
    d.account.pending -= 1
    if got == wanted:
        d.orders[order].status = ledger.FILLED
        return
    d.orders[order].status = ledger.REJECTED if got == 0.0 else ledger.PARTLY_FILLED
    _refuse(d, n, order, d.account.at, (wanted, got + 0.0), why)  # + 0.0: a cut to nothing may be -0.0


@inner
def _activate(d: KernelState, n: int) -> None:
    count = d.account.active
    i = count
    while i > 0 and d.active[i - 1] > n:
        i -= 1
    if i > 0 and d.active[i - 1] == n:
        return
    for j in range(count, i, -1):
        d.active[j] = d.active[j - 1]
    d.active[i] = n
    d.account.active = count + 1


# A. Decisions.


@inner
def _newest_mark(m: Market, d: KernelState, t: int, n: int) -> float:
    """The mark as of the close before bar t, brought up to date when the symbol was not active meanwhile."""
    line = d.lines[n]
    if line.held == 0.0 and line.pending < 0:
        before = t - 1
        while before > line.seen and not m.tradable[before, n]:
            before -= 1
        if before > line.seen:
            line.mark = m.close[before, n]
        line.seen = max(line.seen, t - 1)
    return line.mark


@inner
def _decide(m: Market, w: Wishes, d: KernelState, t: int, k: int) -> None:
    first_order = d.account.orders
    for i in range(w.first[k], w.first[k + 1]):
        n = w.symbol[i]
        line = d.lines[n]
        mark = _newest_mark(m, d, t, n)
        _cancel(d, n)
        limited = not np.isnan(w.limit[i])
        whole = d.rules.whole_shares > 0
        verdict, amount, keeps_side = size(
            w.weight[i], limited, line.held, mark, d.account.equity, whole, d.rules.min_trade
        )
        if keeps_side:
            _set_bracket(d, line, w.stop[i], w.take_profit[i])
        if verdict == NO_PRICE:
            _refuse(d, n, -1, w.at[k], (0.0, 0.0), ledger.NO_PRICE_REASON)
        elif verdict != NO_ORDER:
            _send(w, d, i, w.at[k], verdict == DOLLARS, amount)
    if d.account.call > 0:
        _refuse_since(d, first_order)


@inner
def _send(w: Wishes, d: KernelState, i: int, at: int, in_dollars: bool, amount: float) -> None:
    order, n = d.account.orders, w.symbol[i]
    row = d.orders[order]
    row.symbol = n
    row.submitted_at = at
    row.quantity = np.nan if in_dollars else amount
    row.notional = amount if in_dollars else np.nan
    row.limit = w.limit[i]
    row.stop = w.stop[i]
    row.take_profit = w.take_profit[i]
    row.status = ledger.OPEN
    d.account.orders = order + 1
    if d.account.call == 0:
        d.lines[n].pending = order
        d.account.pending += 1
        _activate(d, n)


@inner
def _refuse_since(d: KernelState, first_order: int) -> None:
    """Refuse the orders from `first_order` on: a margin call stands."""
    for order in range(first_order, d.account.orders):
        row = d.orders[order]
        row.status = ledger.REJECTED
        wanted = row.notional / d.lines[row.symbol].mark if np.isnan(row.quantity) else row.quantity
        _refuse(d, row.symbol, order, row.submitted_at, (wanted, 0.0), ledger.IN_MARGIN_CALL)


# B. Accruals.


@inner
def _accrue(d: KernelState, year: float) -> None:
    rules = d.rules
    d.account.cash += max(d.account.cash, 0.0) * rules.cash_interest * year
    for i in range(d.account.active):
        line = d.lines[d.active[i]]
        if line.held < 0.0:
            d.account.cash -= abs(line.held) * line.mark * rules.borrow_rate * year


@inner
def _dividends(m: Market, d: KernelState, t: int) -> None:
    for i in range(d.account.active):
        n = d.active[i]
        paid = m.dividend[t, n]
        if d.lines[n].held != 0.0 and not np.isnan(paid) and m.tradable[t, n]:
            d.account.cash += d.lines[n].held * paid


@inner
def _arrive(m: Market, d: KernelState, t: int) -> None:
    """Put this turn's bars on the lines of active symbols."""
    d.account.at = m.opens_at[t]
    for i in range(d.account.active):
        n = d.active[i]
        line = d.lines[n]
        line.fresh = 0
        if m.tradable[t, n]:
            line.fresh = 1
            line.open = m.open[t, n]
            line.high = m.high[t, n]
            line.low = m.low[t, n]
            line.mark = line.open


# C. Open auction.


@inner
def _sell_down(d: KernelState) -> None:
    """The margin call: every position that trades is cut to the share of it that equity carries."""
    for i in range(d.account.active):
        line = d.lines[d.active[i]]
        if line.held == 0.0 or line.fresh == 0:
            continue
        kept = line.held * d.account.kept_share
        if d.rules.whole_shares > 0:
            kept = np.trunc(kept)
        change = kept - line.held
        if change != 0.0:
            slippage = abs(change) * line.open * d.rules.slippage_rate
            _fill(d, d.active[i], -1, (change, line.open, slippage), ledger.MARGIN_CALL)


@inner
def _open_auction(d: KernelState) -> None:
    """Reducing parts first, then the increasing parts together. `wanted` is 0 on lines that have no part in it."""
    increasing = False
    for i in range(d.account.active):
        line = d.lines[d.active[i]]
        line.wanted = 0.0
        if line.pending < 0 or line.fresh == 0:
            continue
        order = d.orders[line.pending]
        wanted = order.quantity
        if np.isnan(wanted):
            wanted = order.notional / (line.open * (1.0 + d.rules.slippage_rate))
        if (wanted > 0.0 and line.open > order.limit) or (wanted < 0.0 and line.open < order.limit):
            continue
        line.wanted = wanted
        line.reducing = _reducing(line.held, wanted)
        line.increasing = wanted - line.reducing
        line.got = line.increasing
        increasing = increasing or line.increasing != 0.0
        if line.reducing != 0.0:
            slippage = _open_slippage(d.rules, line.reducing, line.open, order.limit)
            _fill(d, d.active[i], line.pending, (line.reducing, line.open, slippage), ledger.AT_OPEN)
    why = _share_out(d) if increasing else ledger.BUYING_POWER
    for i in range(d.account.active):
        line = d.lines[d.active[i]]
        if line.wanted == 0.0:
            continue
        if line.got != 0.0:
            slippage = _open_slippage(d.rules, line.got, line.open, d.orders[line.pending].limit)
            _fill(d, d.active[i], line.pending, (line.got, line.open, slippage), ledger.AT_OPEN)
        got = line.wanted if line.got == line.increasing else line.reducing + line.got
        _done(d, d.active[i], line.wanted, got, why)


@inner
def _need(d: KernelState, line: Line) -> tuple[float, float]:
    """Margin with slippage, and commission, of what a line is about to get at the open."""
    slippage = _open_slippage(d.rules, line.got, line.open, d.orders[line.pending].limit)
    gross = _margin(d.rules, line.got) * abs(line.got) * line.open + slippage
    return gross, _commission(d.rules, line.got, line.open)


@inner
def _share_out(d: KernelState) -> int:
    """Cut the increasing parts to the free margin; returns the reason cuts are logged with."""
    free = _free_margin(d)
    total = gross_all = commission_all = 0.0
    for i in range(d.account.active):
        line = d.lines[d.active[i]]
        if line.wanted == 0.0 or line.got == 0.0:
            continue
        gross, commission = _need(d, line)
        if gross + commission > free * TOLERANCE:
            line.got *= max(0.0, free - commission) / gross
            gross, commission = _need(d, line)
        total += gross + commission
        gross_all += gross
        commission_all += commission
    together = total > free * TOLERANCE and gross_all > 0.0
    scale = max(0.0, free - commission_all) / gross_all if together else 1.0
    for i in range(d.account.active):
        line = d.lines[d.active[i]]
        if line.wanted == 0.0:
            continue
        if together:
            line.got *= scale
        if line.got != line.increasing:
            line.got = _after_cut(d.rules, line.got, line.open)
    return ledger.PRO_RATA if together else ledger.BUYING_POWER


# D. Protection.


@inner
def _protect(d: KernelState) -> None:
    for i in range(d.account.active):
        line = d.lines[d.active[i]]
        stop, take = line.stop, line.take
        if line.held == 0.0 or line.fresh == 0 or (np.isnan(stop) and np.isnan(take)):
            continue
        side = 1.0 if line.held > 0.0 else -1.0
        worst = line.low if line.held > 0.0 else line.high
        best = line.high if line.held > 0.0 else line.low
        if side * line.open <= side * stop:
            price, why = line.open, ledger.STOP
        elif side * line.open >= side * take:
            price, why = line.open, ledger.TAKE_PROFIT
        elif side * worst <= side * stop:
            price, why = stop, ledger.STOP
        elif side * best >= side * take:
            price, why = take, ledger.TAKE_PROFIT
        else:
            continue
        slippage = abs(line.held) * price * d.rules.slippage_rate
        if why == ledger.TAKE_PROFIT:
            slippage = min(slippage, abs(line.held) * abs(price - take))
        _fill(d, d.active[i], -1, (-line.held, price, slippage), why)
        _cancel(d, d.active[i])


# E. Limit orders within the bar.


@inner
def _touched(d: KernelState, line: Line) -> bool:
    """Whether the pending order is a limit order whose price the bar touches."""
    if line.pending < 0 or line.fresh == 0:
        return False
    order = d.orders[line.pending]
    if np.isnan(order.limit):
        return False
    return line.low <= order.limit if order.quantity > 0.0 else line.high >= order.limit


@inner
def _affordable(rules: Rules, shares: float, price: float, free: float) -> float:
    gross = _margin(rules, shares) * abs(shares) * price
    commission = _commission(rules, shares, price)
    if gross + commission <= free * TOLERANCE:
        return shares
    left = shares * (max(0.0, free - commission) / gross)
    return _after_cut(rules, left, price) if left != shares else shares


@inner
def _limits_within(d: KernelState, free: float) -> None:
    """Orders that only add, against `free` and what it has left; then those that reduce or cross."""
    for i in range(d.account.active):
        line = d.lines[d.active[i]]
        line.wanted = 0.0
        if not _touched(d, line):
            continue
        order = d.orders[line.pending]
        if _reducing(line.held, order.quantity) != 0.0:
            line.wanted = order.quantity
            continue
        got = _affordable(d.rules, order.quantity, order.limit, free)
        if got != 0.0:
            _fill(d, d.active[i], line.pending, (got, order.limit, 0.0), ledger.AT_LIMIT)
            free -= _margin(d.rules, got) * abs(got) * order.limit + _commission(d.rules, got, order.limit)
        _done(d, d.active[i], order.quantity, got, ledger.BUYING_POWER)
    for i in range(d.account.active):
        line = d.lines[d.active[i]]
        if line.wanted == 0.0:
            continue
        price = d.orders[line.pending].limit
        part = _reducing(line.held, line.wanted)
        _fill(d, d.active[i], line.pending, (part, price, 0.0), ledger.AT_LIMIT)
        rest = line.wanted - part
        got = _affordable(d.rules, rest, price, _free_margin(d)) if rest != 0.0 else 0.0
        if got != 0.0:
            _fill(d, d.active[i], line.pending, (got, price, 0.0), ledger.AT_LIMIT)
        _done(d, d.active[i], line.wanted, line.wanted if got == rest else part + got, ledger.BUYING_POWER)


# F. Close, and the loop over bars.


@inner
def _call_margin(d: KernelState) -> None:
    initial = 0.0
    for i in range(d.account.active):
        line = d.lines[d.active[i]]
        if line.held != 0.0:
            initial += _margin(d.rules, line.held) * abs(line.held) * line.mark
        _cancel(d, d.active[i])
    d.account.kept_share = min(1.0, max(0.0, d.account.equity / initial))
    d.account.call = 1


@inner
def _close(m: Market, d: KernelState, t: int) -> None:
    worth = d.account.cash
    maintenance_long, maintenance_short = d.rules.maintenance_long, d.rules.maintenance_short
    maintenance = 0.0
    kept = 0
    holding = False
    for i in range(d.account.active):
        n = d.active[i]
        line = d.lines[n]
        mark = m.close[t, n] if m.tradable[t, n] else line.mark
        line.mark = mark
        held = line.held
        if held != 0.0:
            holding = True
            worth += held * mark
            maintenance += (maintenance_long if held > 0.0 else maintenance_short) * abs(held) * mark
        elif line.pending < 0:
            line.seen = t
            continue
        d.active[kept] = n
        kept += 1
    d.account.active = kept
    d.account.equity = worth
    if holding and worth < maintenance:
        _call_margin(d)


@inner
def _trade(m: Market, d: KernelState, t: int) -> None:
    """C to E of a bar on which something is pending or protected, or a margin call stands."""
    _arrive(m, d, t)
    if d.account.call > 0:
        d.account.call = 0
        _sell_down(d)
    elif d.account.pending > 0:
        _open_auction(d)
    free = _free_margin(d) if d.account.pending > 0 else 0.0
    if d.account.brackets > 0:
        _protect(d)
    if d.account.pending > 0:
        _limits_within(d, min(free, _free_margin(d)))


@inner
def _play(m: Market, w: Wishes, d: KernelState, c: Curves) -> None:
    accrues = d.rules.cash_interest > 0.0 or d.rules.borrow_rate > 0.0
    k = 0
    for t in range(len(m.opens_at)):
        while k < len(w.due) and w.due[k] <= t:
            _decide(m, w, d, t, k)
            k += 1
        if accrues and m.year[t] > 0.0:
            _accrue(d, m.year[t])
        if m.pays:
            _dividends(m, d, t)
        if d.account.pending + d.account.brackets + d.account.call > 0:
            _trade(m, d, t)
        _close(m, d, t)
        c.equity[t] = d.account.equity
        c.cash[t] = d.account.cash
        if len(c.positions) > 0:
            for i in range(d.account.active):
                c.positions[t, d.active[i]] = d.lines[d.active[i]].held


def _entry(sources: int) -> Callable[[Market, Wishes, KernelState, Curves], None]:
    """The one function that is cached. `sources` stands in its closure because numba's cache knows only this file:

    without it, a kernel kept from before a change in sizing would go on using the old sizes.
    """

    @compiled
    def play(m: Market, w: Wishes, d: KernelState, c: Curves) -> None:
        if sources >= 0:
            _play(m, w, d, c)

    return play


play = _entry(crc32(b"".join(Path(str(room.__file__)).read_bytes() for room in (sizing, ledger, state))))
