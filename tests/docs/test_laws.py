"""Laws of ARCHITECTURE.md that are read off the code itself."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import simulator

PACKAGE = Path(simulator.__file__).parent
DECISION_CODE = ("council", "rules", "trading", "replay")
CLOCKS = {"now", "utcnow", "today", "time", "time_ns", "monotonic", "monotonic_ns", "perf_counter", "perf_counter_ns"}


def calls(room: str) -> Iterator[tuple[str, ast.Call]]:
    for path in sorted((PACKAGE / room).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call):
                yield f"{path.relative_to(PACKAGE)}:{node.lineno}", node


@pytest.mark.parametrize("room", DECISION_CODE)
def test_decision_code_reads_no_clock(room: str) -> None:
    read = [
        where
        for where, call in calls(room)
        if isinstance(call.func, ast.Attribute)
        and call.func.attr in CLOCKS
        and isinstance(call.func.value, ast.Name)
        and call.func.value.id in {"datetime", "date", "dt", "time"}
    ]
    assert read == []


def test_every_command_has_a_file_of_its_own() -> None:
    from simulator.cli import COMMANDS

    assert {name: entry.where for name, entry in COMMANDS.items()} == {
        name: f"simulator.cli.{name}:{name}" for name in COMMANDS
    }
