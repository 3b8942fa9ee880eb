"""The fill rules of docs/decisions/0001-fill-rules.md compiled: one pass over the bars, state in, state out.

The arithmetic of `trading.fills` in the same order, by other means: per bar only symbols that are held or have an
order pending are touched (`KernelState.active`, kept ascending so that sums run in symbol order). Skipping a symbol
with nothing held leaves every sum the same to the last bit, because adding 0.0 does. A comparison with NaN is false: an
order without a limit and a bracket without a leg need no branch of their own.

Functions called for each order or position take the records they need and not the whole state: arrays are passed
field by field, and a hundred words a call cost more than what is done with them.

    per bar: _decide (A) ──► _accrue, _dividends (B) ──► _trade: auction (C), protection (D), limits (E) ──► _close (F)
                      └──► coast: bars on which nothing but prices move, up to the next that is not so (`quiet`)

In the code `m` is the market, `x` its excess returns, `s` the state of the member played, `a` its account, `c` its
curves.
"""

from __future__ import annotations

from collections.abc import Sequence
from inspect import getsource

import numpy as np

from simulator.compiled import entry, inner
from simulator.market.bars import Instants
from simulator.replay import ledger
from simulator.replay.kernel import (
    arithmetic,
    bookkeeping,
    conditions,
    limits,
    market,
    measures,
    protection,
    quiet,
    state,
)
from simulator.replay.kernel.arithmetic import (
    TOLERANCE,
    affordable,
    after_cut,
    cash_rate,
    clearance,
    commission_of,
    initial_margin,
    least_worth,
    nine_digits,
    open_slippage,
    reducing_part,
)
from simulator.replay.kernel.bookkeeping import cancel, end_auctioned, end_order, fill, refuse, send, set_bracket
from simulator.replay.kernel.conditions import settle
from simulator.replay.kernel.limits import limit_decision
from simulator.replay.kernel.market import ExcessReturns, MarketArrays, Targets
from simulator.replay.kernel.measures import clear_exposure, end_bar, measure, note_exposure, note_target
from simulator.replay.kernel.protection import leave, on_tick, profit_from, protect, reached, take_profit
from simulator.replay.kernel.quiet import coast, quiet_until, same_until
from simulator.replay.kernel.state import Curves, KernelState, Member, PositionState, Room
from simulator.trading import conditional, sizes
from simulator.trading.execution import SESSIONS_A_YEAR
from simulator.trading.risk import make_limiter
from simulator.trading.sizes import (
    APART,
    BAD_EXITS,
    DOLLARS,
    NO_EXITS,
    NO_ORDER,
    NO_PRICE,
    make_price_terms,
    make_size,
    make_size_at_broker,
)

size = inner(make_size(np.trunc))
price_terms = inner(make_price_terms(on_tick))
size_at_broker = inner(make_size_at_broker(np.trunc, np.rint))

# A. Decisions.


@inner
def _decide(m: MarketArrays, targets: Targets, s: KernelState, t: int, k: int) -> None:
    a, rules = s.account[0], s.rules
    priced, at, first_order, count = len(targets.limit) > 0, targets.at[k - rules.shift], a.orders, 0
    least = least_worth(rules, a.equity)
    for n in range(len(s.positions)):
        weight = targets.weight[k, n]
        if np.isnan(weight):
            continue
        if rules.grouping >= 0:
            weight = s.limits.weights[count]
            count += 1
        note_target(s, n, weight)
        position = s.positions[n]
        mark = m.mark[t - 1, n] if t > 0 else m.opening_marks[n]
        if weight == 0.0 and position.held == 0.0 and position.pending < 0 and mark != 0.0:
            continue  # most targets of most rules: nothing is wanted and there is nothing
        cancel(a, position, s.orders)
        limit = stop = take = first = np.nan
        if priced:
            limit, stop, take = targets.limit[k, n], targets.stop[k, n], targets.take_profit[k, n]
            first = profit_from(targets, rules, k, n, 0, take, weight)
        held, whole, exits, denied = position.held, rules.whole_shares > 0, NO_EXITS, 0.0
        if rules.alpaca > 0:
            limit, stop, take, exits = price_terms(weight, (limit, stop, take), first, held, mark, a.equity)
            first = on_tick(first, weight > 0.0)
            verdict, amount, keeps_side, denied = size_at_broker(
                weight, not np.isnan(limit), exits, held, mark, a.equity, whole, least
            )
        else:
            verdict, amount, keeps_side = size(weight, not np.isnan(limit), held, mark, a.equity, whole, least)
        if denied != 0.0:
            why = ledger.EXITS_REASON if exits == BAD_EXITS else ledger.NO_SHORT_REASON
            refuse(a, s.refusals, n, -1, at, denied, 0.0, why)
        if keeps_side and exits != BAD_EXITS and (priced or a.brackets > 0):
            set_bracket(a, position, stop, first, k, 0)
        if verdict == NO_PRICE:
            refuse(a, s.refusals, n, -1, at, 0.0, 0.0, ledger.NO_PRICE_REASON)
        elif verdict != NO_ORDER:
            position.quantity = np.nan if verdict == DOLLARS else amount
            position.notional = amount if verdict == DOLLARS else np.nan
            position.limit = limit
            position.order_stop = stop
            position.order_take_profit = take
            position.order_first = first
            position.order_row = k
            send(a, position, s.orders, n, at)
        elif amount != 0.0:
            why = ledger.TOO_SMALL_REASON if abs(amount) * mark < least else ledger.NO_SHARE_REASON
            refuse(a, s.refusals, n, -1, at, amount, 0.0, why)
    if a.call > 0:
        _refuse_orders(m, s, t, at, first_order)
    if a.orders > first_order:
        _list_symbols(s)


