"""Sweeps of a desk: members are their runs, agents are asked by the command itself, and what is done is kept."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from simulator.api import make_backtester, play_sweep, simulate
from simulator.desk.agents.personas import AGENTS
from simulator.desk.backtests import Wanted, unheard
from simulator.errors import LLMError, SimError, UsageError
from simulator.evidence.reader import read
from simulator.llm.cache import AnswerCache
from simulator.market.bars import moment
from simulator.market.load import load_bars
from simulator.notebook.sweep import Objective
from simulator.studies import desk_tapes
from simulator.studies.executors import choose_executor
from simulator.studies.inputs import SweepInputs
from simulator.studies.planner import plan_sweep
from simulator.studies.study_file import make_study
from simulator.studies.sweep import Shard, Sweep
from simulator.workspace import Workspace, make_workspace

from ..conftest import Serve

pytestmark = pytest.mark.medium

SYMBOLS = ("AAPL", "NVDA", "QQQ", "SPY")
SOON = "2024-02-09"
EXITS = {"exits.first": "1.2,1.6", "caps.position": "0.15"}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    root = tmp_path_factory.mktemp("desks") / "w"
    make_workspace(root, git=False)
    return Workspace(root, root)


def sweep_of(place: Workspace, sets: dict[str, str], **typed: Any) -> Sweep:
    given = {"strategy": "momentum_desk", "symbols": SYMBOLS, "first": "2024-02-01", "last": "2024-02-29", **typed}
    return Sweep(make_study(place, None, list(sets.items()), **given), place)


@pytest.fixture(scope="module")
def played(place: Workspace) -> Sweep:
    """A sweep of two desks with agents, concluded, with its page."""
    sweep = sweep_of(place, EXITS)
    play_sweep(sweep.study, place)
    return sweep


def test_a_member_is_its_run(place: Workspace, played: Sweep) -> None:
    run = simulate(played.study.spec(1), place)
    evidence, row = read(run.folder), played.folder.table().loc[1]
    for name in ("total_return", "sharpe", "max_drawdown", "exposure", "turnover", "volatility"):
        assert np.isclose(row[name], run.metrics[name], rtol=1e-12, atol=0), name
    batch_books = desk_tapes.decide_desk(played.inputs, played.inputs.member(1))
    assert (batch_books.weight[~np.isnan(batch_books.weight)] != 0).any(), "it traded"
    closes = np.asarray(evidence.equity["equity"])
    assert row["total_return"] == closes[-1] / run.facts["cash"] - 1
    assert len(set(played.folder.table()["total_return"])) == 2
    judged = json.loads((run.folder / "trials.json").read_text())
    assert "sweep" in json.dumps(judged), "a member run alone is known as one of its sweep"
    assert (played.folder.path / "sweep.html").is_file()
    bars = load_bars(SYMBOLS, place.bar_folders, first=played.study.base.first, last=played.study.base.last).bars
    found = make_backtester(place).find(run.facts["run_id"], bars.snapshot(moment(int(bars.closes_at[-1]))))
    assert found.trials == judged["inference"]["trials"] >= 2, "one count, whatever p takes together"


def test_members_that_are_done_are_not_played_again(place: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    members: list[int] = []
    replay = desk_tapes.replay_strategy

    def count(strategy: Any, *given: Any) -> Any:
        members.append(strategy.definition.spec.analysed)
        if len(members) == 2:
            raise KeyboardInterrupt
        return replay(strategy, *given)

    monkeypatch.setattr(desk_tapes, "replay_strategy", count)
    sets = {"analysed": "1,2,3"}
    with pytest.raises(KeyboardInterrupt):
        sweep_of(place, sets, last=SOON).play()
    sweep = sweep_of(place, sets, last=SOON)
    assert sweep.missing() == [(1, 2), (2, 3)]
    assert plan_sweep(sweep.study, place).notes[0] == "1 of 3 members are there already."
    sweep.play()
    assert members == [1, 2, 2, 3]


def test_whoever_plays_desks_without_agents_leaves_the_same_bytes(tmp_path: Path) -> None:
    def play(name: str, *parts: tuple[str | None, str]) -> dict[str, bytes]:
        root = tmp_path / name
        make_workspace(root, git=False)
        place = Workspace(root, root)
        for executor, shard in parts:
            sweep = sweep_of(place, {**EXITS, "agents": "false"}, last=SOON)
            sweep.play(choose_executor(executor, 1), Shard.parse(shard))
        assert not sweep.missing()
        return {path.name: path.read_bytes() for path in sweep.folder.path.glob("chunks/*")}

    threads = play("threads", ("threads", "1/1"))
    assert len(threads) == 4
    assert play("loky", ("loky", "1/1")) == threads
    assert play("shards", ("threads", "2/2"), ("threads", "1/2")) == threads


@pytest.mark.parametrize("executor", ["loky", "dask", "ray"])
def test_workers_ask_no_agent(place: Workspace, executor: str) -> None:
    with pytest.raises(UsageError, match="asked by this process") as refused:
        sweep_of(place, {"analysed": "1,2"}).play(choose_executor(executor))
    assert "agents=false" in str(refused.value.mend)


def test_a_question_that_stays_open_keeps_the_members_before(place: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    replay, begun = desk_tapes.replay_strategy, list[int]()

    def refuse(*given: Any) -> Any:
        begun.append(len(begun))
        if len(begun) > 1:
            raise LLMError("the service refuses")
        return replay(*given)

    monkeypatch.setattr(desk_tapes, "replay_strategy", refuse)
    sweep = sweep_of(place, {"analysed": "1,2"}, last=SOON)
    with pytest.raises(LLMError, match="refuses") as stopped:
        sweep.play()
    assert "the same command continues" in str(stopped.value.mend)
    assert sweep.missing() == [(1, 2)]


def test_agents_over_a_service_are_paid_within_one_budget_and_asked_nothing_twice(
    tmp_path: Path, serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    service = serve("--latency", 0, "--price", 500, 500, "--rules", "simulator.desk.agents.analysts:RULES")
    root = tmp_path / "w"
    make_workspace(root, git=False)
    place = Workspace(root, root)
    seats = {name: {"provider": "openai_compatible", "endpoint": service.url, "model": name} for name in AGENTS}
    prices = {name: {"input": 500, "output": 500, "cutoff": "2023-10-01"} for name in AGENTS}
    models = {"profiles": {"dry": seats}, "prices": prices, "max_usd_per_day": 1000}
    (root / "config" / "models.yaml").write_text(json.dumps(models))

    def sweep(max_cost: float) -> Sweep:
        return sweep_of(place, {"caps.position": "0.1,0.15"}, last="2024-02-06", models="dry", max_cost=max_cost)

    planned = plan_sweep(sweep(50.0).study, place)
    assert service.stats()["requests"] == 0
    assert planned.usd.likely > 0
    assert planned.asking_minutes > 0
    assert [one.kind for one in planned.parameters] == ["account"]
    assert "are new for every member" in planned.notes[-1]
    spent = planned.usd.likely / 2
    with pytest.raises(LLMError, match="budget") as stopped:
        sweep(spent).play()
    assert "--max-cost" in str(stopped.value.mend)
    answered = service.stats()["answered"]
    assert answered > 0
    whole = sweep(50.0)
    whole.play()
    made = whole.conclude()
    assert made.record["memory"]["cutoff"] == "2023-10-01"
    # Mornings are the same to both, so that the second member asks its optimizer and reviewer alone.
    with AnswerCache(place.cache) as cache:
        stages = Counter(entry.purpose["stage"] for entry in cache.entries())
    assert service.stats()["answered"] == stages.total()
    lines = {line.stage: line.misses for line in planned.lines}
    assert (stages["screener"], stages["analyzer"]) == (lines["screener"], lines["analyzer"])
    before = service.stats()["requests"]
    monkeypatch.setattr(desk_tapes, "MOST_KEPT", 0)
    again = sweep(50.0)
    assert not again.missing()
    again.conclude()
    assert service.stats()["requests"] == before


@pytest.mark.parametrize(
    ("sets", "told"),
    [
        ({"caps.positon": "0.1,0.2"}, "no parameter"),
        ({"caps.position": "0.1,lots"}, "caps.position"),
        ({"exits.first": "1,9"}, "exits"),
        ({"kind": "desk,council"}, "window"),
        ({"schedule.opne": "09:31,09:45"}, "opne"),
        ({"analysed": "0:3:1"}, "analysed"),
        ({"benchmark": "SPY,NOPE", "agents": "false"}, "no bars of the benchmark"),
    ],
)
def test_a_setting_no_desk_has_is_told_before_any_work(place: Workspace, sets: dict[str, str], told: str) -> None:
    with pytest.raises(SimError, match=told):
        sweep_of(place, sets)


def test_the_path_of_a_walk_forward_is_refused_to_desks(place: Workspace) -> None:
    with pytest.raises(UsageError, match="a setting of a desk is swept"):
        sweep_of(place, {"analysed": "1,2"}, last="2024-04-30", walk_forward="train=20,test=10")
    by_fold = sweep_of(place, {"analysed": "1,2"}, last="2024-04-30", walk_forward="train=20,test=10,path=no")
    assert by_fold.study.walk_forward is not None


def test_conditions_know_the_settings_of_the_desk_and_its_hours_are_its_own(place: Workspace) -> None:
    sets = {"exits.first": "1,2,2.4", "schedule.open": "09:31,09:45"}
    assert len(sweep_of(place, sets, where=("exits.first + 0.3 < exits.second",)).study) == 4


def test_the_desk_s_own_tool_plays_it_as_a_sweep_on_record(place: Workspace, played: Sweep) -> None:
    first, last = played.study.base.first, played.study.base.last
    bars = load_bars(SYMBOLS, place.bar_folders, first=first, last=last).bars
    wanted = Wanted("momentum_desk", SYMBOLS, first, last, {"caps.position": 0.15})
    market = bars.snapshot(moment(int(bars.closes_at[-1])))
    found = make_backtester(place).sweep(wanted, {"exits.first": [1.2, 1.6]}, market, unheard)
    assert found.id == played.folder.path.name.rpartition("-")[2], "the sweep there is, not another trial"
    assert found.counts
    assert found.sharpe.tolist() == played.folder.table()["sharpe"].tolist()


def test_an_objective_of_ones_own_plays_each_setting_it_is_called_with(played: Sweep) -> None:
    objective = Objective(played.inputs)
    found = [objective(**{"exits.first": value})["total_return"] for value in (1.6, 1.2, 1.6)]
    assert found == [played.folder.table()["total_return"][number] for number in (1, 0, 1)]


def test_inputs_travel_without_templates_and_without_reading_again(place: Workspace) -> None:
    import pickle

    inputs = SweepInputs(sweep_of(place, {"analysed": "1,2", "agents": "false"}).study, place).prepare()
    arrived = pickle.loads(pickle.dumps(inputs))
    assert arrived.member(1).desk.definition.spec.analysed == 2
    assert arrived.staged(arrived.member(1)).last == inputs.staged(inputs.member(1)).last
