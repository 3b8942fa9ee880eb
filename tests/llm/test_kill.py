"""A process that is killed at a random moment loses nothing it was told is stored."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from simulator.llm.cache import AnswerCache

WRITER = """
import itertools, sys
from pathlib import Path
from simulator.llm.cache import AnswerCache
from simulator.llm.messages import ChatRequest, ChatResponse, Message
cache = AnswerCache(Path(sys.argv[1]))
for i in itertools.count():
    request = ChatRequest("told", "m", (Message("user", f"{sys.argv[2]} {i}"),))
    cache.put(request, ChatResponse(f"answer to {sys.argv[2]} {i}" + "x" * 2000))
    sys.stdout.write(f"{request.key} {i}\\n")
    sys.stdout.flush()
"""


@pytest.mark.medium
@pytest.mark.skipif(sys.platform == "win32", reason="no SIGKILL")
@pytest.mark.fault(
    "disk",
    "a run is killed while answers come in",
    "no acknowledged answer is lost, `sim cache verify` is clean",
    since="0.1",
)
def test_twelve_kills_lose_no_acknowledged_answer_and_verify_is_clean(folder: Path) -> None:
    moments = random.Random(7)
    acknowledged: dict[str, str] = {}
    for kill in range(12):
        with subprocess.Popen([sys.executable, "-c", WRITER, folder, str(kill)], stdout=subprocess.PIPE) as writer:
            assert writer.stdout is not None
            # The first kills fall into the making of the file; the others wait until writing goes on.
            first = b"" if kill < 3 else writer.stdout.readline()
            time.sleep(moments.uniform(0.0, 0.25))
            writer.send_signal(signal.SIGKILL)
            lines = (first + writer.stdout.read()).split(b"\n")[:-1]
        acknowledged.update((key, f"answer to {kill} {i}") for key, i in (line.decode().split() for line in lines))
    with AnswerCache(folder) as cache:
        kept = {key: response.text.rstrip("x") for key in acknowledged if (response := cache.get(key))}
        checked = cache.verify()
    assert len(acknowledged) > 100
    assert kept == acknowledged
    assert checked.bad == ()
    assert checked.entries >= len(acknowledged)
