"""However a loop ends and whatever is thrown: no position without its exits, no entry that was stopped."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from simulator.errors import SimError
from simulator.forward.session import Session
from simulator.forward.switches import PAUSE, STOP, reset, throw
from simulator.forward.watch import StoppedError, Watch
from simulator.market.calendar import NEW_YORK
from simulator.trading.model import Target
from simulator.workspace import Workspace

from .conftest import Market, trading
from .sessions import TUESDAY, WEDNESDAY, Test

pytestmark = pytest.mark.medium

LONG = Target("A", 0.5, stop=97.0, take_profit=120.0)
FLIP = Target("A", -0.3, stop=104.0, take_profit=80.0)
EXITS = [("limit", 120.0, 500.0), ("stop", 97.0, 500.0)]


@pytest.fixture
def flat() -> Iterator[Market]:
    with trading([100.0] * 5) as market:
        yield market


def at_wednesday(session: Session, do: Callable[[], None]) -> None:
    """Have `do` done once, between the orders of Wednesday's meeting and the open."""
    sleep, done = session.clock.sleep_until, []

    async def until(at: datetime, busy: bool = False) -> None:
        if at.astimezone(NEW_YORK).date() == WEDNESDAY and session.traders[0].state.open_ids and not done:
            done.append(at)
            do()  # and looked at before the open
        else:
            await sleep(at, busy)

    object.__setattr__(session.clock, "sleep_until", until)


def asked_to_stop(session: Session) -> None:
    assert session.watch is not None
    session.watch.stop_asked = "SIGTERM"


def broken() -> None:
    raise RuntimeError("a fault of the program")


@pytest.mark.fault("machine", "the loop ends before the open, exits released", "the sale is withdrawn, exits put anew")
@pytest.mark.parametrize("way", ["kill switch", "SIGTERM", "fault"])
def test_a_loop_that_ends_before_the_open_leaves_its_positions_with_their_exits(
    flat: Market, tmp_path: Path, way: str
) -> None:
    test = Test(flat, tmp_path, {TUESDAY: [LONG], WEDNESDAY: [FLIP]}, WEDNESDAY)
    session, workspace = test.open(), Workspace(tmp_path, tmp_path)
    do = {
        "kill switch": lambda: throw(workspace, STOP, "enough"),
        "SIGTERM": lambda: asked_to_stop(session),
        "fault": broken,
    }[way]
    at_wednesday(session, do)  # type: ignore[arg-type]
    with pytest.raises((StoppedError, RuntimeError)):
        asyncio.run(session.go())
    assert (test.held(), test.exits()) == (500.0, EXITS)
    reset(workspace, STOP)
    test.play()  # what was withdrawn is planned anew; what somebody killed is not
    assert test.held() == (500.0 if way == "kill switch" else -300.0)
    assert len(test.exits()) == 2


@pytest.mark.fault("answers", "no answer to what a restarted loop asks anew", "its orders are given up, exits stay")
def test_what_would_be_planned_anew_without_an_answer_is_given_up_and_exits_stay(flat: Market, tmp_path: Path) -> None:
    test = Test(flat, tmp_path, {TUESDAY: [LONG], WEDNESDAY: [FLIP]}, WEDNESDAY)
    session = test.open(unanswered=lambda *_: False)
    at_wednesday(session, lambda: asked_to_stop(session))
    with pytest.raises(StoppedError):
        asyncio.run(session.go())
    test.play(unanswered=lambda *_: True)
    assert (test.held(), test.exits()) == (500.0, EXITS)
    assert test.alerts("decision failed") == ["not planned anew: the service answers with nothing"]


@pytest.mark.fault("services", "the broker is down as the loop ends, exits released", "an alert")
def test_exits_that_could_not_be_put_anew_are_said(flat: Market, tmp_path: Path) -> None:
    test = Test(flat, tmp_path, {TUESDAY: [LONG], WEDNESDAY: [FLIP]}, WEDNESDAY)
    session = test.open()

    def stop() -> None:
        asked_to_stop(session)
        test.script("503")

    at_wednesday(session, stop)
    with pytest.raises(SimError):
        asyncio.run(session.go())
    assert "exits may be missing" in test.alerts("position unprotected")[0]


def test_the_kill_switch_that_is_thrown_while_they_deliberate_stops_the_orders_of_that_point(
    flat: Market, tmp_path: Path
) -> None:
    test = Test(flat, tmp_path, {TUESDAY: [LONG]}, TUESDAY)
    session = test.open()
    deliberate = session._deliberate

    async def deliberated(at: datetime, name: str) -> object:
        throw(Workspace(tmp_path, tmp_path), STOP, "enough")
        return await deliberate(at, name)

    session._deliberate = deliberated  # type: ignore[method-assign,assignment]
    with pytest.raises(StoppedError, match="enough"):
        asyncio.run(session.go())
    assert test.events("intent") == []


