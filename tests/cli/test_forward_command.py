"""`sim forward`: how loops are looked at, paused and stopped from outside."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from simulator.errors import UsageError
from simulator.forward.switches import Heartbeat, beat
from simulator.runs.forward_accounts import find_registration
from simulator.store.database import Store
from simulator.store.events import Event
from simulator.workspace import Workspace, find_workspace

Sim = Callable[..., "subprocess.CompletedProcess[str]"]
HEART = Heartbeat("2f3a90bc11", "sma_cross", {"COUNCIL": "PA3X1"}, "paper", "running", "2024-06-03T08:00:00-04:00",
                  "2024-06-03T17:00:00-04:00", "2024-06-04T08:00:00-04:00 decision", 15.0)  # fmt: skip

BEAT = """
import signal, sys, time
from dataclasses import replace
from pathlib import Path
from simulator.forward.switches import beat, read_heartbeats
from simulator.workspace import Workspace
workspace = Workspace(Path(sys.argv[1]), Path(sys.argv[1]))
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
beat(workspace, read_heartbeats(workspace)[-1])
print("beating", flush=True)
time.sleep(60)
"""


@pytest.fixture
def looped(workspace: Path) -> Workspace:
    """A workspace in which a loop of this process has traded for a day."""
    made = Workspace(workspace, workspace)
    beat(made, HEART)

    def fill(id: str, symbol: str, quantity: float) -> Event:
        at = "2024-06-03T09:30:00-04:00"
        payload = {"id": id, "client_order_id": "c", "symbol": symbol, "at": 1, "quantity": quantity, "price": 500.0}
        return Event("forward.fill", at, "COUNCIL", payload)

    row = {"session": "2024-06-03", "equity": 100_250.0, "cash": 50_000.0, "positions": {"SPY": 10.0, "QQQ": 5.0}}
    with Store(made.registry) as store:
        store.append(
            HEART.run,
            [
                fill("1", "SPY", 10.0),
                fill("2", "QQQ", 5.0),
                Event("forward.session", "2024-06-03T16:20:00-04:00", "COUNCIL", row),
                fill("3", "QQQ", -5.0),
                Event("forward.point", "2024-06-03T08:00:00-04:00", None, {"name": "decision", "state": "done"}),
                Event("forward.alert", "2024-06-03T16:21:00-04:00", "COUNCIL", {"kind": "halt", "text": "SPY"}),
            ],
        )
    return made


@pytest.fixture
def loop(looped: Workspace) -> Iterator[subprocess.Popen[bytes]]:
    """The same with a process at work."""
    with subprocess.Popen([sys.executable, "-c", BEAT, str(looped.out)], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"beating\n"
        yield process
        process.kill()


def test_status_says_what_is_at_work_what_it_holds_and_what_comes_next(looped: Workspace, sim: Sim) -> None:
    done = sim("forward", "status", cwd=looped.out)
    assert done.returncode == 0
    shown = done.stdout.splitlines()
    assert shown[0] == "2f3a90bc11  sma_cross, paper: at work, running"
    assert shown[2:] == [
        "  last point decision at 2024-06-03T08:00:00-04:00, done",
        "  next 2024-06-04T08:00:00-04:00 decision",
        "  COUNCIL (PA3X1): $100,250 on 2024-06-03; SPY 10.0000",
        "  2024-06-03T16:21:00-04:00 halt: COUNCIL SPY",
    ]
    found = json.loads(sim("forward", "status", "--json", cwd=looped.out).stdout)
    assert (found["kill_switch"], found["paused"]) == (None, None)
    [one] = found["loops"]
    assert (one["health"], one["accounts"]["COUNCIL"]["positions"]) == ("at work", {"SPY": 10.0})
    assert 0 <= one["age_s"] < 60


def test_a_workspace_without_a_loop_is_no_fault(workspace: Path, sim: Sim) -> None:
    done = sim("forward", "status", cwd=workspace)
    assert (done.returncode, done.stdout) == (0, "no loop has run here yet\n")
    assert json.loads(sim("forward", "status", "--json", cwd=workspace).stdout)["loops"] == []
    assert not (workspace / "sim.db").exists()


def test_a_loop_that_hangs_or_is_gone_is_exit_code_one(looped: Workspace, sim: Sim) -> None:
    path = looped.logs / f"heartbeat-{HEART.run}.json"
    for changes, health in (({"beat_at": "2024-06-03T21:00:00+00:00"}, "late"), ({"pid": 2**22 + 1}, "gone")):
        path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))
        done = sim("forward", "status", cwd=looped.out)
        assert done.returncode == 1
        assert done.stdout.startswith(f"2f3a90bc11  sma_cross, paper: {health}, running")


def test_pause_and_resume_are_seen_in_the_status(looped: Workspace, sim: Sim) -> None:
    assert "entries are paused" in sim("forward", "pause", "FOMC", cwd=looped.out).stdout
    assert "entries are paused: FOMC" in sim("forward", "status", cwd=looped.out).stdout
    assert sim("forward", "resume", cwd=looped.out).stdout == "entries are allowed again\n"
    assert sim("forward", "resume", cwd=looped.out).stdout == "entries were not paused\n"
    (looped.out / "forward.stop").touch()
    assert "the kill switch is thrown: forward.stop is there" in sim("forward", "status", cwd=looped.out).stdout


@pytest.mark.medium
def test_stop_ends_the_loop_and_waits_for_it(looped: Workspace, loop: subprocess.Popen[bytes], sim: Sim) -> None:
    done = sim("forward", "stop", "2f3a", cwd=looped.out)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("the loop of 2f3a90bc11 has ended")
    assert loop.wait(5) == 0
    assert sim("forward", "status", cwd=looped.out).returncode == 1, "it did not say goodbye"
    done = sim("forward", "stop", cwd=looped.out)
    assert (done.returncode, done.stderr) == (2, "sim: error: no loop is at work here; name one of 2f3a90bc11\n")


def test_a_loop_is_completed_by_name(looped: Workspace) -> None:
    from click.shell_completion import ShellComplete

    from simulator.cli import sim as command

    shell = ShellComplete(command, {}, "sim", "_SIM_COMPLETE")
    found = shell.get_completions(["--workspace", str(looped.out), "forward", "stop"], "2f")
    assert [item.value for item in found] == ["2f3a90bc11"]


def live(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (workspace / "config" / "forward.yaml").write_text('mode: live\ndaily_loss: {"*": 2%}\n')
    for what in ("KEY", "SECRET"):
        monkeypatch.setenv(f"ALPACA_LIVE_{what}_COUNCIL", f"planted-live-{what}")


def test_live_trading_is_confirmed_at_a_terminal_and_by_the_very_sentence(
    workspace: Path, sim: Sim, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither gets as far as to ask anybody anything."""
    from simulator.cli import forward

    words = ("forward", "start", "--strategy", "equal_weight")
    (workspace / "config" / "forward.yaml").write_text("mode: live\n")
    done = sim(*words, cwd=workspace)
    assert done.returncode == 2
    assert "ALPACA_LIVE_KEY_COUNCIL is not set" in done.stderr
    assert "no daily_loss for COUNCIL" in done.stderr
    live(workspace, monkeypatch)
    done = sim(*words, cwd=workspace)
    assert (done.returncode, "confirmed by a person at a terminal" in done.stderr) == (2, True)
    for typed in ("yes", "", "trade real money in GROQ"):
        monkeypatch.setattr(forward, "_have_typed", lambda _sentence, typed=typed: typed)
        done = sim(*words, cwd=workspace)
        assert (done.returncode, "was not typed at the start" in done.stderr) == (2, True)
        assert "planted" not in done.stdout + done.stderr
    assert not list((workspace / "reports").glob("forward-*"))


def test_a_rehearsal_is_no_test_whose_accounts_could_be_asked(workspace: Path) -> None:
    (workspace / "reports" / "forward-sma_cross-b127387fa0").mkdir(parents=True)
    with pytest.raises(
        UsageError, match="b127387fa0 is a rehearsal: its accounts are those of its exchange, which ends with it"
    ):
        find_registration(find_workspace(str(workspace)), "b127")
