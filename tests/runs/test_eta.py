"""What is left of a run is reckoned from what its answers cost so far."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from simulator.llm.cache import AnswerCache
from simulator.llm.gateway import Gateway
from simulator.llm.messages import ChatRequest, ChatResponse, Message, Usage
from simulator.llm.trace import Call
from simulator.runs.eta import FEWEST, Forecast, still_usd


def call(stage: str, usd: float) -> Call:
    return Call("k", "p", "m", {"stage": stage}, "answer", Usage(1, 1, usd))


def test_what_is_left_costs_what_its_stage_cost_so_far() -> None:
    calls = [call("pitch", 0.2), call("pitch", 0.4), call("review", 0.1)]
    assert still_usd(calls, {"pitch": 4, "review": 3}) == pytest.approx(2 * 0.3 + 2 * 0.1)


def test_a_stage_not_seen_yet_costs_the_mean_of_all() -> None:
    assert still_usd(
        [call("pitch", 0.2), call("review", 0.1)], {"pitch": 1, "review": 1, "chairman": 2}
    ) == pytest.approx(0.3)


def test_more_questions_than_foreseen_leave_nothing() -> None:
    assert still_usd([call("pitch", 0.2)] * 3, {"pitch": 2}) == 0.0
    assert still_usd([], {"pitch": 2}) == 0.0


class Dear:
    name = "dear"

    async def ask(self, request: ChatRequest) -> ChatResponse:  # noqa: ARG002
        return ChatResponse("yes", usage=Usage(100, 10, 0.25))


def test_nothing_is_said_before_the_first_twenty_real_calls(tmp_path: Path) -> None:
    now = [0.0]
    with AnswerCache(tmp_path) as cache:
        gateway = Gateway(cache, {"dear": Dear()})
        forecast = Forecast(gateway, {"pitch": 100}, clock=lambda: now[0])

        async def put(number: int) -> None:
            message = (Message("user", str(number)),)
            await gateway.ask(ChatRequest("dear", "m", message, purpose={"stage": "pitch"}))

        for number in range(FEWEST):
            assert forecast.estimate() is None
            asyncio.run(put(number))
            now[0] += 1.0
        usd, seconds = forecast.estimate() or (0.0, 0.0)
    assert usd == pytest.approx(100 * 0.25)
    # Twenty answers in twenty seconds, eighty to go.
    assert seconds == pytest.approx(80)
