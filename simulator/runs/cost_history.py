"""History of answers on disk by stage and model: tokens, seconds, repair questions."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from simulator.evidence.plan import Range
from simulator.llm.beginnings import first_beginning
from simulator.llm.cache import AnswerCache, Entry
from simulator.llm.messages import ChatRequest, Message
from simulator.llm.spending.prices import MILLION, Prices, prompt_tokens

SAMPLE = 200
"""Latest answers that are read, per stage and model."""

USUAL_TOKENS = {
    "Shortlist": 300,
    "ResearchPack": 600,
    "Pitch": 400,
    "Review": 250,
    "ChairmanDecision": 600,
    "CheckpointReview": 150,
    "Screening": 300,
    "Analysis": 200,
    "Optimization": 150,
    "PerformanceReview": 400,
    "Validation": 300,
}
"""Tokens of an answer by the title of its schema, for a model that has answered none yet."""
USUAL_SECONDS = 10.0
UNSURE = (0.5, 2.0)
"""Between which multiples of the usual a first guess may lie."""


@dataclass(frozen=True)
class AnswerHistory:
    """Answers of a model to one stage.

    Attributes
    ----------
    answers : on disk that this rests on; 0 = a first guess
    prompt : its tokens per token that `prices.prompt_tokens` counts
    completion : tokens of an answer: a tenth are shorter than `low`, a tenth longer than `high`
    seconds : that an answer takes
    again : repair questions per question
    """

    answers: int
    prompt: Range
    completion: Range
    seconds: float
    again: float


def answer_history(cache: AnswerCache, request: ChatRequest) -> AnswerHistory:
    """Return the history of answers to questions like `request`: same provider, model and stage, whatever the date."""
    title = (request.schema or {}).get("title", "")
    alike = [
        entry
        for entry in cache.similar(replace(request, purpose={}), SAMPLE)
        if all(str(entry.request.get(name)) == getattr(request, name) for name in ("provider", "endpoint", "model"))
        and (entry.request.get("schema") or {}).get("title", "") == title
        and entry.response.usage.completion_tokens
    ]
    if not alike:
        usual = float(min(USUAL_TOKENS.get(title, 500), request.max_tokens or 500_000))
        guess = Range(UNSURE[0], 1.0, UNSURE[1])
        return AnswerHistory(
            0, guess, Range(*(usual * part for part in (UNSURE[0], 1.0, UNSURE[1]))), USUAL_SECONDS, 0.0
        )
    lengths = np.array([entry.response.usage.completion_tokens for entry in alike], dtype=float)
    counted = sum(prompt_tokens(_request(entry))[0] for entry in alike)
    ratio = sum(entry.response.usage.prompt_tokens for entry in alike) / max(1, counted) or 1.0
    repairs = sum("repair" in entry.purpose for entry in alike)
    low, high = np.quantile(lengths, (0.1, 0.9))
    return AnswerHistory(
        answers=len(alike),
        prompt=Range(ratio, ratio, ratio),
        completion=Range(float(low), float(lengths.mean()), float(high)),
        # Answers of batches have no latency.
        seconds=float(np.mean([one.response.latency_s for one in alike if one.response.latency_s] or [USUAL_SECONDS])),
        again=repairs / max(1, len(alike) - repairs),
    )


@dataclass(frozen=True)
class Outlay:
    """Tokens and dollars that questions to be asked will take together, and the history that rests on."""

    prompt: Range
    completion: Range
    usd: Range
    past: AnswerHistory
    cached: float = 0.0
    saved_usd: float = 0.0


def outlay(asked: Sequence[ChatRequest], cache: AnswerCache, prices: Prices, reread: float = 0.0) -> Outlay:
    """Return the outlay of `asked`: one question or more, all of one stage to one model.

    Of the tokens of their prompts, as `prices.prompt_tokens` counts them, `reread` are likely to have been read by the
    service before; none at the highest. Raises ConfigError for a price nobody knows.
    """
    first = asked[0]
    past, price = answer_history(cache, first), prices.price(first)
    puts = 1 + past.again
    prompt = past.prompt.times(puts * sum(prompt_tokens(request)[0] for request in asked))
    completion = past.completion.times(puts * len(asked))
    usd = prompt.times(price.input / MILLION) + completion.times(price.output / MILLION)
    discount = 0.0 if price.cached_input is None else max(0.0, price.input - price.cached_input)
    cached = past.prompt.likely * reread if discount else 0.0
    saved = cached * discount / MILLION
    lower = Range(usd.low - min(saved, usd.low), usd.likely - saved, usd.high)
    return Outlay(prompt, completion, lower, past, cached, saved)


def reread_tokens(asked: Iterable[ChatRequest]) -> dict[str, int]:
    """Return {key: tokens that the service has read before} of questions put in this order: those of the beginning that
    an earlier one shares."""
    seen: set[bytes] = set()
    found: dict[str, int] = {}
    for request in asked:
        if (start := first_beginning(request)) is not None:
            if start.digest in seen:
                found[request.key] = start.tokens
            seen.add(start.digest)
    return found


def _request(entry: Entry) -> ChatRequest:
    """Enough of the question to count its tokens."""
    asked = entry.request
    messages = tuple(Message(message["role"], message["content"]) for message in asked["messages"])
    return ChatRequest(str(asked["provider"]), str(asked["model"]), messages, schema=asked.get("schema"))
