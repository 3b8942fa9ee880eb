"""Start of a forward test from a page: `sim forward start` as a process of its own, which outlives the pages."""

from __future__ import annotations

import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from simulator.config import load_config
from simulator.errors import SimError, UsageError
from simulator.forward.mode import check_address
from simulator.forward.switches import refuse_if_stopped
from simulator.runs.strategies import available
from simulator.workspace import Workspace

SYMBOL = re.compile(r"[A-Z0-9][A-Z0-9.\-]{0,11}")
LOOKED_S = 8.0
"""Seconds in which a start that is refused says so."""


def start_test(workspace: Workspace, given: Mapping[str, Any], failed: Callable[[str], None]) -> str:
    """Start a test, or go on with the one the same words began; returns what is to be told. `failed` is called with
    what a start said that ended in an error after that.

    Live accounts are not started here: their sentence is typed at a terminal. Raises UsageError for words that are
    none, and with what the start itself refused.
    """
    refuse_if_stopped(workspace)
    words = [sys.executable, "-m", "simulator", "--workspace", str(workspace.out), *read_words(workspace, given)]
    folder = workspace.out / "logs" / "forward"
    folder.mkdir(parents=True, exist_ok=True)
    log = folder / f"start-{datetime.now(UTC):%Y%m%dT%H%M%S%f}.txt"
    with log.open("xb") as out:
        # A session of its own: what ends the pages, Ctrl-C too, leaves it at work.
        process = subprocess.Popen(
            words, stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT, start_new_session=True
        )
    told = threading.Event()

    def wait() -> None:  # a child that ended and is not waited for looks alive
        if process.wait() and told.is_set():
            with suppress(SimError):  # a store that is away
                failed(_last_word(log))

    threading.Thread(target=wait, daemon=True).start()
    until = time.monotonic() + LOOKED_S
    while time.monotonic() < until:
        said = log.read_text("utf-8", "replace").strip().splitlines()
        if process.poll() is not None and process.returncode:
            raise UsageError(_last_word(log))
        refused = any(one.startswith("sim: error: ") for one in said)  # and about to end
        if process.poll() is not None or (said and not refused):
            return f"started: {said[0] if said else 'it has ended'}"
        time.sleep(0.1)
    told.set()
    if process.poll():
        raise UsageError(_last_word(log))
    return (
        f"starting; should it fail, that will stand among the events; {log.relative_to(workspace.out)} has all it says"
    )


def _last_word(log: Path) -> str:
    said = log.read_text("utf-8", "replace").strip().splitlines()
    return said[-1].removeprefix("sim: error: ") if said else "the start ended without a word"


def read_words(workspace: Workspace, given: Mapping[str, Any]) -> list[str]:
    """Return the words after ``sim``. Raises UsageError where a strategy, symbol, profile or number is none."""
    strategy, models, exchange = (str(given.get(name, "")).strip() for name in ("strategy", "models", "exchange"))
    symbols = [one.strip().upper() for one in str(given.get("symbols", "")).split(",") if one.strip()]
    sessions = given.get("sessions")
    if strategy not in available(workspace.strategies):
        raise UsageError("no such strategy")
    if not symbols or not all(SYMBOL.fullmatch(one) for one in symbols):
        raise UsageError("symbols are names with commas between them")
    if models not in load_config(workspace.config).models.profiles:
        raise UsageError("no such models profile")
    if type(sessions) is not int or not 1 <= sessions <= 2000:
        raise UsageError("sessions are a whole number from 1 to 2000")
    words = ["forward", "start", f"--strategy={strategy}", f"--symbols={','.join(symbols)}", f"--models={models}"]
    if exchange:
        check_address(exchange, paper=True)
        words.append(f"--exchange={exchange}")
    return [*words, f"--sessions={sessions}"]
