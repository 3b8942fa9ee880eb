"""Quiet bars: those on which nothing is traded, due or paid, so that equity is all there is to work out.

Most bars are. Sums over symbols are those of `play`, in the same order; each symbol is added to all bars at once,
because an addition waits for the one before and those of other bars do not.
"""

from __future__ import annotations

import numpy as np

from simulator.compiled import apart, inner
from simulator.market.bars import Floats
from simulator.replay.kernel.arithmetic import least_worth
from simulator.replay.kernel.market import ExcessReturns, MarketArrays, Targets
from simulator.replay.kernel.measures import count_session, keep_positions
from simulator.replay.kernel.state import Curves, KernelState, Member
from simulator.trading.execution import SESSIONS_A_YEAR

SAFE_MAINTENANCE = 0.9
"""Maintenance margin up to which an account of long positions without debt gets no margin call, however it rounds; and
the part of its positions that must be its own where there is debt, so that it surely gets none."""

ROUNDING = 1e-9
"""Part of equity that a change of position is off by at most, however it is worked out; far more than it is."""

AHEAD = 32
"""Bars that equity is worked out for before decisions that repeat are looked at; twice as many each time none asks for
an order."""


@inner
def quiet_until(m: MarketArrays, s: KernelState, t: int, end: int) -> int:
    """Return the first bar from t on, before `end`, on which something may happen beside the market's moves."""
    a = s.account[0]
    if a.pending + a.call + a.shorts > 0 or s.rules.maintenance_long > SAFE_MAINTENANCE:
        return t
    if a.active > 0 and (a.brackets > 0 or len(m.pays) > 0):
        for u in range(t, end):
            if (len(m.pays) > 0 and m.pays[u] > 0) or (a.brackets > 0 and _touched(m, s, u)):
                return u
    return end


@inner
def _touched(m: MarketArrays, s: KernelState, t: int) -> bool:
    """Return True where the bar may have reached a stop or take-profit of a long position."""
    for i in range(s.account[0].active):
        n = s.active[i]
        stop, take = s.positions[n].stop, s.positions[n].take_profit
        if (m.low[t, n] <= stop) | (m.open[t, n] <= stop) | (m.high[t, n] >= take) | (m.open[t, n] >= take):
            return True
    return False


@apart
def _add_up_one(
    account: tuple[float, float, float, float, float],
    returns: Floats,
    marks: Floats,
    cashes: Floats,
    worths: Floats,
    gross: Floats,
    inverse: Floats,
) -> None:
    """Do as `_add_up` for an account of one symbol at most; `account` = (cash, carried, interest, spread, shares)."""
    cash, carried, interest, spread, held = account
    within = done = 0
    for u in range(len(returns)):
        within += int(np.isnan(returns[u]))
    while done < len(cashes):
        # While the sign of the balance lasts no rate waits for it: a balance waits for the one before alone.
        owing = carried < 0.0
        more = spread if owing else -0.0  # which changes nothing, not even the sign of 0
        returns, marks, cashes = returns[done:], marks[done:], cashes[done:]
        worths, gross, inverse, done = worths[done:], gross[done:], inverse[done:], 0
        for u in range(len(cashes)):
            if within == 0 or not np.isnan(returns[u]):
                cash += carried * ((returns[u] if np.isnan(interest) else interest) + more)
                carried = cash
            worth = cash + held * marks[u]
            cashes[u], worths[u], gross[u], inverse[u] = cash, worth, worth - cash, 1.0 / worth
            done += 1
            if (carried < 0.0) != owing:
                break


@inner
def _add_up(m: MarketArrays, s: KernelState, c: Curves, equity: Floats, t: int, end: int) -> int:
    """Write equity, its inverse, cash and what positions are worth at the closes of bars t to before `end`; return the
    first bar, or `end`, at which there may be a margin call."""
    a = s.account[0]
    # Parts of arrays: places in them count from 0, and need not be asked if they count from the end.
    cashes, worths, gross, inverse = c.cash[t:end], equity[t:end], c.gross[t:end], c.inverse[t:end]
    held, marks = (s.positions[s.active[0]].held, m.marks[s.active[0]]) if a.active == 1 else (0.0, m.year)
    account = a.cash, a.carried, a.interest, s.rules.margin_spread / SESSIONS_A_YEAR, held
    _add_up_one(account, m.cash_return[t:end], marks[t:end], cashes, worths, gross, inverse)
    if a.active > 1:
        for i in range(a.active):
            held, marks = s.positions[s.active[i]].held, m.marks[s.active[i]][t:end]
            for u in range(len(marks)):
                worths[u] += held * marks[u]
        for u in range(len(cashes)):
            gross[u] = worths[u] - cashes[u]
            inverse[u] = 1.0 / worths[u]
    if (a.cash < 0.0) | (a.carried < 0.0):
        for u in range(len(cashes)):
            if worths[u] < SAFE_MAINTENANCE * gross[u]:
                return t + u
    return end


