"""docs/tour.md is followed: its functions exist, its commands run, its output is what they print."""

from __future__ import annotations

import ast
import re
import shlex
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

import simulator
from simulator.workspace import make_workspace

Sim = Callable[..., "subprocess.CompletedProcess[str]"]

ROOT = Path(simulator.__file__).parent.parent
PAGE = ROOT / "docs" / "tour.md"

if not PAGE.exists():
    pytest.skip("needs a checkout to read", allow_module_level=True)

STOPS = re.split(r"^## (?=\d+\. )", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]
BLOCKS = re.findall(r"^```(console|text)\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


def defined_in(path: Path) -> set[str]:
    """Functions, classes and methods of a file, as ``Council.opine``."""
    found: set[str] = set()
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            found.add(node.name)
        if isinstance(node, ast.ClassDef):
            methods = [part for part in node.body if isinstance(part, ast.FunctionDef | ast.AsyncFunctionDef)]
            found |= {f"{node.name}.{method.name}" for method in methods}
    return found


def test_there_are_ten_stops() -> None:
    assert [int(stop.partition(".")[0]) for stop in STOPS] == list(range(1, 11))


@pytest.mark.parametrize("stop", STOPS, ids=lambda stop: stop.partition(":")[0])
def test_each_stop_names_a_function_and_what_comes_in_and_goes_out(stop: str) -> None:
    named = re.findall(r"`(simulator/[\w/]+\.py)`: `([\w.]+)`", stop)
    assert named
    assert f"`{named[0][0]}`: `{named[0][1]}`" in stop.splitlines()[0]
    assert [f"{file}: {name}" for file, name in named if name not in defined_in(ROOT / file)] == []
    assert "*In:*" in stop
    assert "*Out:*" in stop


def test_commands_of_the_tour_print_what_it_shows(tmp_path: Path, sim: Sim) -> None:
    make_workspace(tmp_path / "lab", git=False)
    printed = ""
    for kind, block in BLOCKS:
        if kind == "console":
            for line in block.splitlines():
                done = sim(*shlex.split(line)[1:], cwd=tmp_path / "lab", env={"COLUMNS": "100"})
                assert done.returncode == 0, done.stderr
                printed += done.stdout
        else:
            words = " ".join(printed.split())
            assert [line for line in block.splitlines() if " ".join(line.split()) not in words] == []
