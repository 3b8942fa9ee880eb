"""The way to a model: asked once, never twice, never over budget.

    ask(request) ─► cache ─► budget ─► limiter ─► provider ─► cache ─► ChatResponse
                      │hit                 └── TransientError: wait, ask again
                      └─────────────────────────────────────────────►
    ask_for(request, Model) ─► ask ─► answers.read_answer ─► one repair question ─► Answered[Model]

Modes: ``record`` (hit, else ask and store), ``replay`` (a miss is an error), ``refresh`` (ask once more and store),
``off`` (neither read nor store). A run that asks a question twice gets the same answer twice in all of them.
"""

from __future__ import annotations

import asyncio
import math
import os
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import dataclass, replace
from typing import Literal, Protocol

from simulator.errors import ConfigError, LLMError, did_you_mean
from simulator.llm.answers import Answered, T, read_answer, repair_request, with_schema
from simulator.llm.budget import Budget
from simulator.llm.cache import AnswerCache
from simulator.llm.messages import ChatRequest, ChatResponse, Outcome, Usage
from simulator.llm.providers import Provider, SchemaRefusedError, TransientError

Mode = Literal["record", "replay", "refresh", "off"]

SECRET_NAMES = ("KEY", "SECRET", "TOKEN", "PASSWORD")


@dataclass(frozen=True)
class Call:
    """One question a run put, for its evidence. Holds nothing that differs between a cold run and its rerun.

    `usage` is what the answer cost when it was paid for, in this run or another.
    """

    key: str
    provider: str
    model: str
    purpose: Mapping[str, str]
    outcome: Outcome
    usage: Usage


@dataclass(frozen=True)
class Retry:
    """How long a failing provider is waited for: seconds before each further attempt, without jitter."""

    waits: tuple[float, ...] = (1.0, 2.0, 4.0, 8.0, 16.0)
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep


class Limiter(Protocol):
    """Calls per minute, tokens, concurrency: a question is put while its slot is held."""

    def slot(self, request: ChatRequest) -> AbstractAsyncContextManager[None]: ...


class Unlimited:
    def slot(self, request: ChatRequest) -> AbstractAsyncContextManager[None]:  # noqa: ARG002
        return nullcontext()


def free(request: ChatRequest) -> float:  # noqa: ARG001
    """The estimate of providers that cost nothing."""
    return 0.0


