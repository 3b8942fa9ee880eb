"""The fill rules of docs/decisions/0001-fill-rules.md compiled: one pass over the bars, state in, state out.

The arithmetic of `trading.fills` in the same order, by other means: per bar only symbols that are held or have an
order pending are touched (`KernelState.active`, kept ascending so that sums run in symbol order). Skipping a symbol
with nothing held leaves every sum the same to the last bit, because adding 0.0 does. A comparison with NaN is false: an
order without a limit and a bracket without a leg need no branch of their own.

    per bar: _decide (A) ──► _accrue, _dividends (B) ──► _trade: auction (C), protection (D), limits (E) ──► _close (F)

In the code `m` is the market, `s` the state of the member that is played, `c` its curves.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from zlib import crc32

import numpy as np

from simulator.compiled import compiled, inner
from simulator.market.bars import Floats, Instants
from simulator.replay import ledger
from simulator.replay.kernel import arithmetic, limits, market, state
from simulator.replay.kernel.arithmetic import (
    after_cut,
    clearance,
    commission_of,
    free_margin,
    initial_margin,
    open_slippage,
    reducing_part,
)
from simulator.replay.kernel.limits import limit_decision
from simulator.replay.kernel.market import MarketArrays, Targets
from simulator.replay.kernel.state import Curves, KernelState, Member, PositionState
from simulator.trading import risk, sizing
from simulator.trading.execution import SESSIONS_A_YEAR
from simulator.trading.sizing import DOLLARS, NO_ORDER, NO_PRICE, size

TOLERANCE = 1 + 1e-12
"""As in `trading.fills`, and written down again: what the two share, one cannot audit in the other."""


# Bookkeeping.


@inner
def _bracketed(position: PositionState) -> int:
    return 0 if np.isnan(position.stop) and np.isnan(position.take_profit) else 1


@inner
def _set_bracket(s: KernelState, position: PositionState, stop: float, take: float) -> None:
    s.account.brackets -= _bracketed(position)
    position.stop = stop
    position.take_profit = take
    s.account.brackets += _bracketed(position)


@inner
def _fill(s: KernelState, n: int, order: int, trade: tuple[float, float, float], why: int) -> None:
    """Book `trade` = (shares, price, slippage); `order` is -1 for exits and margin calls."""
    shares, price, slippage = trade
    commission = commission_of(s.rules, shares, price)
    # One after the other, and free margin as two sums: other orders of addition round differently.
    s.account.cash -= shares * price
    s.account.cash -= slippage
    s.account.cash -= commission
    position = s.positions[n]
    position.held += shares
    if order >= 0:
        position.last_order = order
    if position.held == 0.0:
        _set_bracket(s, position, np.nan, np.nan)
    elif order >= 0 and (position.held > 0.0) == (shares > 0.0):
        _set_bracket(s, position, s.orders[order].stop, s.orders[order].take_profit)
    i = s.account.fills
    s.account.fills = i + 1
    if i < len(s.fills):
        row = s.fills[i]
        row.order_id = position.last_order
        row.symbol = n
        row.at = s.account.at
        row.quantity = shares
        row.price = price
        row.slippage = slippage
        row.commission = commission
        row.why = why


@inner
def _refuse(s: KernelState, n: int, order: int, at: int, shares: tuple[float, float], why: int) -> None:
    """Log `shares` = (wanted, got)."""
    i = s.account.refusals
    s.account.refusals = i + 1
    if i < len(s.refusals):
        row = s.refusals[i]
        row.order_id = order
        row.symbol = n
        row.at = at
        row.wanted, row.got = shares
        row.why = why


@inner
def _cancel(s: KernelState, n: int) -> None:
    position = s.positions[n]
    if position.pending >= 0:
        s.orders[position.pending].status = ledger.CANCELLED
        position.pending = -1
        s.account.pending -= 1


@inner
def _done(s: KernelState, n: int, wanted: float, got: float, why: int) -> None:
    position = s.positions[n]
    order = position.pending
    position.pending = -1
    s.account.pending -= 1
    if got == wanted:
        s.orders[order].status = ledger.FILLED
        return
    s.orders[order].status = ledger.REJECTED if got == 0.0 else ledger.PARTLY_FILLED
    _refuse(s, n, order, s.account.at, (wanted, got + 0.0), why)  # + 0.0: a cut to nothing may be -0.0


@inner
def _activate(s: KernelState, n: int) -> None:
    # In symbol order: sums over the active list are to run as those of `trading.fills` do.
    count = s.account.active
    i = count
    while i > 0 and s.active[i - 1] > n:
        i -= 1
    if i > 0 and s.active[i - 1] == n:
        return
    for j in range(count, i, -1):
        s.active[j] = s.active[j - 1]
    s.active[i] = n
    s.account.active = count + 1


# A. Decisions.


@inner
def _newest_mark(m: MarketArrays, s: KernelState, t: int, n: int) -> float:
    """Return the mark as of the close before bar t, brought up to date when the symbol was not active meanwhile."""
    position = s.positions[n]
    if position.held == 0.0 and position.pending < 0:
        before = t - 1
        while before > position.seen and not m.tradable[before, n]:
            before -= 1
        if before > position.seen:
            position.mark = m.close[before, n]
        position.seen = max(position.seen, t - 1)
    return position.mark


@inner
def _decide(m: MarketArrays, targets: Targets, s: KernelState, t: int, k: int) -> None:
    first, first_order = targets.first[k], s.account.orders
    for i in range(first, targets.first[k + 1]):
        n = targets.symbol[i]
        position = s.positions[n]
        mark = _newest_mark(m, s, t, n)
        _cancel(s, n)
        limited = not np.isnan(targets.limit[i])
        whole = s.rules.whole_shares > 0
        weight = targets.weight[i] if s.rules.grouping < 0 else s.limits.weights[i - first]
        verdict, amount, keeps_side = size(
            weight, limited, position.held, mark, s.account.equity, whole, s.rules.min_trade
        )
        if keeps_side:
            _set_bracket(s, position, targets.stop[i], targets.take_profit[i])
        if verdict == NO_PRICE:
            _refuse(s, n, -1, targets.at[k], (0.0, 0.0), ledger.NO_PRICE_REASON)
        elif verdict != NO_ORDER:
            _send(targets, s, i, targets.at[k], verdict == DOLLARS, amount)
        elif amount != 0.0:
            _refuse(s, n, -1, targets.at[k], (amount, 0.0), ledger.NO_SHARE_REASON)
    if s.account.call > 0:
        for order in range(first_order, s.account.orders):
            row = s.orders[order]
            row.status = ledger.REJECTED
            wanted = row.notional / s.positions[row.symbol].mark if np.isnan(row.quantity) else row.quantity
            _refuse(s, row.symbol, order, row.submitted_at, (wanted, 0.0), ledger.IN_MARGIN_CALL)


@inner
def _send(targets: Targets, s: KernelState, i: int, at: int, in_dollars: bool, amount: float) -> None:
    order, n = s.account.orders, targets.symbol[i]
    row = s.orders[order]
    row.symbol = n
    row.submitted_at = at
    row.quantity = np.nan if in_dollars else amount
    row.notional = amount if in_dollars else np.nan
    row.limit = targets.limit[i]
    row.stop = targets.stop[i]
    row.take_profit = targets.take_profit[i]
    row.status = ledger.OPEN
    s.account.orders = order + 1
    if s.account.call == 0:
        s.positions[n].pending = order
        s.account.pending += 1
        _activate(s, n)


# B. Accruals.


@inner
def _accrue(s: KernelState, year: float) -> None:
    for i in range(s.account.active):
        position = s.positions[s.active[i]]
        if position.held < 0.0:
            s.account.cash -= abs(position.held) * position.mark * s.rules.borrow_rate * year


@inner
def _dividends(m: MarketArrays, s: KernelState, t: int) -> None:
    for i in range(s.account.active):
        n = s.active[i]
        paid = m.dividend[t, n]
        if s.positions[n].held != 0.0 and not np.isnan(paid) and m.tradable[t, n]:
            s.account.cash += s.positions[n].held * paid


@inner
def _arrive(m: MarketArrays, s: KernelState, t: int) -> None:
    """Put this turn's bars on the positions of active symbols."""
    s.account.at = m.opens_at[t]
    for i in range(s.account.active):
        n = s.active[i]
        position = s.positions[n]
        position.fresh = 0
        if m.tradable[t, n]:
            position.fresh = 1
            position.open = m.open[t, n]
            position.high = m.high[t, n]
            position.low = m.low[t, n]
            position.mark = position.open


