"""Rows of a session whose end fell into an outage: they are made good, and are those of a session without one."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from simulator.errors import DataError
from simulator.forward.protocols import Feed, Known
from simulator.forward.session import Session
from simulator.market.bars import instant, moment
from simulator.market.calendar import NEW_YORK
from simulator.trading.model import Target

from .conftest import OPENS, Market, trading
from .sessions import THURSDAY, TUESDAY, WEDNESDAY, Conducted, Test

pytestmark = pytest.mark.medium

BRACKET = Target("A", 0.5, stop=97.0, take_profit=120.0)
DAYS = ["2024-06-04", "2024-06-05", "2024-06-06"]
THEIRS = ("broker_equity", "broker_cash", "unexplained")


@dataclass
class Outage:
    """A feed that does not answer from one instant of the exchange's clock to another."""

    market: Market
    feed: Feed
    since: str
    until: str

    async def known_at(self, as_of: datetime) -> Known:
        now = moment(self.market.served.call(lambda exchange: exchange.now)).astimezone(NEW_YORK)
        if self.since <= f"{now:%Y-%m-%dT%H:%M}" < self.until:
            raise DataError("HTTP 503", mend="it is asked again")
        return await self.feed.known_at(as_of)


def down(test: Test, since: str, until: str, account: str = "") -> Session:
    """Open `test` with an outage of one account, or of all of them and the bars."""
    session = test.open()
    of = f" account=KEY-{account}-{test.folder.name}" if account else ""
    test.script(f"at {since} 503=1{of}", f"at {until} 503=0{of}")
    if not account:
        session.feed = Outage(test.market, session.feed, since, until)
    return session


def rows(test: Test, account: str = "COUNCIL") -> list[Mapping[str, Any]]:
    stored = test.sessions[-1].store.of_forward(test.sessions[-1].run)
    return [one.event.payload for one in stored if one.event.kind == "forward.session" and one.event.account == account]


def own(test: Test, account: str = "COUNCIL") -> list[dict[str, Any]]:
    """Rows without what the broker stated; ids of fills are an exchange's own."""
    found = []
    for one in rows(test, account):
        mine = {name: value for name, value in one.items() if name not in THEIRS}
        found.append(mine | {"references": sorted(one["references"].values())})
    return found


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[dict[str, Any]]]:
    """Rows of a test to which nothing happened."""
    with trading(OPENS) as market:
        test = Test(market, tmp_path_factory.mktemp("undisturbed"), {TUESDAY: [BRACKET]}, THURSDAY)
        test.play()
        yield own(test)


@pytest.mark.fault(
    "services", "broker and bars are down at the end of a session", "its rows are made good when they are back"
)
@pytest.mark.parametrize(
    ("until", "reconciled"),
    [("2024-06-04T16:45", True), ("2024-06-04T22:00", False), ("2024-06-05T08:40", False)],
)
def test_an_outage_at_the_close_is_made_good_once_it_is_over(
    market: Market, tmp_path: Path, undisturbed: list[dict[str, Any]], until: str, reconciled: bool
) -> None:
    test = Test(market, tmp_path, {TUESDAY: [BRACKET]}, THURSDAY)
    asyncio.run(down(test, "2024-06-04T16:19", until).go())
    assert own(test) == undisturbed
    assert [one["session"] for one in test.events("session") if "inputs" in one] == DAYS
    assert [one["unexplained"] for one in rows(test)] == [0.0 if reconciled else None, 0.0, 0.0]
    assert [one["why"] for one in test.events("stopped")] == ["the end of 2024-06-06"]
    assert test.alerts("books differ", "position unprotected") == []
    assert any("no bars" in text for text in test.alerts("decision failed"))


def test_a_row_that_is_owed_when_the_loop_ends_is_made_good_by_the_next(
    market: Market, tmp_path: Path, undisturbed: list[dict[str, Any]]
) -> None:
    test = Test(market, tmp_path, {TUESDAY: [BRACKET]}, TUESDAY)
    asyncio.run(down(test, "2024-06-04T16:19", "2024-06-04T18:00").go())
    assert test.events("session") == []
    assert [one.name for one in test.sessions[0].evening.owed] == DAYS[:1]
    assert test.events("stopped")[0]["why"] == "the end of 2024-06-04; not booked: 2024-06-04"
    for test.last in (WEDNESDAY, THURSDAY):
        test.play()
    assert own(test) == undisturbed
    assert rows(test)[0]["broker_equity"] is None
    assert test.exits() == []
    assert test.alerts("books differ") == []


class KilledError(BaseException):
    """A process that is gone."""