class Gateway:
    """Answers questions from disk, and from `providers` where disk has none.

    Parameters
    ----------
    estimate_usd : upper bound of what a question will cost, reserved in `budget` while it is asked

    Attributes
    ----------
    asked, cached : distinct questions put to a provider in this run, and those answered from disk
    failed : distinct questions of this run whose answer is a lasting failure
    cost_usd : dollars paid in this run
    """

    def __init__(
        self,
        cache: AnswerCache,
        providers: Mapping[str, Provider],
        *,
        budget: Budget | None = None,
        mode: Mode = "record",
        estimate_usd: Callable[[ChatRequest], float] = free,
        retry: Retry | None = None,
        limiter: Limiter | None = None,
    ) -> None:
        self.cache, self.providers, self.mode = cache, providers, mode
        self.budget = budget or Budget()
        self.cached = 0
        self._estimate_usd = estimate_usd
        self._retry, self._limiter = retry or Retry(), limiter or Unlimited()
        self._secrets = _secrets()
        self._calls: dict[str, Call | None] = {}
        self._paid: dict[str, float] = {}
        self._held: dict[str, ChatResponse] = {}
        self._in_flight: dict[str, asyncio.Task[ChatResponse]] = {}
        self._without_schema: set[tuple[str, str, str]] = set()

    @property
    def asked(self) -> int:
        return len(self._paid)

    @property
    def failed(self) -> int:
        return sum(call.outcome != "answer" for call in self.calls)

    @property
    def cost_usd(self) -> float:
        return math.fsum(self._paid.values())

    @property
    def calls(self) -> tuple[Call, ...]:
        """Every answered question once, in the order first put; under the purpose it was first put for."""
        return tuple(call for call in self._calls.values() if call is not None)

    async def ask(self, request: ChatRequest) -> ChatResponse:
        """The answer to `request`, from disk or from its provider.

        Raises CacheMissError in mode ``replay``, CacheCorruptError, BudgetError, ConfigError for an unknown provider
        and LLMError when the provider keeps failing. Nothing of that is stored.
        """
        return (await self._ask(request))[1]

    async def ask_for(self, request: ChatRequest, model: type[T]) -> Answered[T]:
        """The answer to `request` as a `model`, asked for in its JSON schema, with one repair question if need be.

        A refusal and an answer that stays unusable are results, with `Answered.error` set. Raises as `ask`.
        """
        put, response = await self._ask(with_schema(request, model))
        value, error = read_answer(response, model)
        if error is None or response.outcome == "refusal":
            return Answered(value, error, (put.key,), response)
        wanted = repair_request(put, response, error)
        repair, response = await self._ask(wanted)
        value, error = read_answer(response, model)
        if error is not None and response.outcome == "answer":
            response = self._mark_unusable(wanted, repair, response)
        return Answered(value, error, (put.key, repair.key), response)

    async def _ask(self, request: ChatRequest) -> tuple[ChatRequest, ChatResponse]:
        """The answer, and the question as it was put: with its schema in the prompt where the service takes none."""
        answered = self._calls.setdefault(request.key, None)
        put, response = self._known(request)
        if response is None:
            if self.mode == "replay":
                from simulator.llm.nearest import miss

                raise miss(self.cache, request)
            put, response = await self._ask_in_form(request)
        elif answered is None:
            self.cached += 1
        if answered is None:
            self._note(request, put, response)
        return put, response

    def _known(self, request: ChatRequest) -> tuple[ChatRequest, ChatResponse | None]:
        """The stored answer to `request` in either form. Which one is stored tells what its service could do."""
        for put in (request, replace(request, native_schema=False)) if request.native_schema else (request,):
            response = self._held.get(put.key) if self.mode in ("refresh", "off") else self.cache.get(put.key)
            if response is not None:
                return put, response
        return request, None

    async def _ask_in_form(self, request: ChatRequest) -> tuple[ChatRequest, ChatResponse]:
        asked = (request.provider, request.endpoint, request.model)
        if request.native_schema and asked not in self._without_schema:
            try:
                return request, await self._ask_once(request)
            except SchemaRefusedError:
                self._without_schema.add(asked)
        put = replace(request, native_schema=False) if request.native_schema else request
        return put, await self._ask_once(put)

    def _note(self, request: ChatRequest, put: ChatRequest, response: ChatResponse) -> None:
        self._calls[request.key] = Call(
            key=put.key,
            provider=put.provider,
            model=put.model,
            purpose=dict(put.purpose),
            outcome=response.outcome,
            usage=response.usage,
        )

    def _mark_unusable(self, request: ChatRequest, put: ChatRequest, response: ChatResponse) -> ChatResponse:
        response = replace(response, outcome="unusable")
        self._note(request, put, response)
        if self.mode in ("record", "refresh"):
            self.cache.put(put, response, replace=True)
        if put.key in self._held:
            self._held[put.key] = response
        return response

    async def _ask_once(self, request: ChatRequest) -> ChatResponse:
        """Those who put a question that is in flight wait for it. One who gives up does not take it from the others."""
        key = request.key
        task = self._in_flight.get(key)
        if task is None:
            task = asyncio.create_task(self._pay(request))
            self._in_flight[key] = task
            task.add_done_callback(lambda done: self._landed(key, done))
        return await asyncio.shield(task)

    def _landed(self, key: str, task: asyncio.Task[ChatResponse]) -> None:
        del self._in_flight[key]
        if not task.cancelled():
            # Looked at, or asyncio complains when everybody who waited has given up.
            task.exception()

    async def _pay(self, request: ChatRequest) -> ChatResponse:
        provider = self._provider(request)
        estimate, paid = self._estimate_usd(request), 0.0
        self.budget.reserve(estimate)
        try:
            response = await self._with_retries(provider, request)
            paid = response.usage.cost_usd
        finally:
            self.budget.settle(estimate, paid)
        self._paid[request.key] = self._paid.get(request.key, 0.0) + paid
        response = replace(response, text=self._without_secrets(response.text))
        if self.mode != "off":
            response = self.cache.put(request, response, replace=self.mode == "refresh")
        if self.mode != "record":
            self._held[request.key] = response
        return response

    async def _with_retries(self, provider: Provider, request: ChatRequest) -> ChatResponse:
        waits = iter(self._retry.waits)
        while True:
            try:
                async with self._limiter.slot(request):
                    return await provider.ask(request)
            except TransientError as passing:
                wait = next(waits, None)
                if wait is None:
                    raise self._gave_up(request, passing) from None
                delay = max(wait, passing.retry_after or 0.0)
            except SchemaRefusedError:
                raise
            except LLMError as error:
                raise type(error)(self._without_secrets(error.found), where=error.where, mend=error.mend) from None
            await self._retry.sleep(delay)

    def _gave_up(self, request: ChatRequest, passing: TransientError) -> LLMError:
        attempts = len(self._retry.waits) + 1
        return LLMError(
            f"no answer after {attempts} attempts ({self._without_secrets(passing.found)})",
            where=f"{request.provider}/{request.model}",
            mend="repeat the command later: answers that came are kept",
        )

    def _provider(self, request: ChatRequest) -> Provider:
        provider = self.providers.get(request.provider)
        if provider is None:
            near = did_you_mean(request.provider, self.providers)
            raise ConfigError(f'no provider "{request.provider}"{near}', where=f"model {request.model}")
        return provider

    def _without_secrets(self, text: str) -> str:
        """Services echo keys in what they answer and complain."""
        for name, value in self._secrets:
            text = text.replace(value, f"[{name}]")
        return text


def _secrets() -> list[tuple[str, str]]:
    """(name, value) of environment variables that hold keys and passwords, long values first."""
    held = [(name, value) for name, value in os.environ.items() if name.upper().endswith(SECRET_NAMES)]
    return sorted((pair for pair in held if len(pair[1]) >= 8), key=lambda pair: (-len(pair[1]), pair[0]))
