"""Who answers. A provider is asked once per question; cache, budget, limits and retries are the gateway's."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from typing import Protocol, runtime_checkable
from urllib.parse import urlsplit

from simulator.errors import LLMError
from simulator.llm.messages import ChatRequest, ChatResponse

Price = Callable[[ChatRequest, int, int], float]
"""Dollars of (request, prompt tokens, completion tokens)."""


class TransientError(LLMError):
    """A failure that may pass: 429, 5xx, time-out, cut connection. Asked again by the gateway, never stored.

    Attributes
    ----------
    retry_after : seconds the provider wants to be left alone, where it said so
    throttled, timed_out : whether it was asked too much (429), or never answered
    perhaps_paid : whether the service may have charged for an answer that never arrived
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


class SchemaRefusedError(LLMError):
    """The service does not take JSON schemas; the gateway asks again with the schema in the prompt."""


@runtime_checkable
class Provider(Protocol):
    """One way to put a question to a model."""

    @property
    def name(self) -> str:
        """As it stands in `ChatRequest.provider` and config/models.yaml."""

    async def ask(self, request: ChatRequest) -> ChatResponse:
        """The answer, its cost in `usage`. A refusal or an empty answer is an answer with that outcome.

        Raises TransientError for what may pass, LLMError for what will not.
        """


def is_local(url: str) -> bool:
    """Whether `url` is on this machine or in a private network: no key is needed, no proxy is asked."""
    host = urlsplit(url).hostname or ""
    if host == "localhost" or host.endswith((".localhost", ".local")):
        return True
    try:
        return ipaddress.ip_address(host).is_private
    except ValueError:
        return False


def free(request: ChatRequest, prompt_tokens: int, completion_tokens: int) -> float:  # noqa: ARG001
    """The price of answers that cost nothing."""
    return 0.0
