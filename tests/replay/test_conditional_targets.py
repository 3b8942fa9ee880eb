"""Targets that wait for the account come to the same in the kernel as step by step, on every book."""

from __future__ import annotations

from dataclasses import replace
from math import nan

import numpy as np
import pytest

from simulator.errors import UsageError
from simulator.replay import backtrader_engine, kernel
from simulator.replay.kernel import Batch, PreparedMarket
from simulator.replay.tape import TERMS, Tape
from simulator.trading.conditional import ENTER, LEAVE, SET, Conditional
from simulator.trading.fills import price_or_none
from simulator.trading.model import Decision, Target
from simulator.trading.risk import Limits, limit
from simulator.trading.sizing import place

ARRAYS = ("equity", "cash", "positions", "order_rows", "fill_rows", "rejection_rows")


def waiting(tape: Tape, seed: int) -> Tape:
    """The tape with terms of every kind in the place of its weights and limits."""
    rng = np.random.default_rng(seed)
    terms = np.zeros(tape.weight.shape, dtype=TERMS)
    there = ~np.isnan(tape.weight)
    terms["kind"] = np.where(there, rng.integers(SET, 9, there.shape), LEAVE)
    terms["side"] = rng.choice([-1, 1], there.shape)
    terms["full"] = rng.choice([0.2, 0.5], there.shape)
    signed = np.isin(terms["kind"], (SET, ENTER))
    terms["size"] = np.nan_to_num(np.where(signed, tape.weight, np.abs(tape.weight)))
    for name in ("limit", "buying", "selling"):
        terms[name] = tape.limit * rng.uniform(0.97, 1.03, there.shape)
    return replace(tape, terms=terms)


def step_by_step(scenario, tape: Tape, limits: Limits):
    """The reference engine, each target settled on the broker's book; the weights it came to."""
    bars, _, rules, cash, marks = scenario
    found = np.full(tape.weight.shape, nan)

    def decide(k, broker):
        targets = []
        for n in np.flatnonzero(tape.terms["kind"][k]):
            kept = [price_or_none(float(getattr(tape, name)[k, n])) for name in ("stop", "take_profit")]
            kind, side, *numbers = tape.terms[k, n].tolist()
            asked = Target(bars.symbols[n], 0.0, stop=kept[0], take_profit=kept[1])
            target = Conditional(asked, kind, side, *numbers).on(broker.book())
            targets += [] if target is None else [target]
        allowed, _ = limit(Decision(tape.decision(k).as_of, tuple(targets)), broker.book(), limits)
        for target in allowed.targets:
            found[k, bars.symbols.index(target.symbol)] = target.weight
        place(allowed, broker, rules)

    return backtrader_engine.replay(bars, tape.instants, decide, rules, cash, marks), found


@pytest.mark.medium
def test_the_kernel_settles_terms_as_python_does_to_the_last_bit(scenario_of) -> None:
    seen: set[int] = set()
    for seed in range(60):
        scenario = scenario_of(seed)
        tape, limits = waiting(scenario.tape, seed), Limits(0.6, 1.0, 1.5, {})
        books, weights = step_by_step(scenario, tape, limits)
        mine = kernel.replay_tape(
            scenario.bars, tape, scenario.rules, scenario.cash, scenario.opening_marks, limits=limits
        )
        assert [name for name in ARRAYS if getattr(books, name).tobytes() != getattr(mine, name).tobytes()] == [], seed
        seen |= set(tape.terms["kind"][~np.isnan(weights)].tolist())
    assert seen == set(range(SET, 9))


def test_members_share_terms_and_settle_each_its_own(scenario_of) -> None:
    scenario = scenario_of(5)
    market = PreparedMarket.of(scenario.bars, scenario.opening_marks)
    tapes = [waiting(scenario.tape, seed) for seed in range(3)] * 4
    rules = [scenario.rules.scale(n % 5) for n in range(12)]
    batch = Batch.of(market, tapes, rules, scenario.cash)
    for threads in (1, 3):
        paths = kernel.play_many(batch, threads, paths=True).equity
        assert paths is not None
        for r, path in enumerate(paths):
            alone = kernel.replay_tape(scenario.bars, tapes[r], rules[r], scenario.cash, scenario.opening_marks)
            assert path.tobytes() == alone.equity.tobytes()


def test_a_batch_waits_for_the_account_or_does_not(scenario_of) -> None:
    scenario = scenario_of(5)
    market = PreparedMarket.of(scenario.bars, scenario.opening_marks)
    with pytest.raises(UsageError, match="some wait for the account and some do not"):
        Batch.of(market, [scenario.tape, waiting(scenario.tape, 1)], scenario.rules, scenario.cash)
