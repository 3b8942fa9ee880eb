"""Many configurations: against arch, MFE and R's pbo on the same draws, on planted edges and on pure noise."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from simulator.errors import DataError, UsageError
from simulator.stats import selection
from simulator.stats.adjust import adjust
from simulator.stats.overfitting import backtest_overfitting
from simulator.stats.selection import Resampling
from simulator.stats.series import Undefined


@pytest.fixture(scope="module")
def resampling(draws):
    return Resampling(rows=draws("sweep_sb_idx_open"), block=10.0)


@pytest.mark.parametrize("case", ["all", "without_true_edges"])
def test_superior_predictive_ability_agrees_exactly_with_arch_and_mfe(case, sweep, resampling, expected):
    x = sweep if case == "all" else sweep[:, 3:]
    want, octave = expected("selection")[case], expected("selection_octave")
    for studentise, ours, theirs in (
        (True, "own_hansen2005_studentised", "studentized"),
        (False, "own_unstudentised", "standard"),
    ):
        got = selection.superior_predictive_ability(x, resampling, studentise=studentise)
        for bound in ("lower", "consistent", "upper"):
            assert getattr(got, bound) == want[ours][bound] == octave[f"{case}_{theirs}"][bound]
    assert math.isclose(
        selection.superior_predictive_ability(x, resampling).statistic,
        want["own_hansen2005_studentised"]["stat_T_SPA"],
        rel_tol=1e-9,
    )


def test_step_down_p_values_on_the_same_draws_agree_exactly(sweep, resampling, expected):
    want = expected("selection")["romano_wolf_sharpe_stepdown"]
    got = selection.romano_wolf(sweep, resampling)
    assert np.allclose(got.sharpe, want["sharpe_period"], rtol=1e-9)
    assert np.allclose(got.error, want["boot_se"], rtol=1e-9)
    assert np.allclose(got.t, want["t"], rtol=1e-9)
    assert np.allclose(got.p, want["p_adjusted"], rtol=1e-12)


def test_model_confidence_sets_agree_with_arch_and_mfe(sweep, resampling, expected):
    want = expected("selection")
    for statistic, name in (("range", "mcs_R"), ("max", "mcs_max")):
        got = selection.model_confidence_set(sweep, resampling, statistic=statistic)
        assert list(got.included) == want[name]["included_size_0.10"]
    first = selection.model_confidence_set(sweep[:, :8], resampling)
    assert list(first.included) == expected("selection_octave")["mcs_first8_TR"]["included_0.10"]


def test_the_reality_check_is_the_maximum_over_replicates_with_their_own_spread(sweep, resampling):
    x = sweep[:, 3:9]
    got = selection.max_sharpe_reality_check(x, resampling)
    by_hand = []
    for rows in resampling.rows:
        drawn = x[rows]
        by_hand.append(max((drawn.mean(axis=0) - x.mean(axis=0)) / drawn.std(axis=0, ddof=1)))
    assert np.allclose(got.null, by_hand, rtol=1e-9)
    best = max(x.mean(axis=0) / x.std(axis=0, ddof=1))
    assert math.isclose(got.p, (1 + sum(n >= best for n in by_hand)) / 401, rel_tol=1e-12)


def test_a_true_edge_is_found_and_luck_is_called_luck(sweep):
    edge = selection.max_sharpe_reality_check(sweep, Resampling(draws=1000))
    assert (edge.best, edge.p < 0.01) == (1, True)
    assert selection.max_sharpe_reality_check(sweep[:, 3:], Resampling(draws=1000)).p > 0.05


def test_an_edge_of_low_volatility_is_not_drowned_by_a_wild_neighbour():
    rng = np.random.default_rng(5)
    x = np.column_stack([rng.normal(0.0003, 0.001, 600), rng.normal(0.0, 0.05, (600, 5))])
    assert selection.max_sharpe_reality_check(x, Resampling(draws=1000, block=1.0)).p < 0.01
    assert selection.superior_predictive_ability(x, Resampling(draws=1000, block=1.0), studentise=False).upper > 0.3


def test_the_same_seed_draws_the_same_sweep(sweep):
    p = [selection.romano_wolf(sweep[:, :4], Resampling(draws=700, seed=3)).p for _ in range(2)]
    assert np.array_equal(*p)


def test_a_configuration_that_never_traded_takes_no_part(sweep):
    x = np.column_stack([np.zeros(480), sweep[:, 1]])
    check = selection.max_sharpe_reality_check(x, Resampling(draws=200))
    assert check.best == 1
    assert np.isnan(check.sharpe[0])
    steps = selection.romano_wolf(x, Resampling(draws=200))
    assert steps.p[0] == 1.0
    assert steps.p[1] < 0.05
    with pytest.raises(DataError, match="0 with returns that vary"):
        selection.max_sharpe_reality_check(np.zeros((100, 3)))


def test_copies_of_one_strategy_are_one_trial():
    rng = np.random.default_rng(2)
    one = rng.normal(0, 0.01, 400)
    assert math.isclose(selection.effective_trials(np.column_stack([one] * 10)), 1.0, abs_tol=1e-9)
    independent = selection.effective_trials(rng.normal(0, 0.01, (400, 10)))
    assert 9.0 < independent <= 10.0
    assert selection.effective_trials(one[:, None]) == 1.0


def test_identical_configurations_stay_in_the_confidence_set_together(sweep):
    twins = np.column_stack([sweep[:, 1], sweep[:, 1], sweep[:, 4]])
    included = selection.model_confidence_set(twins, Resampling(draws=300)).included
    assert {0, 1} <= set(included)


# Probability of backtest overfitting

CASES = {
    "S8_all": slice(None),
    "S12_all": slice(None),
    "S8_first23_odd_N": slice(0, 23),
    "S8_noise_only_cols3plus": slice(3, None),
}


@pytest.mark.parametrize("case", CASES)
def test_overfitting_agrees_with_r_pbo(case, sweep, expected):
    want = expected("pbo")[case]
    got = backtest_overfitting(sweep[:, CASES[case]], want["S"])
    assert got.logits.size == want["combinations"]
    assert math.isclose(got.probability, want["pbo_rank_over_Nplus1"], rel_tol=1e-9)
    assert np.allclose(got.logits[:10], want["logit_first10"], rtol=1e-9)
    assert math.isclose(got.logits.mean(), want["logit_mean"], rel_tol=1e-9)
    assert math.isclose(got.logits.std(ddof=1), want["logit_sd"], rel_tol=1e-9)
    assert got.chosen[:10].tolist() == want["is_best_index_first10"]
    assert got.ranks[:10].tolist() == want["oos_rank_first10"]
    assert math.isclose(got.loss, want["prob_oos_loss"], rel_tol=1e-9)
    assert math.isclose(got.in_sample.mean(), want["is_best_mean"], rel_tol=1e-9)
    assert math.isclose(got.out_of_sample.mean(), want["oos_of_is_best_mean"], rel_tol=1e-9)
    assert math.isclose(got.slope, want["slope_Rbn_on_Rn"], rel_tol=1e-9)
    assert math.isclose(got.intercept, want["intercept_Rbn_on_Rn"], rel_tol=1e-9)


def test_rows_that_do_not_divide_are_dropped_from_the_old_end_and_said():
    x = np.random.default_rng(0).normal(0, 0.01, (103, 5))
    got, kept = backtest_overfitting(x, 4), backtest_overfitting(x[3:], 4)
    assert (got.dropped, kept.dropped) == (3, 0)
    assert np.array_equal(got.logits, kept.logits)


def test_noise_is_overfitted_half_of_the_time():
    rng = np.random.default_rng(1)
    values = [backtest_overfitting(rng.normal(0, 0.01, (320, 20)), 8).probability for _ in range(60)]
    assert 0.4 < np.mean(values) < 0.6


def test_block_sums_give_the_same_as_cutting_and_pasting():
    x = np.random.default_rng(8).normal(0.001, 0.01, (60, 4))
    parts = np.split(x, 6)
    got = backtest_overfitting(x, 6)
    for i, inside in enumerate(itertools.combinations(range(6), 3)):
        a = np.concatenate([parts[j] for j in inside])
        b = np.concatenate([parts[j] for j in range(6) if j not in inside])
        sharpe = [h.mean(axis=0) / h.std(axis=0, ddof=1) for h in (a, b)]
        best = int(np.argmax(sharpe[0]))
        assert got.chosen[i] == best
        assert math.isclose(got.out_of_sample[i], sharpe[1][best], rel_tol=1e-9)
        assert got.ranks[i] == 1 + np.sum(sharpe[1] < sharpe[1][best])


def test_a_configuration_that_never_trades_has_a_rank_and_no_infinite_ratio():
    x = np.column_stack([np.zeros(80), -np.abs(np.random.default_rng(0).normal(0.01, 0.001, (80, 2)))])
    got = backtest_overfitting(x, 4)
    assert set(got.chosen.tolist()) == {0}
    assert np.all(got.out_of_sample == 0.0)
    assert isinstance(got.slope, Undefined)


@pytest.mark.parametrize(
    ("shape", "blocks", "message"),
    [
        ((100, 5), 5, "5 blocks"),
        ((100, 5), 22, "22 blocks"),
        ((100, 1), 4, "one configuration"),
        ((7, 3), 4, "7 sessions"),
    ],
)
def test_impossible_cuts_are_refused(shape, blocks, message):
    with pytest.raises(UsageError, match=message):
        backtest_overfitting(np.random.default_rng(0).normal(size=shape), blocks)


# Adjusted p-values

HOCHBERG_1995 = [
    0.0001,
    0.0004,
    0.0019,
    0.0095,
    0.0201,
    0.0278,
    0.0298,
    0.0344,
    0.0459,
    0.324,
    0.4262,
    0.5719,
    0.6528,
    0.759,
    1,
]


def test_the_published_example_rejects_four_by_false_discovery_and_three_by_bonferroni():
    assert np.sum(adjust(HOCHBERG_1995) <= 0.05) == 4
    assert np.sum(adjust(HOCHBERG_1995, "bonferroni") <= 0.05) == 3


@pytest.mark.parametrize(
    ("method", "values"),
    [
        ("bonferroni", [0.03, 0.054, 0.0768, 0.081, 0.27, 0.36]),
        ("holm", [0.03, 0.045, 0.0512, 0.0512, 0.09, 0.09]),
        ("hochberg", [0.03, 0.0405, 0.0405, 0.0405, 0.06, 0.06]),
        ("benjamini_hochberg", [0.02025, 0.02025, 0.02025, 0.02025, 0.054, 0.06]),
        ("benjamini_yekutieli", [0.0496125, 0.0496125, 0.0496125, 0.0496125, 0.1323, 0.147]),
    ],
)
def test_adjusted_p_values_agree_with_r(method, values):
    p = np.array([0.005, 0.009, 0.0128, 0.0135, 0.045, 0.06])
    assert np.allclose(adjust(p, method), values, rtol=1e-12)
    shuffled = np.array([3, 0, 5, 1, 4, 2])
    assert np.allclose(adjust(p[shuffled], method), np.array(values)[shuffled], rtol=1e-12)


def test_a_p_value_above_one_is_refused():
    with pytest.raises(DataError, match=r"1\.2 at position 1"):
        adjust([0.1, 1.2])


@pytest.mark.parametrize("level", [1e-4, -1e-4])
def test_a_replicate_that_misses_the_only_session_with_a_move_has_no_ratio(level):
    """Its variance is rounding of what is added, and dividing by it would win every maximum."""
    x = np.random.default_rng(1).normal(0.0, 0.01, (600, 3))
    found = []
    for rounding in (0.0, 1e-9):
        x[:, 1] = level + rounding * np.sin(np.arange(600.0))
        x[300, 1] = 0.08
        check = selection.max_sharpe_reality_check(x, Resampling(draws=300))
        assert check.null.max() < 0.2
        found.append((check.p, *selection.romano_wolf(x, Resampling(draws=300)).p))
    assert found[0] == found[1]
