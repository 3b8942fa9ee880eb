"""What a masked strategy is shown, and that what it decides comes back to the real market."""

from __future__ import annotations

import json
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulator.config import load_config
from simulator.contamination.disguise import (
    SHIFT_WEEKS,
    Disguise,
    Disguised,
    masks,
    mirror,
    opposite,
    other_names,
)
from simulator.council.facts import market_facts
from simulator.market.bars import Snapshot
from simulator.market.calendar import NEW_YORK
from simulator.market.events import load_events
from simulator.market.load import load_bars
from simulator.trading.model import Book, Decision, Target

ROOT = Path(__file__).parents[2]
AS_OF = datetime(2024, 6, 3, 8, 0, tzinfo=NEW_YORK)


@pytest.fixture(scope="module")
def market() -> Snapshot:
    first, last = date(2024, 1, 2), date(2024, 12, 30)
    symbols = ("SPY", "QQQ", "BIL")
    loaded = load_bars(symbols, ROOT / "data", first=first, last=last, history=300, context=("VIX",))
    return loaded.bars.snapshot(AS_OF, load_events(ROOT / "data" / "events.csv"), loaded.context)


def blind(market: Snapshot) -> Disguise:
    return Disguise(masks(market.symbols), SHIFT_WEEKS, beside=("BIL", "VIX"))


def test_no_name_no_year_and_no_price_level_is_left_in_the_facts(market: Snapshot) -> None:
    shown = json.dumps(market_facts(blind(market).snapshot(market)))
    for told in ("SPY", "QQQ", "BIL", "2024", "2023"):
        assert told not in shown
    facts = market_facts(blind(market).snapshot(market))
    assert set(facts["symbols"]) == {"ASSET_01", "ASSET_02", "ASSET_03"}
    assert {known["close"] for known in facts["symbols"].values()} == {100.0}
    assert facts["as_of"].endswith("08:00-04:00")


def test_what_can_be_known_without_names_stays_what_it_is(market: Snapshot) -> None:
    real, hidden = market_facts(market), market_facts(blind(market).snapshot(market))
    names = masks(market.symbols)
    scaled = ("close", "atr_14", "prior_high", "prior_low")
    for symbol, known in real["symbols"].items():
        for fact, value in known.items():
            if not fact.startswith(scaled):
                assert hidden["symbols"][names[symbol]][fact] == pytest.approx(value, abs=0.011), fact
    assert (hidden["vix"], hidden["cash_yield_pct"]) == (real["vix"], real["cash_yield_pct"])
    assert len(hidden["events"]) == len(real["events"]) > 0
    moved = timedelta(weeks=SHIFT_WEEKS)
    days = [date.fromisoformat(event["date"]) + moved for event in real["events"]]
    assert [date.fromisoformat(event["date"]) for event in hidden["events"]] == days
    assert [event["time"] for event in hidden["events"]] == [event["time"] for event in real["events"]]


def test_newest_close_and_volume_are_a_hundred_and_nothing_later_is_known(market: Snapshot) -> None:
    shown = blind(market).snapshot(market)
    assert shown.bars.close[-1] == pytest.approx([100.0] * 3)
    assert shown.bars.volume[-1] == pytest.approx([100.0] * 3)
    assert shown.as_of.weekday() == AS_OF.weekday()
    assert (shown.as_of.hour, shown.as_of.minute) == (8, 0)
    assert len(shown) == len(market)
    returns = np.diff(np.log(market.bars.close), axis=0)
    assert np.diff(np.log(shown.bars.close), axis=0) == pytest.approx(returns, abs=1e-12)


