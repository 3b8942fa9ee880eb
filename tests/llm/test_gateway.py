"""A question is asked once, never twice, never over budget; passing failures pass, lasting ones last."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from simulator.config import EndpointLimits
from simulator.errors import CacheCorruptError, CacheMissError, ConfigError, LLMError
from simulator.llm.cache import AnswerCache
from simulator.llm.gateway import Gateway, Mode
from simulator.llm.messages import ChatRequest, ChatResponse, Usage
from simulator.llm.providers import Provider, TransientError
from simulator.llm.retries import Retry
from simulator.llm.spending.budget import Budget, RunBudgetError
from simulator.llm.spending.limits import Limits
from simulator.llm.spending.shared_ledger import SharedLedger

Ask = Callable[..., ChatRequest]


class Vote(BaseModel):
    conviction: int


class Told:
    """Answers in the order it was told to; raises what is an error. Counts how often it is asked."""

    name = "told"

    def __init__(self, *answers: str | ChatResponse | Exception) -> None:
        self.answers = list(answers)
        self.asked: list[ChatRequest] = []

    async def ask(self, request: ChatRequest) -> ChatResponse:
        self.asked.append(request)
        await asyncio.sleep(0)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return ChatResponse(answer, usage=Usage(10, 1, 0.5)) if isinstance(answer, str) else answer


class Sleeps:
    def __init__(self) -> None:
        self.slept: list[float] = []

    async def __call__(self, seconds: float) -> None:
        self.slept.append(seconds)


def open_gateway(cache: AnswerCache, provider: Provider, **options: Any) -> Gateway:
    return Gateway(cache, {"told": provider}, **options)


def test_a_question_is_asked_once_and_then_comes_from_disk(cache: AnswerCache, ask: Ask) -> None:
    told = Told("yes")
    first = open_gateway(cache, told)
    assert asyncio.run(first.ask(ask())).text == "yes"
    assert (first.asked, first.cached, first.failed, first.cost_usd) == (1, 0, 0, 0.5)
    second = open_gateway(cache, told)
    assert asyncio.run(second.ask(ask())).text == "yes"
    assert (second.asked, second.cached, second.failed, second.cost_usd) == (0, 1, 0, 0.0)
    assert len(told.asked) == 1


def test_identical_questions_in_flight_are_asked_once(cache: AnswerCache, ask: Ask) -> None:
    told = Told("yes")
    gateway = open_gateway(cache, told)

    async def all_at_once() -> list[ChatResponse]:
        return await asyncio.gather(*(gateway.ask(ask(str(i % 3))) for i in range(60)))

    assert {response.text for response in asyncio.run(all_at_once())} == {"yes"}
    assert (len(told.asked), gateway.asked, gateway.cached) == (3, 3, 0)


def test_one_who_gives_up_waiting_does_not_take_the_answer_from_the_others(cache: AnswerCache, ask: Ask) -> None:
    gateway = open_gateway(cache, Told("yes"))

    async def give_up() -> ChatResponse:
        first = asyncio.create_task(gateway.ask(ask()))
        second = asyncio.create_task(gateway.ask(ask()))
        await asyncio.sleep(0)
        first.cancel()
        return await second

    assert asyncio.run(give_up()).text == "yes"


def test_calls_name_every_question_once_under_its_first_purpose_and_are_the_same_in_a_rerun(
    cache: AnswerCache, ask: Ask
) -> None:
    def evidence() -> Iterator[object]:
        gateway = open_gateway(cache, Told("yes", ChatResponse("no", outcome="refusal"), "maybe"))

        async def run() -> None:
            for text in ("a", "b", "a", "c"):
                await gateway.ask(ask(text, purpose={"stage": text}))
            await gateway.ask(ask("a", purpose={"stage": "later"}))

        asyncio.run(run())
        yield gateway.calls
        yield gateway.failed

    cold, warm = list(evidence()), list(evidence())
    assert cold == warm
    assert [(call.purpose["stage"], call.outcome) for call in cold[0]] == [  # type: ignore[attr-defined]
        ("a", "answer"),
        ("b", "refusal"),
        ("c", "answer"),
    ]
    assert cold[1] == 1


def test_calls_stand_in_the_order_of_asking_not_of_answering(cache: AnswerCache, ask: Ask) -> None:
    class Slow(Told):
        async def ask(self, request: ChatRequest) -> ChatResponse:
            await asyncio.sleep(0.02 if request.messages[1].content == "0" else 0)
            return ChatResponse("yes")

    gateway = open_gateway(cache, Slow("yes"))

    async def run() -> None:
        await asyncio.gather(*(gateway.ask(ask(str(i))) for i in range(5)))

    asyncio.run(run())
    assert [call.key for call in gateway.calls] == [ask(str(i)).key for i in range(5)]


def test_replay_never_asks_and_needs_no_provider(cache: AnswerCache, ask: Ask, yes: ChatResponse) -> None:
    cache.put(ask(), yes)
    gateway = Gateway(cache, {}, mode="replay")
    assert asyncio.run(gateway.ask(ask())) == yes
    with pytest.raises(CacheMissError) as caught:
        asyncio.run(gateway.ask(ask("another")))
    assert caught.value.exit_code == 4


def test_refresh_asks_once_more_in_a_run_and_stores_the_new_answer(cache: AnswerCache, ask: Ask) -> None:
    asyncio.run(open_gateway(cache, Told("old")).ask(ask()))
    told = Told("new")
    gateway = open_gateway(cache, told, mode="refresh")
    assert [asyncio.run(gateway.ask(ask())).text for _ in range(3)] == ["new"] * 3
    assert len(told.asked) == 1
    assert asyncio.run(Gateway(cache, {}, mode="replay").ask(ask())).text == "new"


def test_off_neither_reads_nor_stores_but_is_the_same_within_a_run(cache: AnswerCache, ask: Ask, folder: Path) -> None:
    told = Told("one", "two")
    gateway = open_gateway(cache, told, mode="off")
    assert [asyncio.run(gateway.ask(ask())).text for _ in range(3)] == ["one"] * 3
    assert not folder.exists()
    assert asyncio.run(open_gateway(cache, told, mode="off").ask(ask())).text == "two"


def test_passing_failures_are_waited_for_and_never_stored(cache: AnswerCache, ask: Ask) -> None:
    sleeps = Sleeps()
    told = Told(TransientError("429"), TransientError("502", retry_after=7), TransientError("time-out"), "yes")
    gateway = open_gateway(cache, told, retry=Retry(waits=(1, 2, 4, 8), sleep=sleeps))
    assert asyncio.run(gateway.ask(ask())).text == "yes"
    assert sleeps.slept == [1, 7, 4]
    assert (len(told.asked), gateway.asked, gateway.failed) == (4, 1, 0)


def test_a_failure_that_does_not_pass_is_one_line_and_leaves_nothing(
    cache: AnswerCache, ask: Ask, folder: Path
) -> None:
    sleeps = Sleeps()
    gateway = open_gateway(cache, Told(TransientError("503\nbusy")), retry=Retry(waits=(1, 2), sleep=sleeps))
    with pytest.raises(LLMError, match=r"told/trend@abc: no answer after 3 attempts \(503 busy\)") as caught:
        asyncio.run(gateway.ask(ask()))
    assert not isinstance(caught.value, TransientError)
    assert (sleeps.slept, gateway.asked, gateway.calls, folder.exists()) == ([1, 2], 0, (), False)


def test_lasting_failures_are_stored(cache: AnswerCache, ask: Ask) -> None:
    told = Told(ChatResponse("I will not", outcome="refusal"))
    for _ in range(2):
        gateway = open_gateway(cache, told)
        assert asyncio.run(gateway.ask(ask())).outcome == "refusal"
        assert gateway.failed == 1
    assert len(told.asked) == 1


def test_a_corrupt_entry_is_an_error_and_not_asked_again(cache: AnswerCache, ask: Ask, yes: ChatResponse) -> None:
    cache.put(ask(), yes)
    assert cache._store is not None
    cache._store.set(ask().key, b"broken")
    told = Told("yes")
    with pytest.raises(CacheCorruptError):
        asyncio.run(open_gateway(cache, told).ask(ask()))
    assert told.asked == []


def test_an_unknown_provider_is_named_with_what_was_meant(cache: AnswerCache, ask: Ask) -> None:
    with pytest.raises(ConfigError, match='no provider "tolt", did you mean "told"'):
        asyncio.run(open_gateway(cache, Told("yes")).ask(ask(provider="tolt")))


def test_the_budget_stops_before_the_question_that_would_pass_it(cache: AnswerCache, ask: Ask) -> None:
    told, budget = Told("yes"), Budget(1.4)
    gateway = open_gateway(cache, told, budget=budget, estimate_usd=lambda _: (0.1, 0.5))

    async def run() -> list[object]:
        return await asyncio.gather(*(gateway.ask(ask(str(i))) for i in range(5)), return_exceptions=True)

    results = asyncio.run(run())
    assert [type(result) for result in results] == [ChatResponse] * 2 + [RunBudgetError] * 3
    assert "--max-cost" in str(results[-1])
    assert (len(told.asked), budget.spent_usd, budget.reserved_usd) == (2, 1.0, 0.0)
    again = Gateway(cache, {}, mode="replay")
    assert asyncio.run(again.ask(ask("1"))).text == "yes"


def test_a_question_that_failed_gives_its_reservation_back(cache: AnswerCache, ask: Ask) -> None:
    budget = Budget(1.0)
    gateway = open_gateway(cache, Told(LLMError("no")), budget=budget, estimate_usd=lambda _: (0.1, 0.5))
    for _ in range(4):
        with pytest.raises(LLMError, match="no"):
            asyncio.run(gateway.ask(ask()))
    assert (budget.spent_usd, budget.reserved_usd) == (0.0, 0.0)


def test_answers_from_disk_need_no_budget(cache: AnswerCache, ask: Ask, yes: ChatResponse) -> None:
    cache.put(ask(), yes)
    gateway = open_gateway(cache, Told("no"), budget=Budget(0.0), estimate_usd=lambda _: (0.1, 1.0))
    assert asyncio.run(gateway.ask(ask())) == yes


def test_the_limiter_is_held_while_a_question_is_put_and_not_while_waiting(cache: AnswerCache, ask: Ask) -> None:
    trace: list[str] = []

    class Gate:
        @asynccontextmanager
        async def slot(self, request: ChatRequest) -> Any:  # noqa: ARG002
            trace.append("in")
            try:
                yield self
            finally:
                trace.append("out")

        async def count(self) -> None:
            trace.append("counted")

        def correct(self, usage: Usage) -> None:
            trace.append(f"{usage.prompt_tokens} tokens")

    async def sleep(seconds: float) -> None:  # noqa: ARG001
        trace.append("sleep")

    told = Told(TransientError("429"), "yes")
    asyncio.run(open_gateway(cache, told, limiter=Gate(), retry=Retry((1,), sleep)).ask(ask()))
    assert trace == ["in", "counted", "out", "sleep", "in", "counted", "10 tokens", "out"]


def test_a_structured_answer_is_asked_for_in_its_schema(cache: AnswerCache, ask: Ask) -> None:
    told = Told('{"conviction": 2}')
    answered = asyncio.run(open_gateway(cache, told).ask_for(ask(), Vote))
    assert (answered.value, answered.error) == (Vote(conviction=2), None)
    assert told.asked[0].schema is not None
    assert told.asked[0].schema["title"] == "Vote"
    assert answered.keys == (told.asked[0].key,)


def test_an_unusable_answer_gets_one_repair_question_which_reruns_find_on_disk(cache: AnswerCache, ask: Ask) -> None:
    told = Told("two", '{"conviction": 2}')
    for asked in (2, 0):
        gateway = open_gateway(cache, told)
        answered = asyncio.run(gateway.ask_for(ask(), Vote))
        assert (answered.value, answered.error, len(answered.keys)) == (Vote(conviction=2), None, 2)
        assert (gateway.asked, gateway.cached, gateway.failed) == (asked, 2 - asked, 0)


@pytest.mark.parametrize("mode", ["record", "refresh", "off"])
def test_an_answer_that_stays_unusable_is_a_recorded_failure(cache: AnswerCache, ask: Ask, mode: Mode) -> None:
    told = Told("two", '{"conviction": "two"}')
    gateway = open_gateway(cache, told, mode=mode)
    answered = asyncio.run(gateway.ask_for(ask(), Vote))
    assert answered.value is None
    assert answered.error is not None
    assert answered.error.startswith("conviction:")
    assert answered.response.outcome == "unusable"
    assert [call.outcome for call in gateway.calls] == ["answer", "unusable"]
    assert gateway.failed == 1
    assert asyncio.run(gateway.ask_for(ask(), Vote)) == answered
    assert len(told.asked) == 2
    if mode != "off":
        rerun = Gateway(cache, {}, mode="replay")
        assert asyncio.run(rerun.ask_for(ask(), Vote)) == answered
        assert (rerun.calls, rerun.failed) == (gateway.calls, 1)
        assert cache.stats().outcomes == {"answer": 1, "unusable": 1}


def test_a_refusal_gets_no_repair_question(cache: AnswerCache, ask: Ask) -> None:
    told = Told(ChatResponse("I will not", outcome="refusal"))
    answered = asyncio.run(open_gateway(cache, told).ask_for(ask(), Vote))
    assert (answered.value, answered.error, len(told.asked)) == (None, "refused: I will not", 1)


def test_keys_of_the_environment_are_in_no_file_and_no_message(
    cache: AnswerCache, ask: Ask, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret = "sk-planted-0123456789"
    monkeypatch.setenv("REQUESTY_API_KEY", secret)
    monkeypatch.setenv("BROKER_SECRET", secret + "-longer")
    told = Told(
        ChatResponse(f"your key is {secret}-longer and {secret}"),
        LLMError(f"401 invalid key {secret}", mend="see the docs"),
        TransientError(f"429 for {secret}"),
    )
    gateway = open_gateway(cache, told, retry=Retry(()))
    answer = asyncio.run(gateway.ask(ask("1")))
    assert answer.text == "your key is [BROKER_SECRET] and [REQUESTY_API_KEY]"
    messages = []
    for text in ("2", "3"):
        with pytest.raises(LLMError) as caught:
            asyncio.run(gateway.ask(ask(text)))
        messages.append(str(caught.value) + repr(caught.value.__dict__))
    cache.close()
    written = b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())
    assert b"your key is" in written
    assert secret.encode() not in written
    assert secret not in "".join(messages)


def test_a_gateway_serves_several_event_loops_one_after_the_other(cache: AnswerCache, ask: Ask) -> None:
    gateway = open_gateway(cache, Told("yes"))
    assert [asyncio.run(gateway.ask(ask(str(i)))).text for i in range(3)] == ["yes"] * 3


def test_replicates_are_questions_of_their_own(cache: AnswerCache, ask: Ask) -> None:
    told = Told("one", "two")
    gateway = open_gateway(cache, told)
    texts = [asyncio.run(gateway.ask(replace(ask(), replicate=i))).text for i in (0, 1, 0)]
    assert texts == ["one", "two", "one"]


class Slow:
    """Answers after a while, or when it is told to; keeps what was asked and what was given up."""

    name = "told"

    def __init__(self, error: Exception | None = None) -> None:
        self.asked: list[str] = []
        self.given_up: list[str] = []
        self.closed = 0
        self.go_on = asyncio.Event()
        self.error = error

    async def ask(self, request: ChatRequest) -> ChatResponse:
        text = request.messages[1].content
        self.asked.append(text)
        try:
            await self.go_on.wait()
        except asyncio.CancelledError:
            self.given_up.append(text)
            raise
        if self.error is not None:
            raise self.error
        return ChatResponse("yes", usage=Usage(10, 1, 0.5))

    async def close(self) -> None:
        self.closed += 1


def test_draining_waits_for_answers_on_their_way_and_drops_what_was_not_put(cache: AnswerCache, ask: Ask) -> None:
    async def run() -> None:
        slow = Slow()
        limits = Limits({"told": EndpointLimits(concurrency=2)})
        gateway = open_gateway(cache, slow, limiter=limits, budget=Budget(9), estimate_usd=lambda _: (0.1, 1.0))
        asking = [asyncio.create_task(gateway.ask(ask(str(i)))) for i in range(5)]
        while len(slow.asked) < 2:
            await asyncio.sleep(0)
        asyncio.get_running_loop().call_later(0.05, slow.go_on.set)
        await gateway.drain()
        assert [type(one) for one in await asyncio.gather(*asking, return_exceptions=True)] == [
            *[ChatResponse] * 2,
            *[asyncio.CancelledError] * 3,
        ]
        assert (slow.asked, slow.given_up, slow.closed) == (["0", "1"], [], 1)
        assert (gateway.asked, gateway.budget.spent_usd, gateway.budget.reserved_usd) == (2, 1.0, 0.0)

    asyncio.run(run())
    assert len(cache.keys()) == 2


def test_draining_gives_up_an_answer_that_does_not_come_and_books_its_likely_price(
    cache: AnswerCache, ask: Ask
) -> None:
    async def run() -> None:
        slow = Slow()
        gateway = open_gateway(cache, slow, budget=Budget(9), estimate_usd=lambda _: (0.1, 1.0))
        asking = asyncio.create_task(gateway.ask(ask("0")))
        while not slow.asked:
            await asyncio.sleep(0)
        await gateway.drain(patience_s=0.01)
        assert isinstance((await asyncio.gather(asking, return_exceptions=True))[0], asyncio.CancelledError)
        assert (slow.given_up, gateway.budget.lost_usd, gateway.budget.reserved_usd) == (["0"], 0.1, 0.0)

    asyncio.run(run())


def test_when_all_who_waited_give_up_a_question_on_its_way_lands_and_a_queued_one_is_dropped(
    cache: AnswerCache, ask: Ask
) -> None:
    async def run() -> None:
        slow = Slow()
        gateway = open_gateway(cache, slow, limiter=Limits({"told": EndpointLimits(concurrency=1)}))
        first, second = (asyncio.create_task(gateway.ask(ask(text))) for text in ("on its way", "queued"))
        while not slow.asked:
            await asyncio.sleep(0)
        first.cancel()
        second.cancel()
        await asyncio.gather(first, second, return_exceptions=True)
        slow.go_on.set()
        rest = asyncio.all_tasks() - {asyncio.current_task()}
        await asyncio.wait_for(asyncio.gather(*rest, return_exceptions=True), 2)
        assert (slow.asked, slow.given_up) == (["on its way"], [])
        again = await asyncio.wait_for(gateway.ask(ask("queued")), 2)
        assert again.text == "yes"

    asyncio.run(run())
    assert cache.get(ask("on its way").key) is not None


def test_a_question_nobody_waits_for_any_more_is_not_tried_again(cache: AnswerCache, ask: Ask) -> None:
    async def run() -> None:
        slow = Slow(TransientError("502"))
        gateway = open_gateway(cache, slow, retry=Retry((0.0,) * 9))
        asking = asyncio.create_task(gateway.ask(ask("0")))
        while not slow.asked:
            await asyncio.sleep(0)
        asking.cancel()
        slow.go_on.set()
        await asyncio.gather(asking, return_exceptions=True)
        await gateway.drain()
        assert slow.asked == ["0"]

    asyncio.run(run())


def test_a_service_that_wants_to_be_left_alone_for_long_is_not_waited_for(cache: AnswerCache, ask: Ask) -> None:
    sleeps = Sleeps()
    told = Told(TransientError("429", retry_after=3600))
    with pytest.raises(LLMError, match=r"no answer after 1 attempt \(429\)"):
        asyncio.run(open_gateway(cache, told, retry=Retry((1, 2), sleeps)).ask(ask()))
    assert sleeps.slept == []


def test_an_attempt_that_may_have_been_paid_for_is_booked_at_its_likely_price(cache: AnswerCache, ask: Ask) -> None:
    told = Told(TransientError("time-out", perhaps_paid=True), TransientError("429"), "yes")
    gateway = open_gateway(
        cache, told, budget=Budget(9), estimate_usd=lambda _: (0.125, 1.0), retry=Retry((0, 0), Sleeps())
    )
    asyncio.run(gateway.ask(ask()))
    assert (gateway.budget.spent_usd, gateway.budget.lost_usd, gateway.budget.reserved_usd) == (0.5, 0.125, 0.0)
    assert gateway.cost_usd == 0.5


def test_a_question_another_process_asks_is_waited_for_and_taken_over_when_that_one_gives_up(
    cache: AnswerCache, ask: Ask, folder: Path, yes: ChatResponse
) -> None:
    mine, other = SharedLedger(folder), SharedLedger(folder)
    other.claim(ask("theirs").key)
    other.claim(ask("dropped").key)

    async def run() -> tuple[list[ChatResponse], Gateway]:
        gateway = open_gateway(cache, Told("mine"), budget=Budget(ledger=mine))
        asking = [asyncio.create_task(gateway.ask(ask(text))) for text in ("theirs", "dropped", "free")]
        await asyncio.sleep(0.1)
        assert [one.done() for one in asking] == [False, False, True]
        cache.put(ask("theirs"), yes)
        other.release(ask("theirs").key)
        other.close()
        return await asyncio.wait_for(asyncio.gather(*asking), 5), gateway

    answers, gateway = asyncio.run(run())
    assert [answer.text for answer in answers] == ["yes", "mine", "mine"]
    assert (gateway.asked, gateway.cached) == (2, 1)
    mine.close()
