"""Programs that a test was held by: each start says its own, and a change of it is one sentence on record."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import pairwise
from typing import Any

from simulator.store.events import Event

Program = Mapping[str, Any]
"""``version``, ``digest`` of its sources, git ``commit`` and ``dirty``, files changed since it; None where unknown."""


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
