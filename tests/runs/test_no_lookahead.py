"""What happens later cannot change what was decided before: bars after a date are replaced by noise."""

from __future__ import annotations

import csv
import json
from datetime import date
from pathlib import Path

import numpy as np
import pytest

import simulator
from simulator.market.load import load_bars
from simulator.runs.strategies import available
from simulator.workspace import find_workspace, shipped

pytestmark = pytest.mark.medium

SYMBOLS = ("SPY", "QQQ", "BIL", "VIX")
LAST_KNOWN = "2024-04-12"
PERIOD = ("2024-01-02", "2024-06-28")

STRATEGIES = available(shipped() / "strategies")


def write_bars(workspace: Path, noise: int | None) -> None:
    """The sample as CSV files of the workspace; from the session after LAST_KNOWN on, seeded noise instead."""
    folders = find_workspace(workspace).bar_folders
    bars = load_bars(SYMBOLS, folders, first=date(2022, 6, 1), last=date(2024, 6, 28)).bars
    rng = np.random.default_rng(noise)
    for n, symbol in enumerate(bars.symbols):
        with (workspace / "data" / f"{symbol}.csv").open("w", newline="") as file:
            out = csv.writer(file)
            out.writerow(("date", "open", "high", "low", "close", "volume"))
            for t, day in enumerate(bars.dates):
                row = [getattr(bars, f)[t, n] for f in ("open", "high", "low", "close", "volume")]
                if noise is not None and str(day) > LAST_KNOWN:
                    low, one, two, high = np.sort(rng.uniform(5, 900, 4))
                    row = [one, high, low, two, rng.integers(1, 10**8)]
                out.writerow((day, *row))


def decisions_until(run: simulator.Run) -> list[str]:
    lines = (run.folder / "decisions.jsonl").read_text().splitlines()
    # Until the session after LAST_KNOWN closes a decision knows LAST_KNOWN's close and no later one.
    return [line for line in lines if json.loads(line)["as_of"] < "2024-04-15T16:00"]


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_noise_in_the_future_changes_no_decision_of_the_past(strategy: str, workspace: Path) -> None:
    write_bars(workspace, noise=None)
    true = simulator.run(strategy, SYMBOLS[:2], *PERIOD, workspace=workspace)
    write_bars(workspace, noise=7)
    altered = simulator.run(strategy, SYMBOLS[:2], *PERIOD, workspace=workspace)

    assert decisions_until(true)
    assert decisions_until(true) == decisions_until(altered)
    assert true.equity[:LAST_KNOWN].tolist() == altered.equity[:LAST_KNOWN].tolist()
    assert true.equity.iloc[-1] != altered.equity.iloc[-1]
