"""Coarse facts: nine values of each kind, and no digit of what was measured."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from simulator.contamination.coarse import coarsen, nearest
from simulator.contamination.disguise import SHIFT_WEEKS, Disguise, masks
from simulator.council.facts import market_facts
from simulator.market.calendar import NEW_YORK
from simulator.market.load import load_bars

SYMBOLS = ("SPY", "QQQ", "BIL")


def numbers(facts: Any, name: str = "") -> Iterator[tuple[str, float]]:
    """Every number of the facts by its name, assets together."""
    if isinstance(facts, Mapping):
        for key, value in facts.items():
            yield from numbers(value, f"{name}.*" if "ASSET" in key else f"{name}.{key}")
    elif isinstance(facts, int | float):
        yield name, float(facts)


@pytest.mark.medium
def test_every_number_a_council_is_shown_is_one_of_nine_and_the_newest_close_stays() -> None:
    first, last = date(2022, 1, 3), date(2024, 12, 30)
    loaded = load_bars(
        SYMBOLS, Path(__file__).parents[2] / "data", first=first, last=last, history=300, context=("VIX",)
    )
    hide, shown, exact = (
        Disguise(masks(SYMBOLS), SHIFT_WEEKS, beside=("BIL", "VIX")),
        defaultdict(set),
        defaultdict(set),
    )
    for week in range(0, 150, 3):
        at = datetime(2022, 2, 1, 8, 0, tzinfo=NEW_YORK) + timedelta(weeks=week)
        facts = market_facts(hide.snapshot(loaded.bars.snapshot(at, (), loaded.context)))
        for found, of in ((shown, coarsen(facts)), (exact, facts)):
            for name, value in numbers(of):
                found[name].add(value)
    assert shown.keys() == exact.keys()
    assert {name: values for name, values in shown.items() if len(values) > 9} == {}
    assert shown[".symbols.*.close"] == {100.0}
    assert all(len(shown[name]) > 3 < len(exact[name]) for name in shown if "return" in name)


@pytest.mark.parametrize(
    ("value", "centre", "unit", "moved"),
    [
        (3.21, 0.0, 2.0, 4.0),
        (-0.4, 0.0, 1.0, -0.5),
        (55.0, 0.0, 10.0, 40.0),
        (0.2, 0.0, 1.0, 0.0),
        (57.0, 50.0, 10.0, 55.0),
    ],
)
def test_a_number_moves_to_the_nearest_of_nine_values(value: float, centre: float, unit: float, moved: float) -> None:
    assert nearest(value, centre, unit) == moved
