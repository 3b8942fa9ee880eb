"""Opinions of a council as JSON, so that an equal one need not be asked for again.

PipelineContext ──meeting_row──► JSON ──restore_meeting──► PipelineContext     (earlier_theses.py beside this)
                ──checkpoint_row──► JSON ──read_checkpoint──► PipelineContext
"""

from __future__ import annotations

from collections.abc import Mapping

from simulator.council.answers import CheckpointReview
from simulator.council.context import PipelineContext
from simulator.council.earlier_theses import read_answers
from simulator.council.records import DecisionRecord
from simulator.council.thesis import Followed, Standing, Terms, Thesis
from simulator.council.write_record import answer_row, shortlist_row


def meeting_row(opinion: PipelineContext) -> Mapping[str, object]:
    """Return a meeting as the part of its record that :func:`restore_meeting` reads."""
    chairman = opinion.chairman_decision
    return {
        "kind": "council",
        "no_decision": opinion.no_decision,
        "user_query": opinion.user_query,
        "facts": opinion.facts,
        "research": [answer_row(one) for one in opinion.research_packs],
        "pitches": [answer_row(one) for one in opinion.pm_pitches],
        "reviews": [answer_row(one) for one in opinion.peer_reviews],
        "chairman": None if chairman is None else answer_row(chairman),
        **({} if opinion.shortlist is None else {"shortlist": shortlist_row(opinion.shortlist)}),
    }


def checkpoint_row(opinion: PipelineContext) -> Mapping[str, object]:
    """Return a checkpoint, but for what follows from this: its revisions."""
    return {
        "facts": opinion.facts,
        "meeting": opinion.metadata["meeting"],
        "symbols": opinion.metadata["symbols"],
        **({"may_hold": opinion.metadata["may_hold"]} if "may_hold" in opinion.metadata else {}),
        "theses": [
            {**vars(one.thesis), "terms": [vars(terms) for terms in one.thesis.terms], "standing": vars(one.standing)}
            for one in opinion.theses
        ],
        "reviews": [answer_row(one) for one in opinion.checkpoint_reviews],
    }


def read_checkpoint(opened: PipelineContext, row: DecisionRecord) -> PipelineContext:
    """Return the context behind `row`, without its revisions; `opened` has what every checkpoint of that instant has.

    Raises ValueError, KeyError or TypeError for any other shape.
    """
    theses = []
    for one in row["theses"]:
        lists = {"thesis_bullets": tuple(one["thesis_bullets"]), "terms": tuple(Terms(**t) for t in one["terms"])}
        of_thesis = {name: value for name, value in one.items() if name != "standing"}
        theses.append(Followed(Thesis(**{**of_thesis, **lists}), Standing(**one["standing"])))
    held = {"may_hold": row["may_hold"]} if "may_hold" in row else {}
    return PipelineContext(
        as_of=opened.as_of,
        user_query=opened.user_query,
        facts=row["facts"],
        theses=tuple(theses),
        checkpoint_reviews=read_answers(row["reviews"], CheckpointReview),
        metadata={**opened.metadata, "meeting": row["meeting"], "symbols": tuple(row["symbols"]), **held},
    )
