"""The evidence of a meeting or checkpoint as JSON: what each member saw, said and voted, enough to retell it without
the cache."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from simulator.council.context import Answered, PipelineContext
from simulator.council.facts import last_close
from simulator.council.revision import Revision, theses_of
from simulator.council.stages.base import Setup
from simulator.council.stages.chairman import chairman_labels, votes_of
from simulator.council.stages.checkpoint import return_since_entry
from simulator.council.stages.execution import Executed
from simulator.council.stages.review import reviewer_labels
from simulator.council.thesis import Terms, new_york, written, written_terms
from simulator.council.vote import net_votes


def evidence(context: PipelineContext, setup: Setup) -> dict[str, Any]:
    """The record of a council's decision: `minutes` and ``execution`` [{symbol, weight, order …, seat, notes}]."""
    return {**minutes(context, setup), "execution": [executed(one) for one in context.execution_results]}


def minutes(context: PipelineContext, setup: Setup) -> dict[str, Any]:
    """The record of a meeting before any account acted on it.

    Keys: ``kind`` (council), ``no_decision`` (a sentence or None), ``user_query``, ``facts``, ``seats`` {seat:
    provider/model}, ``prompts`` (one digest of all prompt files; each one's stands in run.json), ``research``,
    ``pitches``, ``reviews`` (lists of {seat, keys, answer or error}; a review has ``about`` too, the seat it judges),
    ``chairman`` (the same, a single one, or None), ``labels`` {reader: {label: seat}} under which pitches were shown,
    ``scores`` {seat: mean review score}, ``net_votes`` {symbol: votes}; with checkpoints ``opened``, the theses these
    are to follow (simulator/council/thesis.py).
    """
    spec, managers = setup.spec, setup.spec.managers
    shown: dict[str, dict[str, str]] = {}
    if spec.stages.review.enabled and context.peer_reviews:
        shown = {reviewer: reviewer_labels(context, reviewer, setup) for reviewer in managers}
    if context.chairman_decision is not None:
        shown[context.chairman_decision.seat] = chairman_labels(context, setup)
    scores = {seat: context.score(seat) for seat in managers}
    return {
        "kind": "council",
        "no_decision": context.no_decision,
        "user_query": context.user_query,
        "facts": context.facts,
        "seats": context.metadata["seats"],
        "prompts": prompts_digest(context),
        "research": [_said(one) for one in context.research_packs],
        "pitches": [_said(one) for one in context.pm_pitches],
        "reviews": [_said(one) for one in context.peer_reviews],
        "chairman": None if context.chairman_decision is None else _said(context.chairman_decision),
        "labels": {reader: {label: seat for seat, label in order.items()} for reader, order in shown.items()},
        "scores": {seat: round(score, 3) for seat, score in scores.items() if score is not None},
        "net_votes": {symbol: round(net, 3) + 0.0 for symbol, net in net_votes(votes_of(context)).items()},
        **({"opened": [written(one) for one in theses_of(context, spec)]} if spec.stages.checkpoint.enabled else {}),
    }


def member_evidence(context: PipelineContext, seat: str, done: Executed | None) -> dict[str, Any]:
    """The record of one manager trading alone: its pitch and what was done with it."""
    said = next((one for one in context.pm_pitches if one.seat == seat), None)
    return {
        "kind": "member",
        "no_decision": None if said is not None and said.value is not None else f"{seat} gave no pitch",
        "pitch": None if said is None else _said(said),
        "execution": [] if done is None else [executed(done)],
    }


def checkpoint_minutes(context: PipelineContext) -> dict[str, Any]:
    """The record of a checkpoint before any account acted on it.

    Keys: ``kind`` (checkpoint), ``meeting`` (its instant, ISO 8601 in New York time), ``facts``, ``seats`` and
    ``prompts`` as at a meeting, ``theses`` as :func:`written_revision` writes them.
    """
    return {
        "kind": "checkpoint",
        "meeting": context.metadata["meeting"],
        "facts": context.facts,
        "seats": context.metadata["seats"],
        "prompts": prompts_digest(context),
        "theses": [written_revision(one, context.facts) for one in context.revisions],
    }


def written_revision(revision: Revision, facts: Mapping[str, Any]) -> dict[str, Any]:
    """A thesis and what a checkpoint made of it.

    ``seat`` holds it, ``author`` wrote its pitch. As found: ``direction``, ``conviction_before``, ``state``, ``entry``
    and ``exit`` {at, price} or None, ``return_since_entry_pct``. As left: ``conviction``, ``action`` (empty where stop
    or target had ended it), ``stop``, ``target``, ``terms`` (all since the meeting). ``keys`` and ``answer`` or
    ``error`` where it was asked.
    """
    thesis, standing = revision.thesis, revision.followed.standing
    terms: Sequence[Terms] = thesis.terms if revision.terms is None else thesis.under(revision.terms).terms
    price = standing.exit if standing.exit is not None else last_close(facts, thesis.instrument)
    said = {} if revision.said is None else _said(revision.said)
    return {
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
        "entry": _event(standing.entered_at, standing.entry),
        "exit": _event(standing.left_at, standing.exit),
        "return_since_entry_pct": None if price is None else return_since_entry(revision.followed, price),
        "stop": revision.stop,
        "target": revision.target,
        "thesis_bullets": list(thesis.thesis_bullets),
        "invalidation": thesis.invalidation,
        "terms": [written_terms(one) for one in terms],
        "reason": revision.reason if revision.action is not None else f"{standing.state} since the last look",
        "keys": said.get("keys", []),
        **{name: said[name] for name in ("answer", "error") if name in said},
        "notes": list(revision.notes),
    }


def prompts_digest(context: PipelineContext) -> str:
    """Eight hex digits that stand for all prompt files of the council at once."""
    parts = sorted(context.metadata["prompts"].items())
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:8]


def _event(at: int | None, price: float | None) -> dict[str, Any] | None:
    return None if at is None else {"at": new_york(at), "price": price}


def _said(said: Answered[Any]) -> dict[str, Any]:
    about = {} if said.about is None else {"about": said.about}
    answer = {"error": said.error} if said.value is None else {"answer": said.value.model_dump()}
    return {"seat": said.seat, **about, "keys": list(said.keys), **answer}


def executed(done: Executed) -> Mapping[str, Any]:
    """A target and where it came from, without what is None."""
    target = {name: value for name, value in asdict(done.target).items() if value is not None}
    return {**target, "seat": done.seat, "notes": list(done.notes)}
