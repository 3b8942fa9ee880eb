"""Many parameter sets over the same bars: each row is what its set gives alone, limits included."""

from __future__ import annotations

from dataclasses import replace
from math import fsum
from threading import Thread

import numba
import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from simulator.errors import DataError, UsageError
from simulator.replay import backtrader_engine, kernel
from simulator.replay.kernel import Batch, PreparedMarket
from simulator.replay.kernel import limits as limits_compiled
from simulator.replay.tape import Tape
from simulator.trading.execution import ExecutionRules
from simulator.trading.risk import Limits, limit
from simulator.trading.sizing import place

exact_sum = numba.njit(_nrt=False, error_model="numpy")(limits_compiled.exact_sum)
ARRAYS = ("equity", "cash", "positions", "order_rows", "fill_rows", "rejection_rows")
MEMBERS = 12


def some_limits(rng, symbols) -> Limits:
    """Caps that bind now and then; some symbols share a group, some have none."""
    groups = {s: f"group {rng.integers(0, 3)}" for s in symbols if rng.random() < 0.7}
    return Limits(
        float(rng.choice([0.1, 0.4, 5.0])),
        float(rng.choice([0.2, 0.7, 5.0])),
        float(rng.choice([0.3, 1.0, 2.0])),
        groups,
    )


def batch_of(scenario, seed):
    """(tapes, rules, cash, limits) of a few members on the scenario's bars."""
    rng = np.random.default_rng(seed)
    bars, tape, rules, cash, _ = scenario
    tapes = [tape, replace(tape, weight=tape.weight * 0.5), Tape.from_decisions([], bars.symbols)]
    limits = [None, *(some_limits(rng, bars.symbols) for _ in range(3))]
    return (
        [tapes[i] for i in rng.integers(0, len(tapes), MEMBERS)],
        [rules.scale(float(m)) for m in rng.choice([0.0, 1.0, 3.0], MEMBERS)],
        cash * rng.uniform(0.1, 2.0, MEMBERS),
        [limits[i] for i in rng.integers(0, len(limits), MEMBERS)],
    )


def python_path(bars, tape, rules, cash, marks, limits):
    """The reference engine with `risk.limit` at each decision, on the broker's book."""

    def decide(k, broker):
        allowed, _ = limit(tape.decision(k), broker.book(), limits)
        place(allowed, broker, rules)

    return backtrader_engine.replay(bars, tape.instants, decide, rules, cash, marks)


@pytest.mark.parametrize("seed", range(30))
def test_limits_in_the_kernel_are_those_of_the_python_path_to_the_last_bit(scenario_of, seed):
    bars, tape, rules, cash, marks = scenario_of(seed)
    limits = some_limits(np.random.default_rng(seed), bars.symbols)
    mine = python_path(bars, tape, rules, cash, marks, limits)
    theirs = kernel.replay_tape(bars, tape, rules, cash, marks, limits)
    assert [name for name in ARRAYS if getattr(mine, name).tobytes() != getattr(theirs, name).tobytes()] == []


def test_the_limits_of_these_scenarios_bind(scenario_of):
    scenarios = [scenario_of(seed) for seed in range(12)]
    cut = [
        kernel.replay_tape(*s).equity.tobytes()
        != kernel.replay_tape(*s, some_limits(np.random.default_rng(n), s.bars.symbols)).equity.tobytes()
        for n, s in enumerate(scenarios)
    ]
    assert sum(cut) >= 7


@pytest.mark.parametrize("seed", range(8))
def test_a_batch_is_its_members_played_one_by_one_to_the_last_bit(scenario_of, seed):
    scenario = scenario_of(seed)
    market = PreparedMarket.of(scenario.bars, scenario.opening_marks)
    sets = batch_of(scenario, seed)
    batch = Batch.of(market, *sets)
    curves, books = kernel.play_many(batch, paths=True).equity, kernel.play_books(batch)
    assert curves.shape == (MEMBERS, len(scenario.bars))
    for curve, ledger, (tape, rules, cash, limits) in zip(curves, books, zip(*sets, strict=True), strict=True):
        alone = kernel.replay_tape(scenario.bars, tape, rules, float(cash), scenario.opening_marks, limits)
        assert curve.tobytes() == alone.equity.tobytes()
        assert [name for name in ARRAYS if getattr(ledger, name).tobytes() != getattr(alone, name).tobytes()] == []


@pytest.mark.parametrize("threads", [2, 3, 50])
def test_threads_give_the_same_bytes(scenario_of, threads):
    scenario = scenario_of(4)
    market = PreparedMarket.of(scenario.bars, scenario.opening_marks)
    batch = Batch.of(market, *batch_of(scenario, 4))
    assert (
        kernel.play_many(batch, threads, paths=True).equity.tobytes()
        == kernel.play_many(batch, paths=True).equity.tobytes()
    )
    one, many = kernel.play_books(batch), kernel.play_books(batch, threads)
    assert [b.fill_rows.tobytes() for b in one] == [b.fill_rows.tobytes() for b in many]


