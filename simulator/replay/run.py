"""A strategy over history: opinions asked ahead, the reference engine, and the kernel as its auditor.

occasions ──► prefetch ──► play: reference engine ──step──► Ledger, results
              (all dates      │                               │
               at once)       └────── tape ──► kernel ──► audit: largest difference

What was asked ahead can be played again, for another account: `play` puts no question where there is an opinion.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Protocol, cast

import numpy as np
from numpy.typing import NDArray

from simulator.errors import CacheCorruptError, CacheMissError, LLMError
from simulator.market.bars import Bars, Snapshot, moment
from simulator.market.events import Event
from simulator.market.news import News
from simulator.replay import audit, backtrader_engine, kernel
from simulator.replay.ledger import Ledger
from simulator.replay.tape import Tape
from simulator.trading.cycle import CycleResult, TradingRules, step
from simulator.trading.model import Broker, Decision, Strategy
from simulator.trading.schedule import CHECKPOINT, MEETING, Occasion

Progress = Callable[[str, int, int, str], None]
"""Called with (stage, done, total, session) after each piece of work, and while answers are waited for."""


def silent(*_: Any) -> None:
    """Progress that nobody is told of."""


HEARTBEAT = 0.25
"""Seconds between two reports of progress while nothing but waiting happens."""


class Checked(Protocol):
    """A strategy with checkpoints between its meetings: the contract of simulator.council.strategy.Council."""

    @property
    def checkpoint(self) -> Strategy:
        """Who decides at the checkpoints. Its `opine` reads the minutes of the occasion before from the journal."""
        ...

    def minutes(self, opinion: Any) -> Mapping[str, Any]:
        """The record of an opinion, before any account has acted on it."""
        ...


@dataclass(frozen=True, eq=False)
class ReplayInputs:
    """What a replay plays on.

    `bars` and `context` reach back before the run; trading starts at row `start`. `instants` (K,) are the moments of
    decision, nanoseconds since the epoch, `occasions` what each of them is; all are meetings where none are given.
    """

    bars: Bars
    context: Bars
    start: int
    instants: NDArray[np.int64]
    events: Sequence[Event] = ()
    occasions: tuple[Occasion, ...] = ()
    news: Sequence[News] = ()

    def __post_init__(self) -> None:
        if not self.occasions:
            object.__setattr__(self, "occasions", (MEETING,) * len(self.instants))

    @property
    def meetings(self) -> int:
        """How many of the occasions are meetings."""
        return self.occasions.count(MEETING)

    @cached_property
    def traded(self) -> Bars:
        """The bars of the run itself."""
        return self.bars.rows(self.start, len(self.bars))

    @cached_property
    def opening_marks(self) -> NDArray[np.float64]:
        """(N,) the last close of each symbol before the run, 0 where it has none: what the first sizes rest on."""
        before = self.bars.close[: self.start]
        known = np.zeros(len(self.bars.symbols))
        for n, column in enumerate(before.T):
            closes = column[~np.isnan(column)]
            known[n] = closes[-1] if len(closes) else 0.0
        return known

    @cached_property
    def snapshots(self) -> tuple[Snapshot, ...]:
        """What is known at each decision."""
        moments = (moment(int(at)) for at in self.instants)
        return tuple(self.bars.snapshot(at, self.events, self.context, self.news) for at in moments)

    def until(self, k: int) -> ReplayInputs:
        """The inputs as they were before decision `k`: their first k, and the bars that open before the next."""
        if k >= len(self.instants):
            return self
        end = int(np.searchsorted(self.bars.opens_at, self.instants[k], side="left"))
        bars, context = self.bars.rows(0, end), self.context.rows(0, end)
        return replace(self, bars=bars, context=context, instants=self.instants[:k], occasions=self.occasions[:k])


@dataclass(frozen=True)
class Prefetched:
    """Opinions formed before the replay: {index of the instant: opinion}, from the first date on without a gap.

    `stopped` is why the asking ended before the last date, None where it did not.
    """

    opinions: Mapping[int, Any] = field(default_factory=dict, repr=False)  # asyncio writes tasks out as it ends
    stopped: LLMError | None = None


@dataclass(frozen=True)
class Replayed:
    """What came of it: the books, the decisions, the opinions behind them, and how far the two engines differ.

    `inputs` is what was played on. It ends early where `stopped` says why there were no further opinions.
    """

    inputs: ReplayInputs
    ledger: Ledger
    results: tuple[CycleResult, ...]
    tape: Tape
    largest_difference: float
    opinions: Mapping[int, Any] = field(default_factory=dict)
    stopped: LLMError | None = None


def replay_strategy(
    strategy: Strategy,
    inputs: ReplayInputs,
    rules: TradingRules,
    cash: float,
    progress: Progress | None = None,
    loop: asyncio.Runner | None = None,
) -> Replayed:
    """Replay `strategy` over `inputs` with both engines, within `loop` where its connections live there.

    Where the asking stopped early (budget spent, a service that keeps failing) the dates decided so far are replayed;
    with none the error itself is raised. Raises AuditError when the engines differ by over 1e-9 of equity.
    """
    report = progress or silent
    with nullcontext(loop) if loop else asyncio.Runner() as running:
        ahead = running.run(prefetch(strategy, inputs, report)) if strategy.opines_ahead else Prefetched()
        if ahead.stopped is not None:
            if not ahead.opinions:
                raise ahead.stopped
            inputs = inputs.until(len(ahead.opinions))
        done = play(strategy, inputs, rules, cash, ahead.opinions, report, running)
    return replace(done, stopped=ahead.stopped)


def play(
    strategy: Strategy,
    inputs: ReplayInputs,
    rules: TradingRules,
    cash: float,
    opinions: Mapping[int, Any],
    report: Progress,
    loop: asyncio.Runner,
) -> Replayed:
    """One account over `inputs`, from the opinions already formed {index of the instant: opinion}; others are formed
    when their date has come. Raises AuditError when the engines differ by over 1e-9 of equity."""
    results: list[CycleResult] = []
    journal: list[Decision] = []

    def decide(k: int, broker: Broker) -> None:
        snapshot, who = inputs.snapshots[k], on_occasion(strategy, inputs.occasions[k])
        # A Runner minds signals at every call, which costs more than a step that asks nothing.
        settle = loop.get_loop().run_until_complete if k in opinions else loop.run
        result = settle(step(snapshot, who, broker, tuple(journal), rules, opinions.get(k)))
        results.append(result)
        journal.append(result.decision)
        report("replay", k + 1, len(inputs.instants), str(snapshot.session))

    ledger = backtrader_engine.replay(
        inputs.traded, inputs.instants, decide, rules.execution, cash, inputs.opening_marks
    )
    tape = Tape.from_decisions([t.allowed for t in results], inputs.bars.symbols)
    difference = audit.audit(
        ledger, kernel.replay_tape(inputs.traded, tape, rules.execution, cash, inputs.opening_marks)
    )
    return Replayed(inputs, ledger, tuple(results), tape, difference, opinions)


def on_occasion(strategy: Strategy, occasion: Occasion) -> Strategy:
    """Who decides on that occasion: `strategy` at its meetings, its ``checkpoint`` between them."""
    return cast(Checked, strategy).checkpoint if occasion == CHECKPOINT else strategy


async def prefetch(strategy: Strategy, inputs: ReplayInputs, report: Progress) -> Prefetched:
    """The opinions of all decision dates, asked side by side; where questions queue, the oldest date's go first.

    A checkpoint waits for the occasion before it, whose minutes it is handed as its journal: meetings and their
    checkpoints go on side by side, checkpoints of one meeting one after the other.

    When a date cannot be answered, no younger one is begun or continued, and the older ones are finished. Raises what
    the date raised, unless it is a stop that leaves the older dates' opinions good: then they are returned with it.
    """
    tasks: list[asyncio.Task[Any]] = []

    async def opine(k: int) -> Any:
        who = on_occasion(strategy, inputs.occasions[k])
        if inputs.occasions[k] == MEETING:
            return await who.opine(inputs.snapshots[k], ())
        before = cast(Checked, on_occasion(strategy, inputs.occasions[k - 1]))
        # Shielded: when this date is given up, the one before it is still finished.
        minutes = before.minutes(await asyncio.shield(tasks[k - 1]))
        return await who.opine(inputs.snapshots[k], (Decision(inputs.snapshots[k - 1].as_of, (), minutes),))

    tasks += [asyncio.create_task(opine(k)) for k in range(len(inputs.instants))]
    try:
        failed = await _answered(tasks, inputs, report)
    finally:
        for task in tasks:
            task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    if failed is None:
        return Prefetched({k: task.result() for k, task in enumerate(tasks)})
    error = tasks[failed].exception()
    if isinstance(error, LLMError) and not isinstance(error, CacheMissError | CacheCorruptError):
        return Prefetched({k: task.result() for k, task in enumerate(tasks[:failed])}, error)
    raise error or asyncio.CancelledError


async def _answered(tasks: Sequence[asyncio.Task[Any]], inputs: ReplayInputs, report: Progress) -> int | None:
    """Wait until every date is answered, or every date before the first that failed. Returns that one's index."""
    failed = len(tasks)
    while waiting := [k for k in range(failed) if not tasks[k].done()]:
        report("ask", failed - len(waiting), len(tasks), str(inputs.snapshots[waiting[0]].session))
        await asyncio.wait([tasks[k] for k in waiting], timeout=HEARTBEAT, return_when=asyncio.FIRST_EXCEPTION)
        failed = next((k for k in range(failed) if tasks[k].done() and tasks[k].exception()), failed)
        for task in tasks[failed + 1 :]:
            task.cancel()
    report("ask", failed, len(tasks), "")
    return failed if failed < len(tasks) else None
