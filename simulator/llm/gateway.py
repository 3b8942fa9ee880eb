"""The way to a model: asked once, never twice, never over budget.

    ask(request) ─► cache ─► limiter ─► claim ─► budget ─► provider ─► cache ─► ChatResponse
                      │hit     ▲          │asked elsewhere    │TransientError
                      │        └── wait ◄─┴───────────────────┘
                      └────────────────────────────────────────────────────►
    ask_for(request, Model) ─► ask ─► answers.read_answer ─► one repair question ─► StructuredAnswer[Model]

Modes: ``record`` (hit, else ask and store), ``replay`` (a miss is an error), ``refresh`` (ask once more and store),
``off`` (neither read nor store). A run that asks a question twice gets the same answer twice in all of them.
"""

from __future__ import annotations

import asyncio
import math
import os
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import dataclass, replace
from typing import Literal, Protocol

from simulator.errors import ConfigError, LLMError, did_you_mean
from simulator.llm.answers import StructuredAnswer, T, read_answer, repair_request, with_schema
from simulator.llm.cache import AnswerCache
from simulator.llm.journal import Journal, failed_line, line_of
from simulator.llm.messages import ChatRequest, ChatResponse, Outcome, Usage
from simulator.llm.providers import Provider, SchemaRefusedError, TransientError
from simulator.llm.spending.budget import Budget

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
    """How long a failing provider is waited for: seconds before each further attempt, without jitter.

    One that asks to be left alone for longer than `patience_s` is not waited for.
    """

    waits: tuple[float, ...] = (1.0, 2.0, 4.0, 8.0, 16.0)
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    patience_s: float = 120.0


@dataclass
class Measured:
    """Sums over the answers paid for in this run, of one stage and model."""

    calls: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cost_usd: float = 0.0
    latency_s: float = 0.0


class Slot(Protocol):
    """A place at an endpoint."""

    async def count(self) -> None:
        """Count a call, once there is room for it in the hour and the minute."""

    def used(self, usage: Usage) -> None:
        """Tell what the call really used."""


class Limiter(Protocol):
    """Calls at once, by the hour, tokens by the minute: a question is put while its slot is held."""

    def slot(self, request: ChatRequest) -> AbstractAsyncContextManager[Slot]: ...


class Unlimited:
    def slot(self, request: ChatRequest) -> AbstractAsyncContextManager[Slot]:  # noqa: ARG002
        return nullcontext(self)

    async def count(self) -> None:
        return

    def used(self, usage: Usage) -> None:  # noqa: ARG002
        return


class AskedElsewhereError(Exception):
    """Another process of the workspace is asking that question."""


def in_process(provider: Provider) -> bool:
    """Whether there is nothing to wait for, to limit, or to share: rules that answer at once."""
    return bool(getattr(provider, "in_process", False))


def free(request: ChatRequest) -> tuple[float, float]:  # noqa: ARG001
    """The estimate of providers that cost nothing."""
    return 0.0, 0.0


