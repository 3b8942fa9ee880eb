"""Source of a strategy that was written in Python rather than a file: its text, and every value it reads from outside.

function or class ─► its source, defaults, what its closure and its globals give it ─► text ─► digest in the run's id
                                          └─ functions and classes of the user's: the same again

What a library holds counts by name and version. What has no text that says all of it is refused by name: a strategy
whose outcome depends on something nobody recorded cannot be run again.
"""

from __future__ import annotations

import ast
import builtins
import dis
import hashlib
import inspect
import linecache
import sys
import sysconfig
import textwrap
from collections.abc import Callable, Iterator, Mapping
from datetime import date, time, timedelta
from decimal import Decimal
from fractions import Fraction
from functools import partial
from importlib import metadata
from pathlib import Path, PurePath
from types import BuiltinFunctionType, CodeType, FunctionType, ModuleType
from typing import Any

import numpy as np

from simulator.errors import UsageError

PLAIN = (int, float, complex, bool, str, bytes, type(None), date, time, timedelta, Decimal, Fraction, PurePath, range)
LONGEST = 200
"""Characters up to which a value is written out; longer ones, arrays and tables stand as their digest."""


class _Reader:
    """Collects the text of everything a strategy is made of, each part once."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.parts: dict[str, str] = {}
        self.seen: set[int] = set()

    def add(self, part: Any) -> None:
        if id(part) in self.seen:
            return
        self.seen.add(id(part))
        self.parts[f"{part.__qualname__}"] = _text_of(part)
        if isinstance(part, type):
            for base in part.__bases__:
                if not _is_library(base):
                    self.add(base)
            for name, member in vars(part).items():
                for function in _functions_of(member):
                    self._read(function, f"{part.__qualname__}.{name}")
                if not name.startswith(("__", "_abc_")) and not list(_functions_of(member)):
                    self._value(f"{part.__qualname__}.{name}", member)
        else:
            self._read(part, part.__qualname__)

    def _read(self, function: FunctionType, owner: str) -> None:
        defaults = {f"default {n}": value for n, value in enumerate(function.__defaults__ or ())}
        for name, value in {**defaults, **(function.__kwdefaults__ or {}), **_outside(function)}.items():
            self._value(name, value, owner)

    def _value(self, name: str, value: Any, owner: str = "") -> None:
        if isinstance(value, ModuleType):
            self.parts[name] = _module(value)
        elif isinstance(value, partial):
            self._value(f"{name}.func", value.func, owner)
            self._value(f"{name}.args", (value.args, value.keywords), owner)
        elif _is_code(value) and _is_library(value):
            self.parts[name] = f"{value.__module__}.{value.__qualname__} of {_version(value.__module__)}"
        elif isinstance(value, FunctionType | type):
            self.add(value)
        else:
            written = _write(value)
            if written is None:
                what = f"a value of type {type(value).__name__}"
                found = f'{self.name} reads "{name}", {what}, whose content cannot be hashed'
                raise UsageError(found, where=owner or None, mend="pass it as a parameter, or make it of plain values")
            self.parts[name] = written


def source_of(strategy: Callable[..., Any] | type) -> str:
    """Return the text of `strategy` and of everything of the user's that it reads, decided by their content alone.

    Raises UsageError for a value that has no such text.
    """
    reader = _Reader(strategy.__qualname__)
    reader.add(strategy)
    first, *others = reader.parts.items()
    blocks = [first[1], *(f"# {name}\n{text}" for name, text in sorted(others))]
    return "\n\n".join(block.rstrip() for block in blocks) + "\n"


def _outside(function: FunctionType) -> dict[str, Any]:
    """Return what a function reads of its closure and its globals, also within the functions it holds."""
    found: dict[str, Any] = {}
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
        try:
            if name != "__class__":
                found[name] = cell.cell_contents
        except ValueError:  # not bound yet
            continue
    lines = (line for code in _codes(function.__code__) for line in dis.get_instructions(code))
    names = [line.argval for line in lines if line.opname in ("LOAD_GLOBAL", "LOAD_NAME")]
    there = function.__globals__
    found |= {name: there[name] for name in dict.fromkeys(names) if name in there and name not in found}
    return {name: value for name, value in found.items() if not (name in vars(builtins) and name not in there)}


def _codes(code: CodeType) -> Iterator[CodeType]:
    yield code
    for inner in code.co_consts:
        if isinstance(inner, CodeType):
            yield from _codes(inner)


def _functions_of(member: Any) -> Iterator[FunctionType]:
    """Yield the functions behind a member of a class: methods of every kind, and those of a property."""
    parts = (member.fget, member.fset) if isinstance(member, property) else (getattr(member, "__func__", member),)
    bare = (inspect.unwrap(part) if callable(part) else part for part in parts)
    yield from (one for one in bare if isinstance(one, FunctionType))


def _text_of(part: Any) -> str:
    """Return the source of a function or class; without any, its bytecode, which tells two versions apart."""
    try:
        return textwrap.dedent(_class_text(part) if isinstance(part, type) else inspect.getsource(part))
    except (OSError, TypeError, SyntaxError):
        codes = [code for one in _all_functions(part) for code in _codes(one.__code__)]
        return repr(
            [
                (c.co_name, c.co_code.hex(), c.co_names, [k for k in c.co_consts if not isinstance(k, CodeType)])
                for c in codes
            ]
        )


def _all_functions(part: Any) -> list[FunctionType]:
    """Return a function alone, or those of a class."""
    if not isinstance(part, type):
        return [part]
    return [one for member in vars(part).values() for one in _functions_of(member)]


def _class_text(kind: type) -> str:
    """Return the source of a class; in a notebook, where `inspect` finds functions only, one of them leads to it."""
    try:
        return inspect.getsource(kind)
    except (OSError, TypeError):
        codes = [one.__code__ for one in _all_functions(kind)]
    for code in codes:
        lines = linecache.getlines(code.co_filename)
        for node in ast.walk(ast.parse("".join(lines))):
            if (
                isinstance(node, ast.ClassDef)
                and node.name == kind.__name__
                and node.lineno <= code.co_firstlineno <= (node.end_lineno or 0)
            ):
                return "".join(lines[node.lineno - 1 : node.end_lineno])
    raise OSError(f"no source of {kind.__qualname__}")


def _is_code(value: Any) -> bool:
    return isinstance(value, FunctionType | BuiltinFunctionType | type | np.ufunc) or type(value).__name__ in (
        "builtin_function_or_method",
        "CPUDispatcher",
        "_ArrayFunctionDispatcher",
    )


def _is_library(value: Any) -> bool:
    """True for what comes with Python or an installed package, this one included."""
    name = getattr(value, "__module__", None)
    if isinstance(value, np.ufunc):
        return True
    module = sys.modules.get(str(name))
    return module is not None and name != "__main__" and _is_installed(module)


def _is_installed(module: ModuleType) -> bool:
    root, place = module.__name__.partition(".")[0], getattr(module, "__file__", None)
    if root in sys.stdlib_module_names or root == __name__.partition(".")[0] or place is None:
        return module.__name__ != "__main__"
    folders = {sysconfig.get_path(kind) for kind in ("purelib", "platlib")}
    return any(Path(place).is_relative_to(folder) for folder in folders if folder)


def _module(module: ModuleType) -> str:
    if _is_installed(module):
        return f"module {module.__name__} {_version(module.__name__)}"
    content = Path(str(module.__file__)).read_bytes()
    return f"module {module.__name__} sha256:{hashlib.sha256(content).hexdigest()}"


def _version(module: str | None) -> str:
    root = str(module).partition(".")[0]
    try:
        return f"{root} {metadata.version(root)}"
    except metadata.PackageNotFoundError:
        return root


def _write(value: Any) -> str | None:
    """Return a value as text that says all of it, a long one as its digest; None where there is no such text."""
    if isinstance(value, PLAIN) or value is Ellipsis:
        return _short(repr(value))
    if isinstance(value, np.generic):
        return _short(repr(value))
    if isinstance(value, list | tuple):
        return _join(type(value).__name__, [_write(one) for one in value])
    if isinstance(value, set | frozenset):
        parts = [_write(one) for one in value]
        return None if None in parts else _join(type(value).__name__, sorted(str(part) for part in parts))
    if isinstance(value, Mapping):
        return _join(type(value).__name__, [_write(one) for pair in value.items() for one in pair])
    if isinstance(value, np.ndarray) and value.dtype != object:
        digest = hashlib.sha256(np.ascontiguousarray(value).tobytes()).hexdigest()
        return f"array {value.dtype} {value.shape} sha256:{digest}"
    if type(value).__module__.startswith("pandas"):
        return _write_pandas(value)
    return None


def _write_pandas(value: Any) -> str | None:
    import pandas as pd

    if isinstance(value, pd.Timestamp | pd.Timedelta | pd.Period) or value is pd.NaT:
        return repr(value)
    if isinstance(value, pd.Series | pd.DataFrame | pd.Index):
        rows = pd.util.hash_pandas_object(value).to_numpy().tobytes()
        names = str(list(value.columns)) if isinstance(value, pd.DataFrame) else str(value.name)
        return f"{type(value).__name__} {len(value)} {names} sha256:{hashlib.sha256(rows + names.encode()).hexdigest()}"
    return None


def _join(kind: str, parts: list[str | None] | list[str]) -> str | None:
    return None if None in parts else _short(f"{kind}({', '.join(map(str, parts))})")


def _short(text: str) -> str:
    return (
        text if len(text) <= LONGEST else f"sha256:{hashlib.sha256(text.encode()).hexdigest()} ({len(text)} characters)"
    )
