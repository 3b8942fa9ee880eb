"""Quiet bars: those on which nothing is traded, due or paid, so that equity is all there is to work out.

Most bars are. The sums are those of `play`, in the same order; four bars are added up side by side, because each
addition waits for the one before and those of other bars do not.
"""

from __future__ import annotations

import numpy as np

from simulator.compiled import inner
from simulator.market.bars import Floats
from simulator.replay.kernel.arithmetic import least_worth
from simulator.replay.kernel.market import ExcessReturns, MarketArrays, Targets
from simulator.replay.kernel.measures import count_session, keep_books, note_exposure
from simulator.replay.kernel.state import Curves, KernelState
from simulator.trading.execution import SESSIONS_A_YEAR

SAFE_MAINTENANCE = 0.9
"""Maintenance margin up to which an account of long positions without debt gets no margin call, however it rounds."""

ROUNDING = 1e-9
"""Part of equity that a change of position is off by at most, however it is worked out; far more than it is."""

AHEAD = 32
"""Bars that equity is worked out for before decisions that repeat are looked at."""


@inner
def quiet_until(m: MarketArrays, s: KernelState, t: int, end: int) -> int:
    """Return the first bar from t on, before `end`, on which something may happen beside the market's moves."""
    a = s.account[0]
    calm = (a.pending + a.call + a.shorts == 0) & (a.cash >= 0.0) & (a.carried >= 0.0)
    if not calm or s.rules.maintenance_long > SAFE_MAINTENANCE:
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


@inner
def cash_rate(m: MarketArrays, s: KernelState, t: int, carried: float) -> float:
    """Return the interest of the session that ends with bar t, as a fraction of the cash `carried` into it."""
    rate: float = s.account[0].interest
    if np.isnan(rate):
        rate = m.cash_return[t]
    return rate + s.rules.margin_spread / SESSIONS_A_YEAR if carried < 0.0 else rate


@inner
def _add_up(m: MarketArrays, s: KernelState, equity: Floats, t: int, end: int) -> None:
    """Write the equity at the closes of bars t to before `end`."""
    a = s.account[0]
    cash, carried = a.cash, a.carried
    for u in range(t, end):
        if not np.isnan(m.cash_return[u]):
            cash += carried * cash_rate(m, s, u, carried)
            carried = cash
        equity[u] = cash
    if a.active == 0:
        return
    while t + 4 <= end:
        first, second, third, fourth = equity[t], equity[t + 1], equity[t + 2], equity[t + 3]
        for i in range(a.active):
            n = s.active[i]
            held = s.positions[n].held
            first += held * m.mark[t, n]
            second += held * m.mark[t + 1, n]
            third += held * m.mark[t + 2, n]
            fourth += held * m.mark[t + 3, n]
        equity[t], equity[t + 1], equity[t + 2], equity[t + 3] = first, second, third, fourth
        t += 4
    for u in range(t, end):
        worth = equity[u]
        for i in range(a.active):
            worth += s.positions[s.active[i]].held * m.mark[u, s.active[i]]
        equity[u] = worth


@inner
def same_until(targets: Targets, k: int, last: int) -> int:
    """Return the first decision from k on, before `last`, whose weights are not those of the one before it, all of them
    numbers."""
    for n in range(targets.weight.shape[1]):
        if np.isnan(targets.weight[k - 1, n]):
            return k
    while k < last:
        for n in range(targets.weight.shape[1]):
            if targets.weight[k, n] != targets.weight[k - 1, n]:
                return k
        k += 1
    return k


@inner
def _is_idle(m: MarketArrays, targets: Targets, s: KernelState, k: int, t: int, equity: float) -> bool:
    """Return True where decision k, the same as the one before, surely asks for no order at bar t."""
    least = least_worth(s.rules, equity) - ROUNDING * equity
    for n in range(len(s.positions)):
        weight = s.limits.weights[n] if s.rules.grouping >= 0 else targets.weight[k, n]
        held = s.positions[n].held
        if (weight == 0.0) & (held == 0.0):
            continue
        if not (weight > 0.0 and held > 0.0 and abs(weight * equity - held * m.mark[t - 1, n]) < least):
            return False
    return True


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
    up to the end, or to the first bar at which a decision may ask for an order. Return that bar, and its decision."""
    r, t, end, k, same = where
    equity, shift = c.equity[min(r, len(c.equity) - 1)], s.rules.shift
    while t < end:
        stop = min(end, t + AHEAD) if k < same else end
        _add_up(m, s, equity, t, stop)
        busy = False
        while k < same and targets.due[k - shift] <= min(stop, end - 1):
            u = targets.due[k - shift]
            if not _is_idle(m, targets, s, k, u, equity[u - 1]):
                stop, busy = u, True
                break
            k += 1
        _pass_bars(m, x, s, c, r, t, stop)
        t = stop
        if busy:
            break
    return t, k


@inner
def _pass_bars(m: MarketArrays, x: ExcessReturns, s: KernelState, c: Curves, r: int, t: int, end: int) -> None:
    """Take down the bars t to before `end`, whose equity is there. What every bar adds to stays in registers."""
    a, equity = s.account[0], c.equity[min(r, len(c.equity) - 1)]
    cash, carried, exposure, before = a.cash, a.carried, a.exposure, a.equity
    for u in range(t, end):
        a.bars += 1
        if len(c.beyond) > 0:
            note_exposure(m, x, s, c, r, u, before)
        if not np.isnan(m.cash_return[u]):
            cash += carried * cash_rate(m, s, u, carried)
            carried = cash
        worth = before = equity[u]
        if not np.isnan(x.free[u]):
            if worth > 0.0:
                exposure += (worth - cash) / worth
            if a.traded != 0.0 or a.decided > 0:
                count_session(a, worth)
            a.bars = 0
            a.session += 1
        if len(c.positions) > 0:
            keep_books(s, c, u, cash)
    a.cash, a.carried, a.exposure, a.equity = cash, carried, exposure, before
