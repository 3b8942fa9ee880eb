"""Beginnings that a service reads once: told, booked at their own price, filled by the first question, never counted
on."""

from __future__ import annotations

import asyncio
import json
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from simulator.config import Price, Seat
from simulator.llm.answers import schema_of
from simulator.llm.beginnings import first_beginning, mark_shared
from simulator.llm.cache import AnswerCache
from simulator.llm.gateway import Gateway, Unlimited
from simulator.llm.messages import ChatRequest, Message
from simulator.llm.providers import free
from simulator.llm.providers.offline import Offline
from simulator.llm.providers.openai_compatible import body_of
from simulator.llm.registry import providers_for, request_for
from simulator.llm.spending.budget import Budget
from simulator.llm.spending.charges import Charges
from simulator.llm.spending.first_ahead import FirstAhead
from simulator.llm.spending.prices import Prices
from simulator.llm.spending.usage import read_usage

Serve = Callable[..., Any]

PRICE = Price(input=3.0, output=15.0, cached_input=0.3, cache_write=3.75)
FACTS = "".join(f"SYM{n:03d} closed at {100 + n}.25 and stands above its average.\n" for n in range(120))


class Vote(BaseModel):
    vote: str


class Veto(BaseModel):
    veto: str


def question(
    seat: Seat, number: int, model: type[BaseModel] = Vote, facts: str = FACTS, system: str = "You are on a council."
) -> ChatRequest:
    text = f"{facts}You are manager {number}."
    messages = (Message("system", system), Message("user", text, shared=(len(facts),)))
    return request_for(seat, messages, schema_of(model), {"session": "2024-01-05"})


def seat_at(url: str, model: str = "m", **more: Any) -> Seat:
    return Seat(provider="openai_compatible", model=model, endpoint=url, max_tokens=50, timeout_s=5, **more)


def ask_all(folder: Path, requests: list[ChatRequest], seat: Seat, price: Price = PRICE) -> Gateway:
    """Put all `requests` at once, with everything that holds money."""
    charges = Charges(Prices({seat.endpoint: price}))
    with AnswerCache(folder) as cache:
        gateway = Gateway(
            cache,
            providers_for({"*": seat}, Offline({}, ""), charges.charge),
            budget=Budget(10.0),
            estimate_usd=charges.estimate,
            limiter=FirstAhead(Unlimited(), charges.prices.discounts),
        )

        async def run() -> None:
            await asyncio.gather(*(gateway.ask(request) for request in requests))
            await gateway.drain()

        asyncio.run(run())
    return gateway


def stats(url: str) -> dict[str, Any]:
    with urllib.request.urlopen(f"{url}/stats", timeout=5) as answer:
        found: dict[str, Any] = json.load(answer)
        return found


