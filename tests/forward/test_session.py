"""A forward session: points, orders, fills, protection and books, at the rehearsal exchange over HTTP."""

from __future__ import annotations

import asyncio
from datetime import date
from pathlib import Path

import pytest

from simulator.forward.project import project
from simulator.forward.status import read_status
from simulator.trading.model import Target
from simulator.workspace import Workspace

from .conftest import Market, ticket
from .sessions import RUN, THURSDAY, TUESDAY, WEDNESDAY, Test


def test_a_bracket_from_the_decision_to_its_stop(market: Market, tmp_path: Path) -> None:
    # A opens at 101 on Tuesday and at 95 on Thursday: the stop at 97 fills there.
    test = Test(market, tmp_path, {TUESDAY: [Target("A", 0.5, stop=97.0, take_profit=120.0)]}, THURSDAY)
    session = test.play()
    (trader,) = session.traders
    assert [(one.symbol, one.quantity, one.price) for one in trader.fills] == [("A", 500.0, 101.0), ("A", -500.0, 95.0)]
    assert [one["state"] for one in test.events("point")] == ["done"] * 3
    assert not trader.state.shares
    assert not trader.state.protection
    days = [one for one in test.events("session") if "equity" in one]
    assert [one["equity"] for one in days] == [100_000.0, 100_500.0, 97_000.0]
    assert [one["broker_equity"] for one in days] == [one["equity"] for one in days]
    assert [one["unexplained"] for one in days] == [0.0] * 3
    assert test.alerts("books differ", "position unprotected", "order refused") == []


@pytest.mark.parametrize(("first", "taken_on"), [(101.5, TUESDAY), (102.5, WEDNESDAY)])
def test_what_has_left_in_parts_is_known_after_a_restart(
    market: Market, tmp_path: Path, first: float, taken_on: date
) -> None:
    """The entry is one order, for exits of a part would refuse a second; what fills is divided at once."""
    target = Target("A", 0.501, stop=97.0, take_profit=120.0, exits=((0.5, first),))
    test = Test(market, tmp_path, {TUESDAY: [target]}, TUESDAY)
    half, rest = [("limit", first, 250.0), ("stop", 97.0, 250.0)], [("limit", 120.0, 251.0), ("stop", 97.0, 251.0)]
    for test.last in (TUESDAY, WEDNESDAY):
        (trader,) = test.play().traders
        gone = taken_on <= test.last
        assert test.exits() == sorted(rest if gone else half + rest)
        assert trader.state.shares == {"A": test.held()} == {"A": 251.0 if gone else 501.0}
        assert trader.state.protection["A"].taken == (250.0 if gone else 0.0)
    test.last = THURSDAY  # opens at 95, below the stop
    (trader,) = test.play().traders
    assert [(one.quantity, one.price) for one in trader.fills] == [
        (501.0, 101.0), (-250.0, first), (-251.0, 95.0),
    ]  # fmt: skip
    assert (test.held(), test.exits(), trader.state.protection) == (0.0, [], {})
    assert test.alerts("books differ", "position unprotected", "order refused") == []


def test_a_session_that_has_ended_does_nothing_when_it_is_started_again(market: Market, tmp_path: Path) -> None:
    test = Test(market, tmp_path, {TUESDAY: [Target("A", 0.5)], WEDNESDAY: [Target("A", -0.5)]})
    first = test.play()
    count, fills = len(market.orders(first.traders[0].broker)), first.traders[0].fills  # type: ignore[arg-type]
    again = test.play()
    assert again.traders[0].fills == fills
    assert again.traders[0].journal == first.traders[0].journal
    assert len(market.orders(again.traders[0].broker)) == count  # type: ignore[arg-type]
    assert [one["state"] for one in test.events("point")] == ["done"] * 2


def test_edge_17_a_flip_is_two_orders_the_second_after_the_first_has_filled(market: Market, tmp_path: Path) -> None:
    test = Test(market, tmp_path, {TUESDAY: [Target("A", 0.5)], WEDNESDAY: [Target("A", -0.5, stop=115.0)]})
    (trader,) = test.play().traders
    quantities = [one.quantity for one in trader.fills]
    assert quantities[:2] == [500.0, -500.0]
    assert quantities[2] < 0.0
    assert trader.state.shares == {"A": quantities[2]}
    assert market.held(trader.broker) == quantities[2]  # type: ignore[arg-type]
    exits = [one for one in market.orders(trader.broker) if one.is_open]  # type: ignore[arg-type]
    assert [(one.kind, one.stop_price, one.qty) for one in exits] == [("stop", 115.0, -quantities[2])]


