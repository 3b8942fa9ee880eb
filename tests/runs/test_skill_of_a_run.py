"""``skill`` of run.json against the files beside it, worked out again in pandas."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import simulator
from simulator.market.load import load_bars
from simulator.stats.skill import mean_test
from simulator.workspace import find_workspace

pytestmark = pytest.mark.medium

FIRST, LAST = date(2022, 1, 3), date(2023, 12, 29)


@pytest.fixture
def run(workspace: Path) -> simulator.Run:
    return simulator.run("sma_cross", ["SPY", "QQQ"], FIRST, LAST, parameters={"fast": 10}, workspace=workspace)


def test_it_is_what_pandas_makes_of_equity_weights_and_bars(run: simulator.Run, workspace: Path) -> None:
    skill = run.facts["skill"]
    assert skill is not None
    equity, weights = (pd.read_csv(run.folder / f"{name}.csv", index_col=0) for name in ("equity", "weights"))
    loaded = load_bars(["SPY", "QQQ"], find_workspace(workspace).bar_folders, first=FIRST, last=LAST, history=5)
    bars = loaded.bars
    closes = pd.DataFrame(bars.close, index=bars.dates.astype(str), columns=bars.symbols)
    moves = closes.pct_change().loc[equity.index].sub(equity["risk_free"], axis=0)
    held = weights[["SPY", "QQQ"]].shift(1, fill_value=0.0)
    exposure = (held.expanding().mean() * moves).sum(axis=1)
    before = equity["equity"].shift(1, fill_value=100_000.0)
    excess = equity["equity"] / before - 1 - equity["risk_free"]
    fills = pd.read_csv(run.folder / "fills.csv")
    paid = fills.groupby("session")[["slippage", "commission"]].sum().sum(axis=1).reindex(equity.index, fill_value=0.0)
    costs = paid / before
    beyond = excess - exposure
    for key, values in (("excess", excess), ("exposure", exposure), ("costs", -costs), ("beyond", beyond)):
        assert skill[key] == pytest.approx(252 * values.mean(), abs=1e-7), key
    assert skill["exposure"] + skill["choosing"] + skill["costs"] == pytest.approx(skill["excess"], abs=1e-12)
    assert skill["beyond_low"] < skill["beyond"] < skill["beyond_high"]
    level = ((held - held.expanding().mean()).mean() * moves.mean()).sum()
    assert skill["level"] == pytest.approx(252 * level, abs=1e-9)
    price = (moves.cumsum() - moves).to_numpy()
    t = np.arange(len(price))
    own, *prices = ([v - np.polyval(np.polyfit(t, v, 1), t) for v in one.T]
                    for one in (held.to_numpy(), price, price - price.mean(axis=1, keepdims=True)))  # fmt: skip
    expected = min(np.corrcoef(np.concatenate(own), np.concatenate(one))[0, 1] for one in prices)
    assert skill["anchor"] == pytest.approx(expected, abs=1e-6)
    test = mean_test(beyond.to_numpy(), level)
    assert (skill["p"], skill["p_worse"]) == pytest.approx((test.p, test.p_worse), abs=1e-6)


def test_decisions_are_sessions_on_which_a_target_changed(run: simulator.Run) -> None:
    targets = pd.DataFrame([{t["symbol"]: t["weight"] for t in row["targets"]} for row in run.records]).ffill()
    changed = (targets.diff().abs() > 0).any(axis=1)
    assert run.facts["skill"]["decisions"] == int(changed.sum())


@pytest.mark.parametrize(("strategy", "decisions"), [("buy_and_hold", 0), ("sixty_forty", 0), ("equal_weight", 0)])
def test_targets_that_never_change_are_a_benchmark(workspace: Path, strategy: str, decisions: int) -> None:
    run = simulator.run(strategy, ["SPY", "BIL"], FIRST, LAST, workspace=workspace)
    assert run.facts["skill"]["decisions"] == decisions
    assert np.isfinite(run.facts["skill"]["beyond"])


def test_coins_are_not_called_skill(workspace: Path) -> None:
    """The rising market of 2019 to 2021 pays them, and the verdict says for what."""
    from simulator.analysis.verdict import judge

    words = []
    for seed in range(4):
        run = simulator.run(
            "random_entry", ["SPY", "QQQ"], "2019-01-02", "2021-12-31", parameters={"seed": seed}, workspace=workspace
        )
        words.append(judge(run.facts).standing)
    assert "skill" not in words
    assert words.count("paid") >= 2
