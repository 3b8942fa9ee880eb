"""Pitch: every manager reads the facts and the research packs and proposes one position."""

from __future__ import annotations

from simulator.council.answers import Pitch, pitch_on
from simulator.council.context import Answered, PipelineContext
from simulator.council.prompt_files import json_text
from simulator.council.stages.base import Setup, Stage, traded_symbols


class PitchStage(Stage):
    name = "pitch"
    reads = ("user_query", "facts", "research_packs")
    writes = "pm_pitches"

    async def produce(self, context: PipelineContext, setup: Setup) -> tuple[Answered[Pitch], ...]:
        parts = {}
        # In order of seat names, not of the file, so that the order of seats changes no prompt.
        by_seat = sorted(context.research_packs, key=lambda one: one.seat)
        if packs := [one.value.model_dump() for one in by_seat if one.value is not None]:
            parts["research"] = json_text(packs)
        model = pitch_on(traded_symbols(context))
        return await setup.ask_each(context, self.name, setup.spec.managers, model, **parts)