@pytest.mark.parametrize(
    ("reported", "prompt", "cached", "written"),
    [
        ({"prompt_tokens": 2006, "completion_tokens": 5, "prompt_tokens_details": {"cached_tokens": 1920}},
         2006, 1920, 0),
        ({"prompt_tokens": 2006, "completion_tokens": 5,
          "prompt_cache_hit_tokens": 1856, "prompt_cache_miss_tokens": 150}, 2006, 1856, 0),
        ({"input_tokens": 6, "output_tokens": 5, "cache_read_input_tokens": 2000, "cache_creation_input_tokens": 300},
         2306, 2000, 300),
        ({"prompt_tokens": 2306, "completion_tokens": 5, "prompt_tokens_details": {"cached_tokens": 2000},
          "cache_creation_input_tokens": 300, "cache_read_input_tokens": 2000}, 2306, 2000, 300),
        ({"prompt_tokens": 2306, "completion_tokens": 5,
          "prompt_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 2300}}, 2306, 0, 2300),
        ({"input_tokens": 2006, "output_tokens": 5, "input_tokens_details": {"cached_tokens": "1,920"}}, 2006, 1920, 0),
        ({"prompt_tokens": 100, "completion_tokens": 5, "prompt_tokens_details": {"cached_tokens": 1e9}}, 100, 0, 0),
        ({"prompt_tokens": 100, "completion_tokens": 5, "prompt_tokens_details": {"cached_tokens": 500}}, 100, 100, 0),
        ({"prompt_tokens": 100, "completion_tokens": 5, "prompt_tokens_details": None}, 100, 0, 0),
    ],
    ids=["openai", "deepseek", "anthropic", "litellm", "openrouter", "responses", "impossible", "too many", "null"],
)  # fmt: skip
@pytest.mark.fault(
    "money", "tokens read from a service's cache, as OpenAI, DeepSeek, Anthropic and routers tell them",
    "booked at their own price; never more than the prompt has",
)  # fmt: skip
def test_tokens_read_from_a_cache_are_found_wherever_they_are_told(
    reported: dict[str, Any], prompt: int, cached: int, written: int
) -> None:
    request = question(seat_at("http://x/v1"), 0)
    usage = read_usage(request, "yes", reported, free)
    assert (usage.prompt_tokens, usage.cached_tokens, usage.written_tokens) == (prompt, cached, written)


def test_each_class_of_tokens_is_booked_at_its_own_price() -> None:
    request, prices = question(seat_at("http://x/v1"), 0), Prices({"http://x/v1": PRICE})
    booked = Charges(prices).charge(request, 2306, 10, None, 2000, 300)
    assert booked == pytest.approx((6 * 3.0 + 2000 * 0.3 + 300 * 3.75 + 10 * 15.0) / 1e6)
    plain = Prices({"http://x/v1": Price(input=3.0, output=15.0)})
    assert plain.cost(request, 2306, 10, 2000, 300) == pytest.approx((2306 * 3.0 + 10 * 15.0) / 1e6)


def test_money_is_set_aside_as_if_nothing_were_read_from_a_cache_and_all_put_there() -> None:
    request = question(seat_at("http://x/v1"), 0)
    most = Prices({"http://x/v1": PRICE}).estimate(request)[1]
    size = sum(len(message.content) for message in request.messages)
    assert most > (size * PRICE.cache_write + 50 * PRICE.output) / 1e6


def test_marks_are_no_part_of_the_key() -> None:
    request = question(seat_at("http://x/v1"), 0)
    bare = ChatRequest(**{**vars(request), "messages": tuple(Message(m.role, m.content) for m in request.messages)})
    assert (bare.key, bare.messages) == (request.key, request.messages)
    assert first_beginning(bare) is None
    assert first_beginning(request) is not None


def test_a_beginning_ends_where_questions_begin_to_differ() -> None:
    assert mark_shared(["facts task A", "facts task B", "facts task C"], 5) == (5, 11)
    assert mark_shared(["facts task A"], 5) == (5,)
    assert mark_shared(["facts A", "facts B"], 6) == (6,)


def test_a_short_beginning_is_nothing_to_wait_for() -> None:
    seat = seat_at("http://x/v1")
    assert first_beginning(question(seat, 0, facts="few facts")) is None
    assert first_beginning(question(seat, 0)) == first_beginning(question(seat, 1))
    assert first_beginning(question(seat, 0)) != first_beginning(question(seat, 0, Veto)), "the schema goes before"
    plain = seat.model_copy(update={"native_schema": False})
    assert first_beginning(question(plain, 0)) == first_beginning(question(plain, 0, Veto))


def test_the_first_question_goes_ahead_and_the_others_find_its_beginning_read(serve: Serve, tmp_path: Path) -> None:
    service = serve("--latency", 0.5, "--cached", 0.3)
    seat = seat_at(service.url)
    gateway = ask_all(tmp_path, [question(seat, n) for n in range(8)], seat)
    read = [call.usage.cached_tokens for call in gateway.calls]
    beginning = first_beginning(question(seat, 0))
    assert beginning is not None
    assert read[0] == 0
    assert min(read[1:]) > beginning.tokens - 256
    fresh = sum(call.usage.prompt_tokens for call in gateway.calls) - sum(read)
    completion = sum(call.usage.completion_tokens for call in gateway.calls)
    assert gateway.cost_usd == pytest.approx((fresh * 3.0 + sum(read) * 0.3 + completion * 15.0) / 1e6)
    assert stats(service.url)["most_at_once"] == 7


def test_without_a_discount_nobody_waits(serve: Serve, tmp_path: Path) -> None:
    service = serve("--latency", 0.5, "--cached", 0.3)
    seat = seat_at(service.url)
    ask_all(tmp_path, [question(seat, n) for n in range(8)], seat, Price(input=3.0, output=15.0))
    found = stats(service.url)
    assert found["most_at_once"] == 8
    assert found["cached_tokens"] == 0, "questions in flight together do not help each other"


@pytest.mark.fault("services", "the question that goes ahead fails", "its siblings wait for one attempt and no longer")
def test_siblings_do_not_wait_for_the_retries_of_the_first(serve: Serve, tmp_path: Path) -> None:
    service = serve("--latency", 0.01, "--cached", 0.3, "--faults", 1, "--fault", "500", "--first", 1)
    seat = seat_at(service.url)
    gateway = ask_all(tmp_path, [question(seat, n) for n in range(4)], seat)
    assert len(gateway.calls) == 4
    assert stats(service.url)["requests"] == 8


def test_claude_is_told_where_beginnings_end_and_keeps_them(serve: Serve, tmp_path: Path) -> None:
    service = serve("--latency", 0.02, "--cached", 0.3)
    seat = seat_at(service.url, "anthropic/claude-sonnet-4-5")
    gateway = ask_all(tmp_path, [question(seat, n) for n in range(3)], seat)
    first, *others = (call.usage for call in gateway.calls)
    assert (first.cached_tokens, first.written_tokens > 1024) == (0, True)
    assert [(usage.cached_tokens > 1024, usage.written_tokens) for usage in others] == [(True, 0)] * 2


def test_only_claude_is_sent_marks() -> None:
    asked = question(seat_at("http://x/v1", "claude-opus-4-5", native_schema=False), 3)
    system, user = body_of(asked)["messages"]
    assert system["content"] == "You are on a council."
    facts, rest = user["content"]
    assert (facts["text"], facts["cache_control"]) == (FACTS, {"type": "ephemeral"})
    assert rest["text"].startswith("You are manager 3.")
    assert "cache_control" not in rest
    assert "JSON schema" in rest["text"]
    assert isinstance(body_of(question(seat_at("http://x/v1", "gpt-5.2"), 3))["messages"][1]["content"], str)
