"""What is asked and what comes back. The cache key lives here because it is a property of the question."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

KEY_FORMAT = 1

Outcome = Literal["answer", "refusal", "unusable"]


@dataclass(frozen=True)
class Message:
    role: Literal["system", "user", "assistant"]
    content: str


@dataclass(frozen=True)
class ChatRequest:
    """One question. Every field but `purpose` can change the answer and is part of the key.

    Attributes
    ----------
    provider, endpoint, model : who is asked; `model` is a snapshot, not an alias that moves
    schema : JSON schema the answer must satisfy, with its ``title``
    replicate : the same question asked once more on purpose
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
    purpose: Mapping[str, str] = field(default_factory=dict)

    def canonical(self) -> dict[str, Any]:
        """Everything that can change the answer, JSON-able."""
        content = asdict(self)
        del content["purpose"]
        return {"format": KEY_FORMAT, **content}

    @property
    def key(self) -> str:
        """sha256 (hex) of the canonical JSON."""
        return hashlib.sha256(canonical_json(self.canonical())).hexdigest()


@dataclass(frozen=True)
class Usage:
    """Tokens and dollars of one call, as the provider counted them."""

    prompt_tokens: int = 0
    completion_tokens: int = 0
    cost_usd: float = 0.0


@dataclass(frozen=True)
class ChatResponse:
    """One answer as it is kept: `text` raw, `outcome` other than ``answer`` for lasting failures.

    `asked_at` is ISO 8601 UTC; `latency_s` wall-clock seconds of the call that was paid for.
    """

    text: str
    outcome: Outcome = "answer"
    model: str = ""
    usage: Usage = Usage()
    latency_s: float = 0.0
    asked_at: str = ""


def canonical_json(value: Any) -> bytes:
    """UTF-8 JSON with sorted keys, no spaces and no NaN: equal values give equal bytes on every machine."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()
