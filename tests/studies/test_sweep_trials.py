"""Sweeps among trials: a member run alone takes its p in the sweep, and a hold-out counts who looked."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import simulator
from simulator.store.database import Store

SWEEP = ("sweep", "--strategy", "sma_cross", "--symbols", "SPY", "--from", "2023-01-03", "--to", "2023-12-29")
SETS = ("--set", "fast=5,10", "--set", "slow=20,40")


@pytest.mark.medium
def test_a_member_run_alone_takes_its_p_and_a_hold_out_counts_its_openings(workspace: Path, sim: Any) -> None:
    held = ("--hold-out", "2023-10-02")
    assert sim(*SWEEP, *SETS, *held, cwd=workspace).returncode == 0
    folder = next((workspace / "reports").glob("sweep-*"))
    verdict = json.loads((folder / "verdict.json").read_text())
    assert (verdict["trials"], verdict["units"], verdict["hold_out"]["opened"]) == (4, 1, 0)
    p = json.loads((folder / "study.json").read_text())["inference"]["p"]
    with Store(workspace / "sim.db") as store:
        (row,) = store.results()
        assert row["sweep"]["members"] == 4
        assert not store.rebuild().differed
    best = json.loads((folder / "study.json").read_text())["best"]
    run = simulator.run(
        "sma_cross", ["SPY"], "2023-01-03", "2023-09-29", parameters=best["settings"], workspace=workspace
    )
    told = json.loads((run.folder / "trials.json").read_text())["inference"]
    assert (told["trials"], told["units"], told["sweep_p"]) == (4, 1, p)
    assert sim(*SWEEP, *SETS, *held, "--open-hold-out", cwd=workspace).returncode == 0
    assert json.loads((folder / "verdict.json").read_text())["hold_out"]["opened"] == 1
