"""A run opened again to be checked: its facts, its decisions, and the strategy that made them, able to ask.

run folder ──► same bars, same strategy files, same seats (else: the command that runs it again) ──► Case
"""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date, datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from simulator.config import CONFIG_FILES, Config, Seat
from simulator.errors import DataError, UsageError
from simulator.llm.prices import Prices
from simulator.market.agenda import MEETING
from simulator.market.bars import Floats, Snapshot, moment
from simulator.replay.run import Progress, Replayed, Scene, play, prefetch
from simulator.research import measure
from simulator.research.asking import Asking
from simulator.research.contamination.cutoffs import ModelCutoff, asked, cutoffs_of, latest
from simulator.research.evidence import session_ends
from simulator.research.identity import identify
from simulator.research.spec import RunSpec
from simulator.research.staging import stage
from simulator.store.folders import read_lines
from simulator.strategies import load_strategy
from simulator.trading.cycle import Terms
from simulator.trading.execution import ExecutionRules
from simulator.trading.nouns import Book, Cadence, Decision, Strategy, Target
from simulator.trading.risk import Limits
from simulator.workspace import Workspace

if TYPE_CHECKING:
    from simulator.council.strategy import Council

SAME = 1e-9
"""Relative difference of equity within which a replay of the recorded decisions is the run."""


@dataclass(frozen=True, eq=False)
class Case:
    """A run and what is needed to put it to the test.

    `decisions` are those of decisions.jsonl, oldest first; `strategy` asks through `asking`. `config` is the run's,
    except for prices, limits and keys, which are the workspace's.
    """

    folder: Path
    facts: Mapping[str, Any]
    config: Config
    strategy: Strategy
    scene: Scene
    decisions: tuple[Decision, ...]
    asking: Asking
    silent: Progress

    @property
    def cash(self) -> float:
        return self.config.accounts.cash

    @cached_property
    def terms(self) -> Terms:
        limits = Limits.from_config(self.config.risk, self.config.assets)
        return Terms(limits, ExecutionRules.from_config(self.config.risk, self.config.costs))

    @cached_property
    def council(self) -> Council | None:
        """The strategy where it is a council, None for a rule."""
        return cast("Council", self.strategy) if getattr(self.strategy, "members", ()) else None

    @property
    def seats(self) -> Mapping[str, Seat]:
        """The model in every seat; empty for a rule."""
        return self.council.seats if self.council is not None else {}

    @property
    def asks_models(self) -> bool:
        """Whether anybody in it is a model, not an analyst by rule."""
        return bool(asked(self.models))

    @cached_property
    def models(self) -> tuple[ModelCutoff, ...]:
        return cutoffs_of(self.seats, Prices(self.config.models.prices))

    @property
    def cutoff(self) -> date | None:
        """The council's, None without models or while one is not known."""
        return latest(self.models)

    @cached_property
    def at_meetings(self) -> Scene:
        """The scene with its meetings as the only occasions: masked councils meet, they hold no checkpoints."""
        kept = np.array([occasion == MEETING for occasion in self.scene.occasions], dtype=bool)
        return replace(self.scene, instants=self.scene.instants[kept], occasions=())

    @cached_property
    def free(self) -> Floats:
        """(S,) risk-free return of each session."""
        return measure.risk_free(self.scene, self.config.assets).returns

    @cached_property
    def sessions(self) -> NDArray[np.datetime64]:
        """(S,) sessions of the run."""
        bars = self.scene.traded
        return bars.dates[session_ends(bars)]

    @cached_property
    def recorded(self) -> Replayed:
        """The recorded decisions replayed: nobody is asked. Raises DataError when they do not give the run's equity."""
        done = self.play(Recorded(self.decisions), self.scene)
        equity = done.ledger.equity[session_ends(done.ledger.bars)]
        stored = _stored_equity(self.folder / "equity.csv")
        if stored.shape != equity.shape or not np.allclose(stored, equity, rtol=SAME, atol=0.0):
            raise DataError(
                "its decisions, replayed, do not give its equity",
                where=str(self.folder / "equity.csv"),
                mend=f"`{self.facts['command']}` runs it again",
            )
        return done

    async def opine(self, strategy: Strategy) -> Mapping[int, Any]:
        """Opinions at every meeting, {index of the meeting: opinion}; none for a strategy that has none beforehand."""
        if not strategy.opines_ahead:
            return {}
        ahead = await prefetch(strategy, self.at_meetings, self.silent)
        if ahead.stopped is not None:
            raise ahead.stopped
        return ahead.opinions

    def play(self, strategy: Strategy, scene: Scene, opinions: Mapping[int, Any] | None = None) -> Replayed:
        """`strategy` traded over `scene` from `opinions` already formed."""
        return play(strategy, scene, self.terms, self.cash, opinions or {}, self.silent, self.asking.loop)

    def returns(self, done: Replayed) -> Floats:
        """(S,) return of each session."""
        return measure.session_returns(done.ledger, self.cash)

    def wants(self, strategy: Strategy, opinions: Mapping[int, Any]) -> tuple[dict[str, float], ...]:
        """{symbol: weight} wanted at each meeting by somebody who holds nothing: what was decided, not what is left to
        do."""

        async def all_of_them() -> tuple[dict[str, float], ...]:
            wanted = []
            for k, snapshot in enumerate(self.at_meetings.snapshots):
                book = _nothing_held(snapshot, self.cash)
                opinion = opinions.get(k)
                if opinion is None:
                    opinion = await strategy.opine(snapshot, ())
                decision = await strategy.decide(snapshot, opinion, book, ())
                wanted.append({target.symbol: target.weight for target in decision.targets})
            return tuple(wanted)

        return self.asking.loop.run(all_of_them())


