"""Requests and answers. The cache key is defined here because it is a property of the request."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal
from urllib.parse import urlsplit

KEY_FORMAT = 1

Outcome = Literal["answer", "refusal", "unusable"]


@dataclass(frozen=True)
class Message:
    """One message. `shared` are the characters up to which other questions begin alike, shortest first; never part of
    the key: a service may be told to keep these beginnings."""

    role: Literal["system", "user", "assistant"]
    content: str
    shared: tuple[int, ...] = field(default=(), compare=False)


class FrozenSchema(dict[str, Any]):
    """A JSON schema asked for many times: its canonical bytes are made once, so it may not be changed afterwards."""

    def __init__(self, schema: Mapping[str, Any]) -> None:
        super().__init__(schema)
        self.canonical_json = canonical_json(dict(schema))


@dataclass(frozen=True)
class ChatRequest:
    """One question. Every field but `purpose` can change the answer and is part of the key.

    Attributes
    ----------
    provider, endpoint, model : the model asked; a snapshot, not an alias that moves
    schema : JSON schema the answer must satisfy, with its ``title``
    replicate : the same question asked once more on purpose
    limit : name of the field that carries `max_tokens`, where the usual one was refused
    native_schema : True sends `schema` to the service as its own parameter, False puts it into the prompt
    extra : further fields of the service's request body, e.g. ``cache_prompt`` of llama.cpp
    purpose : labels for people and the journal (stage, seat, date); never part of the key
    """

    provider: str
    model: str
    messages: tuple[Message, ...]
    endpoint: str = ""
    schema: Mapping[str, Any] | None = None
    tools: tuple[Mapping[str, Any], ...] = ()
    temperature: float | None = None
    top_p: float | None = None
    max_tokens: int | None = None
    stop: tuple[str, ...] = ()
    seed: int | None = None
    reasoning: Mapping[str, Any] | None = None
    replicate: int = 0
    native_schema: bool = False
    extra: Mapping[str, Any] | None = None
    limit: str = ""
    purpose: Mapping[str, str] = field(default_factory=dict)

    def canonical(self) -> dict[str, Any]:
        """Everything that can change the answer, JSON-able. Temperatures 0 and 0.0 are one.

        `native_schema`, `extra` and `limit` came later and are left out where they say nothing: older keys stay valid.
        """
        content: dict[str, Any] = {
            "format": KEY_FORMAT,
            "provider": self.provider,
            "model": self.model,
            "messages": [{"role": message.role, "content": message.content} for message in self.messages],
            "endpoint": self.endpoint,
            "schema": None if self.schema is None else dict(self.schema),
            "tools": [dict(tool) for tool in self.tools],
            "temperature": None if self.temperature is None else float(self.temperature),
            "top_p": None if self.top_p is None else float(self.top_p),
            "max_tokens": self.max_tokens,
            "stop": list(self.stop),
            "seed": self.seed,
            "reasoning": None if self.reasoning is None else dict(self.reasoning),
            "replicate": self.replicate,
        }
        if self.native_schema:
            content["native_schema"] = True
        if self.extra is not None:
            content["extra"] = dict(self.extra)
        if self.limit:
            content["limit"] = self.limit
        return content

    @property
    def limit_name(self) -> str:
        """Name of the field that carries `max_tokens`."""
        # OpenAI's own reasoning models refuse the older name; nobody else knows the newer one everywhere.
        newest = urlsplit(self.endpoint).hostname == "api.openai.com"
        return self.limit or ("max_completion_tokens" if newest else "max_tokens")

    @property
    def sends_schema(self) -> bool:
        """True where the schema is a parameter of its own, to be enforced by the service."""
        return self.native_schema and self.schema is not None

    @cached_property
    def key(self) -> str:
        """sha256 (hex) of the canonical JSON."""
        return hashlib.sha256(self.canonical_json).hexdigest()

    @property
    def canonical_json(self) -> bytes:
        """``canonical_json(self.canonical())``, in which the bytes of a `FrozenSchema` are not made again."""
        content = self.canonical()
        if not isinstance(self.schema, FrozenSchema):
            return canonical_json(content)
        # Keys are sorted, so the schema's place is known: these bytes are exactly those of the plain encoding.
        del content["schema"]
        before = canonical_json({name: value for name, value in content.items() if name < "schema"})
        after = canonical_json({name: value for name, value in content.items() if name > "schema"})
        return b"".join((before[:-1], b',"schema":', self.schema.canonical_json, b",", after[1:]))


@dataclass(frozen=True)
class Usage:
    """Tokens and dollars of one call, as the provider counted them.

    Of the prompt's tokens `cached_tokens` were read from the service's cache and `written_tokens` put there: both have
    prices of their own.
    """

    prompt_tokens: int = 0
    completion_tokens: int = 0
    cost_usd: float = 0.0
    cached_tokens: int = 0
    written_tokens: int = 0

    def to_json(self) -> dict[str, float]:
        """Return the fields, without those that came later where they say nothing: older entries stay as they are."""
        return {
            name: value
            for name, value in vars(self).items()
            if value or name not in ("cached_tokens", "written_tokens")
        }


@dataclass(frozen=True)
class ChatResponse:
    """One answer as it is kept: `text` raw, `outcome` other than ``answer`` for lasting failures.

    `model` is the one that served, as its service named it, empty where it did not; `asked_at` is ISO 8601 UTC;
    `latency_s` wall-clock seconds of the call that was paid for; `finish` the provider's reason for the end of the
    text: ``length`` where it was cut off at max_tokens.
    """

    text: str
    outcome: Outcome = "answer"
    model: str = ""
    usage: Usage = Usage()
    latency_s: float = 0.0
    asked_at: str = ""
    finish: str = ""


def whole(text: str) -> str:
    """`text` with its surrogate pairs put together, and ``\ufffd`` for half a pair, which is no UTF-8."""
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


_CANONICAL = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def canonical_json(value: Any) -> bytes:
    """UTF-8 JSON with sorted keys, no spaces and no NaN: equal values give equal bytes on every machine.

    Half a surrogate pair, sent by models cut off in the middle of an emoji, is no UTF-8 and becomes its JSON escape.
    """
    return _CANONICAL.encode(value).encode("utf-8", "backslashreplace")
