"""Models of the seats, their providers, and the requests they are asked with."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from simulator.config import Models, Seat
from simulator.errors import ConfigError, did_you_mean
from simulator.llm.messages import ChatRequest, Message
from simulator.llm.providers import Price, Provider

EVERYONE = "*"

OPENAI_COMPATIBLE = "openai_compatible"
CLAUDE_CODE = "claude_code"

OURS = frozenset(
    ("model", "messages", "response_format", "tools", "temperature", "top_p", "max_tokens", "max_completion_tokens",
     "stop", "seed", "reasoning", "n", "stream")
)  # fmt: skip
"""Fields of a request body that ``extra`` may not set: their values are in the key already."""
HIDDEN = ("api_key", "apikey", "api-key", "secret", "password", "authorization", "access_token")
"""Ends of names under which secrets are sent. An endpoint and ``extra`` are part of what is stored."""


def seats(models: Models, profile: str | None = None) -> dict[str, Seat]:
    """{seat: model} of `profile`, of the default one where None. Raises ConfigError for an unknown profile."""
    name = profile or models.default
    if name not in models.profiles:
        known = ", ".join(sorted(models.profiles))
        found = f'no models profile "{name}"{did_you_mean(name, models.profiles)}'
        raise ConfigError(found, where="config/models.yaml", mend=f"its profiles are {known}")
    return dict(models.profiles[name])


def seat_of(taken: Mapping[str, Seat], name: str) -> Seat:
    """The model in the seat `name`, else the one that answers for everyone (``*``). Raises ConfigError."""
    seat = taken.get(name) or taken.get(EVERYONE)
    if seat is None:
        found = f'no model in seat "{name}"{did_you_mean(name, taken)}'
        raise ConfigError(found, where="config/models.yaml", mend="name one, or give the seat * a model")
    return seat


def providers_for(seats: Mapping[str, Seat], offline: Provider, price: Price) -> dict[str, Provider]:
    """{name: provider} of all `seats`; `offline` is handed in, because rules belong to a room above.

    `price` gives the dollars of (request, prompt tokens, completion tokens) where a service does not report them:
    `prices.Prices.cost`. Nothing is imported, connected to or asked for a key before the first question. Raises
    ConfigError for an unknown provider.
    """
    made: dict[str, Provider] = {offline.name: offline}
    for seat in seats.values():
        if seat.provider in made:
            continue
        if seat.provider == OPENAI_COMPATIBLE:
            from simulator.llm.providers.openai_compatible import OpenAICompatible, endpoints_of

            made[seat.provider] = OpenAICompatible(endpoints_of(seats.values()), price)
        elif seat.provider == CLAUDE_CODE:
            from simulator.llm.providers.claude_code import ClaudeCode

            longest = max(other.timeout_s for other in seats.values() if other.provider == CLAUDE_CODE)
            made[seat.provider] = ClaudeCode(longest, price)
        else:
            known = (offline.name, OPENAI_COMPATIBLE, CLAUDE_CODE)
            found = f'no provider "{seat.provider}"{did_you_mean(seat.provider, known)}'
            raise ConfigError(found, where="config/models.yaml", mend=f"there are {', '.join(known)}")
    return made


def check_seats(seats: Iterable[Seat]) -> None:
    """Raise ConfigError for the first of `seats` that could not be asked: no address, no key, or one that is none."""
    services = [seat for seat in seats if seat.provider == OPENAI_COMPATIBLE]
    if services:
        from simulator.llm.providers.openai_compatible import OpenAICompatible, endpoints_of

        provider = OpenAICompatible(endpoints_of(services))
        for seat in services:
            provider.check(seat)


def request_for(
    seat: Seat,
    messages: Iterable[Message],
    schema: Mapping[str, Any] | None = None,
    purpose: Mapping[str, str] | None = None,
    *,
    version: str = "",
    replicate: int = 0,
    tools: Iterable[Mapping[str, Any]] = (),
) -> ChatRequest:
    """Make the question for `seat`.

    `version` is appended to the model as ``model@version``: offline models carry the digest of their rules, so that
    an answer never outlives an edit. `tools` are sent where the seat has ``native_tools``. Raises ConfigError for an
    endpoint that carries a password and for ``extra`` fields that the question itself fills in.
    """
    address = urlsplit(seat.endpoint)
    named = [*(name for name, _ in parse_qsl(address.query)), *seat.extra]
    hidden = next((name for name in named if name.lower().endswith(HIDDEN)), None)
    if "@" in seat.endpoint.partition("?")[0] or hidden:
        found = f'"{hidden}" is a key or password' if hidden else "endpoint holds a password"
        raise ConfigError(found, where=f"config/models.yaml, {address.hostname}", mend="keys belong in the environment")
    if taken := sorted(OURS & seat.extra.keys()):
        raise ConfigError(f'extra may not hold "{taken[0]}"', where=f"config/models.yaml, model {seat.model}")
    return ChatRequest(
        provider=seat.provider,
        model=f"{seat.model}@{version}" if version else seat.model,
        messages=tuple(messages),
        endpoint=seat.endpoint,
        schema=schema,
        tools=tuple(tools) if seat.native_tools and seat.provider == OPENAI_COMPATIBLE else (),
        temperature=seat.temperature,
        top_p=seat.top_p,
        max_tokens=seat.max_tokens,
        seed=seat.seed,
        replicate=replicate,
        native_schema=seat.native_schema and schema is not None and seat.provider == OPENAI_COMPATIBLE,
        extra=dict(seat.extra) or None,
        purpose=dict(purpose or {}),
    )
