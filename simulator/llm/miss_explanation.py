"""Explanation of a cache miss: the stored question nearest to the one asked, and the first difference."""

from __future__ import annotations

import heapq
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import Any

from simulator.errors import CacheMissError
from simulator.llm.cache import AnswerCache, Entry
from simulator.llm.messages import ChatRequest

CANDIDATES = 2000
FINALISTS = 8
EXCERPT = 40

FIELDS = ("provider", "endpoint", "model", "messages", "schema", "tools")
"""Order in which differences are named: the model, the question, then the settings."""


@dataclass(frozen=True)
class RequestDifference:
    """One place where two requests differ. `line` counts from 1 inside a text, 0 for anything else."""

    path: str
    first: Any
    second: Any
    line: int = 0

    def __str__(self) -> str:
        spot = f"{self.path} line {self.line}" if self.line else self.path
        return f"{spot}: {_short(self.first, self.second)} against {_short(self.second, self.first)}"


def miss(cache: AnswerCache, request: ChatRequest, *, explain: bool = True) -> CacheMissError:
    """Return the error of a question `cache` has no answer to. Explained, it names the nearest stored one, which takes
    a second in a large cache.
    """
    about = " ".join(f"{name}={request.purpose[name]}" for name in sorted(request.purpose)) or request.model
    hint = ""
    if explain:
        asked = request.canonical()
        near = nearest(asked, cache.similar(request, CANDIDATES))
        hint = ", the cache is empty"
        if near is not None:
            first = next(differences(asked, near.request), None)
            hint = f"; nearest is {near.key[:12]}, asked against stored: {first}"
    found = f"no stored answer to question {request.key[:12]} ({about}){hint}"
    return CacheMissError(found, where=str(cache.folder), mend="`--cache record` asks and stores it")


def nearest(asked: Mapping[str, Any], entries: Iterable[Entry]) -> Entry | None:
    """The entry whose request is most like `asked`: a cheap measure chooses finalists, difflib the winner."""
    text = _text(asked)

    def rough(entry: Entry) -> tuple[int, float, str]:
        alike = sum(asked.get(name) == entry.request.get(name) for name in ("provider", "endpoint", "model", "schema"))
        return alike, _common_ends(text, _text(entry.request)), entry.key

    def fine(entry: Entry) -> tuple[int, float, float, str]:
        alike, ends, key = rough(entry)
        lines = _text(entry.request).splitlines()
        return alike, SequenceMatcher(None, text.splitlines(), lines).ratio(), ends, key

    return max(heapq.nlargest(FINALISTS, entries, key=rough), key=fine, default=None)


def differences(first: Mapping[str, Any], second: Mapping[str, Any]) -> Iterator[RequestDifference]:
    """Differences of two canonical requests in the order of `FIELDS`, then by name; one line of each text."""
    for name in (*FIELDS, *sorted({*first, *second} - set(FIELDS))):
        yield from _walk(first.get(name), second.get(name), name)


def _walk(first: Any, second: Any, path: str) -> Iterator[RequestDifference]:
    if isinstance(first, Mapping) and isinstance(second, Mapping):
        for name in sorted({*first, *second}):
            yield from _walk(first.get(name), second.get(name), f"{path}.{name}")
    elif isinstance(first, list) and isinstance(second, list):
        for i in range(max(len(first), len(second))):
            yield from _walk(_item(first, i), _item(second, i), f"{path}[{i}]")
    elif first != second or type(first) is not type(second):
        yield _leaf(first, second, path)


def _item(items: list[Any], i: int) -> Any:
    return items[i] if i < len(items) else None


def _leaf(first: Any, second: Any, path: str) -> RequestDifference:
    if not (isinstance(first, str) and isinstance(second, str) and ("\n" in first or "\n" in second)):
        return RequestDifference(path, first, second)
    ones, others = first.split("\n"), second.split("\n")
    i = next((i for i, (a, b) in enumerate(zip(ones, others, strict=False)) if a != b), min(len(ones), len(others)))
    return RequestDifference(path, _item(ones, i), _item(others, i), i + 1)


def _short(value: Any, other: Any) -> str:
    """Write `value` as JSON, a long text cut around the place where `other` departs from it."""
    if value is None:
        return "nothing"
    if not isinstance(value, str):
        return json.dumps(value, sort_keys=True)[: 2 * EXCERPT]
    start = max(0, _common(value, other) - EXCERPT // 2) if isinstance(other, str) else 0
    cut = value[start : start + EXCERPT]
    return json.dumps(("…" if start else "") + cut + ("…" if start + EXCERPT < len(value) else ""), ensure_ascii=False)


def _text(request: Mapping[str, Any]) -> str:
    return "\n".join(str(message.get("content")) for message in request["messages"])


def _common_ends(first: str, second: str) -> float:
    """Share of the longer text that is a common beginning or end."""
    longest = max(len(first), len(second), 1)
    head = _common(first, second)
    tail = _common(first[head:][::-1], second[head:][::-1])
    return (head + tail) / longest


def _common(first: str, second: str) -> int:
    """Length of the common beginning, by halving."""
    low, high = 0, min(len(first), len(second))
    while low < high:
        middle = (low + high + 1) // 2
        if first[low:middle] == second[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low