# C. Open auction.


@inner
def _sell_down(s: KernelState) -> None:
    """Cut every position that trades to the share of it that equity carries: the margin call."""
    for i in range(s.account.active):
        position = s.positions[s.active[i]]
        if position.held == 0.0 or position.fresh == 0:
            continue
        kept = position.held * s.account.kept_share
        if s.rules.whole_shares > 0:
            kept = np.trunc(kept)
        change = kept - position.held
        if change != 0.0:
            slippage = abs(change) * position.open * (s.rules.slippage_bps / 1e4)
            _fill(s, s.active[i], -1, (change, position.open, slippage), ledger.MARGIN_CALL)


@inner
def _open_auction(s: KernelState) -> None:
    """Fill reducing parts first, then the increasing parts together. `wanted` is 0 where a position has no part."""
    increasing = False
    for i in range(s.account.active):
        position = s.positions[s.active[i]]
        position.wanted = 0.0
        if position.pending < 0 or position.fresh == 0:
            continue
        order = s.orders[position.pending]
        wanted = order.quantity
        if np.isnan(wanted):
            wanted = order.notional / (position.open * (1.0 + s.rules.slippage_bps / 1e4))
        if (wanted > 0.0 and position.open > order.limit) or (wanted < 0.0 and position.open < order.limit):
            continue
        position.wanted = wanted
        position.reducing = reducing_part(position.held, wanted)
        position.increasing = wanted - position.reducing
        position.got = position.increasing
        increasing = increasing or position.increasing != 0.0
        if position.reducing != 0.0:
            slippage = open_slippage(s.rules, position.reducing, position.open, order.limit)
            _fill(s, s.active[i], position.pending, (position.reducing, position.open, slippage), ledger.AT_OPEN)
    why = _share_out(s) if increasing else ledger.BUYING_POWER
    for i in range(s.account.active):
        position = s.positions[s.active[i]]
        if position.wanted == 0.0:
            continue
        if position.got != 0.0:
            slippage = open_slippage(s.rules, position.got, position.open, s.orders[position.pending].limit)
            _fill(s, s.active[i], position.pending, (position.got, position.open, slippage), ledger.AT_OPEN)
        got = position.wanted if position.got == position.increasing else position.reducing + position.got
        _done(s, s.active[i], position.wanted, got, why)


