"""The heart of a loop beats while it waits for models and brokers, and says so to the service manager."""

from __future__ import annotations

import asyncio
import socket
from datetime import UTC, datetime
from pathlib import Path

import pytest

from simulator.errors import LLMError
from simulator.forward.settings import Forward
from simulator.forward.watch import Watch, Watched
from simulator.workspace import Workspace


def test_the_heart_beats_while_a_council_is_asked_and_its_error_passes(
    workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = Forward(poll_s=0.02, heartbeat_s=0.02)
    watch = Watch(Workspace(workspace, workspace), settings, Watched("r", "s", {}), lambda *_: None)

    async def council(answer: str) -> str:
        await asyncio.sleep(0.3)
        if not answer:
            raise LLMError("no model answers")
        return answer

    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(address := str(workspace / "n"))
        manager.setblocking(False)
        monkeypatch.setenv("NOTIFY_SOCKET", address)
        watch.beat("running", datetime(2024, 6, 3, tzinfo=UTC))
        assert asyncio.run(watch.beat_while(council("hold"))) == "hold"
        with pytest.raises(LLMError, match="no model"):
            asyncio.run(watch.beat_while(council("")))
        beats = 0
        while True:
            try:
                beats += manager.recv(100).startswith(b"WATCHDOG=1\nSTATUS=running")
            except BlockingIOError:
                break
    assert beats > 5
