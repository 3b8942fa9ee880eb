"""A strategy passed from Python is known by its source and by every value it reads, or it is refused by name."""

from __future__ import annotations

import linecache
import re
import threading
from functools import partial
from types import FunctionType
from typing import Any

import numpy as np
import pandas as pd
import pytest

from simulator.errors import UsageError
from simulator.rules.functions import rule_of
from simulator.rules.python_source import source_of


def cell(text: str, **reads: Any) -> dict[str, Any]:
    """Names that a notebook has after a cell: its source is found by `inspect` for functions, not for classes."""
    name = f"<cell {abs(hash(text))}>"
    linecache.cache[name] = (len(text), None, text.splitlines(keepends=True), name)
    names = {"__name__": "__main__", **reads}
    exec(compile(text, name, "exec"), names)
    return names


def function(text: str, **reads: Any) -> FunctionType:
    made = cell(text, **reads)["decide"]
    assert isinstance(made, FunctionType)
    return made


DECIDE = "def decide(market):\n    return {'SPY': share}\n"
HELPED = "def helper(x):\n    return x * factor\ndef decide(market):\n    return {'SPY': helper(0.5)}\n"
CLASS = "class Mine:\n    share = 0.5\n    def opine(self): ...\n    def decide(self):\n        return share + level\n"

VALUES = [
    (0.5, 0.25), (1, 1.0), (True, 1), ("a", "b"), (b"a", b"b"), (None, 0), ((1, 2), [1, 2]), ({1: 2}, {1: 3}),
    ({1, 2}, frozenset({1, 2})), (np.float64(1), np.float32(1)), (np.arange(3), np.arange(3.0)),
    (np.arange(3), np.arange(4)[1:]), (pd.Series([1.0, 2.0]), pd.Series([1.0, 3.0])),
    (pd.DataFrame({"a": [1]}), pd.DataFrame({"b": [1]})), (pd.Timestamp("2024-01-01"), pd.Timestamp("2024-01-02")),
    (list(range(200)), [*range(199), 200]), (re, np), (np.mean, np.median), (len, max),
    (partial(max, 1), partial(max, 2)),
]  # fmt: skip


@pytest.mark.fault("python", "a value that a strategy's closure or globals give it has changed", "it is another run")
@pytest.mark.parametrize(("one", "other"), VALUES)
def test_a_value_that_is_read_is_part_of_the_source(one: Any, other: Any) -> None:
    first, second = (source_of(function(DECIDE, share=value)) for value in (one, other))
    assert first != second
    assert first == source_of(function(DECIDE, share=one))
    within = source_of(function("def outer(share):\n    def decide(market):\n        return share\n    return decide\n"
                                "decide = outer(value)\n", value=one))  # fmt: skip
    assert within.splitlines()[-1] == first.splitlines()[-1]


def test_what_helpers_read_counts_and_what_nobody_reads_does_not() -> None:
    text = source_of(function(HELPED, factor=2, unread=object()))
    assert "return x * factor" in text
    assert text != source_of(function(HELPED, factor=3))
    assert text == source_of(function(HELPED, factor=2))
    nested = "def decide(market):\n    return {s: (lambda: share)() for s in market}\n"
    assert source_of(function(nested, share=1)) != source_of(function(nested, share=2))


def test_defaults_count_and_recursion_ends() -> None:
    texts = [
        source_of(function(f"d = {n}\ndef decide(market, share=d, *, other=d):\n    return decide\n")) for n in (1, 2)
    ]
    assert texts[0] != texts[1]


def test_a_class_of_a_notebook_has_its_source_its_attributes_and_its_bases() -> None:
    text = source_of(cell(CLASS, share=1, level=2)["Mine"])
    assert text.startswith("class Mine:\n    share = 0.5\n")
    assert text != source_of(cell(CLASS, share=1, level=3)["Mine"])
    names = cell("class Base:\n    def level(self):\n        return depth\nclass Mine(Base):\n    pass\n", depth=1)
    assert "return depth" in source_of(names["Mine"])


@pytest.mark.fault("python", "a strategy reads an object whose content cannot be hashed", "it is refused by name")
@pytest.mark.parametrize("value", [object(), threading.Lock(), open, iter([1]), [object()], {"a": object()}])
def test_what_cannot_be_hashed_is_refused_by_name(value: Any) -> None:
    if value is open:
        value = open(__file__, encoding="utf-8")  # noqa: SIM115
    try:
        with pytest.raises(
            UsageError, match=r'decide reads "share", a value of type \w+, whose content cannot be hashed'
        ):
            source_of(function(DECIDE, share=value))
    finally:
        getattr(value, "close", lambda: None)()


def test_a_function_is_a_rule_whose_further_arguments_are_parameters() -> None:
    head = "def decide(market, fast=20, cadence='daily', window=5):"
    decide = function(f"{head}\n    return {{'SPY': fast / 100}}\n")
    kind = rule_of(decide)
    assert kind.parameters() == {"cadence": "daily", "window": 5, "fast": 20}
    assert kind(fast=30).weights(None) == {"SPY": 0.3}  # type: ignore[arg-type]
    assert (kind().name, kind().cadence, kind().window) == ("decide", "daily", 5)


@pytest.mark.fault("python", "a function that cannot be a strategy", "UsageError says how to write one")
@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("def decide(): ...", "takes no market"),
        ("def decide(market, fast): ...", "argument fast has no default"),
        ("def decide(*, market): ...", "first argument is not the market"),
        ("def decide(market, **more): ...", "argument more has no default"),
        ("def decide(market, name='x'): ...", "argument name is a name a rule has"),
        ("async def decide(market): ...", "asynchronous or a generator"),
        ("def decide(market):\n    yield 1", "asynchronous or a generator"),
    ],
)
def test_a_function_that_cannot_be_a_rule_is_one_line(text: str, found: str) -> None:
    with pytest.raises(UsageError, match=found):
        rule_of(function(text))
