"""Approvals by account: one that decides later is asked for itself, what had filled before is not counted twice, and of
what was approved nothing is lost without a word."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from simulator.errors import BrokerError
from simulator.forward.approvals import Staged, list_changed, read_approvals, read_outcomes
from simulator.forward.session import Session
from simulator.forward.staging import Staging, find_due
from simulator.forward.switches import PAUSE, throw
from simulator.forward.watch import StoppedError
from simulator.rehearsal.answers import answer_by_script, parse_answers
from simulator.trading.model import BrokerFill, Target

from .conftest import Market, trading
from .sessions import RUN, TUESDAY, WEDNESDAY, Plan, Test
from .test_endings import asked_to_stop, at_wednesday
from .test_staging import B, once_it_holds, opened

pytestmark = pytest.mark.medium

ONLY_B: Plan = {WEDNESDAY: (B,)}


def answer_in_turn(test: Test, *lines: str) -> list[int]:
    """Have what waits answered by the first of `lines`, what waits next by the second; returns how many were asked."""
    asked: list[int] = []

    async def answering(staging: Staging) -> bool:
        asked.append(len(asked))
        assert len(asked) < 20, "asked for ever"
        done = False if len(asked) > len(lines) else lines[len(asked) - 1] != "wait"
        return done and await answer_by_script(parse_answers([f"* * {lines[len(asked) - 1]}"]), staging)

    test.more = {"answering": answering}
    return asked


def cut_off(session: Session, name: str, until: Callable[[], bool]) -> None:
    """Have the broker of an account not answer on Wednesday before `until` is true."""
    (trader,) = [one for one in session.traders if one.name == name]
    broker: Any = trader.broker
    account = broker.account

    async def cut() -> Any:
        if session._now().date() == WEDNESDAY and not until():
            raise BrokerError("no route to the broker")
        return await account()

    broker.account = cut


def held(test: Test, market: Market) -> list[float]:
    return [market.held(one.broker, "B") for one in test.sessions[-1].traders]  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("lines", "shares", "changed", "stop"),
    [
        (("approve", "approve"), [200.0, 200.0], [], 40.0),
        (("approve", "wait"), [200.0, 0.0], ["Y"], 40.0),
        (("approve", "reject not in Y"), [200.0, 0.0], ["Y"], 40.0),
        (("reject not in X", "approve"), [0.0, 200.0], ["X"], 40.0),
        (("modify quantity=50", "modify quantity=60"), [50.0, 60.0], ["X", "Y"], 40.0),
        (("modify quantity=50", "approve"), [50.0, 200.0], ["X"], None),
    ],
)
def test_an_account_that_decides_later_is_asked_for_itself_and_leaves_the_others_as_answered(
    tmp_path: Path, lines: tuple[str, str], shares: list[float], changed: list[str], stop: float | None
) -> None:
    with trading([100.0] * 5) as market:
        test = opened(market, tmp_path, {WEDNESDAY: (Target("B", 0.1, stop=stop),)}, (), names=("X", "Y"))
        answer_in_turn(test, *lines)
        session = test.open()
        cut_off(session, "Y", lambda: any(one.state != "waiting" for one in session.staging.known.values()))
        asyncio.run(session.go())
        trades = read_approvals(session.store, RUN)
        assert [list(one.sizes) for one in trades] == [["X"], ["Y"]]
        assert held(test, market) == shares
        assert [name for one in list_changed(trades) for name in one.sizes] == changed
        assert len(test.alerts("approval asked")) == 2
        assert ["in Y" in one for one in test.alerts("approval asked")] == [False, True]


@pytest.mark.parametrize(
    ("first", "price", "second", "orders", "questions"),
    [
        ("approve", 90.0, "approve", [100.0, 101.0], 2),
        ("approve", 110.0, "approve", [100.0, 99.0], 2),
        ("approve", 90.0, "modify quantity=40", [100.0, 40.0], 2),
        ("approve", 90.0, "reject enough", [100.0], 2),
        ("modify quantity=120", 90.0, "approve", [60.0, 60.0], 1),
        ("modify quantity=320", 110.0, "approve", [160.0, 160.0], 1),
    ],
)
def test_where_a_part_has_filled_what_is_planned_anew_is_asked_once_and_ordered_as_answered(
    tmp_path: Path, first: str, price: float, second: str, orders: list[float], questions: int
) -> None:
    with trading([100.0, 100.0, price, price, price]) as market:
        test = opened(market, tmp_path, ONLY_B, ())
        answer_in_turn(test, first, second)
        test.script("partial symbol=B times=1")
        session = test.open()
        once_it_holds("B", session, partial(asked_to_stop, session))
        with suppress(StoppedError):
            asyncio.run(session.go())
        test.play()
        sent = [one for one in market.orders(test.sessions[-1].traders[0].broker) if one.symbol == "B"]  # type: ignore[arg-type]
        assert [one.filled for one in sent if one.kind != "stop"] == orders
        assert [(one.qty, one.stop_price) for one in sent if one.status == "new"] == [(sum(orders), 40.0)]
        trades = read_approvals(session.store, RUN)
        assert len(trades) == questions
        if questions == 2:
            assert trades[1].sizes["COUNCIL"].filled == (100.0, price * 50.0)
            outcomes = read_outcomes(session.store, trades)
            (came,) = outcomes[trades[0].id]["COUNCIL"]
            assert came.startswith("partly filled, the loop ended: "), "the rest is the newer one's"


def test_neither_what_a_stop_sold_nor_what_had_filled_before_is_taken_from_what_was_approved() -> None:
    def fill(shares: float) -> BrokerFill:
        return BrokerFill(f"{shares}", "entry", "B", 0, shares, 50.0)

    asked = Staged(120.0, stop=40.0, exits="oto")
    assert find_due(asked, [fill(120.0), fill(-120.0)], 0.0).size == 0.0, "its stop has the id of the entry"
    rest = replace(asked, stop=None, exits="simple", filled=(60.0, 3_000.0))
    assert find_due(rest, [fill(60.0), fill(-60.0)], 0.0).size == 120.0
    assert find_due(rest, [fill(60.0), fill(20.0)], 80.0).size == 100.0
    dollars = replace(rest, quantity=None, notional=500.0)
    assert find_due(dollars, [fill(60.0), fill(2.0)], 62.0).size == 400.0
    assert find_due(Staged(-30.0), [fill(-10.0), fill(10.0)], 0.0).size == -20.0


def test_what_was_approved_and_is_planned_no_more_is_told_with_why(tmp_path: Path) -> None:
    plan: Plan = {TUESDAY: (Target("A", 0.1, stop=90.0),), WEDNESDAY: (Target("A", 0.2, stop=93.0), B)}
    with trading([100.0] * 5) as market:
        test = opened(market, tmp_path, plan, ["* * approve"])
        session = test.open()
        at_wednesday(session, partial(asked_to_stop, session))
        with suppress(StoppedError):
            asyncio.run(session.go())
        assert session.watch is not None
        throw(session.watch.workspace, PAUSE, "a look at the books")
        test.play()
        assert test.held("B") == 0.0
        (told,) = [one for one in test.alerts("order refused") if one.startswith("B was approved and not sent")]
        assert "a look at the books" in told
        (trade,) = [one for one in read_approvals(session.store, RUN) if one.symbol == "B"]
        (came,) = read_outcomes(session.store, [trade])[trade.id]["COUNCIL"]
        assert came.startswith("not sent: ")
        assert "a look at the books" in came
