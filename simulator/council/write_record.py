"""The evidence of a meeting or checkpoint as JSON: what each member saw, answered and voted, enough to print it without
the cache. Types of the records stand in simulator/council/records.py."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, cast

from simulator.council.context import Answered, PipelineContext
from simulator.council.facts import last_close
from simulator.council.records import (
    AnswerRow,
    CheckpointRecord,
    EventRow,
    ExecutionRow,
    Facts,
    MeetingRecord,
    MemberRecord,
    RevisedThesis,
    ShortlistRow,
)
from simulator.council.revision import Revision, theses_of
from simulator.council.shortlist import Shortlist, may_hold
from simulator.council.stages.base import Setup
from simulator.council.stages.chairman import chairman_labels
from simulator.council.stages.checkpoint import return_since_entry
from simulator.council.stages.execution import Executed
from simulator.council.stages.review import reviewer_labels
from simulator.council.thesis import new_york, terms_row, thesis_row
from simulator.council.vote import net_votes, votes_of


def evidence(context: PipelineContext, setup: Setup) -> MeetingRecord:
    """Return the record of a council's decision: `minutes` and ``execution``."""
    return {**minutes(context, setup), "execution": [execution_row(one) for one in context.execution_results]}


def minutes(context: PipelineContext, setup: Setup) -> MeetingRecord:
    """Return the record of a meeting before any account acted on it.

    ``prompts`` is one digest of all prompt files (each one's stands in run.json), ``labels`` are those under which
    pitches were shown, ``opened`` are the theses checkpoints are to follow, where there are checkpoints.
    """
    spec, managers = setup.spec, setup.spec.managers
    shown: dict[str, dict[str, str]] = {}
    if spec.stages.review.enabled and context.peer_reviews:
        shown = {reviewer: reviewer_labels(context, reviewer, setup) for reviewer in managers}
    if context.chairman_decision is not None:
        shown[context.chairman_decision.seat] = chairman_labels(context, setup)
    votes = votes_of(context)
    record: MeetingRecord = {
        "kind": "council",
        "no_decision": context.no_decision,
        "user_query": context.user_query,
        "facts": context.facts,
        "seats": context.metadata["seats"],
        "prompts": prompts_digest(context),
        "research": [answer_row(one) for one in context.research_packs],
        "pitches": [answer_row(one) for one in context.pm_pitches],
        "reviews": [answer_row(one) for one in context.peer_reviews],
        "chairman": None if context.chairman_decision is None else answer_row(context.chairman_decision),
        "labels": {reader: {label: seat for seat, label in order.items()} for reader, order in shown.items()},
        "scores": {seat: round(vote.score, 3) for seat, vote in votes.items() if vote.score is not None},
        "net_votes": net_votes(votes_of(context.without(spec.vote.silent), spec.vote), 3),
    }
    if context.shortlist is not None:
        record["shortlist"], record["may_hold"] = shortlist_row(context.shortlist), may_hold(context)
    if spec.stages.checkpoint.enabled:
        record["opened"] = [thesis_row(one) for one in theses_of(context, spec)]
    return record


STAGES = {
    "research": ("research",),
    "pitch": ("pitches",),
    "review": ("reviews", "labels", "scores"),
    "chairman": ("chairman", "labels"),
}
"""Parts of the minutes that a stage brings."""


def stage_minutes(stage: str, context: PipelineContext, setup: Setup) -> Mapping[str, object]:
    """Return what `stage`, which is over, brings to the minutes: together those of all stages are what was said."""
    names = ("kind", "no_decision", "seats", *STAGES.get(stage, ()))
    return {name: part for name, part in minutes(context, setup).items() if name in names}


def shortlist_row(shortlist: Shortlist) -> ShortlistRow:
    """Return the list a meeting was about as JSON; ``answer`` where a model made it."""
    row: ShortlistRow = {
        "by": shortlist.by,
        "of": shortlist.of,
        "symbols": list(shortlist.symbols),
        "held": list(shortlist.held),
    }
    if shortlist.answered is not None:
        row["answer"] = answer_row(shortlist.answered)
    return row


