"""Sweeps of a desk: members are their runs, agents are asked by the command itself, and what is done is kept."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from simulator.api import make_backtester, play_sweep, simulate
from simulator.desk.backtests import Wanted, unheard
from simulator.errors import LLMError, SimError, UsageError
from simulator.evidence.reader import read
from simulator.llm.cache import AnswerCache
from simulator.market.bars import moment
from simulator.market.load import load_bars
from simulator.studies import desk_tapes
from simulator.studies.executors import choose_executor
from simulator.studies.inputs import SweepInputs
from simulator.studies.planner import plan_sweep
from simulator.studies.study_file import make_study
from simulator.studies.sweep import Shard, Sweep
from simulator.workspace import Workspace, make_workspace

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


def test_agents_are_asked_once_and_what_reads_the_account_for_each_member(place: Workspace, played: Sweep) -> None:
    assert not played.missing()
    with AnswerCache(place.cache) as cache:
        before = len(list(cache.keys()))
    planned = plan_sweep(sweep_of(place, {**EXITS, "costs.slippage_bps": "1,7"}, last=SOON).study, place)
    kinds = {one.name: one.kind for one in planned.parameters}
    assert kinds["costs.slippage_bps"] == "account"
    lines = {line.stage: line for line in planned.lines}
    assert lines["screener"].misses == 0, "another member asked it"
    assert lines["optimizer"].misses > 0
    assert "are new for every member" in planned.notes[-1]
    assert planned.minutes > 0
    with AnswerCache(place.cache) as cache:
        assert len(list(cache.keys())) == before, "a plan asks nothing"


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


@pytest.mark.parametrize(
    ("sets", "told"),
    [
        ({"caps.positon": "0.1,0.2"}, "no parameter"),
        ({"caps.position": "0.1,lots"}, "caps.position"),
        ({"exits.first": "1,9"}, "exits"),
        ({"analysed": "0:3:1"}, "analysed"),
    ],
)
def test_a_setting_no_desk_has_is_told_before_any_work(place: Workspace, sets: dict[str, str], told: str) -> None:
    with pytest.raises(SimError, match=told):
        sweep_of(place, sets)


def test_the_desk_s_own_tool_plays_it_as_a_sweep_on_record(place: Workspace, played: Sweep) -> None:
    first, last = played.study.base.first, played.study.base.last
    bars = load_bars(SYMBOLS, place.bar_folders, first=first, last=last).bars
    wanted = Wanted("momentum_desk", SYMBOLS, first, last, {"caps.position": 0.15})
    market = bars.snapshot(moment(int(bars.closes_at[-1])))
    found = make_backtester(place).sweep(wanted, {"exits.first": [1.2, 1.6]}, market, unheard)
    assert found.id == played.folder.path.name.rpartition("-")[2], "the sweep there is, not another trial"
    assert found.counts
    assert found.sharpe.tolist() == played.folder.table()["sharpe"].tolist()


def test_inputs_travel_without_templates_and_without_reading_again(place: Workspace) -> None:
    import pickle

    inputs = SweepInputs(sweep_of(place, {"analysed": "1,2", "agents": "false"}).study, place).prepare()
    arrived = pickle.loads(pickle.dumps(inputs))
    assert arrived.member(1).desk.definition.spec.analysed == 2
    assert arrived.staged(arrived.member(1)).last == inputs.staged(inputs.member(1)).last
