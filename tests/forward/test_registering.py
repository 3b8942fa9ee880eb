"""Registrations made of a real run: digests, the weights that start the usual exposure, evidence that is carried in."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from simulator.analysis.registering import read_backtest
from simulator.config import load_config, override_config
from simulator.errors import UsageError
from simulator.evidence.verify import Verified, open_run
from simulator.forward.registration import as_begun, register
from simulator.runs.gateway_setup import open_gateway
from simulator.runs.identity import code_digest
from simulator.runs.registering import make_registration
from simulator.runs.spec import RunSpec
from simulator.runs.strategies import load_strategy
from simulator.stats.metrics import PERIODS
from simulator.store.database import Store
from simulator.workspace import find_workspace

SPEC = RunSpec("sma_cross", ("SPY", "QQQ"), date(2023, 1, 3), parameters={"fast": 5, "costs.slippage_bps": 3})
AT = datetime(2024, 6, 3, 12, 0, tzinfo=UTC)


@pytest.fixture
def made(workspace: Path, sim: Callable[..., Any]) -> tuple[Any, Any, Verified]:
    """Config, the strategy, and its run over 2023."""
    words = ["--set", "fast=5", "--set", "costs.slippage_bps=3", "--to", "2023-12-29", "--from", "2023-01-03"]
    done = sim("run", "--strategy", "sma_cross", "--symbols", "SPY,QQQ", *words, cwd=workspace)
    assert done.returncode == 0, done.stderr
    here = find_workspace(workspace)
    config = override_config(load_config(here.config), SPEC.overrides)
    with open_gateway(SPEC, here, config) as asking:
        loaded = load_strategy(SPEC.strategy, here.strategies, asking, SPEC.own, 2)
    return config, loaded, open_run(here, "last")


def with_models(found: Verified, after: int) -> Verified:
    """The same run as if a model had answered whose cut-off lies `after` sessions before its end."""
    run = found.run
    part = {"sessions": after, "skill": run["skill"], "sharpe": 1.0, "sharpe_p_hac": 0.1, "sharpe_ci_low": 0.0,
            "sharpe_ci_high": 2.0, "reasons": {}}  # fmt: skip
    split = {"assessable": True, "flagged": False, "cutoff": "2023-03-01", "models": [], "parts": {"after": part}}
    asked = {**run["llm"], "models": ["gpt-5"], "cost_usd": 25.0}
    return replace(found, run={**run, "llm": asked, "contamination": split})  # type: ignore[typeddict-item]


@pytest.mark.medium
def test_a_registration_is_made_of_a_run_and_starts_with_the_weights_of_its_backtest(made: Any) -> None:
    config, loaded, found = made
    backtest = read_backtest(found)
    closes = pd.read_csv(found.folder / "weights.csv")
    want = {name: np.r_[0.0, closes[name].to_numpy()[:-1]].mean() for name in ("SPY", "QQQ")}
    assert dict(backtest.usual.weights) == pytest.approx(want, rel=1e-12)
    assert backtest.usual.bars == found.run["sessions"] == len(closes)
    assert backtest.expected_usd is None
    said = make_registration(SPEC, loaded, config, {"COUNCIL": "PA1"}, AT, 1.0, backtest)
    assert (said.files, said.code, said.models, said.prompts) == (dict(loaded.files), code_digest(), {}, {})
    assert (said.sessions_needed, said.registered_at) == (4358, "2024-06-03T08:00:00-04:00")
    assert said.question == "Does sma_cross earn more than its own usual exposure to SPY, QQQ?"
    assert said.backtest == found.run["run_id"]
    other = override_config(config, {"costs.slippage_bps": 4})
    again = make_registration(SPEC, loaded, other, {"COUNCIL": "PA1"}, AT, 1.0, backtest)
    assert again.id != said.id

    carried = read_backtest(with_models(found, 120), carry=True)
    assert carried.prior is not None
    d = pd.read_csv(found.folder / "exposure.csv").set_index("session")
    assert list(carried.prior.beyond) == pytest.approx((d["choosing"] + d["costs"]).tolist()[-120:])
    assert (carried.prior.first, carried.prior.last) == (d.index[-120], d.index[-1])
    assert carried.prior.level == pytest.approx(found.run["skill"]["level"] / PERIODS)
    assert carried.prior.trials >= 1
    assert carried.expected_usd == pytest.approx((0.05, 0.1, 0.2))

    def attempt(spec: RunSpec = SPEC, edge: float = 1.0, at: datetime = AT, **more: Any) -> Any:
        return make_registration(spec, replace(loaded, **more), config, {"A": "1"}, at, edge, carried)

    refused = {
        "no model was asked": lambda: read_backtest(found, carry=True),
        "other symbols": lambda: attempt(replace(SPEC, symbols=("SPY",))),
        "other files": lambda: attempt(files={"a": "b"}),
        "edge was 0": lambda: attempt(edge=0.0),
        "goes on to 2023-12-29": lambda: attempt(at=datetime(2023, 12, 29, 15, tzinfo=UTC)),
    }
    for words, refuse in refused.items():
        with pytest.raises(UsageError, match=words):
            refuse()


def test_after_an_upgrade_the_same_words_find_the_test_they_began(workspace: Path) -> None:
    place = find_workspace(workspace)
    config = load_config(place.config)
    with open_gateway(SPEC, place, config) as asking:
        loaded = load_strategy(SPEC.strategy, place.strategies, asking, SPEC.own, 2)
    made = make_registration(SPEC, loaded, config, {"COUNCIL": "PA1"}, AT, 1.0)
    with Store(workspace / "sim.db") as store:
        begun, _ = register(replace(made, code="of the version before"), place.reports, store)
    assert made.id != begun.id
    later = make_registration(SPEC, loaded, config, {"COUNCIL": "PA1"}, AT + timedelta(days=9), 1.0)
    assert as_begun(later, place.reports).id == begun.id
    other = make_registration(SPEC, loaded, config, {"COUNCIL": "PA1"}, AT, 2.0)
    assert as_begun(other, place.reports) == other  # another edge is another test
