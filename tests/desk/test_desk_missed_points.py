"""A day whose review was missed: what filled has the stop of its plan, at whatever point it is seen."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime, time
from pathlib import Path

import numpy as np
import pytest

from simulator.desk.records import HeldRecord
from simulator.desk.spec import load_definition
from simulator.desk.strategy import OPEN, PRE_MARKET, REVIEW, Desk
from simulator.market.bars import Bars
from simulator.market.calendar import NEW_YORK, day_number
from simulator.trading.model import Book, Decision, Fill
from simulator.trading.past import History

ROOT = Path(__file__).parents[2]
TIMES = {PRE_MARKET: time(6, 30), OPEN: time(9, 30), REVIEW: time(16)}


class Days:
    """A desk without agents over `bars`, point by point, in an account that is given its fills."""

    def __init__(self, bars: Bars) -> None:
        definition = load_definition(ROOT / "strategies" / "momentum_desk" / "strategy.yaml", ROOT / "config", {})
        self.bars, self.desk, self.journal = bars, Desk(definition), list[Decision]()

    def hold(self, day: int, point: str, filled: Mapping[str, float] | None = None) -> Decision:
        """Return what is decided on that day of May, when `filled` shares were bought at the open of the 13th."""
        as_of, shares = datetime.combine(date(2024, 5, day), TIMES[point], NEW_YORK), dict(filled or {})
        snapshot = self.bars.snapshot(as_of)
        bars, marks = snapshot.bars, {symbol: snapshot.last(symbol) for symbol in snapshot.symbols}
        row = int(np.searchsorted(bars.session_of, day_number(date(2024, 5, 13))))
        fills = [
            Fill(n, symbol, int(bars.opens_at[row]), size, float(bars.open[row, bars.column(symbol)]), 0.0, 0.0, "open")
            for n, (symbol, size) in enumerate(shares.items())
        ]
        past = History(bars, 100_000.0).past(fills, [100_000.0] * len(bars), marks, as_of)
        self.journal.append(
            self.desk.at(point).decide(snapshot, None, Book(85_000.0, shares, marks, 100_000.0, (), past), self.journal)
        )
        return self.journal[-1]


def held(decision: Decision, symbol: str) -> HeldRecord:
    found: HeldRecord = decision.record["workflow"]["context"]["held"][symbol]
    return found


@pytest.fixture
def days(bars: Bars) -> Days:
    """To the open of 13 May, at which QQQ is ordered."""
    made = Days(bars)
    made.hold(13, PRE_MARKET)
    assert "QQQ" in [one.symbol for one in made.hold(13, OPEN).targets]
    return made


def test_a_fill_that_is_first_seen_on_the_next_day_has_the_stop_of_its_plan(days: Days, bars: Bars) -> None:
    reviewed = Days(bars)
    reviewed.journal = list(days.journal)
    due = held(reviewed.hold(13, REVIEW, {"QQQ": 34.0}), "QQQ")
    assert due["stop"] / due["entry"] > 0.98, "a support holds it, nearer than the widest stop"
    assert held(days.hold(14, PRE_MARKET, {"QQQ": 34.0}), "QQQ") == due


def test_an_entry_that_fills_though_it_was_given_up_has_the_stop_of_its_plan(days: Days) -> None:
    given_up = days.hold(14, PRE_MARKET)
    assert [one.symbol for one in given_up.targets if one.reason == "good for its session"].count("QQQ") == 1
    assert held(days.hold(14, REVIEW, {"QQQ": 34.0}), "QQQ")["stop"] == pytest.approx(436.8, abs=0.1)
