"""Measures of one member in compiled code: of its equity, and of its returns beyond its own usual exposure.

Returns beyond the usual exposure are those of `simulator.runs.exposure.skill_series`, up to rounding, and are summed up
while the bars are played: nothing of a member is kept but what is asked for.

    open_bar: weights held when it opens, b = Σ w̄ᵢxᵢ ──► session ends ──► measure: e − b by session, and the rest
"""

from __future__ import annotations

import numpy as np

from simulator.compiled import inner
from simulator.replay.kernel.market import ExcessReturns, MarketArrays
from simulator.replay.kernel.state import Curves, KernelState
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
def open_bar(m: MarketArrays, x: ExcessReturns, s: KernelState, t: int) -> float:
    """Return b of bar t: what the mean of the weights held at the opens so far, this one included, earns over it."""
    u, a = s.usual, s.account[0]
    a_bar = 1.0 / (t + 1)
    share = 1.0 / a.equity if a.equity > 0.0 and t > 0 else 0.0
    mark = m.mark[max(t - 1, 0)]
    earned = 0.0
    for n in range(len(s.positions)):
        weight = s.positions[n].held * mark[n] * share
        total = u.summed[n] + weight
        u.summed[n] = total
        usual = total * a_bar
        u.ahead[n] += weight - usual
        earned += usual * x.by_bar[t, n]
    return earned


@inner
def close_session(x: ExcessReturns, s: KernelState, session: int, bars: int) -> None:
    """Add the session's mean weights less their mean so far to those of the sessions before."""
    u, earned = s.usual, 0.0
    for n in range(len(s.positions)):
        ahead = u.ahead[n] / bars
        u.ahead[n] = 0.0
        u.levels[n] += ahead
        earned += ahead * x.by_session[session, n]
    u.sums[0] += earned


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
    before = peak = s.rules.cash
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
        if by_session:
            c.excess[r, sessions] = excess
            c.beyond[r, sessions] = excess - c.beyond[r, sessions]
        before = worth
        peak = max(peak, worth)
        if worth < (1.0 + worst) * peak:  # a deeper loss is rare, and dividing takes long
            worst = worth / peak - 1.0
        sessions += 1
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