@inner
def same_until(targets: Targets, k: int, last: int) -> int:
    """Return the first decision from k on, before `last`, whose weights are not those of the one before it, all of them
    numbers."""
    symbols = targets.weight.shape[1]
    for n in range(symbols):
        if np.isnan(targets.weight[k - 1, n]):
            return k
    # Each weight beside that of the decision before it.
    now = targets.in_row[k * symbols : last * symbols]
    before = targets.in_row[(k - 1) * symbols : (last - 1) * symbols]
    for j in range(len(now)):
        if now[j] != before[j]:
            return int(k + j // symbols)
    return last


@inner
def _asked(targets: Targets, s: KernelState, k: int, n: int) -> float:
    """Return the weight that decision k, all of whose are numbers, asks of symbol n."""
    weight: float = s.limits.weights[n] if s.rules.grouping >= 0 else targets.weight[k, n]
    return weight


@inner
def _asks_for_others(targets: Targets, s: KernelState, k: int) -> bool:
    """Return True where a symbol that is not held is asked for."""
    found = False
    for n in range(len(s.positions)):
        found = found or (s.positions[n].held == 0.0 and _asked(targets, s, k, n) != 0.0)
    return found


@inner
def _idle_until(m: MarketArrays, targets: Targets, s: KernelState, equity: Floats, k: int, last: int) -> int:
    """Return the first decision from k on, before `last`, all of which are the same as the one before them, that may
    ask for an order of what is held."""
    due = targets.due[k - s.rules.shift : last - s.rules.shift]
    for i in range(s.account[0].active):
        n = s.active[i]
        weight, held, marks = _asked(targets, s, k, n), s.positions[n].held, m.marks[n]
        if not (weight > 0.0 and held > 0.0) or len(due) == 0:
            return k
        # All bars there are first, decided at or not: without a look at each they take no time.
        worths, own, asks = equity[due[0] - 1 : due[-1]], marks[due[0] - 1 : due[-1]], 0
        for u in range(len(worths)):
            asks += int(not _is_idle(s.rules, weight * worths[u] - held * own[u], worths[u]))
        if asks > 0:
            for j in range(len(due)):
                worth = equity[due[j] - 1]
                if not _is_idle(s.rules, weight * worth - held * marks[due[j] - 1], worth):
                    due = due[:j]
                    break
    return k + len(due)


@inner
def _is_idle(rules: Member, change: float, worth: float) -> bool:
    """Return True where `change` of a position, in dollars, surely makes no order."""
    return abs(change) < least_worth(rules, worth) - ROUNDING * worth


@inner
def coast(
    m: MarketArrays,
    x: ExcessReturns,
    targets: Targets,
    s: KernelState,
    c: Curves,
    where: tuple[int, int, int, int, int],
) -> tuple[int, int]:
    """Play quiet bars, `where` = (member, bar, end, decision, first decision that is not the same as those before):
    up to the end, or to the first bar at which a decision may ask for an order, or a margin call may be due. Return
    that bar, and the next decision."""
    r, t, end, k, same = where
    equity, due, busy, ahead = c.equity[min(r, len(c.equity) - 1)], targets.due, False, AHEAD
    shift, others = s.rules.shift, k < same and _asks_for_others(targets, s, k)
    if s.account[0].active == 0 and not others:
        k = same
    while t < end and not busy:
        stop = min(end, t + ahead) if k < same else end
        ahead *= 2
        calm = _add_up(m, s, c, equity, t, stop)
        busy, stop = calm < stop, calm
        last = k
        while last < same and due[last - shift] <= min(stop, end - 1):
            last += 1
        if last > k:
            k = k if others else _idle_until(m, targets, s, equity, k, last)
            if k < last:
                stop, busy = due[k - shift], True
        _pass_bars(m, x, s, c, equity, t, stop)
        t = stop
    return t, k


@inner
def _pass_bars(m: MarketArrays, x: ExcessReturns, s: KernelState, c: Curves, equity: Floats, t: int, end: int) -> None:
    """Bring the account from the open of bar t to that of `end`."""
    a = s.account[0]
    if end == t:
        return
    if a.traded != 0.0 or a.decided > 0:
        for u in range(t, end):
            if not np.isnan(x.free[u]):
                count_session(a, equity[u])
                break
    for u in range(t, end):
        if not np.isnan(m.cash_return[u]):
            a.carried = c.cash[end - 1]
            break
    a.cash, a.equity = c.cash[end - 1], equity[end - 1]
    keep_positions(s, c, t, end)