@pytest.mark.fault(
    "disk", "a forward loop is killed at any request", "store and broker are read, no order twice, none lost"
)
@pytest.mark.medium
@pytest.mark.parametrize("count", [1, 8, 13, 24, 33, 40, 57])
def test_a_session_killed_at_any_request_goes_on_without_a_second_order(
    market: Market, tmp_path: Path, count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    class KilledError(BaseException):
        """A process that is gone: nothing below catches it."""

    plan = {
        TUESDAY: [Target("A", 0.5, stop=97.0, take_profit=120.0), Target("B", 0.3)],
        WEDNESDAY: [Target("A", -0.2, stop=115.0), Target("B", 0.1)],
    }
    test = Test(market, tmp_path, plan)
    session = test.open()
    left = [count]
    for trader in session.traders:
        line = trader.broker._line  # type: ignore[attr-defined]
        once = line._once

        async def dying(call: object, once: object = once) -> object:
            left[0] -= 1
            if left[0] < 0:
                raise KilledError
            answer = await once(call)  # type: ignore[operator]
            if left[0] == 0 and count % 8 == 0:
                raise KilledError
            return answer

        monkeypatch.setattr(line, "_once", dying)
    try:
        asyncio.run(session.go())
    except KilledError:
        monkeypatch.undo()
        session.watch = None
        session = test.play()
    (trader,) = session.traders
    assert len({one.client_order_id for one in trader.fills}) == len(trader.fills) == 5
    assert trader.state.shares == {"A": -198.0, "B": 198.0}
    assert {one: market.held(trader.broker, one) for one in ("A", "B")} == trader.state.shares  # type: ignore[arg-type]
    (stop,) = [one for one in market.orders(trader.broker) if one.is_open]  # type: ignore[arg-type]
    assert (stop.symbol, stop.stop_price, stop.qty) == ("A", 115.0, 198.0)
    assert test.alerts("books differ", "order refused", "position unintended") == []


def test_what_one_account_raises_comes_after_the_others_are_done(
    market: Market, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    test = Test(market, tmp_path, {TUESDAY: [Target("A", 0.5)]}, TUESDAY, names=("FIRST", "SECOND"))
    session = test.open()
    first, second = session.traders

    def broken(*_: object) -> None:
        raise RuntimeError("a bug")

    monkeypatch.setattr(first, "record_intent", broken)
    with pytest.raises(RuntimeError, match="a bug"):
        asyncio.run(session.go())
    assert [one["state"] for one in test.events("order")] == ["open"]
    assert len(market.orders(second.broker)) == 1  # type: ignore[arg-type]


@pytest.mark.fault("services", "another test has orders in the account", "external: in the books, told, left as it is")
def test_an_order_of_another_test_is_not_ours_though_its_id_looks_alike(market: Market, tmp_path: Path) -> None:
    test = Test(market, tmp_path, {TUESDAY: [Target("A", 0.5, stop=90.0)]}, TUESDAY)
    session = test.open()
    other = market.account(key=f"KEY-COUNCIL-{tmp_path.name}")
    asyncio.run(other.submit(ticket(3.0, "B", kind="limit", limit=10.0, time_in_force="gtc")))
    asyncio.run(session.go())
    assert [one.status for one in market.orders(other) if one.symbol == "B"] == ["new"]
    assert test.alerts("external order") == ["an order on B is not ours: it is left as it is"]
    assert test.exits() == [("stop", 90.0, 500.0)]
    assert test.alerts("order refused", "position unprotected") == []


def test_requests_and_those_that_failed_are_on_record_by_session(market: Market, tmp_path: Path) -> None:
    test = Test(market, tmp_path, {TUESDAY: [Target("A", 0.5)]}, WEDNESDAY)
    session = test.open()
    with market.fault("503", on="GET /v2/positions", times=2):
        asyncio.run(session.go())
    ends = [one.payload for one in (stored.event for stored in session.store.of_forward(RUN))
            if one.kind == "forward.session" and one.account is None]  # fmt: skip
    assert [one["failed"] for one in ends] == [2, 0]
    assert sum(one["requests"] for one in ends) <= session.traders[0].broker.traffic[0]
    rows = project(RUN, session.store.of_forward(RUN)).sessions
    assert [(one.requests, one.failed) for one in rows] == [(one["requests"], one["failed"]) for one in ends]


def test_an_order_rejected_late_is_one_failure_also_after_a_restart(market: Market, tmp_path: Path) -> None:
    test = Test(market, tmp_path, {TUESDAY: [Target("A", 0.5)]}, TUESDAY)
    session = test.open()
    with market.fault("order-rejected", on="entry", times=1):
        asyncio.run(session.go())
    test.last = WEDNESDAY
    test.play()
    assert [one["state"] for one in test.events("order")][-1] == "rejected"
    assert [one["failed"] for one in test.events("session") if "failed" in one] == [1, 0]


def test_an_update_of_the_program_between_two_starts_is_one_sentence_on_record(market: Market, tmp_path: Path) -> None:
    test = Test(market, tmp_path, {TUESDAY: [Target("A", 0.5)]})
    old, new = ({"version": "1.0", "digest": digit * 64, "commit": digit * 40, "dirty": False} for digit in "ab")
    for program, test.last in ((old, TUESDAY), (old, TUESDAY), (new, WEDNESDAY)):
        session = test.open()
        session.program = program
        asyncio.run(session.go())
    (told,) = test.alerts("program changed")
    was = f"1.0 (commit {'a' * 10}, sources {'a' * 10})"
    assert told.startswith(f"the program was changed from {was} to 1.0 (commit {'b' * 10}, ")
    record = project(RUN, session.store.of_forward(RUN))
    assert record.programs == (f"2024-06-04: {told}",)
    spans = [(one.name, one.first, one.last, one.sessions) for one in record.spans]
    assert spans == [(was, "2024-06-04", "2024-06-04", 1), (was.replace("a" * 10, "b" * 10), *["2024-06-05"] * 2, 1)]
    ((status,),) = [read_status(Workspace(tmp_path, tmp_path), session.store)]
    assert list(status.programs) == [f"2024-06-04: {told}"]
