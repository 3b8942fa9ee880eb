"""Text and console of rich: nothing that comes from elsewhere steers the terminal, is markup or becomes an emoji."""

from __future__ import annotations

import errno
import io
import os
from collections.abc import Callable, Iterable
from typing import Any

import rich.console
import rich.text
from rich.console import ConsoleOptions, RenderableType
from rich.segment import Segment

from simulator.printing import is_coloured, printable, stream_of


class Text(rich.text.Text):
    """Text of rich that is printable from the start, so that columns are as wide as what stands in them."""

    def __init__(self, text: str = "", *args: Any, **options: Any) -> None:
        super().__init__(printable(text), *args, **options)

    def append(self, text: rich.text.Text | str, *style: Any, **options: Any) -> Text:
        super().append(printable(text) if isinstance(text, str) else text, *style, **options)
        return self


class Console(rich.console.Console):
    """Console of rich on stdout, or on stderr with `err`; without colour where NO_COLOR is set.

    All that is printed passes `render`, tables and progress bars too: whatever is no control of rich's own, the
    movements of a progress bar, is made printable there.
    """

    def __init__(self, err: bool = False) -> None:
        color = "auto" if is_coloured() else None
        super().__init__(file=stream_of(err), color_system=color, markup=False, emoji=False, force_jupyter=False)  # type: ignore[arg-type]

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        for text, style, control in super().render(renderable, options):
            yield Segment(text if control else printable(text), style, control)

    def on_broken_pipe(self) -> None:
        # A reader that left ends the command as it does where rich is not at work: rich itself would raise SystemExit.
        self.quiet = True
        raise BrokenPipeError(errno.EPIPE, "the reader is gone")


def show_paged(console: Console, show: Callable[[Console], object]) -> None:
    """Let `show` write to the reader's pager where `console` is a terminal, which leaves what fits a screen alone."""
    if not console.is_terminal or console.is_dumb_terminal:
        show(console)
        return
    os.environ.setdefault("LESS", "FRX")  # as git does: quit on one screen, let colours pass, leave the text there
    with console.pager(styles=console.color_system is not None):
        show(console)


def capture(show: Callable[[Console], object], width: int = 100) -> str:
    """Return what `show` prints, without colours."""
    console = Console()
    console.file, console.width = io.StringIO(), width
    show(console)
    lines = console.file.getvalue().rstrip().splitlines()
    return "\n".join(rich.text.Text.from_ansi(line).plain.rstrip() for line in lines)
