"""A run opened again to be checked: its facts, its decisions, and the strategy that made them, able to ask.

run folder ──reload──► same models in the seats? (else: the command that runs it again) ──► Case
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simulator.config import Config, Seat
from simulator.contamination.split import parts_of
from simulator.errors import UsageError
from simulator.evidence.members import served_by_seat
from simulator.evidence.reader import read_calls
from simulator.evidence.records import CallRow
from simulator.evidence.writer import session_ends
from simulator.llm.cutoffs import AFTER, ModelCutoff, cutoffs_of, grey_until, language_models, latest_cutoff
from simulator.llm.spending.prices import Prices
from simulator.market.bars import Floats, Snapshot
from simulator.replay.inputs import ReplayInputs
from simulator.replay.prefetch import prefetch, silent
from simulator.replay.run import Replayed, play
from simulator.runs import measure
from simulator.runs.gateway_setup import Asking
from simulator.runs.reload import RecordedDecisions, ReloadedRun, again, read_spec, reload_run
from simulator.stats.metrics import ENOUGH_SESSIONS
from simulator.trading.model import Book
from simulator.trading.strategy import Strategy
from simulator.workspace import Workspace


@dataclass(frozen=True, eq=False)
class Case(ReloadedRun):
    """A run and what is needed to put it to the test.

    `strategy` asks through `asking`. `config` is the run's, except for prices, limits and keys, which are the
    workspace's; masked councils play on `at_meetings`: they meet, they hold no checkpoints.
    """

    asking: Asking

    @property
    def seats(self) -> Mapping[str, Seat]:
        """The model in every seat; empty for a rule."""
        return self.council.seats if self.council is not None else {}

    @property
    def asks_models(self) -> bool:
        """True where anybody in it is a model, not an analyst by rule."""
        return bool(language_models(self.models))

    @cached_property
    def models(self) -> tuple[ModelCutoff, ...]:
        return cutoffs_of(self.seats, Prices(self.config.models.prices), served_by_seat(self.calls))

    @cached_property
    def calls(self) -> tuple[CallRow, ...]:
        """Questions of the run, and who answered them."""
        return read_calls(self.folder, self.facts)

    @property
    def cutoff(self) -> date | None:
        """The council's, None without models or while one is not known."""
        return latest_cutoff(self.models)

    @cached_property
    def sessions(self) -> NDArray[np.datetime64]:
        """(S,) sessions of the run."""
        bars = self.inputs.traded
        return bars.dates[session_ends(bars)]

    @cached_property
    def judged(self) -> NDArray[np.bool_]:
        """(S,) sessions that its models cannot remember: all where nobody is a model or fewer than 60 are left."""
        every = np.ones(len(self.sessions), dtype=np.bool_)
        after = every if self.cutoff is None else parts_of(self.sessions, self.cutoff)[AFTER]
        return after if after.sum() >= ENOUGH_SESSIONS else every

    @property
    def remembered(self) -> str:
        """A note on the sessions `judged`; empty where nobody is a model."""
        if not self.asks_models:
            return ""
        size, judged = len(self.judged), int(self.judged.sum())
        if self.cutoff is not None and np.datetime64(grey_until(self.cutoff)) < self.sessions[self.judged][0]:
            return f"on the {judged} of {size} sessions after the models' cut-off"
        return f"on all {size} sessions, which the models may remember: it shows no skill"

    @cached_property
    def recorded(self) -> Replayed:
        """The recorded decisions replayed: nobody is asked. Raises DataError when they do not give the run's equity."""
        done = self.play(RecordedDecisions(self.decisions), self.inputs)
        self.check_reproduced(done)
        return done

    async def opine(self, strategy: Strategy[Any]) -> Mapping[int, Any]:
        """Opinions at every meeting, {index of the meeting: opinion}; none for a strategy that has none beforehand."""
        ahead = await prefetch(strategy, self.at_meetings, silent)
        if ahead.stopped is not None:
            raise ahead.stopped
        return ahead.opinions

    def play(
        self, strategy: Strategy[Any], inputs: ReplayInputs, opinions: Mapping[int, Any] | None = None
    ) -> Replayed:
        """`strategy` traded over `inputs` from `opinions` already formed."""
        return play(strategy, inputs, self.rules, self.cash, opinions or {}, silent, self.asking.loop)

    def returns(self, done: Replayed) -> Floats:
        """(S,) return of each session."""
        return measure.session_returns(done.ledger, self.cash)

    def wants(self, strategy: Strategy[Any], opinions: Mapping[int, Any]) -> tuple[dict[str, float], ...]:
        """{symbol: weight} wanted at each meeting by somebody who holds nothing: what was decided, not what is left to
        do."""

        weights = []
        for k, snapshot in enumerate(self.at_meetings.snapshots):
            opinion = opinions.get(k)
            if opinion is None and strategy.reads != "nothing":
                opinion = self.asking.loop.run(strategy.opine(snapshot, ()))
            decision = strategy.decide(snapshot, opinion, _nothing_held(snapshot, self.cash), ())
            weights.append({target.symbol: target.weight for target in decision.targets})
        return tuple(weights)


def open_case(folder: Path, workspace: Workspace, config: Config, asking: Asking, altered: str = "") -> Case:
    """Return the run in `folder`, to be asked through `asking`; `altered` is as in `ReloadedRun`.

    Raises DataError where bars or strategy files are not what they were, UsageError where other models sit in its
    seats now: a check of another run would prove nothing.
    """
    run, spec = read_spec(folder)
    case = Case(**vars(reload_run(folder, run, spec, workspace, config, asking, altered)), asking=asking)
    for name, seat in case.seats.items():
        if seat.model_dump(mode="json") != run["config"]["models"].get(name):
            found = f"profile {spec.models} has another model in seat {name} than run {run['run_id']}"
            raise UsageError(found, where="config/models.yaml", mend=again(run))
    return case


def _nothing_held(market: Snapshot, cash: float) -> Book:
    return Book(cash, {}, {symbol: market.last(symbol) for symbol in market.symbols if market.has(symbol)}, cash)
