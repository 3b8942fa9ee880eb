"""Ablation of a council: its recorded votes decided again with one part taken away, and nobody asked.

run folder ──► same bars, same council ──► meetings recalled ──► variants ──play──► pairs ──► ablation.json
               (digests compared)          (decisions.jsonl)     (research/variants.py)

Every variant decides at the meetings only. Where the run has checkpoints, "no checkpoints" is the run without them and
stands in its place as the reference of all that follows, so that a pair differs in one thing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from simulator.analysis import variants
from simulator.analysis.pairs import Pair, adjust_pairs, compare_returns
from simulator.analysis.verdict import JUDGEMENT, describe_skill, judged_sessions
from simulator.council.context import PipelineContext
from simulator.council.earlier_theses import restore_meeting
from simulator.council.records import meeting_record
from simulator.errors import UsageError
from simulator.evidence.members import who_answers
from simulator.evidence.reader import read_decisions
from simulator.evidence.records import AblationRecord, Choice, VariantRecord, about
from simulator.market.bars import Floats
from simulator.replay.inputs import ReplayInputs
from simulator.replay.prefetch import silent
from simulator.replay.run import Replayed, play
from simulator.runs import measure
from simulator.runs.exposure import skill_record
from simulator.runs.reload import RecordedDecisions, ReloadedRun, config_of, read_spec, reload_run
from simulator.runs.strategies import Nobody, Seating
from simulator.trading.schedule import MEETING
from simulator.trading.strategy import Strategy
from simulator.workspace import Workspace

if TYPE_CHECKING:
    from simulator.council.strategy import Council

AS_RUN, NO_CHECKPOINTS, NO_CHAIRMAN = "as run", "no checkpoints", "no chairman"

Rewrite = Callable[[PipelineContext], PipelineContext]
Progress = Callable[[int, int, str], None]
"""Called with (done, total, what is done next)."""


@dataclass(frozen=True, eq=False)
class Case(ReloadedRun):
    """The run of a council, and the meetings behind its decisions."""

    @property
    def council(self) -> Council:
        council = super().council
        if council is None:
            raise UsageError(f"{self.strategy.name} is no council", mend="`sim ablate` takes the run of a council")
        return council

    @cached_property
    def judged(self) -> NDArray[np.bool_] | None:
        """(S,) sessions on which verdicts rest, those after the models' cut-off; None where none can be judged."""
        size, judged = len(self.free), judged_sessions(self.facts)
        return None if judged is None else np.arange(size) >= size - judged

    @cached_property
    def meetings(self) -> tuple[PipelineContext, ...]:
        """Every meeting, restored from its record."""
        points = zip(self.decisions, self.inputs.points, self.inputs.snapshots, strict=True)
        return tuple(
            restore_meeting(one.as_of, one.record, self.council.open(snapshot).metadata)
            for one, point, snapshot in points
            if point == MEETING
        )


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


def ablate(folder: Path, workspace: Workspace, progress: Progress | None = None) -> AblationRecord:
    """Return the content of ablation.json for the run in `folder`, from the folder, the bars and the strategy's files.

    A variant's ``meetings_changed`` counts meetings with other targets than its reference's; ``choices`` tell whom
    "best single manager" followed. Raises UsageError for a run of no council, DataError where bars or files of the
    strategy have changed since.
    """
    case = open_case(folder, workspace)
    tell = progress or silent
    plan = plan_variants(case)
    total = len(case.council.members) + 2 * len(plan)
    with asyncio.Runner() as loop:
        stage = _Stage(case, loop, tell, total)
        equity = {seat: stage.manager(seat).equity for seat in case.council.members}
        choices = variants.best_managers(case.at_meetings, equity)
        played = {one.name: stage.variant(one, choices) for one in plan}
    case.check_reproduced(played[AS_RUN])
    returns = {name: measure.session_returns(done.ledger, case.cash) for name, done in played.items()}
    kept = slice(None) if case.judged is None else case.judged
    pairs: dict[str, Pair] = {}
    for n, one in enumerate(plan):
        tell(total - len(plan) + n, total, f"comparing {one.name}")
        if one.against is not None:
            pairs[one.name] = compare_returns(returns[one.against][kept], returns[one.name][kept], case.free[kept])
    tell(total, total, "")
    pairs = adjust_pairs(pairs)
    run, points = case.facts, case.inputs.points
    return {
        **about(run),
        "sessions": run["sessions"],
        "judged": None if case.judged is None else int(case.judged.sum()),
        "cash": case.cash,
        "meetings": case.inputs.meetings,
        "checkpoints": len(points) - case.inputs.meetings,
        "variants": [_variant_record(one, case, played, pairs) for one in plan],
        "choices": _choices(case, choices, equity),
        "compared": sum(pair.p is not None for pair in pairs.values()),
        "adjustment": "holm",
        "notes": _notes(case, choices),
    }


def plan_variants(case: Case) -> tuple[Variant, ...]:
    """Return the variants that make sense for this run, a reference always before those that refer to it."""
    stages = case.council.spec.stages
    plan = [Variant(AS_RUN, "", "the run itself")]
    base = AS_RUN
    if MEETING in case.inputs.points and case.inputs.meetings < len(case.inputs.instants):
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
    """Return the run in `folder` with its bars and its council, both as they were. Raises UsageError and DataError."""
    run, spec = read_spec(folder)
    if not any(meeting_record(row["record"]) for row in read_decisions(folder / "decisions.jsonl", run)):
        raise UsageError(
            f"{run['strategy']} is no council: there are no votes to count again",
            mend="`sim ablate` takes the run of a council",
        )
    config = config_of(run)
    seats, accounts = config.models.profiles[config.models.default], tuple(config.accounts.accounts)
    seating = Seating(Nobody("an ablation"), seats, accounts)
    return Case(**vars(reload_run(folder, run, spec, workspace, config, seating)))


