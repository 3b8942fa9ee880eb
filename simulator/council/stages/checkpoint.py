"""Checkpoint: between meetings every open thesis is read again by who holds it, against the market since its entry."""

from __future__ import annotations

import asyncio

from simulator.council.anonymity import strike
from simulator.council.answers import CheckpointReview, checkpoint_of
from simulator.council.context import Answered, PipelineContext
from simulator.council.fact_table import six_digits
from simulator.council.prompt_files import json_text
from simulator.council.records import Facts, SymbolFacts
from simulator.council.stages.base import Question, Setup, Stage
from simulator.council.thesis import Followed, new_york


class CheckpointStage(Stage):
    name = "checkpoint"
    reads = ("user_query", "facts", "theses")
    writes = "checkpoint_reviews"

    async def produce(self, context: PipelineContext, setup: Setup) -> tuple[Answered[CheckpointReview], ...]:
        asked = [one for one in context.theses if one.live and one.thesis.seat in setup.seats]
        instruments = {one.thesis.instrument for one in asked}
        markets = {symbol: json_text(_market_of(context.facts, symbol), 2) for symbol in instruments}
        variables = setup.variables(context) if asked else {}

        async def one(followed: Followed) -> Answered[CheckpointReview]:
            thesis = followed.thesis
            question = Question(
                setup.prompts.checkpoint or setup.prompts.personas[thesis.seat],
                {
                    "position": json_text(position_facts(followed, context.facts["symbols"][thesis.instrument])),
                    "thesis": json_text(_anonymous_thesis(followed, setup), 1),
                },
                {"instrument": thesis.instrument, "direction": thesis.direction},
            )
            (messages,) = setup.messages(self.name, variables, markets[thesis.instrument], [question])
            model = checkpoint_of(thesis.direction)
            return await setup.ask(context, self.name, thesis.seat, messages, model, about=thesis.instrument)

        return tuple(await asyncio.gather(*(one(followed) for followed in asked)))

    def shortfall(self, produced: tuple[Answered[CheckpointReview], ...], setup: Setup) -> str | None:  # noqa: ARG002
        """Return None always: a thesis without an answer stays as it is."""
        return None


def position_facts(followed: Followed, known: SymbolFacts) -> dict[str, object]:
    """Return what became of a thesis, from the facts `known` of its symbol.

    ``state``; while pending ``order`` and ``limit``; once open ``entry`` {at, price}, ``return_since_entry_pct``
    (positive in the position's favour), ``highest_since_entry``, ``lowest_since_entry``, ``sessions_held``; where there
    are an ATR and such a price ``stop_distance_atr`` and ``target_distance_atr``, from the last close.
    """
    terms, standing, close = followed.thesis.terms[-1], followed.standing, known["close"]
    side = 1 if terms.conviction > 0 else -1
    facts: dict[str, object] = {"state": standing.state}
    if standing.entered_at is None or standing.entry is None:
        facts |= {"order": terms.order} | ({} if terms.limit is None else {"limit": terms.limit})
    else:
        facts |= {
            "entry": {"at": new_york(standing.entered_at)[:16], "price": six_digits(standing.entry)},
            "return_since_entry_pct": return_since_entry(followed, close),
            "highest_since_entry": None if standing.high is None else six_digits(standing.high),
            "lowest_since_entry": None if standing.low is None else six_digits(standing.low),
            "sessions_held": standing.sessions,
        }
    for name, level, way in (("stop", terms.stop, -side), ("target", terms.target, side)):
        if level is not None and known.get("atr_14"):
            facts[f"{name}_distance_atr"] = round((level - close) * way / known["atr_14"], 2) + 0.0
    return facts


def return_since_entry(followed: Followed, price: float) -> float | None:
    """Return per cent from the entry to `price`, positive in the position's favour; None while pending."""
    entry = followed.standing.entry
    if entry is None:
        return None
    return round(100 * (price / entry - 1) * followed.standing.side, 2) + 0.0


def _anonymous_thesis(followed: Followed, setup: Setup) -> dict[str, object]:
    """The thesis as its holder reads it; where somebody else wrote the pitch, without names."""
    thesis = followed.thesis
    own = thesis.seat == thesis.author

    def text(words: str) -> str:
        return words if own else strike(words, setup.names)

    return {
        "instrument": thesis.instrument,
        "direction": thesis.direction,
        "horizon": text(thesis.horizon),
        "thesis_bullets": [text(bullet) for bullet in thesis.thesis_bullets],
        "invalidation": text(thesis.invalidation),
        "stop": thesis.terms[-1].stop,
        "target": thesis.terms[-1].target,
        "convictions": [{"at": terms.at[:16], "conviction": terms.conviction} for terms in thesis.terms],
    }


def _market_of(facts: Facts, symbol: str) -> Facts:
    """Return the facts with this symbol's alone, and without headlines that concern others only."""
    shown: Facts = {**facts, "symbols": {symbol: facts["symbols"][symbol]}}
    news = [one for one in shown.pop("news", []) if symbol in one.get("symbols", [symbol])]
    if news:
        shown["news"] = news
    return shown
