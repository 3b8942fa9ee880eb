"""docs/desk.md draws the states from the table the desk goes by."""

from __future__ import annotations

import re
from collections import defaultdict
from pathlib import Path

import pytest

import simulator
from simulator.desk.workflow import TRANSITIONS

PAGE = Path(simulator.__file__).parent.parent / "docs" / "desk.md"


def draw_states() -> str:
    """Return the diagram in Mermaid: an edge for each pair of states, errors left out."""
    edges = defaultdict(list)
    for (before, event), after in TRANSITIONS.items():
        if event != "ERROR_OCCURRED":
            edges[before, after].append(event)
    lines = [f"    {before} --> {after}: {', '.join(events)}" for (before, after), events in edges.items()]
    return "\n".join(["```mermaid", "stateDiagram-v2", "    [*] --> IDLE", *lines, "```"])


@pytest.mark.skipif(not PAGE.exists(), reason="needs a checkout to read")
def test_the_diagram_is_that_of_the_table() -> None:
    drawn = re.search(r"TRANSITIONS -->\n(.*?)\n<!-- end -->", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert drawn is not None
    assert drawn[1] == draw_states(), f"put this there:\n{draw_states()}"
