"""Benchmarks of a run: the same symbols, the same costs, no opinion."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from simulator.replay import kernel
from simulator.replay.inputs import ReplayInputs
from simulator.replay.ledger import Ledger
from simulator.replay.tape import Tape
from simulator.trading.execution import ExecutionRules


def benchmark_ledgers(inputs: ReplayInputs, rules: ExecutionRules, cash: float) -> dict[str, Ledger]:
    """Buy-and-hold (equal parts at the first open, then left alone) and equal weight (restored each month).

    Symbols that start late are left out of buy-and-hold and join equal weight with the month after their first bar.
    Fractional shares, whatever the run uses: a benchmark's cash drag would flatter the strategy.
    """
    bars = inputs.traded
    fractional = replace(rules, whole_shares=False)
    months = bars.dates.astype("datetime64[M]")
    firsts = np.flatnonzero(np.r_[True, months[1:] != months[:-1]])
    tapes = {"buy_and_hold": _equal_parts(inputs, firsts[:1]), "equal_weight": _equal_parts(inputs, firsts)}
    return {
        name: kernel.replay_tape(bars, tape, fractional, cash, inputs.opening_marks) for name, tape in tapes.items()
    }


def exposure_matched(inputs: ReplayInputs, rules: ExecutionRules, cash: float, net: float) -> Ledger:
    """Equal weight, restored each month, at the share `net` of equity that the run held on average; the rest in cash.

    It tells choosing from having been invested: `net` is known only afterwards, so nobody could have traded it.
    """
    months = inputs.traded.dates.astype("datetime64[M]")
    tape = _equal_parts(inputs, np.flatnonzero(np.r_[True, months[1:] != months[:-1]]))
    matched = replace(tape, weight=tape.weight * net)
    fractional = replace(rules, whole_shares=False)
    return kernel.replay_tape(inputs.traded, matched, fractional, cash, inputs.opening_marks)


def _equal_parts(inputs: ReplayInputs, rows: NDArray[np.intp]) -> Tape:
    """A tape that wants 1/n of each symbol known to trade, decided just before the open of each of `rows`."""
    bars = inputs.traded
    started = np.logical_or.accumulate(inputs.bars.fresh, axis=0)
    known = started[inputs.start + rows - 1]
    parts = known / np.maximum(known.sum(axis=1, keepdims=True), 1)
    nothing = np.full(known.shape, np.nan)
    return Tape(bars.opens_at[rows], bars.symbols, np.where(known, parts, np.nan), nothing, nothing, nothing)
