"""Research: two packs side by side, each from the same facts."""

from __future__ import annotations

import asyncio

from simulator.council.answers import ResearchPack
from simulator.council.context import Answered, PipelineContext
from simulator.council.prompts import facts_block, json_text
from simulator.council.stages.base import Setup, Stage, check_quorum


class ResearchStage(Stage):
    name = "research"
    reads = ("user_query", "facts")
    writes = "research_packs"

    async def produce(self, context: PipelineContext, setup: Setup) -> tuple[Answered[ResearchPack], ...]:
        facts = facts_block(market=json_text(context.facts, 2))
        task = setup.task(self.name, setup.variables(context), facts)

        async def one(seat: str) -> Answered[ResearchPack]:
            return await setup.ask(context, self.name, seat, (setup.persona(seat, context), task), ResearchPack)

        return tuple(await asyncio.gather(*(one(seat) for seat in setup.spec.researchers)))

    def shortfall(self, produced: tuple[Answered[ResearchPack], ...], setup: Setup) -> str | None:
        return check_quorum(self.name, produced, setup.spec.stages.research.quorum)