@inner
def _need(s: KernelState, position: PositionState) -> tuple[float, float]:
    """Return margin with slippage, and commission, of what a position is about to get at the open."""
    slippage = open_slippage(s.rules, position.got, position.open, s.orders[position.pending].limit)
    gross = initial_margin(s.rules, position.got) * abs(position.got) * position.open + slippage
    return gross, commission_of(s.rules, position.got, position.open)


@inner
def _share_out(s: KernelState) -> int:
    """Cut the increasing parts to the free margin; return the reason cuts are logged with."""
    free = free_margin(s)
    total = gross_all = commission_all = 0.0
    for i in range(s.account.active):
        position = s.positions[s.active[i]]
        if position.wanted == 0.0 or position.got == 0.0:
            continue
        gross, commission = _need(s, position)
        if gross + commission > free * TOLERANCE:
            position.got *= max(0.0, free - commission) / gross
            gross, commission = _need(s, position)
        total += gross + commission
        gross_all += gross
        commission_all += commission
    together = total > free * TOLERANCE and gross_all > 0.0
    scale = max(0.0, free - commission_all) / gross_all if together else 1.0
    for i in range(s.account.active):
        position = s.positions[s.active[i]]
        if position.wanted == 0.0:
            continue
        if together:
            position.got *= scale
        if position.got != position.increasing:
            position.got = after_cut(s.rules, position.got, position.open)
    return ledger.PRO_RATA if together else ledger.BUYING_POWER


# D. Protection.


@inner
def _leave(s: KernelState, n: int, price: float, why: int) -> None:
    position = s.positions[n]
    slippage = abs(position.held) * price * (s.rules.slippage_bps / 1e4)
    if why == ledger.TAKE_PROFIT:
        slippage = min(slippage, abs(position.held) * abs(price - position.take_profit))
    _fill(s, n, -1, (-position.held, price, slippage), why)


@inner
def _protect(s: KernelState) -> None:
    for i in range(s.account.active):
        position = s.positions[s.active[i]]
        stop, take = position.stop, position.take_profit
        if position.held == 0.0 or position.fresh == 0 or (np.isnan(stop) and np.isnan(take)):
            continue
        side = 1.0 if position.held > 0.0 else -1.0
        worst = position.low if position.held > 0.0 else position.high
        best = position.high if position.held > 0.0 else position.low
        if side * position.open <= side * stop:
            price, why = position.open, ledger.STOP
        elif side * position.open >= side * take:
            price, why = position.open, ledger.TAKE_PROFIT
        elif side * worst <= side * stop:
            price, why = stop, ledger.STOP
        elif side * best >= side * take + clearance(s.rules, take):
            price, why = take, ledger.TAKE_PROFIT
        else:
            continue
        _leave(s, s.active[i], price, why)
        _cancel(s, s.active[i])


