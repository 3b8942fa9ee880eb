"""Approvals over histories at random: brokers that do not answer, orders that fill in part, loops that are stopped or
killed and plan anew at other prices, whatever a person says. What is ordered was approved, what was approved is ordered
or told, and the asking ends."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from simulator.errors import BrokerError, SimError
from simulator.forward.approvals import answer, read_approvals, read_outcomes
from simulator.forward.session import Session
from simulator.forward.staging import Staging
from simulator.forward.watch import StoppedError
from simulator.market.bars import moment
from simulator.market.calendar import NEW_YORK
from simulator.trading.model import Target

from .conftest import trading
from .sessions import RUN, TUESDAY, WEDNESDAY, Plan, Test
from .test_endings import asked_to_stop
from .test_staging import opened

pytestmark = pytest.mark.medium

NAMES = ("X", "Y")
FEW = (0, 2, 6, 8)
MANY = sorted({*range(150)} - {*FEW})
STARTS = 4


class KilledError(Exception):
    """The process is gone: it leaves nothing as it should be."""


def make_plan(dice: random.Random) -> Plan:
    """A book on Tuesday, which is approved, and on Wednesday a change of it."""
    before = [Target(one, dice.choice([0.05, 0.1, -0.05])) for one in "AB" if dice.random() < 0.4]
    after = []
    for symbol, price in (("A", 100.0), ("B", 50.0)):
        if dice.random() < 0.8:
            exits = {"stop": price * 0.5} if dice.random() < 0.8 else {}
            limit = {"order": "limit", "limit": price} if dice.random() < 0.2 else {}
            after.append(Target(symbol, dice.choice([0.02, 0.1, 0.2]), **exits, **limit))  # type: ignore[arg-type]
    return {TUESDAY: before, WEDNESDAY: after}


def answer_at_random(dice: random.Random) -> Any:
    async def answering(staging: Staging) -> bool:
        (one, *_) = staging.waiting
        assert one.version < 20, "asked for ever"
        said = (
            "approve"
            if one.decided_at[:10] == str(TUESDAY)
            else dice.choice(["approve"] * 3 + ["modify"] * 3 + ["reject", ""])
        )
        if not said:
            return False
        name, order = dice.choice(list(one.sizes.items()))
        size = max(1.0, round(abs(order.quantity or 50.0) * dice.choice([0.3, 0.5, 1.0, 1.2])))
        changes = {dice.choice(["quantity", f"{name}.quantity"]): size} if said == "modify" else {}
        with suppress(SimError):  # what a rule forbids goes on waiting
            answer(staging.store, one.id, one.version, "dice", said, "no" if said == "reject" else "", changes)  # type: ignore[arg-type]
            return True
        return False

    return answering


def play_once(test: Test, dice: random.Random, ends: bool) -> None:
    """Hold the test until its end, or until its loop ends on Wednesday; Y's broker may not answer for a while."""
    session = test.open(answering=answer_at_random(dice))
    down_until = dice.choice([0, 0, 8 * 60 + 50, 9 * 60 + 28, 9 * 60 + 31])
    cut_off(session, down_until)
    if ends:
        end_on_wednesday(session, dice)
    with suppress(StoppedError, KilledError):
        asyncio.run(session.go())


def minute_of(session: Session) -> int:
    now = session._now().astimezone(NEW_YORK)
    return now.hour * 60 + now.minute if now.date() == WEDNESDAY else 0


def cut_off(session: Session, until: int) -> None:
    """Have Y's broker not answer on Wednesday from the meeting to a minute of the day."""
    broker: Any = session.traders[1].broker
    account = broker.account

    async def cut() -> Any:
        if 8 * 60 + 45 <= minute_of(session) < until and session._opened:
            raise BrokerError("no route to the broker")
        return await account()

    broker.account = cut


