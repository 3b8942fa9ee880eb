"""Chairman: one decision from pitches, scores, kill shots and flip conditions. Pitches stay anonymous here too."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from simulator.council.anonymity import labels, strike
from simulator.council.answers import DIMENSIONS, ChairmanDecision, decision_on
from simulator.council.context import PipelineContext, Said
from simulator.council.prompts import facts_block, json_text
from simulator.council.stages.base import Stage, Table
from simulator.council.stages.review import shown_pitches
from simulator.council.vote import Vote, decide_by_vote, net_votes
from simulator.llm.messages import Message

VOTE = "vote"
"""Stands in for the chairman's seat where a council has no chairman."""


class ChairmanStage(Stage):
    name = "chairman"
    reads = ("user_query", "facts", "pm_pitches", "peer_reviews")
    writes = "chairman_decision"

    async def produce(self, context: PipelineContext, table: Table) -> Said[ChairmanDecision]:
        ordinary = table.ordinary(context)
        model = decision_on(ordinary["symbols"])
        order = chairman_labels(context, table)
        reviews = {
            order[seat]: _review_summary(context, seat, table) for seat in context.pitches if context.score(seat)
        }
        net = {symbol: round(votes, 2) + 0.0 for symbol, votes in net_votes(votes_of(context)).items()}
        if not table.spec.stages.chairman.enabled:
            pitches = {order[seat]: pitch.model_dump() for seat, pitch in context.pitches.items()}
            return Said(VOTE, (), model.model_validate(decide_by_vote(pitches, reviews, net, table.spec.max_trades)))
        shown = shown_pitches(context, table)
        parts = {
            "market": json_text(context.facts, 2),
            "max_trades": json_text(table.spec.max_trades),
            "net_votes": json_text(net),
            "pitches": facts_block(**{order[seat]: text for seat, text in shown.items()}),
        }
        if reviews:
            parts["reviews"] = json_text(reviews, 1)
        task = table.prompts[self.name].render(**ordinary, max_trades=table.spec.max_trades, facts=facts_block(**parts))
        persona = table.prompts["chairman persona"].render(symbols=ordinary["symbols"])
        seat = table.spec.stages.chairman.seat
        return await table.ask(context, self.name, seat, (Message("system", persona), Message("user", task)), model)

    def shortfall(self, produced: Said[ChairmanDecision], table: Table) -> str | None:  # noqa: ARG002
        return None if produced.value is not None else f"chairman: no decision that could be used ({produced.error})"


def chairman_labels(context: PipelineContext, table: Table) -> dict[str, str]:
    """{seat: label} of all managers' pitches as the chairman sees them at this meeting."""
    return labels(context.facts["as_of"], table.spec.stages.chairman.seat, table.spec.managers)


def votes_of(context: PipelineContext) -> list[Vote]:
    """The pitches as votes, weighted by their mean review score; unreviewed ones weigh what they say."""
    votes = []
    for seat in sorted(context.pitches):
        pitch, score = context.pitches[seat], context.score(seat)
        vote = Vote(pitch.instrument, pitch.conviction)
        votes.append(vote if score is None else Vote(pitch.instrument, pitch.conviction, score))
    return votes


def _review_summary(context: PipelineContext, seat: str, table: Table) -> Mapping[str, Any]:
    """What the reviewers said of one pitch, without saying who said it: texts in alphabetical order."""
    reviews = [said.value for said in context.peer_reviews if said.about == seat and said.value is not None]
    mean = {name: round(sum(getattr(r.scores, name) for r in reviews) / len(reviews), 1) for name in DIMENSIONS}
    return {
        "mean_score": round(sum(r.scores.mean for r in reviews) / len(reviews), 2),
        "scores": mean,
        "kill_shots": sorted(strike(review.kill_shot, table.names) for review in reviews),
        "flip_conditions": sorted(strike(review.flip_condition, table.names) for review in reviews),
    }
