"""Log of forward trading: `logs/forward/YYYYMMDD.jsonl`, a line for each thing that happened, named for its session.

Each line is one write to the end of the file: a kill leaves whole lines and at most one that is torn, which the next
writer ends and readers pass over. A log that cannot be written stops nothing; the next line says how many were lost.
Keys and passwords of the environment are struck out.
"""

from __future__ import annotations

import errno
import json
import os
import threading
from collections.abc import Callable, Iterator, Mapping
from datetime import date, datetime
from pathlib import Path
from typing import Any

from simulator.files import CAREFUL, PRIVATE, read_bytes, refuse_special
from simulator.keys import scrub
from simulator.market.calendar import NEW_YORK

APPEND = CAREFUL | os.O_RDWR | os.O_APPEND | os.O_CREAT


class Log:
    """The log of one run. Threads may share it; other processes may write to the same files.

    `on_lost` is called with the reason when a line could not be written after one that could.
    """

    def __init__(self, folder: Path, run: str, on_lost: Callable[[str], None] = lambda _reason: None) -> None:
        self.folder, self.run, self.on_lost = folder, run, on_lost
        self.lost = 0
        """Lines that could not be written since the last one that could."""
        self._lock = threading.RLock()

    def write(self, kind: str, at: datetime, account: str = "", session: date | None = None, /, **facts: Any) -> bool:
        """Append a line about what happened at `at` (aware); returns whether it stands on disk. Raises nothing.

        `session` is the one it belongs to, the day in New York if not given; `account` is empty for all of them. Facts
        that are called as what stands in every line (at, kind, run, account) get a `_`.
        """
        path = self.folder / f"{session or at.astimezone(NEW_YORK).date():%Y%m%d}.jsonl"
        head = {"at": at.astimezone(NEW_YORK).isoformat(), "kind": kind, "run": self.run, "account": account}
        facts = {f"{name}_" if name in head else name: value for name, value in facts.items()}
        with self._lock:
            lost = _encode({**head, "kind": "log.lost", "account": ""}, {"lines": self.lost}) if self.lost else b""
            try:
                _append(path, lost + _encode(head, facts))
            except (OSError, ValueError) as error:
                self.lost += 1
                if self.lost == 1:
                    self.on_lost(getattr(error, "strerror", None) or type(error).__name__)
                return False
            self.lost = 0
            return True


def _encode(head: Mapping[str, str], facts: Mapping[str, Any]) -> bytes:
    try:
        text = json.dumps({**head, **facts}, default=str, allow_nan=False)
    except (ValueError, TypeError, RecursionError):
        text = json.dumps({**head, **{str(name): str(value) for name, value in facts.items()}})
    struck = scrub(text)
    if struck != text and not struck.startswith("{"):  # given up whole
        struck = json.dumps({**head, "text": struck})
    return struck.encode("ascii", "backslashreplace") + b"\n"


def _append(path: Path, lines: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    handle = os.open(path, APPEND, PRIVATE)
    try:
        found = os.fstat(handle)
        refuse_special(path, found)
        if found.st_size and os.pread(handle, 1, found.st_size - 1) != b"\n":
            lines = b"\n" + lines
        written = os.write(handle, lines)
        if written < len(lines):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))  # full in the middle of it
    finally:
        os.close(handle)


def read_log(folder: Path, session: date) -> Iterator[dict[str, Any]]:
    """Yield the whole lines of a session's log, as they were written; nothing where there is none."""
    try:
        content = read_bytes(folder / f"{session:%Y%m%d}.jsonl")
    except FileNotFoundError:
        return
    for line in content.splitlines():
        try:
            facts = json.loads(line)
        except ValueError:
            continue
        if isinstance(facts, dict):
            yield facts


__all__ = ["Log", "read_log"]