@inner
def _refuse_orders(m: MarketArrays, s: KernelState, t: int, at: int, first_order: int) -> None:
    """Refuse the orders of this decision: a margin call stands."""
    a = s.account[0]
    for n in range(len(s.positions)):
        position = s.positions[n]
        if position.pending >= first_order:
            mark = m.mark[t - 1, n] if t > 0 else m.opening_marks[n]
            wanted = position.notional / mark if np.isnan(position.quantity) else position.quantity
            refuse(a, s.refusals, n, position.pending, at, wanted, 0.0, ledger.IN_MARGIN_CALL)
            end_order(a, position, s.orders, ledger.REJECTED)


@inner
def _list_symbols(s: KernelState) -> None:
    # In symbol order: sums over the active list are to run as those of `trading.fills` do. Written whether listed or
    # not, and counted only then: which it is nobody can guess, the processor neither.
    active = waiting = 0
    for n in range(len(s.positions)):
        pends = s.positions[n].pending >= 0
        s.waiting[waiting] = n
        waiting += int(pends)
        s.active[active] = n
        active += int(pends | (s.positions[n].held != 0.0))
    s.account[0].active = active
    s.account[0].waiting = waiting


# B. Accruals.


@inner
def _accrue(m: MarketArrays, s: KernelState, t: int) -> None:
    a = s.account[0]
    for i in range(a.active):
        held = s.positions[s.active[i]].held
        if held < 0.0:
            a.cash -= abs(held) * m.mark[t - 1, s.active[i]] * s.rules.borrow_rate * m.year[t]


@inner
def _dividends(m: MarketArrays, s: KernelState, t: int) -> None:
    a = s.account[0]
    for i in range(a.active):
        n = s.active[i]
        paid = m.dividend[t, n]
        if s.positions[n].held != 0.0 and not np.isnan(paid) and m.tradable[t, n]:
            a.cash += s.positions[n].held * paid


# C. Open auction.


@inner
def _free_margin(m: MarketArrays, s: KernelState, t: int) -> float:
    worth = s.account[0].cash
    bound = 0.0
    for i in range(s.account[0].active):
        held = s.positions[s.active[i]].held
        if held != 0.0:
            mark = m.mark_at_open[t, s.active[i]]
            worth += held * mark
            bound += initial_margin(s.rules, held) * abs(held) * mark
    return worth - bound


@inner
def _sell_down(m: MarketArrays, s: KernelState, t: int) -> None:
    """Cut every position that trades to the share of it that equity carries: the margin call."""
    a = s.account[0]
    for i in range(a.active):
        n = s.active[i]
        position = s.positions[n]
        if position.held == 0.0 or not m.tradable[t, n]:
            continue
        kept = position.held * a.kept_share
        if s.rules.whole_shares + s.rules.alpaca > 0:
            kept = np.trunc(kept)
        change = kept - position.held
        if change != 0.0:
            price = m.open[t, n]
            trade = change, price, abs(change) * price * a.slippage
            fill(a, s.rules, position, s.fills, n, trade, ledger.MARGIN_CALL)


