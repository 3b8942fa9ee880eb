"""Units, messages to the service manager, and metrics."""

from __future__ import annotations

import re
import shutil
import socket
import subprocess
from pathlib import Path

import pytest

from simulator.forward.notify import notify
from simulator.forward.status import Standing, Status
from simulator.web.metrics import is_healthy, render_metrics

UNITS = sorted((Path(__file__).parents[2] / "deploy/systemd").glob("*.service"))
SAMPLE = re.compile(r'[a-z_]+(\{[a-z]+="(\\[\\n"]|[^"\\\n])*"(,[a-z]+="(\\[\\n"]|[^"\\\n])*")*\})? -?[0-9.e+-]+')


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.stem)
def test_units_are_sound_and_little_exposed(unit: Path, tmp_path: Path) -> None:
    tool = shutil.which("systemd-analyze")
    if tool is None:
        pytest.skip("systemd-analyze is not installed here")
    tried = tmp_path / unit.name
    tried.write_text(unit.read_text().replace("ExecStart=/opt/sim/bin/sim", f"ExecStart={shutil.which('true')}"))
    done = subprocess.run([tool, "verify", str(tried)], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    done = subprocess.run([tool, "security", "--offline=true", str(tried)], capture_output=True, text=True)
    found = re.search(r"Overall exposure level for \S+: ([0-9.]+)", done.stdout)
    assert found, done.stderr
    assert float(found[1]) <= 3.0


def test_the_service_manager_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    notify("READY=1")
    for address, bound in ((str(tmp_path / "n"), str(tmp_path / "n")), ("@sim-notify", "\0sim-notify")):
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
            manager.bind(bound)
            manager.settimeout(5)
            monkeypatch.setenv("NOTIFY_SOCKET", address)
            notify("WATCHDOG=1")
            assert manager.recv(100) == b"WATCHDOG=1"
    notify("WATCHDOG=1")  # nobody listens any more


def _loop(health: str) -> Status:
    accounts = {
        'A"\\\n': Standing("1", 1000.5, 1.0, "2024-06-03", {"SPY": -2.0}),
        "B": Standing("2", None, None, None, {}),
    }
    return Status("r1", "s", "paper", health, "running", "", 12.0, None, None, accounts, [])


@pytest.mark.parametrize(("health", "sound"), [("at work", True), ("late", False), ("gone", False), ("stopped", True)])
def test_metrics_tell_how_a_loop_is(health: str, sound: bool) -> None:
    text = render_metrics([_loop(health)])
    assert all(SAMPLE.fullmatch(line) for line in text.splitlines() if not line.startswith("#"))
    assert f'health="{health}"}} 1.0' in text
    assert text.count("} 1.0") == 1 + sound
    assert f'sim_forward_sound{{run="r1"}} {float(sound)}' in text
    assert 'account="A\\"\\\\\\n"} 1000.5' in text
    assert "nan" not in text.lower().replace("sim_", "")
    assert is_healthy([_loop(health)]) is sound


def test_metrics_of_a_workspace_without_a_loop_say_so() -> None:
    assert "sim_forward_loops 0.0\n" in render_metrics([])
    assert is_healthy([])
