"""What models cost: what config says, then packaged tables, and never nothing for want of knowing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulator.config import Models, Price, Seat, read_yaml
from simulator.errors import ConfigError
from simulator.llm.messages import ChatRequest, Message
from simulator.llm.spending.prices import Prices, prompt_tokens

Ask = Callable[..., ChatRequest]

REQUESTY = "https://router.requesty.ai/v1"
LOCAL = "http://127.0.0.1:8080/v1"


def seat(model: str, endpoint: str = REQUESTY) -> Seat:
    return Seat(provider="openai_compatible", model=model, endpoint=endpoint)


def test_known_models_have_a_price_and_a_day_their_knowledge_ends() -> None:
    price = Prices({}).price(seat("anthropic/claude-sonnet-4-5"))
    assert (price.input, price.output) == (3.0, 15.0)
    assert Prices({}).cutoff(seat("anthropic/claude-sonnet-4-5")) == date(2025, 7, 31)


def test_the_same_name_costs_what_the_service_that_is_asked_takes() -> None:
    prices = Prices({})
    assert prices.price(seat("gpt-4o", "https://api.openai.com/v1")).input > 0
    assert prices.price(seat("openai/gpt-4o", "https://openrouter.ai/api/v1")).input > 0
    with pytest.raises(ConfigError):
        prices.price(seat("gpt-4o", LOCAL))


def test_config_goes_before_the_table_by_model_or_for_a_whole_endpoint() -> None:
    prices = Prices(
        {
            "anthropic/claude-sonnet-4-5": Price(input=9, output=9, cutoff="2024-02"),
            LOCAL: Price(input=0, output=0),
        }
    )
    assert prices.price(seat("anthropic/claude-sonnet-4-5")).input == 9
    assert prices.cutoff(seat("anthropic/claude-sonnet-4-5")) == date(2024, 2, 29)
    assert prices.price(seat("any.gguf", LOCAL)).output == 0
    assert prices.cutoff(seat("any.gguf", LOCAL)) is None


def test_an_unknown_price_is_asked_for_with_the_line_to_write() -> None:
    with pytest.raises(ConfigError) as caught:
        Prices({}).price(seat("anthropic/claude-sonnet-4-6-preview"))
    said = str(caught.value)
    assert 'no price is known for "anthropic/claude-sonnet-4-6-preview" of router.requesty.ai' in said
    assert "near it, anthropic/claude-sonnet-4-6 costs 3 and 15" in said
    assert "config/models.yaml: " in said
    assert 'prices: {"anthropic/claude-sonnet-4-6-preview": {input: …, output: …, cutoff: YYYY-MM}}' in said


def test_claude_code_is_known_by_its_aliases_and_offline_rules_cost_nothing() -> None:
    prices = Prices({})
    assert prices.price(Seat(provider="claude_code", model="haiku")).output == 5.0
    assert prices.cutoff(Seat(provider="claude_code", model="haiku")) == date(2025, 2, 28)
    assert prices.price(Seat(provider="offline", model="trend")) == Price(input=0, output=0)
    assert prices.cutoff(Seat(provider="offline", model="trend")) is None


def test_cost_and_estimate_are_dollars(ask: Ask) -> None:
    prices = Prices({"m": Price(input=2.0, output=10.0)})
    request = replace(ask("x" * 3968), model="m", max_tokens=1000, messages=(Message("user", "x" * 3984),))
    assert prices.cost(request, 1_000_000, 100_000) == 3.0
    low, high = prices.estimate(request)
    assert high == pytest.approx((4000 * 2 + 1000 * 10) / 1e6)
    assert low == pytest.approx(((996 + 16) * 2 + 150 * 10) / 1e6)
    assert prices.estimate(request, 400)[0] == pytest.approx(((996 + 16) * 2 + 400 * 10) / 1e6)


@given(st.text(max_size=200), st.text(max_size=200))
def test_no_byte_tokenizer_makes_more_tokens_than_the_estimate_allows(one: str, other: str) -> None:
    request = ChatRequest("p", "m", (Message("system", one), Message("user", other)), schema={"title": one})
    low, high = prompt_tokens(request)
    assert low <= high
    assert high >= len((one + other).encode("utf-8", "surrogatepass"))


def test_what_config_may_say_about_prices_and_limits(tmp_path: Path) -> None:
    file = tmp_path / "models.yaml"
    file.write_text(
        "profiles: {}\nmax_usd_per_day: 20\nprices:\n  m: {input: 1, output: 2, cutoff: 2025-01-31}\n"
        "limits:\n  claude_code: {calls_per_hour: 10}\n"
    )
    models = read_yaml(file, Models)
    assert Prices(models.prices).cutoff(seat("m", LOCAL)) == date(2025, 1, 31)
    assert (models.limits["claude_code"].calls_per_hour, models.max_usd_per_day) == (10, 20.0)
    assert set(models.model_dump()) == {"default", "models", "profiles"}
    for wrong, said in (
        ("input: -1, output: 2", "prices.m.input"),
        ("input: .nan, output: 2", "prices.m.input was nan"),
        ("input: 1, output: .inf", "prices.m.output was inf"),
        ("input: 1, output: 1e308", "prices.m.output was '1e308'"),
        ("input: 1, output: 2, cutoff: 2025-13", "cutoff"),
    ):
        file.write_text(f"profiles: {{}}\nprices:\n  m: {{{wrong}}}\n")
        with pytest.raises(ConfigError, match=said) as caught:
            read_yaml(file, Models)
        assert f"{file}:3" in str(caught.value)
