"""Sessions that are not like others, rehearsed: half-days, closures at short notice, weeks in which clocks change."""

from __future__ import annotations

import csv
import os
import zipfile
from collections.abc import Sequence
from datetime import date, timedelta
from pathlib import Path

import pytest

from simulator.forward.state import State
from simulator.market.calendar import day_of, sessions
from simulator.rehearsal.parity import Difference, compare
from simulator.rehearsal.rehearse import Rehearsal, rehearse
from simulator.runs.spec import RunSpec
from simulator.store.connection import store_place
from simulator.store.database import Store
from simulator.workspace import find_workspace

pytestmark = pytest.mark.medium


def write_bars(folder: Path, first: date, last: date) -> None:
    for n, symbol in enumerate(("SPY", "BIL")):
        with (folder / f"{symbol}.csv").open("w", newline="") as file:
            rows = csv.writer(file)
            rows.writerow(("date", "open", "high", "low", "close", "volume"))
            for k, day in enumerate(sessions(first, last).session_of.tolist()):
                price = 100.0 + 7 * (k % 5) - n
                rows.writerow((day_of(day), price, price + 2, price - 2, price + 1, 1000))


@pytest.mark.parametrize(
    ("first", "count", "expected"),
    [
        (date(2024, 7, 2), 3, ["2024-07-02", "2024-07-03", "2024-07-05"]),
        (date(2025, 1, 8), 2, ["2025-01-08", "2025-01-10"]),
        (date(2024, 3, 8), 2, ["2024-03-08", "2024-03-11"]),
        (date(2024, 11, 1), 2, ["2024-11-01", "2024-11-04"]),
    ],
    ids=["half-day", "closed at short notice", "spring", "autumn"],
)
def test_every_point_is_held_once_at_its_hour(workspace: Path, first: date, count: int, expected: list[str]) -> None:
    write_bars(workspace / "data", date(2023, 6, 1), date(2025, 1, 31))
    parameters = {"risk.execution": "alpaca", "schedule.cadence": "daily", "fast": 2, "slow": 3, "exits.stop": 0.05}
    spec = RunSpec("sma_cross", ("SPY",), first, parameters=parameters)
    rehearsal = Rehearsal(spec, count, find_workspace(str(workspace)))
    session = rehearse(rehearsal)
    with Store(store_place(rehearsal.workspace.registry)) as store:
        events = [stored.event for stored in store.of_forward(session.run)]
    points = [one for one in events if one.kind == "forward.point"]
    assert [str(one.at)[:10] for one in points] == expected
    assert {str(one.at)[11:16] for one in points} == {"08:00"}  # New York's, on either side of a change of clocks
    assert {one.payload["state"] for one in points} == {"done"}
    ended = [one for one in events if one.kind == "forward.session" and one.account is None]
    assert [one.payload["session"] for one in ended] == expected
    assert compare(session.run, rehearsal.folder, rehearsal.workspace).differences == ()


@pytest.mark.fault("bars", "a plan that refuses the newest minutes", "waited for; else passed over, with an alert")
@pytest.mark.parametrize("wait", [20, 5])
def test_a_bar_that_is_refused_at_its_close_is_waited_for_and_nothing_decided_on_the_one_before(
    workspace: Path, wait: int
) -> None:
    write_bars(workspace / "data", date(2024, 1, 2), date(2024, 7, 31))
    (workspace / "config" / "forward.yaml").write_text(f"bars_wait_minutes: {wait}\n")
    parameters = {"risk.execution": "alpaca", "schedule.cadence": "daily", "schedule.decision_time": "16:00"}
    spec = RunSpec("buy_and_hold", ("SPY",), date(2024, 7, 2), parameters=parameters)
    rehearsal = Rehearsal(spec, 3, find_workspace(str(workspace)), ("sip-delayed",))  # the second is a half-day
    session = rehearse(rehearsal)
    with Store(store_place(rehearsal.workspace.registry)) as store:
        events = [stored.event for stored in store.of_forward(session.run)]
    points = [one for one in events if one.kind == "forward.point"]
    alerts = [one.payload["text"] for one in events if one.payload.get("kind") == "decision failed"]
    if wait == 20:
        assert {one.payload["state"] for one in points} == {"done"}
        decided = [one.payload["decided_at"][11:16] for one in points]
        assert (decided, alerts) == (["20:15", "17:15", "20:15"], []), "in UTC: 15 minutes after the close"
        assert session.traders[0].fills
        assert compare(session.run, rehearsal.folder, rehearsal.workspace).differences == ()
    else:
        assert {one.payload["state"] for one in points} == {"failed"}
        assert all("no bars: Alpaca refused bars for" in one and "403" in one for one in alerts)
        assert (len(alerts), session.traders[0].fills) == (3, [])