class Gateway:
    """Answers questions from disk, and from `providers` where disk has none.

    Parameters
    ----------
    budget : with a ledger, shared by the processes of a workspace, no two of them ask the same question
    estimate_usd : (likely, at most) dollars of a question; the most is reserved in `budget` while it is asked
    journal : gets a line per question and per failed attempt

    Attributes
    ----------
    asked, cached : distinct questions put to a provider in this run, and those answered from disk
    failed : distinct questions of this run whose answer is a lasting failure
    cost_usd : dollars paid in this run
    measured : (stage, model) → what its answers took in this run, for a plan to learn from
    """

    def __init__(
        self,
        cache: AnswerCache,
        providers: Mapping[str, Provider],
        *,
        budget: Budget | None = None,
        mode: Mode = "record",
        estimate_usd: Callable[[ChatRequest], tuple[float, float]] = free,
        retry: Retry | None = None,
        limiter: Limiter | None = None,
        journal: Journal | None = None,
    ) -> None:
        self.cache, self.providers, self.mode = cache, providers, mode
        self.budget, self.journal = budget or Budget(), journal
        self.cached = 0
        self.measured: dict[tuple[str, str], Measured] = {}
        self._estimate_usd = estimate_usd
        self._retry, self._limiter = retry or Retry(), limiter or Unlimited()
        self._secrets = _secrets()
        self._calls: dict[str, Call | None] = {}
        self._paid: dict[str, float] = {}
        self._held: dict[str, ChatResponse] = {}
        self._in_flight: dict[str, asyncio.Task[ChatResponse]] = {}
        self._waiting: Counter[str] = Counter()
        self._on_wire: set[str] = set()
        self._draining = False
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
        """Every answered question once, in the order first put; under the purpose it was first put for.

        Where dates are asked side by side, that order depends on who answered first: sort them where bytes matter.
        """
        return tuple(call for call in self._calls.values() if call is not None)

    async def ask(self, request: ChatRequest) -> ChatResponse:
        """The answer to `request`, from disk or from its provider.

        Raises CacheMissError in mode ``replay``, CacheCorruptError, BudgetError, ConfigError for an unknown provider
        and LLMError when the provider keeps failing. Nothing of that is stored.
        """
        return (await self._ask(request))[1]

    async def ask_for(self, request: ChatRequest, model: type[T]) -> StructuredAnswer[T]:
        """The answer to `request` as a `model`, asked for in its JSON schema, with one repair question if need be.

        A refusal and an answer that stays unusable are results, with `StructuredAnswer.error` set. Raises as `ask`.
        """
        put, response = await self._ask(with_schema(request, model))
        value, error = read_answer(response, model)
        if error is None or response.outcome == "refusal":
            return StructuredAnswer(value, error, (put.key,), response)
        wanted = repair_request(put, response, error)
        repair, response = await self._ask(wanted)
        value, error = read_answer(response, model)
        if error is not None and response.outcome == "answer":
            response = self._mark_unusable(wanted, repair, response)
        return StructuredAnswer(value, error, (put.key, repair.key), response)

    async def _ask(self, request: ChatRequest) -> tuple[ChatRequest, ChatResponse]:
        """The answer, and the question as it was put: with its schema in the prompt where the service takes none."""
        answered = self._calls.setdefault(request.key, None)
        put, response = self._known(request)
        if response is None:
            if self.mode == "replay":
                from simulator.llm.miss_explanation import miss

                raise miss(self.cache, request)
            put, response = await self._ask_in_form(request)
        elif answered is None:
            self._found(put, response)
        if answered is None:
            self._note(request, put, response)
        return put, response

    def _known(self, request: ChatRequest) -> tuple[ChatRequest, ChatResponse | None]:
        """The stored answer to `request` in either form. Which one is stored tells what its service could do."""
        response = self._stored(request.key)
        if response is None and request.native_schema:
            plain = replace(request, native_schema=False)
            response = self._stored(plain.key)
            if response is not None:
                return plain, response
        return request, response

    def _stored(self, key: str) -> ChatResponse | None:
        return self._held.get(key) if self.mode in ("refresh", "off") else self.cache.get(key)

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

    async def drain(self, patience_s: float = 60.0) -> None:
        """Before an event loop ends: wait for the answers on their way, which are paid for, and close connections.

        Questions not put yet are given up at once, answers that take longer than `patience_s` then.
        """
        self._draining = True
        try:
            tasks = dict(self._in_flight)
            for key, task in tasks.items():
                if key not in self._on_wire:
                    task.cancel()
            if tasks:
                _, late = await asyncio.wait(tasks.values(), timeout=patience_s)
                for task in late:
                    task.cancel()
                await asyncio.gather(*late, return_exceptions=True)
        finally:
            self._draining = False
        for provider in self.providers.values():
            if close := getattr(provider, "close", None):
                await close()

    async def _ask_once(self, request: ChatRequest) -> ChatResponse:
        """Those who put a question that is in flight wait for it. One who gives up does not take it from the others;
        when all have, a question not put yet is dropped, and one on its way is waited for by nobody but itself."""
        key = request.key
        task = self._in_flight.get(key)
        if task is None:
            task = asyncio.create_task(self._pay(request))
            self._in_flight[key] = task
            task.add_done_callback(lambda done: self._landed(key, done))
        self._waiting[key] += 1
        try:
            return await asyncio.shield(task)
        finally:
            self._waiting[key] -= 1
            if not self._waiting[key]:
                del self._waiting[key]
                if not task.done() and key not in self._on_wire:
                    self._in_flight.pop(key, None)
                    task.cancel()

    def _landed(self, key: str, task: asyncio.Task[ChatResponse]) -> None:
        if self._in_flight.get(key) is task:
            del self._in_flight[key]
        if not task.cancelled():
            # Looked at, or asyncio complains when everybody who waited has given up.
            task.exception()

    async def _pay(self, request: ChatRequest) -> ChatResponse:
        """The answer, asked for here until it comes or, at the same time, by another process of the workspace."""
        provider = self._provider(request)
        limiter = Unlimited() if in_process(provider) else self._limiter
        waits, attempt, poll = iter(self._retry.waits), 1, 0.02
        while True:
            try:
                async with limiter.slot(request) as slot:
                    return await self._claimed(provider, request, slot, attempt)
            except AskedElsewhereError:
                await asyncio.sleep(poll)
                poll = min(1.5 * poll, 0.25)
                if (response := self.cache.get(request.key)) is not None:
                    return self._found(request, response)
            except TransientError as passing:
                self._journal_failure(request, passing, attempt)
                await self._retry.sleep(self._delay(request, passing, next(waits, None), attempt))
                attempt += 1
            except SchemaRefusedError:
                raise
            except LLMError as error:
                self._journal_failure(request, error, attempt)
                error.found = self._without_secrets(error.found)
                raise error from None

    def _delay(self, request: ChatRequest, passing: TransientError, wait: float | None, attempt: int) -> float:
        """Seconds before the next attempt. Raises LLMError where there will be none."""
        asked_for = passing.retry_after or 0.0
        forsaken = self._draining or request.key not in self._waiting
        if wait is None or forsaken or asked_for > self._retry.patience_s:
            raise self._gave_up(request, passing, attempt) from None
        return max(wait, asked_for)

    async def _claimed(self, provider: Provider, request: ChatRequest, slot: Slot, attempt: int) -> ChatResponse:
        """One attempt, made while no other process of the workspace makes one at the same question."""
        ledger = self.budget.ledger
        if ledger is None or self.mode != "record" or in_process(provider):
            return await self._attempt(provider, request, slot, attempt)
        if not ledger.claim(request.key):
            raise AskedElsewhereError
        try:
            # Another process may have answered after we looked and before we claimed.
            if (response := self.cache.get(request.key)) is not None:
                return self._found(request, response)
            return await self._attempt(provider, request, slot, attempt)
        finally:
            ledger.release(request.key)

    def _found(self, request: ChatRequest, response: ChatResponse) -> ChatResponse:
        self.cached += 1
        if self.journal is not None:
            self.journal.write(line_of(request, response, hit=True))
        return response

    async def _attempt(self, provider: Provider, request: ChatRequest, slot: Slot, attempt: int) -> ChatResponse:
        """Ask once, and store what was paid for."""
        await slot.count()
        response = await self._within_budget(provider, request)
        slot.used(response.usage)
        self._paid[request.key] = self._paid.get(request.key, 0.0) + response.usage.cost_usd
        response = replace(response, text=self._without_secrets(response.text))
        if self.mode != "off":
            response = self.cache.put(request, response, replace=self.mode == "refresh")
        if self.mode != "record":
            self._held[request.key] = response
        self._measure(request, response)
        if self.journal is not None:
            self.journal.write(line_of(request, response, hit=False, attempt=attempt))
        return response

    def _measure(self, request: ChatRequest, response: ChatResponse) -> None:
        sums = self.measured.setdefault((request.purpose.get("stage", ""), request.model), Measured())
        sums.calls += 1
        sums.prompt_tokens += response.usage.prompt_tokens
        sums.completion_tokens += response.usage.completion_tokens
        sums.cost_usd += response.usage.cost_usd
        sums.latency_s += response.latency_s

    async def _within_budget(self, provider: Provider, request: ChatRequest) -> ChatResponse:
        """Ask once, the money reserved before and settled after, whatever comes of it."""
        likely, most = self._estimate_usd(request)
        while (held := self.budget.reserve(most, likely)) is None:
            await asyncio.sleep(0.05)
        self._on_wire.add(request.key)
        try:
            response = await provider.ask(request)
        except TransientError as passing:
            (self.budget.lost if passing.perhaps_paid else self.budget.unused)(held)
            raise
        except asyncio.CancelledError:
            self.budget.lost(held)
            raise
        except BaseException:
            self.budget.unused(held)
            raise
        finally:
            self._on_wire.discard(request.key)
        self.budget.paid(held, response.usage.cost_usd)
        return response

    def _journal_failure(self, request: ChatRequest, error: LLMError, attempt: int) -> None:
        if self.journal is not None:
            self.journal.write(failed_line(request, self._without_secrets(error.found), attempt))

    def _gave_up(self, request: ChatRequest, passing: TransientError, attempts: int) -> LLMError:
        plural = "s" if attempts > 1 else ""
        return LLMError(
            f"no answer after {attempts} attempt{plural} ({self._without_secrets(passing.found)})",
            where=f"{request.provider}/{request.model}" + (f" at {request.endpoint}" if request.endpoint else ""),
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