@inner
def _stop_passed(position: PositionState, reducing: float, part: float, price: float) -> bool:
    """Return True where `part` would open a position at the market that the open has carried to its stop already."""
    behind = price - position.order_stop if part > 0.0 else position.order_stop - price
    return np.isnan(position.limit) and position.held + reducing == 0.0 and part != 0.0 and behind < APART


@inner
def _open_auction(m: MarketArrays, s: KernelState, t: int) -> None:
    """Fill reducing parts first, then the increasing parts together."""
    a, rules = s.account[0], s.rules
    paid = 1.0 + a.slippage
    bids, reducing, increasing = s.auction[0], s.auction[1], s.auction[2]
    count = less = more = 0
    for i in range(a.waiting):
        n = s.waiting[i]
        position = s.positions[n]
        if position.pending < 0 or not m.tradable[t, n]:
            continue
        price, wanted, limit = m.open[t, n], position.quantity, position.limit
        bought = nine_digits(rules, position.notional / (price * paid))
        wanted = bought if np.isnan(wanted) else wanted
        if ((wanted > 0.0) & (price > limit)) | ((wanted < 0.0) & (price < limit)) | (wanted == 0.0):
            continue
        part = reducing_part(position.held, wanted)
        rest = 0.0 if rules.alpaca > 0 and _stop_passed(position, part, wanted - part, price) else wanted - part
        position.wanted, position.reducing, position.got = wanted, part, rest
        bids[count] = reducing[less] = increasing[more] = n
        count += 1
        less += int(part != 0.0)
        more += int(rest != 0.0)
    for i in range(less):
        n = reducing[i]
        position = s.positions[n]
        slippage = open_slippage(a, position.reducing, m.open[t, n], position.limit)
        fill(a, rules, position, s.fills, n, (position.reducing, m.open[t, n], slippage), ledger.AT_OPEN)
    why = _share_out(m, s, t, more) if more > 0 else ledger.BUYING_POWER
    for i in range(more):
        n = increasing[i]
        position = s.positions[n]
        if position.got != 0.0:
            slippage = open_slippage(a, position.got, m.open[t, n], position.limit)
            fill(a, rules, position, s.fills, n, (position.got, m.open[t, n], slippage), ledger.AT_OPEN)
    for i in range(count):
        position = s.positions[bids[i]]
        part = position.wanted - position.reducing
        got = position.wanted if position.got == part else position.reducing + position.got
        barred = rules.alpaca > 0 and _stop_passed(position, 0.0, part, m.open[t, bids[i]])
        end_auctioned(s, bids[i], position.wanted, got, ledger.EXITS_REASON if barred else why)


@inner
def _share_out(m: MarketArrays, s: KernelState, t: int, count: int) -> int:
    """Cut the first `count` increasing parts to the free margin; return the reason cuts are logged with."""
    a, rules, free, increasing = s.account[0], s.rules, _free_margin(m, s, t), s.auction[2]
    total = gross_all = commission_all = 0.0
    cut = False
    for i in range(count):
        position, price = s.positions[increasing[i]], m.open[t, increasing[i]]
        got = position.got
        for _ in range(2):  # a second time where it was cut
            # Margin with slippage, and commission, of what the position is about to get.
            gross = initial_margin(rules, got) * abs(got) * price + open_slippage(a, got, price, position.limit)
            commission = commission_of(a, rules, got, price)
            if got != position.got or gross + commission <= free * TOLERANCE:
                break
            got *= max(0.0, free - commission) / gross
        cut = cut or got != position.got
        position.got = got
        total += gross + commission
        gross_all += gross
        commission_all += commission
    together = total > free * TOLERANCE and gross_all > 0.0
    if not (together or cut):
        return ledger.BUYING_POWER
    scale = max(0.0, free - commission_all) / gross_all if together else 1.0
    for i in range(count):
        position = s.positions[increasing[i]]
        position.got *= scale
        if position.got != position.wanted - position.reducing:
            position.got = after_cut(a, rules, position.got, m.open[t, increasing[i]])
    return ledger.PRO_RATA if together else ledger.BUYING_POWER


# E. Limit orders within the bar.