# E. Limit orders within the bar.


@inner
def _affordable(rules: Member, shares: float, price: float, free: float) -> float:
    gross = initial_margin(rules, shares) * abs(shares) * price
    commission = commission_of(rules, shares, price)
    if gross + commission <= free * TOLERANCE:
        return shares
    left = shares * (max(0.0, free - commission) / gross)
    return after_cut(rules, left, price) if left != shares else shares


@inner
def _limits_within(m: MarketArrays, s: KernelState, t: int, free: float) -> None:
    """Fill orders that only add, against `free` and what it has left; then those that reduce or cross; then leave what
    the bar carried on to its stop, or closed beyond its take-profit. `got` is what was entered within the bar."""
    entered = False
    for i in range(s.account.active):
        position = s.positions[s.active[i]]
        position.wanted = position.got = 0.0
        if position.pending < 0 or position.fresh == 0:
            continue
        order = s.orders[position.pending]
        beyond = clearance(s.rules, order.limit)
        if not (
            position.low <= order.limit - beyond if order.quantity > 0.0 else position.high >= order.limit + beyond
        ):
            continue  # not reached, or a market order: its limit is NaN
        if reducing_part(position.held, order.quantity) != 0.0:
            position.wanted = order.quantity
            continue
        got = _affordable(s.rules, order.quantity, order.limit, free)
        if got != 0.0:
            _fill(s, s.active[i], position.pending, (got, order.limit, 0.0), ledger.AT_LIMIT)
            free -= initial_margin(s.rules, got) * abs(got) * order.limit + commission_of(s.rules, got, order.limit)
            position.got = got
            entered = True
        _done(s, s.active[i], order.quantity, got, ledger.BUYING_POWER)
    for i in range(s.account.active):
        position = s.positions[s.active[i]]
        if position.wanted == 0.0:
            continue
        price = s.orders[position.pending].limit
        part = reducing_part(position.held, position.wanted)
        _fill(s, s.active[i], position.pending, (part, price, 0.0), ledger.AT_LIMIT)
        rest = position.wanted - part
        got = _affordable(s.rules, rest, price, free_margin(s)) if rest != 0.0 else 0.0
        if got != 0.0:
            _fill(s, s.active[i], position.pending, (got, price, 0.0), ledger.AT_LIMIT)
            position.got = got
            entered = True
        _done(s, s.active[i], position.wanted, position.wanted if got == rest else part + got, ledger.BUYING_POWER)
    if entered and s.account.brackets > 0:
        _protect_entries(m, s, t)


@inner
def _protect_entries(m: MarketArrays, s: KernelState, t: int) -> None:
    """Close what was entered within the bar and carried on to its stop, or closed beyond its take-profit."""
    for i in range(s.account.active):
        n = s.active[i]
        position = s.positions[n]
        if position.fresh == 0 or position.got == 0.0:
            continue
        side = 1.0 if position.held > 0.0 else -1.0
        worst = position.low if position.held > 0.0 else position.high
        entry, stop, take = s.orders[position.last_order].limit, position.stop, position.take_profit
        if side * worst <= side * stop:
            _leave(s, n, side * min(side * stop, side * entry), ledger.STOP)
        elif side * m.close[t, n] >= side * take + clearance(s.rules, take):
            _leave(s, n, side * max(side * take, side * entry), ledger.TAKE_PROFIT)


# F. Close, and the loop over bars.


@inner
def _cash_rate(m: MarketArrays, s: KernelState, t: int) -> float:
    """Return the interest of the session that ends with bar t, as a fraction of the cash carried into it."""
    rate: float = m.cash_return[t]
    if not np.isnan(s.rules.cash_interest):
        rate = s.rules.cash_interest / SESSIONS_A_YEAR
    return rate + s.rules.margin_spread / SESSIONS_A_YEAR if s.account.carried < 0.0 else rate


