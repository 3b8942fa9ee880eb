"""Review: every manager judges every other manager's pitch, without knowing whose it is.

seats ──shuffled per meeting and reviewer──► Pitch A, Pitch B … ──► scores ──mapped back──► seats
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from simulator.council.anonymity import labels, strike
from simulator.council.answers import Pitch, Review
from simulator.council.context import PipelineContext, Said
from simulator.council.prompts import facts_block, json_text
from simulator.council.stages.base import Stage, Table, missed_quorum
from simulator.llm.messages import Message


class ReviewStage(Stage):
    name = "review"
    reads = ("facts", "pm_pitches")
    writes = "peer_reviews"

    async def produce(self, context: PipelineContext, table: Table) -> tuple[Said[Review], ...]:
        market = json_text(context.facts, 2)
        shown = shown_pitches(context, table)
        ordinary = table.ordinary(context)
        persona = Message("system", table.prompts["reviewer"].render(symbols=ordinary["symbols"]))
        prompt = table.prompts["review"]

        async def one(reviewer: str, seat: str, label: str, pitches: str) -> Said[Review]:
            facts = facts_block(market=market, pitches=pitches, review=json_text(label))
            task = Message("user", prompt.render(as_of=ordinary["as_of"], label=label, facts=facts))
            return await table.ask(context, self.name, reviewer, (persona, task), Review, about=seat)

        questions = []
        for reviewer in table.spec.managers:
            order = reviewer_labels(context, reviewer, table)
            pitches = facts_block(**{order[seat]: shown[seat] for seat in order if seat in shown})
            questions += [one(reviewer, seat, order[seat], pitches) for seat in order if seat in shown]
        return tuple(await asyncio.gather(*questions))

    def shortfall(self, produced: tuple[Said[Review], ...], table: Table) -> str | None:
        return missed_quorum(self.name, produced, table.spec.stages.review.quorum)


def reviewer_labels(context: PipelineContext, reviewer: str, table: Table) -> dict[str, str]:
    """{seat: label} of the other managers' pitches as `reviewer` sees them at this meeting."""
    others = (seat for seat in table.spec.managers if seat != reviewer)
    return labels(context.facts["as_of"], reviewer, others)


def shown_pitches(context: PipelineContext, table: Table) -> dict[str, str]:
    """{seat: JSON text of its pitch with every telling name struck out}."""
    return {seat: json_text(_nameless(pitch, table)) for seat, pitch in context.pitches.items()}


def _nameless(pitch: Pitch, table: Table) -> Mapping[str, Any]:
    return {
        name: [strike(text, table.names) for text in value]
        if isinstance(value, tuple)
        else strike(value, table.names)
        if isinstance(value, str) and name not in ("instrument", "direction")
        else value
        for name, value in pitch
    }
