"""Rounds of batches by themselves: money and waits by a clock in the hand, the protocol as services enforce it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from openai import BadRequestError, NotFoundError, OpenAI

from simulator.config import Price, Seat
from simulator.errors import BudgetError, LLMError, UnansweredError
from simulator.llm.batch import BatchAsker
from simulator.llm.batch_service import BatchService
from simulator.llm.cache import AnswerCache
from simulator.llm.gateway import Gateway
from simulator.llm.messages import ChatRequest, ChatResponse, Message
from simulator.llm.providers.openai_compatible import OpenAICompatible
from simulator.llm.registry import OPENAI_COMPATIBLE
from simulator.llm.retries import Retry
from simulator.llm.spending.batch_ledger import BatchLedger
from simulator.llm.spending.budget import Budget, DayBudgetError
from simulator.llm.spending.prices import Prices
from simulator.llm.spending.shared_ledger import OutInBatchError, SharedLedger

from .conftest import Clock

pytestmark = pytest.mark.medium

DAY = 86_400
PRICE = Price(input=100.0, output=400.0)


class House:
    """A workspace's ledger, cache and asker of batches at one service; waits move the clock and take no time."""

    def __init__(self, folder: Path, clock: Clock, url: str, *, run: str = "r", max_usd: float = 100.0,
                 max_day: float = 100.0) -> None:  # fmt: skip
        self.clock, self.url, self.waits = clock, url, list[float]()
        self.ledger, self.cache = SharedLedger(folder, clock), AnswerCache(folder)
        self.prices = Prices({url: PRICE})
        self.budget = Budget(max_usd, max_usd_per_day=max_day, ledger=self.ledger, run=run)
        provider = OpenAICompatible(price=self._half)
        self.gateway = Gateway(self.cache, {OPENAI_COMPATIBLE: provider}, budget=self.budget)
        self.gateway.rounds = self.asker = BatchAsker(
            self.gateway,
            (),
            service=BatchService(provider, Retry((0.0,) * 3)),
            ledger=BatchLedger(self.ledger),
            folder=folder / "batches",
            budget=self.budget,
            estimate_usd=self.prices.estimate,
            services=(Seat(provider=OPENAI_COMPATIBLE, model="m", endpoint=url),),
            sleep=self.sleep,
        )

    def _half(self, request: ChatRequest, prompt: int, completion: int, told: float | None, *_: int) -> float:
        return self.prices.cost(request, prompt, completion) / 2 if told is None else told

    async def sleep(self, seconds: float) -> None:
        self.waits.append(seconds)
        self.clock.now += seconds
        await asyncio.sleep(0)

    def question(self, text: str, session: str = "2024-01-05") -> ChatRequest:
        purpose = {"stage": "pitch", "session": session}
        return ChatRequest(OPENAI_COMPATIBLE, "m", (Message("user", text),), self.url, max_tokens=10, purpose=purpose)

    def ask(self, *texts: str) -> list[ChatResponse | BaseException]:
        async def all_of_them() -> list[ChatResponse | BaseException]:
            async with self.asker.going():
                asked = (self.gateway.ask(self.question(text)) for text in texts)
                return await asyncio.gather(*asked, return_exceptions=True)

        return asyncio.run(all_of_them())

    def close(self) -> None:
        self.cache.close()
        self.ledger.close()


Open = Callable[..., House]


@pytest.fixture
def house(folder: Path, clock: Clock) -> Iterator[Open]:
    opened: list[House] = []

    def make(url: str, **more: Any) -> House:
        opened.append(House(folder, clock, url, **more))
        return opened[-1]

    yield make
    for one in opened:
        one.close()


def on_the_way(house: House, *texts: str) -> None:
    """Put a batch and leave it out, as after Ctrl-C."""

    async def leave() -> None:
        async def stay(*_: object) -> None:
            await asyncio.sleep(60)

        # Not looked at once: a batch that has ended by then would be settled.
        house.asker._wait = stay
        async with house.asker.going():
            asked = [asyncio.create_task(house.gateway.ask(house.question(text))) for text in texts]
            while not any(row.batch for row in house.asker.ledger.rows()):
                await asyncio.sleep(0.01)
                assert not any(task.done() for task in asked), asked
            for task in asked:
                task.cancel()
        await house.gateway.drain()

    asyncio.run(leave())


def of_day(house: House) -> tuple[float, float]:
    with house.ledger.transaction() as db:
        now = house.ledger.spending(db, "r")
    return now.day, now.run


