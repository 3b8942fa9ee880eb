"""The stationary bootstrap against arch: the same draws, its own generator, and the automatic block length."""

from __future__ import annotations

import math
from bisect import bisect_right

import numpy as np
import pytest

from simulator.errors import UsageError
from simulator.stats import bootstrap
from simulator.stats.metrics import max_drawdown, sharpe
from simulator.stats.series import Undefined


def sharpe_of_rows(excess, rows):
    """Annual Sharpe ratio of every replicate, straight from its rows."""
    replicates = excess[rows]
    return replicates.mean(axis=1) / replicates.std(axis=1, ddof=1) * math.sqrt(252)


@pytest.fixture(scope="module")
def excess(daily):
    return {name: (daily[name] - daily["rf"])[:300] for name in ("strat_a", "strat_b")}


@pytest.mark.parametrize("name", ["strat_a", "strat_b", "bench"])
@pytest.mark.parametrize("scheme", ["stationary", "circular"])
def test_block_lengths_agree_with_arch(name, scheme, daily, expected):
    want = expected("block_length")
    r = daily[name]
    for label, series in (("returns", r), ("abs_returns", np.abs(r)), ("sq_returns", r**2)):
        value = bootstrap.block_length(series, scheme)
        assert math.isclose(value, want[f"{name}.{label}"][f"arch_{scheme}"], rel_tol=1e-6)


def test_replicates_and_intervals_on_the_same_draws_agree_with_arch(excess, draws, expected):
    want, rows = expected("bootstrap_replay"), draws("sb_idx_open")
    e = excess["strat_a"]
    replicates = sharpe_of_rows(e, rows)
    estimate = sharpe(e)
    assert math.isclose(estimate, want["sharpe_ann"], rel_tol=1e-9)
    assert np.allclose(replicates[:10], want["first10"], rtol=1e-9)
    assert math.isclose(replicates.mean(), want["boot_mean"], rel_tol=1e-9)
    assert math.isclose(replicates.std(ddof=1), want["boot_sd_ddof1"], rel_tol=1e-9)
    methods = {"percentile": "percentile", "basic": "basic", "normal": "norm", "bias_corrected": "bc"}
    for ours, theirs in methods.items():
        got = bootstrap.interval(replicates, estimate, 0.95, ours)
        assert np.allclose(got, want[f"ci95_{theirs}"], rtol=1e-9), ours


def test_a_paired_difference_on_the_same_draws_agrees_with_arch(excess, draws, expected):
    want, rows = expected("bootstrap_replay")["paired_difference"], draws("sb_idx_open")
    a, b = excess["strat_a"], excess["strat_b"]
    estimate = sharpe(a) - sharpe(b)
    difference = sharpe_of_rows(a, rows) - sharpe_of_rows(b, rows)
    assert math.isclose(estimate, want["estimate"], rel_tol=1e-9)
    assert np.allclose(bootstrap.interval(difference, estimate), want["ci95_percentile"], rtol=1e-9)
    assert math.isclose(difference.std(ddof=1), want["boot_sd_ddof1"], rel_tol=1e-9)
    assert math.isclose(bootstrap.two_sided_p(difference, estimate), want["p_two_sided_centered"], rel_tol=1e-9)


def test_drawdowns_on_the_same_draws_agree_with_arch(excess, draws, expected):
    want = expected("bootstrap_replay")["max_drawdown_of_excess_path_quantiles_5_50_95"]
    depths = [max_drawdown(excess["strat_a"][rows]) for rows in draws("sb_idx_open")]
    assert np.allclose(np.quantile(depths, (0.05, 0.5, 0.95)), want, rtol=1e-9)


def test_our_own_draws_have_the_distribution_of_arch(excess, expected):
    want, count = expected("bootstrap_longrun")["stationary"], 50_000
    got = bootstrap.sharpe_draws(excess["strat_a"], 8, count, np.random.default_rng(7))
    theirs = math.sqrt(want["reps"])
    own = math.sqrt(theirs**2 / count)
    assert abs(got.std() - want["sd"]) < 4 * want["sd_mc_se"] * math.hypot(1, own)
    for p, q in want["quantiles"].items():
        assert abs(np.quantile(got, float(p)) - q["value"]) < 4 * q["mc_se"] * math.hypot(1, own), p


