"""Records of a forward test that follow from others of its own: one that does not is told, in an account where a person
changed a trade and in one where nobody did."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import date, datetime
from pathlib import Path
from typing import Any

import pytest

from simulator.forward.books import Split
from simulator.market.bars import instant
from simulator.market.calendar import NEW_YORK
from simulator.rehearsal.difference import Difference
from simulator.rehearsal.own_records import find_late
from simulator.rehearsal.parity import Side, find_run, read_records, replay_again, spec_of
from simulator.replay.inputs import ReplayInputs
from simulator.runs.spec import RunSpec
from simulator.store.database import open_store
from simulator.store.events import Event, Stored
from simulator.trading.model import Order
from simulator.workspace import Workspace, find_workspace, make_workspace

from ..conftest import _in_this_process

pytestmark = pytest.mark.medium

CHANGED, STRICT = "CHATGPT", "COUNCIL"
DAY = "2024-06-06"
Change = Callable[[dict[str, Any]], object]


@dataclass(frozen=True)
class Kept:
    """A council of which a person halved a trade in one account: its events, and the inputs of its replay."""

    run: str
    stored: list[Stored]
    spec: RunSpec
    workspace: Workspace
    data: Path
    inputs: ReplayInputs

    def find(self, account: str, stored: list[Stored] | None = None) -> list[Difference]:
        """Return the differences in `account`, on `stored` events in the place of the test's own."""
        events = self.stored if stored is None else stored
        records, _ = read_records(self.run, events, self.spec, self.workspace, self.data)
        return list(records[account].find_differences(self.inputs))

    def place(self, kind: str, account: str) -> int:
        """Return the place of the last event of a kind in `account` on a day, of orders and fills the first."""
        found = [
            n
            for n, one in enumerate(self.stored)
            if (one.event.kind, one.event.account) == (f"forward.{kind}", account) and str(one.event.at)[:10] == DAY
        ]
        return found[0 if kind == "fill" else -1]

    def rewritten(self, kind: str, account: str, change: Change) -> list[Stored]:
        n = self.place(kind, account)
        change(payload := copy.deepcopy(dict(self.stored[n].event.payload)))
        made = replace(self.stored[n], event=replace(self.stored[n].event, payload=payload))
        return [*self.stored[:n], made, *self.stored[n + 1 :]]

    def without(self, kind: str, account: str) -> list[Stored]:
        n = self.place(kind, account)
        return [*self.stored[:n], *self.stored[n + 1 :]]


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Kept:
    make_workspace(place := tmp_path_factory.mktemp("kept") / "workspace", git=False)
    (place / "answers.txt").write_text(f"2024-06-03 SPY modify {CHANGED}.scale=0.5\n* * approve\n")
    words = ["rehearse", "--from", "2024-06-03", "--sessions", "5", "--strategy", "small_council"]
    words += ["--symbols", "SPY,QQQ", "--set", "schedule.cadence=daily", "--approvals", str(place / "answers.txt")]
    done = _in_this_process(words, place, {})
    assert done.returncode == 0, done.stderr
    run, folder = find_run(workspace := find_workspace(str(place)), "last")
    with open_store(workspace) as store:
        stored = store.of_forward(run)
    spec, last = spec_of([one.event for one in stored])
    _, _, inputs = replay_again(spec, last, workspace, folder / "data")
    return Kept(run, stored, spec, workspace, folder / "data", inputs)


def put(*path: Any, by: Callable[[Any], Any]) -> Change:
    def change(payload: dict[str, Any]) -> None:
        inner: Any = payload
        for one in path[:-1]:
            inner = inner[one]
        inner[path[-1]] = by(inner.get(path[-1]) if isinstance(inner, dict) else inner[path[-1]])

    return change


def add(dollars: float) -> Callable[[Any], Any]:
    return lambda before: (before or 0.0) + dollars


