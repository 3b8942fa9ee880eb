"""Pitch: every manager reads the facts and the research packs and proposes one position."""

from __future__ import annotations

import asyncio

from simulator.council.answers import Pitch, ResearchPack, pitch_on
from simulator.council.context import Answered, PipelineContext
from simulator.council.prompts import facts_block, json_text
from simulator.council.stages.base import Setup, Stage, missed_quorum


class PitchStage(Stage):
    name = "pitch"
    reads = ("user_query", "facts", "research_packs")
    writes = "pm_pitches"

    async def produce(self, context: PipelineContext, setup: Setup) -> tuple[Answered[Pitch], ...]:
        parts = {"market": json_text(context.facts, 2)}
        # In order of seat names, not of the file, so that the order of seats changes no prompt.
        packs = [said.value.model_dump() for said in _by_seat(context) if said.value is not None]
        if packs:
            parts["research"] = json_text(packs)
        variables = setup.variables(context)
        task = setup.task(self.name, variables, facts_block(**parts))
        model = pitch_on(variables["symbols"])

        async def one(seat: str) -> Answered[Pitch]:
            return await setup.ask(context, self.name, seat, (setup.persona(seat, context), task), model)

        return tuple(await asyncio.gather(*(one(seat) for seat in setup.spec.managers)))

    def shortfall(self, produced: tuple[Answered[Pitch], ...], setup: Setup) -> str | None:
        return missed_quorum(self.name, produced, setup.spec.stages.pitch.quorum)


def _by_seat(context: PipelineContext) -> list[Answered[ResearchPack]]:
    return sorted(context.research_packs, key=lambda said: said.seat)
