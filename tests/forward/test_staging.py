"""Orders that wait for a person, on an exchange: its books hold what was approved, and nothing else."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from simulator.errors import BrokerError
from simulator.forward.approvals import answer, fold, read_approvals
from simulator.forward.market_data import Quote
from simulator.forward.project import project
from simulator.forward.quotes import QuotesOfWaiting
from simulator.forward.review import review
from simulator.forward.session import Session
from simulator.forward.settings import Forward
from simulator.forward.staging import Staging
from simulator.forward.state import State
from simulator.forward.switches import STOP, read_heartbeats, reset, throw
from simulator.forward.watch import StoppedError
from simulator.rehearsal.answers import answer_by_script, parse_answers
from simulator.rehearsal.approved import find_questions
from simulator.rehearsal.difference import Difference
from simulator.rehearsal.own_records import OwnRecords
from simulator.store.events import Event
from simulator.trading.model import Target
from simulator.trading.orders import Origin

from .conftest import Market, trading
from .sessions import RUN, TUESDAY, WEDNESDAY, Plan, Test
from .test_endings import asked_to_stop, at_wednesday

BUY: Plan = {TUESDAY: (Target("A", 0.1, stop=90.0), Target("B", 0.1))}
B = Target("B", 0.1, stop=40.0)
REQUIRED = Forward(approval="required")


def opened(market: Market, folder: Path, plan: Plan, lines: Sequence[str], **more: Any) -> Test:
    test = Test(market, folder, plan, settings=more.pop("settings", REQUIRED), **more)
    test.more = {"answering": partial(answer_by_script, parse_answers(lines))}
    session = test.open()
    session.store.append(RUN, [Event("forward.started", None, None, {"rehearsed": True})])
    return test


def sent(test: Test, market: Market) -> list[tuple[str, float]]:
    """Symbol and shares of every order the exchange got, exits left out."""
    orders = market.orders(test.sessions[-1].traders[0].broker)  # type: ignore[arg-type]
    return sorted((one.symbol, one.qty) for one in orders if one.kind != "stop")


def states(test: Test) -> dict[str, str]:
    return {one.symbol: one.state for one in read_approvals(test.sessions[-1].store, RUN)}


def test_nothing_waits_where_nobody_is_asked(market: Market, tmp_path: Path) -> None:
    test = opened(market, tmp_path, BUY, (), settings=Forward())
    test.play()
    assert states(test) == {}
    assert sent(test, market) == [("A", 100.0), ("B", 200.0)]


def test_approve_and_reject_decide_what_is_ordered(market: Market, tmp_path: Path) -> None:
    test = opened(market, tmp_path, BUY, ["* A approve", "2024-06-04 B reject too crowded"])
    test.play()
    assert states(test) == {"A": "approved", "B": "rejected"}
    assert sent(test, market) == [("A", 100.0)]
    assert test.held("A") == 100.0
    assert test.held("B") == 0.0
    assert test.exits() == [("stop", 90.0, 100.0)]
    record = project(RUN, test.sessions[-1].store.of_forward(RUN))
    assert {one.symbol: one.state for one in record.orders} == {"A": "filled", "B": "declined"}
    (given_up,) = [one for one in test.events("order") if one["state"] == "given up"]
    assert given_up["why"] == "rejected by script: too crowded"


def test_a_change_of_size_limit_and_stop_is_what_is_ordered(market: Market, tmp_path: Path) -> None:
    test = opened(market, tmp_path, BUY, ["* A modify quantity=40 limit=105 stop=95", "* B modify scale=0.5"])
    test.play()
    assert sent(test, market) == [("A", 40.0), ("B", 100.0)]
    assert test.exits() == [("stop", 95.0, 40.0)]
    (order,) = [one for one in test.events("order") if one["symbol"] == "A" and one["state"] == "filled"][:1]
    assert order["filled"] == 40.0


def test_what_nobody_answers_is_not_traded(market: Market, tmp_path: Path) -> None:
    test = opened(market, tmp_path, BUY, ["* A wait"])
    test.play()
    assert states(test) == {"A": "expired", "B": "expired"}
    assert sent(test, market) == []
    assert all("09:27" in one for one in test.alerts("approval asked", "approval expired"))


def test_exits_and_stops_never_wait(market: Market, tmp_path: Path) -> None:
    plan: Plan = {
        TUESDAY: (Target("A", 0.1, stop=90.0), Target("B", 0.1)),
        WEDNESDAY: (Target("A", 0.2, stop=93.0), Target("B", 0.0)),
    }
    test = opened(market, tmp_path, plan, ["2024-06-04 * approve"])
    test.play()
    assert test.held("B") == 0.0, "what closes goes at once"
    assert test.held("A") == 100.0, "what enlarges waited, and nobody answered"
    assert test.exits() == [("stop", 93.0, 100.0)], "the new stop did not wait"


def test_a_part_of_the_orders_waits_above_a_share(market: Market, tmp_path: Path) -> None:
    plan: Plan = {TUESDAY: (Target("A", 0.04), Target("B", 0.1))}
    test = opened(market, tmp_path, plan, (), settings=Forward(approval="above 5 %"))
    test.play()
    assert states(test) == {"B": "expired"}
    assert sent(test, market) == [("A", 40.0)]


def test_a_loop_that_ends_while_a_trade_waits_goes_on(market: Market, tmp_path: Path) -> None:
    test = opened(market, tmp_path, BUY, ())

    async def end(_: Staging) -> bool:
        raise StoppedError("somebody asked for it")

    with pytest.raises(StoppedError):
        test.play(answering=end)
    store = test.sessions[-1].store
    assert states(test) == {"A": "waiting", "B": "waiting"}
    first = read_approvals(store, RUN)
    answer(store, first[0].id, first[0].version, "ann", "approve")
    test.play()
    assert [one.version for one in read_approvals(store, RUN)] == [2, 2], "asked once, answered once"
    assert sent(test, market) == [("A", 100.0)]


def test_a_deadline_that_passes_while_the_loop_is_down_is_a_no(market: Market, tmp_path: Path) -> None:
    test = opened(market, tmp_path, BUY, ())

    async def end(_: Staging) -> bool:
        raise StoppedError("somebody asked for it")

    with pytest.raises(StoppedError):
        test.play(answering=end)
    market.open()
    test.play()
    assert states(test) == {"A": "expired", "B": "expired"}
    assert sent(test, market) == []


def test_the_kill_switch_ends_what_waits_at_once(market: Market, tmp_path: Path) -> None:
    test = opened(market, tmp_path, BUY, ())

    async def kill(_: Staging) -> bool:
        throw(workspace, STOP, "enough")
        return True

    watch = test.sessions[-1].watch
    assert watch is not None
    workspace = watch.workspace
    with pytest.raises(StoppedError):
        test.play(answering=kill)
    ended = read_approvals(test.sessions[-1].store, RUN)
    assert {(one.symbol, one.state, one.reason) for one in ended} == {
        (symbol, "expired", "the kill switch is thrown: enough") for symbol in "AB"
    }
    reset(workspace, STOP)
    test.play()
    assert sent(test, market) == [], "a start afterwards orders nothing of it"


def test_the_heartbeat_tells_the_prices_of_what_waits_or_is_held_and_of_nothing_else(
    market: Market, tmp_path: Path
) -> None:
    test, asked, told = opened(market, tmp_path, BUY, ()), [], []
    session = test.open()

    async def quote(symbols: Sequence[str]) -> dict[str, Quote]:
        asked.append(tuple(symbols))
        if len(asked) == 2:
            raise BrokerError("the prices do not answer")
        return {
            one: Quote(datetime(2024, 6, 4, 12, 46, tzinfo=UTC), 99.0, 101.0 if one == "B" else 0.0) for one in "AB"
        }

    async def look_on(staging: Staging) -> bool:
        assert session.watch is not None
        session.watch.look()
        (heart,) = read_heartbeats(session.watch.workspace)
        found = review(session.watch.workspace, staging.waiting)
        told.append({one.symbol: found[one.id].price for one in staging.waiting})
        assert heart.prices.keys() == told[-1].keys()
        return await answer_by_script(parse_answers(["* A approve"]), staging)

    session.answering, session.staging.quotes = look_on, QuotesOfWaiting(quote)
    asyncio.run(session.go())
    assert told == [{"A": 99.0, "B": 100.0}, {"B": 100.0}], "a price that cannot be asked for stays the last one known"
    assert asked[:2] == [("A", "B"), ("B",)]
    assert asked[2:], "of what is held, while the market is open"
    assert {*asked[2:]} == {("A",)}
    assert read_heartbeats(session.watch.workspace)[0].prices.keys() == {"A"}  # type: ignore[union-attr]


def test_risk_is_looked_at_again_by_the_price_of_the_moment_it_would_be_sent(market: Market, tmp_path: Path) -> None:
    test = opened(market, tmp_path, BUY, ["* * approve"])

    async def quote(symbols: Sequence[str]) -> dict[str, Quote]:
        return {one: Quote(datetime(2024, 6, 4, 13, 31, tzinfo=UTC), 3000.0, 3000.0) for one in symbols}

    test.play(quotes=quote)
    assert states(test)["A"] == "approved"
    assert test.held("A") == 0.0
    (given_up,) = [one for one in test.events("order") if one["state"] == "given up" and one["symbol"] == "A"]
    assert given_up["why"].startswith("max_weight")
    assert any("A was approved and not sent: max_weight" in one for one in test.alerts("order refused"))


def test_who_answers_for_more_of_a_position_sees_the_exits_of_all_of_it(market: Market, tmp_path: Path) -> None:
    plan: Plan = {TUESDAY: (Target("A", 0.1, stop=90.0),), WEDNESDAY: (Target("A", 0.3, stop=92.0, take_profit=150.0),)}
    test = opened(market, tmp_path, plan, ["* * approve"])
    test.play()
    first, more = read_approvals(test.sessions[-1].store, RUN)
    assert [one.sizes["COUNCIL"].whole for one in (first, more)] == [(None, None), (92.0, 150.0)]
    assert (first.sizes["COUNCIL"].stop, more.sizes["COUNCIL"].stop) == (90.0, None)
    assert {one.sizes["COUNCIL"].side for one in (first, more)} == {"buy"}


@pytest.mark.medium
@pytest.mark.parametrize(
    ("change", "shares", "stop"), [("quantity=40", 40.0, 40.0), ("quantity=260", 260.0, 40.0), ("stop=45", 200.0, 45.0)]
)
@pytest.mark.parametrize("fills_first", [True, False])
def test_what_was_changed_is_ordered_once_where_a_loop_ends_and_plans_anew(
    tmp_path: Path, change: str, shares: float, stop: float, fills_first: bool
) -> None:
    """B was to be 200 shares with a stop at 40: after the restart it must not become what was decided."""
    more = Target("A", 0.2, stop=93.0, **({"order": "limit", "limit": 98.0} if fills_first else {}))  # type: ignore[arg-type]
    plan = {TUESDAY: (Target("A", 0.1, stop=90.0),), WEDNESDAY: (more, B)}
    with trading([100.0] * 5) as market:
        test = opened(market, tmp_path, plan, ["* A approve", f"2024-06-05 B modify {change}"])
        session = test.open()
        if fills_first:
            once_it_holds("B", session, partial(asked_to_stop, session))
        else:
            at_wednesday(session, partial(asked_to_stop, session))
        with suppress(StoppedError):
            asyncio.run(session.go())
        assert (session.traders[0].state.shares.get("B", 0.0) == shares) == fills_first
        test.play()
        assert test.held("B") == shares
        orders = market.orders(test.sessions[-1].traders[0].broker)  # type: ignore[arg-type]
        assert [one.filled for one in orders if one.symbol == "B" and one.kind != "stop"] == [shares]
        assert [(one.qty, one.stop_price) for one in orders if one.symbol == "B" and one.status == "new"] == [
            (shares, stop)
        ]
        assert len([one for one in test.alerts("approval asked") if one.startswith("B")]) == 1


@pytest.mark.medium
@pytest.mark.parametrize(
    ("answer", "shares", "stop"), [("approve", 200.0, 40.0), ("modify quantity=40 stop=45", 40.0, 45.0)]
)
def test_the_rest_of_an_approved_trade_is_ordered_where_a_loop_ends_after_a_part_has_filled(
    tmp_path: Path, answer: str, shares: float, stop: float
) -> None:
    plan: Plan = {TUESDAY: (Target("A", 0.1, stop=90.0),), WEDNESDAY: (B,)}
    with trading([100.0] * 5) as market:
        test = opened(market, tmp_path, plan, ["* A modify scale=0.5", f"2024-06-05 B {answer}"])
        test.script("partial symbol=B times=1")
        session = test.open()
        once_it_holds("B", session, partial(asked_to_stop, session))
        with suppress(StoppedError):
            asyncio.run(session.go())
        assert session.traders[0].state.shares["B"] == shares / 2
        test.play()
        orders = [one for one in market.orders(test.sessions[-1].traders[0].broker) if one.symbol == "B"]  # type: ignore[arg-type]
        assert [one.filled for one in orders if one.kind != "stop"] == [shares / 2, shares / 2]
        assert [(one.qty, one.stop_price) for one in orders if one.status == "new"] == [(shares, stop)]
        assert len([one for one in test.alerts("approval asked") if one.startswith("B")]) == 1
        assert [*_differing_orders(test, 0.0)] == []
        assert [one.forward for one in _differing_orders(test, 1.0)] == [f"{shares / 2 + 1:g}"]


def _differing_orders(test: Test, more: float) -> Iterator[Difference]:
    """Yield what parity finds wrong with orders that were planned anew, had they been for so much more."""
    stored = test.sessions[-1].store.of_forward(RUN)
    for one in stored:
        for order in one.event.payload["orders"] if one.event.payload.get("revision") else ():
            order["quantity"] += more
    asked, state = find_questions(fold({}, stored).values(), "COUNCIL"), State(Origin(RUN, "COUNCIL"))
    own = OwnRecords("COUNCIL", test.sessions[-1].rules, 100_000.0, (), state, asked)
    own.read(one.event for one in stored)
    return own._check_orders()


def once_it_holds(symbol: str, session: Session, do: Callable[[], None]) -> None:
    """Have `do` done once the account holds some of `symbol`."""
    sleep, done = session.clock.sleep_until, []

    async def until(at: datetime, busy: bool = False) -> None:
        if session.traders[0].state.shares.get(symbol) and not done:
            done.append(at)
            do()
        else:
            await sleep(at, busy)

    object.__setattr__(session.clock, "sleep_until", until)
