"""`sim forward report` of a real rehearsal: the figures of the verdict are those a replay of the same sessions has."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from simulator.analysis.anytime import forward_series
from simulator.analysis.forward_facts import read_facts
from simulator.workspace import find_workspace

pytestmark = pytest.mark.medium

Sim = Callable[..., "subprocess.CompletedProcess[str]"]
WORDS = ("--strategy", "random_entry", "--symbols", "SPY,QQQ", "--from", "2024-06-03")


def test_the_report_of_a_rehearsal_has_the_residuals_of_the_replay(workspace: Path, sim: Sim) -> None:
    none = sim("forward", "report", cwd=workspace)
    assert none.returncode == 2
    assert "`sim forward start` begins one" in none.stderr
    done = sim("rehearse", *WORDS, "--sessions", "12", cwd=workspace)
    assert done.returncode == 0, done.stderr
    shown = sim("forward", "report", cwd=workspace)
    assert shown.returncode == 0, shown.stderr
    assert "Rehearsed on past bars" in shown.stdout
    assert "No verdict before session 60" in " ".join(shown.stdout.split())
    told = json.loads(sim("forward", "report", "forward-random", "--json", cwd=workspace).stdout)
    assert Path(told["page"]).name == "report.html"
    assert "Recommendations that came true" in (workspace / "docs" / "forward_test_results.md").read_text("utf-8")
    assert told["uptime"] == 1.0
    (held_by,) = told["held_by"]
    name = f"{held_by['name']}: {told['sessions'][0]} to {told['sessions'][-1]}, 12 sessions"
    assert f"sources {held_by['digest'][:10]})" in name
    for page in (workspace / "docs" / "forward_test_results.md", Path(told["page"])):
        assert name in page.read_text("utf-8").replace("\u00a0", " ")
    assert len(told["sessions"]) == 12

    again = sim("run", *WORDS, "--to", told["sessions"][-1], "--set", "risk.execution=alpaca", cwd=workspace)
    assert again.returncode == 0, again.stderr
    _, facts = read_facts(find_workspace(workspace), "last")
    own = forward_series(facts.record.days, facts.registration, float(facts.primary.path[0]))
    (folder,) = (workspace / "reports").glob("random_entry-*")
    replayed = pd.read_csv(folder / "exposure.csv")
    assert np.abs(replayed["choosing"]).max() > 1e-4
    for name, column in own.columns.items():
        assert column == pytest.approx(replayed[name].to_numpy(), abs=1e-12), name
    assert own.decided.sum() == json.loads((folder / "run.json").read_text())["skill"]["decisions"]
