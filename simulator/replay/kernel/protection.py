"""Section D of the fill rules compiled: stops, and profit taken at one price or in parts."""

from __future__ import annotations

import numpy as np

from simulator.compiled import inner
from simulator.replay import ledger
from simulator.replay.kernel.arithmetic import clearance
from simulator.replay.kernel.bookkeeping import cancel, fill, set_bracket
from simulator.replay.kernel.market import MarketArrays, Targets
from simulator.replay.kernel.state import KernelState, Member, PositionState
from simulator.trading.sizes import make_on_tick

WHOLE = 1e-9
"""As in `trading.parts`, and written down again."""

on_tick = inner(make_on_tick(np.rint, np.floor))


@inner
def profit_from(targets: Targets, rules: Member, k: int, n: int, part: int, take: float, side: float) -> float:
    """Return the price at which decision `k` takes profit of symbol `n` from `part` on, `take` where none is left."""
    if len(targets.exits) > 0 and part < targets.exits.shape[2]:
        price: float = targets.exits[k, n, part, 1]
        if not np.isnan(price):
            return on_tick(price, side > 0.0) if rules.alpaca > 0 else price
    return take


@inner
def leave(s: KernelState, n: int, price: float, why: int) -> None:
    a, position = s.account[0], s.positions[n]
    size = abs(position.held)
    slippage = size * price * a.slippage
    if why == ledger.TAKE_PROFIT:
        slippage = min(slippage, size * abs(price - position.take_profit))
    fill(a, s.rules, position, s.fills, n, (-position.held, price, slippage), why)


@inner
def take_profit(targets: Targets, s: KernelState, n: int, price: float) -> None:
    """Close the next part of a position at `price`, and all that is left where no part is left before it."""
    a, rules, position = s.account[0], s.rules, s.positions[n]
    row, part, held = position.row, position.part, position.held
    share = np.nan
    if len(targets.exits) > 0 and part < targets.exits.shape[2]:
        share = targets.exits[row, n, part, 0]
    if np.isnan(share):
        leave(s, n, price, ledger.TAKE_PROFIT)
        return
    size = share * abs(held)
    if rules.whole_shares + rules.alpaca > 0:
        size = np.floor(size + WHOLE)
    if size != 0.0:
        slippage = min(size * price * a.slippage, size * abs(price - position.take_profit))
        fill(a, rules, position, s.fills, n, (-size if held > 0.0 else size, price, slippage), ledger.TAKE_PROFIT)
    take: float = targets.take_profit[row, n]
    if rules.alpaca > 0:
        take = on_tick(take, held > 0.0)
    if position.held != 0.0:
        following = profit_from(targets, rules, row, n, part + 1, take, held)
        set_bracket(a, position, position.stop, following, row, part + 1)


@inner
def protect(m: MarketArrays, targets: Targets, s: KernelState, t: int) -> None:
    for i in range(s.account[0].active):
        n = s.active[i]
        position = s.positions[n]
        held, stop, take = position.held, position.stop, position.take_profit
        if held == 0.0 or (np.isnan(stop) and np.isnan(take)) or not m.tradable[t, n]:
            continue
        opened, beyond = m.open[t, n], clearance(s.rules, take)
        if held > 0.0:
            stopped, taken = opened <= stop, opened >= take
            stop_touched, take_passed = m.low[t, n] <= stop, m.high[t, n] >= take + beyond
        else:
            stopped, taken = opened >= stop, opened <= take
            stop_touched, take_passed = m.high[t, n] >= stop, m.low[t, n] <= take - beyond
        if not (stopped or taken or stop_touched or take_passed):
            continue
        if stopped:
            leave(s, n, opened, ledger.STOP)
        while position.held != 0.0 and reached(position, opened, 0.0):
            take_profit(targets, s, n, opened)
        if position.held != 0.0 and stop_touched:
            leave(s, n, stop, ledger.STOP)
        best = m.high[t, n] if held > 0.0 else m.low[t, n]
        while position.held != 0.0 and reached(position, best, clearance(s.rules, position.take_profit)):
            take_profit(targets, s, n, position.take_profit)
        if position.held != held:  # also where only a part left: an order of the whole would lead beyond zero
            cancel(s.account[0], position, s.orders)


@inner
def reached(position: PositionState, price: float, beyond: float) -> bool:
    """Return True where `price` goes `beyond` the next profit of a position."""
    take = position.take_profit
    return price >= take + beyond if position.held > 0.0 else price <= take - beyond
