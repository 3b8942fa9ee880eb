"""How much an endpoint is asked at once, by the minute and by the hour."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from simulator.config import EndpointLimits, Seat
from simulator.errors import LLMError
from simulator.llm.messages import ChatRequest, Usage
from simulator.llm.providers import TransientError
from simulator.llm.spending.limits import HourlyLimitError, Limits
from simulator.llm.spending.shared_ledger import HOUR, SharedLedger

from .conftest import Clock

Ask = Callable[..., ChatRequest]


def limits(ledger: SharedLedger | None = None, **given: int) -> Limits:
    return Limits({"told": EndpointLimits(**given)}, ledger)


async def call(gate: Limits, request: ChatRequest, tokens: int = 0, error: Exception | None = None) -> None:
    async with gate.slot(request) as place:
        await place.count()
        await asyncio.sleep(0)
        if error is not None:
            raise error
        place.correct(Usage(tokens, 0))


def test_no_more_are_in_flight_than_there_is_room_for(ask: Ask) -> None:
    gate, now, most = limits(concurrency=3), 0, 0

    async def one(i: int) -> None:
        nonlocal now, most
        async with gate.slot(ask(str(i))):
            now += 1
            most = max(most, now)
            await asyncio.sleep(0.001)
            now -= 1

    async def run() -> None:
        await asyncio.gather(*(one(i) for i in range(20)))

    asyncio.run(run())
    assert (most, now) == (3, 0)


def test_the_oldest_date_goes_first_whoever_came_first(ask: Ask) -> None:
    gate, order = limits(concurrency=1), []

    async def one(date: str) -> None:
        async with gate.slot(ask(purpose={"session": date})):
            order.append(date)
            await asyncio.sleep(0)

    async def run() -> None:
        await asyncio.gather(*(one(date) for date in ("2024-03-01", "2024-02-01", "2024-01-05", "2024-01-05")))

    asyncio.run(run())
    assert order == ["2024-03-01", "2024-01-05", "2024-01-05", "2024-02-01"]


def test_one_who_gives_up_waiting_leaves_the_place_to_the_next(ask: Ask) -> None:
    gate = limits(concurrency=1)

    async def run() -> None:
        async with gate.slot(ask()):
            waiting = [asyncio.create_task(call(gate, ask(str(i)))) for i in range(3)]
            await asyncio.sleep(0)
            waiting[0].cancel()
        # The one let in is cancelled before it could begin.
        waiting[1].cancel()
        await asyncio.wait_for(waiting[2], 1)
        await asyncio.wait_for(call(gate, ask("last")), 1)

    asyncio.run(run())


def test_a_429_narrows_the_room_once_for_all_in_flight_and_answers_widen_it_again(ask: Ask) -> None:
    gate = limits(concurrency=16)

    async def refused() -> None:
        with pytest.raises(TransientError):
            await call(gate, ask(), error=TransientError("429", throttled=True))

    async def run() -> None:
        rooms = [gate.room("told")]
        async with asyncio.TaskGroup() as group:
            for _ in range(8):
                group.create_task(refused())
        rooms.append(gate.room("told"))
        await asyncio.sleep(0.001)
        await refused()
        rooms.append(gate.room("told"))
        for _ in range(20):
            await call(gate, ask())
        rooms.append(gate.room("told"))
        for _ in range(20):
            await call(gate, ask())
        rooms.append(gate.room("told"))
        assert rooms == [16, 11, 7, 12, 16]

    asyncio.run(run())


def test_the_room_never_closes_and_other_failures_leave_it(ask: Ask) -> None:
    gate = limits(concurrency=2)

    async def run() -> None:
        for _ in range(9):
            with pytest.raises(TransientError):
                await call(gate, ask(), error=TransientError("no answer", timed_out=True))
            await asyncio.sleep(0.001)
        assert gate.room("told") == 1
        await call(gate, ask())
        before = gate.room("told")
        for error in (TransientError("500"), LLMError("400")):
            with pytest.raises(LLMError):
                await call(gate, ask(), error=error)
        assert gate.room("told") == before

    asyncio.run(run())


def test_retry_after_keeps_everybody_away_that_long(ask: Ask) -> None:
    gate = limits(concurrency=4)

    async def run() -> float:
        loop = asyncio.get_running_loop()
        with pytest.raises(TransientError):
            await call(gate, ask(), error=TransientError("429", retry_after=0.15, throttled=True))
        started = loop.time()
        await asyncio.gather(*(call(gate, ask(str(i))) for i in range(4)))
        return loop.time() - started

    assert 0.14 <= asyncio.run(run()) < 1.0


def test_a_gate_serves_one_event_loop_after_the_other_and_keeps_what_it_learned(ask: Ask) -> None:
    gate = limits(concurrency=8)

    async def refuse() -> None:
        with pytest.raises(TransientError):
            await call(gate, ask(), error=TransientError("429", throttled=True))

    async def abandoned() -> None:
        await gate.slot(ask()).__aenter__()

    asyncio.run(refuse())
    for _ in range(8):
        asyncio.run(abandoned())
    asyncio.run(asyncio.wait_for(call(gate, ask()), 1))
    assert gate.room("told") == 5


def test_calls_by_the_hour_are_counted_over_all_processes_and_restarts(folder: Path, clock: Clock, ask: Ask) -> None:
    for _ in range(2):
        ledger = SharedLedger(folder, clock)
        for _ in range(25):
            asyncio.run(call(limits(ledger, calls_per_hour=50), ask()))
            clock.now += 1
        ledger.close()
    ledger = SharedLedger(folder, clock)
    with pytest.raises(HourlyLimitError, match=r"told: 50 calls an hour are made; the same command continues from"):
        asyncio.run(call(limits(ledger, calls_per_hour=50), ask()))
    asyncio.run(call(limits(ledger, calls_per_hour=51), ask()))
    clock.now += HOUR
    asyncio.run(call(limits(ledger, calls_per_hour=50), ask()))
    ledger.close()


def test_a_short_wait_for_the_hour_is_waited_for(ledger: SharedLedger, clock: Clock, ask: Ask) -> None:
    gate = limits(ledger, calls_per_hour=1)
    asyncio.run(call(gate, ask()))
    clock.now += HOUR - 60

    async def run() -> None:
        waiting = asyncio.create_task(call(gate, ask()))
        await asyncio.sleep(0.05)
        assert not waiting.done()
        clock.now += 61
        await asyncio.wait_for(waiting, 3)

    asyncio.run(run())


def test_tokens_by_the_minute_are_those_that_were_used(ledger: SharedLedger, clock: Clock, ask: Ask) -> None:
    gate = limits(ledger, tokens_per_minute=1000)
    question = ask(max_tokens=400)

    async def run() -> None:
        await call(gate, question, tokens=100)
        await call(gate, question, tokens=800)
        waiting = asyncio.create_task(call(gate, question, tokens=100))
        await asyncio.sleep(0.05)
        assert not waiting.done()
        clock.now += 61
        await asyncio.wait_for(waiting, 3)

    asyncio.run(run())


def test_a_question_above_the_limit_of_a_minute_goes_when_it_is_alone(
    ledger: SharedLedger, clock: Clock, ask: Ask
) -> None:
    gate, long = limits(ledger, tokens_per_minute=1000), ask(max_tokens=9_000_000)

    async def run() -> None:
        await call(gate, ask(max_tokens=400), tokens=100)
        waiting = asyncio.create_task(call(gate, long))
        await asyncio.sleep(0.05)
        assert not waiting.done()
        clock.now += 61
        await asyncio.wait_for(waiting, 3)

    asyncio.run(run())


def test_usual_limits_depend_on_where_a_seat_asks_and_config_goes_before_them() -> None:
    seats = [
        Seat(provider="openai_compatible", model="m", endpoint="https://router.requesty.ai/v1"),
        Seat(provider="openai_compatible", model="m", endpoint="http://127.0.0.1:8080/v1"),
        Seat(provider="claude_code", model="haiku"),
    ]
    configured = {
        "http://127.0.0.1:8080/v1": EndpointLimits(concurrency=7),
        "claude_code": EndpointLimits(concurrency=2),
    }
    usual, changed = Limits.for_seats(seats), Limits.for_seats(seats, configured)
    assert [usual.room(seat.endpoint or seat.provider) for seat in seats] == [64, 4, 4]
    assert [changed.room(seat.endpoint or seat.provider) for seat in seats] == [64, 7, 2]
    assert changed._limits["claude_code"].calls_per_hour == 50