@inner
def _close(m: MarketArrays, s: KernelState, t: int) -> None:
    session_ends = not np.isnan(m.cash_return[t])
    if session_ends:
        s.account.cash += s.account.carried * _cash_rate(m, s, t)
    worth = carried = s.account.cash
    maintenance_long, maintenance_short = s.rules.maintenance_long, s.rules.maintenance_short
    maintenance = 0.0
    kept = 0
    holding = False
    for i in range(s.account.active):
        n = s.active[i]
        position = s.positions[n]
        mark = m.close[t, n] if m.tradable[t, n] else position.mark
        position.mark = mark
        held = position.held
        if held != 0.0:
            holding = True
            worth += held * mark
            if held < 0.0 and s.rules.short_proceeds_earn == 0:
                carried -= abs(held) * mark
            maintenance += (maintenance_long if held > 0.0 else maintenance_short) * abs(held) * mark
        elif position.pending < 0:
            position.seen = t
            continue
        s.active[kept] = n
        kept += 1
    s.account.active = kept
    s.account.equity = worth
    if session_ends:
        s.account.carried = carried
    if holding and worth < maintenance:
        initial = 0.0
        for i in range(kept):
            position = s.positions[s.active[i]]
            if position.held != 0.0:
                initial += initial_margin(s.rules, position.held) * abs(position.held) * position.mark
            _cancel(s, s.active[i])
        s.account.kept_share = min(1.0, max(0.0, worth / initial))
        s.account.call = 1


@inner
def _trade(m: MarketArrays, s: KernelState, t: int) -> None:
    """Go through C to E of a bar on which something is pending or protected, or a margin call stands."""
    _arrive(m, s, t)
    if s.account.call > 0:
        s.account.call = 0
        _sell_down(s)
    elif s.account.pending > 0:
        _open_auction(s)
    free = free_margin(s) if s.account.pending > 0 else 0.0
    if s.account.brackets > 0:
        _protect(s)
    if s.account.pending > 0:
        _limits_within(m, s, t, min(free, free_margin(s)))


@inner
def _open_account(s: KernelState, marks: Floats) -> None:
    account = s.account
    account.cash = account.equity = account.carried = s.rules.cash
    account.kept_share = 0.0
    account.active = account.pending = account.brackets = account.call = 0
    account.orders = account.fills = account.refusals = 0
    for n in range(len(s.positions)):
        position = s.positions[n]
        position.held = 0.0
        position.mark = marks[n]
        position.stop = position.take_profit = np.nan
        position.pending = position.last_order = position.seen = -1
        position.targeted = 0


@inner
def _play(m: MarketArrays, targets: Targets, groupings: Instants, s: KernelState, c: Curves, r: int) -> None:
    _open_account(s, m.opening_marks)
    accrues = s.rules.borrow_rate > 0.0
    k = s.rules.first
    for t in range(len(m.opens_at)):
        while k < s.rules.end and targets.due[k] <= t:
            if s.rules.grouping >= 0:
                limit_decision(targets, s, groupings, k)
            _decide(m, targets, s, t, k)
            k += 1
        if accrues and m.year[t] > 0.0:
            _accrue(s, m.year[t])
        if m.pays:
            _dividends(m, s, t)
        if s.account.pending + s.account.brackets + s.account.call > 0:
            _trade(m, s, t)
        _close(m, s, t)
        c.equity[r, t] = s.account.equity
        if len(c.positions) > 0:
            c.cash[t] = s.account.cash
            for i in range(s.account.active):
                c.positions[t, s.active[i]] = s.positions[s.active[i]].held


Play = Callable[[MarketArrays, Targets, Sequence[Member], Instants, KernelState, Curves, int, int], None]


def _entry(sources: int) -> Play:
    """Return the one function that is cached: it plays members `first` to before `last`, each from the start.

    numba's cache knows only this file: a kernel kept from before a change in sizing would go on using the old sizes.
    So `sources`, a number that changes with every file compiled into it, stands in its closure.
    """

    def play(
        m: MarketArrays,
        targets: Targets,
        members: Sequence[Member],
        groupings: Instants,
        room: KernelState,
        c: Curves,
        first: int,
        last: int,
    ) -> None:
        for r in range(first, last if sources >= 0 else first):
            a, p, o, f, x = room.account, room.positions, room.orders, room.fills, room.refusals
            s = KernelState(a, members[r], p, room.active, o, f, x, room.limits)
            _play(m, targets, groupings, s, c, r)

    return compiled(play, _nrt=False, nogil=True)


_COMPILED_IN = (sizing, risk, ledger, state, market, limits, arithmetic)

play = _entry(crc32(b"".join(Path(str(module.__file__)).read_bytes() for module in _COMPILED_IN)))
