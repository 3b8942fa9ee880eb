"""Chairman: one decision from pitches, scores, kill shots and flip conditions. Pitches stay anonymous here too."""

from __future__ import annotations

from math import fsum

from simulator.council.anonymity import labels, strike
from simulator.council.answers import DIMENSIONS, ChairmanDecision, decision_on
from simulator.council.context import Answered, PipelineContext
from simulator.council.prompt_files import json_text
from simulator.council.stages.base import Question, Setup, Stage
from simulator.council.stages.review import anonymous_facts, anonymous_pitches
from simulator.council.vote import VOTE, Ballot, ReviewSummary, decide_by_vote, net_votes, votes_of


class ChairmanStage(Stage):
    name = "chairman"
    reads = ("user_query", "facts", "pm_pitches", "peer_reviews")
    writes = "chairman_decision"

    async def produce(self, context: PipelineContext, setup: Setup) -> Answered[ChairmanDecision]:
        context, rule = context.without(setup.spec.vote.silent), setup.spec.vote
        variables = setup.variables(context)
        model = decision_on(variables["symbols"])
        order = chairman_labels(context, setup)
        votes = votes_of(context, rule)
        ballot: Ballot = {
            "max_trades": setup.spec.max_trades,
            "net_votes": net_votes(votes),
            "pitches": {order[seat]: pitch for seat, pitch in anonymous_pitches(context, setup).items()},
            "reviews": {order[seat]: _summary(context, seat, setup) for seat, vote in votes.items() if vote.score},
            "sizes": setup.spec.sizes_in_percent,
        }
        if not setup.spec.stages.chairman.enabled:
            return Answered(VOTE, (), model.model_validate(decide_by_vote(ballot, rule)))
        seat = setup.spec.stages.chairman.seat
        question = Question(setup.prompts.personas[seat], {name: json_text(part, 1) for name, part in ballot.items()})
        market = json_text(anonymous_facts(context, setup), 2)
        (messages,) = setup.messages(self.name, variables, market, [question])
        return await setup.ask(context, self.name, seat, messages, model)

    def shortfall(self, produced: Answered[ChairmanDecision], setup: Setup) -> str | None:  # noqa: ARG002
        return None if produced.value is not None else f"chairman: no decision that could be used ({produced.error})"


def chairman_labels(context: PipelineContext, setup: Setup) -> dict[str, str]:
    """Return {seat: label} of all managers' pitches as the chairman sees them at this meeting."""
    return labels(context.facts["as_of"], setup.spec.stages.chairman.seat, setup.spec.managers)


def _summary(context: PipelineContext, seat: str, setup: Setup) -> ReviewSummary:
    reviews = [one.value for one in context.peer_reviews if one.about == seat and one.value is not None]
    return {
        "mean_score": round(fsum(review.scores.mean for review in reviews) / len(reviews), 2),
        "scores": {
            name: round(fsum(getattr(review.scores, name) for review in reviews) / len(reviews), 1)
            for name in DIMENSIONS
        },
        "kill_shots": sorted(strike(review.kill_shot, setup.names) for review in reviews),
        "flip_conditions": sorted(strike(review.flip_condition, setup.names) for review in reviews),
    }
