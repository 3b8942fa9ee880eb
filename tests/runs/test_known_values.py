"""Buy-and-hold of real bars against values known from elsewhere (data/sample/NOTICE names the sources of the bars)."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

import simulator

FREE = "slippage_bps: 0\nborrow_rate: 0\ncash_interest: 0\nmargin_spread: 0\n"


@pytest.fixture
def without_costs(workspace: Path) -> Path:
    (workspace / "config" / "costs.yaml").write_text(FREE)
    return workspace


@pytest.mark.medium
@pytest.mark.parametrize(
    ("symbol", "last", "total", "sharpe", "drawdown"),
    [
        ("SPY", "2024-12-31", 0.255893, 1.8824, -0.084056),
        ("QQQ", "2024-12-30", 0.288343, 1.5121, -0.135577),
    ],
)
def test_buy_and_hold_of_2024_is_the_market(without_costs, symbol, last, total, sharpe, drawdown) -> None:
    """The known values count from the close of the first session; so does the equity series."""
    run = simulator.run("buy_and_hold", [symbol], "2024-01-02", last, workspace=without_costs)
    returns = run.equity.pct_change().dropna()
    assert run.equity.iloc[-1] / run.equity.iloc[0] - 1 == pytest.approx(total, rel=1e-6, abs=5e-7)
    assert returns.mean() / returns.std() * math.sqrt(252) == pytest.approx(sharpe, abs=5e-5)
    assert (run.equity / run.equity.cummax() - 1).min() == pytest.approx(drawdown, abs=5e-7)
    assert run.metrics["total_return"] == run.facts["benchmarks"]["buy_and_hold"]["total_return"]


def test_the_equity_of_buy_and_hold_is_the_price_to_the_last_digits(without_costs) -> None:
    from datetime import date

    import numpy as np

    from simulator.market.load import load_bars
    from simulator.workspace import find_workspace

    run = simulator.run("buy_and_hold", ["SPY"], "2024-01-02", "2024-12-31", workspace=without_costs)
    folders = find_workspace(without_costs).bar_folders
    bars = load_bars(["SPY"], folders, first=date(2024, 1, 2), last=date(2024, 12, 31)).bars
    price = bars.close[:, 0] / bars.close[0, 0]
    np.testing.assert_allclose(run.equity / run.equity.iloc[0], price, rtol=1e-12)
