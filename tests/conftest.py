"""What tests of every room may use: a fresh workspace, `sim` as a person runs it, a fake service; the last two in
processes of their own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

from simulator.workspace import make_workspace

# Machines that run tests are shared: how long an example takes says nothing. CI must not fail by a new seed.
settings.register_profile("simulator", deadline=None, derandomize=bool(os.environ.get("CI")))
settings.load_profile("simulator")

Sim = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(autouse=True)
def _own_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test reads the workspace or the keys of whoever runs it."""
    for name in list(os.environ):
        if name.startswith(("SIM_", "ALPACA_", "APCA_", "DATABASE_URL")) or name.endswith("_API_KEY"):
            monkeypatch.delenv(name)
    # Else each `sim` a test starts compiles all modules anew, a quarter of a second every time.
    monkeypatch.delenv("PYTHONDONTWRITEBYTECODE", raising=False)


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    """A workspace as `sim init` makes it."""
    folder = tmp_path / "workspace"
    make_workspace(folder, git=False)
    return folder


@pytest.fixture
def sim(tmp_path: Path) -> Sim:
    """``sim("run", "--from", …, cwd=…, env={…})`` in a process of its own; text of stdout and stderr is captured."""

    def call(
        *words: str | Path, cwd: Path = tmp_path, env: Mapping[str, str] | None = None, **more: object
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "simulator", *map(str, words)],
            cwd=cwd,
            env={**os.environ, **(env or {})},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
            **more,  # type: ignore[call-overload]
        )

    return call


@dataclass(frozen=True)
class Service:
    """A fake service in a process of its own."""

    url: str

    def stats(self) -> dict[str, Any]:
        """What it counted so far."""
        with urllib.request.urlopen(f"{self.url}/stats", timeout=10) as answer:
            counted: dict[str, Any] = json.load(answer)
        return counted


Serve = Callable[..., Service]


@pytest.fixture
def serve() -> Iterator[Serve]:
    """``serve("--latency", 0.01, …)``: starts ``python -m simulator.llm.fake_service``; ended with the test."""
    with ExitStack() as running:

        def start(*options: object) -> Service:
            words = [sys.executable, "-m", "simulator.llm.fake_service", "--port", "0", *map(str, options)]
            process = running.enter_context(subprocess.Popen(words, stdout=subprocess.PIPE, text=True))
            running.callback(process.terminate)
            assert process.stdout is not None
            return Service(process.stdout.readline().removeprefix("listening on ").strip())

        yield start
