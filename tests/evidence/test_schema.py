"""A document is held against its type key by key; one of an older version is given what it lacks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Generic, Literal, NotRequired, TypedDict, TypeVar

import pytest

from simulator.evidence.schema import MismatchError, check

A = TypeVar("A")


class Part(TypedDict):
    size: float
    kind: Literal["long", "short"]


class Answered(TypedDict, Generic[A]):
    answer: NotRequired[A]


class Document(TypedDict):
    name: str
    count: int | None
    parts: list[Part]
    by_name: Mapping[str, Part | None]
    answered: Answered[Part]
    note: NotRequired[str]


PART = {"size": 1, "kind": "long"}
WHOLE = {"name": "x", "count": None, "parts": [PART], "by_name": {"a": PART, "b": None}, "answered": {"answer": PART}}


def test_what_fits_passes_with_further_keys_and_without_optional_ones() -> None:
    check(Document, {**WHOLE, "unheard": 1})
    check(Document, {**WHOLE, "answered": {}, "note": "y"})


@pytest.mark.parametrize(
    ("changed", "found"),
    [
        ({"name": 3}, "\"name\" holds '3'"),
        ({"count": True}, "\"count\" holds 'True'"),
        ({"parts": [PART, {"kind": "long"}]}, '"parts[1]" has no key "size"'),
        ({"parts": {}}, "\"parts\" holds '{}'"),
        ({"by_name": {"a": {**PART, "kind": "flat"}}}, "\"by_name.a.kind\" holds 'flat'"),
        ({"answered": {"answer": {**PART, "size": "big"}}}, "\"answered.answer.size\" holds 'big'"),
        ({"note": 1}, "\"note\" holds '1'"),
    ],
)
def test_what_does_not_fit_is_named_by_its_path(changed: dict[str, object], found: str) -> None:
    with pytest.raises(MismatchError) as caught:
        check(Document, {**WHOLE, **changed})
    assert str(caught.value) == found


def test_an_older_document_is_given_nothing_for_what_it_lacks() -> None:
    older: dict[str, object] = {"parts": [{"kind": "short"}]}
    check(Document, older, older=True)
    assert older == {
        "name": "",
        "count": None,
        "parts": [{"kind": "short", "size": 0.0}],
        "by_name": {},
        "answered": {},
    }
