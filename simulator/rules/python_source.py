"""Source of a strategy that was written in Python rather than a file: its text, and every value it reads from outside.

function or class ─► its source, defaults, what its closure and its globals give it ─► text ─► digest in the run's id
                                          └─ functions and classes of the user's: the same again

What a library holds counts by name and version. What has no text that says all of it is refused by name: a strategy
whose outcome depends on something nobody recorded cannot be run again.
"""

from __future__ import annotations

import ast
import dis
import hashlib
import importlib
import inspect
import linecache
import sys
import sysconfig
import textwrap
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import fields, is_dataclass
from datetime import date, time, timedelta
from decimal import Decimal
from enum import Enum
from fractions import Fraction
from functools import cached_property, lru_cache, partial
from importlib import metadata
from pathlib import Path, PurePath
from types import BuiltinFunctionType, CodeType, FunctionType, MappingProxyType, ModuleType
from typing import Any

import numpy as np

from simulator.errors import UsageError

PLAIN = (int, float, complex, bool, str, bytes, type(None), date, time, timedelta, Decimal, Fraction, PurePath, range)
UNSEEN = ("globals", "locals", "vars", "eval", "exec")
"""Functions by which code reads values that it does not name."""

DEEPEST = 50
"""Levels of lists within lists; one that holds itself has no end."""

LONGEST = 200
"""Characters up to which a value is written out; longer ones, arrays and tables stand as their digest."""


