"""What tests of the LLM room share: questions, an answer, a cache, a clock, a user without root's rights."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

from simulator.llm.cache import AnswerCache
from simulator.llm.messages import ChatRequest, ChatResponse, Message, Usage
from simulator.llm.spending.shared_ledger import SharedLedger

Ask = Callable[..., ChatRequest]


class Clock:
    """Seconds since the epoch, moved by hand; at first ten in the morning, UTC."""

    def __init__(self) -> None:
        self.now = 20_000.0 * 86_400 + 10 * 3_600

    def __call__(self) -> float:
        return self.now


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
def clock() -> Clock:
    return Clock()


@pytest.fixture
def ledger(folder: Path, clock: Clock) -> Iterator[SharedLedger]:
    opened = SharedLedger(folder, clock)
    yield opened
    opened.close()


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
