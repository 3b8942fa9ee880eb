"""Chairman: one decision from pitches, scores, kill shots and flip conditions. Pitches stay anonymous here too."""

from __future__ import annotations

from collections.abc import Mapping
from math import fsum
from typing import Any

from simulator.council.anonymity import labels, strike
from simulator.council.answers import DIMENSIONS, ChairmanDecision, decision_on
from simulator.council.context import Answered, PipelineContext
from simulator.council.prompts import facts_block, json_text
from simulator.council.stages.base import Setup, Stage
from simulator.council.stages.review import shown_facts, shown_pitches
from simulator.council.vote import VOTE as VOTE
from simulator.council.vote import Vote, decide_by_vote, net_votes


class ChairmanStage(Stage):
    name = "chairman"
    reads = ("user_query", "facts", "pm_pitches", "peer_reviews")
    writes = "chairman_decision"

    async def produce(self, context: PipelineContext, setup: Setup) -> Answered[ChairmanDecision]:
        variables = setup.variables(context)
        model = decision_on(variables["symbols"])
        order = chairman_labels(context, setup)
        facts: dict[str, Any] = {
            "max_trades": setup.spec.max_trades,
            "net_votes": {symbol: round(net, 2) + 0.0 for symbol, net in net_votes(votes_of(context)).items()},
            "pitches": {order[seat]: pitch for seat, pitch in shown_pitches(context, setup).items()},
            "reviews": {order[seat]: _summary(context, seat, setup) for seat in context.pitches if context.score(seat)},
            "sizes": {"half": variables["half_size"], "full": variables["full_size"]},
        }
        if not setup.spec.stages.chairman.enabled:
            return Answered(VOTE, (), model.model_validate(decide_by_vote(facts)))
        block = facts_block(
            market=json_text(shown_facts(context, setup), 2),
            **{name: json_text(part, 1) for name, part in facts.items()},
        )
        seat = setup.spec.stages.chairman.seat
        messages = (setup.persona(seat, context), setup.task(self.name, variables, block))
        return await setup.ask(context, self.name, seat, messages, model)

    def shortfall(self, produced: Answered[ChairmanDecision], setup: Setup) -> str | None:  # noqa: ARG002
        return None if produced.value is not None else f"chairman: no decision that could be used ({produced.error})"


def chairman_labels(context: PipelineContext, setup: Setup) -> dict[str, str]:
    """{seat: label} of all managers' pitches as the chairman sees them at this meeting."""
    return labels(context.facts["as_of"], setup.spec.stages.chairman.seat, setup.spec.managers)


def votes_of(context: PipelineContext) -> list[Vote]:
    """The pitches as votes, weighted by their mean review score; unreviewed ones weigh what they say."""
    votes = []
    for seat in sorted(context.pitches):
        pitch, score = context.pitches[seat], context.score(seat)
        vote = Vote(pitch.instrument, pitch.conviction)
        votes.append(vote if score is None else Vote(pitch.instrument, pitch.conviction, score))
    return votes


def _summary(context: PipelineContext, seat: str, setup: Setup) -> Mapping[str, Any]:
    """What the reviewers said of one pitch, without saying who said it: texts in alphabetical order."""
    reviews = [said.value for said in context.peer_reviews if said.about == seat and said.value is not None]
    mean = {name: round(fsum(getattr(r.scores, name) for r in reviews) / len(reviews), 1) for name in DIMENSIONS}
    return {
        "mean_score": round(fsum(r.scores.mean for r in reviews) / len(reviews), 2),
        "scores": mean,
        "kill_shots": sorted(strike(review.kill_shot, setup.names) for review in reviews),
        "flip_conditions": sorted(strike(review.flip_condition, setup.names) for review in reviews),
    }