class _Reader:
    """Collects the text of everything a strategy is made of, in the order in which it is read, each part once."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.parts: list[tuple[str, str]] = []
        self.seen: dict[int, int] = {}
        self.kept: list[Any] = []
        self.met: list[type] = []
        self.whole_module = False

    def note(self, name: str, text: str) -> None:
        self.parts.append((name, text))

    def read(self, name: str, value: Any, lenient: bool = False) -> None:
        """Note what `name` stands for; what has no text is refused, or left out where `lenient`."""
        if id(value) in self.seen:
            self.note(name, f"as part {self.seen[id(value)]}")
        elif isinstance(value, ModuleType):
            self._module(name, value)
        elif isinstance(value, partial):
            self.read(f"{name}.func", value.func)
            self.read(f"{name}.args", [list(value.args), value.keywords])
        elif _is_code(value) and _is_library(value):
            self.note(name, f"{value.__module__}.{value.__qualname__} of {_version(value.__module__)}")
        elif isinstance(value, type):
            self._class(name, value)
        elif isinstance(value, FunctionType):
            self._function(name, value)
        elif hasattr(value, "cache_info") and hasattr(value, "__wrapped__"):
            self.read(name, value.__wrapped__)
        elif isinstance(value, Enum):
            self.read(f"{name}.__class__", type(value))
            self.note(name, value.name)
        elif is_dataclass(value):
            self.read(f"{name}.__class__", type(value))
            kept = {key for key, one in vars(type(value)).items() if isinstance(one, cached_property)}
            own = {key: one for key, one in getattr(value, "__dict__", {}).items() if key not in kept}
            self.read(name, {field.name: getattr(value, field.name) for field in fields(value)} | own, lenient)
        elif (written := _write(value, self.met)) is not None:
            self.note(name, written)
            while self.met:
                kind = self.met.pop()
                self.read(kind.__qualname__, kind)
        elif not lenient:
            what = f"a value of type {type(value).__name__}"
            found = f'{self.name} reads "{name}", {what}, whose content cannot be hashed'
            raise UsageError(found, mend="pass it as a parameter, or make it of plain values")

    def _remember(self, value: Any) -> None:
        self.seen[id(value)] = len(self.parts)
        self.kept.append(value)  # else another object may have its id

    def _function(self, name: str, function: FunctionType) -> None:
        self._remember(function)
        self.note(name, _text_of_function(function))
        arguments = function.__code__.co_varnames[: function.__code__.co_argcount]
        defaults = function.__defaults__ or ()
        values = dict(zip(arguments[len(arguments) - len(defaults) :], defaults, strict=True))
        own = {key: value for key, value in vars(function).items() if key != "__wrapped__"}
        if not self.whole_module:  # all that a module holds is read anyway
            _refuse_unseen(function)
        for key, value in {**values, **(function.__kwdefaults__ or {}), **_outside(function), **own}.items():
            self.read(key, value)

    def _class(self, name: str, kind: type) -> None:
        self._remember(kind)
        self.note(name, _text_of_class(kind))
        for base in kind.__bases__:
            self.read(base.__qualname__, base)
        if not _is_library(type(kind)):
            self.read(f"{kind.__qualname__}.__class__", type(kind))
        if issubclass(kind, Enum):
            self.read(f"{kind.__qualname__}.members", {key: one.value for key, one in kind.__members__.items()})
            return
        for key, member in vars(kind).items():
            # What a named tuple was given says nothing that its fields do not.
            made = (str(one.__globals__.get("__name__")) for one in _functions_of(member))
            if type(member).__name__ == "_tuplegetter" or any(name.startswith("namedtuple_") for name in made):
                continue
            functions = list(_functions_of(member))
            for function in functions:
                self.read(f"{kind.__qualname__}.{key}", function)
            if not functions and not key.startswith(("__", "_abc_")):
                self.read(f"{kind.__qualname__}.{key}", member, lenient=is_dataclass(kind))

    def _module(self, name: str, module: ModuleType) -> None:
        self._remember(module)
        if _is_installed(module):
            self.note(name, f"module {module.__name__} {_version(module.__name__)}")
            return
        content = Path(str(module.__file__)).read_bytes()
        self.note(name, f"module {module.__name__} sha256:{hashlib.sha256(content).hexdigest()}")
        before, self.whole_module = self.whole_module, True
        for key, value in sorted(vars(module).items()):  # as they are now: somebody may have set them since
            if not key.startswith("__"):
                self.read(f"{module.__name__}.{key}", value, lenient=True)
        self.whole_module = before


def source_of(passed: Callable[..., Any] | type) -> str:
    """Return the text of the strategy `passed` and of all of the user's that it reads, decided by content alone.

    Raises UsageError for a value that has no such text.
    """
    name = getattr(passed, "__qualname__", type(passed).__name__)
    reader = _Reader(name)
    reader.read(name, passed)
    (_, first), *others = reader.parts
    return "\n\n".join([first.rstrip(), *(f"# {key}\n{text.rstrip()}" for key, text in others)]) + "\n"


def _outside(function: FunctionType) -> dict[str, Any]:
    """Return what a function reads of its closure, its globals and what it imports, also within functions it holds."""
    found: dict[str, Any] = {}
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
        try:
            if name != "__class__":
                found[name] = cell.cell_contents
        except ValueError:  # not bound yet
            continue
    lines = [line for code in _codes(function.__code__) for line in dis.get_instructions(code)]
    there = function.__globals__
    for line in lines:
        name = line.argval
        if line.opname in ("LOAD_GLOBAL", "LOAD_NAME") and name in there:
            found.setdefault(name, there[name])
        elif line.opname == "IMPORT_NAME" and isinstance(name, str):
            with suppress(ImportError):
                found.setdefault(name, importlib.import_module(name))
    return found


def _refuse_unseen(function: FunctionType) -> None:
    names = {name for code in _codes(function.__code__) for name in code.co_names}
    if found := [name for name in UNSEEN if name in names and name not in function.__globals__]:
        why = f"{function.__qualname__} calls {found[0]}(), by which it reads values that it does not name"
        raise UsageError(why, mend="name what it reads")


def _codes(code: CodeType) -> Iterator[CodeType]:
    yield code
    for inner in code.co_consts:
        if isinstance(inner, CodeType):
            yield from _codes(inner)


def _functions_of(member: Any) -> Iterator[FunctionType]:
    """Yield the functions behind a member of a class: methods of every kind, and those of a property."""
    parts = (member.fget, member.fset) if isinstance(member, property) else (getattr(member, "__func__", member),)
    yield from (one for one in parts if isinstance(one, FunctionType))


def _text_of_function(function: FunctionType) -> str:
    """Return the source of a function itself, not of what it wraps; a lambda's with its place in the line."""
    code = function.__code__
    _refuse_changed(function)
    try:
        text = textwrap.dedent(inspect.getsource(code))
    except (OSError, TypeError, SyntaxError):
        return _bytecode([function])
    if code.co_name != "<lambda>":
        return text
    columns = [column for _, _, *place in code.co_positions() for column in place if column is not None]
    return f"{text.rstrip()}\n# columns {min(filter(None, columns))} to {max(columns)}" if any(columns) else text


def _refuse_changed(function: FunctionType) -> None:
    """Raise UsageError where the file of a function no longer holds the code that runs."""
    code = function.__code__
    # pytest has rewritten what asserts in its tests.
    if not Path(code.co_filename).is_file() or any(name.startswith("@py") for name in code.co_names):
        return
    linecache.checkcache(code.co_filename)
    text = "".join(linecache.getlines(code.co_filename))
    try:
        there = [one for one in _compile_codes(text, code.co_filename) if one.co_firstlineno == code.co_firstlineno]
    except SyntaxError:
        there = []
        if function.__module__ == "__main__":  # a cell with magics, written to a file by a debugger
            return
    if not any(_identify(one) == _identify(code) for one in there):
        found = f"the file of {function.__qualname__}, {code.co_filename}, has changed since it was imported"
        raise UsageError(found, mend="reload it: importlib.reload(module), or run the cell again")


@lru_cache(maxsize=32)
def _compile_codes(text: str, name: str) -> tuple[CodeType, ...]:
    return tuple(_codes(compile(text, name, "exec", dont_inherit=True)))


def _identify(code: CodeType) -> list[tuple[Any, ...]]:
    """Return all that code does, without where it stands."""
    found = []
    for one in _codes(code):
        plain = (value for value in one.co_consts if not isinstance(value, CodeType))
        constants = [sorted(map(repr, value)) if isinstance(value, frozenset) else repr(value) for value in plain]
        names = (one.co_name, one.co_names, one.co_varnames, one.co_freevars, one.co_cellvars)
        found.append((one.co_code, names, constants))
    return found


