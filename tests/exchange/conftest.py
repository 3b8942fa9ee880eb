"""The rehearsal exchange in a process of its own, and clients that nobody here wrote pointed at it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

BARS = Path(__file__).parents[2] / "data"


@dataclass(frozen=True)
class Running:
    """A running exchange; `conduct` moves its clock and sets its faults."""

    url: str

    @property
    def stream(self) -> str:
        return self.url.replace("http://", "ws://") + "/stream"

    def conduct(self, what: str, **body: object) -> dict[str, Any]:
        request = urllib.request.Request(f"{self.url}/rehearsal/{what}", json.dumps(body).encode(), method="POST")
        with urllib.request.urlopen(request, timeout=20) as answer:
            return dict(json.load(answer))


@contextmanager
def serving(*words: str) -> Iterator[Running]:
    command = [sys.executable, "-m", "simulator.exchange", "--bars", str(BARS), "--port", "0", *words]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=os.environ.copy()) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        try:
            yield Running(line.split()[3].rstrip(","))
        finally:
            process.terminate()


Serve = Callable[..., AbstractContextManager[Running]]


@pytest.fixture
def serve() -> Serve:
    return serving


@pytest.fixture(scope="module")
def exchange() -> Iterator[Running]:
    with serving("--symbols", "SPY,QQQ", "--from", "2024-01-02", "--rate-limit", "100000") as running:
        yield running
