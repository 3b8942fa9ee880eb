"""Providers answer questions. Each is asked once per attempt; cache, budget, limits and retries are the gateway's."""

from __future__ import annotations

import ipaddress
import math
import time
from collections.abc import Awaitable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Protocol, runtime_checkable
from urllib.parse import urlsplit

from simulator.errors import LLMError
from simulator.llm.messages import ChatRequest, ChatResponse


class Price(Protocol):
    """Dollars to book for an answer with these tokens of prompt and answer, whose service stated the cost `told`.

    Of the prompt's, `cached` were read from the service's cache and `written` put there.
    """

    def __call__(
        self,
        request: ChatRequest,
        prompt_tokens: int,
        completion_tokens: int,
        told: float | None,
        cached: int = 0,
        written: int = 0,
    ) -> float: ...


class TransientError(LLMError):
    """A failure that may pass: 429, 5xx, time-out, cut connection. Asked again by the gateway, never stored.

    Attributes
    ----------
    retry_after : seconds the provider asks to be left alone, None where it does not
    throttled, timed_out : True for too many requests (429), and for no answer in time
    perhaps_paid : True where the service may have charged for an answer that never arrived
    """

    def __init__(
        self,
        found: str,
        *,
        retry_after: float | None = None,
        throttled: bool = False,
        timed_out: bool = False,
        perhaps_paid: bool = False,
    ) -> None:
        super().__init__(found)
        self.retry_after, self.perhaps_paid = retry_after, perhaps_paid
        self.throttled, self.timed_out = throttled, timed_out


class RefusedFieldError(LLMError):
    """The service does not take a field of the question; the gateway asks again without it.

    Attributes
    ----------
    field : ``schema`` (asked for in the prompt instead), ``max_tokens`` or ``max_completion_tokens`` (the other name is
        tried), ``temperature``, ``top_p``, ``seed``
    certain : False where the service did not say so and only the next answer shows it
    """

    def __init__(self, found: str, field: str, *, certain: bool = True) -> None:
        super().__init__(found)
        self.field, self.certain = field, certain


@runtime_checkable
class Provider(Protocol):
    """One way to put a question to a model."""

    @property
    def name(self) -> str:
        """As it stands in `ChatRequest.provider` and config/models.yaml."""

    async def ask(self, request: ChatRequest) -> ChatResponse:
        """Answer, with the cost in `usage`. A refusal or an empty answer is an answer with that outcome.

        Raises TransientError for what may pass, LLMError for what will not.
        """


def is_local(url: str) -> bool:
    """True where `url` is on this machine or in a private network: no key is needed, no proxy is asked."""
    host = urlsplit(url).hostname or ""
    if host == "localhost" or host.endswith((".localhost", ".local")):
        return True
    try:
        return ipaddress.ip_address(host).is_private
    except ValueError:
        return False


def free(
    request: ChatRequest,  # noqa: ARG001
    prompt_tokens: int,  # noqa: ARG001
    completion_tokens: int,  # noqa: ARG001
    told: float | None,
    cached: int = 0,  # noqa: ARG001
    written: int = 0,  # noqa: ARG001
) -> float:
    """The price of answers that cost what their service tells, and nothing where it tells nothing possible."""
    return told if told is not None and 0.0 <= told < math.inf else 0.0


async def stamp(answer: Awaitable[ChatResponse]) -> ChatResponse:
    """Await an answer and put the time of asking (UTC) and the seconds it took into it."""
    asked_at, started = datetime.now(UTC), time.monotonic()
    response = await answer
    seconds = round(time.monotonic() - started, 3)
    return replace(response, latency_s=seconds, asked_at=f"{asked_at:%Y-%m-%dT%H:%M:%SZ}")
