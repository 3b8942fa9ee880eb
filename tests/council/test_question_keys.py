"""Keys of questions in the LLM cache are data: renamed classes, reworded docstrings and other pydantics leave them."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from simulator.council.answers import (
    Answer,
    ResearchPack,
    Review,
    checkpoint_of,
    decision_on,
    pitch_on,
)
from simulator.llm.answers import schema_of
from simulator.llm.messages import ChatRequest, Message, canonical_json

BEFORE = {
    "research": "cc0e22ea0338fe6d9c777fefce7e563ab6044d17748719ca7bdfb4b933244b0c",
    "pitch": "c4890f1ace209acbd66d4676ddda92d725408d17f036531ab79e6d748ee47671",
    "review": "b356417f0a7421c2a559950a785c5e1fccae854d3d33f2ad9bcbae95222e4d2b",
    "chairman": "70ab44762b5d87cd2050d7caaaf3a2f9707be16ce82d1440098ec8890acbb446",
    "checkpoint": "4c3d4a518e064f66ee8edeb7f1f56b183e2f963139e6968afd6adb9a92286a20",
    "repair": "8293cd45b9928808c3fd1ccd6f985052517c3f59aeb8d9ea904c8d3fbec76af2",
}
"""The same of the council as it was shipped before questions had an opening; tests/data/README.md."""

KEYS = {
    "research": "e53c2bcb688c5071ab5f5ed4419a975c16cecb902d0e815e0581ece2ee593fa5",
    "pitch": "897c57e10f8d5da986d3cf6c5c129f4d314fa02279cca954916331fa58f3fedd",
    "review": "880590cd7675074838d4ea162d56db6001b6b0de3028843e58881c8ce7555010",
    "chairman": "7ba77b2b4821895d4cd1b7fe365564cf64fc556e8fdbfdeb52d535a4105ca53d",
    "checkpoint": "823f66c0feb5e17ebb49cc703a21896b3e04c94e8cbb83f5f07d50cb9af262e3",
    "repair": "0c2eaf1518351cf6921209d59b659995310ef2e604e6ca6342c0c240077871e9",
}
"""Of the first question of each stage in the year of the sample, and of the first repair."""

SHIPPED = Path(__file__).parents[2] / "strategies" / "macro_council" / "strategy.yaml"
OLD = Path(__file__).parents[1] / "data" / "before_openings" / "strategy.yaml"

ANSWERS = "daa8dc245e7b28cc"
ASKED: tuple[type[Answer], ...] = (
    *(ResearchPack, Review, pitch_on(("SPY", "QQQ")), pitch_on(("SPY",)), decision_on(("SPY", "QQQ"))),
    checkpoint_of("LONG"),
)


def key_of(model: type[BaseModel]) -> str:
    return ChatRequest("offline", "m", (Message("user", "?"),), schema=schema_of(model)).key


def first_keys(meetings):
    first: dict[str, str] = {}
    for request in meetings.gateway.heard:
        first.setdefault(request.purpose["stage"], request.key)
    return first


@pytest.mark.medium
def test_one_question_of_every_stage_has_the_key_it_always_had(followed):
    """A prompt of the shipped council that is edited on purpose moves these keys, and so does a new fact."""
    assert first_keys(followed[0]) == {stage: key for stage, key in KEYS.items() if stage != "repair"}


def test_a_council_without_an_opening_asks_what_it_always_asked(convene, year):
    meetings = convene(path=OLD)
    meetings.follow(year.points[:4])
    assert first_keys(meetings) == {stage: key for stage, key in BEFORE.items() if stage != "repair"}


@pytest.mark.parametrize(("path", "keys"), [(SHIPPED, KEYS), (OLD, BEFORE)], ids=["opening", "before"])
def test_a_repair_has_the_key_it_always_had(convene, year, path, keys):
    meeting = convene({"trend/Pitch": lambda _: "I would rather not say."}, path=path).hold([year.snapshot(0)])
    failed = next(one for one in meeting.opinions[0].pm_pitches if one.value is None)
    assert failed.keys == (keys["pitch"], keys["repair"])


def test_a_rule_that_answers_otherwise_than_before_needs_another_version(followed):
    """To a year of questions; a change of ANSWERS without one of `analysts.VERSION` is a fault."""
    gateway = followed[0].gateway
    answers = sorted(gateway.cache.get(key).text for key in {request.key for request in gateway.heard})
    assert hashlib.sha256("\n".join(answers).encode()).hexdigest()[:16] == ANSWERS


@pytest.mark.parametrize("model", ASKED, ids=lambda model: model.__name__)
def test_neither_the_name_nor_the_docstring_of_an_answer_is_in_its_key(model):
    renamed = type("Renamed", (model,), {"__doc__": "Other words.", "__module__": __name__})
    assert renamed.__name__ != model.__name__
    assert key_of(renamed) == key_of(model)


@pytest.mark.parametrize("model", ASKED, ids=lambda model: model.__name__)
def test_the_schema_sent_asks_for_what_is_accepted(model):
    assert shape(model.model_json_schema()) == shape(BaseModel.model_json_schema.__func__(model))


def shape(schema: Any) -> Any:
    """A schema without words and names, and with its parts in the places that refer to them."""

    def resolved(node: Any) -> Any:
        if isinstance(node, list):
            return [resolved(one) for one in node]
        if not isinstance(node, dict):
            return node
        if "$ref" in node:
            return resolved(schema["$defs"][node["$ref"].rpartition("/")[2]])
        names = ("$defs", "title", "description", "additionalProperties")
        return {
            key: resolved(value)
            for key, value in node.items()
            if key not in names or (key == "additionalProperties" and value is not False)
        }

    return canonical_json(resolved(schema))
