"""Review: every manager judges every other manager's pitch, without knowing whose it is.

seats ──shuffled per meeting and reviewer──► Pitch A, Pitch B … ──► scores ──mapped back──► seats
"""

from __future__ import annotations

import asyncio
from typing import cast

from simulator.council.anonymity import labels, strike
from simulator.council.answers import Review
from simulator.council.context import Answered, PipelineContext
from simulator.council.prompt_files import facts_block, json_text
from simulator.council.records import Facts, NewsFacts, PitchAnswer
from simulator.council.stages.base import Question, Setup, Stage


class ReviewStage(Stage):
    name = "review"
    reads = ("facts", "pm_pitches")
    writes = "peer_reviews"

    async def produce(self, context: PipelineContext, setup: Setup) -> tuple[Answered[Review], ...]:
        market = json_text(anonymous_facts(context, setup), 2)
        shown = {seat: json_text(pitch) for seat, pitch in anonymous_pitches(context, setup).items()}
        variables = setup.variables(context)
        asking = []
        for reviewer in setup.spec.managers:
            order = reviewer_labels(context, reviewer, setup)
            labelled = [(seat, order[seat]) for seat in order if seat in shown]
            pitches = facts_block(**{label: shown[seat] for seat, label in labelled})
            questions = [
                Question(setup.prompts.reviewer, {"pitches": pitches, "review": json_text(label)}, {"label": label})
                for _, label in labelled
            ]
            asked = setup.messages(self.name, variables, market, questions)
            asking += [
                setup.ask(context, self.name, reviewer, messages, Review, about=seat)
                for (seat, _), messages in zip(labelled, asked, strict=True)
            ]
        return tuple(await asyncio.gather(*asking))


def reviewer_labels(context: PipelineContext, reviewer: str, setup: Setup) -> dict[str, str]:
    """Return {seat: label} of the other managers' pitches as `reviewer` sees them at this meeting."""
    others = (seat for seat in setup.spec.managers if seat != reviewer)
    return labels(context.facts["as_of"], reviewer, others)


def anonymous_facts(context: PipelineContext, setup: Setup) -> Facts:
    """Return the facts without telling names in the headlines, the only words in them that came from outside."""
    if "news" not in context.facts:
        return context.facts
    news: list[NewsFacts] = []
    for one in context.facts["news"]:
        news.append({**one, "headline": strike(one["headline"], setup.names)})
    return {**context.facts, "news": news}


def anonymous_pitches(context: PipelineContext, setup: Setup) -> dict[str, PitchAnswer]:
    """Return {seat: its pitch with every telling name struck out}, JSON-able."""

    def struck(name: str, value: object) -> object:
        if isinstance(value, tuple):
            return [strike(text, setup.names) for text in value]
        telling = isinstance(value, str) and name not in ("instrument", "direction")
        return strike(str(value), setup.names) if telling else value

    return {
        seat: cast(PitchAnswer, {name: struck(name, value) for name, value in pitch})
        for seat, pitch in context.pitches.items()
    }
