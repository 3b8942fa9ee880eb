"""A run in batches, killed at every step of a batch, one step after the other. Not a test by itself.

    python batch_kills.py '{"workspace": …, …}'  ─►  a line of JSON: whether each step killed it, and the last result

Forked rather than started, so that what takes long to import is there.
"""

from __future__ import annotations

import inspect
import json
import os
import signal
import sys
from typing import Any

from simulator import run
from simulator.llm.batch import BatchAsker
from simulator.llm.batch_service import BatchService
from simulator.llm.gateway import Gateway
from simulator.llm.providers.openai_compatible import OpenAICompatible
from simulator.llm.spending.batch_ledger import BatchLedger
from simulator.llm.spending.budget import Budget

STEPS: tuple[tuple[type, str, str, int], ...] = (
    (Budget, "reserve", "after", 1),
    (BatchLedger, "enter", "after", 1),
    (BatchAsker, "_write_record", "after", 1),
    (BatchService, "upload", "after", 1),
    (BatchLedger, "note", "after", 1),
    (BatchLedger, "note", "after", 2),
    (OpenAICompatible, "send", "created", 1),
    (BatchLedger, "note", "after", 3),
    (BatchService, "lines", "before", 1),
    (Gateway, "keep", "after", 2),
    (BatchLedger, "settle", "before", 1),
    (BatchLedger, "settle", "after", 2),
    (OpenAICompatible, "send", "created", 3),
    (BatchLedger, "settle", "before", 3),
)
"""(class, method, whether it is killed before or after it, at which call)."""


def die_at(owner: type, name: str, when: str, call: int) -> None:
    """Have this process die at that call of the method."""
    method, calls = getattr(owner, name), [0]

    def dies(words: tuple[Any, ...]) -> bool:
        counts = when != "created" or words[2:4] == ("POST", "/batches")
        calls[0] += counts
        return counts and calls[0] >= call

    def die() -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    async def awaited(*words: Any, **named: Any) -> Any:
        dying = dies(words)
        if dying and when == "before":
            die()
        found = await method(*words, **named)
        if dying:
            die()
        return found

    def called(*words: Any, **named: Any) -> Any:
        dying = dies(words)
        if dying and when == "before":
            die()
        found = method(*words, **named)
        if dying:
            die()
        return found

    setattr(owner, name, awaited if inspect.iscoroutinefunction(method) else called)


def main() -> None:
    given = json.loads(sys.argv[1])
    killed = []
    for step in STEPS:
        child = os.fork()
        if not child:
            try:
                die_at(*step)
                run(**given)
            finally:
                os._exit(0)
        _, status = os.waitpid(child, 0)
        killed.append(os.WIFSIGNALED(status))
    made = run(**given)
    print(json.dumps({"killed": killed, "folder": str(made.folder), "metrics": made.facts["metrics"]}))


if __name__ == "__main__":
    main()