CHANGES: dict[str, tuple[str, Change]] = {
    "equity": ("session", put("equity", by=add(0.01))),
    "cash": ("session", put("cash", by=add(0.01))),
    "shares": ("session", put("positions", "SPY", by=add(1.0))),
    "shares of another symbol": ("session", put("positions", "GLD", by=add(5.0))),
    "marks": ("session", put("marks", by=lambda before: {one: 2.0 * mark for one, mark in before.items()})),
    "profit": ("session", put("pnl", by=add(0.01))),
    "interest": ("session", put("accruals", "interest", by=add(0.01))),
    "accrued so far": ("session", put("accrued", by=add(0.01))),
    "costs": ("session", put("costs", by=add(-0.01))),
    "a price before slippage": ("session", put("references", by=lambda before: {**before, "made up": 100.0})),
    "return of cash": ("session", put("free", by=add(1e-5))),
    "weights": ("session", put("held", 0, "weights", "SPY", by=add(1e-5))),
    "moves": ("session", put("held", 0, "moves", "SPY", by=add(-1e-5))),
    "a bar that is not there": ("session", put("held", by=lambda _: [])),
    "cash at the broker": ("session", put("broker_cash", by=add(0.01))),
    "unexplained": ("session", put("unexplained", by=add(0.01))),
    "a session that nobody traded": ("session", put("session", by=lambda _: "2024-06-08")),
    "shares of a book": ("intent", put("book", "positions", "SPY", by=add(1.0))),
    "marks of a book": ("intent", put("book", "marks", "SPY", by=add(0.01))),
    "equity of a book": ("intent", put("book", "equity", by=add(0.01))),
    "exits": ("intent", put("protects", by=lambda before: before[1:] if before else [["SPY", 400.0, None, []]])),
    "cuts": ("intent", put("cuts", by=lambda before: [*before, "SPY cut"])),
    "what is allowed": ("intent", put("allowed", "targets", 0, "weight", by=add(0.001))),
    "what is withdrawn": ("intent", put("cancels", by=lambda _: [])),
    "how an order ended": ("order", put("state", by=lambda _: "rejected")),
    "how much of it filled": ("order", put("filled", by=add(5.0))),
    "the order of a fill": ("fill", put("client_order_id", by=lambda key: f"exit-{key}-0")),
    "a stranger's fill": ("fill", put("client_order_id", by=lambda _: "")),
    "the symbol of a fill": ("fill", put("symbol", by=lambda _: "GLD")),
    "the sign of a fill": ("fill", put("quantity", by=lambda before: -before)),
    "the price of a fill": ("fill", put("price", by=add(0.5))),
}


@pytest.mark.parametrize("account", [CHANGED, STRICT])
def test_records_as_they_were_written_follow_from_each_other(kept: Kept, account: str) -> None:
    assert kept.find(account) == []


@pytest.mark.parametrize("account", [CHANGED, STRICT])
@pytest.mark.parametrize("what", CHANGES)
def test_a_changed_value_on_record_is_told(kept: Kept, account: str, what: str) -> None:
    assert {
        one.where[0] for one in kept.find(account, kept.rewritten(CHANGES[what][0], account, CHANGES[what][1]))
    } == {account}


@pytest.mark.parametrize("account", [CHANGED, STRICT])
@pytest.mark.parametrize("kind", ["session", "order", "fill"])
def test_a_record_that_is_gone_is_told(kept: Kept, account: str, kind: str) -> None:
    told = kept.find(account, kept.without(kind, account))
    assert {one.where[0] for one in told} == {account}
    assert json.dumps([vars(one) for one in told])


def test_an_order_across_a_split_is_the_same_to_the_digits_that_were_counted_on_its_day() -> None:
    at = instant(datetime(2024, 6, 7, 8, tzinfo=NEW_YORK))
    forward, again, other = Side([Split("NVDA", date(2024, 6, 10), 10.0)]), Side(), Side()
    forward.order("COUNCIL", at, Order(0, "NVDA", at, -0.547393542))
    again.order("COUNCIL", at, Order(0, "NVDA", at, -5.473935419))
    other.order("COUNCIL", at, Order(0, "NVDA", at, -5.4740))
    (mine,), (theirs,), (far,) = (side.orders.values() for side in (forward, again, other))
    assert mine.is_same(theirs)
    assert not mine.is_same(far)
    assert str(mine) == "market -5.47393542"


def test_a_bar_that_was_recorded_after_its_session_was_booked_is_known_by_the_bytes_that_were_there() -> None:
    text = b"date,open\n2024-06-03,1\n2024-06-04,1\n2024-06-05,1\n"
    sizes = {"2024-06-04": len(text) - 13, "2024-06-05": len(text) - 13}
    rows = [
        Event("forward.session", None, None, {"session": day, "inputs": {"data/SPY.csv": [size, ""]}})
        for day, size in sizes.items()
    ]
    assert find_late({"data/SPY.csv": text}, rows) == {"2024-06-05": {"SPY"}}
