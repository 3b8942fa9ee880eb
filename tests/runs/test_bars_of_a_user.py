"""Bars as people have them, from the command to the report."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

import simulator
from simulator.market.calendar import sessions

Sim = Callable[..., "subprocess.CompletedProcess[str]"]
pytestmark = pytest.mark.medium


def half_hours(days: list[str]) -> list[str]:
    starts = [datetime.fromisoformat(f"{day} 09:30") + timedelta(minutes=30 * n) for day in days for n in range(13)]
    return [f"{at},{100 + n},{102 + n},{99 + n},{101 + n},1000" for n, at in enumerate(starts)]


@pytest.mark.fault(
    "bars", "an intraday run from the first session of its file", "starts one session later, with a note"
)
@pytest.mark.parametrize("first", ["2024-03-04", "2024-01-01"])
def test_an_intraday_run_from_the_first_session_starts_one_session_later(first: str, workspace: Path) -> None:
    rows = half_hours(["2024-03-04", "2024-03-05", "2024-03-06"])
    (workspace / "data" / "HALFHR.csv").write_text("\n".join(["timestamp,open,high,low,close,volume", *rows]))
    run = simulator.run("buy_and_hold", ["HALFHR"], first, workspace=workspace)
    assert "trading starts one session later than asked: 2024-03-04 is the first bar there is" in run.facts["notes"]
    assert str(run.records[0]["as_of"]).startswith("2024-03-05")
    later = simulator.run("buy_and_hold", ["HALFHR"], "2024-03-05", workspace=workspace)
    assert run.facts["metrics"] == later.facts["metrics"]


def test_a_jump_like_a_split_stands_in_terminal_and_report(workspace: Path, sim: Sim) -> None:
    days = sessions(datetime(2024, 1, 2).date(), datetime(2024, 6, 28).date()).dates.astype(str)
    prices = 100 * np.where(np.arange(len(days)) < 60, 8, 1)
    rows = [f"{day},{p},{p * 1.01},{p * 0.99},{p},1000" for day, p in zip(days, prices, strict=True)]
    (workspace / "data" / "RAW.csv").write_text("\n".join(["date,open,high,low,close,volume", *rows]))
    done = sim("run", "--strategy", "buy_and_hold", "--symbols", "RAW", "--from", "2024-02-01", cwd=workspace)
    assert done.returncode == 0
    said = "looks like an unadjusted 8-for-1 split"
    assert said in " ".join(done.stdout.split())
    (page,) = (workspace / "reports").glob("*/report.html")
    assert said in " ".join(page.read_text().split())
