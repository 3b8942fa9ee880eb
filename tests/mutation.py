"""Do the tests of a room notice when its code is wrong? Not a test itself; a tool to run now and then.

    python tests/mutation.py stats --mutants 150 --seed 0  ─►  survivors, as file:line and change

copy of the checkout ─► its tests, quickest first ─► for each of a seeded sample of small changes to the room: do they
fail? Compiled code runs as plain Python (NUMBA_DISABLE_JIT), so that a change does not cost a compilation. Tests that
take longer than `--longest` seconds that way are left out.
"""

from __future__ import annotations

import argparse
import ast
import copy
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
ROOMS = {
    "trading": (
        "simulator/trading",
        ["tests/trading", "tests/replay/test_hand_computed.py", "tests/replay/test_books.py"],
    ),
    "kernel": ("simulator/replay/kernel", ["tests/replay"]),
    "stats": ("simulator/stats", ["tests/stats"]),
}
SWAPS: dict[type[ast.AST], type[ast.AST]] = {
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq,
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult, ast.And: ast.Or, ast.Or: ast.And,
    ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.In: ast.NotIn, ast.NotIn: ast.In,
}  # fmt: skip
NAMES = {"min": "max", "max": "min", "any": "all", "all": "any", "minimum": "maximum", "maximum": "minimum"}


@dataclass(frozen=True)
class Mutant:
    file: str
    line: int
    before: str
    after: str
    source: str


def mutants(path: Path) -> Iterator[Mutant]:
    """Every small change to the functions of a file, each as the source of the whole file."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for function in (node for node in tree.body if isinstance(node, ast.FunctionDef | ast.ClassDef)):
        decorators = [
            inner
            for one in ast.walk(function)
            for outer in getattr(one, "decorator_list", ())
            for inner in ast.walk(outer)
        ]
        for node in (node for node in ast.walk(function) if node not in decorators):
            for change in changes(node):
                before, kept = ast.unparse(node), copy.copy(node.__dict__)
                change()
                after = ast.unparse(node)
                if before != after:
                    yield Mutant(str(path), getattr(node, "lineno", 0), before, after, ast.unparse(tree))
                node.__dict__.clear()
                node.__dict__.update(kept)


def changes(node: ast.AST) -> Iterator[Callable[[], None]]:
    """Changes of one node: operators, conditions, numbers, signs, extremes."""
    match node:
        case ast.Compare(ops=[operator, *others]) if type(operator) in SWAPS:
            yield lambda: setattr(node, "ops", [SWAPS[type(operator)](), *others])
        case ast.BinOp(op=operator) | ast.AugAssign(op=operator) if type(operator) in SWAPS:
            yield lambda: setattr(node, "op", SWAPS[type(operator)]())
        case ast.BoolOp(op=operator):
            yield lambda: setattr(node, "op", SWAPS[type(operator)]())
        case ast.Constant(value=bool(value)):
            yield lambda: setattr(node, "value", not value)
        case ast.Constant(value=int(value) | float(value)):
            yield lambda: setattr(node, "value", value + 1)
        case ast.If(test=test) | ast.IfExp(test=test) | ast.While(test=test):
            yield lambda: setattr(node, "test", ast.UnaryOp(ast.Not(), test))
        case ast.UnaryOp(op=ast.USub()):
            yield lambda: setattr(node, "op", ast.UAdd())
        case ast.Name(id=name) if name in NAMES:
            yield lambda: setattr(node, "id", NAMES[name])
        case ast.Attribute(attr=name) if name in NAMES:
            yield lambda: setattr(node, "attr", NAMES[name])


class Durations:
    """A pytest plugin: seconds of each test function, without end where it failed."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = defaultdict(float)

    def pytest_runtest_logreport(self, report: object) -> None:
        name = getattr(report, "nodeid", "").partition("[")[0]
        self.seconds[name] += getattr(report, "duration", 0.0) if not getattr(report, "failed", False) else 1e9


def in_child(work: Callable[[], int], seconds: float) -> int | None:
    """Exit code of `work` in a fork of this process; None if it took longer."""
    child = os.fork()
    if not child:
        quiet = os.open(os.devnull, os.O_WRONLY)
        os.dup2(quiet, 1)
        os.dup2(quiet, 2)
        os.setpgid(0, 0)
        code = 3
        try:
            code = work()
        finally:
            os._exit(code)
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.05)
    os.killpg(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return None


def run_tests(folder: Path, tests: list[str], plugin: object = None) -> int:
    import pytest

    os.chdir(folder)
    words = ["-n", "0", "-p", "no:cacheprovider", "-W", "ignore::pytest.PytestAssertRewriteWarning"]
    return int(pytest.main([*words, *([] if plugin else ["-x"]), *tests], plugins=[plugin] if plugin else []))


def quickest_first(folder: Path, tests: list[str], longest: float) -> list[str]:
    """Test functions that pass within `longest` seconds, quickest first."""
    found = folder / "durations.json"

    def measure() -> int:
        plugin = Durations()
        run_tests(folder, tests, plugin)
        found.write_text(json.dumps(plugin.seconds))
        return 0

    in_child(measure, 3600)
    seconds = json.loads(found.read_text())
    return sorted((name for name in seconds if seconds[name] <= longest), key=seconds.__getitem__)


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("room", choices=ROOMS)
    options.add_argument("--mutants", type=int, default=150)
    options.add_argument("--tests", nargs="+", help="other files than the room's")
    options.add_argument("--seed", type=int, default=0)
    options.add_argument("--longest", type=float, default=5.0, help="seconds a test may take (default 5)")
    given = options.parse_args()
    os.environ["NUMBA_DISABLE_JIT"] = "1"
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "copy"
        shutil.copytree(ROOT, folder, ignore=shutil.ignore_patterns(".git", ".venv", "reports", "*.nb[ic]"))
        sys.path.insert(0, str(folder))
        os.environ["PYTHONPATH"] = str(folder)
        sys.dont_write_bytecode = False
        # What takes long to import and never changes is imported once, before the forks.
        for module in (
            "backtrader",
            "hypothesis",
            "numba",
            "pandas",
            "pydantic",
            "pytest",
            "scipy.stats",
            "sqlalchemy",
        ):
            __import__(module)
        room, paths = ROOMS[given.room]
        tests = quickest_first(folder, given.tests or paths, given.longest)
        print(f"{len(tests)} test functions", flush=True)
        every = [mutant for path in sorted((folder / room).rglob("*.py")) for mutant in mutants(path)]
        chosen = random.Random(given.seed).sample(every, min(given.mutants, len(every)))
        sys.dont_write_bytecode = True
        survived = 0
        for number, mutant in enumerate(chosen, 1):
            path = Path(mutant.file)
            kept = path.read_bytes()
            path.write_text(mutant.source)
            code = in_child(lambda: run_tests(folder, tests), 600)
            path.write_bytes(kept)
            if code == 0:
                survived += 1
                where = f"{path.relative_to(folder)}:{mutant.line}"
                print(f"{where}: {mutant.before}  ─►  {mutant.after}", flush=True)
            if number % 10 == 0:
                print(f"  {number} of {len(chosen)} mutants, {survived} survived", flush=True)
        print(f"{given.room}: {len(chosen)} of {len(every)} mutants, {survived} survived")


if __name__ == "__main__":
    main()
