"""A slice of a run, entered with the kernel's own state, is played again by the reference engine."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from simulator.errors import AuditError
from simulator.replay import kernel, slice
from simulator.replay.slice import Slice, audit_slice, choose_slice


def play(scenario):
    bars, tape, rules, cash, marks = scenario
    marks = np.zeros(len(bars.symbols)) if marks is None else np.nan_to_num(marks)
    return kernel.replay_tape(bars, tape, rules, cash, marks), tape, rules, cash, marks


@pytest.mark.parametrize("seed", range(40))
def test_any_slice_of_a_run_is_entered_and_left_as_the_kernel_has_it(scenario_of, seed):
    ledger, *rest = play(scenario_of(seed))
    count = len(ledger.bars)
    rng = np.random.default_rng(seed)
    for first, end in np.sort(rng.integers(0, count + 1, (4, 2)), axis=1).tolist():
        if first < end:
            assert audit_slice(ledger, *rest, Slice(first, end, 0, 0, 0, 0)).difference == 0.0


def test_the_place_follows_from_the_digest_and_holds_some_of_everything(scenario_of, monkeypatch):
    monkeypatch.setattr(slice, "LEAST_BARS", 40)
    places, whole = set(), 0
    for seed in range(12):
        ledger = play(scenario_of(seed))[0]
        for digest in ("00" * 32, "5f" * 32, "c3" * 32):
            chosen = choose_slice(ledger, digest)
            assert chosen == choose_slice(ledger, digest)
            fresh = ledger.bars.fresh[chosen.first : chosen.end]
            assert chosen.bars >= min(40, int(slice.tradable(ledger.bars).sum()))
            assert chosen.bars <= fresh.sum()
            assert bool(chosen.fills) == bool(len(ledger.fill_rows))
            assert bool(chosen.rejections) == bool(len(ledger.rejection_rows))
            places.add((seed, chosen.first))
            whole += chosen.end - chosen.first == len(ledger.bars)
    assert len(places) > 14
    assert whole < 18


@pytest.mark.parametrize("what", ["cash", "fill", "order"])
def test_an_error_of_the_kernel_within_the_slice_is_found(scenario_of, what):
    ledger, tape, rules, cash, marks = play(scenario_of(3))
    chosen = Slice(10, len(ledger.bars), 0, 0, 0, 0)
    if what == "cash":
        wrong = ledger.cash.copy()
        wrong[12:] += 1.0
        ledger = replace(ledger, cash=wrong)
    elif what == "fill":
        rows = ledger.fill_rows.copy()
        rows["price"][-1] *= 1.01
        ledger = replace(ledger, fill_rows=rows)
    else:
        tape = replace(tape, weight=tape.weight * 0.5)
    with pytest.raises(AuditError):
        audit_slice(ledger, tape, rules, cash, marks, chosen)
