"""What other programs do, and what would come out: each test fails where the wrong convention is taken.

Those of the plain metrics (calendar days, raw standard deviation, constant returns, losing days only, uncompounded
drawdowns, percent, normal quantiles, hit rate over days, compounded alpha) stand in test_metrics.py.
"""

from __future__ import annotations

import math

import numpy as np
import pytest

from simulator.stats import metrics
from simulator.stats.compare import compare
from simulator.stats.inference import deflated_sharpe, expected_maximum, probabilistic_sharpe, sharpe_p
from simulator.stats.overfitting import backtest_overfitting
from simulator.stats.selection import Resampling, max_sharpe_reality_check, superior_predictive_ability


def test_calmar_takes_the_whole_history_not_its_last_three_years(daily):
    r = daily["strat_a"]
    whole = metrics.cagr(r) / -metrics.max_drawdown(r)
    recent = metrics.cagr(r[-756:]) / -metrics.max_drawdown(r[-756:])
    assert metrics.calmar(r) == pytest.approx(whole, rel=1e-12)
    assert not math.isclose(whole, recent, rel_tol=0.05)


def test_kurtosis_enters_the_psr_as_a_moment_not_as_an_excess():
    moment = probabilistic_sharpe(0.458, 24, 0.0, -2.448, 10.164)
    excess = probabilistic_sharpe(0.458, 24, 0.0, -2.448, 10.164 - 3.0)
    assert round(moment, 3) == 0.913
    assert round(excess, 3) == 0.920


def test_skew_and_kurtosis_are_not_left_out_of_the_psr():
    assert probabilistic_sharpe(0.458, 24) - probabilistic_sharpe(0.458, 24, 0.0, -2.448, 10.164) > 0.05


def test_trials_are_deflated_in_units_of_a_session_not_of_a_year():
    ratio, spread = 2.5 / math.sqrt(250), math.sqrt(0.5)
    assert round(deflated_sharpe(ratio, 1250, 100, spread / math.sqrt(250), -3, 10), 4) == 0.9004
    assert deflated_sharpe(ratio, 1250, 100, spread, -3, 10) < 1e-6
    assert round(expected_maximum(100) * spread, 2) == 1.79


def test_the_iid_error_finds_edges_in_autocorrelated_noise_that_the_hac_error_does_not():
    rng = np.random.default_rng(7)
    noise = rng.normal(0.0, 0.01, (800, 800))
    for t in range(1, len(noise)):
        noise[t] += 0.2 * noise[t - 1]
    naive = np.mean([sharpe_p(r, lag=0) < 0.05 for r in noise.T])
    robust = np.mean([sharpe_p(r) < 0.05 for r in noise.T])
    assert naive > 0.075 > robust


def test_the_error_of_jobson_and_korkie_is_too_small_where_returns_hang_together():
    rng = np.random.default_rng(2)
    x = rng.normal(0.0, 0.01, (4000, 2))
    for t in range(1, len(x)):
        x[t] += 0.3 * x[t - 1]
    found = compare(x[:, 0], x[:, 1], draws=200)
    s1, s2 = (column.mean() / column.std(ddof=1) for column in x.T)
    rho = found.correlation
    variance = (2 - 2 * rho + 0.5 * (s1**2 + s2**2 - 2 * s1 * s2 * rho**2)) / len(x)
    jobson_korkie = math.sqrt(variance * 252)
    assert found.error > 1.2 * jobson_korkie


def test_a_statistic_that_is_not_divided_by_its_spread_loses_the_quiet_edge():
    rng = np.random.default_rng(5)
    x = np.column_stack([rng.normal(0.0003, 0.001, 600), rng.normal(0.0, 0.05, (600, 5))])
    drawn = Resampling(draws=1000, block=1.0)
    assert max_sharpe_reality_check(x, drawn).p < 0.01
    assert superior_predictive_ability(x, drawn, studentise=False).upper > 0.3


def test_ranks_are_divided_by_one_more_than_their_number(sweep, expected):
    """With an odd number of configurations the middle rank is a logit of 0, which rank/N would call a success."""
    want = expected("pbo")["S8_first23_odd_N"]
    got = backtest_overfitting(sweep[:, :23], want["S"])
    by_n = got.ranks / 23.0
    assert got.probability == pytest.approx(want["pbo_rank_over_Nplus1"], rel=1e-9)
    assert np.all(np.isfinite(got.logits))
    assert np.any(by_n == 1.0), "the best rank has no logit at all when divided by N"


def test_shuffling_days_says_nothing_about_skill(daily):
    r = daily["strat_a"]
    shuffled = np.random.default_rng(0).permutation(r)
    assert metrics.sharpe(shuffled) == pytest.approx(metrics.sharpe(r), rel=1e-9)
