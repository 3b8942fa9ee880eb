"""Rolling figures against quantstats and empyrical, and against the figures of each window on its own."""

from __future__ import annotations

import numpy as np
import pytest

from simulator.errors import DataError
from simulator.stats import metrics
from simulator.stats.rolling import roll


@pytest.mark.parametrize("window", [63, 126, 252])
def test_rolling_figures_are_those_of_quantstats_and_empyrical(window, daily, expected):
    oracle = expected("tear_sheet")
    found = roll(daily["strat_a"], window, daily["rf"], daily["bench"])
    for name, values in oracle["rolling"][str(window)].items():
        np.testing.assert_allclose(vars(found)[name][oracle["at"]], values, rtol=1e-9)


def test_each_value_is_the_figure_of_its_window_alone():
    rng = np.random.default_rng(3)
    r, market, free = rng.normal(0, 0.01, 90), rng.normal(0, 0.01, 90), rng.uniform(0, 2e-4, 90)
    r[20:40] = 0.0  # nothing held: no ratio, no risk, no beta
    market[60:80] = free[60:80]
    found = roll(r, 10, free, market)
    for t in range(90):
        part = slice(t - 9, t + 1)
        every = [vars(found)[name][t] for name in ("sharpe", "volatility", "beta")]
        if t < 9:
            assert np.isnan(every).all()
            continue
        alone = [
            metrics.sharpe(r[part], free[part]),
            metrics.volatility(r[part]),
            metrics.alpha_beta(r[part], market[part], free[part])["beta"],
        ]
        for value, other in zip(every, alone, strict=True):
            assert np.isnan(value) if isinstance(other, metrics.Undefined) else value == pytest.approx(other, abs=1e-12)


def test_a_window_longer_than_the_returns_and_no_benchmark_leave_nothing():
    found = roll([0.01, 0.02], 3)
    assert np.isnan([found.sharpe, found.volatility, found.beta]).all()
    assert np.isnan(roll([0.01, 0.02, 0.0], 3).beta).all()
    with pytest.raises(DataError, match="returns holds nan"):
        roll([0.01, np.nan, 0.0], 3)
