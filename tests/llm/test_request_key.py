"""The key of a question: everything that can change the answer, and nothing else."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from dataclasses import fields, replace
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from simulator.llm.messages import ChatRequest, FrozenSchema, Message, canonical_json

QUESTION = ChatRequest(
    provider="openai_compatible",
    endpoint="https://example.org/v1",
    model="m-2025-01-01",
    messages=(Message("system", "Sé breve."), Message("user", "SPY 472.10 ↑\n😀")),
    schema={"title": "Vote", "type": "object", "properties": {"conviction": {"type": "integer"}}},
    temperature=0.7,
    max_tokens=4000,
    stop=("END",),
    purpose={"stage": "pitch"},
)
GOLDEN = "6b0f64a24ac444dbde7db6b8a4edee5f85b63186e32db2109b36fb016c82dbe3"

words = st.text(max_size=8)
mappings = st.dictionaries(words, st.integers(-3, 3) | words, max_size=3)
VALUES: dict[str, st.SearchStrategy[Any]] = {
    "provider": words,
    "model": words,
    "endpoint": words,
    "messages": st.lists(st.builds(Message, st.sampled_from(["system", "user", "assistant"]), words), max_size=3).map(
        tuple
    ),
    "schema": st.none() | mappings | mappings.map(FrozenSchema),
    "tools": st.lists(mappings, max_size=2).map(tuple),
    "temperature": st.none() | st.floats(0, 2),
    "top_p": st.none() | st.floats(0, 1),
    "max_tokens": st.none() | st.integers(1, 9999),
    "stop": st.lists(words, max_size=2).map(tuple),
    "seed": st.none() | st.integers(),
    "reasoning": st.none() | mappings,
    "replicate": st.integers(0, 9),
    "native_schema": st.booleans(),
    "limit": words,
    "extra": st.none() | mappings,
}
requests = st.builds(ChatRequest, **VALUES)


def test_the_key_of_a_known_question_never_changes() -> None:
    assert QUESTION.key == GOLDEN


@pytest.mark.parametrize("seed", ["0", "1", "4242"])
def test_the_key_is_the_same_in_a_process_with_another_hash_seed(seed: str) -> None:
    code = f"from simulator.llm.messages import *; print({QUESTION!r}.key)"
    environment = {**os.environ, "PYTHONHASHSEED": seed}
    out = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert out.stdout.strip() == GOLDEN


def test_every_field_but_the_purpose_is_tried_below() -> None:
    assert {field.name for field in fields(ChatRequest)} == {*VALUES, "purpose"}


@given(requests, st.sampled_from(sorted(VALUES)), st.data())
def test_changing_any_field_that_can_change_the_answer_changes_the_key(
    request: ChatRequest, name: str, data: st.DataObject
) -> None:
    value = data.draw(VALUES[name])
    assume(value != getattr(request, name))
    assert replace(request, **{name: value}).key != request.key


@given(requests, mappings.map(lambda labels: {name: str(value) for name, value in labels.items()}))
def test_changing_the_purpose_leaves_the_key(request: ChatRequest, purpose: dict[str, str]) -> None:
    assert replace(request, purpose=purpose).key == request.key


@pytest.mark.medium
@given(requests)
def test_the_key_is_the_sha256_of_the_canonical_content(request: ChatRequest) -> None:
    assert request.key == hashlib.sha256(canonical_json(request.canonical())).hexdigest()


@given(requests.filter(lambda request: request.schema is not None))
def test_a_schema_whose_bytes_are_kept_gives_the_key_of_a_plain_one(request: ChatRequest) -> None:
    assert request.schema is not None
    plain, frozen = dict(request.schema), FrozenSchema(dict(request.schema))
    assert replace(request, schema=plain).key == replace(request, schema=frozen).key


def test_equal_questions_have_equal_keys_whether_temperature_is_0_or_0_point_0() -> None:
    assert replace(QUESTION, temperature=0).key == replace(QUESTION, temperature=0.0).key


def test_order_of_schema_keys_does_not_matter_and_order_of_messages_does() -> None:
    assert QUESTION.schema is not None
    turned = dict(reversed(QUESTION.schema.items()))
    assert replace(QUESTION, schema=turned).key == QUESTION.key
    assert replace(QUESTION, messages=QUESTION.messages[::-1]).key != QUESTION.key


def test_half_a_surrogate_pair_has_a_key() -> None:
    assert len(replace(QUESTION, messages=(Message("user", "cut \ud83d"),)).key) == 64
