"""What tests of the LLM room share: questions, an answer, a cache, a user without root's rights."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from simulator.llm.cache import AnswerCache
from simulator.llm.messages import ChatRequest, ChatResponse, Message, Usage

Ask = Callable[..., ChatRequest]


@pytest.fixture
def ask() -> Ask:
    """``ask("text", seat="trend", …)``: a question; further fields of ChatRequest by name."""

    def make(text: str = "buy?", *, seat: str = "trend", **fields: object) -> ChatRequest:
        given: dict[str, object] = {
            "provider": "told",
            "model": f"{seat}@abc",
            "messages": (Message("system", "You manage money."), Message("user", text)),
            "purpose": {"stage": "pitch", "seat": seat, "session": "2024-01-05"},
        }
        return ChatRequest(**{**given, **fields})  # type: ignore[arg-type]

    return make


@pytest.fixture
def yes() -> ChatResponse:
    return ChatResponse(
        "yes", model="told-1", usage=Usage(100, 10, 0.25), latency_s=0.5, asked_at="2026-01-02T03:04:05Z"
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "llm_cache"


@pytest.fixture
def cache(folder: Path) -> Iterator[AnswerCache]:
    with AnswerCache(folder) as opened:
        yield opened


@pytest.fixture
def public_folder() -> Iterator[Path]:
    """A folder that users other than the one who runs the tests can reach."""
    path = Path(tempfile.mkdtemp(prefix="simulator-test-"))
    path.chmod(0o755)
    yield path
    path.chmod(0o755)
    shutil.rmtree(path)


@pytest.fixture
def without_rights() -> Callable[[], AbstractContextManager[None]]:
    """Inside ``with without_rights():`` file modes bind even root."""

    @contextmanager
    def drop() -> Iterator[None]:
        user = os.geteuid()
        if user == 0:
            os.seteuid(65534)
        try:
            yield
        finally:
            if user == 0:
                os.seteuid(0)

    return drop


@dataclass(frozen=True)
class Service:
    """A rehearsal service in a process of its own."""

    url: str

    def stats(self) -> dict[str, Any]:
        """What it counted so far."""
        with urllib.request.urlopen(f"{self.url}/stats", timeout=10) as answer:
            counted: dict[str, Any] = json.load(answer)
        return counted


Serve = Callable[..., Service]


@pytest.fixture
def serve() -> Iterator[Serve]:
    """``serve("--latency", 0.01, …)``: starts ``python -m simulator.llm.rehearsal``; ended with the test."""
    with ExitStack() as running:

        def start(*options: object) -> Service:
            words = [sys.executable, "-m", "simulator.llm.rehearsal", "--port", "0", *map(str, options)]
            process = running.enter_context(subprocess.Popen(words, stdout=subprocess.PIPE, text=True))
            running.callback(process.terminate)
            assert process.stdout is not None
            return Service(process.stdout.readline().removeprefix("listening on ").strip())

        yield start
