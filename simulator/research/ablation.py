"""What the council adds: its recorded votes decided again with one part taken away, and nobody asked.

run folder ──► same bars, same council ──► meetings recalled ──► variants ──play──► pairs ──► ablation.json
               (digests compared)          (decisions.jsonl)     (research/variants.py)

Every variant decides at the meetings only. Where the run has checkpoints, "no checkpoints" is the run without them and
stands in its place as the reference of all that follows, so that a pair differs in one thing.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from pydantic import ValidationError

from simulator.config import CONFIG_FILES, Config, Models, Seat
from simulator.council.context import PipelineContext
from simulator.council.recall import KIND, recalled
from simulator.errors import DataError, LLMError, UsageError
from simulator.market.agenda import MEETING
from simulator.market.bars import Floats, moment
from simulator.replay.run import Replayed, Scene, play
from simulator.research import measure, variants
from simulator.research.evidence import session_ends
from simulator.research.identity import identify
from simulator.research.pairs import Pair, adjusted, compared
from simulator.research.spec import RunSpec
from simulator.research.staging import Staged, stage
from simulator.store.folders import read_lines
from simulator.strategies import Loaded, load_strategy
from simulator.trading.cycle import Terms
from simulator.trading.execution import ExecutionRules
from simulator.trading.nouns import Book, Cadence, Decision, Strategy, Target
from simulator.trading.risk import Limits
from simulator.workspace import Workspace

if TYPE_CHECKING:
    from simulator.council.strategy import Council

AS_RUN, NO_CHECKPOINTS, NO_CHAIRMAN = "as run", "no checkpoints", "no chairman"

Rewrite = Callable[[PipelineContext], PipelineContext]
Progress = Callable[[int, int, str], None]
"""Called with (done, total, what is done next)."""

SAME = 1e-9
"""Relative difference of equity within which a replay of the recorded decisions is the run."""


@dataclass(frozen=True, eq=False)
class Case:
    """A run opened again: its folder's facts, its council and scene, its decisions and the meetings behind them."""

    facts: Mapping[str, Any]
    council: Council
    scene: Scene
    config: Config
    decisions: tuple[Decision, ...]

    @property
    def cash(self) -> float:
        return self.config.accounts.cash

    @cached_property
    def terms(self) -> Terms:
        config = self.config
        return Terms(
            Limits.from_config(config.risk, config.assets), ExecutionRules.from_config(config.risk, config.costs)
        )

    @cached_property
    def at_meetings(self) -> Scene:
        """The scene with its meetings as the only occasions."""
        kept = np.array([occasion == MEETING for occasion in self.scene.occasions], dtype=bool)
        return replace(self.scene, instants=self.scene.instants[kept], occasions=())

    @cached_property
    def meetings(self) -> tuple[PipelineContext, ...]:
        """What was said at each meeting, from the records."""
        held = zip(self.decisions, self.scene.occasions, self.scene.snapshots, strict=True)
        return tuple(
            recalled(one.as_of, one.record, self.council.open(snapshot).metadata)
            for one, occasion, snapshot in held
            if occasion == MEETING
        )

    @cached_property
    def free(self) -> Floats:
        """(S,) risk-free return of each session."""
        return measure.risk_free(self.scene, self.config.assets).returns


@dataclass(frozen=True)
class Variant:
    """One way to decide. `against` names the variant it differs from in one thing, None for the run itself.

    `part` is what that thing is, `what` a sentence on how the variant decides. `seat` is the manager left out.
    """

    name: str
    part: str
    what: str
    against: str | None = None
    seat: str | None = None


