"""Failures inside a user's strategy file, with the user's own line and traceback."""

from __future__ import annotations

import sysconfig
import traceback
from pathlib import Path

from simulator.errors import ConfigError, SimError
from simulator.printing import printable

OTHERS = (SimError, BrokenPipeError, KeyboardInterrupt)
"""Errors that are none of the strategy's: said already, the reader of what it prints is gone, Ctrl-C."""


class StrategyError(ConfigError):
    """A strategy file failed. `where` is the user's own line; `traceback` holds the frames from there on.

    The traceback is also attached as a note, so that it shows wherever the error is not printed as one line.
    """

    def __init__(self, found: str, *, where: str, mend: str | None = None, traceback: str = "") -> None:
        super().__init__(found, where=where, mend=mend)
        self.traceback = traceback
        if traceback:
            self.add_note(printable(traceback))


def as_strategy_error(error: BaseException, path: Path, when: str = "") -> StrategyError:
    """Return `error`, raised by the code in `path`, as one line naming the user's line, with the user's traceback."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [n for n, frame in enumerate(frames) if frame.filename == str(path)]
    line = frames[own[-1]].lineno if own else getattr(error, "lineno", None)
    text = "".join(traceback.format_exception_only(error))
    if own:
        text = "Traceback (most recent call last):\n" + "".join(traceback.format_list(frames[own[0] :])) + text
    message = error.msg if isinstance(error, SyntaxError) else _text(error)
    mend = None if isinstance(error, Exception) else "a strategy returns what it wants and ends nothing"
    where = f"{relative_path(path)}:{line or 1}"
    return StrategyError(f"{type(error).__name__}: {message}{when}", where=where, mend=mend, traceback=text)


def _text(error: BaseException) -> str:
    try:
        return str(error)
    except BaseException as another:  # code of the strategy, too
        return f"its text cannot be made ({type(another).__name__})"


def exit_of_strategy(error: BaseException, when: str = "") -> StrategyError:
    """Return an ending that came out of a run, such as SystemExit, as a failure of its strategy: nothing else ends the
    program."""
    frames = [frame.filename for frame in traceback.extract_tb(error.__traceback__)]
    package, library = str(Path(__file__).parents[1]), sysconfig.get_paths()["stdlib"]
    own = [name for name in frames if not name.startswith((package, library, "<frozen"))]
    return as_strategy_error(error, Path((own or frames or ["?"])[-1]), when)


def relative_path(path: Path) -> str:
    """Return `path` as a person would type it: relative to the current folder where it lies below."""
    try:
        return str(path.resolve().relative_to(Path.cwd()))
    except ValueError:
        return str(path)
