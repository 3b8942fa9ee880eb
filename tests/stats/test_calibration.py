"""Do the tests reject as often as they say? Simulated nulls and planted edges; `pytest -m slow -s` prints the table.

Nulls: independent normal returns; AR(1) with coefficient 0.2; GARCH(1,1) with α 0.08, β 0.90. The table in
docs/STATISTICS.md is this output.
"""

from __future__ import annotations

import math

import numpy as np
import pytest

from simulator.stats.bootstrap import sharpe_interval
from simulator.stats.compare import change_in_mean, compare
from simulator.stats.inference import deflated_sharpe, sharpe_p
from simulator.stats.metrics import kurtosis, skew
from simulator.stats.overfitting import backtest_overfitting
from simulator.stats.power import pair_power, power
from simulator.stats.selection import (
    Resampling,
    max_sharpe_reality_check,
    model_confidence_set,
    romano_wolf,
    superior_predictive_ability,
)
from simulator.stats.timing import circular_shifts

pytestmark = pytest.mark.slow

NULLS = ["independent", "AR(1)", "GARCH"]
SESSIONS = 750


def simulate(null: str, shape: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    """(T, N) returns of about 1 % a session with mean 0."""
    steps, width = shape
    z = rng.normal(size=(steps + 100, width))
    out = np.zeros_like(z)
    variance = np.ones(width)
    for t in range(1, len(z)):
        if null == "AR(1)":
            out[t] = 0.2 * out[t - 1] + z[t]
        elif null == "GARCH":
            variance = 0.02 + 0.08 * out[t - 1] ** 2 + 0.90 * variance
            out[t] = np.sqrt(variance) * z[t]
        else:
            out[t] = z[t]
    return 0.01 * out[100:]


def share(flags: list[bool], what: str, null: str) -> float:
    value = float(np.mean(flags))
    error = math.sqrt(value * (1 - value) / len(flags))
    print(f"| {what} | {null} | {100 * value:.1f} % ± {100 * error:.1f} |")
    return value


@pytest.mark.parametrize("null", NULLS)
def test_the_p_of_one_strategy_rejects_five_percent_of_nulls(null):
    x = simulate(null, (SESSIONS, 4000), np.random.default_rng(1))
    assert 0.035 < share([sharpe_p(r) < 0.05 for r in x.T], "HAC p, SR ≤ 0", null) < 0.07
    naive = share([sharpe_p(r, lag=0) < 0.05 for r in x.T], "p without lags, beside it", null)
    assert (naive > 0.08) == (null == "AR(1)")


@pytest.mark.parametrize("null", NULLS)
@pytest.mark.parametrize("edge", [0.0, 1.0])
def test_the_bootstrap_interval_covers_the_truth(null, edge):
    rng = np.random.default_rng(2)
    x = simulate(null, (SESSIONS, 1000), rng)
    spread = 0.01 * {"independent": 1.0, "AR(1)": 1 / math.sqrt(1 - 0.04), "GARCH": 1.0}[null]
    x = x + edge / math.sqrt(252) * spread
    found = [sharpe_interval(r, draws=1000, seed=i) for i, r in enumerate(x.T)]
    covered = share([i.low <= edge <= i.high for i in found], f"95 % interval holds SR {edge:g}", null)
    assert 0.90 < covered < 0.975


@pytest.mark.parametrize("null", NULLS)
def test_two_equal_strategies_are_told_apart_five_times_in_a_hundred(null):
    rng = np.random.default_rng(3)
    flags = []
    for i in range(600):
        x = simulate(null, (SESSIONS, 2), rng)
        flags.append(compare(0.7 * x[:, 0] + 0.5 * x[:, 1], x[:, 0], draws=500, seed=i).p < 0.05)
    assert 0.025 < share(flags, "Ledoit-Wolf, equal Sharpe ratios", null) < 0.085


@pytest.mark.parametrize("null", NULLS)
def test_the_best_of_twenty_without_skill_is_called_luck(null):
    rng = np.random.default_rng(4)
    best, stepped, studentised = [], [], []
    volatility = np.linspace(0.3, 3.0, 20)
    for i in range(500):
        x = simulate(null, (SESSIONS, 20), rng) * volatility
        resampling = Resampling(draws=400, seed=i)
        best.append(max_sharpe_reality_check(x, resampling).p < 0.05)
        stepped.append(romano_wolf(x, resampling).p.min() < 0.05)
        studentised.append(superior_predictive_ability(x, resampling).consistent < 0.05)
    assert 0.025 < share(best, "reality check, best of 20", null) < 0.085
    assert 0.02 < share(stepped, "Romano-Wolf, any of 20", null) < 0.09
    share(studentised, "Hansen's SPA, beside it", null)


@pytest.mark.parametrize("null", NULLS)
def test_the_deflated_sharpe_ratio_of_the_best_without_skill_is_rarely_high(null):
    rng = np.random.default_rng(9)
    flags = []
    for _ in range(2000):
        x = simulate(null, (SESSIONS, 20), rng)
        ratios = x.mean(axis=0) / x.std(axis=0, ddof=1)
        best = int(np.argmax(ratios))
        moments = skew(x[:, best]), kurtosis(x[:, best])
        flags.append(deflated_sharpe(ratios[best], SESSIONS, 20, float(ratios.std(ddof=1)), *moments) > 0.95)
    assert share(flags, "deflated Sharpe ratio above 0.95, best of 20", null) < 0.06


@pytest.mark.parametrize("null", NULLS)
def test_the_confidence_set_keeps_the_best(null):
    rng = np.random.default_rng(10)
    kept = []
    for i in range(300):
        x = simulate(null, (SESSIONS, 10), rng)
        x[:, 4] += 1e-4
        kept.append(4 in model_confidence_set(x, Resampling(draws=300, seed=i)).included)
    assert share(kept, "90 % confidence set of 10 holds the best", null) > 0.87


@pytest.mark.parametrize("null", NULLS)
def test_a_mean_that_did_not_change_is_called_decayed_in_one_of_forty(null):
    x = simulate(null, (SESSIONS, 1500), np.random.default_rng(11))
    flags = [change_in_mean(r[:500], r[500:]).decayed for r in x.T]
    assert 0.012 < share(flags, "mean called decayed, nominal 2.5 %", null) < 0.05


def test_two_strategies_with_a_planted_difference_are_told_apart_as_the_power_formula_says():
    rng = np.random.default_rng(12)
    found = []
    for i in range(300):
        common = rng.normal(0.0, 0.009, SESSIONS)
        own = rng.normal(0.0, 0.0045, (SESSIONS, 2))
        x = common[:, None] + own
        x[:, 0] += 1.0 / math.sqrt(252) * 0.01
        found.append(compare(x[:, 0], x[:, 1], draws=400, seed=i).p < 0.05)
    wanted = pair_power(SESSIONS, 1.0, 0.0, 0.8)
    what = f"Ledoit-Wolf finds a difference of 1, formula {100 * wanted:.0f} %"
    assert abs(share(found, what, "independent") - wanted) < 0.09


def test_a_planted_edge_is_found_as_often_as_the_power_formula_says():
    x = np.random.default_rng(5).normal(1.5 / math.sqrt(252) * 0.01, 0.01, (SESSIONS, 3000))
    found = share([sharpe_p(r) < 0.05 for r in x.T], "power, SR 1.5 over 750 sessions", "independent")
    assert abs(found - power(1.5, SESSIONS)) < 0.03


def test_an_edge_among_twenty_is_found():
    rng = np.random.default_rng(6)
    found = []
    for i in range(200):
        x = simulate("GARCH", (SESSIONS, 20), rng)
        x[:, 7] += 3.0 / math.sqrt(252) * 0.01
        found.append(max_sharpe_reality_check(x, Resampling(draws=400, seed=i)).p < 0.05)
    assert share(found, "reality check finds SR 3 among 20", "GARCH") > 0.8


@pytest.mark.parametrize("null", NULLS)
def test_positions_without_skill_have_no_timing(null):
    rng = np.random.default_rng(NULLS.index(null))
    flags = []
    for r in simulate(null, (250, 4000), rng).T:
        held = np.repeat(rng.integers(0, 2, 25), 10).astype(float)
        if held.any() and not held.all():
            flags.append(circular_shifts(held, r).p < 0.05)
    assert 0.035 < share(flags, "circular shifts, no skill", null) < 0.065


def test_noise_is_overfitted_half_of_the_time_and_skill_is_not():
    rng = np.random.default_rng(8)
    noise = [backtest_overfitting(simulate("GARCH", (480, 30), rng), 8).probability for _ in range(200)]
    print(f"| mean PBO of noise | GARCH | {100 * np.mean(noise):.1f} % |")
    assert 0.45 < np.mean(noise) < 0.55
    skilled = simulate("GARCH", (480, 30), rng)
    skilled[:, 4] += 4.0 / math.sqrt(252) * 0.01
    assert backtest_overfitting(skilled, 8).probability < 0.1
