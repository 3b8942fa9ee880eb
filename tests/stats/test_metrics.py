"""Metrics against PerformanceAnalytics, known values of SPY, edge cases, and the traps other libraries fall into."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from simulator.errors import DataError
from simulator.stats import drawdowns, metrics
from simulator.stats.metrics import summary
from simulator.stats.series import Undefined, standard_deviation

STRATEGIES = ("strat_a", "strat_b", "bench")


def close(value: object, wanted: float) -> bool:
    return isinstance(value, float) and math.isclose(value, wanted, rel_tol=1e-9, abs_tol=1e-13)


@pytest.mark.parametrize("name", STRATEGIES)
def test_every_metric_agrees_with_performance_analytics(name, daily, expected):
    want = expected("performance_analytics")[name]["base"]
    r, rf = daily[name], daily["rf"]
    e = r - rf
    got = {
        "total_return": metrics.total_return(r),
        "ann_return_geometric": metrics.cagr(r),
        "ann_return_arithmetic": metrics.annual_return(r),
        "ann_vol": metrics.volatility(r),
        "sharpe_period_raw": metrics.sharpe(r, 0.0, 1),
        "sharpe_period_excess": metrics.sharpe(r, rf, 1),
        "sortino_period_mar0": metrics.sortino(r, 0.0, 1),
        "sortino_period_excess_mar0": metrics.sortino(r, rf, 1),
        "max_drawdown": metrics.max_drawdown(r),
        "calmar": metrics.calmar(r),
        "ulcer_index_pct_call": metrics.ulcer(r),
        "omega_L0": metrics.omega(r),
        "omega_excess_L0": metrics.omega(e),
        "bernardo_ledoit": metrics.omega(r),
        "var95_hist": metrics.value_at_risk(r),
        "var99_hist": metrics.value_at_risk(r, 0.99),
        "es95_hist": metrics.expected_shortfall(r),
        "es99_hist": metrics.expected_shortfall(r, 0.99),
        "skew_moment": metrics.skew(r),
        "kurt_moment": metrics.kurtosis(r),
        "skew_moment_excess": metrics.skew(e),
        "kurt_moment_excess": metrics.kurtosis(e),
    }
    assert {k: v for k, v in got.items() if not close(v, want[k])} == {}
    assert close(metrics.tail_ratio(r), want["quantile95_type7"] / abs(want["quantile05_type7"]))


@pytest.mark.parametrize("name", STRATEGIES)
def test_drawdowns_agree_with_performance_analytics(name, daily, expected):
    want = expected("performance_analytics")[name]["base"]
    every = drawdowns.drawdowns(daily[name])
    assert len(every) == want["n_drawdowns"]
    assert close(float(np.mean([d.depth for d in every])), want["average_drawdown"])
    assert np.allclose(sorted(d.depth for d in every)[:5], want["worst5_drawdowns"], rtol=1e-9)
    worst = drawdowns.worst_drawdown(daily[name])
    assert (worst.peak + 1, worst.trough) == (want["max_dd_from"], want["max_dd_trough"])
    assert worst.open
    assert worst.sessions == want["max_dd_length"] - 1


@pytest.mark.parametrize("name", ["strat_a", "strat_b"])
def test_figures_against_a_benchmark_agree_with_performance_analytics(name, daily, expected):
    want = expected("performance_analytics")[name]["relative"]
    r, b, rf = daily[name], daily["bench"], daily["rf"]
    line = metrics.alpha_beta(r, b, rf)
    got = {
        "beta": line["beta"],
        "alpha_ann_arithmetic": line["alpha"],
        "tracking_error_ann": metrics.tracking_error(r, b),
        "information_ratio_arithmetic": metrics.information_ratio(r, b),
        "correlation": metrics.correlation(r, b),
    }
    assert {k: v for k, v in got.items() if not close(v, want[k])} == {}
    assert close(metrics.correlation(r - rf, b - rf) ** 2, want["r_squared_excess"])


def test_spy_in_2024_has_its_known_values():
    from pyarrow import parquet

    bars = parquet.read_table(Path(__file__).parents[2] / "data/sample/SPY.parquet", columns=["date", "close"])
    closes = [c for d, c in zip(*bars.to_pydict().values(), strict=True) if d.year == 2024]
    s = summary(np.diff(closes) / closes[:-1])
    assert s.sessions == 251
    assert round(100 * s.values["total_return"], 4) == 25.5893
    assert round(s.values["sharpe"], 4) == 1.8824
    assert round(100 * s.values["max_drawdown"], 4) == -8.4056


def test_the_t_of_alpha_is_the_newey_west_sandwich(daily):
    r, b, rf = daily["strat_a"], daily["bench"], daily["rf"]
    y, x = r - rf, np.column_stack([np.ones(r.size), b - rf])
    bread = np.linalg.inv(x.T @ x)
    scores = x * (y - x @ (bread @ x.T @ y))[:, None]
    lags = int(4 * (r.size / 100) ** (2 / 9))
    meat = scores.T @ scores
    for k in range(1, lags + 1):
        cross = scores[k:].T @ scores[:-k]
        meat += (1 - k / (lags + 1)) * (cross + cross.T)
    t = (bread @ x.T @ y)[0] / math.sqrt((bread @ meat @ bread)[0, 0])
    assert close(metrics.alpha_beta(r, b, rf)["alpha_t"], t)


# The seven traps: what other libraries do must give a different number here.


def test_a_year_is_a_number_of_sessions_not_of_calendar_days():
    r = np.full(252, 0.0005)
    r[::2] = -0.0001
    assert close(metrics.cagr(r), metrics.total_return(r))
    assert not close(metrics.cagr(r, 365.25), metrics.total_return(r))


def test_the_sharpe_ratio_divides_by_the_spread_of_excess_returns():
    rng = np.random.default_rng(1)
    rf = np.repeat([0.0, 0.01], 100)
    r = rng.normal(0.002, 0.01, 200) + rf
    e = r - rf
    value = metrics.sharpe(r, rf)
    assert close(value, float(e.mean() / e.std(ddof=1) * math.sqrt(252)))
    assert not math.isclose(value, float(e.mean() / r.std(ddof=1) * math.sqrt(252)), rel_tol=0.01)
    geometric = (np.prod(1 + e) ** (252 / 200) - 1) / (e.std(ddof=1) * math.sqrt(252))
    assert not math.isclose(value, float(geometric), rel_tol=0.01)


@pytest.mark.parametrize("level", [0.001, -0.001, 0.0, 0.1 / 3])
def test_constant_returns_have_no_sharpe_ratio(level):
    r = np.full(252, level)
    value = metrics.sharpe(r)
    assert isinstance(value, Undefined)
    assert "do not vary" in value.reason
    assert metrics.volatility(r) == 0.0
    assert isinstance(
        metrics.sharpe(100 * (1 + level) ** np.arange(1, 253) / (100 * (1 + level) ** np.arange(252)) - 1), Undefined
    )


def test_the_sortino_ratio_averages_shortfalls_over_all_sessions():
    r = np.array([0.03, -0.01, 0.02, -0.03])
    assert close(metrics.sortino(r, 0.0, 1), float(r.mean() / math.sqrt((0.01**2 + 0.03**2) / 4)))
    assert not close(metrics.sortino(r, 0.0, 1), float(r.mean() / np.std([-0.01, -0.03], ddof=1)))


def test_drawdowns_compound_and_start_from_the_money_put_in():
    r = np.array([-0.1, -0.05, 0.02, 0.03])
    assert close(metrics.max_drawdown(r), 0.9 * 0.95 - 1)
    assert not close(metrics.max_drawdown(r), -0.15)
    assert drawdowns.worst_drawdown(r) == drawdowns.Drawdown(0.9 * 0.95 - 1, 0, 2, None, 4)


def test_the_ulcer_index_divides_by_n_and_takes_fractions():
    r = np.array([0.0, -0.1, 0.0, 0.0])
    assert close(metrics.ulcer(r), math.sqrt(3 * 0.01 / 4))
    assert not close(metrics.ulcer(r), math.sqrt(3 * 0.01 / 3))


def test_value_at_risk_is_historical():
    r = np.array([-0.2] + [0.01] * 99)
    assert close(metrics.value_at_risk(r), 0.01)


def test_hit_rate_counts_closed_trades_not_sessions():
    r = np.array([0.01] * 9 + [-0.01])
    s = summary(r, trades=[100.0, -50.0, -60.0, 0.0])
    assert close(s.values["hit_rate"], 1 / 3)


def test_exposure_comes_from_positions_not_from_sessions_with_a_return():
    weights = np.array([[0.1, 0.0], [0.1, 0.0], [0.0, -0.1], [0.0, 0.0]])
    assert close(metrics.exposure(weights), 0.075)


def test_alpha_is_not_compounded_and_pays_the_risk_free_rate():
    rng = np.random.default_rng(3)
    b = rng.normal(0.0005, 0.01, 500)
    rf = np.full(500, 0.0002)
    r = 0.5 * b + 0.001 + rng.normal(0, 0.001, 500)
    line = metrics.alpha_beta(r, b, rf)
    slope, intercept = np.polyfit(b - rf, r - rf, 1)
    assert close(line["alpha"], float(intercept) * 252)
    assert not math.isclose(line["alpha"], (1 + float(intercept)) ** 252 - 1, rel_tol=0.01)
    assert not math.isclose(line["alpha"], float(np.polyfit(b, r, 1)[1]) * 252, rel_tol=0.01)
    assert close(line["beta"], float(slope))


def test_the_information_ratio_is_annualised():
    rng = np.random.default_rng(4)
    d = rng.normal(0.0002, 0.01, 300)
    b = rng.normal(0.0, 0.01, 300)
    assert math.isclose(metrics.information_ratio(b + d, b), d.mean() / d.std(ddof=1) * math.sqrt(252), rel_tol=1e-9)


# Edge cases


def test_a_year_of_nothing_is_zero_or_undefined_but_never_a_verdict():
    s = summary(np.zeros(50), trades=np.zeros(50))
    assert (s.values["total_return"], s.values["max_drawdown"], s.values["max_drawdown_sessions"]) == (0.0, 0.0, 0.0)
    undefined = {"sharpe", "sortino", "calmar", "omega", "tail_ratio", "skew", "kurtosis", "hit_rate", "profit_factor"}
    assert undefined <= s.reasons.keys()
    assert s.annualised_withheld


def test_one_observation_has_a_return_and_no_spread():
    s = summary([0.01])
    assert close(s.values["total_return"], 0.01)
    assert {"sharpe", "sortino", "volatility", "skew", "kurtosis"} <= s.reasons.keys()


def test_a_recovery_on_the_last_session_closes_the_drawdown():
    worst = drawdowns.worst_drawdown([-0.1, -0.05, 0.02, 0.3])
    assert (worst.peak, worst.trough, worst.recovery, worst.sessions) == (0, 2, 4, 4)
    assert not worst.open


def test_losing_everything_is_minus_one_and_stays_there():
    s = summary([0.1, -1.0, 0.5, 0.2])
    assert s.values["total_return"] == s.values["cagr"] == s.values["max_drawdown"] == -1.0
    assert s.drawdown.open


def test_losing_more_than_everything_does_not_compound():
    s = summary([0.1, -1.3, 0.5])
    assert {"total_return", "cagr", "max_drawdown", "calmar", "ulcer"} <= s.reasons.keys()
    assert "session 1 lost 130%" in s.reasons["cagr"]
    assert s.values["annual_return"] is not None


def test_sixty_sessions_are_enough_for_annual_figures():
    r = np.linspace(-0.01, 0.012, 60)
    assert not summary(r).annualised_withheld
    assert summary(r[:59]).annualised_withheld
    assert summary(r[:59]).values["sharpe"] is not None


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_hole_in_the_returns_is_named_by_position(bad):
    r = np.full(10, 0.01)
    r[7] = bad
    with pytest.raises(DataError, match="at position 7 of 10"):
        summary(r)


def test_series_of_different_lengths_are_refused():
    with pytest.raises(DataError, match="benchmark has 3 values, returns has 4"):
        summary([0.1, 0.2, 0.1, 0.0], benchmark=[0.1, 0.2, 0.1])
    with pytest.raises(DataError, match="risk_free has 2 values"):
        summary([0.1, 0.2, 0.1], [0.0, 0.0])
    with pytest.raises(DataError, match="empty"):
        summary([])
    with pytest.raises(DataError, match="not numeric"):
        summary(["a", "b"])


def test_a_benchmark_that_is_the_strategy_explains_it_exactly(daily):
    s = summary(daily["bench"], daily["rf"], daily["bench"])
    assert close(s.values["beta"], 1.0)
    assert abs(s.values["alpha"]) < 1e-12
    assert {"alpha_t", "information_ratio"} <= s.reasons.keys()


def test_turnover_counts_both_sides_of_a_trade_once():
    everything_into_another = np.array([[1.0, 0.0], [0.0, 1.0]])
    assert close(metrics.turnover(everything_into_another, 2), 1.5)
    assert close(metrics.turnover_of_trades([1.0, 2.0], 2), 1.5)


returns = hnp.arrays(
    np.float64, st.integers(1, 80), elements=st.floats(-1.0, 2.0, allow_nan=False, width=32) | st.just(0.0)
)


@pytest.mark.medium
@settings(max_examples=200, deadline=None)
@given(returns, returns)
def test_whatever_the_returns_a_value_is_finite_or_has_a_reason(r, b):
    s = summary(r, 0.0001, np.resize(b, r.size), trades=r, weights=np.abs(r))
    assert {name for name, value in s.values.items() if value is None} == set(s.reasons)
    assert all(math.isfinite(v) for v in s.values.values() if v is not None)
    assert all(s.reasons.values())
    if s.values["max_drawdown"] is not None:
        assert -1.0 <= s.values["max_drawdown"] <= 0.0
        assert 0 <= s.values["max_drawdown_sessions"] <= r.size


@settings(max_examples=100, deadline=None)
@given(hnp.arrays(np.float64, st.integers(2, 60), elements=st.floats(-0.5, 0.5)), st.floats(0.1, 3.0))
def test_leverage_scales_volatility_and_leaves_the_sharpe_ratio(r, k):
    if np.ptp(r) < 1e-6:
        return
    assert math.isclose(metrics.volatility(k * r), k * metrics.volatility(r), rel_tol=1e-9)
    assert math.isclose(metrics.sharpe(k * r), metrics.sharpe(r), rel_tol=1e-6, abs_tol=1e-9)


def test_two_observations_have_a_spread():
    assert standard_deviation(np.array([0.01, 0.03])) == pytest.approx(math.sqrt(0.0002))
    assert isinstance(standard_deviation(np.array([0.01])), Undefined)
