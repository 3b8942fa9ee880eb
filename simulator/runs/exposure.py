"""Returns of a run beyond its own usual exposure, session by session, and the test of them: `skill` of run.json.

ledger, tape ──► by_session: e, b, costs, sessions with decisions ──► skill_record: their means, and the test of d
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from simulator.evidence.records import SkillRecord
from simulator.evidence.writer import session_ends
from simulator.replay.ledger import Ledger, paid_dividends
from simulator.replay.tape import Tape, due_at
from simulator.stats.mean import mean_of
from simulator.stats.series import Floats, Undefined
from simulator.stats.skill import MeanTest, Split, anchoring, level_reward, mean_so_far, mean_test, split_return
from simulator.trading.execution import SESSIONS_A_YEAR, ExecutionRules
from simulator.trading.fills import FILL_WHYS

Flags = NDArray[np.bool_]

DRAWS = 2_000
"""Of the interval of a mean: enough for two digits of its ends."""

SLIVER = 0.01
"""Fraction of equity from which on a target that differs is a decision."""

BRACKETS = tuple(FILL_WHYS.index(why) for why in ("stop", "take_profit"))


@dataclass(frozen=True, eq=False)
class SkillSeries:
    """(S,) by session: the excess return and its parts; where targets changed or a bracket closed a position; where
    something but the cash instrument was held. `ahead`, `moves` and `weights` (S, N): weights less their mean so far,
    excess returns of the symbols, and the weights; None where positions are not known."""

    excess: Floats
    parts: Split
    decided: Flags
    held: Flags
    ahead: Floats | None = None
    moves: Floats | None = None
    weights: Floats | None = None

    @property
    def columns(self) -> dict[str, Floats]:
        """Columns of exposure.csv: ``exposure`` + ``choosing`` + ``costs`` = ``excess``."""
        return {"excess": self.excess, **vars(self.parts)}

    def rows(self, kept: Flags) -> SkillSeries:
        parts = Split(self.parts.exposure[kept], self.parts.choosing[kept], self.parts.costs[kept])
        known = (None if one is None else one[kept] for one in (self.ahead, self.moves, self.weights))
        return SkillSeries(self.excess[kept], parts, self.decided[kept], self.held[kept], *known)

    @property
    def level(self) -> float:
        """Reward per session of an exposure that moved one way; 0 where positions are not known, or no session is."""
        if self.ahead is None or self.moves is None or not self.excess.size:
            return 0.0
        return level_reward(self.ahead, self.moves)

    @property
    def anchor(self) -> float | None:
        """Correlation of weights with prices since the start; None where positions are not known."""
        return None if self.weights is None or self.moves is None else anchoring(self.weights, self.moves)


def skill_series(
    ledger: Ledger, tape: Tape, rules: ExecutionRules, cash: float, free: Floats, cash_instrument: str
) -> SkillSeries:
    """Return the series of the run in `ledger`, which began with `cash`; `free` (S,) are the risk-free returns.

    Weights are those held when a bar opens, and their mean is taken over the run's bars up to it: known before it.
    """
    bars, ends = ledger.bars, session_ends(ledger.bars)
    before = np.vstack([ledger.opening_marks, ledger.marks[:-1]])
    there = before > 0
    moves = np.where(there, (ledger.marks + paid_dividends(bars)) / np.where(there, before, 1.0) - 1.0, 0.0)
    moves[ends] -= np.where(there[ends], free[:, None], 0.0)
    weights = np.vstack([np.zeros(len(bars.symbols)), ledger.weights_at(slice(-1))])
    firsts = np.r_[0, ends[:-1] + 1]
    since = np.where(there.any(axis=0), there.argmax(axis=0), len(bars))
    usual = mean_so_far(weights, since)
    exposure = np.add.reduceat((usual * moves).sum(axis=1), firsts)
    risky = np.array([symbol != cash_instrument for symbol in bars.symbols])
    held = (ledger.positions[:, risky] != 0).any(axis=1)
    # A position that began and ended within one bar was held too.
    at = np.searchsorted(bars.opens_at, ledger.fill_rows["at"], side="right") - 1
    held[at[risky[ledger.fill_rows["symbol"]]]] = True
    closes, bars_of = ledger.equity[ends], np.diff(np.r_[firsts, len(bars)])[:, None]
    excess = closes / np.r_[cash, closes[:-1]] - 1 - free
    return SkillSeries(
        excess,
        split_return(excess, exposure, np.add.reduceat(_costs(ledger, rules, cash), firsts)),
        np.logical_or.reduceat(_mark_decisions(ledger, tape), firsts),
        np.logical_or.reduceat(held | np.r_[False, held[:-1]], firsts),
        np.add.reduceat(weights - usual, firsts) / bars_of,
        np.add.reduceat(moves, firsts),
        np.add.reduceat(weights, firsts) / bars_of,
    )


def _costs(ledger: Ledger, rules: ExecutionRules, cash: float) -> Floats:
    """(T,) slippage, commission, borrow and margin spread of each bar, as fractions of the equity before it."""
    bars, rows = ledger.bars, ledger.fill_rows
    paid = np.zeros(len(bars))
    np.add.at(paid, np.searchsorted(bars.opens_at, rows["at"], side="right") - 1, rows["slippage"] + rows["commission"])
    shorts = (np.where(ledger.positions < 0, -ledger.positions, 0.0) * ledger.marks).sum(axis=1)
    starts = np.append(False, np.diff(bars.session_of) != 0)
    paid += np.where(starts, np.r_[0.0, shorts[:-1]] * rules.borrow_rate / SESSIONS_A_YEAR, 0.0)
    ends = session_ends(bars)
    carried = ledger.cash[ends] - (0.0 if rules.short_proceeds_earn else shorts[ends])
    debit = np.maximum(-np.r_[0.0, carried[:-1]], 0.0)
    paid[ends] += debit * rules.margin_spread / SESSIONS_A_YEAR
    worth = np.r_[cash, ledger.equity[:-1]]
    return np.where(worth > 0, paid / np.where(worth > 0, worth, 1.0), 0.0)


def _mark_decisions(ledger: Ledger, tape: Tape) -> Flags:
    """(T,) bars at which a target is a hundredth of equity or more from where it last changed, or changes between none
    and some, or at which a stop or take-profit closed a position.

    The first target of a symbol is where it begins and no change; slivers are none either, or any number of decisions
    could be had for nothing.
    """
    bars = ledger.bars
    decided = np.zeros(len(bars), dtype=np.bool_)
    last = np.full(len(bars.symbols), np.nan)
    for row, weight in zip(due_at(bars, tape.instants).tolist(), tape.weight, strict=True):
        differs = (np.abs(weight - last) >= SLIVER * (1 - 1e-9)) | ((weight == 0) != (last == 0))
        changed = differs & ~np.isnan(weight) & ~np.isnan(last)
        last = np.where(changed | np.isnan(last), weight, last)
        if row < len(bars) and changed.any():
            decided[row] = True
    at = ledger.fill_rows["at"][np.isin(ledger.fill_rows["why"], BRACKETS)]
    decided[np.searchsorted(bars.opens_at, at, side="right") - 1] = True
    return decided


def beyond_returns(returns: Floats, other: Floats, free: Floats) -> SkillSeries:
    """Return the series of `returns` (S,) beyond those of `other`, where nothing but returns is known: d = r − b."""
    every = np.ones(len(returns), dtype=np.bool_)
    return SkillSeries(returns - free, Split(other - free, returns - other, np.zeros(len(returns))), every, every)


def skill_record(series: SkillSeries, periods: float = SESSIONS_A_YEAR, draws: int = DRAWS) -> SkillRecord:
    """Return the parts of the mean excess return a year of `periods` sessions, which add up to it, and the test of what
    lies beyond the usual exposure."""
    parts, size = series.parts, series.excess.size
    beyond = parts.beyond
    level = series.level
    found: MeanTest | Undefined = mean_test(beyond, level) if size else Undefined("no session")
    held: MeanTest | Undefined = mean_test(series.excess) if size else Undefined("no session")
    ends = mean_of(beyond, periods, draws) if size else None
    tested = None if isinstance(found, Undefined) else found
    return {
        "sessions": size,
        "decisions": int(series.decided.sum()),
        "idle": not bool(series.held.any()),
        "excess": _a_year(series.excess, periods),
        "exposure": _a_year(parts.exposure, periods),
        "choosing": _a_year(parts.choosing, periods),
        "costs": _a_year(parts.costs, periods),
        "beyond": _a_year(beyond, periods),
        "beyond_low": None if ends is None else ends.low,
        "beyond_high": None if ends is None else ends.high,
        "p": None if tested is None else tested.p,
        "p_mean": None if tested is None else tested.p_mean,
        "p_ratio": None if tested is None else tested.p_ratio,
        "p_worse": None if tested is None else tested.p_worse,
        "t": None if tested is None else tested.t,
        "degrees": None if tested is None else tested.degrees,
        "ratio": None if tested is None else tested.ratio,
        "skew": None if tested is None else tested.skew,
        "kurtosis": None if tested is None else tested.kurtosis,
        "p_excess": None if isinstance(held, Undefined) else held.p,
        "reason": found.reason if isinstance(found, Undefined) else None,
        "level": level * periods,
        "p_level": None if tested is None else tested.p_level,
        "anchor": series.anchor if size else None,
    }


def _a_year(values: Floats, periods: float) -> float | None:
    return float(np.mean(values)) * periods if values.size else None
