"""Inference against SharpeR, sandwich and PerformanceAnalytics on R, and against the numbers printed in the papers."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from simulator.errors import DataError, UsageError
from simulator.stats import inference, power
from simulator.stats.distributions import chi2_sf, normal_cdf, normal_quantile
from simulator.stats.hac import long_run_variance, newey_west_lag
from simulator.stats.inference import inference_summary
from simulator.stats.metrics import kurtosis, sharpe, skew
from simulator.stats.series import Undefined

PAIR = ["strat_a", "strat_b"]


@pytest.mark.parametrize("name", PAIR)
def test_standard_errors_at_every_lag_agree_with_sharper_and_sandwich(name, daily, expected):
    want = expected("sharpe_inference")[f"daily_{name}"]
    for lag in (0, 1, 5, 10, 21):
        got = inference.sharpe_error(daily[name], daily["rf"], 1, lag=lag)
        assert math.isclose(got, want[f"se_sharpe_period_gmm_bartlett_L{lag}"], rel_tol=1e-9)


@pytest.mark.parametrize("name", PAIR)
def test_dependence_agrees_with_r(name, daily, expected):
    want = expected("sharpe_inference")[f"daily_{name}"]
    e = daily[name] - daily["rf"]
    for q in (2, 3, 6, 12, 21, 63, 252):
        assert math.isclose(inference.eta(e, q), want[f"lo_eta_q{q}"], rel_tol=1e-9)
    assert math.isclose(inference.ljung_box_statistic(e), want["ljung_box_10_stat"], rel_tol=1e-9)
    assert math.isclose(inference.ljung_box(e), want["ljung_box_10_p"], rel_tol=1e-9)
    assert math.isclose(inference.autocorrelations(e, 1)[0], want["adj_ar1"], rel_tol=1e-9)
    acf = expected("performance_analytics")[name]["base"]["acf1to5"]
    assert np.allclose(inference.autocorrelations(daily[name], 5), acf, rtol=1e-9)


@pytest.mark.parametrize("name", PAIR)
def test_errors_for_independent_returns_agree_with_r(name, daily, expected):
    want = expected("sharpe_inference")[f"daily_{name}"]
    r, rf = daily[name], daily["rf"]
    ratio = sharpe(r, rf, 1)
    reach = normal_quantile(0.975) * math.sqrt(inference.sharpe_variance_iid(ratio) / r.size)
    # SharpeR has n − 1 where Lo has n in the smaller of the two terms.
    assert np.allclose(np.array([ratio - reach, ratio + reach]) * math.sqrt(252), want["t_ci95_ann"], rtol=1e-6)


def test_probabilistic_sharpe_agrees_with_performance_analytics(daily, expected):
    want = expected("performance_analytics")["strat_a"]["inference"]["ref_ann_0.00"]
    e = daily["strat_a"] - daily["rf"]
    moments = (skew(e), kurtosis(e))
    ratio = sharpe(e, 0.0, 1)
    assert math.isclose(inference.probabilistic_sharpe(ratio, e.size, 0.0, *moments), want["psr_2012"], rel_tol=1e-9)
    assert math.isclose(inference.minimum_track_record(ratio, 0.0, *moments), want["mintrl_2012_obs"], rel_tol=1e-9)


def test_the_summary_is_made_of_the_same_numbers(daily, expected):
    want = expected("sharpe_inference")["daily_strat_a"]
    s = inference_summary(daily["strat_a"], daily["rf"], draws=500).values
    assert math.isclose(s["eta"], want["lo_eta_q252"], rel_tol=1e-9)
    assert math.isclose(s["sharpe_eta"], want["lo_eta_q252"] * want["sharpe_ddof1"], rel_tol=1e-9)
    assert math.isclose(s["ljung_box_p"], want["ljung_box_10_p"], rel_tol=1e-9)
    assert math.isclose(s["psr"], 0.624024867297241, rel_tol=1e-9)
    assert s["sharpe_ci_low"] < s["sharpe"] < s["sharpe_ci_high"]
    assert math.isclose(s["sharpe"], want["sharpe_ddof1"] * math.sqrt(252), rel_tol=1e-9)


# Numbers printed in the papers


def test_psr_of_the_worked_example_of_2012():
    assert round(inference.probabilistic_sharpe(0.458, 24), 3) == 0.982
    assert round(inference.probabilistic_sharpe(0.458, 24, 0.0, -2.448, 10.164), 3) == 0.913


@pytest.mark.parametrize(("periods", "years"), [(252, 2.73), (12, 3.24)])
def test_minimum_track_record_of_the_table_of_2012(periods, years):
    root = math.sqrt(periods)
    assert round(inference.minimum_track_record(2 / root, 1 / root) / periods, 2) == years


def test_deflated_sharpe_of_the_worked_example_of_2014():
    per_day = math.sqrt(250)
    spread = math.sqrt(0.5) / per_day
    assert round(inference.expected_maximum(100) * spread, 4) == 0.1132
    assert round(inference.deflated_sharpe(2.5 / per_day, 1250, 100, spread, -3, 10), 4) == 0.9004
    assert round(inference.expected_maximum(10), 2) == 1.57


def test_the_revision_of_2025_takes_the_variance_at_the_reference():
    ratio, moments = 0.036 / 0.079, (-2.448, 10.164)
    assert round(math.sqrt(inference.sharpe_variance_iid(ratio, *moments) / 24), 3) == 0.329
    assert round(math.sqrt(inference.sharpe_variance_iid(ratio) / 24), 3) == 0.214
    assert round(inference.probabilistic_sharpe(ratio, 24, 0.0, *moments, revision="2025"), 3) == 0.987
    assert round(inference.minimum_track_record(ratio, 0.0, *moments, 0.9, "2025"), 3) == 7.909


@pytest.mark.parametrize(
    ("rho", "q", "value"),
    [
        (0.9, 2, 1.03),
        (0.9, 250, 3.70),
        (0.5, 12, 2.12),
        (0.2, 250, 12.92),
        (0.0, 12, 3.46),
        (-0.2, 12, 4.17),
        (-0.5, 250, 27.31),
    ],
)
def test_scale_factors_of_an_ar1_agree_with_lo(rho, q, value):
    assert abs(inference.eta_ar1(rho, q) - value) < 0.005


@pytest.mark.parametrize(
    ("ratio", "n", "value"),
    [(0.5, 12, 0.306), (1.0, 36, 0.204), (1.5, 500, 0.065), (2.0, 125, 0.155), (3.0, 12, 0.677)],
)
def test_standard_errors_for_independent_returns_agree_with_lo(ratio, n, value):
    assert round(math.sqrt(inference.sharpe_variance_iid(ratio) / n), 3) == value


# Power


def test_sample_sizes_and_power_agree_with_r(expected):
    want = expected("sharpe_inference")
    for row in want["sample_size"]:
        sides = row["alternative"].replace(".", "-")
        got = power.sessions_needed(row["sharpe_ann"], chance=row["power"], alpha=row["alpha"], sides=sides)
        assert math.isclose(got, row["obs"], rel_tol=1e-4)
    for row in want["power"]:
        assert math.isclose(power.power(row["sharpe_ann"], row["obs"], alpha=row["alpha"]), row["power"], rel_tol=1e-9)


@pytest.mark.parametrize(("ratio", "years"), [(0.5, 24.7), (1.0, 6.2), (2.0, 1.6)])
def test_the_years_a_sharpe_ratio_needs(ratio, years):
    assert round(power.sessions_needed(ratio) / 252, 1) == years


def test_a_detectable_sharpe_ratio_is_found_four_times_in_five():
    for n in (252, 1260, 2520):
        assert abs(power.power(power.detectable_sharpe(n), n) - 0.8) < 0.005


def test_two_equal_strategies_that_move_together_are_told_apart_sooner():
    apart = power.sessions_to_tell_apart(1.0, 0.5, 0.0)
    together = power.sessions_to_tell_apart(1.0, 0.5, 0.9)
    assert together < apart / 5
    assert abs(power.pair_power(round(together), 1.0, 0.5, 0.9) - 0.8) < 0.002
    assert isinstance(power.sessions_to_tell_apart(1.0, 1.0, 0.5), Undefined)
    assert math.isclose(power.detectable_difference(round(together), 1.0, 0.5, 0.9), 0.5, rel_tol=1e-3)


# Behaviour


@pytest.mark.medium
def test_the_null_is_rejected_too_often_without_lags_and_about_right_with_them():
    rng = np.random.default_rng(20240101)
    rejected = {0: 0, None: 0}
    for _ in range(1500):
        noise = rng.normal(0.0, 0.01, 1000)
        r = np.empty(1000)
        r[0] = noise[0]
        for t in range(1, 1000):
            r[t] = 0.2 * r[t - 1] + noise[t]
        for lag in rejected:
            rejected[lag] += inference.sharpe_p(r, lag=lag) < 0.05
    assert rejected[0] / 1500 > 0.075
    assert rejected[None] / 1500 < 0.07


def test_eta_is_not_made_up_where_the_history_is_short():
    r = np.random.default_rng(0).normal(0, 0.01, 300)
    assert "twice 252 sessions; there are 300" in inference.eta(r, 252).reason
    assert inference.eta(r, 1) == 1.0


def test_a_losing_strategy_has_no_minimum_track_record(daily):
    s = inference_summary(daily["strat_b"], daily["rf"], draws=200)
    assert s.values["min_trl"] is None
    assert "not above" in s.reasons["min_trl"]


def test_one_trial_is_not_deflated_and_more_trials_deflate_more():
    psr = inference.probabilistic_sharpe(0.1, 500)
    values = [inference.deflated_sharpe(0.1, 500, n, 0.03) for n in (1, 1.2, 2, 10, 100, 10_000)]
    assert values[0] == psr
    assert all(b <= a for a, b in itertools.pairwise(values))
    assert round(inference.minimum_backtest_length(45), 1) == 5.0
    assert inference.minimum_backtest_length(45, 2.0) == inference.minimum_backtest_length(45) / 4


@pytest.mark.parametrize("r", [np.full(100, 0.001), np.zeros(100), np.array([0.01]), np.array([0.01, 0.02] * 4)])
def test_what_cannot_be_inferred_has_a_reason(r):
    s = inference_summary(r, draws=100)
    assert {"sharpe_se_hac", "sharpe_p_hac", "sharpe_ci_low", "psr", "min_trl", "rho_1", "eta"} <= s.reasons.keys()


def test_impossible_questions_are_refused():
    with pytest.raises(UsageError, match="inside -1"):
        inference.eta_ar1(1.0, 12)
    with pytest.raises(UsageError, match="0 trials"):
        inference.expected_maximum(0)
    with pytest.raises(UsageError, match="1 sessions"):
        power.power(1.0, 1)
    with pytest.raises(DataError, match="position 3"):
        inference_summary([0.1, 0.2, 0.1, math.nan])


def test_tail_probabilities_agree_with_scipy():
    from scipy import special

    for degrees in (1, 2, 3, 7, 10, 21):
        for x in (1e-8, 0.3, 4.0, 18.3, 70.0):
            assert math.isclose(chi2_sf(x, degrees), special.chdtrc(degrees, x), rel_tol=1e-11)
    for z in (-8.0, -1.6448536269514722, 0.0, 3.0):
        assert math.isclose(normal_cdf(z), special.ndtr(z), rel_tol=1e-12)


def test_the_long_run_variance_is_a_kernel_sum():
    x = np.array([1.0, -2.0, 3.0, 0.5, -1.0, 2.0])
    c = x - x.mean()
    gamma = [float(c[k:] @ c[: 6 - k]) / 6 for k in range(3)]
    assert math.isclose(long_run_variance(x, 2), gamma[0] + 2 * (2 / 3 * gamma[1] + 1 / 3 * gamma[2]), rel_tol=1e-12)
    assert newey_west_lag(100) == 4
    assert newey_west_lag(2) == 1


@settings(max_examples=60, deadline=None)
@given(hnp.arrays(np.float64, st.integers(1, 60), elements=st.floats(-1.0, 1.0, width=32) | st.just(0.0)))
def test_whatever_the_returns_inference_is_finite_or_has_a_reason(r):
    s = inference_summary(r, draws=50)
    assert {k for k, v in s.values.items() if v is None} == set(s.reasons)
    assert all(math.isfinite(v) for v in s.values.values() if v is not None)
    for p in ("sharpe_p_hac", "psr", "ljung_box_p"):
        assert s.values[p] is None or 0.0 <= s.values[p] <= 1.0
