"""Splits over night of a position with exits: reverse ones, those that are told late, and those that nobody tells."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from datetime import date, datetime, time
from pathlib import Path

import pytest

from simulator.forward.books import Split
from simulator.forward.guard import find_unexplained
from simulator.forward.protocols import Known
from simulator.forward.state import State
from simulator.market.bars import instant, moment
from simulator.market.calendar import NEW_YORK
from simulator.trading.model import BrokerFill, Target
from simulator.trading.orders import Origin
from simulator.trading.schedule import Point

from .conftest import Market, trading
from .sessions import THURSDAY, TUESDAY, WEDNESDAY, MemoryFeed, Test

pytestmark = pytest.mark.medium

NIGHT, NOON, NEXT = "2024-06-05T04:00", "2024-06-05T12:00", "2024-06-06T06:00"


@dataclass
class Late:
    """Data that tell splits from an instant of the exchange's clock on."""

    market: Market
    feed: MemoryFeed
    told: str

    async def known_at(self, as_of: datetime) -> Known:
        now = moment(self.market.served.call(lambda exchange: exchange.now)).astimezone(NEW_YORK)
        feed = self.feed if f"{now:%Y-%m-%dT%H:%M}" >= self.told else replace(self.feed, splits=())
        return await feed.known_at(as_of)


def over_the_night(market: Market, folder: Path, ratio: float, told: str, last: date = THURSDAY) -> Test:
    """Hold half of an account in A at 100 dollars of the shares after Wednesday's split, with a stop 3 % below."""
    bracket = Target("A", 0.5005, stop=round(97.0 * ratio, 2), take_profit=round(120.0 * ratio, 2))
    test = Test(market, folder, {TUESDAY: [bracket]}, last, splits=[Split("A", WEDNESDAY, ratio)])
    test.script(f"at {NIGHT} split A {ratio}")
    session = test.open()
    session.feed = Late(market, session.feed, told)  # type: ignore[arg-type]
    asyncio.run(session.go())
    return test


def sent(test: Test) -> list[tuple[float, float | None]]:
    """Shares and price of every stop there ever was."""
    orders = test.market.orders(test.sessions[-1].traders[0].broker)  # type: ignore[arg-type]
    return [(one.qty, one.stop_price) for one in orders if one.kind == "stop"]


@pytest.mark.fault(
    "services",
    "a split is told late, at noon or a day after",
    "exits are withdrawn, nothing is decided or booked; then all of it in the new shares",
)
@pytest.mark.parametrize(
    ("ratio", "told"), [(0.1, NIGHT), (0.1, NOON), (10.0, NEXT)], ids=["reverse", "reverse, at noon", "a day late"]
)
def test_exits_follow_a_split_whenever_it_is_told_and_none_is_ever_for_other_shares(
    tmp_path: Path, ratio: float, told: str
) -> None:
    with trading([100.0] * 5) as market:
        test = over_the_night(market, tmp_path, ratio, told)
        old, new = (5004.0, 9.7) if ratio < 1.0 else (50.0, 970.0), 500.0
        assert test.held() == pytest.approx(old[0] * ratio)
        assert sent(test) == [old, (new, 97.0)]
        assert test.exits() == [("limit", 120.0, new), ("stop", 97.0, new)]
    rows = [one for one in test.events("session") if "equity" in one]
    assert [(one["session"], round(one["equity"], 6)) for one in rows] == [
        ("2024-06-04", 100_000.0), ("2024-06-05", 100_000.0), ("2024-06-06", 100_000.0)
    ]  # fmt: skip
    decided = [round(one["book"]["equity"], 6) for one in test.events("intent")]
    assert decided == [100_000.0] * (2 if told == NEXT else 3), "on what is known when it is decided"
    left = [one["left"] for one in test.events("point")]
    assert left == [[], [] if told == NIGHT else ["COUNCIL"], []]
    missed = test.alerts("point missed")
    assert [text.partition(": ")[2] for text in missed] == (["its shares were in doubt"] if told == NEXT else [])
    doubts = test.alerts("position unprotected")
    fraction = ["0.4 A: exits are for whole shares alone"] if ratio < 1.0 else []
    assert [one for one in doubts if "no fill says why" not in one] == fraction
    assert len(doubts) - len(fraction) == (told != NIGHT)
    assert bool(test.alerts("books differ")) == (told != NIGHT)


