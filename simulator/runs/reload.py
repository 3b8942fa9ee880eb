"""A run opened again from its folder, to be played otherwise: only with what it was made of.

run.json, decisions.jsonl ──► configuration, strategy, inputs ──► same files, bars and dates? ──► ReloadedRun
                                                                 no: the command that runs it again
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import ValidationError

from simulator.config import CONFIG_FILES, Config, Models
from simulator.errors import DataError, UsageError
from simulator.evidence.reader import read_decisions, read_equity, read_run
from simulator.evidence.records import RunRecord, TargetRow
from simulator.evidence.writer import session_ends
from simulator.market.bars import Floats, Snapshot, moment
from simulator.printing import say
from simulator.replay.inputs import ReplayInputs
from simulator.replay.run import Replayed
from simulator.runs import measure
from simulator.runs.exposure import SkillSeries, skill_series
from simulator.runs.identity import data_digest
from simulator.runs.load_inputs import load_inputs
from simulator.runs.spec import RunSpec
from simulator.runs.strategies import SOURCE, Seating, load_strategy, passed_before
from simulator.trading.cycle import TradingRules
from simulator.trading.model import Book, Cadence, Decision, Target
from simulator.trading.schedule import MEETING
from simulator.trading.strategy import Reads, Strategy, points_of
from simulator.workspace import Workspace

if TYPE_CHECKING:
    from simulator.council.strategy import Council

SAME = 1e-9
"""Relative difference of equity within which a replay of the recorded decisions is the run."""


UNSTATED: dict[str, dict[str, float | str]] = {
    "costs": {"margin_spread": 0.0, "limit_fill": "touch"},
    "risk": {"min_trade": 0.0},
}
"""Values of settings in runs that were made before these could be stated."""


@dataclass(frozen=True, eq=False)
class ReloadedRun:
    """A run with its strategy and the bars it played on, both as they were.

    `decisions` are those of decisions.jsonl, one per instant of `inputs`. `altered` says what has changed in the folder
    since, where it is played all the same.
    """

    folder: Path
    facts: RunRecord
    config: Config
    strategy: Strategy[Any]
    inputs: ReplayInputs
    decisions: tuple[Decision, ...]
    altered: str

    @property
    def council(self) -> Council | None:
        """The strategy where it is a council, None for a rule."""
        from simulator.council.strategy import Council

        return self.strategy if isinstance(self.strategy, Council) else None

    @property
    def cash(self) -> float:
        return self.config.accounts.cash

    @cached_property
    def rules(self) -> TradingRules:
        return TradingRules.from_config(self.config)

    @cached_property
    def at_meetings(self) -> ReplayInputs:
        """The inputs with meetings as the only points."""
        kept = np.array([point == MEETING for point in self.inputs.points], dtype=bool)
        return replace(self.inputs, instants=self.inputs.instants[kept], points=())

    @cached_property
    def free(self) -> Floats:
        """(S,) risk-free return of each session: the one on record, which older versions took from elsewhere."""
        recorded = read_equity(self.folder, self.facts)[1].get("risk_free")
        return measure.risk_free(self.inputs, self.cash) if recorded is None else recorded

    def skill(self, replayed: Replayed) -> SkillSeries:
        """Returns of `replayed` on the run's bars beyond its own usual exposure."""
        instrument = self.config.assets.cash_instrument
        return skill_series(replayed.ledger, replayed.tape, self.rules.execution, self.cash, self.free, instrument)

    def check_reproduced(self, replayed: Replayed) -> None:
        """Raise DataError where `replayed`, the recorded decisions, does not give the equity in the folder.

        Engine and evidence do not match then; a folder known to be altered is played on, with a warning on stderr.
        """
        stored = read_equity(self.folder, self.facts)[1]["equity"]
        equity = replayed.ledger.equity[session_ends(replayed.ledger.bars)]
        if stored.shape != equity.shape or not np.allclose(stored, equity, rtol=SAME, atol=0.0):
            found, where = "its decisions, replayed, do not give its equity", str(self.folder / "equity.csv")
            if self.altered:
                say(f"sim: warning: {where}: {found}; what follows is of its decisions", err=True)
                return
            raise DataError(found, where=where, mend=again(self.facts))


class RecordedDecisions:
    """A strategy that decides what was decided."""

    name: str = "recorded"
    cadence: Cadence = "weekly"
    window: int = 1
    reads: Reads = "nothing"

    def __init__(self, decisions: Sequence[Decision]) -> None:
        self._at = {decision.as_of: decision for decision in decisions}

    async def opine(self, snapshot: Snapshot, journal: Sequence[Decision]) -> None:
        """There is none apart from the decision."""

    def decide(self, snapshot: Snapshot, _opinion: None, _book: Book, _journal: Sequence[Decision]) -> Decision:
        return self._at[snapshot.as_of]


