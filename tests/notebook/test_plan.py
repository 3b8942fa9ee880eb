"""A plan from Python is what the run then asks, and what `sim run --plan` says."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

import simulator
from simulator.errors import UsageError

pytestmark = pytest.mark.medium
COUNCIL = ("macro_council", "SPY,QQQ", "2024-01-02", "2024-05-31")


def test_a_plan_is_what_the_run_asked(council: simulator.Run, lab: Path) -> None:
    async def within() -> object:
        return simulator.plan(*COUNCIL, workspace=lab)

    folders = sorted(path.name for path in (lab / "reports").iterdir())
    plan = asyncio.run(within())
    assert plan.totals["calls"] == plan.table["calls"].sum() == len(council.llm)
    models = council.llm["model"].str.partition("@")[0]
    asked = council.llm.groupby([council.llm["stage"], models]).size().to_dict()
    assert plan.table.set_index(["stage", "model"])["calls"].to_dict() == asked
    assert (plan.totals["usd"], plan.totals["minutes"]) == (0, 0)
    assert sorted(path.name for path in (lab / "reports").iterdir()) == folders
    assert len(repr(plan).splitlines()) == 5
    assert "<table" in plan._repr_html_()


def test_what_asking_would_cost_is_as_the_command_has_it(lab: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from simulator.cli import sim

    given = ("macro_council", "SPY,QQQ", "2024-01-02", "2024-01-31")
    plan = simulator.plan(*given, models="requesty", max_cost=0.5, workspace=lab)
    told_to = ["--strategy", given[0], "--symbols", given[1], "--from", given[2], "--to", given[3], "--max-cost", "0.5"]
    command = ["--workspace", str(lab), "run", *told_to, "--models", "requesty", "--plan", "--json"]
    sim.main(command, standalone_mode=False)
    told = json.loads(capsys.readouterr().out)
    assert plan.facts == told
    for name in ("calls", "hits", "misses", "cached_tokens", "minutes"):
        assert plan.totals[name] == pytest.approx(told["total"][name])
    assert plan.totals["usd"] == pytest.approx(told["total"]["usd"]["likely"])
    assert "max_cost, $0.5" in repr(plan)


def test_arguments_are_those_of_run(lab: Path) -> None:
    with pytest.raises(TypeError, match="modles"):
        simulator.plan("sma_cross", modles="requesty", workspace=lab)
    with pytest.raises(UsageError, match="cache was 'repaly'"):
        simulator.plan("sma_cross", cache="repaly", workspace=lab)
    plan = simulator.plan(lambda market: {}, "SPY", workspace=lab)  # noqa: ARG005
    assert (len(plan.table), plan.totals["calls"]) == (0, 0)