def over_the_night_of_apple(
    workspace: Path, first: float, last: float, told: str = "", **exits: object
) -> tuple[State, tuple[Difference, ...]]:
    """Hold Apple from 5 to 10 June 2014, seven for one on the 9th, from a close at `first` to one at `last`; return the
    account, and where a replay differs."""
    closes = {"2014-06-04": first, "2014-06-05": 92.48, "2014-06-06": 92.22, "2014-06-09": 93.70, "2014-06-10": last}
    for symbol, unit in (("AAPL", 1.0), ("BIL", 0.5)):
        rows = [f"{day},{unit * c},{unit * (c + 0.5)},{unit * (c - 0.5)},{unit * c},1000" for day, c in closes.items()]
        (workspace / "data" / f"{symbol}.csv").write_text("\n".join(["date,open,high,low,close,volume", *rows, ""]))
    spec = RunSpec("buy_and_hold", ("AAPL",), date(2014, 6, 5), parameters={"risk.execution": "alpaca", **exits})
    night = (f"at 2014-06-09T00:00-04:00 split AAPL 7{told and f' told={told}'}",)
    rehearsal = Rehearsal(spec, 4, find_workspace(str(workspace)), night)
    session = rehearse(rehearsal)
    return session.traders[0].state, compare(session.run, rehearsal.folder, rehearsal.workspace).differences


@pytest.mark.parametrize("told", ["", "2014-06-10T06:00"], ids=["in time", "a day late"])
def test_a_position_goes_through_the_night_of_a_split(workspace: Path, told: str) -> None:
    # 645 dollars on Friday, 93 on Monday.
    state, differences = over_the_night_of_apple(workspace, 92.12, 94.25, told)
    (fill,) = state.booked
    assert fill.price == pytest.approx(7 * 92.48 * 1.0002)
    assert state.shares["AAPL"] == pytest.approx(7 * fill.quantity)
    assert differences == ()


def whole_shares_of_the_day(differences: Sequence[Difference], ratio: int) -> None:
    """Assert that a test and its replay differ over a split by what docs/rehearsal.md says, and by nothing else."""
    assert {one.part for one in differences} == {"orders", "fills", "books"}
    for one in differences:
        if one.part == "fills":
            (mine, price), (theirs, paid) = one.forward, one.replay
            assert price == pytest.approx(paid, rel=1e-12)
        elif one.part == "orders":
            (_, mine, *prices), (_, theirs, *others) = one.forward.split(), one.replay.split()
            mine, theirs = float(mine), float(theirs)
            for ours, other in zip(prices[1::2], others[1::2], strict=True):
                assert 0.0 <= float(other) - float(ours) < 0.01  # of a long position, whose exits are moved up
                assert float(ours) * ratio == pytest.approx(round(float(ours) * ratio, 2), abs=ratio * 1e-4)
        elif one.where[-1] == "equity":
            assert abs(one.forward - one.replay) < ratio * 10.0  # what so many shares, and one less, gained or lost
            continue
        elif one.where[-1] == "cash":
            assert abs(one.forward - one.replay) < ratio * 300.0  # what so many shares cost
            continue
        else:
            mine, theirs = one.forward, one.replay
        assert abs(mine) == abs(theirs) // ratio * ratio


@pytest.mark.fault("services", "a position with exits goes through a split", "its stop pays the same as in a replay")
def test_a_stop_that_rests_over_the_night_of_a_split_pays_what_it_pays_in_a_replay(workspace: Path) -> None:
    # 0.97 of 643.30 is 624.01 dollars, and 89.15 after the split; Tuesday goes down to 89. A replay buys 1,088 shares.
    state, differences = over_the_night_of_apple(
        workspace, 91.9, 89.5, **{"exits.stop": 0.03, "exits.take_profit": 0.2}
    )
    bought, sold = state.booked
    assert (7 * bought.quantity, sold.quantity) == (1085.0, -1085.0)
    assert sold.price == pytest.approx(89.15 * 0.9998)
    assert state.shares == {}
    whole_shares_of_the_day(differences, 7)


def read_lean(folder: Path, day: str) -> list[list[float]]:
    """Rows of minute trades as QuantConnect's LEAN has them: milliseconds since midnight in New York, then prices of
    the day times 10,000, then shares."""
    with zipfile.ZipFile(folder / f"aapl_{day}_trade.zip") as packed:
        lines = packed.read(packed.namelist()[0]).decode().split()
    return [[float(cell) for cell in line.split(",")] for line in lines]