def ablate(folder: Path, workspace: Workspace, progress: Progress | None = None) -> dict[str, Any]:
    """The content of ablation.json for the run in `folder`. Reads the folder, the bars and the strategy's files.

    Keys: what was run (run_id, strategy, analysts, symbols, from, to, partial, sessions, meetings, checkpoints),
    ``variants``, ``choices`` (whom "best single manager" followed at each meeting), ``compared``, ``adjustment`` and
    ``notes``. A variant holds name, part, what, seat, account, metrics, meetings_changed (meetings with other targets
    than its reference's), against, pair (see :class:`simulator.research.pairs.Pair`, None without a reference) and
    verdict. Raises UsageError for a run of no council, DataError where bars or strategy files have changed since.
    """
    case = open_case(folder, workspace)
    tell = progress or (lambda *_: None)
    plan = planned(case)
    total = len(case.council.members) + 2 * len(plan)
    with asyncio.Runner() as loop:
        stage = _Stage(case, loop, tell, total)
        equity = {seat: stage.manager(seat).equity for seat in case.council.members}
        choices = variants.best_so_far(case.at_meetings, equity)
        played = {one.name: stage.variant(one, choices) for one in plan}
    _check_reproduced(folder, case, played[AS_RUN])
    returns = {name: measure.session_returns(done.ledger, case.cash) for name, done in played.items()}
    pairs: dict[str, Pair] = {}
    for n, one in enumerate(plan):
        tell(total - len(plan) + n, total, f"comparing {one.name}")
        if one.against is not None:
            pairs[one.name] = compared(returns[one.against], returns[one.name], case.free)
    tell(total, total, "")
    pairs = adjusted(pairs)
    return {
        **_about(case),
        "variants": [_described(one, case, played, pairs) for one in plan],
        "choices": _choices(case, choices, equity),
        "compared": sum(pair.p is not None for pair in pairs.values()),
        "adjustment": "holm",
        "notes": _notes(case, choices),
    }


def planned(case: Case) -> tuple[Variant, ...]:
    """The variants that make sense for this run, a reference always before those that refer to it."""
    stages = case.council.spec.stages
    plan = [Variant(AS_RUN, "", "the run itself")]
    base = AS_RUN
    if MEETING in case.scene.occasions and case.scene.meetings < len(case.scene.instants):
        base = NO_CHECKPOINTS
        plan.append(Variant(base, "the checkpoints", "meetings only; what they decide stands until the next", AS_RUN))
    vote = base
    if stages.chairman.enabled:
        vote = NO_CHAIRMAN
        plan.append(Variant(vote, "the chairman", "the score-weighted vote decides", base))
    if stages.review.enabled:
        plan.append(Variant("no review", "the reviews", "the vote, every pitch at its own conviction", vote))
    plan.append(Variant("simple majority", "weighing", "one vote a head on the direction", vote))
    if len(case.council.members) > 1:
        plan += [
            Variant(f"without {seat}", seat, "the vote; its pitch and the reviews of and by it left out", vote, seat)
            for seat in case.council.members
        ]
    if case.at_meetings.meetings > variants.FEWEST_MEETINGS:
        what = f"the pitch of whoever earned most by then; as the council before {variants.FEWEST_MEETINGS} meetings"
        plan.append(Variant("best single manager", "the council", what, base))
    return tuple(plan)


def open_case(folder: Path, workspace: Workspace) -> Case:
    """The run in `folder` with its bars and its council, both as they were. Raises UsageError and DataError."""
    facts = _read_facts(folder)
    again = f"`{facts['command']}` runs it again"
    rows = read_lines(folder / "decisions.jsonl")
    if not any(row.get("record", {}).get("kind") == KIND for row in rows):
        raise UsageError(
            f"{facts['strategy']} is no council: there are no votes to count again",
            mend="`sim ablate` takes the run of a council",
        )
    try:
        config, decisions = _config(facts), tuple(_decision(row) for row in rows)
        spec = _spec(facts)
    except (ValidationError, KeyError, TypeError, ValueError) as error:
        raise DataError(f"is not what this version writes ({_brief(error)})", where=str(folder), mend=again) from None
    loaded = load_strategy(spec.strategy, workspace.strategies, _Nobody(config), spec.parameters)
    _check_files(facts, loaded, again)
    staged = stage(spec.symbols, spec.first, spec.last, loaded.strategy, workspace, config)
    _check_bars(facts, spec, config, loaded, staged, again)
    scene = staged.scene.until(len(decisions)) if facts.get("partial") else staged.scene
    if [moment(int(at)) for at in scene.instants] != [one.as_of for one in decisions]:
        raise DataError("decides on other dates than this version would", where=str(folder), mend=again)
    return Case(facts, cast("Council", loaded.strategy), scene, config, decisions)


class _Nobody:
    """Seats as in the run, and a gateway that asks nobody: whatever puts a question here is a bug."""

    def __init__(self, config: Config) -> None:
        self.seats: Mapping[str, Seat] = config.models.profiles[config.models.default]
        self.accounts = tuple(config.accounts.accounts)

    @property
    def gateway(self) -> _Nobody:
        return self

    async def ask_for(self, request: Any, model: Any) -> Any:  # noqa: ARG002
        raise LLMError("an ablation asks nobody, and was about to")


