"""Switch files and heartbeats: what stops a loop from outside, and how one sees that it lives."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from simulator.errors import UsageError
from simulator.forward.switches import (
    PAUSE,
    STOP,
    Heartbeat,
    Switches,
    ask_to_stop,
    beat,
    read_heartbeats,
    read_switches,
    refuse_if_stopped,
    reset,
    throw,
)
from simulator.workspace import Workspace

HEART = Heartbeat("2f3a", "sma_cross", {"TREND": "PA1"}, "paper", "running", "2024-06-03T08:00", "2024-06-03T09:00",
                  "2024-06-04T08:00", 15.0)  # fmt: skip


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path, tmp_path)


def test_switches_are_files_that_anybody_can_touch(workspace: Workspace) -> None:
    assert read_switches(workspace) == Switches(None, None)
    (workspace.out / STOP).touch()
    throw(workspace, PAUSE, "earnings\nweek")
    assert read_switches(workspace) == Switches("forward.stop is there", "earnings week")
    throw(workspace, PAUSE, "another reason")
    assert read_switches(workspace).pause == "earnings week"
    with pytest.raises(UsageError, match=r"the kill switch is thrown.*; `rm .*forward.stop`"):
        refuse_if_stopped(workspace)
    assert reset(workspace, STOP)
    assert not reset(workspace, STOP)
    refuse_if_stopped(workspace)


@pytest.mark.parametrize("make", [lambda path: path.mkdir(), lambda path: path.symlink_to("/nowhere"), os.mkfifo,
                                  lambda path: path.write_bytes(b"\xff\xfe" * 4000)])  # fmt: skip
def test_whatever_stands_under_the_name_of_a_switch_throws_it(make: object, workspace: Workspace) -> None:
    assert callable(make)
    make(workspace.out / STOP)
    assert read_switches(workspace).stop == "forward.stop is there"


def test_a_heartbeat_says_who_wrote_it_and_when(workspace: Workspace) -> None:
    assert read_heartbeats(workspace) == []
    assert beat(workspace, HEART)
    [found] = read_heartbeats(workspace)
    assert replace(found, pid=0, born="", beat_at="") == HEART
    assert found.is_running()
    now = datetime.now(UTC)
    assert 0 <= found.age_s(now) < 60
    assert not found.is_late(now)
    assert found.is_late(now + timedelta(seconds=90))
    assert not replace(found, state="stopped").is_late(now + timedelta(days=1))
    assert not replace(found, state="stopped").is_running()
    (workspace.logs / "heartbeat-broken.json").write_text("{")
    (workspace.logs / "heartbeat-other.json").write_text(json.dumps({"run": "x"}))
    assert read_heartbeats(workspace) == [found]


@pytest.mark.fault("disk", "full while a heartbeat is written", "the loop goes on")
def test_a_heartbeat_that_cannot_be_written_stops_nothing(workspace: Workspace) -> None:
    workspace.logs.parent.mkdir(parents=True)
    workspace.logs.touch()
    assert not beat(workspace, HEART)


BEAT = """
import signal, sys, time
from pathlib import Path
from simulator.forward.switches import Heartbeat, beat
from simulator.workspace import Workspace
signal.signal(signal.SIGTERM, lambda *_: sys.exit(7))
workspace = Workspace(Path(sys.argv[1]), Path(sys.argv[1]))
beat(workspace, Heartbeat("2f3a", "s", {}, "paper", "running", "", "", None, 15.0))
print("beating", flush=True)
time.sleep(60)
"""


@pytest.mark.medium
def test_a_loop_that_is_asked_to_stop_stops_and_one_that_is_gone_is_said_to_be(workspace: Workspace) -> None:
    with subprocess.Popen([sys.executable, "-c", BEAT, str(workspace.out)], stdout=subprocess.PIPE) as loop:
        assert loop.stdout is not None
        assert loop.stdout.readline() == b"beating\n"
        [heart] = read_heartbeats(workspace)
        ask_to_stop(heart)
        assert loop.wait(20) == 7
    assert not heart.is_running()
    with pytest.raises(UsageError, match="no loop of 2f3a is at work on this machine"):
        ask_to_stop(heart)