def write_lean(folder: Path, place: Path, minutes: bool) -> float:
    """Write Apple's trades in today's shares below `place`, as days or as minutes with those before the open among
    them; return the first price of the session on 6 June 2014, as it was traded."""
    rows, opened = [], 0.0
    for day, unit in (("20140605", 7.0), ("20140606", 7.0), ("20140609", 1.0)):
        on = f"{day[:4]}-{day[4:6]}-{day[6:]}"
        trades = read_lean(folder, day)
        session = [one for one in trades if 34_200_000 <= one[0] < 57_600_000]
        if day == "20140606":
            opened = session[0][1] / 1e4
        if not minutes:
            high, low = max(one[2] for one in session), min(one[3] for one in session)
            trades = [[0.0, session[0][1], high, low, session[-1][4], sum(one[5] for one in session)]]
        for at, *prices, volume in trades:
            wall = f"{on} {timedelta(milliseconds=at)}" if minutes else on
            rows.append([wall, *(price / 1e4 / unit for price in prices), volume * unit])
    with (place / "AAPL.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("date", "open", "high", "low", "close", "volume"), *rows])
    if not minutes:
        bil = [f"2014-06-0{day},45,45,45,45,1000" for day in (5, 6, 9)]
        (place / "BIL.csv").write_text("\n".join(["date,open,high,low,close,volume", *bil, ""]))
    return opened


@pytest.mark.slow
@pytest.mark.skipif("LEAN_BARS" not in os.environ, reason="LEAN_BARS names no folder of LEAN's minute trades")
@pytest.mark.parametrize("minutes", [False, True], ids=["days", "minutes"])
@pytest.mark.parametrize("exits", [{"exits.stop": 0.03, "exits.take_profit": 0.2}, {}], ids=["exits", "none"])
def test_the_night_of_a_split_in_the_figures_of_lean(workspace: Path, minutes: bool, exits: dict[str, object]) -> None:
    opened = write_lean(Path(os.environ["LEAN_BARS"]), workspace / "data", minutes)
    spec = RunSpec("buy_and_hold", ("AAPL",), date(2014, 6, 6), parameters={"risk.execution": "alpaca", **exits})
    rehearsal = Rehearsal(spec, 2, find_workspace(str(workspace)), ("at 2014-06-09T00:00-04:00 split AAPL 7",))
    session = rehearse(rehearsal)
    (trader,) = session.traders
    (fill,) = trader.fills
    assert opened > 600.0
    assert fill.price == pytest.approx(opened * 1.0002, abs=0.005 if not minutes else 1.0)
    assert trader.state.shares == pytest.approx({"AAPL": 7 * fill.quantity}, rel=1e-12)
    if exits:
        assert trader.state.protection["AAPL"].stop == pytest.approx(0.97 * opened / 7, rel=0.02)
    with Store(store_place(rehearsal.workspace.registry)) as store:
        events = [stored.event for stored in store.of_forward(session.run)]
    days = [one.payload for one in events if one.kind == "forward.session" and one.account is not None]
    before, after = (one["equity"] for one in days)
    assert after / before - 1 == pytest.approx(0.0, abs=0.03)
    assert [abs(one["unexplained"]) < 0.01 for one in days] == [True, True]
    told = {one.payload["kind"] for one in events if one.kind == "forward.alert"}
    assert told == {"started", "split", "stopped"}
    differences = compare(session.run, rehearsal.folder, rehearsal.workspace).differences
    if exits:
        whole_shares_of_the_day(differences, 7)
    else:
        assert differences == ()


def test_a_symbol_that_is_late_or_gone_holds_nobody_else_up(workspace: Path) -> None:
    write_bars(workspace / "data", date(2023, 6, 1), date(2024, 6, 30))
    lines = (workspace / "data" / "SPY.csv").read_text().splitlines(keepends=True)
    (workspace / "data" / "GONE.csv").write_text("".join(one for one in lines if one < "2024-06-05" or one[0] == "d"))
    (workspace / "data" / "LATE.csv").write_text("".join(one for one in lines if one >= "2024-06-06"))
    spec = RunSpec("equal_weight", ("SPY", "GONE", "LATE"), date(2024, 6, 3), parameters={"cadence": "daily"})
    rehearsal = Rehearsal(spec, 5, find_workspace(str(workspace)))
    session = rehearse(rehearsal)
    with Store(store_place(rehearsal.workspace.registry)) as store:
        events = [stored.event for stored in store.of_forward(session.run)]
    days = [one.payload["session"] for one in events if one.kind == "forward.session" and one.account is not None]
    assert days == ["2024-06-03", "2024-06-04", "2024-06-05", "2024-06-06", "2024-06-07"]
    told = {one.payload["text"] for one in events if one.kind == "forward.alert" and one.payload["kind"] == "no bar"}
    assert "of GONE, LATE in 2024-06-05" in told
    assert {one.payload["symbol"] for one in events if one.kind == "forward.fill"} == {"SPY", "GONE", "LATE"}
    assert compare(session.run, rehearsal.folder, rehearsal.workspace).differences == ()
