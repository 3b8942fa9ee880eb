"""`simulator.run` takes dates, symbols and choices as Python programs have them, and names what it cannot take."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import simulator
from simulator.api import choose, parse_symbols
from simulator.errors import UsageError
from simulator.market.calendar import parse_date
from simulator.rules import Rule, Snapshot

DAY = dt.date(2024, 1, 2)


@pytest.mark.fault("python", "a date is a datetime, a pandas Timestamp or a numpy datetime64", "its date counts")
@pytest.mark.parametrize(
    "given",
    [
        DAY,
        "2024-01-02",
        "20240102",
        " 2024-01-02 ",
        "2024-01-02T09:30:00-05:00",
        dt.datetime(2024, 1, 2, 9, 30),
        dt.datetime(2024, 1, 2, tzinfo=dt.UTC),
        pd.Timestamp("2024-01-02", tz="America/New_York"),
        np.datetime64("2024-01-02"),
        np.datetime64("2024-01-02T00:00:00.000000000"),
    ],
)
def test_a_date_may_come_in_any_form_that_has_one(given: Any) -> None:
    assert parse_date(given, "start") == DAY
    assert type(parse_date(given, "start")) is dt.date


@pytest.mark.parametrize(
    "given", ["2024/01/02", "01/02/2024", "", "soon", 20240102, None, True, pd.NaT, np.datetime64("NaT"), 1.5]
)
def test_what_is_no_date_is_one_line(given: Any) -> None:
    with pytest.raises(UsageError, match=r'^start was ".*", which is not a date; write it as 2024-01-31$'):
        parse_date(given, "start")


@pytest.mark.fault("python", "symbols are one string, lower case or a tuple", "they are read as on the command line")
@pytest.mark.parametrize(
    ("given", "symbols"),
    [
        ("SPY", ("SPY",)),
        ("SPY,QQQ", ("SPY", "QQQ")),
        ("spy qqq", ("SPY", "QQQ")),
        (["spy", "SPY "], ("SPY",)),
        (("SPY", "brk-b"), ("SPY", "BRK-B")),
        ({"SPY"}, ("SPY",)),
        (pd.Index(["SPY", "QQQ"]), ("SPY", "QQQ")),
        (np.array(["SPY"]), ("SPY",)),
        ("", ()),
    ],
)
def test_symbols_may_be_one_string_or_any_list(given: Any, symbols: tuple[str, ...]) -> None:
    assert parse_symbols(given) == symbols


@pytest.mark.parametrize("given", [None, 5, ["SPY", None], [["SPY"]]])
def test_what_is_no_list_of_symbols_is_one_line(given: Any) -> None:
    with pytest.raises(UsageError, match=r"^symbols was .*; name them"):
        parse_symbols(given)


def test_a_choice_is_refused_with_the_likeliest_word() -> None:
    assert choose("replay", ("record", "replay"), "cache") == "replay"
    with pytest.raises(UsageError, match=r"cache was 'Replay', did you mean \"replay\"\?; it is one of record, replay"):
        choose("Replay", ("record", "replay"), "cache")


class Half(Rule):
    """Half."""

    def weights(self, market: Snapshot) -> dict[str, float]:  # noqa: ARG002
        return {"SPY": 0.5}


@pytest.mark.medium
@pytest.mark.fault("python", "an unknown word for an argument", "refused with the likeliest before anything is asked")
@pytest.mark.parametrize(
    ("given", "line"),
    [
        ({"cache": "Replay"}, "cache was 'Replay', did you mean \"replay\"?; it is one of record"),
        ({"cache": None}, "cache was None; it is one of record"),
        ({"models": "ofline"}, 'did you mean "offline"?'),
        ({"strategy": "buy_and_hodl"}, 'did you mean "buy_and_hold"?'),
        ({"strategy": None}, "strategy was None; pass its name, its path, its class or a function"),
        ({"strategy": Half()}, "pass its name, its path, its class or a function"),
        ({"strategy": "sma_cross", "parameters": {"fats": 5}}, 'did you mean "fast"?'),
        ({"parameters": "fast=20"}, "parameters was 'fast=20'; pass a dict: {\"fast\": 20}"),
        ({"models": 5}, "models was 5; pass the name of a profile"),
        ({"replicates": "2"}, "replicates was '2'; pass a whole number"),
        ({"workspace": 5}, "workspace was 5; pass the path"),
        ({"max_cost": "5"}, "--max-cost was 5; give the dollars"),
        ({"symbols": "SPYY"}, 'no bars for "SPYY", did you mean "SPY"?'),
        ({"symbols": []}, "no symbols"),
    ],
)
def test_a_word_that_cannot_be_meant_is_one_line(workspace: Path, given: dict[str, Any], line: str) -> None:
    arguments = {"strategy": "buy_and_hold", "symbols": "SPY", "start": "2024-01-02", "end": "2024-01-31"}
    with pytest.raises(simulator.errors.SimError) as caught:
        simulator.run(**{"workspace": workspace, **arguments, **given})
    assert line in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not any((workspace / "reports").glob("*"))


@pytest.mark.medium
def test_an_unknown_keyword_is_refused_and_a_path_is_a_strategy(workspace: Path) -> None:
    with pytest.raises(TypeError, match="symbol"):
        simulator.run(symbol="SPY", workspace=workspace)  # type: ignore[call-arg]
    arguments = ("SPY", dt.datetime(2024, 1, 2), pd.Timestamp("2024-01-31"))
    by_path = simulator.run(workspace / "strategies" / "buy_and_hold.py", *arguments, workspace=workspace)
    assert by_path.id == simulator.run("buy_and_hold", ["spy"], "2024-01-02", DAY.replace(day=31),
                                            workspace=workspace).id  # fmt: skip
