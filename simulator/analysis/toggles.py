"""Execution toggles: the same decisions filled at another moment, and what that alone is worth.

A decision on bar D knows the close of D − 1.

    same open    open of D − 1       looks ahead: the bar it already knew the close of is earned
    same close   close of D − 1      looks ahead: the price it was decided on is the price it gets; the night is earned
    next open    open of D           the default, and the only one that can be had

And the same with the other rule for limits and take-profits: filled at a touch, or where the price goes through them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from simulator.evidence.records import ToggleRow
from simulator.evidence.writer import session_ends
from simulator.market.bars import Bars, Floats
from simulator.replay import kernel
from simulator.replay.inputs import ReplayInputs
from simulator.replay.ledger import Ledger, tradable
from simulator.replay.tape import Tape, due_at
from simulator.runs import measure
from simulator.stats.metrics import summary
from simulator.stats.series import split
from simulator.stats.trades import TRADE_STATISTICS
from simulator.trading.execution import SESSIONS_A_YEAR, ExecutionRules

NEXT_OPEN, SAME_CLOSE, SAME_OPEN = "next open", "same close", "same open"
LIMIT_TOUCHED, LIMIT_PASSED = "limit touched", "limit passed"
LOOK_AHEAD = (SAME_CLOSE, SAME_OPEN)

WHAT = {
    NEXT_OPEN: "filled at the first open after the decision, as the run was",
    SAME_CLOSE: "filled at the close the decision rests on: looks ahead, earns the night before the open",
    SAME_OPEN: "filled at the open of the bar the decision knew the close of: looks ahead by a whole bar",
    LIMIT_TOUCHED: "limits and take-profits filled where the price touches them, as the first in the queue",
    LIMIT_PASSED: "limits and take-profits filled only where the price goes through them by a tick",
}

LEFT_OUT = frozenset((*TRADE_STATISTICS, "alpha", "beta", "alpha_t", "information_ratio"))
"""Metrics that are not worked out for a toggle."""

TICK = 1_000
"""Nanoseconds between a bar and the closing auction behind it: decisions are kept to the microsecond."""


@dataclass(frozen=True, eq=False)
class Toggled:
    """One way to fill a tape: its books, and its return (S,) in each session of the run."""

    name: str
    ledger: Ledger
    returns: Floats


def execution_toggles(
    inputs: ReplayInputs, tape: Tape, rules: ExecutionRules, cash: float, free: Floats, seed: int = 0
) -> list[ToggleRow]:
    """``execution_toggles`` of run.json: the tape of a run filled at next open (default), same close, same open, and at
    the next open under the other rule for limits.

    An entry: ``name``, ``what``, ``default``, ``looks_ahead``, ``metrics`` (as of the run's sessions; no trade
    statistics), ``reasons``, ``sharpe_ci_low``, ``sharpe_ci_high`` (95 %, stationary bootstrap),
    ``sharpe_less_default`` and ``total_return_less_default``. `free` (S,) is the risk-free return of each session.
    """
    # By `map`, which lets go of one play before the next is made.
    rows = list(map(partial(_row, free=free, seed=seed), replay_toggles(inputs, tape, rules, cash)))
    rows.append(_row(replay_other_limits(inputs, tape, rules, cash), free, seed))
    default = rows[0]["metrics"]
    for row in rows:
        row["sharpe_less_default"] = _less(row["metrics"]["sharpe"], default["sharpe"])
        row["total_return_less_default"] = _less(row["metrics"]["total_return"], default["total_return"])
    return rows


def _less(value: float | None, other: float | None) -> float | None:
    return None if value is None or other is None else value - other


def replay_toggles(inputs: ReplayInputs, tape: Tape, rules: ExecutionRules, cash: float) -> Iterator[Toggled]:
    """Yield the three replays, next open first, each with the same S sessions, and hold none of them.

    Those that look ahead begin one bar before the run, so that its first decision has an earlier bar to fill at.
    """
    early = replace(inputs, start=max(inputs.start - 1, 0))
    bars, before = early.traded, inputs.start - early.start

    def play(name: str, on: Bars, filled: Tape, marks: Floats, skipped: int) -> Toggled:
        ledger = kernel.replay_tape(on, filled, rules, cash, marks)
        return Toggled(name, ledger, _returns(ledger, cash, skipped))

    yield play(NEXT_OPEN, inputs.traded, tape, inputs.opening_marks, 0)
    yield play(SAME_CLOSE, with_closing_auctions(bars), at_closes(bars, tape), early.opening_marks, 2 * before)
    yield play(SAME_OPEN, bars, tape.shift(bars, -1), early.opening_marks, before)


def replay_other_limits(inputs: ReplayInputs, tape: Tape, rules: ExecutionRules, cash: float) -> Toggled:
    """Return the replay of the run under the rule for limits and take-profits that it did not use."""
    other = replace(rules, limit_through=not rules.limit_through)
    ledger = kernel.replay_tape(inputs.traded, tape, other, cash, inputs.opening_marks)
    return Toggled(LIMIT_PASSED if other.limit_through else LIMIT_TOUCHED, ledger, _returns(ledger, cash, 0))


def with_closing_auctions(bars: Bars) -> Bars:
    """`bars` with a bar of one price behind each: its closing auction, where an order fills at the close.

    Gaps stay what they are, so stops and limits behave as in the run. Shape (2T, N); a bar that cannot be traded has
    no auction.
    """
    there = tradable(bars)
    closes = np.where(there, bars.close, np.nan)
    behind = dict.fromkeys(("open", "high", "low", "close"), closes)
    behind |= {"dividend": np.zeros_like(bars.close)}
    within = np.full(len(bars), np.nan)
    woven: dict[str, Any] = {name: _woven(getattr(bars, name), after) for name, after in behind.items()}
    woven["volume"] = woven["close"]  # nobody looks at volume here, and bars of a year of minutes fill the memory
    return replace(
        bars,
        opens_at=_woven(bars.opens_at, bars.closes_at - TICK),
        closes_at=_woven(bars.closes_at - TICK, bars.closes_at),
        session_of=_woven(bars.session_of, bars.session_of),
        cash_return=_woven(within, bars.cash_return),
        **woven,
    )


def at_closes(bars: Bars, tape: Tape) -> Tape:
    """`tape` due at the closing auction of the bar before the one it is due at; what has none is left out."""
    due = due_at(bars, tape.instants)
    kept = (due > 0) & (due < len(bars))
    return tape.select(kept, bars.closes_at[due[kept] - 1] - TICK)


def _woven(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Rows of both in turn, read-only so that bars take them as they are."""
    both = np.stack((first, second), axis=1).reshape(2 * len(first), *first.shape[1:])
    both.flags.writeable = False
    return both


