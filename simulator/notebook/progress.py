"""A line in a notebook's output that says how far a run is, and is gone when it is done."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from html import escape
from importlib import import_module
from types import TracebackType
from typing import TYPE_CHECKING, Any

from simulator.report.renderers.progress import STAGES, show_run

if TYPE_CHECKING:
    from simulator.runs.eta import RunProgress

EVERY_S = 0.2
"""Seconds between two updates: more than that nobody sees."""


def in_notebook() -> bool:
    """True where output goes to a notebook: the kernel's shell is there, and it is no terminal's."""
    shell: Any = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    return type(shell).__name__ == "ZMQInteractiveShell"


def choose_progress(
    given: bool | Callable[[RunProgress], None] | None,
) -> AbstractContextManager[Callable[[RunProgress], None]]:
    """Return what shows how far a run is: a function that was given, a bar in a notebook, and where True asks for one
    the bar of a terminal."""
    if callable(given):
        return nullcontext(given)
    if in_notebook() and given is not False:
        return NotebookProgress()
    return show_run() if given else nullcontext(lambda _: None)


class NotebookProgress:
    """Shows what it is called with as a bar in the cell's output. Used as a context: the bar goes when it ends."""

    def __init__(self) -> None:
        self._display: Any = None
        self._next = 0.0

    def __enter__(self) -> Callable[[RunProgress], None]:
        return self.show

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._display is not None:
            self._display.update(_as_html(""))

    def show(self, now: RunProgress) -> None:
        if time.monotonic() < self._next:
            return
        self._next = time.monotonic() + EVERY_S
        text = f"{STAGES[now.stage]} {now.session} · {now.done} of {now.total} · {now.describe()}".rstrip(" ·")
        bar = f'<progress value="{now.done}" max="{max(1, now.total)}" style="width: 16em"></progress> {escape(text)}'
        if self._display is None:
            self._display = import_module("IPython.display").display(_as_html(bar), display_id=True)
        else:
            self._display.update(_as_html(bar))


def _as_html(text: str) -> Any:
    return import_module("IPython.display").HTML(text)