def test_a_split_that_nobody_tells_leaves_an_account_without_exits_decisions_and_rows(tmp_path: Path) -> None:
    with trading([100.0] * 5) as market:
        test = over_the_night(market, tmp_path, 10.0, "never", WEDNESDAY)
        assert (test.held(), test.exits(), sent(test)) == (500.0, [], [(50.0, 970.0)])
    assert [one["session"] for one in test.events("session") if "equity" in one] == ["2024-06-04"]
    assert test.events("stopped")[0]["why"] == "the end of 2024-06-05; not booked: 2024-06-05"
    (said,) = test.alerts("position unprotected")
    assert "A: 50 in the books, 500 at the broker" in said
    assert "splits.csv of the test" in said


def test_an_account_without_the_symbol_does_not_order_it_while_another_doubts_its_shares(tmp_path: Path) -> None:
    with trading([100.0] * 5) as market:
        bracket = [Target("A", 0.5, stop=970.0, take_profit=1200.0)]
        plan, split = {TUESDAY: bracket, WEDNESDAY: [*bracket, Target("B", 0.1)]}, Split("A", WEDNESDAY, 10.0)
        test = Test(market, tmp_path, plan, WEDNESDAY, names=("COUNCIL", "LATER"), splits=[split])
        key = f"KEY-LATER-{tmp_path.name}"
        test.script(f"trading-blocked {key}", f"at {NIGHT} trading-blocked {key} chance=0", f"at {NIGHT} split A 10")
        session = test.open()
        session.feed = Late(market, session.feed, NEXT)  # type: ignore[arg-type]
        asyncio.run(session.go())
        holds, later = (market.orders(one.broker) for one in session.traders)  # type: ignore[arg-type]
        assert {one.symbol for one in holds} == {"A"}
        assert [(one.symbol, one.qty, one.status) for one in later] == [("B", 200.0, "filled")]
    (told,) = test.alerts("order refused")
    assert told == "A: the broker of COUNCIL has other shares of it than the books"


@pytest.mark.fault(
    "services", "a sale waits over the night of a split", "it is withdrawn, being for other shares; exits are back"
)
def test_a_sale_that_waits_over_the_night_of_a_split_is_withdrawn(tmp_path: Path) -> None:
    with trading([100.0] * 5) as market:
        none = [Target("A", 0.0)]
        plan = {TUESDAY: [Target("A", 0.5, stop=970.0, take_profit=1200.0)], WEDNESDAY: none, THURSDAY: none}
        closing, split = Point("close", time(16), "daily", always=True), Split("A", THURSDAY, 10.0)
        test = Test(market, tmp_path, plan, THURSDAY, splits=[split], points=(closing,))
        test.script("at 2024-06-06T04:00 split A 10")
        (trader,) = test.play().traders
        orders = market.orders(trader.broker)  # type: ignore[arg-type]
        sales = [(one.qty, one.status) for one in orders if one.kind == "market" and one.side == "sell"]
        assert sales == [(50.0, "canceled"), (500.0, "accepted")]
        assert sent(test) == [(50.0, 970.0), (500.0, 97.0)]
    assert test.alerts("order refused") == ["an order on A is withdrawn: its symbol was split"]


def test_a_split_multiplies_what_was_held_before_it_and_exits_decided_by_its_close() -> None:
    def at(day: date, hour: int) -> int:
        return instant(datetime.combine(day, time(hour), NEW_YORK))

    state = State(Origin("r", "COUNCIL"))
    for n, (day, quantity) in enumerate(((TUESDAY, 50.0), (WEDNESDAY, 100.0))):
        state.take_fill(BrokerFill(f"f{n}", "", "A", at(day, 10), quantity, 100.0))
    state.apply("forward.split", {"symbol": "A", "session": str(WEDNESDAY), "ratio": 10.0})
    assert state.shares == {"A": 600.0}


def test_shares_are_doubted_a_share_apart_on_the_same_side() -> None:
    theirs = {"A": 500.0, "B": 50.0, "C": 5.0, "D": -5.0}
    found = find_unexplained({"A": 50.0, "B": 50.4, "C": -5.0, "D": -50.0, "E": 7.0}, theirs, ["D"])
    assert [*found] == ["A"]
