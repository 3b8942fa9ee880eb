"""The book as the strategy decided it, beside the one that a person approved."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from simulator.workspace import make_workspace

from ..conftest import _in_this_process

pytestmark = pytest.mark.medium

WORDS = ["rehearse", "--from", "2024-06-03", "--sessions", "6", "--strategy", "sma_cross", "--symbols", "SPY,QQQ"]
DAILY = ["--set", "schedule.cadence=daily", "--set", "fast=2", "--set", "slow=3"]


def rehearsed(workspace: Path, *more: str) -> dict[str, Any]:
    """The account of a rehearsal, as its report has it."""
    done = _in_this_process([*WORDS, *DAILY, *more, "--json"], workspace, {})
    assert done.returncode == 0, done.stderr
    report = _in_this_process(["forward", "report", json.loads(done.stdout)["run"], "--json"], workspace, {})
    (account,) = json.loads(report.stdout)["accounts"]
    return dict(account)


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Path:
    make_workspace(place := tmp_path_factory.mktemp("shadow") / "workspace")
    return place


@pytest.fixture(scope="module")
def alone(lab: Path) -> dict[str, Any]:
    return rehearsed(lab)


def test_the_verdict_is_on_what_was_decided_and_what_a_person_added_stands_beside_it(
    lab: Path, alone: dict[str, Any], tmp_path: Path
) -> None:
    (script := tmp_path / "answers.txt").write_text("* SPY modify scale=0.5\n* QQQ reject not today\n")
    approved = rehearsed(lab, "--approvals", str(script))
    assert approved["path"] != alone["path"]
    decided, added = np.array(approved["approver"]["decided"]), approved["approver"]["added"]
    np.testing.assert_allclose(decided, alone["path"], rtol=1e-12)
    assert approved["verdict"]["mean"] == pytest.approx(alone["verdict"]["mean"], rel=1e-9)
    assert approved["approver"]["verdict"]["mean"] != approved["verdict"]["mean"]
    path = np.array(approved["path"])
    assert added["mean"][-1] == pytest.approx(np.mean(path[1:] / path[:-1] - decided[1:] / decided[:-1]), rel=1e-9)
    assert len(added["sessions"]) == 6


def test_approvals_that_change_nothing_leave_one_book(lab: Path, alone: dict[str, Any], tmp_path: Path) -> None:
    (script := tmp_path / "answers.txt").write_text("* * approve\n")
    approved = rehearsed(lab, "--approvals", str(script))
    assert (approved["approver"], approved["path"]) == (None, alone["path"])


def test_parity_is_of_what_was_decided_and_counts_what_a_person_changed_beside_it(lab: Path, tmp_path: Path) -> None:
    (script := tmp_path / "answers.txt").write_text("* SPY modify scale=0.5\n* QQQ reject not today\n")
    run = json.loads(_in_this_process([*WORDS, *DAILY, "--approvals", str(script), "--json"], lab, {}).stdout)["run"]
    done = _in_this_process(["forward", "parity", run, "--json"], lab, {})
    found = json.loads(done.stdout)
    assert (done.returncode, found["holds"], found["differences"]) == (0, True, []), found
    assert found["approved"]["since"].startswith("2024-06-0")
    assert {"fills", "books"} <= found["approved"]["different"].keys()
    assert found["approved"]["different"].keys().isdisjoint({"inputs", "prompts"})
    said = _in_this_process(["forward", "parity", run], lab, {}).stdout
    assert f"approved   a person changed trades from {found['approved']['since'][:10]}" in said
