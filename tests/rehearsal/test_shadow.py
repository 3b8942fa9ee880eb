"""The book as the strategy decided it, beside the one that a person approved."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from simulator.errors import LLMError
from simulator.rehearsal import parity
from simulator.workspace import make_workspace

from ..conftest import _in_this_process

pytestmark = pytest.mark.medium

WORDS = ["rehearse", "--from", "2024-06-03", "--sessions", "6", "--strategy", "sma_cross", "--symbols", "SPY,QQQ"]
DAILY = ["--set", "schedule.cadence=daily", "--set", "fast=2", "--set", "slow=3"]


def rehearse(workspace: Path, *more: str) -> str:
    done = _in_this_process([*WORDS, *DAILY, *more, "--json"], workspace, {})
    assert done.returncode == 0, done.stderr
    return str(json.loads(done.stdout)["run"])


def report(workspace: Path, run: str) -> dict[str, Any]:
    """The account of a rehearsal, as its report has it."""
    (account,) = json.loads(_in_this_process(["forward", "report", run, "--json"], workspace, {}).stdout)["accounts"]
    return dict(account)


def rehearsed(workspace: Path, *more: str) -> dict[str, Any]:
    return report(workspace, rehearse(workspace, *more))


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Path:
    make_workspace(place := tmp_path_factory.mktemp("shadow") / "workspace")
    return place


@pytest.fixture(scope="module")
def alone(lab: Path) -> dict[str, Any]:
    return rehearsed(lab)


@pytest.fixture(scope="module")
def changed(lab: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A rehearsal in which a person changed each trade, by its id."""
    script = tmp_path_factory.mktemp("answers") / "answers.txt"
    script.write_text("* SPY modify scale=0.5\n* QQQ reject not today\n")
    return rehearse(lab, "--approvals", str(script))


@dataclass
class Asking:
    """A strategy whose models are asked about its book, and were not from the session `until` on."""

    inner: Any
    until: str

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    async def consult(self, snapshot: Any, opinion: Any, *_: Any) -> Any:
        if str(snapshot.as_of.date()) >= self.until:
            raise LLMError("no answer to this question is stored")
        return opinion


@pytest.mark.parametrize(
    ("until", "known"), [("2024-06-06", ["2024-06-03", "2024-06-04", "2024-06-05"]), ("2024-06-03", [])]
)
def test_the_page_says_from_when_on_the_book_as_decided_is_not_known(
    lab: Path, changed: str, alone: dict[str, Any], monkeypatch: pytest.MonkeyPatch, until: str, known: list[str]
) -> None:
    loaded = parity.load_strategy

    def load(*given: Any) -> Any:
        found = loaded(*given)
        return replace(found, strategy=Asking(found.strategy, until))

    monkeypatch.setattr(parity, "load_strategy", load)
    approver = report(lab, changed)["approver"]
    assert (approver["unknown_from"], approver["added"]["sessions"]) == (until, known)
    np.testing.assert_allclose(approver["decided"], alone["path"][: len(known) + 1], rtol=1e-12)
    (page,) = lab.glob(f"reports/*{changed}/report.html")
    assert f'book ends before <span class="date">{until}' in page.read_text()


def test_the_verdict_is_on_what_was_decided_and_what_a_person_added_stands_beside_it(
    lab: Path, alone: dict[str, Any], changed: str
) -> None:
    approved = report(lab, changed)
    assert approved["approver"]["unknown_from"] is None
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


def test_parity_is_of_what_was_decided_and_counts_what_a_person_changed_beside_it(lab: Path, changed: str) -> None:
    done = _in_this_process(["forward", "parity", changed, "--json"], lab, {})
    found = json.loads(done.stdout)
    assert (done.returncode, found["holds"], found["differences"]) == (0, True, []), found
    assert found["approved"]["since"].startswith("2024-06-0")
    assert {"fills", "books"} <= found["approved"]["different"].keys()
    assert found["approved"]["different"].keys().isdisjoint({"inputs", "prompts"})
    said = _in_this_process(["forward", "parity", changed], lab, {}).stdout
    assert f"approved   a person changed trades from {found['approved']['since'][:10]}" in said