@pytest.mark.fault("machine", "the kill switch is thrown between two orders of a point", "the second is not sent")
def test_the_kill_switch_is_looked_at_before_every_order(flat: Market, tmp_path: Path) -> None:
    test = Test(flat, tmp_path, {TUESDAY: [Target("A", 0.2), Target("B", 0.2)]}, TUESDAY)
    session = test.open()
    broker = session.traders[0].broker
    submit, sent = broker.submit, []

    async def once(ticket: object) -> object:
        sent.append(ticket)
        throw(Workspace(tmp_path, tmp_path), STOP, "enough")
        return await submit(ticket)  # type: ignore[arg-type]

    broker.submit = once  # type: ignore[method-assign,assignment]
    with pytest.raises(StoppedError, match="enough"):
        asyncio.run(session.go())
    assert len(sent) == 1
    assert [one for one in test.market.orders(broker) if one.is_open] == []  # type: ignore[arg-type]
    assert len(test.alerts("kill switch")) == 1


@pytest.mark.fault("machine", "a pause is thrown while entries wait for the open", "they are given up, exits go")
def test_entries_that_wait_for_the_open_are_given_up_where_it_is_paused_before(flat: Market, tmp_path: Path) -> None:
    entry = Target("B", 0.1, stop=47.0, take_profit=60.0)
    test = Test(flat, tmp_path, {TUESDAY: [LONG], WEDNESDAY: [FLIP, entry]}, WEDNESDAY)
    session = test.open()
    at_wednesday(session, lambda: throw(Workspace(tmp_path, tmp_path), PAUSE, "by hand") and None)
    asyncio.run(session.go())
    assert (test.held("A"), test.held("B")) == (0.0, 0.0)
    given_up = [one for one in test.events("order") if one["state"] == "given up"]
    assert sorted((one["symbol"], one["why"]) for one in given_up) == [
        ("A", "paused: by hand"),
        ("B", "paused: by hand"),
    ]


@pytest.mark.fault("disk", "the log cannot be written at the start of a loop", "it starts and says so")
def test_a_loop_starts_where_its_log_cannot_be_written(flat: Market, tmp_path: Path) -> None:
    (tmp_path / "logs").write_text("a file")
    test = Test(flat, tmp_path, {TUESDAY: [LONG]}, TUESDAY)
    test.play()
    assert test.held() == 500.0
    assert any(one.startswith("the log: ") for one in test.alerts("disk"))


@pytest.mark.fault("answers", "a council comes to no decision in a forward test", "an alert, and the point says so")
def test_a_meeting_without_a_decision_is_told_and_on_record(flat: Market, tmp_path: Path) -> None:
    test = Test(flat, tmp_path, {}, TUESDAY)
    session, said = test.open(), "chairman: no decision that could be used"
    object.__setattr__(session.strategy, "minutes", lambda _opinion: {"no_decision": said})
    asyncio.run(session.go())
    assert [one["why"] for one in test.events("point")] == [said]
    assert said in test.alerts("decision failed")[0]


@pytest.mark.fault(
    "machine", "a kill between the release of exits and the order they were released for", "exits first, then the order"
)
def test_a_loop_killed_with_its_position_bare_protects_it_before_it_orders(flat: Market, tmp_path: Path) -> None:
    class KilledError(BaseException):
        """A process that is gone."""

    more = Target("A", 0.8, stop=97.0, take_profit=120.0)
    test = Test(flat, tmp_path, {TUESDAY: [LONG], WEDNESDAY: [more]}, WEDNESDAY)
    session = test.open()
    broker: Any = session.traders[0].broker
    release = broker.release

    async def gone(*_: object) -> None:
        raise KilledError

    async def killed(symbol: str) -> None:
        await release(symbol)
        broker._line._once, session.watch = gone, None
        raise KilledError

    broker.release = killed
    with pytest.raises(KilledError):
        asyncio.run(session.go())
    assert (test.held(), test.exits()) == (500.0, [])
    again = test.open()
    broker, done = again.traders[0].broker, list[Any]()
    submit, protect = broker.submit, broker.protect

    async def submitted(ticket: Any) -> Any:
        done.append(("order", test.exits()))
        return await submit(ticket)

    async def protected(*words: Any) -> Any:
        shares = await protect(*words)
        done.append(("exits", test.exits()))
        return shares

    broker.submit, broker.protect = submitted, protected
    asyncio.run(again.go())
    assert done[:2] == [("exits", EXITS), ("order", [])]
    assert test.exits() == [("limit", 120.0, 800.0), ("stop", 97.0, 800.0)]
    assert test.alerts("order refused", "position unprotected", "books differ") == []


@pytest.mark.fault("disk", "the store takes nothing more while a loop ends", "exits stand, and people are told")
def test_a_store_that_fails_does_not_keep_the_end_from_being_told(flat: Market, tmp_path: Path) -> None:
    test = Test(flat, tmp_path, {TUESDAY: [LONG]}, WEDNESDAY)
    session = test.open()
    sent = list[str]()
    assert session.watch is not None
    channels = {"list": lambda _run, alert: sent.append(alert.line())}
    session.watch = Watch(session.watch.workspace, test.settings, session.watch.watched, session.record, channels)
    append = session.store.append

    def full(run: str, new: Any, *more: Any) -> Any:
        if session.traders[0].state.shares:
            raise SimError("database or disk is full")
        return append(run, new, *more)

    session.store.append = full  # type: ignore[method-assign]
    with pytest.raises(SimError, match="is full"):
        asyncio.run(session.go())
    assert sent[-1].startswith("stopped: ")
    assert test.exits() == EXITS
