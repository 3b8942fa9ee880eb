"""Close of every position by the loop, which has the keys, whatever is killed on the way."""

from __future__ import annotations

import asyncio
import os
import signal
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from simulator.errors import ConfigError, UsageError
from simulator.exchange.server import Served
from simulator.forward.closing import (
    Closed,
    ask_to_close,
    close_if_owed,
    close_now,
    find_owed,
    is_owed,
    read_closing,
    record_closed,
    withdraw,
)
from simulator.forward.mode import make_rehearsal_keys
from simulator.forward.registration import registrations
from simulator.forward.requests import Patience
from simulator.forward.switches import STOP, read_heartbeats, read_switches, reset, throw
from simulator.forward.watch import StoppedError
from simulator.runs import forward_accounts
from simulator.runs.forward_start import with_accounts
from simulator.store.database import Store
from simulator.store.events import Event
from simulator.trading.model import Target
from simulator.workspace import Workspace, find_workspace

from .conftest import Market
from .sessions import RUN, Test
from .sessions import TUESDAY as FIRST
from .test_start import STEPS, TEST, TUESDAY, WEDNESDAY, Sim, at, begun, has, pass_day, served, started, wait_for

__all__ = ["served"]


def closes(served: Served) -> list[tuple[str, str, float]]:
    """Return symbol, state and shares of each order that closes, as the exchange has them."""
    return served.call(
        lambda exchange: [
            (one.symbol, one.status, float(one.qty or 0.0))
            for account in exchange.accounts.values()
            for one in account.orders.values()
            if one.client_order_id.startswith("close-")
        ]
    )


def holds(served: Served) -> set[str]:
    return served.call(
        lambda exchange: {
            symbol for account in exchange.accounts.values() for symbol, one in account.holdings.items() if one.shares
        }
    )


def owed(place: Workspace) -> list[str]:
    with Store(place.registry) as store:
        return [*find_owed(store)]


def no_keys(*_: object) -> object:
    raise ConfigError("ALPACA_PAPER_KEY_COUNCIL is not set")


@pytest.mark.medium
@pytest.mark.fault("disk", "kill -9 between a close-all and its orders, or its record", "the next start closes, once")
def test_a_close_all_that_kills_cut_off_is_done_once_by_the_next_start(
    workspace: Path, served: Served, sim: Sim, monkeypatch: pytest.MonkeyPatch
) -> None:
    place, words = find_workspace(workspace), (*TEST, "--exchange", served.url)
    monkeypatch.setattr(forward_accounts, "LOOP_ENDS_WITHIN_S", 0.0)
    with started(workspace, served) as process:
        wait_for(workspace, begun(1))
        pass_day(workspace, served, TUESDAY, STEPS[:5])
        wait_for(workspace, has("forward.fill"))
        os.kill(process.pid, signal.SIGSTOP)
        (test,) = registrations(workspace / "reports")
        with monkeypatch.context() as keyless:
            keyless.setattr(forward_accounts, "_open_keys", no_keys)
            with pytest.raises(UsageError, match="hangs or ended without closing") as refused:
                forward_accounts.close_all(test, place, str, by="ann")
        assert "start it again: it closes first" in str(refused.value)
        process.kill()
    assert closes(served) == []
    assert owed(place) == [test.id]
    for asked in (("forward", "status"), ("doctor",)):
        told = sim(*asked, cwd=workspace)
        assert told.returncode == 1, asked
        flat = " ".join(told.stdout.split())
        assert f"of {test.id} is not done: ann asked for it on " in flat, told.stdout
        assert f"`sim forward close-all {test.id}`" in flat, told.stdout
    assert holds(served) == {"SPY", "QQQ"}

    served.advance(at(TUESDAY, "16:25"))  # bars of days fill at their opens
    thrown = read_switches(place).stop
    assert thrown is not None
    reset(place, STOP)  # what was asked is asked all the same
    keys = {"COUNCIL": make_rehearsal_keys("COUNCIL")}  # as a start that is killed before it puts it on record
    with_accounts(keys, test, served.url, Patience(), lambda some: close_now(some, test.id, thrown))
    done = sim(*words, cwd=workspace)
    assert (done.returncode, done.stderr) == (0, "")
    assert "stopped: every position was to be closed, and that is ordered" in done.stdout
    assert not [one for one in read_heartbeats(place) if one.is_running()]
    assert "the same words trade on" in done.stdout
    assert owed(place) == [test.id], "an order that waits for the open may end unfilled"
    told = sim("forward", "status", cwd=workspace)
    waits = "COUNCIL: QQQ, SPY ordered to close, not known to have filled"
    assert (told.returncode, waits in " ".join(told.stdout.split())) == (1, True)
    throw(place, STOP, "enough")
    again = sim(*words, cwd=workspace)
    assert (again.returncode, "that is ordered" in again.stdout) == (0, True)
    served.advance(at(WEDNESDAY, "09:45"))
    again = sim(*words, cwd=workspace)
    assert (again.returncode, "the kill switch is thrown" in again.stderr) == (2, True)
    assert owed(place) == []
    filled = [one for one in closes(served) if one[1] == "filled"]
    assert sorted(symbol for symbol, *_ in filled) == ["QQQ", "SPY"], closes(served)
    assert holds(served) == set()
    with Store(place.registry) as store:
        states = [one.event.payload["state"] for one in store.of_forward(test.id, ("forward.closing",))]
    assert states == ["asked", "ordered", "ordered", "done"]


