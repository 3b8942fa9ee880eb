"""Measures of one member in compiled code: of its equity, and of its returns beyond its own usual exposure.

Returns beyond the usual exposure are those of `simulator.runs.exposure.skill_series`, up to rounding, and are summed up
while the bars are played: nothing of a member is kept but what is asked for.

    begin_bar: weights held when it opens, b = Σ w̄ᵢxᵢ ──► end_bar: sums by session ──► measure: e − b, and the rest
"""

from __future__ import annotations

import numpy as np

from simulator.compiled import inner
from simulator.replay.kernel.market import ExcessReturns, MarketArrays
from simulator.replay.kernel.state import AccountState, Curves, KernelState
from simulator.trading.execution import SESSIONS_A_YEAR

SLIVER = 0.01 * (1 - 1e-9)
"""As in `runs.exposure`: change of a target, as a fraction of equity, from which on it is a decision."""


@inner
def clear_exposure(s: KernelState) -> None:
    u = s.usual
    u.sums[0] = 0.0
    for n in range(len(s.positions)):
        u.summed[n] = u.ahead[n] = u.levels[n] = 0.0
        u.targets[n] = np.nan


@inner
def note_target(s: KernelState, n: int, weight: float) -> None:
    """Take down that a target differs from where it last changed, unless it is the first of its symbol."""
    last = s.usual.targets[n]
    changed = (abs(weight - last) >= SLIVER) | ((weight == 0.0) != (last == 0.0))
    if np.isnan(last) or changed:
        s.usual.targets[n] = weight
        if not np.isnan(last):
            s.account[0].decided = 1


@inner
def begin_bar(m: MarketArrays, x: ExcessReturns, s: KernelState, c: Curves, r: int, t: int) -> None:
    """Count bar t and, where asked for, note the weights held at its open."""
    s.account[0].bars += 1
    if len(c.beyond) > 0:
        note_exposure(m, x, s, c, r, t, s.account[0].equity)


@inner
def note_exposure(m: MarketArrays, x: ExcessReturns, s: KernelState, c: Curves, r: int, t: int, equity: float) -> None:
    """Add what the mean of the weights held at the opens so far, that of bar t included, earns over it."""
    u, a = s.usual, s.account[0]
    share = 1.0 / equity if equity > 0.0 and t > 0 else 0.0
    mark, session, ends = m.mark[max(t - 1, 0)], a.session, not np.isnan(x.free[t])
    earned = beside = 0.0
    if ends and a.bars == 1:  # as below, with nothing to be kept from bar to bar
        for n in range(len(s.positions)):
            weight = s.positions[n].held * mark[n] * share
            total = u.summed[n] + weight
            usual = total * x.part[max(t - x.since[n], 0)]
            u.summed[n] = total
            u.levels[n] += weight - usual
            earned += usual * x.by_bar[t, n]
            beside += (weight - usual) * x.by_session[session, n]
        c.beyond[r, session] = earned
        u.sums[0] += beside
        return
    for n in range(len(s.positions)):
        weight = s.positions[n].held * mark[n] * share
        total = u.summed[n] + weight
        u.summed[n] = total
        usual = total * x.part[max(t - x.since[n], 0)]
        u.ahead[n] += weight - usual
        earned += usual * x.by_bar[t, n]
    a.earned += earned
    if ends:
        c.beyond[r, session] = a.earned
        a.earned = 0.0
        _close_session(x, s, session, a.bars)


@inner
def _close_session(x: ExcessReturns, s: KernelState, session: int, bars: int) -> None:
    """Add the session's mean weights less their mean so far to those of the sessions before."""
    u, earned = s.usual, 0.0
    for n in range(len(s.positions)):
        ahead = u.ahead[n] / bars
        u.ahead[n] = 0.0
        u.levels[n] += ahead
        earned += ahead * x.by_session[session, n]
    u.sums[0] += earned


