"""Watch over a loop: switches are obeyed, alerts stand in log and store, and a paused account only gets out."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as some

from simulator.errors import SimError
from simulator.forward.log import read_log
from simulator.forward.settings import Forward
from simulator.forward.switches import PAUSE, STOP, read_heartbeats, reset, throw
from simulator.forward.watch import StoppedError, Watch, Watched, without_entries
from simulator.trading.cycle import Intent
from simulator.trading.model import Book, Decision, Order
from simulator.workspace import Workspace

AT = datetime(2024, 6, 3, 14, 0, tzinfo=UTC)


@dataclass
class Loop:
    workspace: Workspace
    watch: Watch
    events: list[tuple[str, str, Mapping[str, Any]]] = field(default_factory=list)
    sent: list[str] = field(default_factory=list)
    tick: float = 0.0
    broken: bool = False

    def kinds(self) -> list[str]:
        return [line["kind"] for line in read_log(self.workspace.logs, date(2024, 6, 3))]


@pytest.fixture
def loop(tmp_path: Path) -> Loop:
    settings = Forward.model_validate({"daily_loss": {"TREND": "2%"}})
    workspace = Workspace(tmp_path, tmp_path)

    def record(kind: str, _at: datetime, account: str, payload: Mapping[str, Any]) -> None:
        if made.broken:
            raise SimError("the store is down")
        made.events.append((kind, account, payload))

    channels = {"list": lambda _run, alert: made.sent.append(alert.line())}
    watched = Watched("2f3a", "sma_cross", {"TREND": "PA1"})
    made = Loop(workspace, Watch(workspace, settings, watched, record, channels, lambda: made.tick))
    made.watch.start(AT)
    return made


def test_the_loop_says_that_it_began_and_ended(loop: Loop) -> None:
    loop.watch.look(AT, "2024-06-03T15:50")
    [heart] = read_heartbeats(loop.workspace)
    assert (heart.state, heart.accounts, heart.mode) == ("running", {"TREND": "PA1"}, "paper")
    loop.watch.end("the last session is over")
    [heart] = read_heartbeats(loop.workspace)
    assert (heart.state, heart.next_point) == ("stopped", "2024-06-03T15:50")
    assert loop.sent == ["started: sma_cross on TREND, on paper", "stopped: the last session is over"]
    assert [kind for kind, *_ in loop.events] == ["alert", "alert"]


def test_a_pause_refuses_entries_until_it_is_taken_back(loop: Loop) -> None:
    assert loop.watch.refuse_entries("TREND", 100_000.0, 100_000.0) == ""
    throw(loop.workspace, PAUSE, "earnings")
    loop.watch.look(AT)
    loop.watch.look(AT)
    assert loop.watch.refuse_entries("TREND", 100_000.0, 100_000.0) == "paused: earnings"
    assert read_heartbeats(loop.workspace)[0].state == "paused"
    reset(loop.workspace, PAUSE)
    loop.watch.look(AT)
    assert loop.watch.refuse_entries("TREND", 100_000.0, 100_000.0) == ""
    assert [kind for kind, *_ in loop.events if kind != "alert"] == ["paused", "resumed"]
    assert loop.kinds() == ["alert.started", "alert.paused", "alert.resumed"]


def test_the_kill_switch_and_a_signal_stop_the_loop(loop: Loop) -> None:
    loop.watch.stop_asked = "SIGTERM"
    with pytest.raises(StoppedError, match="SIGTERM"):
        loop.watch.look(AT)
    throw(loop.workspace, STOP, "something is wrong")
    with pytest.raises(StoppedError, match="something is wrong"):
        loop.watch.look(AT)
    assert loop.kinds()[-1] == "alert.kill switch"


def test_an_account_that_lost_its_share_of_the_day_enters_nothing_more(loop: Loop) -> None:
    assert loop.watch.refuse_entries("TREND", 50_000.0, 49_000.01) == ""
    assert loop.watch.refuse_entries("TREND", 50_000.0, 49_000.0) == "lost $1,000.00 of the $1,000.00 a day may lose"
    assert loop.watch.refuse_entries("VALUE", 50_000.0, 1.0) == "", "no limit is set for it"
    assert loop.kinds()[-1] == "alert.loss limit"


def test_the_heart_beats_at_its_pace_and_at_every_change(loop: Loop) -> None:
    def now() -> str:
        return read_heartbeats(loop.workspace)[0].now

    for seconds in (5, 10, 14.9):
        loop.tick = seconds
        loop.watch.look(AT + timedelta(seconds=seconds))
    assert now() == AT.isoformat()
    loop.tick = 15
    loop.watch.look(AT + timedelta(seconds=15))
    assert now() == (AT + timedelta(seconds=15)).isoformat()
    throw(loop.workspace, PAUSE, "x")
    loop.watch.look(AT + timedelta(seconds=16))
    assert now() == (AT + timedelta(seconds=16)).isoformat()


@pytest.mark.fault("disk", "neither log, heartbeat nor store can be written by forward trading", "the loop goes on")
def test_no_disk_stops_the_watch(loop: Loop) -> None:
    for path in loop.workspace.logs.iterdir():
        path.unlink()
    loop.workspace.logs.rmdir()
    loop.workspace.logs.touch()
    loop.broken, loop.tick = True, 60.0
    loop.watch.look(AT)
    loop.watch.tell("order.sent", AT, "TREND")
    loop.watch.alert("halt", "SPY", AT)
    loop.watch.end("over")
    assert [line for line in loop.sent if line.startswith("disk: the log: ")]
    assert "halt: SPY" in loop.sent


def book(held: Mapping[str, float]) -> Book:
    return Book(1000.0, held, dict.fromkeys("ABC", 50.0), 100_000.0)


def intent(orders: list[Order], held: Mapping[str, float]) -> Intent:
    decision = Decision(AT, ())
    return Intent(
        decision, decision, orders=tuple(orders), protects=(("A", 40.0, None, ()),), cancels=("B",), book=book(held)
    )


def test_without_entries_positions_are_only_reduced_and_keep_their_protection() -> None:
    planned = intent(
        [
            Order(7, "A", 1, quantity=-30.0),
            Order(8, "B", 1, quantity=5.0, kind="limit", limit=49.0),
            Order(9, "C", 1, quantity=60.0, stop=40.0),
            Order(10, "D", 1, notional=500.0),
        ],
        {"A": 10.0, "B": 10.0, "C": -20.0},
    )
    left = without_entries(planned, "paused: x")
    assert left.orders == (Order(7, "A", 1, quantity=-10.0), Order(8, "C", 1, quantity=20.0))
    assert [(one.symbol, one.wanted, one.why) for one in left.refused] == [
        ("A", -20.0, "paused: x"), ("B", 5.0, "paused: x"), ("C", 40.0, "paused: x"), ("D", 0.0, "paused: x"),
    ]  # fmt: skip
    assert (left.protects, left.cancels, left.book) == (planned.protects, planned.cancels, planned.book)
    assert json.dumps([one.why for one in left.refused])


numbers = some.floats(-100, 100).filter(lambda number: abs(number) > 1e-6)


@given(some.dictionaries(some.sampled_from("ABC"), numbers), some.dictionaries(some.sampled_from("ABC"), numbers))
def test_whatever_is_planned_no_position_grows_or_changes_its_side(
    held: dict[str, float], wanted: dict[str, float]
) -> None:
    orders = [Order(number, symbol, 1, quantity=shares) for number, (symbol, shares) in enumerate(wanted.items())]
    left = without_entries(intent(orders, held), "x")
    for order in left.orders:
        after = held[order.symbol] + (order.quantity or 0.0)
        assert abs(after) < abs(held[order.symbol])
        assert after * held[order.symbol] >= 0.0
    assert [order.id for order in left.orders] == list(range(len(left.orders)))
    reducing = [symbol for symbol, shares in wanted.items() if shares * held.get(symbol, 0.0) < 0.0]
    assert [order.symbol for order in left.orders] == reducing
