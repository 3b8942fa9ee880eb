"""Scripts beside the package are run by hand: a name of it that they use and that is gone would be noticed late."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[1]
SCRIPTS = [ROOT / "compile_ahead.py", *sorted((ROOT / "benchmarks").glob("*.py")), *(ROOT / "docs").rglob("*.py")]


def gone(tree: ast.AST, beside: set[str]) -> Iterator[str]:
    """Names taken from modules of the package, or from scripts `beside`, that these do not have."""
    modules: dict[str, ModuleType] = {}
    for node in ast.walk(tree):
        if not isinstance(node, ast.ImportFrom) or node.module is None:
            continue
        if node.module.partition(".")[0] == "simulator":
            found = import_module(node.module)
        elif node.module in beside:
            found = ModuleType(node.module)
            content = ast.parse((ROOT / "benchmarks" / f"{node.module}.py").read_text(encoding="utf-8"))
            vars(found).update(dict.fromkeys(defined(content)))
        else:
            continue
        for name in (alias.name for alias in node.names):
            try:
                part = getattr(found, name) if hasattr(found, name) else import_module(f"{node.module}.{name}")
            except ImportError:
                yield f"{node.module}.{name}"
                continue
            if isinstance(part, ModuleType):
                modules[name] = part
    uses = [n for n in ast.walk(tree) if isinstance(n, ast.Attribute) and isinstance(n.value, ast.Name)]
    for name, attribute in ((ast.unparse(use.value), use.attr) for use in uses):
        if name in modules and not hasattr(modules[name], attribute):
            yield f"{name}.{attribute}"


def defined(tree: ast.Module) -> Iterator[str]:
    """Names at the top of a module, imported ones too."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            yield node.name
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id
        elif isinstance(node, ast.alias):
            yield node.asname or node.name


@pytest.mark.medium
@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.name)
def test_scripts_use_names_of_the_package_that_are_there(path: Path) -> None:
    beside = {script.stem for script in SCRIPTS}
    assert list(gone(ast.parse(path.read_text(encoding="utf-8")), beside)) == []


def test_the_search_finds_names_that_are_gone() -> None:
    text = (
        "from simulator import compiled, gone\nfrom simulator.errors import SimError, Lost\ncompiled.entry\ncompiled.x"
    )
    assert list(gone(ast.parse(text), set())) == ["simulator.gone", "simulator.errors.Lost", "compiled.x"]
