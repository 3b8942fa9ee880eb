"""Future-bar mutation: what lies after each decision is replaced by noise, and the decision must stay, byte for byte.

bars … as_of | future ──► decision ─┐
bars … as_of | noise  ──► decision ─┴─► the same bytes?          every decision, with the book it really had

Nobody is asked anew: a question that is not on disk is one the run did not put, and so a difference.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from simulator.contamination.case import Case
from simulator.contamination.disguise import Wrapper
from simulator.contamination.results import Figure, Result
from simulator.errors import CacheMissError, SimError
from simulator.evidence.writer import decision_lines
from simulator.market.bars import Bars, Floats, Snapshot, moment
from simulator.numerics import exp
from simulator.replay.inputs import ReplayInputs
from simulator.replay.prefetch import prefetch, silent
from simulator.trading.cycle import CycleResult
from simulator.trading.model import Book, Decision
from simulator.trading.strategy import Strategy, slice_journal, strategy_at

NOISE = 0.05
"""Standard deviation of a bar's log return in the noise."""


@dataclass(frozen=True, eq=False)
class Mutated:
    """Opinions on the real past followed by the real future, and by noise; an opinion that could not be had again
    without asking something new is the SimError that says why."""

    as_run: Mapping[int, Any]
    mutated: Mapping[int, Any]
    lost: str | None = None


async def ask(case: Case) -> Mutated:
    inputs = case.inputs
    with _nobody_asked(case):
        try:
            ahead = await prefetch(case.strategy, inputs, silent)
        except CacheMissError as error:
            return Mutated({}, {}, str(error))
        if ahead.stopped is not None:
            return Mutated({}, {}, str(ahead.stopped))
        mutated = {k: await _again(case.strategy, inputs, k, ahead.opinions) for k in ahead.opinions}
    return Mutated(ahead.opinions, mutated)


def judge(case: Case, asked: Mutated, seed: int = 0) -> Result:
    """Flagged where one decision differs in one byte."""
    if asked.lost is not None:
        sentence = f"Not assessable: the answers of the run are no longer on disk ({asked.lost})."
        return Result("not assessable", sentence)
    twice = _Twice(case.strategy, case.inputs, asked.mutated, seed)
    with _nobody_asked(case):
        done = case.play(twice, case.inputs, asked.as_run)
    total = len(case.inputs.instants)
    recorded = _bytes(Decision(one.as_of, one.targets) for one in case.decisions)
    again = _bytes(Decision(result.decision.as_of, result.decision.targets) for result in done.results)
    notes = [] if recorded == again else ["decided anew, the run's decisions come out otherwise than in its folder"]
    notes += [f"{day}: {why}" for day, why in twice.differ[:5]]
    figures = (
        Figure("decisions tried", total, "count"),
        Figure("decisions that changed", len(twice.differ), "count"),
    )
    if twice.differ:
        sentence = f"FLAGGED: {len(twice.differ)} of {total} decisions change with bars after them: it looks ahead."
        return Result("flagged", sentence, figures, tuple(notes))
    sentence = f"All {total} decisions stay the same, byte for byte, when every later bar is replaced by noise."
    return Result("passed", sentence, figures, tuple(notes))


def with_noise(bars: Bars, known: int, seed: int) -> Bars:
    """`bars` whose rows from `known` on are noise: a random walk from the last close before them, every field of it."""
    rng = np.random.default_rng([seed, known])
    rest = (len(bars) - known, len(bars.symbols))
    last = np.array([_last(bars.close[:known, n]) for n in range(rest[1])])
    path = last * exp(np.cumsum(rng.normal(0.0, NOISE, rest), axis=0))
    opened = path * exp(rng.normal(0.0, NOISE / 2, rest))
    made = {
        "open": opened,
        "high": np.maximum(opened, path) * 1.01,
        "low": np.minimum(opened, path) * 0.99,
        "close": path,
        "volume": rng.uniform(1.0, 1e6, rest),
        "dividend": np.zeros(rest),
    }
    changed: dict[str, Any] = {name: np.vstack((getattr(bars, name)[:known], rows)) for name, rows in made.items()}
    return replace(bars, **changed)


