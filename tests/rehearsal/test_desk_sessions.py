"""The desk's sessions on bars within a day, rehearsed: orders, fills and decisions are those of a replay."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from simulator.store.database import Store
from simulator.store.events import Stored
from simulator.web.timeline import read_timeline

from ..conftest import _in_this_process
from .desk_soak import FIRST, WORDS, Killed, make_lab, outcome

pytestmark = pytest.mark.medium


@dataclass(frozen=True)
class Rehearsed:
    """A rehearsal of the desk: what `sim rehearse` and `sim forward parity` say, and the events of the store."""

    workspace: Path
    made: dict[str, Any]
    parity: dict[str, Any]
    events: list[Any]

    def payloads(self, kind: str) -> list[Any]:
        return [one.payload for one in self.events if one.kind == f"forward.{kind}"]


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Rehearsed:
    """Four sessions on half hours, watched at 10:00 alone: one position gaps through its stop, half of another leaves
    at its first target and the rest is sold at a review."""
    workspace = make_lab(tmp_path_factory.mktemp("desk") / "workspace")
    done = _in_this_process(["rehearse", "--from", FIRST, "--sessions", "4", *WORDS, "--json"], workspace, {})
    assert done.returncode == 0, done.stderr
    made = json.loads(done.stdout)
    parity = json.loads(_in_this_process(["forward", "parity", made["run"], "--json"], workspace, {}).stdout)
    with Store(workspace / "sim.db") as store:
        return Rehearsed(workspace, made, parity, [one.event for one in store.of_forward(made["run"])])


def test_a_desk_that_trades_within_the_day_is_the_replay_of_its_sessions(desk: Rehearsed) -> None:
    assert desk.parity["differences"] == []
    assert desk.parity["holds"]
    assert desk.parity["compared"]["orders"] == desk.made["accounts"]["COUNCIL"]["orders"] >= 4
    assert desk.parity["compared"]["fills"] >= 5
    assert desk.parity["compared"]["prompts"] > 20


def test_each_agent_is_on_record_and_on_the_page_as_soon_as_it_has_answered(desk: Rehearsed) -> None:
    kinds = "forward.asked", "forward.stage", "forward.intent"
    told = [one for one in desk.events if one.kind in kinds and not one.payload.get("revision")]
    stages = list[Any]()
    for event in told:
        if event.kind == "forward.asked":
            stages = []
        elif event.kind == "forward.stage":
            stages.append(event)
        else:
            record = event.payload["decision"]["record"]
            agents = [row for one in stages for row in one.payload["minutes"]["agents"]]
            assert sorted(map(json.dumps, agents)) == sorted(map(json.dumps, record.get("agents", ())))
    assert {"screener", "analyzer", "optimizer", "reviewer"} <= {
        one.payload["stage"].split()[0] for one in told if one.kind == "forward.stage"
    }
    first = next(n for n, one in enumerate(told) if one.kind == "forward.intent")
    stored = [Stored(n, "run", "forward", "", one) for n, one in enumerate(told)]
    for n in range(1, first):
        seen = read_timeline(stored[: n + 1])[0]
        assert (seen.state, seen.facts) == ("being asked", (f"{told[n].payload['stage']} has answered",))
        assert len(seen.parts[0].words) == n
    shown = next(part for part in read_timeline(stored[: first + 1])[0].parts if part.name == "Agents")
    assert sorted(one.seat for one in shown.words) == sorted(one.seat for one in seen.parts[0].words)
    assert any(one.seat.startswith("analyzer on ") for one in shown.words)


def test_parity_says_what_changed_since_the_test_began(desk: Rehearsed) -> None:
    assert desk.parity["changed"] == []
    lab = desk.workspace
    edited = {lab / "strategies" / "momentum_desk" / "strategy.yaml": "near: 0.1, trailing_atr: 2.0",
              lab / "config" / "costs.yaml": "slippage_bps: 2"}  # fmt: skip
    shipped = {path: path.read_text() for path in edited}
    try:
        for path, words in edited.items():
            assert words in shipped[path]
            path.write_text(shipped[path].replace(words, words.replace(": 2", ": 3")))
        done = _in_this_process(["forward", "parity", desk.made["run"]], lab, {})
    finally:
        for path, text in shipped.items():
            path.write_text(text)
    first = done.stdout.splitlines()[0].split(None, 1)
    assert first[0] == "changed"
    assert first[1].startswith("since the test began: strategies/momentum_desk/strategy.yaml, config/; ")


def test_each_test_of_a_workspace_keeps_its_own_reports_of_the_day(desk: Rehearsed) -> None:
    """The newest of all lies beside them, under the name that is looked for."""
    folder = desk.workspace / "logs" / "reports"
    newest = folder / f"daily_{FIRST.replace('-', '')}.json"
    own = folder / desk.made["run"] / newest.name
    assert own.read_bytes() == newest.read_bytes()
    assert json.loads(own.read_bytes())["run"] == desk.made["run"]
    assert len(list(own.parent.glob("daily_*.json"))) == 4


def test_a_gap_through_a_stop_comes_after_the_decision_at_the_open(desk: Rehearsed) -> None:
    """As in a replay, which decides before the bar that begins."""
    stopped, *more = (one for one in desk.events if one.kind == "forward.fill" and one.payload["why"] == "stop")
    assert [one.at for one in more] == [stopped.at], "each of its two parts has the stop"
    assert stopped.at.endswith("T09:30:00-05:00")
    opened = next(one for one in desk.events if one.kind == "forward.intent" and one.at == stopped.at)
    assert opened.payload["point"] == "open"
    assert stopped.payload["symbol"] in opened.payload["decision"]["record"]["workflow"]["context"]["held"]
    assert desk.events.index(opened) < desk.events.index(stopped)


def test_half_leaves_at_the_first_target_as_it_does_in_a_replay(desk: Rehearsed) -> None:
    """The first target is that of the price paid: what the entry brought is put anew once it has filled."""
    (intent,) = (one for one in desk.payloads("intent") if any(order["exits"] for order in one["orders"]))
    taken = [one for one in desk.payloads("fill") if one["why"] == "take_profit"]
    (order,) = (one for one in intent["orders"] if one["symbol"] == taken[0]["symbol"])
    ((share, _),) = order["exits"]
    assert (share, order["quantity"]) == (0.5, 129.0)
    anew = [one for intent in desk.payloads("intent") for one in intent["protects"] if one[0] == order["symbol"]]
    ((_, _, _, ((again, price),)),) = anew
    assert again == share
    assert [(one["quantity"], one["price"]) for one in taken] == [(-64.0, price)]
    entry, *_ = (one for one in desk.payloads("fill") if one["symbol"] == order["symbol"])
    assert entry["quantity"] == 129.0, "one order, divided once it has filled"
    paid, stop = entry["price"], anew[0][1]
    assert price == pytest.approx(paid + 0.5 * (paid - stop), abs=0.01), "exits.first of this desk is half a risk"


def test_a_sale_decided_at_the_close_is_held_until_the_next_opening_takes_it(desk: Rehearsed) -> None:
    intents = (one for one in desk.events if one.kind == "forward.intent" and one.payload["point"] == "review")
    (decided,) = (one for one in intents if one.payload["orders"])
    (sale,) = decided.payload["orders"]
    (fill,) = (one for one in desk.events if one.kind == "forward.fill" and one.payload["quantity"] == sale["quantity"])
    assert (decided.at[11:16], fill.at[11:16]) == ("16:00", "09:30")
    assert [one["text"] for one in desk.payloads("alert") if one["kind"] == "order refused"] == []


def test_an_order_is_on_record_as_filled_when_it_fills(desk: Rehearsed) -> None:
    filled = {
        one.payload["client_order_id"]: one.at
        for one in desk.events
        if one.kind == "forward.order" and one.payload["state"] == "filled"
    }
    told = [one for one in desk.events if one.kind == "forward.fill"]
    fills = {one.payload["client_order_id"]: one.at for one in reversed(told)}  # the first under each id
    assert len(filled) == 4, "the entries and the sale"
    assert filled.items() <= fills.items()


def test_a_desk_killed_in_two_states_comes_to_the_same_end(desk: Rehearsed, tmp_path: Path) -> None:
    """Two of ten: `make soak` kills it in each."""
    killed = Killed(make_lab(tmp_path / "killed"), sessions=4)
    killed.kill("MARKET_EXECUTION")
    killed.kill("INTRADAY_MONITORING")
    assert killed.finish() == outcome(desk.made, desk.events)


def test_a_day_that_is_closed_by_a_loss_takes_back_the_entry_that_waits(tmp_path: Path) -> None:
    """One fills at 10:00 and falls, the other waits at its limit; and so in the replay."""
    symbols = ("SYN-INDU-2", "SYN-TECH-1")
    lab = make_lab(tmp_path / "workspace", symbols=symbols)
    house = lab / "config" / "desk.yaml"
    house.write_text(house.read_text().replace('["10:00"]', '["10:00", "11:00"]'))
    sets = ("window=80", "exits.gap_atr=2", "caps.daily_loss=0.0001")
    words = ["--strategy", "momentum_desk", "--symbols", ",".join(symbols)]
    words += [word for one in sets for word in ("--set", one)]
    done = _in_this_process(["rehearse", "--from", "2024-01-08", "--sessions", "1", *words, "--json"], lab, {})
    assert done.returncode == 0, done.stderr
    made = json.loads(done.stdout)
    parity = json.loads(_in_this_process(["forward", "parity", made["run"], "--json"], lab, {}).stdout)
    assert parity["holds"], parity["differences"]
    with Store(lab / "sim.db") as store:
        events = [one.event for one in store.of_forward(made["run"])]
    decided = {one.payload["point"]: one.payload for one in events if one.kind == "forward.intent"}
    (veto,) = decided["monitor 11:00"]["decision"]["record"]["vetoes"]
    assert (veto["rule"], veto["symbol"]) == ("daily loss", "SYN-TECH-1")
    assert "SYN-TECH-1" in decided["monitor 11:00"]["cancels"]
    assert "SYN-TECH-1" not in decided["review"]["cancels"], "once is enough"
    ended = {one.payload["symbol"]: one.payload["state"] for one in events if one.kind == "forward.order"}
    assert ended == {"SYN-INDU-2": "filled", "SYN-TECH-1": "cancelled"}
