"""A stage, and what it works with: the seats it asks, the words it asks with, the gateway it asks through."""

from __future__ import annotations

import asyncio
import math
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, ClassVar, Protocol, TypeVar

from simulator.config import Seat
from simulator.council.analysts import VERSION
from simulator.council.anonymity import names_to_strike
from simulator.council.answers import Answer
from simulator.council.context import Answered, PipelineContext
from simulator.council.facts import last_closes
from simulator.council.prompt_files import Prompt, facts_block, json_text, system_message
from simulator.council.spec import CouncilSpec, Prompts
from simulator.llm.answers import StructuredAnswer, T, schema_of
from simulator.llm.beginnings import mark_shared
from simulator.llm.messages import ChatRequest, Message
from simulator.llm.registry import request_for
from simulator.market.calendar import NEW_YORK

A = TypeVar("A", bound=Answer)


class Gateway(Protocol):
    """The part of simulator.llm.gateway.Gateway that a council needs."""

    async def ask_for(
        self, request: ChatRequest, model: type[T], known: Mapping[str, float] | None = None
    ) -> StructuredAnswer[T]: ...


@dataclass(frozen=True)
class Question:
    """Parts of a question that are its own: whose it is, facts beside those of the market (JSON texts), variables."""

    persona: Prompt
    facts: Mapping[str, str] = field(default_factory=dict)
    more: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Setup:
    """Parts that stay the same from meeting to meeting: spec, compiled prompts, the model in every seat, the gateway.

    `replicate` numbers the answers where the same questions are asked several times on purpose. `accounts` are names
    that must not be seen in an anonymous prompt, beside those of seats and models.
    """

    spec: CouncilSpec
    prompts: Prompts
    seats: Mapping[str, Seat]
    gateway: Gateway
    replicate: int = 0
    accounts: tuple[str, ...] = ("COUNCIL",)
    left_out: Mapping[str, Seat] = field(default_factory=dict)
    """Seats that parameters left out, and their models, which are struck out as those of the others."""

    @cached_property
    def names(self) -> re.Pattern[str]:
        """Names that must not be seen in an anonymous prompt."""
        seats = (*self.spec.seats, *self.left_out)
        models = (seat.model for seat in (*self.seats.values(), *self.left_out.values()))
        return names_to_strike(seats, models, self.accounts)

    def variables(self, context: PipelineContext) -> dict[str, Any]:
        """Values of the variables prompts may use, all but `facts` and `label`."""
        return {
            "as_of": context.as_of.astimezone(NEW_YORK).strftime("%Y-%m-%d %H:%M New York time"),
            "symbols": traded_symbols(context),
            "user_query": context.user_query,
            "max_trades": self.spec.max_trades,
            "half_size": self.spec.sizes_in_percent["half"],
            "full_size": self.spec.sizes_in_percent["full"],
        }

    def messages(
        self, stage: str, variables: Mapping[str, Any], market: str, questions: Sequence[Question]
    ) -> Sequence[tuple[Message, ...]]:
        """The messages of `questions` of one stage, all of them on the same facts of the `market` (JSON text)."""
        task, symbols = self.prompts.tasks[stage], variables["symbols"]
        if self.prompts.opening is None:
            asked: list[tuple[Message, ...]] = []
            for one in questions:
                facts = facts_block(market=market, **one.facts)
                text = task.render(**variables, **one.more, facts=facts)
                asked.append((system_message(one.persona, symbols), Message("user", text)))
            return asked
        system, facts_file = self.prompts.opening
        # Not as the stage sees it: some are not shown the question, and the opening is the same for all.
        shared = {**variables, "user_query": " ".join(self.spec.user_query.split())}
        first = Message("system", system.render(**shared))
        opening = facts_file.render(**shared, facts=facts_block(market=market)).rstrip() + "\n\n"
        texts = [
            opening
            + task.render(
                **variables,
                **one.more,
                facts=facts_block(**one.facts),
                persona=system_message(one.persona, symbols).content.strip(),
            )
            for one in questions
        ]
        marks = mark_shared(texts, len(opening)) if texts else ()
        return [(first, Message("user", text, marks)) for text in texts]

    async def ask(
        self,
        context: PipelineContext,
        stage: str,
        seat: str,
        messages: tuple[Message, ...],
        model: type[A],
        about: str | None = None,
    ) -> Answered[A]:
        """Put one question to `seat`; its prices are held against the last closes of the facts.

        A lasting failure comes back without a value; passing ones are raised.
        """
        purpose = {"stage": stage, "seat": seat, "session": context.as_of.astimezone(NEW_YORK).date().isoformat()}
        if about is not None:
            purpose["about"] = about
        if self.replicate:
            purpose["replicate"] = str(self.replicate)
        chair = self.seats[seat]
        version = VERSION if chair.provider == "offline" else ""
        request = request_for(chair, messages, schema_of(model), purpose, version=version, replicate=self.replicate)
        closes = last_closes(context.facts)
        known = {about: closes[about]} if about in closes else closes
        answered = await self.gateway.ask_for(request, model, known)
        return Answered(seat, answered.keys, answered.value, answered.error, about, answered.fixes)

    async def ask_each(
        self, context: PipelineContext, stage: str, seats: Sequence[str], model: type[A], **parts: str
    ) -> tuple[Answered[A], ...]:
        """Put one question to all `seats` at once, each as its own persona; answers in the order of `seats`.

        `parts` are facts beside those of the market, JSON texts.
        """
        asked = self.messages(
            stage,
            self.variables(context),
            json_text(context.facts, 2),
            [Question(self.prompts.personas[seat], parts) for seat in seats],
        )
        return tuple(
            await asyncio.gather(
                *(self.ask(context, stage, seat, messages, model) for seat, messages in zip(seats, asked, strict=True))
            )
        )


