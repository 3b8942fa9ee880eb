"""One loop an account: locks that a service and a terminal share, and what the store tells of other runs."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from simulator.errors import UsageError
from simulator.files import born
from simulator.forward.lock import hold, locks_folder, refuse_second, refuse_shared
from simulator.runs.forward_start import exchange_locks
from simulator.store.database import open_store
from simulator.store.events import Event
from simulator.workspace import find_workspace

Sim = Callable[..., subprocess.CompletedProcess[str]]
ASK = "from simulator.forward.lock import locks_folder; print(locks_folder())"


def test_a_service_and_a_terminal_have_the_same_locks_whatever_their_temporary_folders(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SIM_LOCKS")
    others = {"TMPDIR": str(tmp_path), "HOME": str(tmp_path), "XDG_STATE_HOME": str(tmp_path)}
    there = subprocess.run([sys.executable, "-c", ASK], env=os.environ | others, capture_output=True, text=True)
    assert Path(there.stdout.strip()) == locks_folder()
    monkeypatch.setenv("SIM_LOCKS", str(tmp_path))
    assert locks_folder() == tmp_path


@pytest.mark.fault("disk", "the folder of locks cannot be made", "refused in one line, with the setting that moves it")
def test_locks_that_cannot_be_made_are_refused_with_a_mend(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match="cannot be made") as refused, hold(["test x"], tmp_path / "file" / "locks"):
        pass
    assert "SIM_LOCKS" in str(refused.value.mend)


def test_a_loop_of_another_test_on_the_account_is_seen_in_the_store(workspace: Path) -> None:
    parent = os.getppid()
    here = {"host": socket.gethostname(), "pid": parent, "born": born(parent) or ""}
    started = Event("forward.started", None, None, {"opening": {"COUNCIL": {"number": "PA1"}}, **here})
    with open_store(find_workspace(workspace)) as store:
        store.append_after_reading("other", (), lambda _: [started])
        refuse_shared(store, "mine", ["PA2"])
        refuse_shared(store, "other", ["PA1"])
        with pytest.raises(UsageError, match=f"process {parent} on "):
            refuse_shared(store, "mine", ["PA1"])
        store.append_after_reading("other", (), lambda _: [Event("forward.stopped", None, None, {"why": "stopped"})])
        refuse_shared(store, "mine", ["PA1"])


@pytest.mark.fault("machine", "the machine of a loop is gone", "nobody takes its accounts over until a person says so")
def test_a_loop_of_another_machine_is_at_work_until_somebody_says_that_it_is_gone(workspace: Path, sim: Sim) -> None:
    started = Event("forward.started", None, None, {"opening": {}, "host": "elsewhere", "pid": 7, "born": "1"})
    with open_store(find_workspace(workspace)) as store:
        store.append_after_reading("other", (), lambda _: [started])
        with pytest.raises(UsageError, match="process 7 on elsewhere") as refused:  # however long nothing is recorded
            refuse_second(store.of_forward("other"))
        assert "sim forward stop other --gone" in str(refused.value.mend)
        assert sim("forward", "stop", "nothing", "--gone", cwd=workspace).returncode == 2
        done = sim("forward", "stop", "other", "--gone", cwd=workspace)
        assert done.returncode == 0, done.stderr
        refuse_second(store.of_forward("other"))
        assert store.of_forward("other")[-1].event.payload == {"why": "its machine, elsewhere, is gone"}


def test_an_exchange_of_this_machine_is_one_by_whatever_name_it_is_asked() -> None:
    names = ("http://127.0.0.1:8911", "http://localhost:8911", "http://127.0.0.1:8911/", "http://[::1]:8911")
    assert len({exchange_locks(one) for one in names}) == 1
    assert exchange_locks("http://127.0.0.1:8912") not in {exchange_locks(names[0]), exchange_locks(None)}
