"""Research: two packs side by side, each from the same facts."""

from __future__ import annotations

from simulator.council.answers import ResearchPack
from simulator.council.context import Answered, PipelineContext
from simulator.council.stages.base import Setup, Stage


class ResearchStage(Stage):
    name = "research"
    reads = ("user_query", "facts")
    writes = "research_packs"

    async def produce(self, context: PipelineContext, setup: Setup) -> tuple[Answered[ResearchPack], ...]:
        return await setup.ask_each(context, self.name, setup.spec.researchers, ResearchPack)