def test_the_fast_sums_are_the_statistics_of_the_rows_they_stand_for(excess):
    a, b = excess["strat_a"], excess["strat_b"]
    rows = bootstrap.stationary_rows(300, 4.0, 400, np.random.default_rng(3))
    direct = sharpe_of_rows(a, rows)
    assert np.allclose(direct, [sharpe(a[row]) for row in rows], rtol=1e-9)
    assert np.allclose(bootstrap.sharpe_draws(a, 4.0, 400, np.random.default_rng(3)), direct, rtol=1e-9)
    first, second = bootstrap.sharpe_pair_draws(a, b, 4.0, 400, np.random.default_rng(3))
    assert np.allclose(first, direct, rtol=1e-9)
    assert np.allclose(second, sharpe_of_rows(b, rows), rtol=1e-9)
    depths = bootstrap.drawdown_draws(a, 4.0, 400, np.random.default_rng(3))
    assert np.allclose(depths, [max_drawdown(a[row]) for row in rows], rtol=1e-9)


@pytest.mark.parametrize("block", [1.0, 1.3, 5.0, 60.0])
def test_blocks_have_the_mean_length_asked_for(block):
    rows = bootstrap.stationary_rows(500, block, 2000, np.random.default_rng(5))
    assert rows.min() == 0
    assert rows.max() == 499
    jumps = np.mean(np.diff(rows, axis=1) % 500 != 1)
    expected_jumps = (1 / block) * (1 - 1 / 500)
    assert abs(jumps - expected_jumps) < 4 * math.sqrt(expected_jumps / rows.size) + 1e-4
    assert abs(rows.mean() - 249.5) < 4 * 500 / math.sqrt(12 * rows.size / block)


def test_the_same_seed_gives_the_same_interval_and_more_draws_keep_the_first_ones(excess):
    e = excess["strat_a"]
    assert bootstrap.sharpe_interval(e, seed=4) == bootstrap.sharpe_interval(e, seed=4)
    assert bootstrap.sharpe_interval(e, seed=4) != bootstrap.sharpe_interval(e, seed=5)
    few = bootstrap.sharpe_draws(e, 3.0, 50, np.random.default_rng(1))
    many = bootstrap.sharpe_draws(e, 3.0, 500, np.random.default_rng(1))
    assert np.array_equal(few, many[:50])


def test_an_interval_of_known_draws_is_pinned():
    e = np.sin(np.arange(100.0)) / 100 + 0.001
    got = bootstrap.sharpe_interval(e, draws=1000, block=3.0, seed=1)
    assert (round(got.low, 8), round(got.high, 8)) == (-0.53624623, 5.12349592)


def test_what_cannot_be_drawn_from_has_a_reason():
    assert "do not vary" in bootstrap.sharpe_interval(np.full(50, 0.01)).reason
    assert "10 sessions" in bootstrap.sharpe_interval([0.1, 0.2, 0.1]).reason
    nearly_flat = np.zeros(50)
    nearly_flat[3] = 0.01
    assert "too few sessions differ" in bootstrap.sharpe_interval(nearly_flat, block=1.0).reason
    assert isinstance(bootstrap.drawdown_band([0.1] * 10 + [-1.5]), Undefined)
    assert bootstrap.block_length(np.full(50, 0.01)) == 1.0


def test_a_total_loss_is_the_deepest_drawdown_of_the_band():
    r = np.full(50, 0.01)
    r[20] = -1.0
    low, middle, high = bootstrap.drawdown_band(r)
    assert low == middle == -1.0
    assert -1.0 <= high <= 0.0


def test_a_block_below_one_session_is_refused():
    with pytest.raises(UsageError, match=r"0\.5 sessions is not possible"):
        bootstrap.stationary_rows(10, 0.5, 1, np.random.default_rng(0))


def test_blocks_of_one_session_are_the_same_draws_on_their_short_way(excess):
    e = excess["strat_a"]
    rows = bootstrap.stationary_rows(300, 1.0, 200, np.random.default_rng(3))
    direct = sharpe_of_rows(e, rows)
    assert np.allclose(bootstrap.sharpe_draws(e, 1.0, 200, np.random.default_rng(3)), direct, rtol=1e-9)
    depths = bootstrap.drawdown_draws(e, 1.0, 200, np.random.default_rng(3))
    assert np.allclose(depths, [max_drawdown(e[row]) for row in rows], rtol=1e-9)


