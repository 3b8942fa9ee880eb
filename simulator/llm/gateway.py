"""Asks models: every question once, never over budget.

    ask(request) ─► cache ─► limiter ─► claim ─► budget ─► provider ─► cache ─► ChatResponse
                      │hit     ▲          │asked elsewhere    │TransientError
                      │        └── wait ◄─┴───────────────────┘
                      └────────────────────────────────────────────────────►
    ask_for(request, Model) ─► ask ─► answers.read_answer ─► one repair question ─► StructuredAnswer[Model]
                                └── all tokens went into thinking: once more with a larger max_tokens

Modes: ``record`` (hit, else ask and store), ``replay`` (a miss is an error), ``refresh`` (ask once more and store),
``retry`` (as record, and ask once more what is stored as a failure), ``off`` (neither read nor store). A run that asks
a question twice gets the same answer twice in all of them.
"""

from __future__ import annotations

import asyncio
import math
import re
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Literal

from simulator.errors import (
    BudgetError,
    CacheMissError,
    ConfigError,
    LLMError,
    NoResultError,
    UnansweredError,
    did_you_mean,
)
from simulator.keys import scrub
from simulator.llm.answers import REPAIR, Reading, StructuredAnswer, T, read_answer, repair_request, with_schema
from simulator.llm.cache import AnswerCache
from simulator.llm.forms import REFUSED, can_be_refused, forms, ran_out, with_more_room, without
from simulator.llm.journal import Journal
from simulator.llm.limiter import Limiter, Slot, Unlimited
from simulator.llm.messages import ChatRequest, ChatResponse, Message, Outcome, whole
from simulator.llm.providers import Provider, RefusedFieldError, TransientError
from simulator.llm.providers.complaints import is_failure
from simulator.llm.retries import Retry
from simulator.llm.spending.budget import Budget
from simulator.llm.trace import Call, current_trace

if TYPE_CHECKING:
    from simulator.llm.rounds import Rounds

Mode = Literal["record", "replay", "refresh", "retry", "off"]

TOO_MUCH = re.compile(r"max_(completion_)?tokens|maximum|too (large|long|many)|exceed|context", re.IGNORECASE)
"""Complaints of a service that is asked for more tokens than it can write."""
LONGEST_WAIT = 10 * 365 * 86_400.0

MOST_SIMILAR = 8
"""Stored repair questions looked at for the one an earlier version put."""


def clean_text(text: str) -> str:
    """A text of a service as it is kept and shown: without keys, and all of it UTF-8."""
    return whole(scrub(text))


class AskedElsewhereError(Exception):
    """Another process of the workspace is asking that question."""


def is_in_process(provider: Provider) -> bool:
    """True for rules that answer at once: nothing to wait for, to limit or to share."""
    return bool(getattr(provider, "in_process", False))


def free(request: ChatRequest) -> tuple[float, float]:  # noqa: ARG001
    """Estimate for providers that cost nothing."""
    return 0.0, 0.0


