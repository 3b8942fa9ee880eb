"""Measures of one member in compiled code: of its equity, and of its returns beyond its own usual exposure.

Returns beyond the usual exposure are those of `simulator.runs.exposure.skill_series`, up to rounding, and are summed up
while the bars are played: nothing of a member is kept but what is asked for.

    note_exposure: weights held when bars open, b = Σ w̄ᵢxᵢ, before they change ──► measure: e − b, and the rest
"""

from __future__ import annotations

import numpy as np

from simulator.compiled import apart, inner
from simulator.market.bars import Floats
from simulator.replay.kernel.market import ExcessReturns, MarketArrays
from simulator.replay.kernel.state import AccountState, Curves, KernelState
from simulator.trading.execution import SESSIONS_A_YEAR

SLIVER = 0.01 * (1 - 1e-9)
"""As in `runs.exposure`: change of a target, as a fraction of equity, from which on it is a decision."""

LONG = 16
"""Bars from which on symbols are noted one after the other, each over all of them."""


@inner
def clear_exposure(s: KernelState, c: Curves, r: int) -> None:
    u = s.usual
    u.sums[0] = 0.0
    for n in range(len(s.positions)):
        u.summed[n] = u.levels[n] = 0.0
        u.targets[n] = np.nan
    if len(c.beyond) > 0:
        c.beyond[r, :] = 0.0


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
def note_exposure(m: MarketArrays, x: ExcessReturns, s: KernelState, c: Curves, r: int, end: int) -> None:
    """Add what the mean of the weights held at the opens so far earns, up to before bar `end`: nothing was traded since
    this was last done, so once for many bars."""
    u, first, equity = s.usual, max(s.account[0].noted, 1), c.equity[min(r, len(c.equity) - 1)]
    s.account[0].noted = end
    if s.account[0].fills == 0:
        return
    if end - first >= LONG:
        for n in range(len(s.positions)):
            _note_symbol(m, x, s, c, r, n, first, end)
        return
    for t in range(first, end):
        share = c.inverse[t - 1] if equity[t - 1] > 0.0 else 0.0
        earned = beside = 0.0
        for n in range(len(s.positions)):
            weight = s.positions[n].held * m.mark[t - 1, n] * share
            total = u.summed[n] + weight
            usual = total * x.part[max(t - x.since[n], 0)]
            u.summed[n] = total
            u.levels[n] += (weight - usual) * x.portion[t]
            earned += usual * x.by_bar[t, n]
            beside += (weight - usual) * x.of_session[t, n]
        c.beyond[r, x.session[t]] += earned
        u.sums[0] += beside


@inner
def _note_symbol(
    m: MarketArrays, x: ExcessReturns, s: KernelState, c: Curves, r: int, n: int, first: int, end: int
) -> None:
    """Do as `note_exposure`, for one symbol and many bars: sums stay in registers."""
    u, held, total, levels, beside = s.usual, s.positions[n].held, s.usual.summed[n], s.usual.levels[n], 0.0
    if held == 0.0 and total == 0.0:
        return
    # Parts of arrays: places in them count from 0, and need not be asked if they count from the end.
    marks, inverse = m.marks[n][first - 1 : end - 1], c.inverse[first - 1 : end - 1]
    worths = c.equity[min(r, len(c.equity) - 1)][first - 1 : end - 1]
    by_bar, of_session, portion = x.by_bar[first:end, n], x.of_session[first:end, n], x.portion[first:end]
    part, session, beyond = x.part[first - x.since[n] :], x.session[first:end], c.beyond[r]
    for t in range(len(marks)):
        weight = held * marks[t] * inverse[t] if held != 0.0 and worths[t] > 0.0 else 0.0
        total += weight
        usual = total * part[t]
        levels += (weight - usual) * portion[t]
        beside += (weight - usual) * of_session[t]
        beyond[session[t]] += usual * by_bar[t]
    u.summed[n], u.levels[n] = total, levels
    u.sums[0] += beside


