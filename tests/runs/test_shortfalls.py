"""Members that fail: what of it reaches the others, what the reader is told, and when a run says it went wrong."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

import simulator
from simulator.analysis.unanswered import shortfalls_sentence

from .conftest import Serve, seat_models

pytestmark = pytest.mark.medium

PERIOD = {"start": "2024-01-02", "end": "2024-01-26"}
DATES = 4
REFUSING = ("--latency", 0, "--faults", 1, "--fault", "refusal")


def run(workspace: Path, **changes: Any) -> simulator.Run:
    return simulator.run(**{**PERIOD, "models": "dry", "max_cost": 50.0, **changes}, workspace=workspace)


def calls(made: simulator.Run) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (made.folder / "llm_calls.jsonl").read_text().splitlines()]


def test_a_member_that_refuses_is_named_and_the_others_meet_without_it(serve: Serve, workspace: Path, sim: Any) -> None:
    good, bad = serve("--latency", 0), serve(*REFUSING)
    seat_models(workspace, good.url)
    whole = run(workspace)
    seat_models(workspace, good.url, elsewhere={"pm.risk": bad.url})
    torn = run(workspace)
    found = torn.facts["shortfalls"]
    assert (found["meetings"], found["answers"], found["no_decision"]) == (DATES, DATES * (2 + 5 + 16 + 1), [])
    assert Counter((one["stage"], one["seat"]) for one in found["failed"]) == {
        ("pitch", "pm.risk"): DATES,
        ("review", "pm.risk"): 4 * DATES,
    }
    assert torn.undecided is None
    assert whole.facts["shortfalls"]["failed"] == []
    # The questions before anybody could miss it are the same ones, and so are their keys.
    before = {
        (c["session"], c["stage"], c["seat"]): c["key"] for c in calls(whole) if c["stage"] in ("research", "pitch")
    }
    after = {(c["session"], c["stage"], c["seat"]): c["key"] for c in calls(torn)}
    assert all(after[spot] == key for spot, key in before.items() if spot[2] != "pm.risk")
    # Those who review see its pitch nowhere, and every other pitch under the label it always had.
    for one, other in zip(whole.records, torn.records, strict=True):
        assert one["record"]["labels"] == other["record"]["labels"]
        assert one["record"]["facts"] == other["record"]["facts"]
    words = ("run", "--models", "dry", "--from", PERIOD["start"], "--to", PERIOD["end"], "--workspace", workspace)
    done = sim(*words)
    assert done.returncode == 0, done.stderr
    told = " ".join(done.stdout.split())
    assert "20 of 96 answers could not be used (pm.risk 20); every meeting kept its quorum." in told
    report = (torn.folder / "report.html").read_text()
    assert report.count("pm.risk on pm.carry") == DATES
    assert "I cannot help with that." in report


@pytest.mark.parametrize(
    ("seats", "why"),
    [
        (("research.1", "research.2"), "research: 0 of 2 answers could be used"),
        (("pm.trend", "pm.risk", "pm.carry"), "pitch: 2 of 5 answers could be used, quorum 3"),
        (("chairman",), "chairman: no decision that could be used (refused"),
    ],
)
def test_meetings_below_their_quorum_decide_nothing_and_the_run_exits_with_4(
    serve: Serve, workspace: Path, sim: Any, seats: tuple[str, ...], why: str
) -> None:
    good, bad = serve("--latency", 0), serve(*REFUSING)
    seat_models(workspace, good.url, elsewhere=dict.fromkeys(seats, bad.url))
    words = ("run", "--models", "dry", "--from", PERIOD["start"], "--to", PERIOD["end"], "--workspace", workspace)
    done = sim(*words, "--json")
    assert done.returncode == 4
    said = json.loads(done.stdout)
    assert said["partial"] is False
    assert [one["why"].startswith(why) for one in said["shortfalls"]["no_decision"]] == [True] * DATES
    line = done.stderr.splitlines()[-1]
    assert line.startswith("sim: error: 4 of 4 meetings ended without a decision, the first on 2024-01-02: " + why)
    assert f"`sim explain {said['run_id']} 2024-01-02` shows who failed" in line
    asked = good.stats()["requests"] + bad.stats()["requests"]
    again = run(workspace)
    assert again.undecided is not None
    assert again.undecided.exit_code == 4
    assert good.stats()["requests"] + bad.stats()["requests"] == asked
    assert "4 of 4 meetings ended without a decision" in shortfalls_sentence(again.facts).replace("\u00a0", " ")


def test_a_run_without_a_council_has_no_shortfalls(workspace: Path) -> None:
    made = simulator.run("equal_weight", ["SPY"], "2024-01-02", "2024-02-16", workspace=workspace)
    assert made.facts["shortfalls"] == {"meetings": 0, "answers": 0, "failed": [], "no_decision": []}
    assert shortfalls_sentence(made.facts) == ""
