"""Beginnings that questions share: services read them once and charge less for what they have read before.

schema, where the service is sent one ─► messages before ─► text up to a mark (`Message.shared`) ─┊─► what differs
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from simulator.llm.messages import ChatRequest, canonical_json

LEAST_TOKENS = 1024
"""Tokens of the shortest beginning that services keep."""
BYTES_PER_TOKEN = 4


@dataclass(frozen=True)
class Beginning:
    """A beginning by its `digest`, model and service included, and its likely `tokens`."""

    digest: bytes
    tokens: int


def first_beginning(request: ChatRequest) -> Beginning | None:
    """Return the shortest marked beginning of `request`; None without one that is long enough to be kept."""
    n = next((n for n, message in enumerate(request.messages) if message.shared), None)
    if n is None:
        return None
    marked = request.messages[n]
    parts = [(message.role, message.content) for message in request.messages[:n]]
    parts.append((marked.role, marked.content[: marked.shared[0]]))
    # OpenAI, and others after it, put the schema before the first message: two schemas have no beginning in common.
    schema = dict(request.schema) if request.schema is not None and request.sends_schema else None
    text = canonical_json([schema, parts])
    tokens = len(text) // BYTES_PER_TOKEN
    if tokens < LEAST_TOKENS:
        return None
    about = f"{request.provider}\n{request.endpoint}\n{request.model}\n".encode()
    return Beginning(hashlib.sha256(about + text).digest(), tokens)


def mark_shared(texts: Sequence[str], first: int) -> tuple[int, ...]:
    """Return the marks of questions with these texts, which are alike up to `first`: there, and where they begin to
    differ."""
    alike, differ = first, min(map(len, texts))
    while alike < differ:  # texts are long and many: halves are compared, not letters
        middle = (alike + differ + 1) // 2
        start = texts[0][alike:middle]
        if all(text.startswith(start, alike) for text in texts):
            alike = middle
        else:
            differ = middle - 1
    return (first, alike) if len(texts) > 1 and alike > first else (first,)