@inner
def _limits_within(m: MarketArrays, targets: Targets, s: KernelState, t: int, free: float) -> None:
    """Fill orders that only add, against `free` and what it has left; then those that reduce or cross; then leave what
    the bar carried on to its stop, or closed beyond its take-profit. `got` is what was entered within the bar."""
    a, rules = s.account[0], s.rules
    entered = False
    for i in range(a.waiting):
        n = s.waiting[i]
        position = s.positions[n]
        position.wanted = position.got = 0.0
        if position.pending < 0 or not m.tradable[t, n]:
            continue
        limit, quantity = position.limit, position.quantity
        beyond = clearance(rules, limit)
        if not (m.low[t, n] <= limit - beyond if quantity > 0.0 else m.high[t, n] >= limit + beyond):
            continue  # not reached, or a market order: its limit is NaN
        if reducing_part(position.held, quantity) != 0.0:
            position.wanted = quantity
            continue
        got = affordable(a, rules, quantity, limit, free)
        if got != 0.0:
            fill(a, rules, position, s.fills, n, (got, limit, 0.0), ledger.AT_LIMIT)
            free -= initial_margin(rules, got) * abs(got) * limit + commission_of(a, rules, got, limit)
            position.got = got
            entered = True
        end_auctioned(s, n, quantity, got, ledger.BUYING_POWER)
    for i in range(a.waiting):
        n = s.waiting[i]
        position = s.positions[n]
        wanted, price = position.wanted, position.limit
        if wanted == 0.0:
            continue
        part = reducing_part(position.held, wanted)
        fill(a, rules, position, s.fills, n, (part, price, 0.0), ledger.AT_LIMIT)
        rest = wanted - part
        got = affordable(a, rules, rest, price, _free_margin(m, s, t)) if rest != 0.0 else 0.0
        if got != 0.0:
            fill(a, rules, position, s.fills, n, (got, price, 0.0), ledger.AT_LIMIT)
            position.got = got
            entered = True
        end_auctioned(s, n, wanted, wanted if got == rest else part + got, ledger.BUYING_POWER)
    if entered and a.brackets > 0:
        _protect_entries(m, targets, s, t)


@inner
def _protect_entries(m: MarketArrays, targets: Targets, s: KernelState, t: int) -> None:
    """Close what was entered within the bar and carried on to its stop, or closed beyond its take-profit."""
    for i in range(s.account[0].waiting):
        n = s.waiting[i]
        position = s.positions[n]
        if position.got == 0.0 or not m.tradable[t, n]:
            continue
        side = 1.0 if position.held > 0.0 else -1.0
        worst = m.low[t, n] if position.held > 0.0 else m.high[t, n]
        entry, stop = position.limit, position.stop
        if side * worst <= side * stop:
            leave(s, n, side * min(side * stop, side * entry), ledger.STOP)
        while position.held != 0.0 and reached(position, m.close[t, n], clearance(s.rules, position.take_profit)):
            take_profit(targets, s, n, side * max(side * position.take_profit, side * entry))


@inner
def _trade(m: MarketArrays, targets: Targets, s: KernelState, t: int) -> None:
    """Go through C to E of a bar on which something is pending or protected, or a margin call stands."""
    a = s.account[0]
    a.at = m.opens_at[t]
    if a.call > 0:
        a.call = 0
        _sell_down(m, s, t)
    elif a.pending > 0:
        _open_auction(m, s, t)
    waiting = a.pending > 0
    free = _free_margin(m, s, t) if waiting else 0.0
    if a.brackets > 0:
        protect(m, targets, s, t)
    if waiting and a.pending > 0:
        _limits_within(m, targets, s, t, min(free, _free_margin(m, s, t)))


# F. Close, and the loop over bars.


@inner
def _close(m: MarketArrays, s: KernelState, t: int) -> float:
    """Value the account and call for margin; return the gross value of its positions."""
    a, rules = s.account[0], s.rules
    earns = not np.isnan(m.cash_return[t])
    if earns:
        a.cash += a.carried * cash_rate(a, rules, m.cash_return[t])
    worth = carried = a.cash
    maintenance = gross = 0.0
    kept = shorts = 0
    for i in range(a.active):
        n = s.active[i]
        held, mark = s.positions[n].held, m.mark[t, n]
        if held > 0.0:
            worth += held * mark
            gross += held * mark
            maintenance += rules.maintenance_long * held * mark
        elif held < 0.0:
            worth += held * mark
            gross -= held * mark
            shorts = 1
            if rules.short_proceeds_earn == 0:
                carried -= abs(held) * mark
            maintenance += rules.maintenance_short * abs(held) * mark
        elif s.positions[n].pending < 0:
            continue
        s.active[kept] = n
        kept += 1
    a.active = kept
    a.shorts = shorts
    a.equity = worth
    if earns:
        a.carried = carried
    if gross > 0.0 and worth < maintenance:
        _call(m, s, t)
    return gross


