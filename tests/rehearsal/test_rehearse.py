"""`sim rehearse`: the forward mode through past sessions, and what comes back after a kill."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing, suppress
from datetime import date
from pathlib import Path

import pytest

from simulator.forward.mode import make_rehearsal_keys
from simulator.rehearsal.rehearse import Conductor, Rehearsal, exchange_at
from simulator.rehearsal.unattended import to_words
from simulator.runs.spec import RunSpec
from simulator.workspace import find_workspace, make_workspace

SIM = [sys.executable, "-c", "import sys; from simulator.cli import main; main(sys.argv[1:])"]
WORDS = ["rehearse", "--from", "2024-06-03", "--sessions", "6", "--strategy", "sma_cross", "--json"]

Sim = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.mark.medium
def test_a_rehearsal_that_was_killed_with_its_exchange_goes_on(workspace: Path, sim: Sim, tmp_path: Path) -> None:
    expected = json.loads(sim(*WORDS, cwd=workspace).stdout)
    make_workspace(rough := tmp_path / "rough")
    with subprocess.Popen([*SIM, *WORDS], cwd=rough, stdout=subprocess.DEVNULL, env=os.environ.copy()) as process:
        journal, until = rough / "reports" / Path(expected["dir"]).name / "exchange.jsonl", time.monotonic() + 60
        while time.monotonic() < until and not (journal.exists() and journal.read_bytes().count(b"\n") > 9):
            time.sleep(0.02)
        process.send_signal(signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL
    again = json.loads(sim(*WORDS, cwd=rough).stdout)
    assert {**again, "dir": ""} == {**expected, "dir": ""}
    assert again["accounts"]["COUNCIL"]["fills"] == 4
    secret = make_rehearsal_keys("COUNCIL").secret
    assert secret.encode() not in journal.read_bytes(), "of a secret its digest alone"


@pytest.mark.medium
def test_a_kill_between_approval_and_order_orders_once(workspace: Path, sim: Sim, tmp_path: Path) -> None:
    (script := tmp_path / "answers.txt").write_text("* SPY modify scale=0.5\n* * approve\n")
    words = [*WORDS, "--approvals", str(script)]
    expected = json.loads(sim(*words, cwd=workspace).stdout)
    make_workspace(rough := tmp_path / "rough")
    place, until, given = rough / "store.db", time.monotonic() + 60, False
    with subprocess.Popen([*SIM, *words], cwd=rough, stdout=subprocess.DEVNULL, env=os.environ.copy()) as process:
        while time.monotonic() < until and not given:
            time.sleep(0.005)
            place = next(iter(rough.rglob("*.db")), place)
            with suppress(sqlite3.Error), closing(sqlite3.connect(f"file:{place}?mode=ro", uri=True)) as db:
                given = bool(db.execute("SELECT 1 FROM events WHERE kind = 'approval.given'").fetchone())
        process.send_signal(signal.SIGKILL)
    assert given
    assert process.returncode == -signal.SIGKILL
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