class _Recorded:
    """Decides once more what was decided: the opinions it is handed are the decisions of the run."""

    opines_ahead = False

    def __init__(self, council: Council) -> None:
        self.name: str = council.name
        self.cadence: Cadence = council.cadence
        self.window: int = council.window

    @property
    def checkpoint(self) -> Strategy:
        return self

    async def opine(self, snapshot: Any, journal: Sequence[Decision]) -> Any:  # noqa: ARG002
        return Decision(snapshot.as_of)

    async def decide(self, snapshot: Any, opinion: Any, book: Book, journal: Sequence[Decision]) -> Decision:  # noqa: ARG002
        decision: Decision = opinion
        return decision


@dataclass
class _Stage:
    """Plays one account after the other, and says which."""

    case: Case
    loop: asyncio.Runner
    tell: Progress
    total: int
    done: int = 0

    def manager(self, seat: str) -> Any:
        """The books of the manager in `seat`, trading its pitches alone."""
        return self._play(seat, self.case.council.member(seat), self.case.at_meetings, self.case.meetings).ledger

    def variant(self, one: Variant, choices: Sequence[str | None]) -> Replayed:
        if one.name == AS_RUN:
            return self._play(one.name, _Recorded(self.case.council), self.case.scene, self.case.decisions)
        council = self.case.council
        opinions = [
            _rewritten(one, council, meeting, choice)
            for meeting, choice in zip(self.case.meetings, choices, strict=True)
        ]
        return self._play(one.name, council, self.case.at_meetings, opinions)

    def _play(self, name: str, strategy: Strategy, scene: Scene, opinions: Sequence[Any]) -> Replayed:
        self.tell(self.done, self.total, f"replaying {name}")
        self.done += 1
        case = self.case
        return play(strategy, scene, case.terms, case.cash, dict(enumerate(opinions)), lambda *_: None, self.loop)


def _rewritten(one: Variant, council: Council, meeting: PipelineContext, choice: str | None) -> PipelineContext:
    spec = council.spec
    if one.seat is not None:
        return variants.without(meeting, one.seat, spec)
    if one.name == "best single manager":
        return meeting if choice is None else variants.alone(meeting, choice, spec)
    decided: dict[str, Rewrite] = {
        NO_CHECKPOINTS: lambda it: it,
        NO_CHAIRMAN: lambda it: variants.by_vote(it, spec),
        "no review": lambda it: variants.unweighted(it, spec),
        "simple majority": lambda it: variants.by_majority(it, spec),
    }
    return decided[one.name](meeting)


def _read_facts(folder: Path) -> dict[str, Any]:
    path = folder / "run.json"
    try:
        facts: dict[str, Any] = json.loads(path.read_bytes())
        if not isinstance(facts.get("command"), str) or not isinstance(facts.get("strategy"), str):
            raise ValueError
    except (OSError, ValueError, AttributeError):
        raise DataError("is not the run.json of a run", where=str(path), mend="run the same `sim run` again") from None
    return facts


def _spec(facts: Mapping[str, Any]) -> RunSpec:
    last = facts["stopped"]["to"] if facts.get("partial") else facts["to"]
    return RunSpec(
        strategy=facts["strategy"],
        symbols=tuple(facts["symbols"]),
        first=date.fromisoformat(facts["from"]),
        last=date.fromisoformat(last),
        models=facts.get("models"),
        parameters=dict(facts["parameters"]),
        replicates=facts["replicates"]["count"],
    )


def _config(facts: Mapping[str, Any]) -> Config:
    """The configuration the run was made with; of the models only those that sat in it."""
    stored = facts["config"]
    sections: dict[str, Any] = {
        name: model.model_validate(stored[name]) for name, model in CONFIG_FILES.items() if name != "models"
    }
    return Config(models=Models(default="run", profiles={"run": stored["models"]}), **sections)


def _decision(row: Mapping[str, Any]) -> Decision:
    targets = tuple(Target(**target) for target in row["targets"])
    return Decision(datetime.fromisoformat(row["as_of"]), targets, row["record"])


def _brief(error: Exception) -> str:
    return f"{type(error).__name__}: {str(error).splitlines()[0]}"


def _check_files(facts: Mapping[str, Any], loaded: Loaded, again: str) -> None:
    then, now = facts["strategy_files"], loaded.files
    changed = sorted(name for name in {*then, *now} if then.get(name) != now.get(name))
    if changed:
        more = f" and {len(changed) - 1} more files have" if len(changed) > 1 else " has"
        raise DataError(f"strategies/{changed[0]}{more} changed since run {facts['run_id']}", mend=again)


