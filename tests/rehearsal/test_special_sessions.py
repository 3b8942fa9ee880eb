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
