"""Results on stdout: one JSON object, or what a person reads."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from simulator.printing import say

if TYPE_CHECKING:
    from rich.console import Console


def print_result(facts: Any, as_json: bool, show: Callable[[Console], object]) -> None:
    """Print `facts` as one line of JSON, or let `show` write them to the terminal."""
    if as_json:
        # ASCII: half a surrogate pair, which models do send, cannot be printed.
        say(json.dumps(facts, default=str))
        return
    from simulator.report.renderers.console import Console

    show(Console())