def _check_bars(
    facts: Mapping[str, Any], spec: RunSpec, config: Config, loaded: Loaded, staged: Staged, again: str
) -> None:
    if identify(spec, config, loaded, staged)["data_digest"] != facts["data_digest"]:
        raise DataError(f"bars or events have changed since run {facts['run_id']}", mend=again)


def _check_reproduced(folder: Path, case: Case, done: Replayed) -> None:
    """The recorded decisions, replayed, must give the equity in the folder: else engine and evidence do not match."""
    import csv

    path = folder / "equity.csv"
    try:
        with path.open(encoding="utf-8", newline="") as lines:
            stored = np.array([float(row["equity"]) for row in csv.DictReader(lines)])
    except (OSError, KeyError, ValueError):
        raise DataError("has no column of equity", where=str(path), mend=f"`{case.facts['command']}`") from None
    equity = done.ledger.equity[session_ends(done.ledger.bars)]
    if stored.shape != equity.shape or not np.allclose(stored, equity, rtol=SAME, atol=0.0):
        raise DataError(
            "its decisions, replayed, do not give its equity", where=str(path), mend=f"`{case.facts['command']}`"
        )


def _about(case: Case) -> dict[str, Any]:
    told = ("run_id", "digest", "strategy", "analysts", "symbols", "from", "to", "partial", "sessions", "command")
    occasions = case.scene.occasions
    return {
        **{name: case.facts.get(name) for name in told},
        "cash": case.cash,
        "meetings": case.scene.meetings,
        "checkpoints": len(occasions) - case.scene.meetings,
    }


METRICS = ("total_return", "annual_return", "annual_volatility", "sharpe", "max_drawdown", "turnover", "exposure")


def _described(one: Variant, case: Case, played: Mapping[str, Replayed], pairs: Mapping[str, Pair]) -> dict[str, Any]:
    done, pair = played[one.name], pairs.get(one.name)
    summary = measure.account(done.ledger, case.cash, case.free)
    values = {name: summary.values[name] for name in METRICS if name in summary.values}
    return {
        "name": one.name,
        "part": one.part,
        "what": one.what,
        "seat": one.seat,
        "account": _account(case, one.seat),
        "metrics": values,
        "reasons": {name: why for name, why in summary.reasons.items() if name in values},
        "against": one.against,
        "meetings_changed": None if one.against is None else _changed(case, done, played[one.against]),
        "pair": None if pair is None else pair.to_json(),
        "verdict": None if pair is None else pair.verdict(one.part),
    }


def _account(case: Case, seat: str | None) -> str | None:
    """Name of the account whose role is `seat`."""
    accounts = case.config.accounts.accounts
    return next((name for name, account in accounts.items() if seat and account.role == seat), None)


def _changed(case: Case, first: Replayed, second: Replayed) -> int:
    """Meetings at which the two wanted other weights."""
    wanted = [
        {turn.wanted.as_of: {t.symbol: t.weight for t in turn.wanted.targets} for turn in done.turns}
        for done in (first, second)
    ]
    return sum(wanted[0].get(meeting.as_of) != wanted[1].get(meeting.as_of) for meeting in case.meetings)


def _choices(case: Case, choices: Sequence[str | None], equity: Mapping[str, Floats]) -> list[dict[str, Any]]:
    closes = case.at_meetings.traded.closes_at
    rows = []
    for meeting, at, seat in zip(case.meetings, case.at_meetings.instants, choices, strict=True):
        known = int(np.searchsorted(closes, at, side="right"))
        results = {name: round(float(path[known - 1]) / case.cash - 1, 6) for name, path in equity.items() if known}
        rows.append({"as_of": meeting.as_of.isoformat(), "seat": seat, "results": results})
    return rows


def _notes(case: Case, choices: Sequence[str | None]) -> list[str]:
    notes = []
    lost = sum(meeting.no_decision is not None for meeting in case.meetings)
    if lost:
        said = f"{lost} of {len(case.meetings)} meetings ended without a decision"
        notes.append(f"{said}; variants that need no chairman decide where only the chairman failed")
    if case.facts["replicates"]["count"] > 1:
        notes.append("only the first replicate is taken apart")
    if not any(choices):
        few = f"{len(case.meetings)} meetings are too few to choose a manager by its results"
        notes.append(f"{few}: the best single manager is left out")
    if case.facts.get("partial"):
        notes.append(f"the run is partial, it ends on {case.facts['to']}")
    return notes
