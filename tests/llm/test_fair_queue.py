"""With little money left the oldest date is asked first, and nobody waits for ever."""

from __future__ import annotations

import asyncio
import random

import pytest

from simulator.llm.limiter import Unlimited
from simulator.llm.messages import ChatRequest, Message
from simulator.llm.spending import fair_queue
from simulator.llm.spending.budget import Budget
from simulator.llm.spending.fair_queue import FairQueue


def question(number: int, session: str) -> ChatRequest:
    return ChatRequest("p", "m", (Message("user", str(number)),), purpose={"session": session})


async def asked(queue: FairQueue, budget: Budget, questions: list[ChatRequest], price: float) -> list[str]:
    """Sessions in the order they were let in; each question reserves at most `price` and pays a third of it."""
    order: list[str] = []

    async def one(request: ChatRequest) -> None:
        async with queue.slot(request):
            held = budget.reserve(price)
            assert held is not None, "let in without money for it"
            order.append(request.purpose["session"])
            await asyncio.sleep(0)
            budget.settle(held, price / 3)

    await asyncio.gather(*(one(request) for request in questions))
    return order


@pytest.mark.parametrize("seed", range(5))
def test_who_waits_for_money_is_let_in_by_date_and_only_when_there_is_some(seed: int) -> None:
    questions = [question(n, f"2024-01-{1 + n % 9:02d}") for n in range(90)]
    random.Random(seed).shuffle(questions)
    budget = Budget(100 * 0.1 / 3)
    order = asyncio.run(asked(FairQueue(Unlimited(), budget, lambda _: (0.0, 0.1)), budget, questions, 0.1))
    # What fits in at first goes as it comes; from then on the oldest first.
    later = order[int(budget.max_usd_per_run / 0.1) :]
    assert len(later) > 50
    assert later == sorted(later)


def test_one_by_one_where_less_is_left_than_a_question_may_cost_at_worst() -> None:
    budget, inside, most = Budget(1.0), 0, 0

    async def one(queue: FairQueue, number: int) -> None:
        nonlocal inside, most
        async with queue.slot(question(number, "2024-01-02")):
            inside += 1
            most = max(most, inside)
            await asyncio.sleep(0)
            inside -= 1

    async def all_at_once(at_worst: float) -> None:
        queue = FairQueue(Unlimited(), budget, lambda _: (0.0, 0.1), at_worst=lambda _: at_worst)
        await asyncio.gather(*(one(queue, number) for number in range(5)))

    asyncio.run(all_at_once(2.0))
    assert most == 1
    asyncio.run(all_at_once(0.9))
    assert most == 5


def test_what_costs_nothing_never_waits() -> None:
    budget = Budget(0.0)
    questions = [question(n, "2024-01-02") for n in range(20)]
    assert len(asyncio.run(asked(FairQueue(Unlimited(), budget, lambda _: (0.0, 0.0)), budget, questions, 0.0))) == 20


def test_who_gives_up_waiting_keeps_nobody_from_the_money() -> None:
    budget = Budget(0.1)
    queue = FairQueue(Unlimited(), budget, lambda _: (0.0, 0.1))

    async def inputs() -> None:
        inside, done = asyncio.Event(), asyncio.Event()

        async def hold() -> None:
            async with queue.slot(question(0, "2024-01-02")):
                inside.set()
                await done.wait()

        holder = asyncio.create_task(hold())
        await inside.wait()
        impatient = asyncio.create_task(asked(queue, budget, [question(1, "2024-01-03")], 0.1))
        patient = asyncio.create_task(asked(queue, budget, [question(2, "2024-01-04")], 0.1))
        await asyncio.sleep(0)
        impatient.cancel()
        done.set()
        await holder
        assert await asyncio.wait_for(patient, 5) == ["2024-01-04"]

    asyncio.run(inputs())


@pytest.mark.parametrize(("quick", "alone"), [(5.0, 3), (0.0, 1)])
def test_an_untried_model_is_asked_one_by_one_until_it_answered_or_failed_a_few_times(
    quick: float, alone: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fair_queue, "QUICK_SECONDS", quick)
    queue = FairQueue(Unlimited(), Budget(0.0), lambda _: (0.0, 0.0), lambda _: "m")
    inside, seen = 0, []

    async def fail(number: int) -> None:
        nonlocal inside
        async with queue.slot(question(number, "2024-01-02")):
            inside += 1
            seen.append(inside)
            await asyncio.sleep(0.01)
            inside -= 1
            raise ConnectionError

    async def all_at_once() -> None:
        await asyncio.gather(*(fail(number) for number in range(10)), return_exceptions=True)

    asyncio.run(all_at_once())
    assert seen[:alone] == [1] * alone
    assert max(seen) == 10 - alone
