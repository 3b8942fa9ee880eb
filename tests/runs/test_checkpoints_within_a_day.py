"""Minute bars drive all four checkpoints of a day, and none of them sees a bar that closes after it."""

from __future__ import annotations

import csv
import json
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import simulator
from simulator.market.bars import moment
from simulator.market.calendar import MINUTE, NEW_YORK, sessions

pytestmark = pytest.mark.medium

FIRST, LAST = date(2024, 6, 24), date(2024, 7, 5)
"""A week of whole sessions, then one with a half-day (3 July) and a holiday."""

TIMES = ("12:00", "14:00", "15:50")


def minute_rows(shock_from: datetime | None = None) -> list[dict[str, Any]]:
    """A year of made-up minute bars by their opening instants; from `shock_from` on prices are halved."""
    on = sessions(date(2023, 12, 1), LAST)
    starts = np.concatenate([np.arange(o, c, MINUTE) for o, c in zip(on.opens_at, on.closes_at, strict=True)])
    moves = np.random.Generator(np.random.PCG64(7)).normal(1e-6, 6e-4, len(starts))
    close = np.round(400 * np.exp(np.cumsum(moves)), 2)
    opened = np.r_[400.0, close[:-1]]
    rows = []
    for at, o, c in zip(starts.tolist(), opened.tolist(), close.tolist(), strict=True):
        when = moment(at).astimezone(NEW_YORK)
        factor = 0.5 if shock_from is not None and when >= shock_from else 1.0
        prices = {"open": o, "high": max(o, c) + 0.05, "low": min(o, c) - 0.05, "close": c}
        rows.append({"datetime": when.isoformat(), **{k: round(v * factor, 4) for k, v in prices.items()}, "volume": 9})
    return rows


def replayed(workspace: Path, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    with (workspace / "data" / "SPY.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    run = simulator.run("macro_council", ["SPY"], FIRST, LAST, workspace=workspace)
    assert run.facts["audit"]["max_relative_difference"] == 0.0
    return [{**row, "notes": run.facts["notes"]} for row in run.records]


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from simulator.workspace import make_workspace

    folder = tmp_path_factory.mktemp("minutes") / "workspace"
    make_workspace(folder, git=False)
    return folder


@pytest.fixture(scope="module")
def decisions(workspace: Path) -> list[dict[str, Any]]:
    return replayed(workspace, minute_rows())


def occasions(decisions: list[dict[str, Any]]) -> dict[str, list[str]]:
    days: dict[str, list[str]] = {}
    for row in decisions:
        days.setdefault(row["session"], []).append(row["as_of"][11:16])
    return days


def test_a_day_has_its_four_checkpoints_a_meeting_takes_the_place_of_the_first(decisions: list[dict[str, Any]]) -> None:
    days = occasions(decisions)
    assert days["2024-06-24"] == ["08:00", *TIMES]
    assert days["2024-06-25"] == ["09:00", *TIMES]
    # Closed at 13:00: what is two hours, and ten minutes, before the close is so on a half-day too.
    assert days["2024-07-03"] == ["09:00", "11:00", "12:00", "12:50"]
    assert days["2024-07-05"] == ["09:00", *TIMES]
    assert {row["record"]["kind"] for row in decisions} == {"council", "checkpoint"}


def test_each_knows_the_newest_bar_closed_by_then_and_no_later_one(decisions: list[dict[str, Any]]) -> None:
    closes = {datetime.fromisoformat(row["datetime"]) + timedelta(minutes=1): row["close"] for row in minute_rows()}
    instants = sorted(closes)
    checked = 0
    for row in decisions:
        as_of = datetime.fromisoformat(row["as_of"])
        newest = instants[np.searchsorted(np.array([i.timestamp() for i in instants]), as_of.timestamp(), "right") - 1]
        if row["record"]["facts"]["symbols"]:
            assert row["record"]["facts"]["symbols"]["SPY"]["close"] == pytest.approx(closes[newest], rel=1e-5)
            checked += 1
    assert checked > 25


def test_what_happens_after_a_checkpoint_changes_nothing_before_it(
    workspace: Path, decisions: list[dict[str, Any]]
) -> None:
    noon = datetime(2024, 6, 27, 12, tzinfo=NEW_YORK)  # the bar that opens at noon closes a minute after the checkpoint
    crashed = replayed(workspace, minute_rows(shock_from=noon))

    def until(rows: list[dict[str, Any]], at: datetime) -> list[str]:
        return [json.dumps(row, sort_keys=True) for row in rows if datetime.fromisoformat(row["as_of"]) <= at]

    assert until(crashed, noon) == until(decisions, noon)
    assert any("2024-06-27T12:00" in line for line in until(decisions, noon))
    after = noon + timedelta(hours=2)
    assert until(crashed, after) != until(decisions, after)
