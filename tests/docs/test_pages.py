"""What ARCHITECTURE.md and the pages of docs/ say about files, functions, tests and rooms is so."""

from __future__ import annotations

import ast
import re
import tomllib
from functools import cache
from pathlib import Path

import pytest

import simulator

ROOT = Path(simulator.__file__).parent.parent
PAGES = sorted(
    page.relative_to(ROOT).as_posix()
    for page in (*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("docs/decisions/*.md"))
    if page.name != "CHANGELOG.md"
)

if not (ROOT / "ARCHITECTURE.md").exists():
    pytest.skip("needs a checkout to read", allow_module_level=True)


def read(page: str) -> str:
    return (ROOT / page).read_text(encoding="utf-8")


@cache
def names_in(path: Path) -> frozenset[str]:
    """Functions, classes, methods and constants of a file: ``run``, ``Prices``, ``Prices.estimate``."""
    found: set[str] = set()
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            found.add(node.name)
        if isinstance(node, ast.ClassDef):
            parts = [part for part in node.body if isinstance(part, ast.FunctionDef | ast.AsyncFunctionDef)]
            found |= {f"{node.name}.{part.name}" for part in parts}
        if isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            found |= {target.id for target in targets if isinstance(target, ast.Name)}
    return frozenset(found)


def section(page: str, heading: str) -> str:
    text = read(page).partition(f"\n## {heading}\n")[2]
    assert text, f"{page} has no {heading}"
    return re.split(r"^## ", text, flags=re.MULTILINE)[0]


def table(page: str, heading: str) -> list[list[str]]:
    """Cells of the table under a heading, its head left out."""
    lines = [line for line in section(page, heading).splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


@pytest.mark.parametrize("row", table("ARCHITECTURE.md", "Where is …"), ids=lambda row: row[0])
def test_what_is_looked_for_stands_in_the_file_that_is_named(row: list[str]) -> None:
    files, names = (re.findall(r"`([^`]+)`", cell) for cell in row[1:])
    assert files
    assert [file for file in files if not (ROOT / file).is_file()] == []
    if files[0].endswith(".py"):
        assert names
        assert set(names) <= names_in(ROOT / files[0])


def test_fifteen_things_are_looked_for() -> None:
    assert len(table("ARCHITECTURE.md", "Where is …")) == 15


LAWS = [part for part in re.split(r"^- ", section("ARCHITECTURE.md", "Laws"), flags=re.MULTILINE) if "**" in part]


@pytest.mark.parametrize("law", LAWS, ids=lambda law: re.findall(r"\*\*(.+?)\*\*", law)[0])
def test_each_law_is_held_by_a_test_there_is(law: str) -> None:
    tests = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", law)
    assert tests
    assert [f"{file}::{name}" for file, name in tests if name not in names_in(ROOT / file)] == []


STOPS = re.split(r"^## (?=\d+\. )", read("docs/tour.md"), flags=re.MULTILINE)[1:]


def test_the_tour_has_ten_stops() -> None:
    assert [int(stop.partition(".")[0]) for stop in STOPS] == list(range(1, 11))


@pytest.mark.parametrize("stop", STOPS, ids=lambda stop: stop.partition(":")[0])
def test_each_stop_names_a_function_and_what_comes_in_and_goes_out(stop: str) -> None:
    """Its commands are typed in tests/packaging/test_readme.py."""
    named = re.findall(r"`(simulator/[\w/]+\.py)`: `([\w.]+)`", stop)
    assert named
    assert f"`{named[0][0]}`: `{named[0][1]}`" in stop.splitlines()[0]
    assert [f"{file}: {name}" for file, name in named if name not in names_in(ROOT / file)] == []
    assert "*In:*" in stop
    assert "*Out:*" in stop


def test_the_rooms_of_the_page_are_those_the_linter_checks() -> None:
    with (ROOT / "pyproject.toml").open("rb") as file:
        contracts = tomllib.load(file)["tool"]["importlinter"]["contracts"]
    layers = next(contract["layers"] for contract in contracts if contract["type"] == "layers")
    floors = {name: -depth for depth, layer in enumerate(layers) for name in re.findall(r"simulator\.(\w+)", layer)}
    planned = set(re.findall(r"\(simulator\.(\w+)\)", " ".join(layers)))
    shown: dict[str, int] = {}
    for floor, room, *_ in table("ARCHITECTURE.md", "Rooms"):
        shown |= dict.fromkeys(re.findall(r"`(\w+)`", room), int(floor))
        for name in re.findall(r"`(\w+)`", room):
            assert (name in planned) == ("planned" in room), name
    assert set(shown) == set(floors)
    by_page = sorted(shown, key=lambda name: (shown[name], floors[name]))
    assert [floors[name] for name in by_page] == sorted(floors.values())


def test_rooms_that_are_planned_hold_no_code_and_all_others_do() -> None:
    for _, room, *_ in table("ARCHITECTURE.md", "Rooms"):
        for name in re.findall(r"`(\w+)`", room):
            there = (ROOT / "simulator" / name).is_dir() or (ROOT / "simulator" / f"{name}.py").is_file()
            assert there != ("planned" in room), name


@pytest.mark.parametrize("page", PAGES)
def test_files_and_modules_a_page_names_exist(page: str) -> None:
    text = read(page)
    paths = re.findall(
        r"(?<![\w/.])((?:simulator|tests|benchmarks|config|docs)/[\w/.-]*\w(?:\.\w+)?)(?=[`\s),;:])", text
    )
    links = [link for link in re.findall(r"\]\(([^)#:]+)\)", text) if not link.startswith("/")]
    modules = re.findall(r"(?<![\w/-])python -m (simulator[\w.]*)", text)
    made = {"docs/backtest_results.md", "docs/forward_test_results.md"}
    assert [path for path in paths if path not in made and not (ROOT / path).exists()] == []
    assert [link for link in links if not (ROOT / page).parent.joinpath(link).exists()] == []
    for module in modules:
        place = ROOT / module.replace(".", "/")
        assert place.is_dir() or place.with_suffix(".py").is_file(), module
