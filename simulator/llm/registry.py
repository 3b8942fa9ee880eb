"""Which model sits in which seat, and the question it is asked with."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import urlsplit

from simulator.config import Models, Seat
from simulator.errors import ConfigError, did_you_mean
from simulator.llm.messages import ChatRequest, Message

EVERYONE = "*"


def seats(models: Models, profile: str | None = None) -> dict[str, Seat]:
    """Seat → model of `profile`, of the default one where None. Raises ConfigError for a profile there is not."""
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


def request_for(
    seat: Seat,
    messages: Iterable[Message],
    schema: Mapping[str, Any] | None = None,
    purpose: Mapping[str, str] | None = None,
    *,
    version: str = "",
    replicate: int = 0,
) -> ChatRequest:
    """The question `seat` is asked.

    `version` is appended to the model as ``model@version``: offline models carry the digest of their rules, so that
    an answer never outlives an edit. Raises ConfigError for an endpoint that carries a password.
    """
    if "@" in urlsplit(seat.endpoint).netloc:
        host = urlsplit(seat.endpoint).hostname
        raise ConfigError(
            "endpoint holds a password", where=f"config/models.yaml, {host}", mend="keys belong in the environment"
        )
    return ChatRequest(
        provider=seat.provider,
        model=f"{seat.model}@{version}" if version else seat.model,
        messages=tuple(messages),
        endpoint=seat.endpoint,
        schema=schema,
        temperature=seat.temperature,
        max_tokens=seat.max_tokens,
        replicate=replicate,
        purpose=dict(purpose or {}),
    )