def _text_of_class(kind: type) -> str:
    try:
        return textwrap.dedent(_class_text(kind))
    except (OSError, TypeError, SyntaxError):
        return _bytecode(_all_functions(kind))


def _bytecode(functions: list[FunctionType]) -> str:
    """Return what tells two versions apart where there is no source: their instructions and constants."""
    codes = [code for one in functions for code in _codes(one.__code__)]
    plain = [[one for one in c.co_consts if not isinstance(one, CodeType)] for c in codes]
    return repr([(c.co_name, c.co_code.hex(), c.co_names, p) for c, p in zip(codes, plain, strict=True)])


def _all_functions(kind: type) -> list[FunctionType]:
    return [one for member in vars(kind).values() for one in _functions_of(member)]


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


def _version(module: str | None) -> str:
    root = str(module).partition(".")[0]
    try:
        return f"{root} {metadata.version(root)}"
    except metadata.PackageNotFoundError:
        return root


def _write(value: Any, met: list[type], depth: int = 0) -> str | None:
    """Return a value as text that says all of it, a long one as its digest; None where there is no such text.

    Classes of the user's whose values are in it are added to `met`.
    """
    if depth > DEEPEST:
        return None
    kind = type(value)
    if isinstance(value, (*PLAIN, list, tuple, set, frozenset)) and not _is_library(kind):
        met.append(kind)
        base: Any = next(one for one in kind.__mro__ if _is_library(one))
        own = _write(dict(getattr(value, "__dict__", {})), met, depth + 1)
        plain = _write(base(value), met, depth + 1) if base in (list, tuple, set, frozenset) else base.__repr__(value)
        return _join(kind.__qualname__, [plain, own])
    if isinstance(value, PLAIN) or value is Ellipsis or isinstance(value, np.generic):
        return _short(repr(value))
    if isinstance(value, list | tuple):
        return _join(kind.__name__, [_write(one, met, depth + 1) for one in value])
    if isinstance(value, set | frozenset):
        parts = [_write(one, met, depth + 1) for one in value]
        return None if None in parts else _join(kind.__name__, sorted(str(part) for part in parts))
    if kind in (dict, OrderedDict, Counter, MappingProxyType):
        return _join(kind.__name__, [_write(one, met, depth + 1) for pair in value.items() for one in pair])
    if kind is np.ndarray and not value.dtype.hasobject:
        digest = hashlib.sha256(np.ascontiguousarray(value).tobytes()).hexdigest()
        return f"array {value.dtype} {value.shape} sha256:{digest}"
    if kind.__module__.startswith("pandas"):
        return _write_pandas(value, met, depth)
    return None


def _write_pandas(value: Any, met: list[type], depth: int) -> str | None:
    """Return a table with its labels, types and notes (`attrs`) as text."""
    import pandas as pd

    if isinstance(value, pd.Timestamp | pd.Timedelta | pd.Period) or value is pd.NaT:
        return repr(value)
    if isinstance(value, pd.DataFrame):
        parts: list[Any] = [value.index, value.columns, *(value.iloc[:, n].array for n in range(value.shape[1]))]
    elif isinstance(value, pd.Series | pd.Index):
        parts = [value.index, value.array] if isinstance(value, pd.Series) else [value]
    else:
        return None
    names = [list(part.names) for part in parts if isinstance(part, pd.Index)]
    labels = [names, getattr(value, "name", None), dict(getattr(value, "attrs", {}))]
    texts = [_write(labels, met, depth + 1), *(_write_column(part, met, depth + 1) for part in parts)]
    return None if None in texts else f"{type(value).__name__} {len(value)} {_digest(' '.join(map(str, texts)))}"


def _write_column(column: Any, met: list[type], depth: int) -> str | None:
    """Return one array or index of a table as text: its type, and its values or their digest."""
    import pandas as pd

    kind = column.dtype
    if isinstance(kind, pd.CategoricalDtype):
        categories = _write_column(kind.categories, met, depth + 1)
        return categories and f"{categories} {kind.ordered} {_digest(column.codes.tobytes())}"
    if isinstance(column, pd.MultiIndex) or kind.kind == "O":
        return _write(column.tolist(), met, depth + 1)
    return f"{kind} {_digest(pd.util.hash_pandas_object(pd.Series(column), index=False).to_numpy().tobytes())}"


def _join(kind: str, parts: list[str | None] | list[str]) -> str | None:
    return None if None in parts else _short(f"{kind}({', '.join(map(str, parts))})")


def _short(text: str) -> str:
    return text if len(text) <= LONGEST else f"{_digest(text)} ({len(text)} characters)"


def _digest(content: str | bytes) -> str:
    return f"sha256:{hashlib.sha256(content.encode() if isinstance(content, str) else content).hexdigest()}"
