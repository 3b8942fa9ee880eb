"""Shared by the tests of all rooms: a fresh workspace, `sim` as a person runs it, a fake service."""

from __future__ import annotations

import asyncio
import fcntl
import gc
import io
import json
import os
import signal
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

from simulator.workspace import make_workspace

# A shell that starts the tests in the background has Ctrl-C ignored, in all that they start as well.
signal.signal(signal.SIGINT, signal.default_int_handler)

# Machines that run tests are shared: how long an example takes says nothing. CI must not fail by a new seed.
settings.register_profile("simulator", deadline=None, derandomize=bool(os.environ.get("CI")))
settings.load_profile("simulator")

Sim = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(autouse=True)
def _own_environment(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """No test reads the workspace or the keys of whoever runs it."""
    for name in list(os.environ):
        if name.startswith(("SIM_", "ALPACA_", "APCA_", "DATABASE_URL")) or name.endswith("_API_KEY"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("SIM_LOCKS", str(tmp_path_factory.getbasetemp() / "locks"))
    # Else each `sim` a test starts compiles all modules anew, a quarter of a second every time.
    monkeypatch.delenv("PYTHONDONTWRITEBYTECODE", raising=False)


@pytest.fixture(scope="session", autouse=True)
def _one_compiler_at_a_time(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Workers find in numba's cache what one of them has compiled, rather than all compiling it at once: twenty seconds
    each on a fresh checkout."""
    if "numba" not in sys.modules:
        yield
        return
    from numba.core.dispatcher import Dispatcher

    compile_one, depth = Dispatcher.compile, 0

    def compile_alone(dispatcher: Any, signature: Any) -> Any:
        nonlocal depth
        depth += 1  # a function compiles those it calls
        try:
            if depth == 1:
                fcntl.flock(lock, fcntl.LOCK_EX)
            return compile_one(dispatcher, signature)
        finally:
            depth -= 1
            if depth == 0:
                fcntl.flock(lock, fcntl.LOCK_UN)

    with pytest.MonkeyPatch.context() as patch, (shared_folder(tmp_path_factory) / "compiler.lock").open("w") as lock:
        patch.setattr(Dispatcher, "compile", compile_alone)
        yield


def shared_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of this session, one for all its workers."""
    own = tmp_path_factory.getbasetemp()
    return own.parent if "PYTEST_XDIST_WORKER" in os.environ else own


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    """A workspace as `sim init` makes it."""
    folder = tmp_path / "workspace"
    make_workspace(folder, git=False)
    return folder


@pytest.fixture
def sim(tmp_path: Path) -> Sim:
    """``sim("run", "--from", …, cwd=…, env={…})``: exit code and text of stdout and stderr.

    Called in this process; in one of its own where `own_process` says so or something is to be done before it starts
    (``preexec_fn``).
    """

    def call(
        *words: str | Path,
        cwd: Path = tmp_path,
        env: Mapping[str, str] | None = None,
        own_process: bool = False,
        **more: object,
    ) -> subprocess.CompletedProcess[str]:
        run = _in_own_process if own_process or more else _in_this_process
        return run([str(word) for word in words], cwd, env or {}, **more)

    return call


def _in_own_process(
    words: list[str], cwd: Path, env: Mapping[str, str], **more: object
) -> subprocess.CompletedProcess[str]:
    # Python 3.11 keeps a compiled module that a limit on the size of files has cut short.
    unwritten = {"PYTHONDONTWRITEBYTECODE": "1"} if "preexec_fn" in more else {}
    return subprocess.run(
        [sys.executable, "-m", "simulator", *words],
        cwd=cwd,
        env={**os.environ, **unwritten, **env},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
        **more,  # type: ignore[call-overload]
    )


def _in_this_process(words: list[str], cwd: Path, env: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    from simulator.cli import main

    # Files rather than StringIO: commands may write bytes, and ask for the encoding.
    out, err = (io.TextIOWrapper(io.BytesIO(), encoding="utf-8", write_through=True) for _ in range(2))
    threshold = gc.get_threshold()  # set by `main` for the one command a process runs
    with pytest.MonkeyPatch.context() as patch, open(os.devnull, encoding="utf-8") as nothing:
        patch.chdir(cwd)
        for name, value in env.items():
            patch.setenv(name, value)
        patch.setattr(sys, "stdin", nothing)
        patch.setattr(sys, "stdout", out)
        patch.setattr(sys, "stderr", err)
        try:
            with pytest.raises(SystemExit) as left:
                main(words)
        finally:
            gc.set_threshold(*threshold)
    code = left.value.code
    said = [file.buffer.getvalue().decode() for file in (out, err)]  # type: ignore[attr-defined]
    return subprocess.CompletedProcess(words, code if isinstance(code, int) else 0, *said)


@dataclass(frozen=True)
class Service:
    """A fake service that listens at `url`."""

    url: str

    def stats(self) -> dict[str, Any]:
        """What it counted so far."""
        with urllib.request.urlopen(f"{self.url}/stats", timeout=10) as answer:
            counted: dict[str, Any] = json.load(answer)
        return counted


Serve = Callable[..., Service]


@pytest.fixture(scope="session")
def service_loop() -> Iterator[asyncio.AbstractEventLoop]:
    """The loop in a thread of its own on which fake services run."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    yield loop
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()


@contextmanager
def listening(loop: asyncio.AbstractEventLoop, service: Any) -> Iterator[Service]:
    """`service`, a FakeService, at an address of its own until the block ends."""
    url = asyncio.run_coroutine_threadsafe(service.start(), loop).result(timeout=30)
    yield Service(url)
    asyncio.run_coroutine_threadsafe(service.stop(), loop).result(timeout=30)


@contextmanager
def process_listening(words: list[str]) -> Iterator[Service]:
    """``python -m simulator.llm.fake_service`` in a process of its own until the block ends."""
    command = [sys.executable, "-m", "simulator.llm.fake_service", "--port", "0", *words]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield Service(process.stdout.readline().removeprefix("listening on ").strip())
        process.terminate()


@pytest.fixture
def serve(service_loop: asyncio.AbstractEventLoop) -> Iterator[Serve]:
    """``serve("--latency", 0.01, …)``: a fake service with these options, ended with the test."""
    from simulator.llm.fake_service.__main__ import make_provider, parse_options, read_behaviour
    from simulator.llm.fake_service.server import FakeService

    with ExitStack() as running:

        def start(*options: object, own_process: bool = False) -> Service:
            words = [str(option) for option in options]
            if own_process:
                return running.enter_context(process_listening(words))
            given = parse_options(words)
            service = FakeService(make_provider(given.rules), read_behaviour(given))
            return running.enter_context(listening(service_loop, service))

        yield start