def test_the_interpreter_runs_on_while_the_kernel_plays(scenario_of):
    scenario = scenario_of(8)
    market = PreparedMarket.of(scenario.bars, scenario.opening_marks)
    batch = Batch.of(market, scenario.tape, scenario.rules, np.full(10_000, scenario.cash))
    kernel.play_many(batch)  # compiled
    playing = Thread(target=kernel.play_many, args=(batch,))
    playing.start()
    steps = 0
    while playing.is_alive():
        steps += 1
    assert steps > 1000, "a kernel that holds the interpreter lets one or two through"


def test_a_prepared_market_is_played_again_and_again_without_being_changed(scenario_of):
    scenario = scenario_of(3)
    market = PreparedMarket.of(scenario.bars, scenario.opening_marks)
    before = [np.asarray(array).tobytes() for array in market.arrays]
    sets = scenario.tape, scenario.rules, scenario.cash
    curves = [kernel.play_many(Batch.of(market, *sets), paths=True).equity[0].tobytes() for _ in range(3)]
    assert curves == [kernel.replay_tape(*scenario).equity.tobytes()] * 3
    assert [np.asarray(array).tobytes() for array in market.arrays] == before


def test_one_of_each_is_for_all_and_numbers_that_do_not_agree_are_refused(scenario_of, bars_of):
    scenario = scenario_of(3)
    market = PreparedMarket.of(scenario.bars, scenario.opening_marks)
    curves = kernel.play_many(Batch.of(market, scenario.tape, scenario.rules, [scenario.cash] * 4), paths=True).equity
    assert [curve.tobytes() for curve in curves] == [kernel.replay_tape(*scenario).equity.tobytes()] * 4
    with pytest.raises(UsageError, match="do not agree in number: 1 tapes, 2 rules, 3 cash, 1 limits"):
        kernel.play_many(Batch.of(market, scenario.tape, [scenario.rules] * 2, [1.0] * 3))
    assert kernel.play_many(Batch.of(market, [], scenario.rules, 1.0), paths=True).equity.shape == (
        0,
        len(scenario.bars),
    )
    with pytest.raises(DataError, match="no bars to replay"):
        PreparedMarket.of(bars_of({"A": [None]}).rows(0, 0))


def test_a_batch_of_scaled_costs_is_what_the_reference_engine_gives(scenario_of):
    bars, tape, rules, cash, marks = scenario_of(3)
    scaled = [rules.scale(multiple) for multiple in (0.0, 1.0, 5.0)]
    for curve, each in zip(
        kernel.play_many(Batch.of(PreparedMarket.of(bars, marks), tape, scaled, cash), paths=True).equity,
        scaled,
        strict=True,
    ):
        assert curve.tolist() == backtrader_engine.replay_tape(bars, tape, each, cash, marks).equity.tolist()


def test_rules_of_each_member_are_its_own(bars_of, tape_of):
    bars = bars_of({"A": [(100.0, 101.0, 99.0, 100.0)] * 2})
    rules = [ExecutionRules(commission_min=dollars) for dollars in (0.0, 1.0, 2.5)]
    curves = kernel.play_many(
        Batch.of(PreparedMarket.of(bars), tape_of(bars, (1, {"A": 0.5})), rules, 1_000.0), paths=True
    ).equity
    assert curves[:, -1].tolist() == [1_000.0, 999.0, 997.5]


numbers = st.floats(allow_nan=False, allow_infinity=False, min_value=-1e300, max_value=1e300)


@pytest.mark.medium
@given(st.lists(st.one_of(numbers, st.floats(0, 2), st.integers(-60, 60).map(lambda e: 2.0**e)), max_size=40))
@example([1.0, 2.0**-53, 2.0**-106])  # halfway, and what lies below decides
@example([1.0, 2.0**-53, 0.0])
@example([1.0 + 2.0**-52, 2.0**-53])
@example([0.1] * 10)
def test_the_compiled_sum_is_rounded_once_as_fsum_is(values):
    groups = np.arange(len(values)) % 3
    array, partials = np.array(values, dtype=np.float64), np.empty(len(values))
    for group in (-1, 0, 1, 2):
        members = [abs(v) for v, g in zip(values, groups, strict=True) if group in (-1, g)]
        assert exact_sum(array, groups, group, partials) == fsum(members)


@pytest.mark.parametrize(
    ("values", "total"), [([1.0, float("inf")], float("inf")), ([1.0, float("nan")], float("nan"))]
)
def test_the_compiled_sum_of_what_is_not_finite_is_not_finite(values, total):
    assert np.array_equal(exact_sum(np.array(values), np.zeros(2, np.int64), -1, np.empty(2)), total, equal_nan=True)
