"""`sim council` on a service over HTTP: the price is said before, the budget holds, a missed quorum is shown."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from .conftest import Serve, seat_models

pytestmark = pytest.mark.medium

Sim = Callable[..., "subprocess.CompletedProcess[str]"]


def test_real_models_are_priced_before_and_a_missed_quorum_shows_what_there_is(
    serve: Serve, workspace: Path, sim: Sim
) -> None:
    good = serve("--latency", 0)
    bad = serve("--latency", 0, "--faults", 1, "--fault", "refusal")
    seat_models(workspace, good.url, elsewhere=dict.fromkeys(("pm.trend", "pm.risk", "pm.carry"), bad.url))
    words = ("council", "run", "--as-of", "2024-06-03", "--models", "dry", "--json")
    done = sim(*words, cwd=workspace)
    assert done.returncode == 4, done.stderr
    told = done.stderr.splitlines()
    assert told[0].startswith("28 questions to ask, about $")
    assert "pitch: 2 of 5 answers could be used, quorum 3" in told[-1]
    said = json.loads(done.stdout)
    assert said["no_decision"].startswith("pitch: 2 of 5")
    assert len([pack for pack in said["research_pack"] if "macro_regime" in pack]) == 2
    assert sorted(one["seat"] for one in said["pm_pitches"] if "error" in one) == ["pm.carry", "pm.risk", "pm.trend"]
    assert (said["peer_reviews"], said["chairman_decision"], said["execution_results"]) == ([], None, [])
    assert said["llm"]["cost_usd"] > 0
    shown = sim(*words[:-1], cwd=workspace)
    assert shown.returncode == 4
    assert "No decision: pitch: 2 of 5" in shown.stdout
    assert "0 asked, " in shown.stdout


def test_the_budget_of_a_meeting_holds(serve: Serve, workspace: Path, sim: Sim) -> None:
    service = serve("--latency", 0)
    seat_models(workspace, service.url)
    done = sim("council", "run", "--as-of", "2024-06-03", "--models", "dry", "--max-cost", "0", cwd=workspace)
    assert (done.returncode, done.stdout) == (4, "")
    assert "budget of $0.00 is spent" in done.stderr
    assert service.stats()["answered"] == 0