def member_evidence(context: PipelineContext, seat: str, done: Executed | None) -> MemberRecord:
    """Return the record of one manager trading alone: its pitch and what was done with it."""
    pitch = next((one for one in context.pm_pitches if one.seat == seat), None)
    return {
        "kind": "member",
        "no_decision": None if pitch is not None and pitch.value is not None else f"{seat} gave no pitch",
        "pitch": None if pitch is None else answer_row(pitch),
        "execution": [] if done is None else [execution_row(done)],
    }


def checkpoint_minutes(context: PipelineContext) -> CheckpointRecord:
    """Return the record of a checkpoint before any account acted on it."""
    record: CheckpointRecord = {
        "kind": "checkpoint",
        "meeting": context.metadata["meeting"],
        "facts": context.facts,
        "seats": context.metadata["seats"],
        "prompts": prompts_digest(context),
        "theses": [revision_row(one, context.facts) for one in context.revisions],
    }
    if "may_hold" in context.metadata:
        record["may_hold"] = context.metadata["may_hold"]
    return record


def revision_row(revision: Revision, facts: Facts) -> RevisedThesis:
    """Return a thesis and what a checkpoint made of it.

    ``seat`` holds it, ``author`` wrote its pitch. As found: ``direction``, ``conviction_before``, ``state``, ``entry``
    and ``exit`` {at, price} or None, ``return_since_entry_pct``. As left: ``conviction``, ``action`` (empty where stop
    or target had ended it), ``stop``, ``target``, ``terms`` (all since the meeting). ``keys`` and ``answer`` or
    ``error`` where it was asked.
    """
    thesis, standing = revision.thesis, revision.followed.standing
    terms = thesis.terms if revision.terms is None else thesis.under(revision.terms).terms
    price = standing.exit if standing.exit is not None else last_close(facts, thesis.instrument)
    asked: Mapping[str, object] = {} if revision.answered is None else answer_row(revision.answered)
    row = {
        "seat": thesis.seat,
        "author": thesis.author,
        "instrument": thesis.instrument,
        "direction": standing.direction,
        "horizon": thesis.horizon,
        **({} if thesis.score is None else {"score": thesis.score}),
        "conviction_before": thesis.conviction,
        "conviction": revision.conviction,
        "action": revision.action or "",
        "state": standing.state,
        "entry": _event_row(standing.entered_at, standing.entry),
        "exit": _event_row(standing.left_at, standing.exit),
        "return_since_entry_pct": None if price is None else return_since_entry(revision.followed, price),
        "stop": revision.stop,
        "target": revision.target,
        "thesis_bullets": list(thesis.thesis_bullets),
        "invalidation": thesis.invalidation,
        "terms": [terms_row(one) for one in terms],
        "reason": revision.reason if revision.action is not None else f"{standing.state} since the last look",
        "keys": asked.get("keys", []),
        **{name: asked[name] for name in ("answer", "error", "fixes") if name in asked},
        "notes": list(revision.notes),
    }
    return cast(RevisedThesis, row)


def prompts_digest(context: PipelineContext) -> str:
    """Return eight hex digits that stand for all prompt files of the council at once."""
    parts = sorted(context.metadata["prompts"].items())
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:8]


def _event_row(at: int | None, price: float | None) -> EventRow | None:
    return None if at is None else {"at": new_york(at), "price": price}


def answer_row(one: Answered[Any]) -> AnswerRow[Any]:
    """Return the answer of one seat as JSON, without the parts it does not have."""
    about = {} if one.about is None else {"about": one.about}
    answer = {"error": one.error} if one.value is None else {"answer": one.value.model_dump()}
    fixes = {"fixes": list(one.fixes)} if one.fixes else {}
    return cast("AnswerRow[Any]", {"seat": one.seat, **about, "keys": list(one.keys), **answer, **fixes})


def execution_row(done: Executed) -> ExecutionRow:
    """Return a target and where it came from, without what is None."""
    target = {name: value for name, value in asdict(done.target).items() if value not in (None, ())}
    return cast(ExecutionRow, {**target, "seat": done.seat, "notes": list(done.notes)})