def end_on_wednesday(session: Session, dice: random.Random) -> None:
    """End the loop at one of its waits on Wednesday, mostly where an order has filled in part: asked to, or killed."""
    sleep, waits = session.clock.sleep_until, dice.randint(1, 4)
    kills, in_part = dice.random() < 0.3, dice.random() < 0.75
    left = [1 if in_part else waits]

    async def nothing() -> None: ...

    async def until(at: datetime, busy: bool = False) -> None:
        if minute_of(session) >= 8 * 60 + 45 and (not in_part or has_part(session)):
            left[0] -= 1
            if left[0] == 0 and kills:
                object.__setattr__(session, "_stand_down", nothing)
                raise KilledError
            if left[0] == 0:
                asked_to_stop(session)
                return
        await sleep(at, busy)

    object.__setattr__(session.clock, "sleep_until", until)


def has_part(session: Session) -> bool:
    """Return True where an order that is at work has filled in part."""
    states = [one.state for one in session.traders]
    return any(fill.client_order_id in one.open_ids for one in states for fill in one.fills.values())


def entered(test: Test) -> Iterator[tuple[int, str, str, str, float]]:
    """Yield where in the store a fill stands that opened or enlarged a position, its account, the day it was decided,
    symbol and shares."""
    session, held = test.sessions[-1], dict[tuple[str, str], float]()
    states = {one.name: one.state for one in session.traders}
    for stored in session.store.of_forward(RUN, ("forward.fill",)):
        fill, name = stored.event.payload, str(stored.event.account)
        before, shares = held.get((name, fill["symbol"]), 0.0), float(fill["quantity"])
        held[name, fill["symbol"]] = before + shares
        if before * shares >= 0.0:
            at = states[name].decision_of(fill["client_order_id"])
            assert at is not None, fill
            yield stored.position, name, str(moment(at).astimezone(NEW_YORK).date()), fill["symbol"], abs(shares)


def check(test: Test) -> None:
    """Hold what was ordered against the trail of what was asked and answered."""
    store, allowed = test.sessions[-1].store, dict[tuple[str, str, str], float]()
    fills = {one[0]: one[1:] for one in entered(test)}
    asked, sizes = 0, dict[str, tuple[str, str]]()
    for stored in store.of_forward(RUN):
        given, kind = stored.event.payload, stored.event.kind
        if kind == "approval.asked":
            asked, sizes[given["id"]] = asked + 1, (given["decided_at"][:10], given["symbol"])
        elif kind == "approval.given":
            day, symbol = sizes[given["id"]]
            for name, one in given["sizes"].items():
                allowed[name, day, symbol] = abs(one["quantity"])
        elif stored.position in fills:
            name, day, symbol, shares = fills[stored.position]
            allowed[name, day, symbol] = allowed.get((name, day, symbol), 0.0) - shares
            assert allowed[name, day, symbol] >= -1e-9, f"more of {symbol} than was approved in {name}"
    assert asked <= 2 * (len(test.sessions) + 1) * len(NAMES), "asked again and again"
    trades = read_approvals(store, RUN)
    assert not [one for one in trades if one.state == "waiting"]
    outcomes, newest = read_outcomes(store, trades), {}
    for one in trades:
        newest |= {(name, one.decided_at[:10], one.symbol): one for name in one.sizes}
    for (name, day, symbol), one in newest.items():
        if one.state == "approved" and allowed[name, day, symbol] > 1e-9:
            came = outcomes.get(one.id, {}).get(name, [])
            assert [told for told in came if not told.startswith("filled")], f"{symbol} in {name}: nothing says why"


@pytest.mark.parametrize("seed", [*FEW, *(pytest.param(one, marks=pytest.mark.slow) for one in MANY)])
def test_what_is_ordered_was_approved_and_what_was_approved_is_ordered_or_told(tmp_path: Path, seed: int) -> None:
    dice = random.Random(seed)
    later = dice.choice([80.0, 95.0, 100.0, 105.0, 125.0])
    with trading([100.0, 100.0, later, later, later]) as market:
        test = opened(market, tmp_path, make_plan(dice), (), names=NAMES)
        for symbol in "AB":
            if dice.random() < 0.8:
                test.script(f"partial symbol={symbol} on=entry times={dice.randint(1, 4)}")
        for number in range(STARTS):
            play_once(test, dice, ends=number < STARTS - 1 and dice.random() < 0.7)
        check(test)