def mutated_snapshot(inputs: ReplayInputs, k: int, seed: int = 0) -> Snapshot:
    """Return what is known at decision `k`, a view of bars whose later rows are noise."""
    at, as_of = inputs.instants[k], moment(int(inputs.instants[k]))
    known = int(np.searchsorted(inputs.bars.closes_at, at, side="right"))
    beside = int(np.searchsorted(inputs.context.closes_at, at, side="right"))
    real = inputs.snapshots[k]
    shown = with_noise(inputs.bars, known, seed).snapshot(as_of, (), with_noise(inputs.context, beside, seed + 1))
    return replace(real, bars=shown.bars, context=shown.context)


class _Twice(Wrapper):
    """Decides as `strategy` does, and once more with noise for a future; keeps where the two differ."""

    def __init__(self, strategy: Strategy[Any], inputs: ReplayInputs, mutated: Mapping[int, Any], seed: int) -> None:
        super().__init__(strategy)
        self.inputs, self.mutated, self.seed = inputs, dict(mutated), seed
        self.differ: list[tuple[str, str]] = []
        self._at = {snapshot.as_of: k for k, snapshot in enumerate(inputs.snapshots)}

    async def opine(self, snapshot: Snapshot, journal: Sequence[Decision]) -> Any:
        """Return the opinion; and a second one with noise for a future, kept for the decision."""
        deciding, k = self._deciding(snapshot)
        try:
            self.mutated[k] = await deciding.opine(mutated_snapshot(self.inputs, k, self.seed), journal)
        except SimError as error:
            self.mutated[k] = error
        return await deciding.opine(snapshot, journal)

    def decide(self, snapshot: Snapshot, opinion: Any, book: Book, journal: Sequence[Decision]) -> Decision:
        deciding, k = self._deciding(snapshot)
        decision = deciding.decide(snapshot, opinion, book, journal)
        other = self.mutated.get(k)
        try:
            if isinstance(other, SimError):
                raise other
            again = deciding.decide(mutated_snapshot(self.inputs, k, self.seed), other, book, journal)
        except SimError as error:
            self.differ.append((str(snapshot.as_of.date()), f"with another future: {error.found}"))
            return decision
        if _bytes([decision]) != _bytes([again]):
            self.differ.append((str(snapshot.as_of.date()), "decides otherwise with another future"))
        return decision

    def _deciding(self, snapshot: Snapshot) -> tuple[Strategy[Any], int]:
        k = self._at[snapshot.as_of]
        return strategy_at(self.strategy, self.inputs.points[k]), k


async def _again(strategy: Strategy[Any], inputs: ReplayInputs, k: int, opinions: Mapping[int, Any]) -> Any:
    """The opinion at `k` with noise for a future; minutes are those of the real point before it."""
    deciding, before = strategy_at(strategy, inputs.points[k]), None
    if k and k - 1 in opinions:
        before = strategy_at(strategy, inputs.points[k - 1]), inputs.snapshots[k - 1], opinions[k - 1]
    try:
        return await deciding.opine(mutated_snapshot(inputs, k), slice_journal(deciding, (), before))
    except CacheMissError as error:
        return error


@contextmanager
def _nobody_asked(case: Case) -> Iterator[None]:
    """Models are not asked inside: what is not on disk is a CacheMissError. Analysts by rule may answer."""
    gateway = case.asking.gateway
    before = gateway.mode
    if case.asks_models:
        gateway.mode = "replay"
    try:
        yield
    finally:
        gateway.mode = before


def _bytes(decisions: Any) -> bytes:
    return decision_lines([CycleResult(one, one) for one in decisions])


def _last(closes: Floats) -> float:
    known = closes[~np.isnan(closes)]
    return float(known[-1]) if len(known) else 100.0
