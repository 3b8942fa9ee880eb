"""Pitch: every manager reads the facts and the research packs and proposes one position."""

from __future__ import annotations

import asyncio

from simulator.council.answers import Pitch, pitch_on
from simulator.council.context import Answered, PipelineContext
from simulator.council.prompts import facts_block, json_text
from simulator.council.stages.base import Setup, Stage, check_quorum


class PitchStage(Stage):
    name = "pitch"
    reads = ("user_query", "facts", "research_packs")
    writes = "pm_pitches"

    async def produce(self, context: PipelineContext, setup: Setup) -> tuple[Answered[Pitch], ...]:
        parts = {"market": json_text(context.facts, 2)}
        # In order of seat names, not of the file, so that the order of seats changes no prompt.
        by_seat = sorted(context.research_packs, key=lambda one: one.seat)
        packs = [one.value.model_dump() for one in by_seat if one.value is not None]
        if packs:
            parts["research"] = json_text(packs)
        variables = setup.variables(context)
        task = setup.task(self.name, variables, facts_block(**parts))
        model = pitch_on(variables["symbols"])

        async def one(seat: str) -> Answered[Pitch]:
            return await setup.ask(context, self.name, seat, (setup.persona(seat, context), task), model)

        return tuple(await asyncio.gather(*(one(seat) for seat in setup.spec.managers)))

    def shortfall(self, produced: tuple[Answered[Pitch], ...], setup: Setup) -> str | None:
        return check_quorum(self.name, produced, setup.spec.stages.pitch.quorum)
