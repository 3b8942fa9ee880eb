"""Progress of a run: a line in a notebook's output, or the bar of a terminal, gone when it is done."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from html import escape
from importlib import import_module
from types import TracebackType
from typing import TYPE_CHECKING, Any

from simulator.printing import is_animated, say
from simulator.report.renderers.progress import progress_bar

if TYPE_CHECKING:
    from simulator.runs.eta import RunProgress

STAGES = {"ask": "asking", "replay": "replaying"}

EVERY_S = 0.2
"""Seconds between two updates: more than that nobody sees."""


def in_notebook() -> bool:
    """True where output goes to a notebook: the kernel's shell is there, and it is no terminal's."""
    shell: Any = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    return type(shell).__name__ == "ZMQInteractiveShell"


@contextmanager
def show_run() -> Iterator[Callable[[RunProgress], None]]:
    """Yield what shows how far a run is, on a bar for asking and one for replaying: date, time left, share of cached
    answers, dollars. Where stderr is no terminal, one line once the first real calls tell what the run will cost."""
    with progress_bar() as advance:
        announced = is_animated()

        def tick(now: RunProgress) -> None:
            nonlocal announced
            stage = STAGES[now.stage]
            advance(now.done, now.total, before=f"{stage:<9} {now.session}", after=now.describe(), line=stage)
            # Rules answer for nothing and at once: there is nothing to announce.
            if not announced and ((now.expected_usd or 0.0) > 0.0 or (now.seconds_left or 0.0) >= 10.0):
                announced = True
                say(f"sim: {now.asked} answers so far: {now.describe()}", err=True)

        yield tick


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


@contextmanager
def show_members(
    given: bool | Callable[[int, int], None] | None,
) -> Iterator[Callable[[tuple[int, int, str]], None]]:
    """Yield what shows how many members of a sweep are done, of all, or before them decisions of its councils, with the
    session: a bar in a notebook, and where True asks for one that of a terminal. A function that was given is called
    with members."""
    if callable(given):
        yield lambda now: None if now[2] else given(*now[:2])
    elif in_notebook() and given is not False:
        bar = NotebookProgress()
        with bar:
            yield bar.count
    elif given:
        with progress_bar() as advance:
            yield lambda now: advance(
                *now[:2], before=f"asking {now[2]}" if now[2] else "sweeping", line=now[2] and "asking"
            )
    else:
        yield lambda _: None


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
        self._draw(now.done, now.total, text)

    def count(self, now: tuple[int, int, str]) -> None:
        """Show how many members of a sweep are done, of all; decisions where a session is named."""
        done, total, session = now
        if time.monotonic() >= self._next:
            self._next = time.monotonic() + EVERY_S
            at = f"asking {session} · {done:,} of {total:,}" if session else f"{done:,} of {total:,} members"
            self._draw(done, total, at)

    def _draw(self, done: int, total: int, text: str) -> None:
        bar = f'<progress value="{done}" max="{max(1, total)}" style="width: 16em"></progress> {escape(text)}'
        if self._display is None:
            self._display = import_module("IPython.display").display(_as_html(bar), display_id=True)
        else:
            self._display.update(_as_html(bar))


def _as_html(text: str) -> Any:
    return import_module("IPython.display").HTML(text)
