"""The account of a run as of an instant: what the run folder says of its end, and nothing later before."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from datetime import date
from pathlib import Path

import pytest

from simulator.evidence.reader import account_curves, read_equity, read_run, read_trades
from simulator.rehearsal.rehearse import Rehearsal, rehearse
from simulator.runs.desk_state import DeskRequest, open_desk
from simulator.runs.spec import RunSpec
from simulator.store.connection import store_place
from simulator.store.database import Store
from simulator.store.folders import find_run
from simulator.trading.model import RoundTrip
from simulator.workspace import Workspace

Sim = Callable[..., "subprocess.CompletedProcess[str]"]

pytestmark = pytest.mark.medium


def summary(trip: RoundTrip) -> tuple[object, ...]:
    """Return what does not depend on where slippage is counted."""
    return trip.symbol, trip.side, trip.entry_at, trip.exit_at, trip.quantity, round(trip.pnl, 6), trip.ended


def test_the_last_instant_is_the_run_and_an_earlier_one_is_a_shorter_run(workspace: Path, sim: Sim) -> None:
    words = ("run", "--strategy", "macro_council", "--from", "2024-01-02", "--symbols", "SPY,QQQ", "--to")
    for last in ("2024-01-31", "2024-02-14"):
        assert sim(*words, last, cwd=workspace).returncode == 0
    there = Workspace(workspace, workspace)
    longer = find_run(there.reports, "last")
    shorter = next(one for one in there.reports.glob("macro_council-*") if one != longer)
    for folder, as_of in ((longer, None), (shorter, "2024-01-31")):
        run = read_run(folder)
        days, columns = read_equity(folder, run, ("equity", "cash"))
        for account, curve in account_curves(run, columns).items():
            state = open_desk(DeskRequest(run=longer.name, as_of=as_of, account=account), there)()
            assert state.equity == tuple(zip(days, curve.tolist(), strict=True))
            assert state.book.equity == pytest.approx(curve[-1], rel=1e-12)
            stored = sorted(map(summary, read_trades(folder, run, account) or ()), key=str)
            assert sorted(map(summary, state.trips), key=str) == stored
        own = open_desk(DeskRequest(run=longer.name, as_of=as_of), there)()
        assert own.book.cash == pytest.approx(columns["cash"][-1], rel=1e-12)
        assert own.snapshot.session == days[-1]


def test_before_its_first_session_an_account_has_its_cash_and_within_one_its_open_fills(
    workspace: Path, sim: Sim
) -> None:
    words = ("--strategy", "buy_and_hold", "--from", "2024-01-02", "--to", "2024-01-31", "--symbols", "SPY")
    assert sim("run", *words, cwd=workspace).returncode == 0
    there = Workspace(workspace, workspace)

    def at(as_of: str) -> tuple[float, bool, int, int]:
        state = open_desk(DeskRequest(run="last", as_of=as_of), there)()
        return state.book.cash, bool(state.book.positions), len(state.equity), state.entries_today

    assert at("2024-01-01") == (100_000.0, False, 0, 0)
    cash, held, closes, entries = at("2024-01-02T10:00")
    assert abs(cash) < 100.0
    assert (held, closes, entries) == (True, 0, 1)
    assert at("2024-01-03")[1:] == (True, 2, 0)
    state = open_desk(DeskRequest(run="last"), there)
    begun = open_desk(DeskRequest(run="buy_and_hold-2024"), there)
    before = state()
    copy = there.reports / "equal_weight-2024-01-02-2024-01-31-0123456789"
    shutil.copytree(find_run(there.reports, "last"), copy, copy_function=shutil.copy)
    (copy / "equity.csv").unlink()
    assert find_run(there.reports, "last") == copy
    assert state().book == before.book, "a run made meanwhile is no other account"
    copy.rename(copy.with_name(copy.name.replace("equal_weight", "buy_and_hold")))
    assert begun().book == before.book, "nor does it make a name fit two"


def test_a_rehearsed_test_is_read_from_its_events(workspace: Path) -> None:
    there = Workspace(workspace, workspace)
    rehearsal = Rehearsal(RunSpec("sma_cross", ("SPY", "QQQ"), date(2024, 3, 1)), 3, there)
    session = rehearse(rehearsal)
    with Store(store_place(there.registry)) as store:
        events = store.of_forward(session.run)
    rows = [one.event.payload for one in events if one.event.kind == "forward.session"]
    booked = {row["session"]: row for row in rows if "equity" in row}
    assert len(booked) == 3
    for day, row in booked.items():
        state = open_desk(DeskRequest(run=session.run, as_of=day), there)()
        assert state.book.equity == pytest.approx(row["equity"], rel=1e-9)
        assert state.book.positions == pytest.approx(row["positions"])
        assert str(state.equity[-1][0]) == day
        assert {trip.symbol for trip in state.trips if trip.exit_at is None} == set(row["positions"])
