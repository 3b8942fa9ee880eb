"""A desk whose position is split in its hands: its stops, its record and what tools say follow, and nothing is sold."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import pytest

from simulator.forward.payloads import read_fill
from simulator.market.bars import moment
from simulator.market.calendar import NEW_YORK
from simulator.runs.desk_state import DeskRequest, open_desk
from simulator.store.database import Store
from simulator.trading.model import BrokerFill
from simulator.workspace import Workspace, make_workspace

from ..conftest import _in_this_process

pytestmark = pytest.mark.medium


@dataclass(frozen=True)
class Held:
    """A rehearsal in which QQQ is bought on 16 May and split on the 21st, `ratio` new shares for an old one; what NVDA
    does within a bar of a day fills at its close."""

    ratio: float
    there: Workspace
    run: str
    events: list[Any]

    @property
    def fills(self) -> list[BrokerFill]:
        return [read_fill(one.payload) for one in self.events if one.kind == "forward.fill"]

    def decided(self, day: str, point: str) -> Any:
        """Return what was decided at a point."""
        (found,) = (
            one.payload
            for one in self.events
            if one.kind == "forward.intent" and one.at.startswith(day) and one.payload["point"] == point
        )
        return found["decision"]


@pytest.fixture(scope="module", params=[2.0, 0.5], ids=["split", "reverse split"])
def held(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Held:
    make_workspace(folder := tmp_path_factory.mktemp("split") / "workspace")
    (script := folder / "script").write_text(f"at 2024-05-21T00:00-04:00 split QQQ {request.param}\n")
    words = ["--strategy", "momentum_desk", "--symbols", "NVDA,QQQ", "--set", "agents=false", "--json"]
    more = ["--from", "2024-05-16", "--sessions", "4", "--script", str(script)]
    done = _in_this_process(["rehearse", *words, *more], folder, {})
    assert done.returncode == 0, done.stderr
    run = json.loads(done.stdout)["run"]
    with Store(folder / "sim.db") as store:
        return Held(request.param, Workspace(folder, folder), run, [one.event for one in store.of_forward(run)])


def test_a_position_keeps_its_stop_over_a_split_and_is_not_sold_for_it(held: Held) -> None:
    before, after = (
        held.decided(day, "review")["record"]["workflow"]["context"]["held"]["QQQ"]
        for day in ("2024-05-20", "2024-05-21")
    )
    for name, price in before.items():
        told = [one / held.ratio for one in price] if name == "targets" else price / held.ratio
        told = price * held.ratio if name == "shares" else told
        assert after[name] == pytest.approx(told, abs=0.011), name
    assert held.decided("2024-05-21", "review")["targets"] == []
    assert [one.quantity > 0.0 for one in held.fills if one.symbol == "QQQ"] == [True]


def test_what_a_split_position_earned_is_what_the_account_earned(held: Held) -> None:
    rows = [one.payload for one in held.events if one.kind == "forward.session" and "equity" in one.payload]
    report = held.decided("2024-05-21", "review")["record"]["report"]
    assert report["profit"] == pytest.approx(rows[-1]["pnl"], abs=0.01)
    assert (report["entries"], report["trades"], report["beyond_stop_limit"]) == (0, [], [])
    (trip,) = (one for one in open_desk(DeskRequest(run=held.run), held.there)().trips if one.symbol == "QQQ")
    (bought,) = (one for one in held.fills if one.symbol == "QQQ")
    assert trip.entry_price == pytest.approx(bought.price / held.ratio)
    assert trip.pnl == pytest.approx(trip.quantity * (rows[-1]["marks"]["QQQ"] - trip.entry_price))


def test_tools_tell_the_books_of_each_close_whatever_filled_at_it(held: Held) -> None:
    """A fill at the very close is in the cash that is stated of it."""
    rows = {}
    for event in held.events:
        row = event.payload
        if event.kind != "forward.session" or "equity" not in row:
            continue
        state = open_desk(DeskRequest(run=held.run, as_of=row["session"]), held.there)()
        assert state.book.cash == pytest.approx(row["cash"], abs=0.01), row["session"]
        assert state.book.equity == pytest.approx(row["equity"], abs=0.01), row["session"]
        assert state.book.positions == pytest.approx(row["positions"]), row["session"]
        assert str(state.equity[-1][0]) == row["session"]
        rows[row["session"]] = row
    # After the close and before its row is written, what filled meanwhile is known from the fills alone.
    at_close = {moment(one.at).astimezone(NEW_YORK) for one in held.fills if one.symbol == "NVDA"}
    day = next(f"{one:%Y-%m-%d}" for one in sorted(at_close) if f"{one:%H:%M}" == "16:00")
    state = open_desk(DeskRequest(run=held.run, as_of=f"{day}T16:05"), held.there)()
    assert day not in [str(session) for session, _ in state.equity]
    assert state.book.positions == pytest.approx(rows[day]["positions"])
    assert state.book.cash == pytest.approx(rows[day]["cash"], abs=100.0), "but for the interest of the day"