@dataclass
class _Stage:
    """Plays one account after the other, and says which."""

    case: Case
    loop: asyncio.Runner
    tell: Progress
    total: int
    done: int = 0

    def manager(self, seat: str) -> Any:
        """Return the books of the manager in `seat`, trading its pitches alone."""
        return self._play(seat, self.case.council.member(seat), self.case.at_meetings, self.case.meetings).ledger

    def variant(self, one: Variant, choices: Sequence[str | None]) -> Replayed:
        if one.name == AS_RUN:
            return self._play(one.name, RecordedDecisions(self.case.decisions), self.case.inputs, ())
        council = self.case.council
        opinions = [
            _rewritten(one, council, meeting, choice)
            for meeting, choice in zip(self.case.meetings, choices, strict=True)
        ]
        return self._play(one.name, council, self.case.at_meetings, opinions)

    def _play(self, name: str, strategy: Strategy[Any], inputs: ReplayInputs, opinions: Sequence[Any]) -> Replayed:
        self.tell(self.done, self.total, f"replaying {name}")
        self.done += 1
        case = self.case
        return play(strategy, inputs, case.rules, case.cash, dict(enumerate(opinions)), silent, self.loop)


def _rewritten(one: Variant, council: Council, meeting: PipelineContext, choice: str | None) -> PipelineContext:
    spec = council.spec
    if one.seat is not None:
        return variants.drop_seat(meeting, one.seat, spec)
    if one.name == "best single manager":
        return meeting if choice is None else variants.follow_manager(meeting, choice, spec)
    decided: dict[str, Rewrite] = {
        NO_CHECKPOINTS: lambda it: it,
        NO_CHAIRMAN: lambda it: variants.drop_chairman(it, spec),
        "no review": lambda it: variants.drop_reviews(it, spec),
        "simple majority": lambda it: variants.count_heads(it, spec),
    }
    return decided[one.name](meeting)


METRICS = ("total_return", "annual_return", "annual_volatility", "sharpe", "max_drawdown", "turnover", "exposure")


def _variant_record(
    one: Variant, case: Case, played: Mapping[str, Replayed], pairs: Mapping[str, Pair]
) -> VariantRecord:
    done, pair, accounts = played[one.name], pairs.get(one.name), case.config.accounts.accounts
    every = np.ones(len(case.free), dtype=np.bool_)
    summary = measure.account_part(done.ledger, case.cash, case.free, every if case.judged is None else case.judged)
    skill = None if case.judged is None else skill_record(case.skill(done).rows(case.judged))
    unknown = JUDGEMENT["not assessable"]
    values = {name: summary.values[name] for name in METRICS if name in summary.values}
    record: VariantRecord = {
        "name": one.name,
        "part": one.part,
        "what": one.what,
        "seat": one.seat,
        "who": who_answers(case.facts, one.seat) if one.seat else "",
        "account": next((name for name, account in accounts.items() if one.seat and account.role == one.seat), None),
        "metrics": values,
        "reasons": {name: why for name, why in summary.reasons.items() if name in values},
        "judgement": unknown if skill is None else describe_skill(skill),
        "against": one.against,
        "meetings_changed": None if one.against is None else _count_changes(case, done, played[one.against]),
        "pair": None if pair is None else pair.to_json(),
        "verdict": None if pair is None else unknown if skill is None and not pair.same else pair.verdict(one.part),
    }
    return record if skill is None else {**record, "skill": skill}


def _count_changes(case: Case, first: Replayed, second: Replayed) -> int:
    """Meetings at which the two wanted other weights."""
    weights = [
        {result.decision.as_of: {t.symbol: t.weight for t in result.decision.targets} for result in done.results}
        for done in (first, second)
    ]
    return sum(weights[0].get(meeting.as_of) != weights[1].get(meeting.as_of) for meeting in case.meetings)


def _choices(case: Case, choices: Sequence[str | None], equity: Mapping[str, Floats]) -> list[Choice]:
    closes = case.at_meetings.traded.closes_at
    rows: list[Choice] = []
    for meeting, at, seat in zip(case.meetings, case.at_meetings.instants, choices, strict=True):
        known = int(np.searchsorted(closes, at, side="right"))
        results = {name: round(float(path[known - 1]) / case.cash - 1, 6) for name, path in equity.items() if known}
        rows.append({"as_of": meeting.as_of.isoformat(), "seat": seat, "results": results})
    return rows


def _notes(case: Case, choices: Sequence[str | None]) -> list[str]:
    notes = []
    if case.judged is None:
        notes.append("the models may remember these sessions: fewer than 60 of them lie after a known cut-off")
    elif not case.judged.all():
        after = f"{case.judged.sum()} of {case.judged.size} sessions, after the models' cut-off"
        notes.append(f"figures, intervals and verdicts are of {after}")
    lost = sum(meeting.no_decision is not None for meeting in case.meetings)
    if lost:
        undecided = f"{lost} of {len(case.meetings)} meetings ended without a decision"
        notes.append(f"{undecided}; variants that need no chairman decide where only the chairman failed")
    if case.facts["replicates"]["count"] > 1:
        notes.append("only the first replicate is taken apart")
    if not any(choices):
        few = "1 meeting is" if len(case.meetings) == 1 else f"{len(case.meetings)} meetings are"
        notes.append(f"{few} too few to choose a manager by its results: the best single manager is left out")
    if case.facts["partial"]:
        notes.append(f"the run is partial, it ends on {case.facts['to']}")
    return notes