class Gateway:
    """Answers questions from disk, and from `providers` where disk has none.

    Parameters
    ----------
    budget : where it has a ledger, no two processes of the workspace ask the same question at once
    estimate_usd : (likely, at most) dollars of a question; the most is reserved in `budget` while it is asked
    journal : gets a line per question and per failed attempt

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
        estimate_usd: Callable[[ChatRequest], tuple[float, float]] = free,
        retry: Retry | None = None,
        limiter: Limiter | None = None,
        journal: Journal | None = None,
    ) -> None:
        self.cache, self.providers, self.mode = cache, providers, mode
        self.budget, self.journal = budget or Budget(), journal
        self.cached = 0
        self._estimate_usd = estimate_usd
        self._retry, self._limiter = retry or Retry(), limiter or Unlimited()
        self._calls: dict[str, Call | None] = {}
        self._paid: dict[str, float] = {}
        # Answers of this run in modes that do not read them back from disk.
        self._answers: dict[str, ChatResponse] = {}
        # By key: the one task that asks, how many callers wait for it, and those whose question the provider has.
        self._in_flight: dict[str, asyncio.Task[ChatResponse]] = {}
        self._waiting: Counter[str] = Counter()
        self._on_wire: set[str] = set()
        self._draining = False
        self._refused: dict[tuple[str, str, str], set[str]] = {}
        self._missed = False
        self.rounds: Rounds | None = None

    @property
    def asked(self) -> int:
        return len(self._paid)

    @property
    def failed(self) -> int:
        return sum(call.outcome != "answer" for call in self.calls)

    @property
    def questions(self) -> int:
        """Distinct questions put to the gateway, whether answered or not."""
        return len(self._calls)

    @property
    def in_flight(self) -> int:
        """Questions without an answer yet."""
        return len(self._in_flight)

    @property
    def cost_usd(self) -> float:
        return math.fsum(self._paid.values())

    @property
    def calls(self) -> tuple[Call, ...]:
        """Every answered question once, in the order first asked and under the purpose it was first asked for.

        Where dates are asked side by side, that order depends on who answered first: sort where bytes matter.
        """
        return tuple(call for call in self._calls.values() if call is not None)

    @property
    def refusals(self) -> list[tuple[str, str]]:
        """(model, fields its service refuses) of the answers of this run that came without them."""
        return sorted({(call.model, call.purpose[REFUSED]) for call in self.calls if REFUSED in call.purpose})

    async def ask(self, request: ChatRequest) -> ChatResponse:
        """Answer `request` from disk or by its provider.

        Raises CacheMissError in mode ``replay``, CacheCorruptError, BudgetError, ConfigError for an unknown provider
        UnansweredError when the provider keeps failing in passing, and LLMError for failures that last; nothing of that
        is stored.
        """
        put, response = await self._ask(request)
        if self._is_to_retry(put, response):
            put, response = await self._ask_again(request)
        if ran_out(response) and response.outcome == "answer":
            return (await self._ask_with_room(request, put, response))[1]
        return response

    async def ask_for(
        self, request: ChatRequest, model: type[T], known: Mapping[str, Any] | None = None
    ) -> StructuredAnswer[T]:
        """Answer `request` as a `model`, asked for by its JSON schema, with one repair question where needed.

        Validators may hold the answer against what is `known` (pydantic's context). A refusal and an answer that stays
        unusable are results, with `StructuredAnswer.error` set. Stored answers are read anew, whatever was made of them
        when they came. Raises as `ask`.
        """
        asked = with_schema(request, model)
        put, response, read = await self._ask_and_read(asked, model, known)
        keys: tuple[str, ...] = (put.key,)
        if read.error is None or response.outcome == "refusal":
            return StructuredAnswer(read.value, read.error, keys, response, read.fixes)
        repair_question = self._put_before(repair_request(put, response, read.error))
        # Older versions asked a repair question where all tokens had gone into thinking: what is stored counts.
        if ran_out(response) and self._look_up(repair_question)[1] is None:
            more = put
            if response.outcome == "answer":
                more, response = await self._ask_with_room(asked, put, response)
            keys = tuple(dict.fromkeys((*keys, more.key)))
            read = read_answer(response, model, known)
            if ran_out(response):
                had, then = asked.max_tokens or "of the service", f"nor within {more.max_tokens}"
                then = "and it cannot write more" if more is put else then
                read = Reading(error=f"no text within max_tokens {had}, {then}")
            if read.error is None or ran_out(response) or response.outcome == "refusal":
                return StructuredAnswer(read.value, read.error, keys, response, read.fixes)
            repair_question = self._put_before(repair_request(more, response, read.error))
        if self.mode == "replay" and self._look_up(repair_question)[1] is None:
            # Taken when it came, by a version that held it against nothing, and nobody can be asked now: it stands.
            as_it_was = read_answer(response, model)
            if as_it_was.value is not None:
                if (trace := current_trace()) is not None:
                    trace.complete = False  # where somebody can be asked, it does not stand
                return StructuredAnswer(as_it_was.value, None, keys, response, as_it_was.fixes)
        repair, response, read = await self._ask_and_read(repair_question, model, known)
        if response.outcome != "refusal" and (read.error is None) is (response.outcome == "unusable"):
            outcome: Outcome = "answer" if read.error is None else "unusable"
            response = self._judge(repair_question, repair, replace(response, outcome=outcome))
        return StructuredAnswer(read.value, read.error, (*keys, repair.key), response, read.fixes)

    async def _ask_and_read(
        self, request: ChatRequest, model: type[T], known: Mapping[str, Any] | None
    ) -> tuple[ChatRequest, ChatResponse, Reading[T]]:
        put, response = await self._ask(request)
        read = read_answer(response, model, known)
        if read.error is not None and self._is_to_retry(put, response):
            put, response = await self._ask_again(request)
            read = read_answer(response, model, known)
        return put, response, read

    def _put_before(self, repair: ChatRequest) -> ChatRequest:
        """The repair question as an earlier version put it, which found other words for what was wrong, if it did."""
        if self.mode in ("refresh", "off") or self._look_up(repair)[1] is not None:
            return repair
        for entry in self.cache.similar(repair, MOST_SIMILAR):
            said = [Message(one["role"], one["content"]) for one in entry.request["messages"]]
            if said and said[-1].content.startswith(REPAIR):
                before = replace(repair, messages=(*repair.messages[:-1], said[-1]))
                if self._look_up(before)[1] is not None:
                    return before
        return repair

    async def _ask_with_room(
        self, request: ChatRequest, put: ChatRequest, response: ChatResponse
    ) -> tuple[ChatRequest, ChatResponse]:
        """Ask once more with a larger `max_tokens`.

        Where that too goes into thinking, or the model writes no more, it is a lasting failure.
        """
        larger = with_more_room(request, response)
        try:
            more, answer = await self._ask(larger)
            if self._is_to_retry(more, answer):
                more, answer = await self._ask_again(larger)
        except LLMError as error:
            if isinstance(error, BudgetError | NoResultError) or not TOO_MUCH.search(error.found):
                raise
            return put, self._judge(request, put, replace(response, outcome="unusable"))
        if ran_out(answer) and answer.outcome == "answer":
            answer = self._judge(larger, more, replace(answer, outcome="unusable"))
        return more, answer

    def _is_to_retry(self, put: ChatRequest, response: ChatResponse) -> bool:
        """True for a failure on disk that this run has not asked again yet."""
        return self.mode == "retry" and put.key not in self._answers and is_failure(response, put.schema)

    async def _ask_again(self, request: ChatRequest) -> tuple[ChatRequest, ChatResponse]:
        put, response = await self._ask_in_form(request)
        self.cached -= 1
        self._record(request, put, response)
        return put, response

    async def _ask(self, request: ChatRequest) -> tuple[ChatRequest, ChatResponse]:
        """Return the question as it was put and the answer: where a service takes no schema, it is put in the prompt.

        The place in `calls` is taken before anything is awaited: it is the order of asking, not of answering.
        """
        recorded = self._calls.setdefault(request.key, None)
        put, response = self._look_up(request)
        if response is None:
            if self.mode == "replay":
                raise self._miss(request)
            put, response = await self._ask_in_form(request)
        elif recorded is None:
            self._count_hit(put, response)
        call = self._record(request, put, response) if recorded is None else recorded
        if (trace := current_trace()) is not None:
            trace.calls.setdefault(request.key, replace(call, purpose=dict(put.purpose)))
        return put, response

    def take(self, calls: Mapping[str, Call]) -> None:
        """Record questions {key: call} whose stored answers were read before, as if they were put again."""
        for key, call in calls.items():
            if self._calls.get(key) is None:
                self._calls[key] = call
                answer = ChatResponse("", call.outcome, call.served, call.usage, call.latency_s)
                self._count_hit(call, answer)

    def refusals_of(self, provider: str, endpoint: str, model: str) -> set[str]:
        """Fields that a service is known to refuse, from answers on disk and from this run."""
        service = (provider, endpoint, model)
        if service not in self._refused:
            self._refused[service] = set() if self.mode == "off" else self.cache.refusals(*service)
        if (trace := current_trace()) is not None:
            trace.refusals["|".join(service)] = sorted(self._refused[service])
        return self._refused[service]

    def _miss(self, request: ChatRequest) -> CacheMissError:
        """The error of a miss, explained once: where dates are asked side by side, hundreds miss together."""
        from simulator.llm.miss_explanation import miss

        explained, self._missed = self._missed, True
        return miss(self.cache, request, explain=not explained)

    def _look_up(self, request: ChatRequest) -> tuple[ChatRequest, ChatResponse | None]:
        """The stored answer to `request` in any form: which one is stored says what its service could do."""
        response = self._read_stored(request.key)
        if response is not None or not can_be_refused(request):
            return request, response
        # Older versions left nothing out but the schema, and no label of it.
        for form in forms(request, self._refusals(request) | {"schema"}):
            if (response := self._read_stored(form.key)) is not None:
                return form, response
        return request, None

    def _read_stored(self, key: str) -> ChatResponse | None:
        asked = self._answers.get(key)
        return asked if asked is not None or self.mode in ("refresh", "off") else self.cache.get(key)

    def _refusals(self, request: ChatRequest) -> set[str]:
        return self.refusals_of(request.provider, request.endpoint, request.model)

    async def _ask_in_form(self, request: ChatRequest) -> tuple[ChatRequest, ChatResponse]:
        """Ask, without what the service refuses: a field is left out once it has been refused."""
        known = self._refusals(request) if can_be_refused(request) else set()
        refused = set(known)
        while True:
            put = without(request, refused)
            try:
                response = await self._ask_once(put)
            except RefusedFieldError as error:
                if error.field in refused:
                    raise LLMError(
                        clean_text(error.found), mend="leave it out of its seats in config/models.yaml"
                    ) from None
                refused.add(error.field)
                if error.certain:
                    known.add(error.field)
            else:
                known.update(refused)
                return put, response

    def _record(self, request: ChatRequest, put: ChatRequest, response: ChatResponse) -> Call:
        call = Call(
            key=put.key,
            provider=put.provider,
            model=put.model,
            purpose=dict(put.purpose),
            outcome=response.outcome,
            usage=response.usage,
            served=response.model,
            latency_s=response.latency_s,
        )
        self._calls[request.key] = call
        if (trace := current_trace()) is not None:
            trace.calls[request.key] = call
        return call

    def _judge(self, request: ChatRequest, put: ChatRequest, response: ChatResponse) -> ChatResponse:
        """Store and record `response` under the outcome it has now that it was read."""
        self._record(request, put, response)
        if self.mode not in ("replay", "off"):
            self.cache.put(put, response, replace=True)
        if put.key in self._answers:
            self._answers[put.key] = response
        return response

    async def drain(self, patience_s: float = 60.0) -> None:
        """Wait for the answers on their way, which are paid for, and close connections: before an event loop ends.

        Questions not sent yet are given up at once, those not answered within `patience_s` seconds then.
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
        """Ask `request` in one task, however many callers put it at the same time.

        A caller that gives up (is cancelled) does not take the answer from the others. When all have, a question that
        was not sent yet is dropped; one that was is paid for, and its task goes on to store the answer.
        """
        key = request.key
        task = self._in_flight.get(key)
        if task is None:
            task = asyncio.create_task(self._ask_until_answered(request))
            self._in_flight[key] = task
            task.add_done_callback(lambda done: self._forget(key, done))
        self._waiting[key] += 1
        try:
            # Without the shield the first caller to be cancelled would cancel the task under all the others.
            return await asyncio.shield(task)
        finally:
            self._waiting[key] -= 1
            if not self._waiting[key]:
                del self._waiting[key]
                if not task.done() and key not in self._on_wire:
                    self._in_flight.pop(key, None)
                    task.cancel()

    def _forget(self, key: str, task: asyncio.Task[ChatResponse]) -> None:
        if self._in_flight.get(key) is task:
            del self._in_flight[key]
        if not task.cancelled():
            # Retrieved, or asyncio warns of an exception nobody saw when every caller has given up.
            task.exception()

    async def _ask_until_answered(self, request: ChatRequest) -> ChatResponse:
        """Attempt until the answer comes, from the provider or, stored meanwhile, from another process."""
        provider = self._provider(request)
        if self.rounds is not None:
            if not is_in_process(provider):
                await self.rounds.begin()
            if self.rounds.takes(request):
                return await self.rounds.ask(request)
        limiter = Unlimited() if is_in_process(provider) else self._limiter
        attempt, poll = 1, 0.02
        while True:
            try:
                async with limiter.slot(request) as slot:
                    return await self._attempt_claimed(provider, request, slot, attempt)
            except AskedElsewhereError:
                # The slot is given back while waiting: the other process needs one too.
                await asyncio.sleep(poll)
                poll = min(1.5 * poll, 0.25)
                if (response := self.cache.get(request.key)) is not None:
                    return self._count_hit(request, response)
            except TransientError as failure:
                self.keep_failure(request, failure, attempt)
                wait = self._retry.wait_after(attempt, failure)
                forsaken = self._draining or request.key not in self._waiting
                if wait is None or forsaken:
                    raise self._last_failure(request, failure, attempt) from None
                await self._retry.sleep(wait)
                attempt += 1
            except RefusedFieldError as error:
                self.keep_failure(request, error, attempt)
                raise
            except LLMError as error:
                self.keep_failure(request, error, attempt)
                parts = error.found, error.where, error.mend
                error.found, error.where, error.mend = (
                    clean_text(parts[0]),
                    *(part and clean_text(part) for part in parts[1:]),
                )
                raise error from None

    async def _attempt_claimed(
        self, provider: Provider, request: ChatRequest, slot: Slot, attempt: int
    ) -> ChatResponse:
        """Attempt once, while no other process of the workspace attempts the same question."""
        ledger = self.budget.ledger
        if ledger is None or self.mode != "record" or is_in_process(provider):
            return await self._attempt(provider, request, slot, attempt)
        if not ledger.claim(request.key):
            raise AskedElsewhereError
        try:
            # Another process may have answered after we looked and before we claimed.
            if (response := self.cache.get(request.key)) is not None:
                return self._count_hit(request, response)
            return await self._attempt(provider, request, slot, attempt)
        finally:
            # Released after the answer is stored, so that whoever claims next finds it on disk.
            ledger.release(request.key)

    def _count_hit(self, request: ChatRequest | Call, response: ChatResponse) -> ChatResponse:
        self.cached += 1
        if self.journal is not None:
            self.journal.write(request, response, hit=True)
        return response

    async def _attempt(self, provider: Provider, request: ChatRequest, slot: Slot, attempt: int) -> ChatResponse:
        """Ask once, and store what was paid for."""
        await slot.count()
        response = await self._within_budget(provider, request)
        slot.correct(response.usage)
        return self.keep(request, response, attempt)

    def stored_meanwhile(self, request: ChatRequest) -> ChatResponse | None:
        """The answer another process has stored since it was looked for; None in modes that ask anew."""
        found = self.cache.get(request.key) if self.mode == "record" else None
        return None if found is None else self._count_hit(request, found)

    def keep(
        self, request: ChatRequest, response: ChatResponse, attempt: int = 1, *, ours: bool = True
    ) -> ChatResponse:
        """Store an answer that was paid for, by another run where it is not `ours`. Returns what is stored then."""
        if ours:
            self._paid[request.key] = self._paid.get(request.key, 0.0) + response.usage.cost_usd
        if not is_in_process(self._provider(request)):
            response = replace(
                response,
                text=clean_text(response.text),
                model=clean_text(response.model),
                finish=clean_text(response.finish),
            )
        if self.mode != "off":
            response = self.cache.put(request, response, replace=self.mode in ("refresh", "retry"))
        if self.mode != "record":
            self._answers[request.key] = response
        if self.journal is not None:
            self.journal.write(request, response, attempt=attempt)
        return response

    async def _within_budget(self, provider: Provider, request: ChatRequest) -> ChatResponse:
        """Ask once; the money is reserved before and settled exactly once, whatever comes of it."""
        while True:
            # Anew each time: what came meanwhile may have cost more than the table says.
            likely, most = self._estimate_usd(request)
            if (reserved := self.budget.reserve(most, likely)) is not None:
                break
            await asyncio.sleep(0.05)
        self._on_wire.add(request.key)
        try:
            response = await provider.ask(request)
        except LLMError as failure:
            if failure.paid_usd is not None:
                self.budget.settle(reserved, failure.paid_usd)
                self._paid[request.key] = self._paid.get(request.key, 0.0) + failure.paid_usd
            elif isinstance(failure, TransientError) and failure.perhaps_paid:
                self.budget.write_off(reserved)
            else:
                self.budget.release(reserved)
            raise
        except asyncio.CancelledError:
            # The question was sent and nobody will read the answer, which may be charged for.
            self.budget.write_off(reserved)
            raise
        except BaseException:
            self.budget.release(reserved)
            raise
        finally:
            self._on_wire.discard(request.key)
        self.budget.settle(reserved, response.usage.cost_usd)
        return response

    def keep_failure(self, request: ChatRequest, error: LLMError, attempt: int = 1) -> None:
        """Write an attempt that brought no answer into the journal."""
        if self.journal is not None:
            self.journal.write(request, None, attempt=attempt, error=clean_text(error.found), paid_usd=error.paid_usd)

    def _last_failure(self, request: ChatRequest, failure: TransientError, attempts: int) -> UnansweredError:
        plural = "s" if attempts > 1 else ""
        wait, until = failure.retry_after or 0.0, ""
        if wait > self._retry.patience_s:
            again = datetime.now(UTC) + timedelta(seconds=min(wait, LONGEST_WAIT))
            until = f"; it asks to be left alone until {again:%Y-%m-%d %H:%M} UTC"
        return UnansweredError(
            f"no answer after {attempts} attempt{plural} ({clean_text(failure.found)}){until}",
            where=f"{request.provider}/{request.model}" + (f" at {request.endpoint}" if request.endpoint else ""),
            mend="repeat the command later: answers that came are kept",
        )

    def _provider(self, request: ChatRequest) -> Provider:
        provider = self.providers.get(request.provider)
        if provider is None:
            near = did_you_mean(request.provider, self.providers)
            raise ConfigError(f'no provider "{request.provider}"{near}', where=f"model {request.model}")
        return provider
