"""The evidence of a meeting as JSON: what each member saw, said and voted, enough to retell it without the cache."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from simulator.council.context import PipelineContext, Said
from simulator.council.stages.base import Setup
from simulator.council.stages.chairman import chairman_labels, votes_of
from simulator.council.stages.execution import Executed
from simulator.council.stages.review import reviewer_labels
from simulator.council.vote import net_votes


def evidence(context: PipelineContext, setup: Setup) -> dict[str, Any]:
    """The record of a council's decision.

    Keys: ``kind`` (council), ``no_decision`` (a sentence or None), ``user_query``, ``facts``, ``seats`` {seat:
    provider/model}, ``research``, ``pitches``, ``reviews`` (lists of {seat, keys, answer or error}; a review has
    ``about`` too, the seat it judges), ``chairman`` (the same, a single one, or None), ``labels`` {reader: {label:
    seat}} under which pitches were shown, ``scores`` {seat: mean review score}, ``net_votes`` {symbol: votes},
    ``execution`` [{symbol, weight, order …, seat, notes}].
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
        **context.metadata,
        "research": [_said(one) for one in context.research_packs],
        "pitches": [_said(one) for one in context.pm_pitches],
        "reviews": [_said(one) for one in context.peer_reviews],
        "chairman": None if context.chairman_decision is None else _said(context.chairman_decision),
        "labels": {reader: {label: seat for seat, label in order.items()} for reader, order in shown.items()},
        "scores": {seat: round(score, 3) for seat, score in scores.items() if score is not None},
        "net_votes": {symbol: round(net, 3) + 0.0 for symbol, net in net_votes(votes_of(context)).items()},
        "execution": [_executed(one) for one in context.execution_results],
    }


def member_evidence(context: PipelineContext, seat: str, done: Executed | None) -> dict[str, Any]:
    """The record of one manager trading alone: its pitch and what was done with it."""
    said = next((one for one in context.pm_pitches if one.seat == seat), None)
    return {
        "kind": "member",
        "no_decision": None if said is not None and said.value is not None else f"{seat} gave no pitch",
        "pitch": None if said is None else _said(said),
        "execution": [] if done is None else [_executed(done)],
    }


def _said(said: Said[Any]) -> dict[str, Any]:
    about = {} if said.about is None else {"about": said.about}
    answer = {"error": said.error} if said.value is None else {"answer": said.value.model_dump()}
    return {"seat": said.seat, **about, "keys": list(said.keys), **answer}


def _executed(done: Executed) -> Mapping[str, Any]:
    target = {name: value for name, value in asdict(done.target).items() if value is not None}
    return {**target, "seat": done.seat, "notes": list(done.notes)}
