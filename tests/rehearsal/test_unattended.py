"""`sim rehearse --unattended`: a sample of fifteen sessions, killed and upgraded on the way."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from simulator.store.database import Store

from ..conftest import Sim
from .soak import BRACKETS

WORDS = (
    "rehearse",
    "--from",
    "2024-06-03",
    "--strategy",
    "sma_cross",
    "--symbols",
    "SPY,QQQ",
    "--unattended",
    "--json",
)


@pytest.mark.medium
def test_sessions_that_nobody_watches_end_as_their_replay_whatever_happens_to_the_loop(
    workspace: Path, sim: Sim
) -> None:
    done = sim(
        *WORDS, "--json", "--sessions", "2", *(word for one in BRACKETS for word in ("--set", one)), cwd=workspace
    )
    assert done.returncode == 0, done.stdout + done.stderr
    made = json.loads(done.stdout)
    assert [one["what"] for one in made["came"]] == ["kill", "upgrade"]
    assert made["sound"]
    assert made["requests"] > made["failed"] > 0
    with Store(workspace / "sim.db") as store:
        events = [one.event for one in store.of_forward(made["run"])]
    programs = {one.payload["program"]["digest"] for one in events if "program" in one.payload}
    assert len(programs) == 2  # the one that registered it, and the one that went on
    page = (Path(made["folder"]) / "unattended.md").read_text()
    assert "| nothing was ordered twice | yes |" in page
    assert "| 2024-06-04 15:54 | upgrade |" in page


def test_unattended_sessions_take_nobody_who_answers(workspace: Path, sim: Sim) -> None:
    done = sim(*WORDS, "--approvals", "person", cwd=workspace)
    assert (done.returncode, "leave --backtest" in done.stderr) == (2, True)
