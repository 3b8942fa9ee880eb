"""Forms of a question: as it stands, and without what its service refuses. Each has a key of its own.

What was left out stands in the label ``refused`` of the purpose, beside every answer got that way: so the cache, and
any cassette of it, knows what a service refuses, and a replay on another machine looks for the same keys.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Set
from dataclasses import replace
from itertools import combinations

from simulator.llm.answers import CUT
from simulator.llm.messages import ChatRequest, ChatResponse

REFUSED = "refused"
LIMITS = ("max_tokens", "max_completion_tokens")
SETTINGS = ("temperature", "top_p", "seed")
MORE_ROOM = 4
LEAST_ROOM = 16_000
"""Tokens a question is given at least whose `max_tokens` went into thinking, and how many times as many."""


def without(request: ChatRequest, refused: Set[str]) -> ChatRequest:
    """Return `request` as it is asked of a service that refuses these fields; itself where it has none of them.

    A schema goes into the prompt; of the two names of `max_tokens` the other one is taken, of two refused ones none.
    """
    left_out = {name for name in SETTINGS if name in refused and getattr(request, name) is not None}
    changes: dict[str, object] = dict.fromkeys(left_out)
    if "schema" in refused and request.sends_schema:
        left_out.add("schema")
        changes["native_schema"] = False
    if request.max_tokens is not None and request.limit_name in refused:
        other = LIMITS[1 - LIMITS.index(request.limit_name)]
        left_out |= {request.limit_name, other} & refused
        changes |= {"max_tokens": None, "limit": ""} if other in refused else {"limit": other}
    if not left_out:
        return request
    return replace(request, purpose={**request.purpose, REFUSED: " ".join(sorted(left_out))}, **changes)  # type: ignore[arg-type]


def forms(request: ChatRequest, refused: Iterable[str]) -> Iterator[ChatRequest]:
    """`request`, then its forms without some of what its service refuses, those that leave out least first."""
    seen = {request.key}
    yield request
    known = sorted(set(refused))
    for count in range(1, len(known) + 1):
        for fields in combinations(known, count):
            form = without(request, set(fields))
            if form.key not in seen:
                seen.add(form.key)
                yield form


def can_be_refused(request: ChatRequest) -> bool:
    return request.sends_schema or any(getattr(request, name) is not None for name in ("max_tokens", *SETTINGS))


def ran_out(response: ChatResponse) -> bool:
    """True where all tokens went into thinking and no text came."""
    return response.outcome != "refusal" and response.finish.casefold() in CUT and not response.text.strip()


def with_more_room(request: ChatRequest, response: ChatResponse) -> ChatRequest:
    """Return the question whose answer `ran_out`, with a larger `max_tokens`: a further one, with its own key."""
    had = request.max_tokens or response.usage.completion_tokens
    return replace(
        request, max_tokens=max(LEAST_ROOM, MORE_ROOM * had), purpose={**request.purpose, "repair": "more tokens"}
    )


def describe_refusals(purposes: Iterable[tuple[str, str]]) -> list[str]:
    """Sentences about (service, label ``refused``) of answers: what was left out, and of whose questions."""
    words = {
        "schema": "JSON schemas (asked for in the prompt)",
        "max_tokens": "max_tokens (max_completion_tokens sent)",
    }
    words["max_completion_tokens"] = "max_completion_tokens (max_tokens sent)"
    return [
        f"{service} refuses {', '.join(words.get(field, f'{field} (left out)') for field in fields.split())}"
        for service, fields in sorted(set(purposes))
        if fields
    ]