class Stage(ABC):
    """One step of a meeting. It is handed the fields it `reads` and no others, and fills in the one it `writes`."""

    name: ClassVar[str]
    reads: ClassVar[tuple[str, ...]]
    writes: ClassVar[str]

    async def run(self, context: PipelineContext, setup: Setup) -> PipelineContext:
        """Return a context with this stage's field; with `no_decision` set when too few answered to go on."""
        produced = await self.produce(context.only(self.reads), setup)
        return replace(
            context, **{self.writes: produced}, no_decision=context.no_decision or self.shortfall(produced, setup)
        )

    @abstractmethod
    async def produce(self, context: PipelineContext, setup: Setup) -> Any:
        """Return the value of the field this stage writes."""

    def shortfall(self, produced: Any, setup: Setup) -> str | None:
        """Return why the meeting cannot go on after this stage, None if it can: enough answers can be used."""
        quorum: float = getattr(setup.spec.stages, self.name).quorum
        failed = [one.seat if one.about is None else f"{one.seat} on {one.about}" for one in produced if not one.value]
        # Less a trifle: 0.07 · 100 is 7.000000000000001 in floating point, and seven are enough.
        asked, needed = len(produced), math.ceil(quorum * len(produced) - 1e-9)
        if asked - len(failed) >= needed:
            return None
        usable = f"{asked - len(failed)} of {asked} answers could be used"
        return f"{self.name}: {usable}, quorum {needed} (failed: {', '.join(failed)})"


def traded_symbols(context: PipelineContext) -> tuple[str, ...]:
    """Return the symbols that may be traded: those of the facts, or all with a price where the facts show only some."""
    return tuple(context.metadata.get("symbols") or context.facts["symbols"])


async def run_stages(
    stages: Sequence[Stage], context: PipelineContext, setup: Setup, tell: Callable[[str, PipelineContext], None]
) -> PipelineContext:
    """Run `stages` in order, until one of them leaves the meeting without a decision; `tell` hears of each."""
    for stage in stages:
        if context.no_decision is not None:
            break
        context = await stage.run(context, setup)
        tell(stage.name, context)
    return context
