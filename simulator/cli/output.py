"""Results on stdout: one JSON object, or what a person reads."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from simulator.printing import say

if TYPE_CHECKING:
    from rich.console import Console

SECONDS_TO_OPEN = 3.0
"""Seconds a browser is waited for, so that it is there when the command ends; a slow one opens later."""


def print_result(facts: Any, as_json: bool, show: Callable[[Console], object], paged: bool = False) -> None:
    """Print `facts` as one line of JSON, or let `show` write them to the terminal, page by page where that is asked."""
    if as_json:
        # ASCII: half a surrogate pair, which models do send, cannot be printed.
        say(json.dumps(facts, default=str))
        return
    from simulator.report.renderers.console import Console, show_paged

    if paged:
        show_paged(Console(), show)
    else:
        show(Console())


def open_page(page: Path) -> None:
    """Open a page in the browser; does nothing in CI (``CI`` is set) and where there is neither display nor BROWSER."""
    shown = sys.platform in ("darwin", "win32") or any(map(os.environ.get, ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER")))
    if not shown or os.environ.get("CI", "").lower() not in ("", "0", "false"):
        return
    # In a process of its own: browsers write to stdout, and some do not return before they are closed.
    command = [sys.executable, "-I", "-m", "webbrowser", page.absolute().as_uri()]
    quiet = subprocess.DEVNULL
    with suppress(OSError, subprocess.TimeoutExpired):
        child = subprocess.Popen(command, stdin=quiet, stdout=quiet, stderr=quiet, start_new_session=True)
        child.wait(SECONDS_TO_OPEN)
