"""Shortlist: before a meeting on many symbols one model names those it is to be about."""

from __future__ import annotations

from dataclasses import replace

from simulator.council.answers import picked_of
from simulator.council.context import PipelineContext
from simulator.council.prompt_files import json_text
from simulator.council.shortlist import Shortlist, make_shortlist, rank_symbols
from simulator.council.stages.base import Question, Setup
from simulator.errors import ConfigError
from simulator.market.bars import Snapshot


class ShortlistStage:
    """The question to the model that makes the list; `rule` is the list without it."""

    name = "shortlist"

    def __init__(self, rule: Shortlist, market: Snapshot) -> None:
        self.rule, self.market = rule, market

    async def screen(self, context: PipelineContext, setup: Setup) -> Shortlist:
        """Return the model's list, filled up by the rule where it named too few; the rule's without a usable answer."""
        spec, seat = setup.spec.shortlist, setup.spec.screener
        if spec is None or seat is None:
            raise ConfigError("no model makes the shortlist")
        variables = {**setup.variables(context), "size": spec.size}
        question = Question(setup.prompts.personas[seat])
        (messages,) = setup.messages(self.name, variables, json_text(context.facts, 2), [question])
        symbols = tuple(context.facts["symbols"])
        answered = await setup.ask(context, self.name, seat, messages, picked_of(symbols))
        if answered.value is None:
            return replace(self.rule, answered=answered)
        ranked = dict.fromkeys((*answered.value.symbols, *rank_symbols(self.market, spec.rank_by)))
        made = make_shortlist(symbols, tuple(ranked), spec, self.rule.held, seat)
        return replace(made, answered=answered)
