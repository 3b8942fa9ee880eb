"""The model asked for and the one that served: when they are the same, and what is known of the one that was not."""

from __future__ import annotations

from datetime import date

import pytest

from simulator.config import Price, Seat
from simulator.llm.cutoffs import cutoffs_of, latest_cutoff, without_cutoff
from simulator.llm.model_names import is_same_model, strip_provider
from simulator.llm.spending.prices import Prices


@pytest.mark.parametrize(
    ("asked", "served"),
    [
        pytest.param(
            "openai/gpt-5.2",
            "gpt-5.2-2026-01-15",
            marks=pytest.mark.fault("answers", "the served model has a date or a prefix more", "no mismatch"),
        ),
        ("anthropic/claude-sonnet-4-5", "claude-sonnet-4-5-20250929"),
        ("anthropic/claude-sonnet-4.5", "us.anthropic.claude-sonnet-4-5-20250929-v1:0"),
        ("claude-sonnet-4@20250514", "claude-sonnet-4-20250514"),
        ("claude-3-5-haiku-latest", "claude-3-5-haiku-20241022"),
        ("gpt-4", "gpt-4-0613"),
        ("google/gemini-2.5-pro-preview", "models/gemini-2.5-pro-preview-05-06"),
        ("qwen3-235b-a22b", "Qwen3-235B-A22B-2507"),
        ("deepseek/deepseek-r1:free", "deepseek/deepseek-r1"),
        ("deepseek-v3", "accounts/fireworks/models/deepseek-v3-0324"),
        ("llama3:latest", "llama3"),
        ("qwen2.5", "/srv/models/Qwen2.5.gguf"),
        ("haiku", "claude-haiku-4-5-20251001"),
        ("opus", "claude-opus-4-6"),
        ("ft:gpt-4o-mini:acme::x1", "ft:gpt-4o-mini:acme::x1"),
    ],
)
def test_a_date_or_a_prefix_makes_no_other_model(asked: str, served: str) -> None:
    assert is_same_model(asked, served)
    assert asked in ("haiku", "opus") or is_same_model(served, asked)


@pytest.mark.parametrize(
    ("asked", "served"),
    [
        ("openai/gpt-5.2", "openai/gpt-5.2-mini"),
        ("openai/gpt-5.2-preview", "gpt-5.2"),
        ("gpt-4", "gpt-4.1"),
        ("gpt-5", "gpt-5.2"),
        ("gpt-4-0613", "gpt-4-0314"),
        ("claude-sonnet-4-5", "claude-sonnet-4"),
        ("llama3:8b", "llama3:70b"),
        ("haiku", "claude-sonnet-4-5"),
        ("local", "qwen2.5-coder-1.5b-instruct-q4_k_m"),
    ],
)
def test_another_name_or_another_date_is_another_model(asked: str, served: str) -> None:
    assert not is_same_model(asked, served)
    assert not is_same_model(served, asked)


def test_the_prefix_of_a_provider_is_taken_off() -> None:
    assert strip_provider("openai/gpt-5.2-preview") == "gpt-5.2-preview"
    assert strip_provider("gpt-5.2") == "gpt-5.2"


REQUESTY = "https://router.requesty.ai/v1"
PRICES = Prices(
    {
        "openai/gpt-5.2-preview": Price(input=1, output=1, cutoff="2025-08"),
        "openai/gpt-4o": Price(input=1, output=1, cutoff="2023-10"),
        "old-one": Price(input=1, output=1, cutoff="2022-03"),
    }
)
SEAT = Seat(provider="openai_compatible", endpoint=REQUESTY, model="openai/gpt-5.2-preview")
UNKNOWN = SEAT.model_copy(update={"model": "nobody/knows"})


@pytest.mark.fault("answers", "another model served than was asked", "memory is judged by the one that served")
@pytest.mark.parametrize(
    ("seat", "served", "cutoff"),
    [
        pytest.param(SEAT, None, date(2025, 8, 31), id="asked, before anything was"),
        pytest.param(SEAT, [""], date(2025, 8, 31), id="not recorded"),
        pytest.param(SEAT, ["gpt-5.2-preview-2026-01-15"], date(2025, 8, 31), id="with a date"),
        pytest.param(SEAT, ["gpt-4o-2024-08-06"], date(2023, 10, 31), id="an earlier one"),
        pytest.param(SEAT, ["gpt-4o", "old-one"], date(2023, 10, 31), id="several: the latest"),
        pytest.param(SEAT, ["gpt-4o", ""], date(2025, 8, 31), id="partly not recorded"),
        pytest.param(SEAT, ["mystery"], date(2025, 8, 31), id="unknown: the later of what is known"),
        pytest.param(UNKNOWN, ["mystery", "gpt-4o"], date(2023, 10, 31), id="unknown and asked unknown"),
        pytest.param(UNKNOWN, ["gpt-4o"], date(2023, 10, 31), id="only the served one is known"),
        pytest.param(UNKNOWN, ["mystery"], None, id="nothing is known"),
    ],
)
def test_the_cut_off_is_that_of_what_served(seat: Seat, served: list[str] | None, cutoff: date | None) -> None:
    (found,) = cutoffs_of({"pm.risk": seat}, PRICES, None if served is None else {"pm.risk": served})
    assert (found.model, found.cutoff) == (seat.model, cutoff)
    assert found.served == tuple(sorted(filter(None, served or ())))


def test_seats_of_one_model_are_told_apart_by_who_served_them() -> None:
    seats = {"pm.risk": SEAT, "pm.trend": SEAT, "chairman": UNKNOWN}
    found = cutoffs_of(seats, PRICES, {"pm.risk": ["gpt-4o"], "pm.trend": ["gpt-5.2-preview"], "chairman": ["mystery"]})
    assert [(one.seats, one.cutoff) for one in found if one.cutoff] == [
        (("pm.risk",), date(2023, 10, 31)),
        (("pm.trend",), date(2025, 8, 31)),
    ]
    assert latest_cutoff(found) is None
    assert without_cutoff(found) == ("mystery",)
