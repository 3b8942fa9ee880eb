"""`sim council`: one meeting as of a date, by stages, with the answers a run would use."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable
from datetime import date
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import simulator
from simulator.config import load_config
from simulator.errors import UsageError
from simulator.runs.meeting import _explain_undecided, meeting_time
from simulator.workspace import make_workspace

pytestmark = pytest.mark.medium

Sim = Callable[..., "subprocess.CompletedProcess[str]"]

MANAGERS = {f"pm.{name}" for name in ("trend", "reversion", "risk", "carry", "breakout")}
SHIPPED = Path(simulator.__file__).parents[1] / "config"


@pytest.fixture(scope="module")
def met(tmp_path_factory: pytest.TempPathFactory) -> simulator.Run:
    """A run of half a year, in a workspace of its own."""
    folder = tmp_path_factory.mktemp("council") / "workspace"
    make_workspace(folder, git=False)
    return simulator.run("macro_council", ["SPY", "QQQ"], "2024-01-02", "2024-07-31", workspace=folder)


def council(sim: Sim, met: simulator.Run, *words: str, code: int = 0) -> dict[str, Any]:
    done = sim("council", *words, "--json", "--workspace", met.folder.parents[1])
    assert done.returncode == code, done.stderr
    said: dict[str, Any] = json.loads(done.stdout)
    return said


@pytest.mark.parametrize("row", [0, 1, 12, -1])
def test_a_meeting_a_run_has_held_is_had_from_disk_and_decides_the_same(row: int, met: simulator.Run, sim: Sim) -> None:
    rows = [one for one in met.records if one["record"]["kind"] == "council"]
    held = rows[row]["record"]
    said = council(sim, met, "run", "--as-of", rows[row]["session"], "--cache", "replay")
    assert (said["llm"]["asked"], said["llm"]["cached"], said["llm"]["cost_usd"]) == (0, 28, 0.0)
    assert said["as_of"] == rows[row]["as_of"]
    assert said["metadata"]["facts"] == held["facts"]
    keys = [one["keys"] for name in ("research", "pitches", "reviews") for one in held[name]]
    assert [one["keys"] for name in ("research_pack", "pm_pitches", "peer_reviews") for one in said[name]] == keys
    assert said["chairman_decision"]["keys"] == held["chairman"]["keys"]
    if row == 0:
        # Both accounts were empty.
        assert said["execution_results"] == held["execution"]
        assert said["allowed"] == rows[0]["allowed"]


def test_each_stage_says_its_own_result_in_the_keys_of_the_handoff_report(met: simulator.Run, sim: Sim) -> None:
    results = ("research_pack", "pm_pitches", "peer_reviews", "chairman_decision", "execution_results")

    def stage(name: str) -> dict[str, Any]:
        said = council(sim, met, name, "--as-of", "2024-06-03")
        assert said["no_decision"] is None
        return {key: said[key] for key in results if key in said} | {"asked": said["llm"]["asked"]}

    packs = stage("research")
    assert (set(packs), packs["asked"]) == ({"research_pack", "asked"}, 0)
    wanted = {"macro_regime", "top_narratives", "consensus_map", "tradable_candidates", "event_calendar"}
    assert all(wanted <= set(pack) for pack in packs["research_pack"])
    pitches = stage("pitch")["pm_pitches"]
    wanted = {"model", "account", "instrument", "direction", "horizon", "thesis_bullets", "indicators", "conviction"}
    assert all({*wanted, "invalidation"} <= set(pitch) for pitch in pitches)
    assert {pitch["seat"]: pitch["account"] for pitch in pitches} == {
        "pm.trend": "CHATGPT",
        "pm.reversion": "GEMINI",
        "pm.risk": "CLAUDE",
        "pm.carry": "GROQ",
        "pm.breakout": "DEEPSEEK",
    }
    reviews = stage("review")["peer_reviews"]
    assert len(reviews) == 20
    assert all(one["reviewer"] != one["author"] for one in reviews)
    assert {one["author"] for one in reviews} == {one["reviewer"] for one in reviews} == MANAGERS
    assert all(
        {"reviewer_model", "pitch_author", "scores", "kill_shot", "flip_condition"} <= set(one) for one in reviews
    )
    whole = stage("run")
    assert set(whole) == {*results, "asked"}
    decision = {"approved_trades", "rejected_trades", "dissent_summary", "monitoring_plan"}
    assert decision <= set(whole["chairman_decision"])


def test_a_meeting_nobody_has_held_is_asked_and_kept(met: simulator.Run, sim: Sim) -> None:
    words = ("run", "--as-of", "2024-06-05", "--symbols", "SPY,GLD")
    first, again = council(sim, met, *words), council(sim, met, *words)
    assert (first["llm"]["asked"], again["llm"]["asked"]) == (28, 0)
    assert {**first, "llm": None} == {**again, "llm": None}


def test_it_reads_well_in_eighty_columns(met: simulator.Run, sim: Sim) -> None:
    place = ("--workspace", met.folder.parents[1])
    done = sim("council", "run", "--as-of", "2024-06-03", *place, env={"COLUMNS": "80"})
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert max(map(len, lines)) <= 80
    headings = ["Research", "Pitches", "Reviews: mean", "Decision of chairman", "Targets of an empty account"]
    at = [next(n for n, line in enumerate(lines) if line.startswith(heading)) for heading in headings]
    assert all(one < other for one, other in pairwise(at))
    matrix = [line.split() for line in lines[at[2] + 1 : at[2] + 7]]
    assert {row[0] for row in matrix[1:]} == MANAGERS
    assert [row.index("·") for row in matrix[1:]] == [1, 2, 3, 4, 5]


@pytest.mark.parametrize(
    ("typed", "session", "why"),
    [
        ("2024-06-03", "2024-06-03", None),
        ("2024-06-01", "2024-06-03", "closed"),  # a Saturday
        ("2024-07-04", "2024-07-05", "closed"),  # Independence Day
        ("2024-07-03", "2024-07-05", "early"),  # closes at 13:00, and the next day is a holiday
        ("2024-11-28", "2024-12-02", "closed"),  # Thanksgiving, then an early close, then a weekend
    ],
)
def test_holidays_and_early_closes_move_to_the_next_whole_session(typed: str, session: str, why: str | None) -> None:
    found = meeting_time(typed, load_config(SHIPPED).schedule, "weekly")
    assert found.session == date.fromisoformat(session)
    assert found.as_of.isoformat() == f"{session}T08:00:00-0{4 if session < '2024-11' else 5}:00"
    if why is None:
        assert found.moved is None
    else:
        assert found.moved is not None
        assert why in found.moved
        assert session in found.moved


def test_a_council_that_meets_daily_meets_on_half_days_and_an_instant_is_taken_as_it_stands() -> None:
    schedule = load_config(SHIPPED).schedule
    assert meeting_time("2024-07-03", schedule, "daily").session == date(2024, 7, 3)
    typed = meeting_time("2024-07-03T12:30", schedule, "weekly")
    assert (typed.as_of.isoformat(), typed.moved) == ("2024-07-03T12:30:00-04:00", None)
    assert meeting_time("2024-07-03T16:30:00+00:00", schedule, "weekly").as_of == typed.as_of
    with pytest.raises(UsageError, match="is not a date"):
        meeting_time("Monday", schedule, "weekly")


def test_the_session_that_was_taken_is_said(met: simulator.Run, sim: Sim) -> None:
    done = sim("council", "research", "--as-of", "2024-07-03", "--workspace", met.folder.parents[1])
    assert "on 2024-07-03 the exchange closes early: the meeting is that of 2024-07-05" in done.stdout
    assert council(sim, met, "research", "--as-of", "2024-07-03")["moved"].endswith("2024-07-05")


def test_a_council_of_managers_alone_decides_by_vote_for_the_councils_account(met: simulator.Run, sim: Sim) -> None:
    strategies = met.folder.parents[1] / "strategies"
    shutil.copytree(strategies / "macro_council", strategies / "bare")
    path = strategies / "bare" / "strategy.yaml"
    path.write_text(path.read_text().replace("enabled: true", "enabled: false"))
    said = council(sim, met, "run", "--strategy", "bare", "--as-of", "2024-06-03")
    assert (said["research_pack"], said["peer_reviews"], said["llm"]["asked"] + said["llm"]["cached"]) == ([], [], 5)
    assert (said["chairman_decision"]["seat"], said["chairman_decision"]["account"]) == ("vote", "COUNCIL")
    assert set(said["labels"].values()) == MANAGERS
    refused = sim("council", "review", "--strategy", "bare", "--as-of", "2024-06-03", "--workspace", strategies.parent)
    assert refused.returncode == 2
    assert "bare has no stage review; it has pitch, chairman" in refused.stderr


def test_an_instant_knows_the_bars_closed_by_then(met: simulator.Run, sim: Sim) -> None:
    words = ("research", "--symbols", "SPY,GLD", "--as-of")
    known = {
        at: council(sim, met, *words, at)["known_to"]
        for at in ("2024-06-05", "2024-06-05T15:59", "2024-06-05T16:00", "2024-06-08T10:00")
    }
    assert list(known.values()) == ["2024-06-04", "2024-06-04", "2024-06-05", "2024-06-07"]


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["run"], 2, ["'--as-of'"]),
        (["run", "--as-of", "2024-13-01"], 2, ["2024-13-01", "write it as 2024-01-31"]),
        (["chairman", "--as-of", "2024-06-03"], 2, ["'chairman'"]),
        (
            ["run", "--as-of", "2024-06-03", "--strategy", "sma_cross"],
            2,
            ["sma_cross", "is no council", "macro_council"],
        ),
        (["run", "--as-of", "2024-06-03", "--strategy", "macro_concil"], 2, ["macro_concil", "macro_council"]),
        (["run", "--as-of", "2024-06-03", "--symbols", "SPYY"], 3, ["SPYY", "`sim data fetch "]),
        (["run", "--as-of", "2030-06-03"], 3, ["SPY", "`sim data fetch "]),
        (["run", "--as-of", "2024-06-03", "--models", "ofline"], 2, ["ofline", "offline"]),
        (["run", "--as-of", "2024-06-03", "--max-cost", "-1"], 2, ["--max-cost"]),
        (["run", "--as-of", "2024-06-03", "--cache", "replay"], 4, ["no stored answer", "`--cache record`"]),
    ],
)
def test_what_cannot_be_meant_gets_one_line(
    words: list[str], code: int, said: list[str], workspace: Path, sim: Sim
) -> None:
    done = sim("council", *words, cwd=workspace)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (code, "", 1), done.stderr
    assert done.stderr.startswith("sim: error: ")
    assert [one for one in said if one not in done.stderr] == [], done.stderr


@pytest.mark.fault(
    "money", "a stage of `sim council` ends without a decision", "the hint pays for what failed, not for all"
)
def test_the_hint_after_failures_asks_again_only_what_failed() -> None:
    ended: Any = SimpleNamespace(no_decision="pitch: 2 of 5 answered", facts={"symbols": ["SPY"]})
    assert str(_explain_undecided(ended)).endswith("2 of 5 answered; `--cache retry` asks again what failed")
    hints = [path for path in Path(simulator.__file__).parent.rglob("*.py") if "`--cache refresh" in path.read_text()]
    assert not hints
