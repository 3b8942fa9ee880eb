"""Answers to what waits for approval in a rehearsal, whose clock stands until they are given.

    2024-06-04 SPY approve
    *          QQQ modify scale=0.5 limit=400 smaller, please
    *          *   reject not this year        # the first line that fits counts; without one nobody answers in time

Or a person answers, at `sim forward approvals` or on the page: the rehearsal waits.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date
from math import inf

from simulator.errors import UsageError
from simulator.forward.approvals import CHANGEABLE, KINDS, Action, answer
from simulator.forward.staging import Staging

PERSON = "person"
"""In the place of a file: somebody answers."""
POLL_S = 0.2
LINE = re.compile(r"(\S+)\s+(\S+)\s+(approve|reject|modify|wait)\b\s*(.*)")
CHANGE = re.compile(r"([\w.-]+)=(\S+)\s*")


@dataclass(frozen=True)
class ScriptedAnswer:
    """Answer to trades on a session and a symbol, ``*`` for every one; `action` None: none is given."""

    session: str
    symbol: str
    action: Action | None
    reason: str
    changes: dict[str, float]


def parse_answers(lines: Sequence[str], where: str = "") -> list[ScriptedAnswer]:
    """Return the answers of a script. Raises UsageError with the line that cannot be read."""
    found = []
    for number, line in enumerate(lines, 1):
        text = line.partition("#")[0].strip()
        if not text:
            continue
        read = LINE.fullmatch(text)
        try:
            if read is None:
                raise ValueError
            day, symbol, action, rest = read.groups()
            if day != "*":
                date.fromisoformat(day)
            changes = {}
            while action == "modify" and (given := CHANGE.match(rest)):
                changes[given[1]], rest = float(given[2]), rest[given.end() :]
            fits = all(name.rpartition(".")[2] in CHANGEABLE and 0.0 < value < inf for name, value in changes.items())
            if not fits or (action == "modify") != bool(changes):
                raise ValueError
        except ValueError:
            acts = "approve | reject REASON | modify scale=0.5 limit=101.5 GEMINI.stop=95 | wait"
            mend = f"DATE SYMBOL {acts}, * for every date or symbol"
            raise UsageError(f'"{text}" is no answer', where=f"{where}:{number}", mend=mend) from None
        known: Action | None = None if action == "wait" else action  # type: ignore[assignment]
        found.append(ScriptedAnswer(day, symbol, known, rest or ("by script" if known == "reject" else ""), changes))
    return found


async def answer_by_script(answers: Sequence[ScriptedAnswer], staging: Staging) -> bool:
    """Answer what waits as the script has it; True where something was answered. Raises SimError."""
    done = False
    for one in staging.waiting:
        day, symbol = one.decided_at[:10], one.symbol
        fits = (it for it in answers if it.session in ("*", day) and it.symbol in ("*", symbol))
        found = next(fits, None)
        if found is not None and found.action is not None:
            answer(staging.store, one.id, one.version, "script", found.action, found.reason, found.changes)
            done = True
    return done


async def wait_for_person(look: Callable[[], None], staging: Staging) -> bool:
    """Wait until somebody has answered one of the trades that wait. `look` is called meanwhile, and what it raises ends
    the wait."""
    while not staging.store.of_forward(staging.run, tuple(KINDS), staging.position):
        look()
        await asyncio.sleep(POLL_S)
    return True
