"""A strategy passed from Python is known by its source and by every value it reads, or it is refused by name."""

from __future__ import annotations

import importlib
import linecache
import os
import re
import sys
import threading
from collections import defaultdict
from functools import partial
from pathlib import Path
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


@pytest.mark.medium
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


MAKE = "def make(n):\n    def f():\n        return n\n    return f\na, b = make(x), make(y)\n"
WRAP = """
import functools
def scaled(function):
    @functools.wraps(function)
    def inner(market):
        return factor * function(market)
    return inner
@scaled
def decide(market):
    return 1
"""
ENUM = "import enum\nclass Size(enum.Enum):\n    A = level\ndef decide(market):\n    return Size.A.value\n"
CLASSED = """
import dataclasses
@dataclasses.dataclass
class P:
    w: float = 0.5
p = P(level)
def decide(market, given=p):
    return given.w
"""


@pytest.mark.medium
@pytest.mark.fault(
    "python", "two values of one name, a decorator, an attribute or a helper of a helper differ", "it is another run"
)
@pytest.mark.parametrize(
    ("text", "one", "other"),
    [
        (MAKE + "def decide(market):\n    return a() + b()\n", {"x": 1, "y": 2}, {"x": 3, "y": 2}),
        (MAKE + "def decide(market):\n    return a() - b()\n", {"x": 1, "y": 2}, {"x": 2, "y": 1}),
        ("def h1(k=x): return k\ndef h2(k=y): return k\ndef decide(market):\n    return h1() + h2()\n",
         {"x": 1, "y": 2}, {"x": 3, "y": 2}),
        (WRAP, {"factor": 1}, {"factor": 2}),
        ("def decide(market):\n    return decide.s\ndecide.s = level\n", {"level": 1}, {"level": 2}),
        ("import functools\n@functools.lru_cache\ndef h(x):\n    return level\ndef decide(market):\n    return h(1)\n",
         {"level": 1}, {"level": 2}),
        (ENUM, {"level": 1}, {"level": 2}),
        (CLASSED, {"level": 1}, {"level": 2}),
        ("decide = [lambda m: {'SPY': 0.1}, lambda m: {'QQQ': 0.9}][pick]\n", {"pick": 0}, {"pick": 1}),
    ],
)  # fmt: skip
def test_what_differs_only_somewhere_below_is_another_source(text: str, one: Any, other: Any) -> None:
    first, second = (source_of(cell(text, **reads)["decide"]) for reads in (one, other))
    assert first != second
    assert first == source_of(cell(text, **one)["decide"])


def test_modules_of_the_user_count_with_what_they_hold_now_and_what_they_import(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "deep_b.py").write_text("X = 1\n")
    (tmp_path / "deep_a.py").write_text("import deep_b\nSCALE = 1\n")
    decide = function("def decide(market):\n    import deep_a\n    return deep_a.SCALE\n")
    texts = [source_of(decide)]
    sys.modules["deep_a"].SCALE = 2
    texts.append(source_of(decide))
    (tmp_path / "deep_b.py").write_text("X = 10\n")
    texts.append(source_of(decide))
    assert len(set(texts)) == 3
    for name in ("deep_a", "deep_b"):
        del sys.modules[name]


@pytest.mark.parametrize("value", [defaultdict(int), np.ma.array([1.0, 2.0], mask=[True, False])])
def test_a_value_that_is_more_than_it_shows_is_refused(value: Any) -> None:
    with pytest.raises(UsageError, match="whose content cannot be hashed"):
        source_of(function(DECIDE, share=value))


def test_a_list_that_holds_itself_is_refused() -> None:
    endless: list[Any] = []
    endless.append(endless)
    with pytest.raises(UsageError, match='decide reads "share", a value of type list'):
        source_of(function(DECIDE, share=endless))


