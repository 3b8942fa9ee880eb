"""`sim rehearse`: the forward mode through past sessions, and what comes back after a kill."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Callable
from datetime import date
from pathlib import Path

import pytest

from simulator.forward.mode import make_rehearsal_keys
from simulator.rehearsal.rehearse import Conductor, Rehearsal, exchange_at
from simulator.rehearsal.unattended import to_words
from simulator.runs.spec import RunSpec
from simulator.store.database import Store
from simulator.workspace import find_workspace, make_workspace

DIES = [sys.executable, "-c", """
import os, signal, sys
from simulator.cli import main
from simulator.store.database import Store

name, left = sys.argv.pop(1), int(sys.argv.pop(1))
write = getattr(Store, name)

def watched(*words):
    global left
    written, left = write(*words), left - 1
    if not left:
        os.kill(os.getpid(), signal.SIGKILL)
    return written

setattr(Store, name, watched)
main(sys.argv[1:])
"""]  # fmt: skip
"""`sim` that is killed after it has called a method of the store so many times."""
WORDS = ["rehearse", "--from", "2024-06-03", "--sessions", "6", "--strategy", "sma_cross", "--json"]

Sim = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.mark.medium
def test_a_rehearsal_that_was_killed_with_its_exchange_goes_on(workspace: Path, sim: Sim, tmp_path: Path) -> None:
    expected = json.loads(sim(*WORDS, cwd=workspace).stdout)
    make_workspace(rough := tmp_path / "rough")
    killed = subprocess.run([*DIES, "append", "12", *WORDS], cwd=rough, stdout=subprocess.DEVNULL, check=False)
    assert killed.returncode == -signal.SIGKILL
    again = json.loads(sim(*WORDS, cwd=rough).stdout)
    assert {**again, "dir": ""} == {**expected, "dir": ""}
    assert again["accounts"]["COUNCIL"]["fills"] == 4
    secret = make_rehearsal_keys("COUNCIL").secret
    journal = rough / "reports" / Path(expected["dir"]).name / "exchange.jsonl"
    assert secret.encode() not in journal.read_bytes(), "of a secret its digest alone"


@pytest.mark.medium
def test_a_kill_between_approval_and_order_orders_once(workspace: Path, sim: Sim, tmp_path: Path) -> None:
    (script := tmp_path / "answers.txt").write_text("* SPY modify scale=0.5\n* * approve\n")
    words = [*WORDS, "--approvals", str(script)]
    expected = json.loads(sim(*words, cwd=workspace).stdout)
    make_workspace(rough := tmp_path / "rough")
    killed = subprocess.run(
        [*DIES, "append_after_reading", "3", *words], cwd=rough, stdout=subprocess.DEVNULL, check=False
    )
    assert killed.returncode == -signal.SIGKILL
    with Store(rough / "sim.db") as store:
        last = [one.event.kind for one in store.of_forward(expected["run"])][-1]
    assert last == "approval.given"
    again = json.loads(sim(*words, cwd=rough).stdout)
    assert {**again, "dir": ""} == {**expected, "dir": ""}
    assert again["accounts"]["COUNCIL"]["fills"] == 4


@pytest.mark.medium
def test_a_rehearsal_killed_in_an_outage_over_a_close_is_its_replay_once_it_goes_on(workspace: Path, sim: Sim) -> None:
    parameters = {"schedule.cadence": "daily", "fast": 2, "slow": 3, "exits.stop": 0.005}
    spec = RunSpec("sma_cross", ("SPY", "QQQ"), date(2024, 6, 3), parameters=parameters)
    outage = ("at 2024-06-04T16:19 503=1", "at 2024-06-05T07:00 503=0")
    rehearsal = Rehearsal(spec, 3, find_workspace(workspace), outage)
    with exchange_at(rehearsal, None) as url:
        words = ["rehearse", *to_words(rehearsal), "--exchange", url]
        killed = sim(*words, "--until", "2024-06-04T16:24-04:00 kill", cwd=workspace, own_process=True)
        assert killed.returncode == -signal.SIGKILL, killed.stderr
        Conductor(url).ask("advance", to="2024-06-05T07:30-04:00")
        made = json.loads(sim(*words, cwd=workspace).stdout)
    assert (made["unbooked"], made["accounts"]["COUNCIL"]["fills"]) == ([], 4)
    assert made["alerts"]["broker unreachable"] >= 1
    done = sim("forward", "parity", cwd=workspace)
    assert (
        done.returncode,
        f"{made['run']}, from 2024-06-03 to 2024-06-05: the replay is the same" in done.stdout,
    ) == (0, True)
