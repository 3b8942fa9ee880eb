"""Programs that a test was held by: each start says its own, and a change of it is one sentence on record."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import groupby, pairwise
from typing import Any

from simulator.store.events import Event

Program = Mapping[str, Any]
"""``version``, ``digest`` of its sources, git ``commit`` and ``dirty``, files changed since it; None where unknown."""


@dataclass(frozen=True)
class ProgramSpan:
    """Sessions, from `first` to `last`, in which the program `name` of one `digest` decided or booked; one that was
    changed within a session has that, and so has the program after it."""

    name: str
    digest: str
    first: str
    last: str
    sessions: int


def list_spans(events: Iterable[Event]) -> list[ProgramSpan]:
    """Return who held which sessions, oldest first; starts that came to no session are left out."""
    held: list[tuple[Program, str]] = []
    program: Program | None = None
    for one in events:
        if one.kind == "forward.started":
            program = one.payload.get("program") or program
        elif one.kind in ("forward.point", "forward.session") and program is not None and one.at is not None:
            held.append((program, one.at[:10]))
    found = []
    for digest, group in groupby(held, lambda pair: str(pair[0]["digest"])):
        pairs = list(group)
        days = sorted({day for _, day in pairs})
        found.append(ProgramSpan(_name(pairs[0][0]), digest, days[0], days[-1], len(days)))
    return found


def last_program(events: Iterable[Event]) -> Program | None:
    """Return the program of the newest start, None where no start said it."""
    return next((one for _, one in reversed(list(_programs(events)))), None)


def list_changes(events: Iterable[Event]) -> list[str]:
    """Return a sentence for each start by another program than the one before it, oldest first."""
    found = list(_programs(events))
    pairs = pairwise(found)
    return [f"{at[:10]}: {say_change(old, new)}" for (_, old), (at, new) in pairs if old["digest"] != new["digest"]]


def say_change(old: Program, new: Program) -> str:
    """Return one sentence on a start by `new` after one by `old`."""
    return f"the program was changed from {_name(old)} to {_name(new)}; what follows is decided by the new one"


def _programs(events: Iterable[Event]) -> Iterator[tuple[str, Program]]:
    for one in events:
        if one.kind == "forward.started" and one.payload.get("program"):
            yield str(one.at), one.payload["program"]


def _name(program: Program) -> str:
    commit = program.get("commit")
    where = f"commit {commit[:10]}{' with changes' if program.get('dirty') else ''}" if commit else "no commit"
    return f"{program['version']} ({where}, sources {program['digest'][:10]})"