@dataclass(frozen=True)
class Mortal(Conducted):
    """The exchange's clock; the loop dies instead of sleeping past an instant, and puts nothing on record then."""

    session: Session
    until: str

    async def sleep_until(self, at: datetime, busy: bool = False) -> None:
        if f"{at.astimezone(NEW_YORK):%Y-%m-%dT%H:%M}" > self.until:
            self.session.watch, self.session.traders = None, ()
            self.session._record = lambda *_: None  # type: ignore[method-assign]
            raise KilledError
        await super().sleep_until(at, busy)


@pytest.mark.fault(
    "machine", "a kill within an outage that lasts over a close", "the next start books the session, once for each"
)
@pytest.mark.parametrize(
    ("outage", "again", "account"),
    [
        ("2024-06-05T11:00", "2024-06-05T12:00", ""),
        ("2024-06-07T09:00", "2024-06-07T10:00", ""),
        ("2024-06-05T11:00", "2024-06-05T12:00", "A5"),
    ],
    ids=["next session", "after the last", "one account of two"],
)
def test_a_session_whose_loop_was_killed_in_an_outage_at_its_close_is_booked_by_the_next_start(
    market: Market, tmp_path: Path, undisturbed: list[dict[str, Any]], outage: str, again: str, account: str
) -> None:
    names = ("COUNCIL", "A5") if account else ("COUNCIL",)
    test = Test(market, tmp_path, {TUESDAY: [BRACKET]}, THURSDAY, names=names)
    session = down(test, "2024-06-04T16:19", outage, account)
    session.clock = Mortal(market, session, "2024-06-04T17:00")
    with pytest.raises(KilledError):
        asyncio.run(session.go())
    assert (len(test.events("stopped")), len(test.events("session"))) == (0, 2 if account else 0)
    market.served.advance(instant(datetime.fromisoformat(again).replace(tzinfo=NEW_YORK)))
    session = test.open()
    session.feed = Outage(market, session.feed, "2024-06-04T16:19", "" if account else outage)
    asyncio.run(session.go())
    for name in names:
        assert own(test, name) == undisturbed
    assert [one["session"] for one in test.events("session") if "inputs" in one] == DAYS
    assert test.alerts("books differ", "position unprotected") == []


def test_the_last_session_waits_for_its_row(market: Market, tmp_path: Path, undisturbed: list[dict[str, Any]]) -> None:
    test = Test(market, tmp_path, {TUESDAY: [BRACKET]}, TUESDAY)
    asyncio.run(down(test, "2024-06-04T16:19", "2024-06-04T16:45").go())
    assert own(test) == undisturbed[:1]
    assert rows(test)[0]["unexplained"] == 0.0
    assert test.events("stopped")[0]["why"] == "the end of 2024-06-04"


@pytest.mark.fault("services", "one account of six fails alone at a close", "the rows of the others are as ever")
@pytest.mark.parametrize(("others", "until"), [(5, "2024-06-04T16:45"), (1, "2024-06-05T17:00")])
def test_one_account_of_six_that_fails_alone_gets_its_rows_in_their_order(
    market: Market, tmp_path: Path, undisturbed: list[dict[str, Any]], others: int, until: str
) -> None:
    names = ("COUNCIL", "A1", "A2", "A3", "A4", "A5")[-others - 1 :]
    test = Test(market, tmp_path, {TUESDAY: [BRACKET]}, THURSDAY, names=names)
    session = down(test, "2024-06-04T16:19", until, "A5")
    asyncio.run(session.go())
    assert all(own(test, name) == undisturbed for name in names)
    stored = [one.event for one in session.store.of_forward(session.run) if one.event.kind == "forward.session"]
    first = [one.account for one in stored if one.payload["session"] == DAYS[0]]
    assert sorted(first[:others], key=str) == sorted(set(names) - {"A5"})
    assert first[others:] == [None, "A5"]
    assert test.alerts("broker unreachable")
    assert test.alerts("books differ") == []


def test_the_loss_of_a_day_is_counted_from_the_books_where_the_broker_stated_nothing(
    market: Market, tmp_path: Path
) -> None:
    test = Test(market, tmp_path, {TUESDAY: [BRACKET]}, TUESDAY)
    session = down(test, "2024-06-04T16:19", "2024-06-04T18:00")
    asyncio.run(session.go())
    test.last = WEDNESDAY
    session = test.open()
    session.resume()
    (trader,) = session.traders
    assert trader.morning == 100_000.0
    row = {"session": "2024-06-04", "equity": 91_000.0, "broker_equity": None}
    trader.state.apply("forward.session", row)
    assert trader.morning == 91_000.0
    trader.state.apply("forward.session", {"session": "2024-06-03", "equity": 1.0})  # made good later
    assert trader.morning == 91_000.0