@pytest.mark.parametrize("scale", [0.0, 0.2, 0.95])
def test_one_pass_for_interval_and_band_changes_no_bit_of_either(scale):
    rng = np.random.default_rng(9)
    r = rng.normal(0.0004, 0.01, 400)
    for t in range(1, 400):
        r[t] += scale * r[t - 1]
    for rf in (0.0, 0.0001, rng.uniform(0.0, 0.0002, 400)):
        got = bootstrap.interval_and_band(r, rf, draws=300, seed=5)
        assert got[0] == bootstrap.sharpe_interval(r, rf, draws=300, seed=5)
        assert got[1] == bootstrap.drawdown_band(r, draws=300, seed=5)


def test_series_drawn_side_by_side_have_the_bits_of_each_alone():
    rng = np.random.default_rng(10)
    some = [rng.normal(0.0004, 0.01, n) for n in (90, 90, 75, 90, 90)]
    some[1] = some[1] + 0.6 * np.roll(some[1], 1)  # longer blocks
    some[3] = np.full(90, 0.001)
    assert len({bootstrap.block_length(one) == 1.0 for one in some}) == 2
    together = bootstrap.intervals_and_bands([(one, 0.0) for one in some], draws=41)
    assert together == [bootstrap.interval_and_band(one, draws=41) for one in some]
    alone = [(bootstrap.sharpe_interval(one, draws=41), bootstrap.drawdown_band(one, draws=41)) for one in some]
    assert together == alone


def mixed(state):
    """SplitMix64 in whole numbers of any size."""
    z = ((state ^ (state >> 30)) * 0xBF58476D1CE4E5B9) % 2**64
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) % 2**64
    return z ^ (z >> 31)


def rows_by_definition(seed, n, block):
    """Row numbers of one replicate: uniform starts, geometric lengths by inversion; after the end the beginning."""
    reached = np.ceil((1.0 - np.cumprod(np.full(10 * n, 1.0 - 1.0 / block))) * 2.0**53).astype(int).tolist()
    rows = []
    while len(rows) < n:
        start = ((mixed((seed + 0x9E3779B97F4A7C15) % 2**64) >> 32) * n) >> 32
        seed = (seed + 2 * 0x9E3779B97F4A7C15) % 2**64
        length = 1 if block == 1.0 else bisect_right(reached, mixed(seed) >> 11) + 1
        rows += [(start + i) % n for i in range(min(length, n - len(rows)))]
    return rows


@pytest.mark.parametrize(("n", "block"), [(7, 2.5), (12, 1.0), (30, 4.0), (5, 20.0)])
def test_rows_are_those_of_the_definition_and_counts_count_them(n, block):
    seeds = np.random.default_rng(3).integers(0, 2**64, size=40, dtype=np.uint64).tolist()
    want = np.array([rows_by_definition(seed, n, block) for seed in seeds])
    assert (bootstrap.stationary_rows(n, block, 40, np.random.default_rng(3)) == want).all()
    counted = bootstrap.stationary_counts(n, block, 40, np.random.default_rng(3))
    assert (counted == [[np.sum(rows == i) for i in range(n)] for rows in want]).all()


@pytest.mark.parametrize("block", [1.0, 3.0])
def test_ratios_and_drawdowns_of_few_draws_are_those_of_the_rows(block):
    returns = np.random.default_rng(8).normal(0.001, 0.02, 23)
    seeds = np.random.default_rng(5).integers(0, 2**64, size=9, dtype=np.uint64).tolist()
    rows = np.array([rows_by_definition(seed, 23, block) for seed in seeds])
    ratios = bootstrap.sharpe_draws(returns, block, 9, np.random.default_rng(5))
    assert np.allclose(ratios, sharpe_of_rows(returns, rows), rtol=1e-9)
    depths = bootstrap.drawdown_draws(returns, block, 9, np.random.default_rng(5))
    assert np.allclose(depths, [max_drawdown(returns[one]) for one in rows], rtol=1e-9)
