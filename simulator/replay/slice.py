"""Audit of a very large run: the kernel has played all of it, and the reference engine plays a slice again.

    ledger, digest ──► choose_slice: rows a to b ──► kernel over rows 0 to a: its state, entered as an Account
                                                     └──► reference engine over rows a to b ──► audit against the run

The place follows from the digest of the result, so nobody chooses it and anybody finds it again.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from simulator.errors import AuditError
from simulator.market.bars import Bars, Floats
from simulator.replay import audit, backtrader_engine, kernel
from simulator.replay.backtrader_broker import Entry
from simulator.replay.ledger import Ledger, paid_dividends, tradable
from simulator.replay.tape import Tape, due_at
from simulator.trading.execution import ExecutionRules
from simulator.trading.fills import STATUSES

LEAST_BARS = 100_000
"""Bars of symbols, counted each, that a slice holds at least; all there are where there are fewer."""


@dataclass(frozen=True)
class Slice:
    """Rows `first` to before `end` of a run, and the number there of bars of symbols, fills, dividends paid on
    positions, and rejections. `difference` is how far the engines differ there, as a fraction of equity."""

    first: int
    end: int
    bars: int
    fills: int
    dividends: int
    rejections: int
    difference: float = 0.0


def choose_slice(ledger: Ledger, digest: str) -> Slice:
    """Return the slice that `digest` (hex) leads to among all that hold LEAST_BARS, and one at least of whatever the
    run has of fills, dividends and rejections. Where none does they grow until one does."""
    bars = ledger.bars
    held = np.vstack([np.zeros(len(bars.symbols)), ledger.positions[:-1]]) != 0
    counts = {
        "bars": tradable(bars).sum(axis=1),
        "fills": _by_row(bars, ledger.fill_rows["at"]),
        "dividends": (held & (paid_dividends(bars) > 0)).sum(axis=1),
        "rejections": _by_row(bars, ledger.rejection_rows["at"]),
    }
    before = {name: np.concatenate([[0], np.cumsum(count)]) for name, count in counts.items()}
    least = LEAST_BARS
    while True:
        ends = np.searchsorted(before["bars"], before["bars"][:-1] + least)
        starts = np.flatnonzero(ends < len(before["bars"]))
        for sums in before.values():
            starts = starts[(sums[ends[starts]] > sums[starts]) | (sums[-1] == 0)]
        if len(starts) or least > before["bars"][-1]:
            break
        least *= 2
    first = int(starts[int(digest[:16], 16) % len(starts)]) if len(starts) else 0
    end = int(ends[first]) if len(starts) else len(bars)
    return Slice(first, end, **{name: int(sums[end] - sums[first]) for name, sums in before.items()})


def audit_slice(ledger: Ledger, tape: Tape, rules: ExecutionRules, cash: float, marks: Floats, chosen: Slice) -> Slice:
    """Return `chosen` with the largest difference of the two engines there. Raises AuditError as `audit` does."""
    bars = ledger.bars
    until = kernel.replay_tape(bars.rows(0, chosen.end), tape, rules, cash, marks)
    _check_same_run(ledger, until)
    entry, before = None, None
    if chosen.first:
        account, before = kernel.enter(bars.rows(0, chosen.first), tape, rules, cash, marks)
        entry = Entry(account, len(before.order_rows), int(bars.session_of[chosen.first - 1]))
    due = due_at(bars, tape.instants)
    part = _with_owed_dividends(bars, chosen)
    theirs = _part(ledger, until, before, part, chosen)
    again, ended = backtrader_engine.replay_part(
        part, tape.between(due, chosen.first, chosen.end), rules, cash, theirs.opening_marks, entry
    )
    if before is not None:
        status = before.order_rows["status"].copy()
        for number, code in ended.items():
            status[number] = code
        found = until.order_rows["status"][: len(status)]
        if unlike := np.flatnonzero(status != found).tolist():
            one, other = (STATUSES[codes[unlike[0]]] for codes in (found, status))
            raise AuditError(f"the two engines disagree: order {unlike[0]} is {one} and {other}", mend=audit.REPORT)
    return replace(chosen, difference=audit.audit(again, theirs))


def _by_row(bars: Bars, at: np.ndarray) -> np.ndarray:
    """(T,) how many of the instants `at` belong to each bar: that of a decision to the bar it is carried out at."""
    rows = np.minimum(np.searchsorted(bars.opens_at, at, side="left"), len(bars) - 1)
    return np.bincount(rows, minlength=len(bars))


def _check_same_run(whole: Ledger, until: Ledger) -> None:
    end, fills, refused = len(until.bars), len(until.fill_rows), len(until.rejection_rows)
    same = (
        np.array_equal(whole.equity[:end], until.equity)
        and np.array_equal(whole.fill_rows[:fills], until.fill_rows)
        and np.array_equal(whole.rejection_rows[:refused], until.rejection_rows)
    )
    if not same:
        raise AuditError(f"the kernel plays bars up to {whole.bars.dates[end - 1]} in two ways", mend=audit.REPORT)


def _with_owed_dividends(bars: Bars, chosen: Slice) -> Bars:
    """Return the bars of the slice; what went ex before it on bars that do not count is owed on its first."""
    part, first = bars.rows(chosen.first, chosen.end), chosen.first
    waiting = np.flatnonzero(~tradable(bars)[first - 1]) if first else np.empty(0, dtype=np.intp)
    owed = np.zeros(len(bars.symbols))
    for n in waiting.tolist() if bars.dividend.any() else ():
        kept = np.flatnonzero(tradable(bars)[:first, n])
        for dollars in bars.dividend[kept[-1] + 1 if len(kept) else 0 : first, n].tolist():
            owed[n] += dollars if dollars == dollars else 0.0
    if not owed.any():
        return part
    dividend = part.dividend.copy()
    dividend[0] = owed + np.where(np.isnan(dividend[0]), 0.0, dividend[0])
    return replace(part, dividend=dividend)


def _part(whole: Ledger, until: Ledger, before: Ledger | None, part: Bars, chosen: Slice) -> Ledger:
    """Return the books of the run over the slice; orders with what had become of them by its end."""
    rows = slice(chosen.first, chosen.end)
    orders, fills, refused = (
        (0, 0, 0) if before is None else (len(before.order_rows), len(before.fill_rows), len(before.rejection_rows))
    )
    return Ledger(
        bars=part,
        equity=whole.equity[rows],
        cash=whole.cash[rows],
        positions=whole.positions[rows],
        order_rows=until.order_rows[orders:],
        fill_rows=until.fill_rows[fills:],
        rejection_rows=until.rejection_rows[refused:],
        opening_marks=whole.marks[chosen.first - 1] if chosen.first else whole.opening_marks,
    )
