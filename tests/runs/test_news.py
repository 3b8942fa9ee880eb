"""Headlines in data/news are shown from the moment they were published, and a run is another run with them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import simulator

pytestmark = pytest.mark.medium

PERIOD = ("2024-01-02", "2024-01-19")


def told(run: simulator.Run) -> dict[str, list[str]]:
    """{as_of: headlines shown}."""
    shown = {}
    for row in run.records:
        shown[row["as_of"][:16]] = [news["headline"] for news in row["record"]["facts"].get("news", [])]
    return shown


def test_a_headline_is_known_from_its_publication_on_and_no_earlier(workspace: Path) -> None:
    without = simulator.run("macro_council", ["SPY", "QQQ"], *PERIOD, workspace=workspace)
    assert not any(told(without).values())
    (workspace / "data" / "news").mkdir()
    (workspace / "data" / "news" / "mine.csv").write_text(
        "published_at,headline,symbols\n"
        "2024-01-08T07:59:00-05:00,Chips are in demand,QQQ\n"
        "2024-01-08T08:01:00-05:00,A minute too late for the meeting,SPY\n"
    )
    run = simulator.run("macro_council", ["SPY", "QQQ"], *PERIOD, workspace=workspace)
    shown = told(run)
    assert shown["2024-01-05T09:00"] == []
    assert shown["2024-01-08T08:00"] == ["Chips are in demand"]
    assert set(shown["2024-01-09T09:00"]) == {"Chips are in demand", "A minute too late for the meeting"}
    assert run.facts["run_id"] != without.facts["run_id"]
    assert run.facts["data_digest"] != without.facts["data_digest"]


def test_one_meeting_alone_is_asked_what_the_run_asked_news_included(sim, workspace: Path) -> None:
    (workspace / "data" / "news").mkdir()
    line = {"published_at": "2024-01-08T07:00:00-05:00", "headline": "Chips are in demand", "symbols": ["QQQ"]}
    (workspace / "data" / "news" / "mine.jsonl").write_text(json.dumps(line) + "\n")
    simulator.run("macro_council", ["SPY", "QQQ"], *PERIOD, workspace=workspace)
    done = sim("council", "run", "--as-of", "2024-01-08", "--cache", "replay", "--json", "--workspace", workspace)
    assert done.returncode == 0, done.stderr


def test_a_row_that_is_no_news_is_named_by_file_and_line(sim, workspace: Path) -> None:
    (workspace / "data" / "news").mkdir()
    (workspace / "data" / "news" / "mine.csv").write_text("published_at,headline\n2024-01-08 07:59,No time zone\n")
    done = sim("run", "--to", PERIOD[1], "--workspace", workspace)
    assert done.returncode == 3
    assert "mine.csv:2" in done.stderr
    assert done.stderr.count("\n") == 1
