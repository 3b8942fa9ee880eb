"""A strategy over history: opinions asked ahead, the reference engine, and the kernel as its auditor.

points ──► prefetch ──► play: reference engine, per point ─────────────► Ledger, results
           (all dates    │    (opine) ► (consult) ► plan ► carry_out         │
            at once)     └──────────────── tape ──► kernel ──► audit: largest difference

Very many bars are played by the kernel, where a strategy decides by the market alone (or `engine` says so); the
reference engine audits a slice of them once the run has its digest (:mod:`simulator.replay.slice`).

What was asked ahead can be played again, for another account: `play` puts no question where there is an opinion.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Coroutine, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

import numpy as np

from simulator.errors import LLMError, NoResultError, StoppedByUserError, UsageError
from simulator.market.bars import Snapshot
from simulator.replay import audit, backtrader_engine, kernel
from simulator.replay.inputs import ReplayInputs
from simulator.replay.kept_opinions import KeptOpinions
from simulator.replay.ledger import Ledger
from simulator.replay.prefetch import Progress, ask_alone, prefetch, silent
from simulator.replay.tape import Tape, due_at
from simulator.trading.broker import ImmediateBroker
from simulator.trading.cycle import CycleResult, TradingRules, plan
from simulator.trading.model import Book, Decision, Past
from simulator.trading.risk import limit
from simulator.trading.sizing import carry_out, place
from simulator.trading.strategy import Consults, DecidesAlone, ReadsPast, Reports, Strategy, slice_journal, strategy_at

MANY_BARS = 200_000
"""Bars of symbols, counted each, past which the kernel plays what it can: backtrader takes ten seconds for them."""


@dataclass(frozen=True)
class Replayed:
    """Result of a replay: books, decisions, the opinions behind them, and how far the two engines differ.

    `inputs` end early where `stopped` says why there were no further opinions. Where the kernel was the `engine`,
    `largest_difference` is NaN: a slice is to be audited.
    """

    inputs: ReplayInputs
    ledger: Ledger
    results: tuple[CycleResult, ...]
    tape: Tape
    largest_difference: float
    opinions: Mapping[int, Any] = field(default_factory=dict)
    stopped: LLMError | None = None
    engine: str = "backtrader"


@dataclass(frozen=True)
class Recorded:
    """Account as another one had it at a point: what is decided there rests on it, not on the books of the replay."""

    book: Book
    past: Callable[[ReplayInputs], Past]


def replay_strategy(
    strategy: Strategy[Any],
    inputs: ReplayInputs,
    rules: TradingRules,
    cash: float,
    progress: Progress | None = None,
    loop: asyncio.Runner | None = None,
    kept: KeptOpinions | None = None,
    books: Mapping[datetime, Recorded] | None = None,
) -> Replayed:
    """Replay `strategy` over `inputs` with both engines, within `loop` where its connections live there. Opinions in
    `kept` are not formed again; `books` are those of `play`.

    Where the asking stopped early (budget spent, a question refused for good) the dates decided so far are replayed;
    with none the error itself is raised. Raises AuditError when the engines differ by over 1e-9 of equity.
    """
    report = progress or silent
    if (chosen := choose_engine(strategy, inputs)) and not books:
        done = _play_ahead(chosen, inputs, rules, cash, report)
        if done is not None:
            return done
    with nullcontext(loop) if loop else asyncio.Runner() as running:
        ahead = running.run(prefetch(strategy, inputs, report, kept))
        if ahead.stopped is not None:
            if not ahead.until:
                raise ahead.stopped
            inputs = inputs.until(ahead.until)
        # Stopped by whoever sees the progress: to tell him of what is put away would stop that too.
        told = silent if isinstance(ahead.stopped, StoppedByUserError) else report
        done = play(strategy, inputs, rules, cash, ahead.opinions, told, running, books)
    return done if ahead.stopped is None else replace(done, stopped=ahead.stopped)


def choose_engine(strategy: Strategy[Any], inputs: ReplayInputs) -> DecidesAlone | None:
    """Return the strategy as one that the kernel can play, where it is asked for or past MANY_BARS; else None.

    Raises UsageError where the kernel is asked for and the strategy reads its account.
    """
    engine = inputs.engine
    if engine == "backtrader" or (engine == "auto" and int(inputs.traded.fresh.sum()) <= MANY_BARS):
        return None
    if isinstance(strategy, DecidesAlone):
        return strategy
    if engine == "kernel":
        raise UsageError(
            f"{strategy.name} reads its account, which the kernel cannot ask",
            mend="leave --engine out; a rule (see `simulator.rules`) can be played by the kernel",
        )
    return None


def _play_ahead(
    strategy: DecidesAlone, inputs: ReplayInputs, rules: TradingRules, cash: float, report: Progress
) -> Replayed | None:
    """Decide on every date, then play all of them by the kernel; None where risk limits would need the account, for a
    decision leaves a symbol alone that may be held."""
    nothing = Book(cash, {}, {}, cash)
    results: list[CycleResult] = []
    named: set[str] = set()
    due = due_at(inputs.traded, inputs.instants)
    count = int(np.count_nonzero(due < len(inputs.traded)))  # instants rise, so these are the first ones
    snapshots = inputs.snapshots[:count]
    for k, decision in enumerate(strategy.decide_ahead(snapshots, inputs.bars, inputs.instants[:count])):
        now = {target.symbol for target in decision.targets}
        if not named <= now:
            return None
        named = now
        results.append(CycleResult(decision, *limit(decision, nothing, rules.limits)))
        report("replay", k + 1, len(inputs.instants), str(snapshots[k].session))
    tape = Tape.from_decisions([one.allowed for one in results], inputs.bars.symbols)
    ledger = kernel.replay_tape(inputs.traded, tape, rules.execution, cash, inputs.opening_marks)
    return Replayed(inputs, ledger, tuple(results), tape, math.nan, engine="kernel")


def play(
    strategy: Strategy[Any],
    inputs: ReplayInputs,
    rules: TradingRules,
    cash: float,
    opinions: Mapping[int, Any],
    report: Progress,
    loop: asyncio.Runner,
    books: Mapping[datetime, Recorded] | None = None,
) -> Replayed:
    """Play one account over `inputs` from `opinions` formed already {index of the instant: opinion}. Others are formed
    when their date has come, up to one that stops the asking. Decisions at the instants of `books` rest on these and
    are carried out on the account's own; they are intents. Raises AuditError when the engines differ by over 1e-9.
    """
    at = {name: strategy_at(strategy, name) for name in dict.fromkeys(inputs.points)}
    consulting: dict[str, Consults[Any]] = {name: one for name, one in at.items() if isinstance(one, Consults)}
    results, journal = list[CycleResult](), list[Decision]()
    before: tuple[Strategy[Any], Snapshot, Any] | None = None

    def heard(k: int, session: str) -> None:
        report("replay", k, len(inputs.instants), session)

    def ask(k: int, question: Coroutine[Any, Any, Any]) -> Any:
        return loop.run(ask_alone(question, lambda: heard(k, str(inputs.snapshots[k].session))))

    def decide(k: int, broker: ImmediateBroker, orders: bool = True) -> None:
        nonlocal before
        snapshot, name = inputs.snapshots[k], inputs.points[k]
        deciding, past, opinion, given = at[name], tuple(journal), opinions.get(k), (books or {}).get(snapshot.as_of)
        if k not in opinions and deciding.reads != "nothing":
            opinion = ask(k, deciding.opine(snapshot, slice_journal(deciding, past, before)))
        before = deciding, snapshot, opinion
        book = _book_at(snapshot.as_of, given, broker, inputs, isinstance(deciding, ReadsPast))
        if name in consulting:
            opinion = ask(k, consulting[name].consult(snapshot, opinion, book, past))
        intent = plan(snapshot, deciding, book, past, rules, opinion, broker.next_id)
        if orders and given is None:
            carry_out(intent, broker)
        elif orders:
            place(intent.allowed, broker, execution)
        results.append(CycleResult(intent.decision, intent.allowed, intent.cuts) if given is None else intent)
        journal.append(intent.decision)
        heard(k + 1, str(snapshot.session))

    def at_end(k: int, broker: ImmediateBroker) -> None:
        if isinstance(one := at[inputs.points[k]], Reports) and one.reports:
            decide(k, broker, orders=False)

    execution, marks, stopped = rules.execution, inputs.opening_marks, None
    try:
        ledger = backtrader_engine.replay(inputs.traded, inputs.instants, decide, execution, cash, marks, at_end)
    except LLMError as error:
        if not results or isinstance(error, NoResultError):
            raise
        stopped, inputs = error, inputs.until(len(results))
    tape = Tape.from_decisions([one.allowed for one in results], inputs.bars.symbols)
    if stopped is not None:
        ledger = backtrader_engine.replay_tape(inputs.traded, tape, execution, cash, marks)
    difference = audit.audit(ledger, kernel.replay_tape(inputs.traded, tape, execution, cash, marks))
    return Replayed(inputs, ledger, tuple(results), tape, difference, opinions, stopped)


def _book_at(
    as_of: datetime, given: Recorded | None, broker: ImmediateBroker, inputs: ReplayInputs, reads_past: bool
) -> Book:
    book = broker.book() if given is None else given.book
    if not reads_past:
        return book
    return replace(book, past=broker.past(as_of) if given is None else given.past(inputs))
