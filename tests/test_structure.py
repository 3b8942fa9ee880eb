"""Rules of the source, counted: sizes, docstrings, typed evidence, capabilities of strategies.

Each count may only fall: where the source has become better, its number here is lowered.
"""

from __future__ import annotations

import ast
import re
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

import simulator
import simulator.trading.strategy
from simulator import trading

PACKAGE = Path(simulator.__file__).parent
ROOMS_OF_EVIDENCE = ("runs", "evidence", "analysis", "contamination", "report", "council")

LONGEST_FUNCTION, MOST_ARGUMENTS, LONGEST_MODULE = 60, 8, 600
SAME_AS_COMMAND = ("run",)
"""`simulator.run` takes the options of `sim run` by the same names: grouped, they would have to be learned twice."""
NO_VERB = ("What", "Whether", "Who", "Whom", "Whose", "How", "Until", "Which", "Why", "Where", "When")

UNTYPED = 31
NO_VERBS = 0
SMALL_HELPERS = 54
"""Private functions of at most four lines that are used once."""
PARTICIPLES = 30
"""Functions, properties apart, of one word that says what was done to something: `load` it is, and not `loaded`."""
IRREGULAR = {"said", "told", "known", "held", "made", "kept", "written", "shown", "given", "taken", "found", "seen",
             "left", "paid", "spent", "meant", "drawn", "sold", "bought"}  # fmt: skip
VERBS = {"embed", "exceed", "feed", "heed", "need", "proceed", "seed", "speed"}

Function = ast.FunctionDef | ast.AsyncFunctionDef


@cache
def source(path: Path) -> tuple[str, ast.Module]:
    text = path.read_text(encoding="utf-8")
    return text, ast.parse(text)


def modules(*rooms: str) -> Iterator[Path]:
    for room in rooms or (".",):
        yield from sorted((PACKAGE / room).rglob("*.py"))


def functions(path: Path) -> Iterator[Function]:
    return (node for node in ast.walk(source(path)[1]) if isinstance(node, Function))


def place(path: Path, line: int = 0) -> str:
    name = path.relative_to(PACKAGE.parent).as_posix()
    return f"{name}:{line}" if line else name


def matches(pattern: str, paths: Iterator[Path]) -> list[str]:
    found = re.compile(pattern)
    return [
        place(path, number)
        for path in paths
        for number, line in enumerate(source(path)[0].splitlines(), 1)
        for _ in found.finditer(line)
    ]


def test_capabilities_of_strategies_are_protocols_not_guesses() -> None:
    """They stand in trading/strategy.py: no getattr and no cast makes up for a missing one."""
    names = {name for name, one in vars(trading.strategy).items() if getattr(one, "_is_protocol", False)} | {"Council"}
    deciders = r"(?:\w+\.)*(strategy|council|deciding|decider|member|committee)\b"
    guesses = rf"(getattr|hasattr)\({deciders}|\bcast\([^,)]*\b({'|'.join(sorted(names))})\b"
    assert {"Strategy", "Checkpointed", "Consults", "Committee", "Asks", "Replicable", "Scheduled"} <= names
    assert matches(guesses, modules("runs", "replay", "analysis", "contamination")) == []


def test_evidence_is_typed() -> None:
    untyped = r"(dict|Mapping)\[str, Any\]"
    assert len(matches(untyped, modules(*ROOMS_OF_EVIDENCE))) <= UNTYPED
    assert len(matches(untyped, modules("report/sections"))) == 0


def test_no_function_is_longer_than_a_screen() -> None:
    lengths = {
        place(path, one.lineno): (one.end_lineno or 0) - one.lineno + 1 for path in modules() for one in functions(path)
    }
    assert {where: lines for where, lines in lengths.items() if lines > LONGEST_FUNCTION} == {}


def test_no_function_takes_more_than_eight_arguments() -> None:
    """`self` apart."""
    found = {}
    for path in modules():
        for one in functions(path):
            given = [*one.args.posonlyargs, *one.args.args, *one.args.kwonlyargs]
            count = sum(argument.arg not in ("self", "cls") for argument in given)
            if count > MOST_ARGUMENTS and one.name not in SAME_AS_COMMAND:
                found[place(path, one.lineno)] = count
    assert found == {}


def test_no_module_is_longer_than_six_hundred_lines() -> None:
    lengths = {place(path): len(source(path)[0].splitlines()) for path in modules()}
    assert {name: lines for name, lines in lengths.items() if lines > LONGEST_MODULE} == {}


def test_docstrings_begin_with_a_verb_or_a_noun_of_the_field() -> None:
    found = []
    for path in modules():
        for node in ast.walk(source(path)[1]):
            if isinstance(node, Function | ast.ClassDef | ast.Module):
                words = (ast.get_docstring(node) or "").split()
                if words and words[0].strip(",:") in NO_VERB:
                    found.append(place(path, getattr(node, "lineno", 1)))
    assert len(found) <= NO_VERBS, found


def test_functions_are_named_by_verbs() -> None:
    found = [
        f"{place(path, one.lineno)} {one.name}"
        for path in modules()
        for one in functions(path)
        if not any("property" in ast.unparse(decorator) for decorator in one.decorator_list)
        and (name := one.name.strip("_")) not in VERBS
        and "_" not in name
        and (name.endswith("ed") or name in IRREGULAR)
    ]
    assert len(found) <= PARTICIPLES, found


def small_helpers() -> list[str]:
    """Private functions of at most four lines, docstring included, that their module names only once more."""
    found = []
    for path in modules():
        text, _ = source(path)
        named = Counter(re.findall(r"\w+", text))
        for one in functions(path):
            lines = (one.end_lineno or 0) - one.lineno + 1
            if one.name.startswith("_") and not one.name.endswith("__") and lines <= 4 and not one.decorator_list:
                found += [place(path, one.lineno)] if named[one.name] == 2 else []
    return found


def test_few_small_helpers_are_used_once() -> None:
    found = small_helpers()
    assert len(found) <= SMALL_HELPERS, found


@pytest.mark.parametrize("room", ROOMS_OF_EVIDENCE)
def test_the_rooms_counted_here_exist(room: str) -> None:
    assert list(modules(room))
