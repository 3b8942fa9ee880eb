"""`sim sweep --plan`: what each parameter changes, how much is played and asked; nothing is asked or written."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from simulator.runs.plan import make_plan
from simulator.studies.planner import plan_sweep
from simulator.studies.study_file import make_study
from simulator.workspace import Workspace, make_workspace

from ..conftest import Sim


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    root = tmp_path_factory.mktemp("planned") / "w"
    make_workspace(root, git=False)
    return Workspace(root, root)


def tree(folder: Path) -> set[Path]:
    return set(folder.rglob("*"))


def test_a_rule_s_parameters_are_sorted_by_what_they_change_and_nobody_is_asked(place: Workspace) -> None:
    before = tree(place.root)
    sets = [("fast", "5:20:5"), ("schedule.weekday", "monday,friday"), ("costs.slippage_bps", "1,5")]
    sets += [("risk.max_weight", "0.5,1"), ("exits.stop", "0.05,none"), ("sizing.scale", "0.5,1")]
    given: dict[str, Any] = {"strategy": "sma_cross", "symbols": ("SPY",), "where": ("fast < slow",)}
    found = plan_sweep(make_study(place, None, sets, **given), place)
    kinds = {one.name: one.kind for one in found.parameters}
    assert kinds == {
        "fast": "signal",
        "schedule.weekday": "schedule",
        "costs.slippage_bps": "execution",
        "risk.max_weight": "risk",
        "exits.stop": "execution",
        "sizing.scale": "risk",
    }
    assert (found.members, found.lines, found.misses) == (4 * 2**5, (), 0)
    assert 0 < found.minutes < 1
    assert tree(place.root) == before


@pytest.mark.medium
def test_a_council_s_questions_are_counted_once_whoever_of_the_members_shares_them(place: Workspace) -> None:
    before = tree(place.root)
    typed: dict[str, Any] = {"strategy": "small_council", "first": "2024-09-03", "last": "2024-09-13"}
    sets = [("trade.stops", "1,2"), ("costs.slippage_bps", "1:10:1"), ("user_query", "A?,B?")]
    study = make_study(place, None, sets, **typed, models="local")
    found = plan_sweep(study, place)
    kinds = {one.name: one.kind for one in found.parameters}
    assert kinds == {"trade.stops": "downstream", "costs.slippage_bps": "downstream", "user_query": "upstream"}
    alone = [make_plan(study.spec(number), place).misses for number in (0, 1)]
    assert (found.members, found.asked_apart) == (40, 2)
    assert alone[0] < found.misses < sum(alone), "what is asked before the query is shown is shared"
    assert make_plan(study.spec(2), place).misses == alone[0]
    downstream = plan_sweep(make_study(place, None, sets[:2], **typed, models="local"), place)
    assert (downstream.asked_apart, downstream.misses) == (1, make_plan(study.base, place).misses)
    assert tree(place.root) == before


@pytest.mark.medium
def test_the_plan_is_printed_as_a_table_and_as_json(place: Workspace, sim: Sim) -> None:
    words = ["sweep", "--strategy", "sma_cross", "--symbols", "SPY", "--set", "fast=5:20:5", "--plan"]
    told = sim(*words, cwd=place.root)
    assert told.returncode == 0, told.stderr
    assert "grid of 4 members" in told.stdout
    assert "asks no model" in told.stdout
    facts = json.loads(sim(*words, "--json", cwd=place.root).stdout)
    assert facts["total"] == {"calls": 0, "hits": 0, "misses": 0, "usd": {"low": 0, "likely": 0, "high": 0}}
    assert facts["parameters"] == [{"name": "fast", "kind": "signal", "values": 4, "shown": "5:20:5"}]
