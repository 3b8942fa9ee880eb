"""Tape, ledger and audit: what goes into a replay, what comes out, and what is said when two of them differ."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numba
import numpy as np
import pytest

import simulator
from simulator.compiled import BASELINE
from simulator.errors import AuditError, DataError, UsageError
from simulator.replay import backtrader_engine, kernel
from simulator.replay.audit import audit, largest_difference
from simulator.replay.tape import Tape
from simulator.trading.execution import ExecutionRules
from simulator.trading.model import Decision, Target

NONE = float("nan")
CALM = (100.0, 101.0, 99.0, 100.0)
EIGHT = datetime(2024, 1, 3, 13, tzinfo=UTC)


def test_a_tape_keeps_every_decision_as_it_was():
    first = Decision(EIGHT, (Target("B", 0.25, "limit", 99.5, 90.0, 120.0), Target("A", 0.0)))
    second = Decision(EIGHT.replace(day=4), (Target("A", -0.1, stop=110.0),))
    tape = Tape.from_decisions([first, second], ("A", "B"))
    assert tape.weight[0].tolist() == [0.0, 0.25]
    assert np.isnan(tape.weight[1, 1])
    assert tape.decision(0) == Decision(EIGHT, (first.targets[1], first.targets[0]))
    assert tape.decision(1) == second


def test_a_tape_of_no_decisions_replays_as_cash(replay, bars_of):
    bars = bars_of({"A": [CALM] * 3})
    ledger = replay(bars, Tape.from_decisions([], ("A",)), ExecutionRules(), 500.0, None)
    assert ledger.equity.tolist() == [500.0] * 3
    assert (ledger.orders, ledger.fills, ledger.rejections) == ((), (), ())


@pytest.mark.parametrize(
    ("target", "said"),
    [
        (Target("ZZZ", 0.5), 'no bars for "ZZZ"'),
        (Target("A", float("inf")), "weight of A was inf"),
        (Target("A", 0.5, stop=-1.0), "stop of A was -1.0"),
        (Target("A", 0.5, take_profit=float("inf")), "take_profit of A was inf"),
        (Target("A", 0.5, "limit"), 'order of A was "limit" with limit None'),
        (Target("A", 0.5, limit=90.0), 'order of A was "market" with limit 90.0'),
    ],
)
def test_a_target_no_order_can_express_is_refused_by_name(target, said):
    with pytest.raises(UsageError, match=said):
        Tape.from_decisions([Decision(EIGHT, (target,))], ("A",))


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"instants": np.array([2, 1]) * 1_000}, "not in order of time"),
        ({"weight": np.zeros((1, 1))}, r"weight of a tape has shape \(1, 1\), expected \(2, 1\)"),
        ({"weight": np.full((2, 1), np.inf)}, "weight of a tape holds infinite"),
        ({"stop": np.zeros((2, 1))}, "stop of a tape holds zero"),
    ],
)
def test_a_damaged_tape_is_refused(changed, said):
    cells = {name: np.full((2, 1), np.nan) for name in ("weight", "limit", "stop", "take_profit")}
    with pytest.raises(UsageError, match=said):
        Tape(**{"instants": np.array([1, 2]) * 1_000, "symbols": ("A",), **cells, **changed})


def test_a_tape_of_other_symbols_or_no_bars_are_refused_by_both_engines(replay, bars_of, tape_of):
    bars = bars_of({"A": [CALM], "B": [CALM]})
    with pytest.raises(UsageError, match="the tape is for A, the bars for A, B"):
        replay(bars, tape_of(bars_of({"A": [CALM]})), ExecutionRules(), 1.0, None)
    with pytest.raises(DataError, match="no bars to replay"):
        replay(bars.rows(0, 0), tape_of(bars), ExecutionRules(), 1.0, None)


def test_weights_are_shares_of_equity_at_the_close(replay, bars_of, tape_of):
    bars = bars_of({"A": [CALM, (100.0, 120.0, 100.0, 120.0), None], "B": [CALM] * 3})
    ledger = replay(bars, tape_of(bars, (1, {"A": 0.5, "B": -0.25})), ExecutionRules(), 10_000.0, None)
    # 50 × 120 and −25 × 100 of 11,000; A has no third bar and keeps its mark
    assert ledger.weights[0].tolist() == [0.0, 0.0]
    assert ledger.weights[2].tolist() == ledger.weights[1].tolist() == [6_000 / 11_000, -2_500 / 11_000]
    assert ledger.gross[2] == pytest.approx(8_500 / 11_000)
    assert ledger.net[2] == pytest.approx(3_500 / 11_000)


def test_equal_ledgers_differ_by_nothing_and_unequal_ones_are_told_apart(scenario_of):
    scenario = scenario_of(5)
    one = kernel.replay_tape(*scenario)
    assert audit(one, backtrader_engine.replay_tape(*scenario)) == 0.0
    shifted = replace(one, cash=one.cash + 1e-5 * np.abs(one.equity))
    assert largest_difference(one, shifted) == pytest.approx(1e-5)
    with pytest.raises(AuditError, match=f"differ by 1e-05 of equity, first on {one.bars.dates[0]}"):
        audit(one, shifted)
    rounded = replace(one, equity=one.equity * (1 + 1e-12))
    assert 0 < audit(one, rounded) < 2e-12


def test_a_missing_or_different_fill_is_named(bars_of, tape_of):
    bars = bars_of({"A": [CALM, CALM]})
    ledger = kernel.replay_tape(bars, tape_of(bars, (1, {"A": 0.5})), ExecutionRules(), 10_000.0)
    without = replace(ledger, fill_rows=ledger.fill_rows[:0])
    other = replace(ledger, fill_rows=ledger.fill_rows.copy())
    other.fill_rows["price"] += 0.01
    assert largest_difference(ledger, without) == largest_difference(ledger, other) == float("inf")
    with pytest.raises(AuditError, match=r"fill 0 is .*symbol A.*why open in one and missing in the other"):
        audit(ledger, without)
    with pytest.raises(AuditError, match=r"price 100\.0.* in one and .*price 100\.01"):
        audit(ledger, other)


def test_nan_in_a_ledger_fails_the_audit(bars_of, tape_of):
    bars = bars_of({"A": [CALM, CALM]})
    ledger = kernel.replay_tape(bars, tape_of(bars), ExecutionRules(), 10_000.0)
    poisoned = replace(ledger, cash=np.array([10_000.0, NONE]))
    assert largest_difference(ledger, poisoned) == float("inf")
    with pytest.raises(AuditError, match="first on 2024-01-03"):
        audit(ledger, poisoned)


DRAWN = """
import numpy as np
from simulator.stats import bootstrap, bootstrap_kernels
print(bootstrap.stationary_rows(5, 2.0, 2, np.random.default_rng(1)).tolist())
rows = bootstrap_kernels.rows
print(type(rows.dispatcher._cache).__name__ if "dispatcher" in vars(rows) else "ahead")
"""


@pytest.mark.medium
@pytest.mark.skipif(
    not hasattr(numba.config, "CACHE_LOCATOR_CLASSES"), reason="this numba cannot be told where to look"
)
def test_loops_run_where_nothing_fits_that_was_compiled_ahead_and_no_folder_for_compiled_code_can_be_written(tmp_path):
    blocked = tmp_path / "file"
    blocked.write_text("not a folder")
    env = {**os.environ, "NUMBA_CACHE_LOCATOR_CLASSES": "UserWideCacheLocator", "HOME": str(blocked),
           "XDG_CACHE_HOME": str(blocked / "cache")}  # fmt: skip
    found = []
    for own in ({}, {"NUMBA_CPU_NAME": "nehalem"}):
        done = subprocess.run(
            [sys.executable, "-c", DRAWN], env=env | own, capture_output=True, text=True, check=True, timeout=300
        )
        found.append(done.stdout.splitlines())
    ahead = platform.system() == "Linux" and BASELINE == "x86-64-v2"
    assert [how for _, how in found] == ["ahead" if ahead else "NullCache", "NullCache"]
    assert found[0][0] == found[1][0]


@pytest.mark.slow
def test_a_kernel_compiled_before_a_change_in_sizing_or_limits_is_not_used_after_it(tmp_path):
    shutil.copytree(
        Path(simulator.__file__).parent, tmp_path / "simulator", ignore=shutil.ignore_patterns("__pycache__")
    )
    code = (
        "import numpy as np; from simulator.replay import kernel; from simulator.replay.tape import Tape\n"
        "from simulator.market.bars import Bars; from simulator.trading.execution import ExecutionRules\n"
        "from simulator.trading.risk import Limits\n"
        "one = np.full((1, 1), 10.0); zero, none = np.zeros(1, int), np.full((1, 1), np.nan)\n"
        "bars = Bars(('A',), zero, zero + 1, one, one, one, one, one, 0 * one, zero, ('x',))\n"
        "tape = Tape(zero, ('A',), np.full((1, 1), 0.555), none, none, none)\n"
        "rules, limits = ExecutionRules(whole_shares=True), Limits(1.0, 1.0, 0.545, {})\n"
        "ledger = kernel.replay_tape(bars, tape, rules, 1_000.0, np.array([10.0]), limits)\n"
        "print(ledger.positions[0, 0])"
    )
    sizing, risk = (tmp_path / "simulator" / "trading" / name for name in ("sizing.py", "risk.py"))

    def held() -> str:
        done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
        return done.stdout

    assert held() == "54.0\n"
    before = sizing.read_text()
    sizing.write_text(before.replace("want = truncate(asked)", "want = truncate(asked) + 1.0"))
    assert sizing.read_text() != before
    assert held() == "55.0\n"
    risk.write_text(risk.read_text().replace("share = room[g] / gross", "share = 0.5 * room[g] / gross"))
    assert held() == "28.0\n"
