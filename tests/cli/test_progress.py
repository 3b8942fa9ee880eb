"""The progress bar stands on a terminal, and nowhere else."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

pytestmark = pytest.mark.medium

WORK = """
import time
from simulator.report.renderers.progress import progress_bar

with progress_bar() as advance:
    advance(1, 4, before="asking 2024-06-03", after="$0.42")
    time.sleep({seconds})
    advance(3, 4, before="asking 2024-06-10", after="$1.26")
    time.sleep(0.3)
print("done")
"""


def on_a_terminal(seconds: float) -> tuple[str, str]:
    """What the work prints on stdout, and on a stderr that is a terminal."""
    ours, theirs = os.openpty()
    done = subprocess.run(
        [sys.executable, "-c", WORK.format(seconds=seconds)],
        stdout=subprocess.PIPE,
        stderr=theirs,
        text=True,
        check=True,
        env={**os.environ, "TERM": "xterm", "COLUMNS": "100"},
    )
    os.close(theirs)
    shown = b""
    try:
        while part := os.read(ours, 65536):
            shown += part
    except OSError:
        pass  # the other end is closed
    os.close(ours)
    return done.stdout, shown.decode()


@pytest.mark.skipif(not hasattr(os, "openpty"), reason="needs a pseudo-terminal")
def test_a_terminal_shows_how_far_the_work_is() -> None:
    out, shown = on_a_terminal(0.6)
    assert out == "done\n"
    assert "asking 2024-06-10" in shown
    assert "3/4" in shown
    assert "$1.26" in shown


@pytest.mark.skipif(not hasattr(os, "openpty"), reason="needs a pseudo-terminal")
def test_work_that_is_done_at_once_shows_no_bar() -> None:
    assert "asking" not in on_a_terminal(0.0)[1]


def test_what_is_no_terminal_is_left_alone() -> None:
    words = [sys.executable, "-c", WORK.format(seconds=0.6)]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("done\n", "")