@inner
def _call(m: MarketArrays, s: KernelState, t: int) -> None:
    a = s.account[0]
    initial = 0.0
    for i in range(a.active):
        n = s.active[i]
        position = s.positions[n]
        if position.held != 0.0:
            initial += initial_margin(s.rules, position.held) * abs(position.held) * m.mark[t, n]
        cancel(a, position, s.orders)
    a.kept_share = min(1.0, max(0.0, a.equity / initial))
    a.call = 1


@inner
def _open_account(s: KernelState) -> None:
    a = s.account[0]
    a.cash = a.equity = a.carried = s.rules.cash
    a.slippage = s.rules.slippage_bps / 1e4
    a.commission = s.rules.commission_bps / 1e4
    a.interest = s.rules.cash_interest / SESSIONS_A_YEAR
    a.kept_share = a.traded = a.costs = a.turnover = 0.0
    a.active = a.waiting = a.pending = a.brackets = a.call = 0
    a.orders = a.fills = a.refusals = a.decided = a.decisions = a.shorts = a.noted = 0
    for n in range(len(s.positions)):
        position = s.positions[n]
        position.held = 0.0
        position.stop = position.take_profit = np.nan
        position.pending = position.last_order = -1
        position.part = position.row = 0


@inner
def _play(
    m: MarketArrays, x: ExcessReturns, targets: Targets, groupings: Instants, s: KernelState, c: Curves, r: int
) -> None:
    _open_account(s)
    clear_exposure(s, c, r)
    a = s.account[0]
    accrues, k, shift, t, last = s.rules.borrow_rate > 0.0, s.rules.first, s.rules.shift, 0, len(m.opens_at)
    # Decisions that repeat the one before are passed over where they ask for nothing, if nobody reads what they say.
    heard = len(s.refusals) + len(targets.limit) + len(targets.terms)
    passes, same = heard + s.rules.whole_shares + s.rules.alpaca == 0, k
    while t < last:
        while k < s.rules.end and targets.due[k - shift] <= t:
            if len(targets.terms) > 0:
                settle(m, targets, s, t, k)
            if s.rules.grouping >= 0:
                limit_decision(m, targets, s, groupings, t, k)
            _decide(m, targets, s, t, k)
            k += 1
            if same < k:
                same = same_until(targets, k, s.rules.end) if passes else k
        following = max(k, same) if a.brackets == 0 else k
        end = quiet_until(m, s, t, min(targets.due[following - shift], last) if following < s.rules.end else last)
        if end > t:
            before = t
            t, k = coast(m, x, targets, s, c, (r, t, end, k, following))
            if t > before:
                continue
        if accrues and m.year[t] > 0.0:
            _accrue(m, s, t)
        if len(m.pays) > 0 and m.pays[t] > 0:
            _dividends(m, s, t)
        if a.pending + a.brackets + a.call > 0:
            if len(c.beyond) > 0:
                note_exposure(m, x, s, c, r, t + 1)
            _trade(m, targets, s, t)
        end_bar(x, s, c, r, t, _close(m, s, t))
        t += 1
    if len(c.beyond) > 0:
        note_exposure(m, x, s, c, r, last)


@entry(
    *(
        str(module.__file__)
        for module in (
            arithmetic,
            bookkeeping,
            conditional,
            conditions,
            limits,
            market,
            measures,
            protection,
            quiet,
            state,
        )
    ),
    __file__,
    str(sizes.__file__),
    getsource(make_limiter),
    repr([value for name, value in vars(ledger).items() if name.isupper() and isinstance(value, int)]),
)
def play(
    m: MarketArrays,
    x: ExcessReturns,
    targets: Targets,
    members: Sequence[Member],
    groupings: Instants,
    room: Room,
    c: Curves,
) -> None:
    """Play every member, each from the start."""
    for r in range(len(members)):
        a, p, active, waiting, auction, orders, fills, refusals, limits, usual = room
        s = KernelState(a, members[r], p, active, waiting, auction, orders, fills, refusals, limits, usual)
        _play(m, x, targets, groupings, s, c, r)
        if len(c.measures) > 0:
            measure(x, s, c, r)
