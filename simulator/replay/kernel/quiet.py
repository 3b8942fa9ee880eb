"""Quiet bars: those on which nothing is traded, due or paid, so that equity is all there is to work out.

Most bars are. The sums are those of `play`, in the same order; four bars are added up side by side, because each
addition waits for the one before and those of other bars do not.
"""

from __future__ import annotations

import numpy as np

from simulator.compiled import inner
from simulator.market.bars import Floats
from simulator.replay.kernel.market import ExcessReturns, MarketArrays
from simulator.replay.kernel.measures import begin_bar, end_bar
from simulator.replay.kernel.state import Curves, KernelState
from simulator.trading.execution import SESSIONS_A_YEAR

SAFE_MAINTENANCE = 0.9
"""Maintenance margin up to which an account of long positions without debt gets no margin call, however it rounds."""


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
def coast(m: MarketArrays, x: ExcessReturns, s: KernelState, c: Curves, r: int, t: int, end: int) -> None:
    """Play the quiet bars t to before `end`."""
    a, equity = s.account[0], c.equity[min(r, len(c.equity) - 1)]
    _add_up(m, s, equity, t, end)
    for u in range(t, end):
        begin_bar(m, x, s, c, r, u)
        if not np.isnan(m.cash_return[u]):
            a.cash += a.carried * cash_rate(m, s, u, a.carried)
            a.carried = a.cash
        a.equity = equity[u]
        end_bar(x, s, c, r, u, a.equity - a.cash)