@pytest.mark.medium
def test_at_a_terminal_without_keys_the_loop_closes_and_ends(
    workspace: Path, served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = find_workspace(workspace)
    monkeypatch.setattr(forward_accounts, "_open_keys", no_keys)
    with started(workspace, served) as process:
        wait_for(workspace, begun(1))
        pass_day(workspace, served, TUESDAY, STEPS[:5])
        wait_for(workspace, has("forward.fill"))
        (test,) = registrations(workspace / "reports")
        assert forward_accounts.close_all(test, place, str, by="ann") == {"COUNCIL": (["QQQ", "SPY"], {}, [])}
        out, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (0, ""), out
    assert sorted(symbol for symbol, *_ in closes(served)) == ["QQQ", "SPY"]
    reset(place, STOP)
    with pytest.raises(ConfigError, match="is not set"):
        forward_accounts.close_all(test, place, str, by="ann")
    assert read_switches(place).stop is None, "refused before a switch is thrown for nothing"


def test_a_closing_is_owed_until_it_is_done_everywhere(tmp_path: Path) -> None:
    with Store(tmp_path / "sim.db") as store:
        assert not is_owed(read_closing(store, "run", "enough"))
        ask_to_close(store, "run", "ann", "enough")
        assert is_owed(read_closing(store, "run", "enough"))
        assert not is_owed(read_closing(store, "run", "thrown another time"))
        assert not is_owed(read_closing(store, "other", "enough"))
        record_closed(store, "run", "enough", {"COUNCIL": Closed([], {"QQQ": "halted"}, ["SPY"])})
        assert is_owed(read_closing(store, "run", "enough"))
        record_closed(store, "run", "enough", {"COUNCIL": Closed(["QQQ"], {}, [])})
        assert is_owed(read_closing(store, "run", "enough")), "an order may end unfilled"
        record_closed(store, "run", "enough", {"COUNCIL": Closed([], {}, [])})
        assert not is_owed(read_closing(store, "run", "enough"))
        ask_to_close(store, "run", "bob", "enough")
        assert not is_owed(read_closing(store, "run", "enough")), "it is done"
        ask_to_close(store, "run", "bob", "again")
        store.append("run", [Event("forward.started", None, None, {})])
        assert is_owed(read_closing(store, "run", "again")), "it was starting while that was asked"
        record_closed(store, "run", "again", {})
        store.append("run", [Event("forward.started", None, None, {})])
        ask_to_close(store, "run", "bob", "again")
        assert is_owed(read_closing(store, "run", "again")), "a loop has traded since it was done"


def test_a_closing_that_is_owed_outlives_its_switch_until_it_is_withdrawn(tmp_path: Path) -> None:
    place = Workspace(tmp_path, tmp_path)
    with Store(tmp_path / "sim.db") as store:
        with pytest.raises(UsageError, match="no close-all of run is owed"):
            withdraw(place, store, "run", "ann")
        ask_to_close(store, "run", "ann", "enough")
        ask_to_close(store, "other", "ann", "enough")
        record_closed(store, "other", "enough", {"COUNCIL": Closed([], {}, ["SPY"])})
        assert [*find_owed(store)] == ["run"], "no switch is thrown"
        assert find_owed(store)["run"].by == "ann"
        withdraw(place, store, "run", "ann")
        assert find_owed(store) == {}
        ask_to_close(store, "run", "bob", "enough")
        assert [*find_owed(store)] == ["run"], "asked again"
        ask_to_close(store, "other", "bob", "another day")
        assert [*find_owed(store)] == ["run", "other"]


@pytest.mark.fault("disk", "kill -9 between a close-all and its kill switch, or the switch released", "the loop closes")
def test_a_close_all_asked_while_a_loop_starts_is_done_by_that_loop_though_nobody_throws_its_switch(
    market: Market, tmp_path: Path
) -> None:
    test = Test(market, tmp_path, {FIRST: (Target("A", 0.1),)}, last=FIRST)
    test.play()
    assert test.held("A")
    test.last = FIRST.replace(day=FIRST.day + 1)
    session = test.open()
    accounts: Any = {one.name: one.broker for one in session.traders}
    assert session.watch is not None
    session.watch.owed = lambda: find_owed(session.store).get(RUN)
    session.closing = partial(close_if_owed, accounts, session.store, RUN)
    ask_to_close(session.store, RUN, "ann", "enough")
    session.store.append(RUN, [Event("forward.started", None, None, {"exchange": "moved"})])
    with pytest.raises(StoppedError, match="the kill switch is thrown: enough"):
        asyncio.run(session.go())
    assert read_switches(session.watch.workspace).stop == "enough"
    assert test.events("closing")[-1] == {
        "state": "ordered", "thrown": "enough", "accounts": {"COUNCIL": {"ordered": ["A"], "failed": {}, "closed": []}}
    }  # fmt: skip
    assert find_owed(session.store)[RUN].ordered == ("COUNCIL: A ordered to close",)
    assert [one.client_order_id[:6] for one in market.orders(accounts["COUNCIL"]) if one.is_open] == ["close-"]
