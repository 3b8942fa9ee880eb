"""Stored answers that were read while something was made of them, noted as they are read.

with tracing() as trace: opinion = await strategy.opine(…)     trace.answers, trace.calls: all it rests on
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field

from simulator.llm.messages import Outcome, Usage


@dataclass(frozen=True)
class Call:
    """One question of a run, for its evidence: equal in a cold run and in its rerun from the cache.

    `served` is the model that answered, as its service named it; empty where that was not recorded. `usage` and
    `latency_s` are what the answer took when it was paid for, in this run or another.
    """

    key: str
    provider: str
    model: str
    purpose: Mapping[str, str]
    outcome: Outcome
    usage: Usage
    served: str = ""
    latency_s: float = field(default=0.0, repr=False, compare=False)


@dataclass
class Trace:
    """Readings of one block and of the tasks it began.

    Attributes
    ----------
    answers : {key: digest of its entry as read or written last, None where there was none}
    refusals : {``provider|endpoint|model``: fields the service was known to refuse}
    calls : {key of the question before it was put in another form: its call}
    complete : False where something else on disk was looked at as well
    """

    answers: dict[str, str | None] = field(default_factory=dict)
    refusals: dict[str, list[str]] = field(default_factory=dict)
    calls: dict[str, Call] = field(default_factory=dict)
    complete: bool = True


_tracing: ContextVar[Trace | None] = ContextVar("tracing", default=None)


@contextmanager
def tracing() -> Iterator[Trace]:
    """Note what is read within the block; tasks begun elsewhere note theirs elsewhere."""
    trace = Trace()
    token = _tracing.set(trace)
    try:
        yield trace
    finally:
        _tracing.reset(token)


def current_trace() -> Trace | None:
    return _tracing.get()