class Limits:
    """Wants the first symbol at a limit one per cent below what it is shown, and keeps what it was shown."""

    name, cadence, window, reads = "limits", "weekly", 1, "nothing"
    seen: tuple[Any, ...] = ()

    async def opine(self, snapshot: Snapshot, journal: Any) -> None: ...

    def decide(self, snapshot: Snapshot, opinion: Any, book: Book, journal: Any) -> Decision:  # noqa: ARG002
        first = snapshot.symbols[0]
        self.seen = (first, book, journal)
        close = snapshot.last(first)
        target = Target(first, 0.5, "limit", close * 0.99, close * 0.9, close * 1.1)
        return Decision(snapshot.as_of, (target,), {})


def test_a_decision_comes_back_in_real_names_dates_and_prices(market: Snapshot) -> None:
    strategy = Limits()
    marks = {symbol: market.last(symbol) for symbol in market.symbols}
    book = Book(1_000.0, {"SPY": 10.0}, marks, 1_000.0 + 10 * marks["SPY"])
    made = Disguised(strategy, blind(market)).decide(market, None, book, ("an earlier decision",))
    (target,) = made.targets
    close = market.last("SPY")
    assert (made.as_of, target.symbol) == (AS_OF, "SPY")
    assert (target.limit, target.stop, target.take_profit) == pytest.approx((close * 0.99, close * 0.9, close * 1.1))
    first, hidden, journal = strategy.seen
    assert (first, journal) == ("ASSET_03", ())
    assert hidden.marks["ASSET_03"] == pytest.approx(100.0)
    assert hidden.weight("ASSET_03") == pytest.approx(book.weight("SPY"))
    assert hidden.equity == book.equity


def test_another_real_name_is_of_the_same_group_and_not_one_of_the_runs() -> None:
    assets = load_config(ROOT / "config").assets.assets
    other = other_names(("SPY", "TLT"), assets, ("BIL", "VIX"))
    assert {assets[name].group for name in (other["SPY"],)} == {"equity"}
    assert other["TLT"] == "HYG"
    assert not {*other.values()} & {"SPY", "TLT", "BIL"}
    few = {name: assets[name] for name in ("SPY", "QQQ", "GLD")}
    assert other_names(("SPY", "QQQ"), few) == {"QQQ": "SPY", "SPY": "QQQ"}
    assert other_names(("SPY",), {"SPY": assets["SPY"]}) == {}


@given(st.lists(st.text("ABC", min_size=1, max_size=4), min_size=1, max_size=120, unique=True))
def test_masks_are_distinct_and_keep_the_order_of_names(symbols: list[str]) -> None:
    names = masks(symbols)
    assert len(set(names.values())) == len(symbols)
    assert [names[s] for s in sorted(symbols)] == sorted(names.values())


def test_turned_upside_down_every_return_has_the_other_sign_and_bars_stay_whole(market: Snapshot) -> None:
    turned = mirror(market)
    assert turned.bars.close[-1] == pytest.approx(market.bars.close[-1])
    back = -np.diff(np.log(market.bars.close), axis=0)
    assert np.diff(np.log(turned.bars.close), axis=0) == pytest.approx(back, abs=1e-12)
    assert (turned.bars.high >= np.maximum(turned.bars.open, turned.bars.close) - 1e-9).all()
    assert (turned.bars.low <= np.minimum(turned.bars.open, turned.bars.close) + 1e-9).all()
    twice = mirror(turned)
    assert twice.bars.high == pytest.approx(market.bars.high)
    real, flipped = (market_facts(one)["symbols"]["SPY"] for one in (market, turned))
    for fact in ("return_21_pct", "return_252_pct", "sma_200_distance_pct", "macd_pct"):
        assert real[fact] * flipped[fact] < 0, fact
    assert (turned.symbols, turned.as_of) == (market.symbols, market.as_of)


def test_words_of_direction_in_headlines_are_swapped() -> None:
    assert opposite("Apple beats estimates, shares jump to record high") == (
        "Apple misses estimates, shares drop to record low"
    )
    assert opposite("Profit falls as costs rise") == "Loss rises as costs fall"
    assert opposite("The Fed meets") == "The Fed meets"
