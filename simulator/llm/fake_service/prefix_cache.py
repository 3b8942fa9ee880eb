"""The prefix cache of the fake service, by the rules of real ones.

A prompt is its schema, where one is sent as ``response_format``, and then its messages in order, a token for four
bytes. What begins as an earlier prompt to the same model did, for 1,024 tokens or more, is read from the cache in steps
of 128 tokens. Claude keeps what is marked with ``cache_control`` and nothing else. A beginning is kept once its prompt
has been answered: questions in flight together do not help each other.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from typing import Any

LEAST, STEP, BYTES = 1024, 128, 4


class PrefixCache:
    """Beginnings of the prompts answered so far."""

    def __init__(self) -> None:
        self._kept: set[bytes] = set()

    def read(self, body: Mapping[str, Any]) -> tuple[int, int, int]:
        """Return (tokens, those read from the cache, those to be put there) of a prompt about to be answered."""
        found, longest = 0, 0
        for tokens, digest in self._beginnings(body):
            longest = tokens
            found = tokens if digest in self._kept else found
        return len(_prompt(body)[0]) // BYTES + 1, found, longest - found

    def keep(self, body: Mapping[str, Any]) -> None:
        """Keep the beginnings of a prompt that was answered."""
        self._kept.update(digest for _, digest in self._beginnings(body))

    def _beginnings(self, body: Mapping[str, Any]) -> Iterator[tuple[int, bytes]]:
        """Yield (tokens, digest) of every beginning that can be kept, shortest first."""
        text, marks = _prompt(body)
        ends = marks if is_claude(body) else range(LEAST * BYTES, len(text) + 1, STEP * BYTES)
        running, at = hashlib.sha256(str(body["model"]).encode()), 0
        for end in ends:
            running.update(text[at:end])
            at = end
            if end >= LEAST * BYTES:
                yield end // BYTES, running.digest()


def is_claude(body: Mapping[str, Any]) -> bool:
    return "claude" in str(body["model"])


def _prompt(body: Mapping[str, Any]) -> tuple[bytes, list[int]]:
    """Return the bytes of a prompt, and those after which it is marked."""
    described = body.get("response_format")
    text, marks = b"" if described is None else json.dumps(described, sort_keys=True).encode(), []
    for message in body["messages"]:
        content = message["content"]
        text += f"<{message['role']}>".encode()
        for part in content if isinstance(content, list) else [{"text": content}]:
            text += str(part["text"]).encode()
            if "cache_control" in part:
                marks.append(len(text))
    return text, marks