def test_a_partial_function_is_a_rule_with_what_was_bound() -> None:
    decide = function("def decide(market, w=0.2):\n    return {'SPY': w}\n")
    kind = rule_of(partial(decide, w=0.3))
    assert kind().weights(None) == {"SPY": 0.3}  # type: ignore[arg-type]
    assert kind.__name__ == "decide"
    assert source_of(partial(decide, w=0.3)) != source_of(partial(decide, w=0.4))


def frame(**changed: Any) -> pd.DataFrame:
    made = pd.DataFrame({"a": pd.Categorical(["x"], categories=changed.get("categories", ["x"]))})
    made.index.name = changed.get("index")
    made.attrs = changed.get("attrs", {})
    return made


TABLES = [
    (frame(), frame(attrs={"share": 0.5})), (frame(), frame(index="k")), (frame(), frame(categories=["x", "y"])),
    (pd.DataFrame({"a": [[1], [2]]}), pd.DataFrame({"a": [[1], [3]]})), (pd.Series([1, "1"]), pd.Series(["1", "1"])),
    (pd.Series([1]), pd.Series([1.0])), (pd.Series([0.5], name="a"), pd.Series([0.5], name="b")),
]  # fmt: skip


@pytest.mark.medium
@pytest.mark.parametrize(("one", "other"), TABLES)
def test_a_table_counts_with_its_labels_types_notes_and_cells(one: Any, other: Any) -> None:
    first, second = (source_of(function(DECIDE, share=value)) for value in (one, other))
    assert first != second
    assert first == source_of(function(DECIDE, share=one.copy()))


@pytest.mark.medium
@pytest.mark.parametrize(
    "text",
    [
        "import typing\nclass P(typing.NamedTuple):\n    a: int\n    def w(self): return SHARE\np = P(1)\n",
        "class L(list):\n    def w(self): return SHARE\np = L([1])\n",
        "class F(float):\n    def w(self): return SHARE\n    def __repr__(self): return ''\np = F(1)\n",
        "class F(float):\n    def w(self): return self.k\np = F(1); p.k = SHARE\n",
        "class N(list):\n    def w(self): return SHARE\np = [N([1])]\n",
        "from dataclasses import dataclass\n@dataclass\nclass D:\n    a: float = 1\np = D(); p.w = SHARE\n",
        "class M(type):\n    def __call__(cls): return SHARE\nclass P(metaclass=M): a = 1\np = P\n",
    ],
)
def test_methods_and_attributes_of_a_value_count(text: str) -> None:
    decide = "def decide(market):\n    return p\n"
    first, again, other = (source_of(function(text.replace("SHARE", n) + decide)) for n in ("0.5", "0.5", "0.75"))
    assert first == again != other


@pytest.mark.parametrize("call", ["globals()", "eval('share')", "vars()", "exec('share')", "locals()"])
def test_code_that_reads_what_it_does_not_name_is_refused(call: str) -> None:
    with pytest.raises(UsageError, match=re.escape(call.partition("(")[0]) + r"\(\), by which it reads"):
        source_of(function(f"share = 1\ndef decide(market):\n    return {call}\n"))


@pytest.mark.fault("python", "the file of an imported strategy was edited and not reloaded", "refused until reloaded")
@pytest.mark.parametrize(
    "edited", ["def decide(market): return {'SPY': 0.5}\n", "\ndef decide(market): return {}\n", "("]
)
def test_a_module_that_was_edited_and_not_reloaded_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, edited: str
) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    path = tmp_path / "edited_strategy.py"
    path.write_text("def decide(market): return {}\n")
    module = importlib.import_module("edited_strategy")
    try:
        before = source_of(module.decide)
        path.write_text(edited)
        for passed in (module.decide, function("def decide(m): return module\n", module=module)):
            with pytest.raises(UsageError, match="has changed since it was imported; reload it"):
                source_of(passed)
        if edited != "(":
            os.utime(path, (1e9, 1e9))
            assert (source_of(importlib.reload(module).decide) == before) is (edited.lstrip() != edited)
    finally:
        del sys.modules["edited_strategy"]
