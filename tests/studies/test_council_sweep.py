"""Sweeps of councils: members are their runs, what no question shows asks nothing, and only the parent asks."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from simulator.config import load_config, override_config
from simulator.errors import LLMError
from simulator.replay.prefetch import silent
from simulator.replay.run import Replayed, play, replay_strategy
from simulator.runs.gateway_setup import open_gateway
from simulator.runs.load_inputs import load_inputs
from simulator.runs.strategies import load_strategy
from simulator.studies.ask_councils import ask_councils, distinct_councils
from simulator.studies.chunks import batch_of
from simulator.studies.inputs import SweepInputs
from simulator.studies.planner import plan_sweep
from simulator.studies.study_file import make_study
from simulator.studies.sweep import Sweep, run_sweep
from simulator.trading.cycle import TradingRules
from simulator.trading.strategy import points_of
from simulator.workspace import Workspace, make_workspace

from ..conftest import Serve, Service
from ..runs.conftest import PRICE, seat_models

pytestmark = pytest.mark.medium

FROM, TO = "2024-02-01", "2024-03-15"
SPLIT = "train=20,test=10,path=no"


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    root = tmp_path_factory.mktemp("councils") / "w"
    make_workspace(root, git=False)
    return Workspace(root, root)


OPINIONS: dict[str, Any] = {}
"""Formed by the first run of a council, for the others that put the same questions."""


def run_of(inputs: SweepInputs, number: int) -> Replayed:
    """Books of a member as its `sim run` makes them: backtrader, step by step, audited by the kernel."""
    spec, workspace = inputs.study.spec(number), inputs.workspace
    key = repr((inputs.council_key(spec), spec.symbols))
    config = override_config(load_config(workspace.config), spec.overrides)
    with open_gateway(spec, workspace, config) as asking:
        strategy = load_strategy(spec.strategy, workspace.strategies, asking, spec.own, len(spec.symbols)).strategy
        points = points_of(strategy, config.schedule)
        staged = load_inputs(spec.symbols, spec.first, spec.last, strategy.window, points, workspace, config)
        rules, cash = TradingRules.from_config(config), config.accounts.cash
        if key not in OPINIONS:
            OPINIONS[key] = replay_strategy(strategy, staged.inputs, rules, cash, None, asking.loop).opinions
        return play(strategy, staged.inputs, rules, cash, OPINIONS[key], silent, asking.loop)


def asked_inputs(workspace: Workspace, sets: dict[str, str], symbols: tuple[str, ...] = ("SPY", "QQQ")) -> SweepInputs:
    inputs = SweepInputs(
        make_study(workspace, None, list(sets.items()), symbols=symbols, first=FROM, last=TO), workspace
    )
    ask_councils(inputs, "a sweep")
    return inputs


KINDS: dict[str, dict[str, str]] = {
    "sizes": {"trade.scale": "0.7,1.9", "trade.half": "0.04,0.15", "trade.full": "0.3"},
    "stops and targets": {"trade.stops": "0,0.3,2", "trade.targets": "0,0.4,3"},
    "limits": {"trade.limit_atr": "-0.2,0,0.6", "costs.limit_fill": "touch,through"},
    "conviction and checkpoints": {"trade.min_conviction": "1,2", "trade.checkpoints_per_day": "0,1,3"},
    "costs, caps and cash": {"costs.slippage_bps": "0,20", "risk.max_weight": "0.05,0.5", "accounts.cash": "900,1e5"},
    "whole shares": {"risk.shares": "whole", "trade.scale": "1,3", "accounts.cash": "3000", "trade.stops": "0.5"},
    "the vote": {"stages.chairman.enabled": "false", "vote.weights.pm.trend": "0,2", "vote.half": "0.5,1"},
    "stages": {"stages.checkpoint.enabled": "true,false", "stages.pitch.quorum": "0.2,1", "trade.scale": "2"},
    "the schedule": {"schedule.weekday": "tuesday,friday", "trade.scale": "0.5,1"},
    "most trades": {"max_trades": "1,5", "trade.full": "0.2,0.4"},
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_member_has_the_books_of_its_run_whatever_is_swept(workspace: Workspace, kind: str) -> None:
    inputs = asked_inputs(workspace, KINDS[kind], ("SPY", "QQQ", "GLD"))
    seen = set()
    for number in range(len(inputs.study)):
        done = run_of(inputs, number)
        batch = batch_of(inputs, [inputs.member(number)])
        books = batch.ledger(0)
        for name in ("equity", "cash", "positions", "order_rows", "fill_rows", "rejection_rows"):
            assert getattr(books, name).tobytes() == getattr(done.ledger, name).tobytes(), (number, name)
        weights = batch.tape(0).weight
        assert (np.isnan(weights) == np.isnan(done.tape.weight)).all()
        seen.add(books.equity.tobytes())
    assert len(seen) > 1


def test_symbols_that_leave_the_shortlist_are_sold_by_every_member(workspace: Workspace) -> None:
    symbols = ("SPY", "QQQ", "GLD", "AAPL", "NVDA", "BIL")
    sets = {"shortlist": '{"size": 3, "held": false}', "trade.scale": "1,2", "trade.min_conviction": "1,2"}
    inputs = asked_inputs(workspace, sets, symbols)
    assert next(iter(inputs.decided.values())).unlisted
    for number in range(len(inputs.study)):
        done, batch = run_of(inputs, number), batch_of(inputs, [inputs.member(number)])
        assert batch.ledger(0).equity.tobytes() == done.ledger.equity.tobytes()
        assert (np.isnan(batch.tape(0).weight) == np.isnan(done.tape.weight)).all()


def test_ten_thousand_ways_to_trade_are_one_council(workspace: Workspace) -> None:
    sets = {"trade.scale": "0.1:2.5:0.1", "trade.stops": "0:4.75:0.25", "costs.slippage_bps": "0:19:1"}
    study = make_study(workspace, None, list(sets.items()), symbols=("SPY", "QQQ"), first=FROM, last=TO)
    assert len(study) == 10_000
    inputs = SweepInputs(study, workspace)
    assert len(distinct_councils(inputs)) == 1


@pytest.fixture
def paid(tmp_path: Path, serve: Serve) -> tuple[Workspace, Service]:
    """A workspace whose council asks a service over HTTP, for money."""
    service = serve("--latency", 0, "--price", *PRICE, "--rules", "simulator.council.analysts:RULES")
    root = tmp_path / "w"
    make_workspace(root, git=False)
    seat_models(root, service.url)
    return Workspace(root, root), service


def sweep_of(workspace: Workspace, sets: dict[str, str], **typed: Any) -> Sweep:
    given = {"symbols": ("SPY", "QQQ"), "first": FROM, "last": "2024-02-16", "models": "dry", **typed}
    return Sweep(make_study(workspace, None, list(sets.items()), **given), workspace)


def test_what_no_question_shows_asks_nothing_and_workers_never_ask(paid: tuple[Workspace, Service]) -> None:
    workspace, service = paid
    sweep = sweep_of(workspace, {"trade.scale": "1,2"})
    asked = sweep.asked.asked
    assert asked == service.stats()["answered"] > 28
    before = service.stats()["requests"]
    wide = {
        "trade.scale": "0.2:2:0.2",
        "trade.stops": "0:4:0.5",
        "costs.slippage_bps": "0:9:1",
        "risk.max_weight": "0.1,1",
    }
    made = run_sweep(sweep_of(workspace, wide).study, workspace)
    assert made.record["counts"]["members"] == 10 * 9 * 10 * 2
    again = sweep_of(workspace, {"stages.chairman.enabled": "true,false", "vote.weights.pm.risk": "0,1,3"})
    told = again.asked
    # A chairman is shown the votes: he alone is asked anew where a weight differs, once for each weight.
    meetings = asked // 28
    assert told.asked == 2 * meetings
    assert service.stats()["requests"] == before + told.asked


def test_one_budget_is_for_the_whole_sweep_and_what_was_answered_is_kept(paid: tuple[Workspace, Service]) -> None:
    workspace, service = paid
    sets = {"seats.temperature": "0.1,0.2,0.3,0.4"}
    whole = sweep_of(workspace, sets, max_cost=100.0)
    first = distinct_councils(whole.inputs)
    assert len(first) == 4
    with pytest.raises(LLMError, match="budget") as stopped:
        sweep_of(workspace, sets, max_cost=0.8).ask()
    assert "--max-cost" in str(stopped.value.mend)
    answered = service.stats()["answered"]
    assert 0 < answered < 4 * 28 * 3
    assert not list((workspace.reports).glob("sweep-*"))
    done = whole.ask()
    assert done.asked == service.stats()["answered"] - answered
    assert done.cached >= answered


def test_members_that_share_a_question_ask_it_once(paid: tuple[Workspace, Service]) -> None:
    workspace, service = paid
    sweep = sweep_of(workspace, {"seats.chairman.temperature": "0,0.5,1", "trade.scale": "1,2"})
    meetings = sweep.asked.asked // 30
    assert service.stats()["answered"] == 27 * meetings + 3 * meetings


def test_what_a_model_may_remember_is_not_judged(paid: tuple[Workspace, Service]) -> None:
    workspace, _ = paid
    sets = {"trade.scale": "1,2", "stages.checkpoint.enabled": "false"}
    place = Path(workspace.config) / "models.yaml"
    models = json.loads(place.read_text())
    typed = {"first": "2024-01-02", "last": "2024-04-12", "cpcv": "folds=5,test=1", "walk_forward": SPLIT}
    found, splits = {}, {}
    for cutoff in ("", "2023-10-01", "2023-10-10", "2024-03-01"):
        price = {"input": 0, "output": 0, **({"cutoff": cutoff} if cutoff else {})}
        models["prices"] = {seat["model"]: price for seat in models["profiles"]["dry"].values()}
        place.write_text(json.dumps(models))
        record = run_sweep(sweep_of(workspace, sets, **typed).study, workspace).record
        memory = record["memory"]
        verdict = json.loads((next(workspace.reports.glob("sweep-*")) / "verdict.json").read_text())
        found[cutoff] = memory["judged"], record["best"]["skill"]["sessions"], verdict["standing"]
        splits[cutoff] = record["combinatorial"], record["walk_forward"]
        shutil.rmtree(workspace.reports)
    judged, sessions, standing = found["2023-10-01"]
    assert judged == sessions == 71
    assert standing != "not assessable"
    assert {found[""][2], found["2024-03-01"][2]} == {"not assessable"}
    # Splits take the sessions after the cut-off where they hold them, else they say so.
    assert "notes" not in splits["2023-10-01"][0]
    for cutoff, said in (("", "is not known"), ("2023-10-10", "left out"), ("2024-03-01", "too few for these splits")):
        assert all(said in one["notes"][-1] for one in splits[cutoff]), splits[cutoff]
    firsts = [splits[cutoff][1]["folds"][0]["train"]["from"] for cutoff in ("2024-03-01", "2023-10-10")]
    assert firsts == ["2024-01-02", "2024-01-09"]
    assert found["2023-10-10"][0] == found["2023-10-10"][1] < 71


def test_models_can_be_swept_and_are_priced_before(paid: tuple[Workspace, Service]) -> None:
    workspace, service = paid
    sweep = sweep_of(workspace, {"models": "offline,dry", "trade.scale": "1,2"}, last="2024-02-09")
    planned = plan_sweep(sweep.study, workspace)
    asked = sum(line.misses for line in planned.lines if line.provider != "offline")
    assert asked == 28 * 2
    assert service.stats()["requests"] == 0
    assert [one.kind for one in planned.parameters] == ["upstream", "downstream"]
    calls: list[tuple[int, int, str]] = []
    sweep = replace(sweep, asking=lambda *at: calls.append(at))
    assert sweep.asked.asked == 2 * asked
    assert service.stats()["answered"] == asked
    assert [done for done, *_ in calls] == sorted(done for done, *_ in calls)
    assert calls[-1][0] == calls[-1][1] == 4
    assert any(session.startswith("2024-0") for *_, session in calls)
    assert "--models dry" in sweep.inputs.command(2)