@inner
def end_bar(x: ExcessReturns, s: KernelState, c: Curves, r: int, t: int, gross: float) -> None:
    """Take down the close of bar t, at which positions are worth `gross`."""
    a = s.account[0]
    c.equity[min(r, len(c.equity) - 1), t] = a.equity
    c.inverse[t] = 1.0 / a.equity
    c.cash[t] = a.cash
    c.gross[t] = gross
    if not np.isnan(x.free[t]):
        count_session(a, a.equity)
    keep_positions(s, c, t, t + 1)


@inner
def count_session(a: AccountState, equity: float) -> None:
    """Count what was traded and decided in a session that ends with `equity`."""
    if equity > 0.0:
        a.turnover += a.traded / equity
    a.traded = 0.0
    a.decisions += a.decided
    a.decided = 0


@inner
def keep_positions(s: KernelState, c: Curves, t: int, end: int) -> None:
    """Write the positions at the closes of bars t to before `end`, where books are kept."""
    if len(c.positions) > 0:
        for u in range(t, end):
            for n in range(len(s.positions)):
                c.positions[u, n] = s.positions[n].held


@inner
def _level_reward(x: ExcessReturns, s: KernelState) -> float:
    """Return the reward of a change of level, as `simulator.stats.skill.level_reward` has it."""
    sessions, symbols = x.session[-1] + 1, len(s.positions)
    own = levels = rewards = 0.0
    for n in range(symbols):
        level, reward = s.usual.levels[n] / sessions, x.rewards[n]
        own += level * reward
        levels += level
        rewards += reward
    pooled: float = levels * rewards / symbols
    return max(own, pooled) if s.usual.sums[0] > 0.0 else min(own, pooled)


@apart
def sum_up(
    cash: float, free: Floats, equity: Floats, inverse: Floats, gross: Floats, excess: Floats, beyond: Floats
) -> tuple[int, float, float, float, float, float, float, float]:
    """Write returns by session, `excess` and what lies `beyond`, whose benchmark stands there, where they have room.
    Return the number of sessions, the last equity, the deepest loss below a peak, and sums: of exposure, of returns and
    of excess returns, each with their squares."""
    sessions, before, peak, worst, share, deepest = 0, cash, cash, 0.0, 1.0 / cash, 1.0
    total = squares = raw = raw_squares = exposure = 0.0
    for t in range(len(equity)):
        if np.isnan(free[t]):
            continue
        worth = equity[t]
        # A product and no quotient, which would take as long as all the rest.
        earned = worth * share - 1.0 if worth != before else 0.0
        over = earned - free[t]
        raw += earned
        raw_squares += earned * earned
        total += over
        squares += over * over
        share = inverse[t]
        exposure += gross[t] * share if worth > 0.0 else 0.0
        if len(excess) > 0:
            excess[sessions] = over
        if len(beyond) > 0:
            beyond[sessions] = over - beyond[sessions]
        before = worth
        peak = max(peak, worth)
        if worth < deepest * peak:  # dividing takes long: only where it may be the deepest
            worst = min(worst, worth / peak - 1.0)
            deepest = (1.0 + worst) * (1.0 + 1e-12)
        sessions += 1
    return sessions, before, worst, exposure, raw, raw_squares, total, squares


@inner
def measure(x: ExcessReturns, s: KernelState, c: Curves, r: int) -> None:
    """Write the measures of one member, as simulator.stats.metrics defines them; NaN where there is none."""
    a, equity, found = s.account[0], c.equity[min(r, len(c.equity) - 1)], c.measures[r]
    by_session, none = len(c.beyond) > 0, c.inverse[:0]
    excess = c.excess[r] if len(c.excess) > 0 else none
    beyond = c.beyond[r] if by_session else none
    sessions, before, worst, exposure, raw, raw_squares, total, squares = sum_up(
        s.rules.cash, x.free, equity, c.inverse, c.gross, excess, beyond
    )
    mean = total / sessions
    variance = (squares - sessions * mean * mean) / (sessions - 1)
    raw_variance = (raw_squares - raw * raw / sessions) / (sessions - 1)
    varies = a.fills > 0 and sessions > 1 and variance > 1e-26  # less is rounding
    found[0] = before / s.rules.cash - 1.0
    found[1] = mean / np.sqrt(variance) * np.sqrt(float(SESSIONS_A_YEAR)) if varies else np.nan
    found[2] = worst
    found[3] = exposure / sessions
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