@inner
def end_bar(x: ExcessReturns, s: KernelState, c: Curves, r: int, t: int, gross: float) -> None:
    """Take down the close of bar t, at which positions are worth `gross`."""
    a = s.account[0]
    c.equity[min(r, len(c.equity) - 1), t] = a.equity
    if not np.isnan(x.free[t]):
        if a.equity > 0.0:
            a.exposure += gross / a.equity
        count_session(a, a.equity)
        a.bars = 0
        a.session += 1
    if len(c.positions) > 0:
        keep_books(s, c, t, a.cash)


@inner
def count_session(a: AccountState, equity: float) -> None:
    """Count what was traded and decided in a session that ends with `equity`."""
    if equity > 0.0:
        a.turnover += a.traded / equity
    a.traded = 0.0
    a.decisions += a.decided
    a.decided = 0


@inner
def keep_books(s: KernelState, c: Curves, t: int, cash: float) -> None:
    """Write cash and positions at the close of bar t."""
    c.cash[t] = cash
    for n in range(len(s.positions)):
        c.positions[t, n] = s.positions[n].held


@inner
def _level_reward(x: ExcessReturns, s: KernelState) -> float:
    """Return the reward of a change of level, as `simulator.stats.skill.level_reward` has it."""
    sessions, symbols = x.by_session.shape
    own = levels = rewards = 0.0
    for n in range(symbols):
        level, reward = s.usual.levels[n] / sessions, x.rewards[n]
        own += level * reward
        levels += level
        rewards += reward
    pooled: float = levels * rewards / symbols
    return max(own, pooled) if s.usual.sums[0] > 0.0 else min(own, pooled)


@inner
def measure(x: ExcessReturns, s: KernelState, c: Curves, r: int) -> None:
    """Write the measures of one member, as simulator.stats.metrics defines them; NaN where there is none."""
    a, equity, found = s.account[0], c.equity[min(r, len(c.equity) - 1)], c.measures[r]
    by_session = len(c.beyond) > 0
    sessions = 0
    before = peak = trough = s.rules.cash
    total = squares = raw = raw_squares = worst = 0.0
    for t in range(len(equity)):
        free = x.free[t]
        if np.isnan(free):
            continue
        worth = equity[t]
        earned = worth / before - 1.0
        excess = earned - free
        raw += earned
        raw_squares += earned * earned
        total += excess
        squares += excess * excess
        if len(c.excess) > 0:
            c.excess[r, sessions] = excess
        if by_session:
            c.beyond[r, sessions] = excess - c.beyond[r, sessions]
        before = worth
        if worth > peak:  # the deepest loss below a peak is known at the next one: dividing takes long
            worst = min(worst, trough / peak - 1.0)
            peak = trough = worth
        trough = min(trough, worth)
        sessions += 1
    worst = min(worst, trough / peak - 1.0)
    mean = total / sessions
    variance = (squares - sessions * mean * mean) / (sessions - 1)
    raw_variance = (raw_squares - raw * raw / sessions) / (sessions - 1)
    varies = a.fills > 0 and sessions > 1 and variance > 1e-26  # less is rounding
    found[0] = before / s.rules.cash - 1.0
    found[1] = mean / np.sqrt(variance) * np.sqrt(float(SESSIONS_A_YEAR)) if varies else np.nan
    found[2] = worst
    found[3] = a.exposure / sessions
    found[4] = a.turnover / sessions / 2.0 * SESSIONS_A_YEAR
    found[5] = a.costs
    found[6] = np.sqrt(max(raw_variance, 0.0) * SESSIONS_A_YEAR) if sessions > 1 else np.nan
    found[7] = a.fills
    found[8] = a.decisions
    found[9] = 0.0
    for n in range(len(s.positions)):
        if s.positions[n].last_order >= 0 and x.risky[n] > 0:
            found[9] = 1.0  # an order has filled; what closes a position comes after one
    found[10] = _level_reward(x, s) if by_session else np.nan
