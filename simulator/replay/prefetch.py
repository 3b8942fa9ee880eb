"""Opinions asked before a replay, all dates side by side.

points ──► reads the market ───────────────► opine ──────────────────────┐
       ├─► reads minutes of the point before ► opine, once that one is in ┼──► {index: opinion}
       └─► reads nothing, or the journal ──► left to the replay           ┘
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from simulator.errors import LLMError, NoResultError, StoppedByUserError
from simulator.replay.inputs import ReplayInputs
from simulator.replay.kept_opinions import KeptOpinions
from simulator.trading.strategy import Strategy, slice_journal, strategy_at

T = TypeVar("T")

Progress = Callable[[str, int, int, str], None]
"""Called with (stage, done, total, session) after each piece of work, and while answers are waited for. To raise
KeyboardInterrupt there stops the asking and leaves what was answered so far a partial result."""


def silent(*_: Any) -> None:
    """Progress for nobody."""


HEARTBEAT = 0.25
"""Seconds between two reports of progress while nothing but waiting happens."""


@dataclass(frozen=True)
class Prefetched:
    """Opinions formed before the replay: {index of the instant: opinion}.

    `stopped` is why the asking ended before the last date, None where it did not; then points from `until` on have no
    opinion and cannot be decided.
    """

    opinions: Mapping[int, Any] = field(default_factory=dict, repr=False)  # asyncio writes tasks out as it ends
    stopped: LLMError | None = None
    until: int | None = None


async def prefetch(
    strategy: Strategy[Any], inputs: ReplayInputs, report: Progress, kept: KeptOpinions | None = None
) -> Prefetched:
    """Ask for all opinions that rest on the market or on minutes, side by side; of questions that queue the oldest
    date's go first. Those in `kept` are taken from there. None for a strategy without such opinions.

    A point that reads minutes waits for the point before: meetings and their checkpoints go on side by side,
    checkpoints of one meeting one after the other.

    When a date cannot be answered, no younger one is begun or continued, and the older ones are finished. Raises what
    the date raised, unless it is a stop that leaves the older dates' opinions good: then they are returned with it.
    KeyboardInterrupt raised by `report` is such a stop, at the first date that is not answered yet.
    """
    deciding = [strategy_at(strategy, name) for name in inputs.points]
    tasks: dict[int, asyncio.Task[Any]] = {}

    recall = None if kept is None else kept.over(inputs.snapshots)

    async def opine(k: int) -> Any:
        one, before = deciding[k], None
        if one.reads == "minutes" and k:
            # Given up, this date cancels the one before it, which by then has failed or is given up as well.
            before = deciding[k - 1], inputs.snapshots[k - 1], await tasks[k - 1]

        async def form() -> Any:
            return await one.opine(inputs.snapshots[k], slice_journal(one, (), before))

        return await (form() if recall is None else recall.opine(k, one, form))

    for k, one in enumerate(deciding):
        if one.reads == "market" or (one.reads == "minutes" and (k - 1 in tasks or not k)):
            tasks[k] = asyncio.create_task(opine(k))
    if not tasks:
        return Prefetched()
    dates, waited = list(tasks), list(tasks.values())
    error: BaseException | None = None
    try:
        failed = await _wait_for(waited, [inputs.snapshots[k].session for k in dates], report)
    except KeyboardInterrupt:
        failed = next((k for k, task in enumerate(waited) if not _is_answered(task)), len(waited) - 1)
        error = StoppedByUserError("interrupted")
    finally:
        for task in waited:
            task.cancel()
        if kept is not None:
            kept.close()
    await asyncio.gather(*waited, return_exceptions=True)
    answered = {k: tasks[k].result() for k in dates[:failed]}
    if failed is None:
        return Prefetched(answered)
    error = error or waited[failed].exception()
    if isinstance(error, LLMError) and not isinstance(error, NoResultError):
        return Prefetched(answered, error, dates[failed])
    raise error or asyncio.CancelledError


def _is_answered(task: asyncio.Task[Any]) -> bool:
    return task.done() and not task.cancelled() and task.exception() is None


async def ask_alone(question: Coroutine[Any, Any, T], beat: Callable[[], None]) -> T:
    """Return the answer of one question, with `beat` called while it is waited for.

    Raises StoppedByUserError where that raises KeyboardInterrupt.
    """
    task = asyncio.ensure_future(question)
    try:
        while not task.done():
            await asyncio.wait([task], timeout=HEARTBEAT)
            beat()
    except KeyboardInterrupt:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        raise StoppedByUserError("interrupted") from None
    return task.result()


async def _wait_for(tasks: Sequence[asyncio.Task[Any]], sessions: Sequence[Any], report: Progress) -> int | None:
    """Wait until every date is answered, or every date before the first that failed. Returns that one's index."""
    failed = len(tasks)
    while waiting := [k for k in range(failed) if not tasks[k].done()]:
        report("ask", failed - len(waiting), len(tasks), str(sessions[waiting[0]]))
        await asyncio.wait([tasks[k] for k in waiting], timeout=HEARTBEAT, return_when=asyncio.FIRST_EXCEPTION)
        failed = next((k for k in range(failed) if tasks[k].done() and tasks[k].exception()), failed)
        for task in tasks[failed + 1 :]:
            task.cancel()
    report("ask", failed, len(tasks), "")
    return failed if failed < len(tasks) else None
