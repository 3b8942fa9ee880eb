"""Sessions that are not like others, rehearsed: half-days, closures at short notice, weeks in which clocks change."""

from __future__ import annotations

import csv
from datetime import date
from pathlib import Path

import pytest

from simulator.market.calendar import day_of, sessions
from simulator.rehearsal.parity import compare
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


def test_a_position_goes_through_the_night_of_a_split(workspace: Path) -> None:
    # Apple, seven for one on 9 June 2014: 645 dollars on Friday, 93 on Monday.
    closes = {"2014-06-04": 92.12, "2014-06-05": 92.48, "2014-06-06": 92.22, "2014-06-09": 93.70, "2014-06-10": 94.25}
    for symbol, unit in (("AAPL", 1.0), ("BIL", 0.5)):
        rows = [f"{day},{unit * c},{unit * (c + 0.5)},{unit * (c - 0.5)},{unit * c},1000" for day, c in closes.items()]
        (workspace / "data" / f"{symbol}.csv").write_text("\n".join(["date,open,high,low,close,volume", *rows, ""]))
    spec = RunSpec("buy_and_hold", ("AAPL",), date(2014, 6, 5), parameters={"risk.execution": "alpaca"})
    night = ("at 2014-06-09T00:00-04:00 split AAPL 7",)
    rehearsal = Rehearsal(spec, 4, find_workspace(str(workspace)), night)
    session = rehearse(rehearsal)
    (fill,) = session.traders[0].fills
    assert fill.price == pytest.approx(7 * 92.48 * 1.0002)
    assert session.traders[0].state.shares["AAPL"] == pytest.approx(7 * fill.quantity)
    assert compare(session.run, rehearsal.folder, rehearsal.workspace).differences == ()


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
