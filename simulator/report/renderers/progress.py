"""The progress bar of every command: on stderr, and only where stderr is a terminal that can move its cursor."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from simulator.printing import guard_streams, is_animated

_standing = threading.Lock()

DELAY_S = 0.5
"""Work that takes no longer shows no bar."""


class Advance(Protocol):
    """Moves the bar called `line` to `done` of `total`, with text `before` and `after` it."""

    def __call__(self, done: int, total: int, *, before: str = "", after: str = "", line: str = "") -> None: ...


@contextmanager
def progress_bar() -> Iterator[Advance]:
    """Yield what moves the bars, one for each `line` named; they are gone when the work is done."""
    # One at a time: another thread's bars would write over these, and each hands the streams back to the one before.
    if not is_animated() or not _standing.acquire(blocking=False):
        yield lambda *_, **__: None
        return
    try:
        with _bars() as advance:
            yield advance
    finally:
        _standing.release()


@contextmanager
def _bars() -> Iterator[Advance]:
    from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

    from simulator.report.renderers.console import Console

    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=24),
        TextColumn("{task.completed}/{task.total}"),
        TimeElapsedColumn(),
        TextColumn("{task.fields[after]}", markup=False),
    )
    # While a bar stands, rich takes what is printed and reads colours and links out of it: it is guarded once more.
    with Progress(*columns, console=Console(err=True), transient=True) as bars, guard_streams():
        tasks: dict[str, TaskID] = {}
        begun = time.monotonic()

        def advance(done: int, total: int, *, before: str = "", after: str = "", line: str = "") -> None:
            if line not in tasks:
                tasks[line] = bars.add_task(before, total=total, visible=False, after=after)
            late = time.monotonic() - begun > DELAY_S
            bars.update(tasks[line], completed=done, total=total, description=before, after=after, visible=late)

        yield advance