class Recorded:
    """A strategy that decides what was decided."""

    name: str = "recorded"
    cadence: Cadence = "weekly"
    window: int = 1
    opines_ahead: bool = False

    def __init__(self, decisions: tuple[Decision, ...]) -> None:
        self._at = {decision.as_of: decision for decision in decisions}

    @property
    def checkpoint(self) -> Recorded:
        return self

    async def opine(self, snapshot: Snapshot, journal: Any) -> None:
        """There is none apart from the decision."""

    async def decide(self, snapshot: Snapshot, opinion: Any, book: Book, journal: Any) -> Decision:  # noqa: ARG002
        return self._at[snapshot.as_of]


def spec_of(folder: Path, max_cost: float) -> tuple[Mapping[str, Any], RunSpec]:
    """run.json of `folder` and the spec that makes that run again. Raises DataError."""
    path = folder / "run.json"
    try:
        facts = json.loads(path.read_text(encoding="utf-8"))
        last = facts["stopped"]["to"] if facts.get("partial") else facts["to"]
        spec = RunSpec(
            strategy=facts["strategy"],
            symbols=tuple(facts["symbols"]),
            first=date.fromisoformat(facts["from"]),
            last=date.fromisoformat(last),
            models=facts.get("models"),
            parameters=dict(facts["parameters"]),
            replicates=facts["replicates"]["count"],
            max_cost=max_cost,
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        raise DataError("is not the run.json of a run", where=str(path), mend="run the same `sim run` again") from None
    return facts, spec


def config_of(facts: Mapping[str, Any], workspace: Config) -> Config:
    """The run's configuration, with the models of `workspace`: prices, limits and keys are of today."""
    try:
        stored = facts["config"]
        sections: dict[str, Any] = {
            name: model.model_validate(stored[name]) for name, model in CONFIG_FILES.items() if name != "models"
        }
    except (ValidationError, KeyError, TypeError) as error:
        found = f"holds a configuration this version does not read ({str(error).splitlines()[0]})"
        raise DataError(found, where="run.json", mend=f"`{facts.get('command')}` runs it again") from None
    return Config(models=workspace.models, **sections)


def open_case(folder: Path, workspace: Workspace, config: Config, asking: Asking) -> Case:
    """The run in `folder`, to be asked through `asking`.

    Raises DataError where bars or strategy files are not what they were, UsageError where other models sit in its
    seats now: a check of another run would prove nothing.
    """
    facts, spec = spec_of(folder, 0.0)
    again = f"`{facts['command']}` runs it again"
    loaded = load_strategy(spec.strategy, workspace.strategies, asking, spec.parameters)
    changed = {*facts["strategy_files"].items()} ^ {*loaded.files.items()}
    if changed:
        name = min(changed)[0]
        raise DataError(f"strategies/{name} has changed since run {facts['run_id']}", mend=again)
    seats: Mapping[str, Seat] = getattr(loaded.strategy, "seats", {})
    for name, seat in seats.items():
        if seat.model_dump(mode="json") != facts["config"]["models"].get(name):
            found = f"profile {spec.models} has another model in seat {name} than run {facts['run_id']}"
            raise UsageError(found, where="config/models.yaml", mend=again)
    staged = stage(spec.symbols, spec.first, spec.last, loaded.strategy, workspace, config)
    if identify(spec, config, loaded, staged)["data_digest"] != facts["data_digest"]:
        raise DataError(f"bars or events have changed since run {facts['run_id']}", mend=again)
    decisions = tuple(_decision(row, folder) for row in read_lines(folder / "decisions.jsonl"))
    scene = staged.scene.until(len(decisions)) if facts.get("partial") else staged.scene
    if [moment(int(at)) for at in scene.instants] != [one.as_of for one in decisions]:
        raise DataError("decides on other dates than this version would", where=str(folder), mend=again)
    return Case(folder, facts, config, loaded.strategy, scene, decisions, asking, lambda *_: None)


def _decision(row: Mapping[str, Any], folder: Path) -> Decision:
    try:
        targets = tuple(Target(**target) for target in row["targets"])
        return Decision(datetime.fromisoformat(row["as_of"]), targets, row["record"])
    except (KeyError, TypeError, ValueError):
        raise DataError("is not what this version writes", where=str(folder / "decisions.jsonl")) from None


def _stored_equity(path: Path) -> Floats:
    try:
        with path.open(encoding="utf-8", newline="") as lines:
            return np.array([float(row["equity"]) for row in csv.DictReader(lines)])
    except (OSError, KeyError, ValueError):
        raise DataError("has no column of equity", where=str(path), mend="run the same `sim run` again") from None


def _nothing_held(market: Snapshot, cash: float) -> Book:
    return Book(cash, {}, {symbol: market.last(symbol) for symbol in market.symbols if market.has(symbol)}, cash)
