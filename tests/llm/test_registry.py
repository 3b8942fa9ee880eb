"""Profiles, seats and the question a seat is asked."""

from __future__ import annotations

import pytest

from simulator.config import Models, Seat
from simulator.errors import ConfigError
from simulator.llm.messages import Message
from simulator.llm.registry import request_for, seat_of, seats

MODELS = Models(
    default="offline",
    profiles={
        "offline": {"pm.trend": Seat(provider="offline", model="trend")},
        "local": {
            "*": Seat(provider="openai_compatible", model="qwen", endpoint="http://127.0.0.1:8000/v1", temperature=0)
        },
    },
)


def test_the_default_profile_is_taken_where_none_is_named() -> None:
    assert seats(MODELS)["pm.trend"].model == "trend"
    assert seats(MODELS, "local")["*"].model == "qwen"


def test_an_unknown_profile_is_named_with_what_was_meant() -> None:
    with pytest.raises(
        ConfigError, match=r'no models profile "ofline", did you mean "offline"\?.*local, offline'
    ) as caught:
        seats(MODELS, "ofline")
    assert caught.value.exit_code == 2


def test_the_star_seat_answers_for_everyone_else() -> None:
    assert seat_of(seats(MODELS, "local"), "chairman").model == "qwen"
    with pytest.raises(ConfigError, match=r'no model in seat "pm\.trent", did you mean "pm\.trend"'):
        seat_of(seats(MODELS), "pm.trent")


def test_a_question_carries_all_that_the_seat_says() -> None:
    seat = seat_of(seats(MODELS, "local"), "chairman")
    request = request_for(seat, [Message("user", "hi")], {"title": "Vote"}, {"stage": "chairman"}, replicate=2)
    assert (request.provider, request.model, request.endpoint) == ("openai_compatible", "qwen", seat.endpoint)
    assert (request.temperature, request.max_tokens, request.replicate) == (0.0, None, 2)
    assert (request.schema, request.purpose) == ({"title": "Vote"}, {"stage": "chairman"})


def test_the_version_of_the_rules_is_part_of_an_offline_model_and_so_of_the_key() -> None:
    seat = seat_of(seats(MODELS), "pm.trend")
    one, other = (request_for(seat, [Message("user", "hi")], version=version) for version in ("1a2b", "3c4d"))
    assert one.model == "trend@1a2b"
    assert one.key != other.key


def test_an_endpoint_with_a_password_is_refused_without_showing_it() -> None:
    seat = Seat(provider="openai_compatible", model="m", endpoint="https://user:hunter22@example.org/v1")
    with pytest.raises(ConfigError, match="holds a password") as caught:
        request_for(seat, [])
    assert "hunter22" not in str(caught.value)