@pytest.mark.fault(
    "services",
    "a batch that does not end in its 24 hours",
    "it is waited for two hours more, looked at ever more rarely; then the run stops and the batch stays in the ledger",
)
def test_a_batch_that_never_ends_is_waited_for_26_hours_and_looked_at_ever_more_rarely(
    serve: Callable[..., Any], house: Open
) -> None:
    here = house(serve("--batch-delay", 1e6).url)
    began = here.clock.now
    (found,) = here.ask("a")
    assert isinstance(found, UnansweredError)
    assert "has not ended in 26 hours" in str(found)
    assert 26 * 3600 <= here.clock.now - began < 26.1 * 3600
    assert here.waits[:3] == pytest.approx([0.25, 0.35, 0.49])
    assert max(here.waits) == 60.0
    assert len(here.waits) < 1600
    assert len(here.asker.ledger.rows()) == 1


@pytest.mark.fault(
    "money",
    "a batch is out over midnight and over a restart",
    "what is set aside for it counts for the run and for every day until it is settled, in all processes",
)
def test_money_that_is_out_counts_for_runs_days_and_processes_until_it_is_settled_once(
    serve: Callable[..., Any], house: Open
) -> None:
    service = serve("--batch-delay", 0)
    here = house(service.url)
    on_the_way(here, "a", "b")
    (row,) = here.asker.ledger.rows()
    most = sum(here.prices.estimate(here.question(text))[1] for text in "ab") / 2
    assert (row.questions, row.usd) == (2, pytest.approx(most))
    assert of_day(here) == (pytest.approx(most), pytest.approx(most))
    here.close()
    here.clock.now += 3 * DAY  # another day, another process
    later = house(service.url, max_day=1.5 * most)
    assert of_day(later) == (pytest.approx(most), pytest.approx(most))
    other = house(service.url, run="other", max_day=1.5 * most)
    with pytest.raises(DayBudgetError, match="set aside for batches that are out"):
        other.budget.reserve(most)
    small = house(service.url, run="r", max_usd=1.5 * most)
    with pytest.raises(BudgetError, match="set aside for batches that are out"):
        small.budget.reserve(most)
    first, second = (house(service.url).ask("a", "b") for _ in range(2))
    assert [answer.text for answer in first if isinstance(answer, ChatResponse)] == [
        answer.text for answer in second if isinstance(answer, ChatResponse)
    ]
    stats = service.stats()
    paid = sum(one.usage.cost_usd for one in first if isinstance(one, ChatResponse))
    assert of_day(other)[0] == pytest.approx(paid)
    assert 0 < paid < most
    assert (stats["answered"], stats["batches"], later.asker.ledger.rows()) == (2, 1, [])
    # The breaker that the money set aside had opened is closed again.
    assert house(service.url, run="other", max_day=1.5 * most).budget.reserve(paid) is not None


def test_two_that_wait_for_one_batch_both_get_its_answers_and_one_books_them(
    serve: Callable[..., Any], house: Open
) -> None:
    service = serve("--batch-delay", 0.2)
    one, other = house(service.url), house(service.url, run="other")
    one.asker.sleep = other.asker.sleep = lambda _: asyncio.sleep(0.02)

    async def both() -> list[Any]:
        async with one.asker.going(), other.asker.going():
            return await asyncio.gather(*(here.gateway.ask(here.question("a")) for here in (one, other)))

    first, second = asyncio.run(both())
    stats = service.stats()
    assert first.text == second.text
    assert (stats["batches"], stats["answered"]) == (1, 1)
    assert of_day(one)[0] == pytest.approx(first.usage.cost_usd)


def test_a_question_that_is_out_is_not_asked_singly(serve: Callable[..., Any], house: Open) -> None:
    service = serve("--batch-delay", 1e6)
    here = house(service.url)
    on_the_way(here, "a")
    single = house(service.url, run="other")
    single.gateway.rounds = None
    with pytest.raises(OutInBatchError, match="is out in batch_1"):
        asyncio.run(single.gateway.ask(single.question("a")))
    asyncio.run(single.gateway.drain())
    assert service.stats()["requests"] == 0


@pytest.mark.fault(
    "services",
    "batches expire again and again",
    "what was answered is kept; a question that three batches left unanswered stops the run",
)
def test_a_question_that_three_batches_leave_stops_the_run(serve: Callable[..., Any], house: Open) -> None:
    service = serve("--batch-delay", 0, "--fault", "batch-expired")
    here = house(service.url)
    found = here.ask(*"abcdefghijklmnop")
    lost = [one for one in found if isinstance(one, UnansweredError)]
    assert 1 <= len(lost) < len(found) / 4
    assert "no answer in 3 batches (was not answered in its batch (batch_expired))" in str(lost[0])
    assert len(here.cache.keys()) == service.stats()["answered"] == len(found) - len(lost)


