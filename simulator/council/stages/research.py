"""Research: two packs side by side, each from the same facts."""

from __future__ import annotations

import asyncio

from simulator.council.answers import ResearchPack
from simulator.council.context import PipelineContext, Said
from simulator.council.prompts import facts_block, json_text
from simulator.council.stages.base import Stage, Table, missed_quorum
from simulator.llm.messages import Message


class ResearchStage(Stage):
    name = "research"
    reads = ("user_query", "facts")
    writes = "research_packs"

    async def produce(self, context: PipelineContext, table: Table) -> tuple[Said[ResearchPack], ...]:
        ordinary = table.ordinary(context)
        facts = facts_block(market=json_text(context.facts, 2))
        task = Message("user", table.prompts["research"].render(**ordinary, facts=facts))

        async def one(seat: str) -> Said[ResearchPack]:
            persona = Message("system", table.prompts[seat].render(symbols=ordinary["symbols"]))
            return await table.ask(context, self.name, seat, (persona, task), ResearchPack)

        return tuple(await asyncio.gather(*(one(seat) for seat in table.spec.researchers)))

    def shortfall(self, produced: tuple[Said[ResearchPack], ...], table: Table) -> str | None:
        return missed_quorum(self.name, produced, table.spec.stages.research.quorum)