def _returns(ledger: Ledger, cash: float, skipped: int) -> Floats:
    """(S,) returns of the sessions after the first `skipped` bars; the equity at the last of those is what each
    session's return is measured against."""
    ends = session_ends(ledger.bars)
    closes = ledger.equity[ends]
    values: Floats = closes / np.r_[cash, closes[:-1]] - 1
    return values[ends >= skipped]


def _row(one: Toggled, free: Floats, seed: int) -> ToggleRow:
    ends = session_ends(one.ledger.bars)[-len(one.returns) :]
    found = summary(
        one.returns, free, None, SESSIONS_A_YEAR, weights=one.ledger.weights_at(ends),
        traded=measure.traded_share(one.ledger)[-len(one.returns) :],
    )  # fmt: skip
    interval, _ = split(measure.sharpe_ends(one.returns, free, seed))
    shown = [name for name in found.values if name not in LEFT_OUT]
    return {
        "name": one.name,
        "what": WHAT[one.name],
        "default": one.name == NEXT_OPEN,
        "looks_ahead": one.name in LOOK_AHEAD,
        "metrics": {name: found.values[name] for name in shown},
        "reasons": {name: why for name, why in found.reasons.items() if name in shown},
        "sharpe_ci_low": interval["sharpe_ci_low"],
        "sharpe_ci_high": interval["sharpe_ci_high"],
        "sharpe_less_default": None,
        "total_return_less_default": None,
    }