def read_spec(folder: Path) -> tuple[RunRecord, RunSpec]:
    """Return run.json of `folder` and the spec that makes that run again, a partial one up to where it was to go.

    Raises DataError.
    """
    run = read_run(folder)
    stopped = run.get("stopped")
    try:
        first, last = (date.fromisoformat(text) for text in (run["from"], stopped["to"] if stopped else run["to"]))
    except ValueError as error:
        raise DataError(str(error), where=str(folder / "run.json"), mend=again(run)) from None
    spec = RunSpec(
        strategy=run["strategy"],
        symbols=tuple(run["symbols"]),
        first=first,
        last=last,
        models=run["models"],
        parameters=dict(run["parameters"]),
        replicates=run["replicates"]["count"],
        bars=run.get("bars"),
    )
    return run, spec


def _passed_strategy(run: RunRecord) -> type | Callable[..., Any] | None:
    """Return the class or function that was passed from Python as the strategy of `run`, None where files hold it."""
    if SOURCE not in run.get("parts", {}):
        return None
    (digest,) = run["strategy_files"].values()
    if (found := passed_before(digest)) is None:
        what = f"{run['strategy']} of run {run['run_id']} was passed from Python and is not known here"
        mend = f"in the session that defines it, `run = {run['command']}` finds the run again, then run.check()"
        raise UsageError(what, mend=mend)
    return found


def again(run: RunRecord) -> str:
    """Return what mends a run that cannot be reloaded any more."""
    return f"`{run['command']}` runs it again"


def config_of(run: RunRecord, models: Models | None = None) -> Config:
    """Return the configuration a run was made with; of the models only those that sat in it, or `models` instead.

    Raises DataError.
    """
    try:
        stored = run["config"]
        seated = models or Models.model_validate({"default": "run", "profiles": {"run": stored["models"]}})
        sections: dict[str, Any] = {
            name: model.model_validate(UNSTATED.get(name, {}) | dict(stored[name]))
            for name, model in CONFIG_FILES.items()
            if name != "models"
        }
    except (ValidationError, KeyError, TypeError) as error:
        found = f"holds a configuration this version does not read ({str(error).splitlines()[0]})"
        raise DataError(found, where="run.json", mend=again(run)) from None
    return Config(models=seated, **sections)


def reload_run(
    folder: Path,
    run: RunRecord,
    spec: RunSpec,
    workspace: Workspace,
    config: Config,
    seating: Seating,
    altered: str = "",
) -> ReloadedRun:
    """Return the run in `folder`; `run` and `spec` are those of :func:`read_spec`. Councils ask through `seating`.

    Raises DataError where strategy files, bars, events or dates of decision are not what they were, UsageError where
    the strategy was passed from Python and this process never ran it.
    """
    strategy = _passed_strategy(run) or spec.strategy
    loaded = load_strategy(strategy, workspace.strategies, seating, spec.own, len(spec.symbols))
    _check_files(run, loaded.files)
    window, points = loaded.strategy.window, points_of(loaded.strategy, config.schedule)
    there, beside = workspace.reading(spec.bars), tuple(run["context"])
    staged = load_inputs(spec.symbols, spec.first, spec.last, window, points, there, config, beside)
    if data_digest(staged.inputs) != run["data_digest"]:
        raise DataError(f"bars or events have changed since run {run['run_id']}", mend=again(run))
    decisions = tuple(
        Decision(datetime.fromisoformat(row["as_of"]), tuple(map(read_target, row["targets"])), row["record"])
        for row in read_decisions(folder / "decisions.jsonl", run)
    )
    inputs = staged.inputs.until(len(decisions)) if run["partial"] else staged.inputs
    if [moment(int(at)) for at in inputs.instants] != [one.as_of for one in decisions]:
        raise DataError(
            "decides on other dates than this version would", where=str(folder / "decisions.jsonl"), mend=again(run)
        )
    return ReloadedRun(folder, run, config, loaded.strategy, inputs, decisions, altered)


def read_target(row: TargetRow) -> Target:
    """Return the target behind a row of decisions.jsonl."""
    given: Any = {**row, "exits": tuple((share, price) for share, price in row.get("exits", ()))}
    return Target(**given)


def _check_files(run: RunRecord, now: Mapping[str, str]) -> None:
    then = run["strategy_files"]
    changed = sorted(name for name in {*then, *now} if then.get(name) != now.get(name))
    if changed:
        if SOURCE in run.get("parts", {}):
            raise DataError(f"{changed[0]}, or what it reads, has changed since run {run['run_id']}", mend=again(run))
        more = f" and {len(changed) - 1} more files have" if len(changed) > 1 else " has"
        raise DataError(f"strategies/{changed[0]}{more} changed since run {run['run_id']}", mend=again(run))
