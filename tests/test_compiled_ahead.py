"""Loops compiled ahead are those of the sources beside them, and spare what uses them numba."""

from __future__ import annotations

import os
import platform
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from simulator import compiled
from simulator.compiled import Entry, inner
from simulator.replay.kernel.play import play
from simulator.stats import bootstrap, bootstrap_kernels

ahead = pytest.mark.skipif(
    platform.system() != "Linux" or compiled.BASELINE != "x86-64-v2", reason="nothing is compiled ahead for this system"
)

USED = """
import sys
import numpy as np
from simulator.replay import kernel
from simulator.replay.tape import Tape
from simulator.market.bars import Bars
from simulator.stats import bootstrap
from simulator.trading.execution import ExecutionRules
one, zero = np.full((1, 1), 10.0), np.zeros(1, int)
bars = Bars(("A",), zero, zero + 1, one, one, one, one, one, 0 * one, zero, ("x",))
none = np.full((1, 1), np.nan)
kernel.replay_tape(bars, Tape(zero, ("A",), none, none, none, none), ExecutionRules(), 1e3)
bootstrap.sharpe_interval(np.arange(40.0) % 7, draws=9)
rng = np.random.default_rng(0)
bootstrap.stationary_rows(9, 2.0, 3, rng), bootstrap.stationary_counts(9, 2.0, 3, rng)
print("numba" in sys.modules)
"""


@ahead
@pytest.mark.medium
def test_what_is_compiled_ahead_is_of_the_present_sources_so_that_runs_load_no_numba() -> None:
    """Where this fails, a loop has changed: `make kernels` compiles it ahead anew."""
    plain = {name: value for name, value in os.environ.items() if not name.startswith("NUMBA_")}
    done = subprocess.run([sys.executable, "-c", USED], env=plain, capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


@inner
def _twice(value: float) -> float:
    return value + value


def _double(values: list[float], parts: tuple[list[float], int], by: float) -> None:
    for i in range(len(values)):
        values[i] = _twice(values[i]) * by + parts[0][i] * parts[1]


@pytest.mark.medium
def test_a_loop_that_was_not_compiled_ahead_is_compiled_where_it_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    made = Entry(_double, ("as it stands",))
    values = np.arange(3.0)
    made(values, (np.ones(3), 4), 10.0)  # type: ignore[arg-type]
    assert values.tolist() == [4.0, 24.0, 44.0]
    assert "dispatcher" in vars(made)
    monkeypatch.setenv("NUMBA_DISABLE_JIT", "1")
    made(values, (np.ones(3), 0), 0.5)  # type: ignore[arg-type]
    assert values.tolist() == [4.0, 24.0, 44.0]


def test_machine_code_is_called_by_its_sources_and_the_kinds_of_its_arguments(tmp_path: Path) -> None:
    source = tmp_path / "loop.py"
    source.write_text("one")
    first = Entry(_double, (str(source),))
    names = {first.symbol((np.dtype(float), 1)), first.symbol((np.dtype(float), 2)), first.symbol((np.dtype(int), 1))}
    source.write_text("two")
    names.add(Entry(_double, (str(source),)).symbol((np.dtype(float), 1)))
    assert len(names) == 4


@ahead
def test_arrays_with_gaps_are_not_given_to_machine_code() -> None:
    bounds, guide = bootstrap._lengths(6, 2.0)
    seeds, blocks = np.arange(3, dtype=np.uint64), np.empty((2, 6), dtype=np.int64)
    whole, kinds = np.empty((3, 6), dtype=np.int64), []
    bootstrap_kernels.rows(seeds, bounds, guide, whole, *blocks)
    compiled._flatten((whole[:, ::2], whole.T, whole[:0], whole[1], whole[:, 1]), [], [], [], kinds)
    assert kinds[1::2] == [-1, -1, 2, 1, -1]
    assert play.library.name == "play.so"


@ahead
@pytest.mark.fault(
    "machine", "a library of compiled loops was cut short or changed", "it is not loaded, numba compiles"
)
@pytest.mark.parametrize("content", [lambda whole: whole[:16384], lambda whole: whole[:-1] + b"x", lambda _: b""])
def test_a_damaged_library_is_not_loaded(content: Callable[[bytes], bytes], tmp_path: Path) -> None:
    whole = play.library.read_bytes()
    assert compiled._open_library(play.library) is not None
    damaged = tmp_path / "play.so"
    damaged.write_bytes(content(whole))
    assert compiled._open_library(damaged) is None


def test_what_compiles_ahead_names_only_what_there_is() -> None:
    source = (Path(compiled.__file__).parents[1] / "compile_ahead.py").read_text(encoding="utf-8")
    names = set(re.findall(r"\bcompiled\.(\w+)", source)) - {"py"}
    assert [name for name in names if not hasattr(compiled, name)] == []