@pytest.mark.parametrize("fault", ["401", "402", "moderation", "refusal", "truncated", "usage-text", "echo-401"])
def test_a_line_of_a_batch_is_read_as_an_answer_of_its_own(
    fault: str, serve: Callable[..., Any], house: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MY_API_KEY", "sk-planted-1f2e3d4c5b")
    service = serve("--batch-delay", 0, "--fault", fault, "--latency", 0)
    here = house(service.url)
    (batched,) = here.ask("a")
    here.gateway.rounds = None
    service = serve("--fault", fault, "--latency", 0)
    there = House(here.cache.folder.parent / "single", here.clock, service.url)
    there.gateway.rounds = None

    async def singly() -> Any:
        found = await asyncio.gather(there.gateway.ask(there.question("a")), return_exceptions=True)
        await there.gateway.drain()
        return found[0]

    single = asyncio.run(singly())
    there.close()
    assert type(batched) is type(single)
    if isinstance(batched, ChatResponse) and isinstance(single, ChatResponse):
        assert (batched.text, batched.outcome, batched.finish) == (single.text, single.outcome, single.finish)
        assert batched.usage == single.usage
    else:
        assert isinstance(batched, LLMError)
        assert batched.found == single.found


def line(name: str, model: str = "m", **more: Any) -> dict[str, Any]:
    body = {"model": model, "messages": [{"role": "user", "content": "hello"}]}
    return {"custom_id": name, "method": "POST", "url": "/v1/chat/completions", "body": body, **more}


def put(client: OpenAI, lines: list[dict[str, Any]], **more: Any) -> Any:
    content = b"".join(json.dumps(one).encode() + b"\n" for one in lines)
    file = client.files.create(file=("in.jsonl", content), purpose="batch")
    given = {"endpoint": "/v1/chat/completions", "completion_window": "24h", **more}
    return client.batches.create(input_file_id=file.id, **given)


@pytest.fixture
def client(serve: Callable[..., Any]) -> Iterator[OpenAI]:
    with OpenAI(
        base_url=serve("--batch-delay", 0, "--batch-limits", 3, 2000).url, api_key="none", max_retries=0
    ) as one:
        yield one


def test_the_fake_service_speaks_to_the_sdk_of_the_protocol(client: OpenAI) -> None:
    made = put(client, [line("a"), line("b")], metadata={"name": "one"})
    assert (made.status, made.object, made.request_counts.total) == ("validating", "batch", 0)
    done = client.batches.retrieve(made.id)
    assert (done.status, done.request_counts.completed, done.error_file_id) == ("completed", 2, None)
    answers = [json.loads(text) for text in client.files.content(done.output_file_id).text.splitlines()]
    assert [one["custom_id"] for one in answers] == ["a", "b"]
    assert {one["response"]["status_code"] for one in answers} == {200}
    assert answers[0]["response"]["body"]["choices"][0]["message"]["content"]
    more = [put(client, [line("c")]).id for _ in range(3)]
    assert [one.id for one in client.batches.list(limit=2)] == [*reversed(more), made.id]
    assert client.batches.list(limit=1).has_more
    with pytest.raises(NotFoundError):
        client.batches.retrieve("batch_nobody")


WRONG = [
    ([line("a"), line("a")], "duplicate_custom_id"),
    ([line("a"), line("b", "n")], "mismatched_model"),
    ([line("a", url="/v1/embeddings")], "invalid_url"),
    ([line("a", method="GET")], "invalid_method"),
    ([{"custom_id": "a"}], "invalid_json_line"),
    ([line(name) for name in "abcd"], "too_many_requests"),
    ([], "empty_file"),
]


@pytest.mark.parametrize(("lines", "code"), WRONG)
def test_the_fake_service_fails_files_that_a_real_one_fails(
    lines: list[dict[str, Any]], code: str, client: OpenAI
) -> None:
    failed = client.batches.retrieve(put(client, lines).id)
    assert (failed.status, failed.output_file_id) == ("failed", None)
    assert failed.errors.data[0].code == code


@pytest.mark.parametrize(
    "given", [{"completion_window": "48h"}, {"endpoint": "/v1/embeddings"}, {"metadata": {"name": "x" * 513}}]
)
def test_the_fake_service_refuses_what_a_real_one_refuses(given: dict[str, Any], client: OpenAI) -> None:
    with pytest.raises(BadRequestError):
        put(client, [line("a")], **given)
    with pytest.raises(BadRequestError):
        client.files.create(file=("in.jsonl", b"{}"), purpose="assistants")
