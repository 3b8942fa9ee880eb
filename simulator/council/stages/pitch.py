"""Pitch: every manager reads the facts and the research packs and proposes one position."""

from __future__ import annotations

import asyncio

from simulator.council.answers import Pitch, ResearchPack, pitch_on
from simulator.council.context import PipelineContext, Said
from simulator.council.prompts import facts_block, json_text
from simulator.council.stages.base import Stage, Table, missed_quorum
from simulator.llm.messages import Message


class PitchStage(Stage):
    name = "pitch"
    reads = ("user_query", "facts", "research_packs")
    writes = "pm_pitches"

    async def produce(self, context: PipelineContext, table: Table) -> tuple[Said[Pitch], ...]:
        ordinary = table.ordinary(context)
        parts = {"market": json_text(context.facts, 2)}
        # In order of seat names, not of the file, so that the order of seats changes no prompt.
        packs = [said.value.model_dump() for said in _by_seat(context) if said.value is not None]
        if packs:
            parts["research"] = json_text(packs)
        task = Message("user", table.prompts["pitch"].render(**ordinary, facts=facts_block(**parts)))
        model = pitch_on(ordinary["symbols"])

        async def one(seat: str) -> Said[Pitch]:
            persona = Message("system", table.prompts[seat].render(symbols=ordinary["symbols"]))
            return await table.ask(context, self.name, seat, (persona, task), model)

        return tuple(await asyncio.gather(*(one(seat) for seat in table.spec.managers)))

    def shortfall(self, produced: tuple[Said[Pitch], ...], table: Table) -> str | None:
        return missed_quorum(self.name, produced, table.spec.stages.pitch.quorum)


def _by_seat(context: PipelineContext) -> list[Said[ResearchPack]]:
    return sorted(context.research_packs, key=lambda said: said.seat)
