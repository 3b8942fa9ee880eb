"""Documents held against their types, and those of older versions put into the words of the newest."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache
from math import isfinite
from types import NoneType, UnionType
from typing import Any, Literal, NotRequired, Union, get_args, get_origin, get_type_hints, is_typeddict

from simulator.council.records import Facts
from simulator.evidence.records import SCHEMA, RunRecord

Check = Callable[[object], None]
"""Raises MismatchError where a value is not of a type."""

IN_EVERY_VERSION = frozenset(
    ("run_id", "digest", "strategy", "from", "to", "symbols", "sessions", "cash", "command", "metrics", "benchmarks")
)


class MismatchError(Exception):
    """`found` is what was found at `path`, keys from the outermost on."""

    def __init__(self, found: str, path: tuple[str, ...] = ()) -> None:
        super().__init__(found)
        self.found, self.path = found, path

    def within(self, key: str) -> MismatchError:
        return MismatchError(self.found, (key, *self.path))

    def __str__(self) -> str:
        name = ".".join(self.path).replace(".[", "[")
        return f'"{name}" {self.found}' if name else self.found


def check(kind: type, value: object, older: bool = False) -> None:
    """Raise MismatchError where `value`, read from JSON, is not of the TypedDict `kind`. Further keys are let be.

    With `older`, what `value` lacks is put into it: null where that may be, otherwise nothing of its kind.
    """
    _checker(kind, older)(value)


@cache
def _checker(kind: Any, older: bool) -> Check:
    """Return the check of a type, put together once: a run holds tens of thousands of values."""
    origin, args = get_origin(kind), get_args(kind)
    if origin is NotRequired:
        return _checker(args[0], older)
    if kind is Facts:  # What a council was shown: as many facts as its definition names.
        return _plain((dict,), None)
    if is_typeddict(kind) or is_typeddict(origin):
        return _document(origin or kind, args, older)
    if origin in (Union, UnionType):
        return _one_of([_checker(one, older) for one in args if one is not NoneType], NoneType in args)
    if origin is list:
        return _container(list, args[0], older, lambda value: enumerate(value), "[{}]")
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return _container(dict, args[1], older, lambda value: value.items(), "{}")
    if kind is object:
        return lambda _: None
    return _plain((int, float) if kind is float else (kind,), args if origin is Literal else None)


def _sure_kinds(kind: Any) -> frozenset[type]:
    """Return types of values that are of `kind` whatever they hold, if finite: most need no call to be checked."""
    origin, args = get_origin(kind), get_args(kind)
    if origin in (NotRequired, Union, UnionType):
        return frozenset[type]().union(*(_sure_kinds(one) for one in args if one is not NoneType))
    return frozenset((int, float) if kind is float else (kind,) if kind in (str, int, bool) else ())


def _plain(kinds: tuple[Any, ...], allowed: tuple[Any, ...] | None) -> Check:
    # Values come from JSON, so their types are compared as they are: True is no number.
    def plain(value: object) -> None:
        if (
            value not in allowed
            if allowed
            else type(value) not in kinds or (type(value) is float and not isfinite(value))
        ):
            raise MismatchError(f"holds {str(value)[:40]!r}")

    return plain


def _container(
    kind: type, held: Any, older: bool, entries: Callable[[Any], Iterable[tuple[object, object]]], name: str
) -> Check:
    inner, sure = _checker(held, older), _sure_kinds(held)

    def container(value: object) -> None:
        if not isinstance(value, kind):
            raise MismatchError(f"holds {str(value)[:40]!r}")
        for key, one in entries(value):
            if type(one) in sure and (type(one) is not float or isfinite(one)):
                continue
            try:
                inner(one)
            except MismatchError as error:
                raise error.within(name.format(key)) from None

    return container


def _document(kind: Any, args: tuple[Any, ...], older: bool) -> Check:
    hints = get_type_hints(kind, include_extras=True)
    if args:
        hints = {key: hint[args] if getattr(hint, "__parameters__", ()) else hint for key, hint in hints.items()}
    # `__optional_keys__` misses what stands in annotations that are kept as text.
    checks = [
        (key, _sure_kinds(hint), _checker(hint, older), get_origin(hint) is NotRequired) for key, hint in hints.items()
    ]

    def document(value: object) -> None:
        if not isinstance(value, dict):
            raise MismatchError(f"holds {str(value)[:40]!r}")
        for key, sure, inner, optional in checks:
            found = value.get(key)
            if type(found) in sure and (type(found) is not float or isfinite(found)):
                continue
            if found is None:
                if optional:
                    continue
                if older:
                    found = value[key] = nothing_of(hints[key])
                elif key not in value:
                    raise MismatchError(f'has no key "{key}"')
            try:
                inner(found)
            except MismatchError as error:
                raise error.within(key) from None

    return document


def _one_of(checks: Sequence[Check], nullable: bool) -> Check:
    def one_of(value: object) -> None:
        if value is None and nullable:
            return
        for inner in checks[:-1]:
            try:
                inner(value)
            except MismatchError:
                continue
            return
        checks[-1](value)

    return one_of


def nothing_of(kind: Any) -> Any:
    """Return the value of a key that an older document lacks: null where that may be, else nothing of its kind."""
    origin, args = get_origin(kind), get_args(kind)
    if NoneType in args:
        return None
    if is_typeddict(kind) or (isinstance(origin, type) and issubclass(origin, Mapping)):
        return {}
    return [] if origin is list else kind() if kind in (str, int, float, bool) else None


def migrate(run: dict[str, Any]) -> None:
    """Put run.json of an older version into the words of the newest; ``schema`` stays what it was.

    Raises MismatchError for what is not a run.json of any version. Version 1 knew members only: each is an account, and
    so is the council they sit in.
    """
    version = run.get("schema", 1)
    if isinstance(version, int) and version > SCHEMA:
        raise MismatchError(f"is of version {version}, this program reads up to {SCHEMA}")
    for key in sorted(IN_EVERY_VERSION):
        if run.get(key) is None:
            raise MismatchError(f'has no key "{key}"')
    if isinstance(run["command"], list):
        run["command"] = shlex.join(map(str, run["command"]))
    run["replicates"] = run.get("replicates") or {"count": 1}
    members = run.get("members") or []
    if "accounts" not in run and members:
        inference = run.get("inference") or {}
        ends = {key: inference.get(key) for key in ("sharpe_ci_low", "sharpe_ci_high")}
        own = {"name": "COUNCIL", "seat": "council", "metrics": run["metrics"], "reasons": run.get("reasons"), **ends}
        run["accounts"] = [*({**member, "seat": member.get("name")} for member in members), own]
        run["account"] = own["name"]
    run["schema"] = version
    check(RunRecord, run, older=version != SCHEMA)
