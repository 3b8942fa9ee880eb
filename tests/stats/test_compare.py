"""Two strategies on the same dates, the timing of one, and the splits of a history."""

from __future__ import annotations

import math

import numpy as np
import pytest

from simulator.errors import DataError, UsageError
from simulator.stats import compare, splits, timing
from simulator.stats.metrics import exposure, sharpe
from simulator.stats.series import Undefined


@pytest.fixture(scope="module")
def pair(daily):
    return tuple((daily[name] - daily["rf"]) for name in ("strat_a", "strat_b"))


def test_the_errors_of_a_difference_are_pinned(pair):
    """The same code gives Wolf's own values to 1e-14 on the data of the paper, which may not be shipped."""
    assert math.isclose(compare.difference_error(*pair, "parzen"), 0.01845287831697, rel_tol=1e-9)
    assert math.isclose(compare.difference_error(*pair), 0.01831285978208, rel_tol=1e-9)
    test = compare.studentised_bootstrap(*pair, block=5, draws=999, seed=2)
    assert test.p == 0.059


def test_the_studentised_bootstrap_is_the_one_of_the_paper(pair):
    a, b = (x[:120] for x in pair)
    block, count = 5, 24
    starts = np.random.default_rng(0).integers(0, 120, size=(50, count))
    got = compare.studentised_bootstrap(a, b, block=block, starts=starts)
    difference = sharpe(a, 0.0, 1) - sharpe(b, 0.0, 1)
    for row, first in enumerate(starts):
        rows = np.concatenate([(s + np.arange(block)) % 120 for s in first])
        x = np.column_stack([a[rows], b[rows], a[rows] ** 2, b[rows] ** 2])
        m1, m2, q1, q2 = x.mean(axis=0)
        v1, v2 = (q1 - m1**2) ** 1.5, (q2 - m2**2) ** 1.5
        gradient = np.array([q1 / v1, -q2 / v2, -m1 / v1 / 2, m2 / v2 / 2])
        zeta = math.sqrt(block) * (x - x.mean(axis=0)).reshape(count, block, 4).mean(axis=1)
        psi = zeta.T @ zeta / count * 120 / 116
        drawn = sharpe(a[rows], 0.0, 1) - sharpe(b[rows], 0.0, 1)
        t = abs(drawn - difference) / math.sqrt(gradient @ psi @ gradient / 120)
        assert math.isclose(got.replicates[row], t, rel_tol=1e-9)


def test_an_edge_in_common_noise_is_told_apart_and_the_sign_follows_the_order():
    rng = np.random.default_rng(11)
    market = rng.normal(0.0003, 0.01, 1000)
    better = market + 0.0006 + rng.normal(0, 0.002, 1000)
    found = compare.compare(better, market, draws=1000)
    assert found.verdict == "the first is better"
    assert found.low > 0.0
    assert found.paired_low > 0.0
    reversed_ = compare.compare(market, better, draws=1000)
    assert reversed_.verdict == "the second is better"
    assert math.isclose(reversed_.p, found.p, abs_tol=1e-12)
    assert math.isclose(reversed_.difference, -found.difference, rel_tol=1e-9)


def test_two_lucky_strategies_cannot_be_told_apart(pair):
    found = compare.compare(*(x[:250] for x in pair), draws=1000)
    assert found.verdict == "cannot tell them apart"
    assert found.low < 0.0 < found.high
    assert found.detectable > abs(found.difference)
    assert math.isclose(found.difference, sharpe(pair[0][:250]) - sharpe(pair[1][:250]), rel_tol=1e-9)


@pytest.mark.parametrize(("p", "borderline"), [(0.029, False), (0.03, True), (0.07, True), (0.08, False)])
def test_a_p_near_five_percent_is_called_borderline(p, borderline):
    fields = dict.fromkeys(compare.SharpeDifference.__dataclass_fields__, 0.0) | {"p": p}
    assert compare.SharpeDifference(**fields).borderline is borderline


def test_what_cannot_be_compared_has_a_reason(pair):
    a = pair[0]
    assert "do not vary" in compare.compare(a, np.full(a.size, 0.01)).reason
    assert "move as one" in compare.compare(a, 2 * a).reason
    assert "30 sessions" in compare.compare(a[:20], a[1:21]).reason
    with pytest.raises(DataError, match="second has 5 values"):
        compare.compare(a, a[:5])


def test_a_mean_that_falls_is_called_decayed_and_one_that_stays_is_not():
    rng = np.random.default_rng(4)
    before, after = rng.normal(0.002, 0.01, 500), rng.normal(-0.001, 0.01, 300)
    assert compare.change_in_mean(before, after).decayed
    assert not compare.change_in_mean(before, rng.normal(0.002, 0.01, 300)).decayed
    assert isinstance(compare.change_in_mean(before, after[:5]), Undefined)


# Timing


def entries(positions):
    """How often a position was taken up from flat; one held from the first session on counts."""
    inside = positions != 0.0
    return int(np.sum(inside & ~np.concatenate(([False], inside[:-1]))))


def test_circular_shifts_agree_with_the_definition(table, expected):
    columns, want = table("timing_open"), expected("timing")
    held, r = columns["position_held_over_t"], columns["asset_return_t"]
    got = timing.circular_shifts(held, r)
    assert math.isclose(got.observed, want["observed"], rel_tol=1e-9)
    assert got.size == want["shifts"]
    assert math.isclose(got.p, want["p_one_sided_circular_shift_exact"], rel_tol=1e-9)
    assert math.isclose(got.null_mean, want["shift_null_mean"], rel_tol=1e-9)
    assert math.isclose(got.null_sd, want["shift_null_sd_ddof0"], rel_tol=1e-9)
    assert entries(held) == want["n_entries"]
    assert math.isclose(exposure(held[:, None]), want["exposure"], rel_tol=1e-9)


def test_shifts_of_several_symbols_move_together():
    rng = np.random.default_rng(0)
    held, r = rng.integers(-1, 2, (40, 3)).astype(float), rng.normal(0, 0.01, (40, 3))
    got = timing.circular_shifts(held, r)
    null = [np.sum(np.roll(held, k, axis=0) * r) / 40 for k in range(1, 40)]
    assert math.isclose(got.null_mean, np.mean(null), rel_tol=1e-9)
    assert math.isclose(got.p, (1 + np.sum(np.array(null) >= got.observed)) / 40, rel_tol=1e-12)


def test_a_pattern_that_repeats_is_not_better_than_its_own_shifts():
    held = np.tile([1.0, 0.0], 50)
    r = np.tile([0.01, -0.01], 50)
    assert timing.circular_shifts(held, r).p == (1 + 49) / 100


def test_without_anything_to_move_there_is_no_timing():
    r = np.random.default_rng(0).normal(0, 0.01, 20)
    assert isinstance(timing.circular_shifts(np.ones(20), r), Undefined)
    with pytest.raises(DataError, match="shape"):
        timing.circular_shifts(np.ones(20), r[:10])


# Splits


@pytest.mark.parametrize("name", ["cpcv_plain", "cpcv_purged"])
def test_combinatorial_splits_agree_exactly_with_skfolio(name, expected):
    want = expected(name)
    got = splits.combinatorial_purged(
        want["T"], want["n_folds"], want["n_test_folds"], purge=want["purged_size"], embargo=want["embargo_size"]
    )
    assert len(got) == want["n_splits"]
    for ours, theirs in zip(got, want["splits"], strict=True):
        assert ours.train.tolist() == theirs["train"]
        assert [t.tolist() for t in ours.test] == theirs["test"]
    assert len(splits.backtest_paths(want["n_folds"], want["n_test_folds"])) == want["n_test_paths"]


def test_walk_forward_agrees_exactly_with_skfolio(expected):
    want = expected("walk_forward")
    got = splits.walk_forward(want["T"], want["train_size"], want["test_size"], purge=want["purged_size"])
    assert [(s.train.tolist(), s.test[0].tolist()) for s in got] == [(s["train"], s["test"]) for s in want["splits"]]


def as_ranges(rows):
    """Rows as [first, end) of each stretch without a gap."""
    return [[int(part[0]), int(part[-1]) + 1] for part in np.split(rows, np.flatnonzero(np.diff(rows) > 1) + 1)]


def test_anchored_and_uneven_splits_and_their_paths_agree_exactly_with_skfolio(expected):
    for one in expected("splits")["cases"]:
        if one["kind"] == "walk_forward":
            size = one["T"], one["train"], one["test"]
            got = splits.walk_forward(*size, purge=one["purge"], anchored=one["anchored"])
        else:
            got = splits.combinatorial_purged(
                one["T"], one["folds"], one["test"], purge=one["purge"], embargo=one["embargo"]
            )
            paths = splits.backtest_paths(one["folds"], one["test"])
            for split, (tested, theirs) in enumerate(zip(one["folds_tested"], one["paths"], strict=True)):
                assert [np.flatnonzero(paths[:, fold] == split).tolist() for fold in tested] == [[p] for p in theirs]
        found = [{"train": as_ranges(s.train), "test": [r for t in s.test for r in as_ranges(t)]} for s in got]
        assert found == one["splits"]


def test_a_walk_moves_on_by_its_step():
    got = splits.walk_forward(40, 15, 5, step=8)
    assert [(s.train[0], s.test[0][0]) for s in got] == [(0, 15), (8, 23), (16, 31)]


def test_an_anchored_walk_keeps_the_first_session():
    got = splits.walk_forward(40, 15, 5, anchored=True)
    assert [(s.train[0], len(s.train)) for s in got] == [(0, 15), (0, 20), (0, 25), (0, 30), (0, 35)]


def test_no_session_is_judged_and_fitted_on_or_closer_than_the_purge():
    for split in splits.combinatorial_purged(47, 6, 2, purge=2, embargo=3):
        for stretch in split.test:
            gap = split.train[:, None] - stretch[None, :]
            assert np.abs(gap).min() > 2
            after = gap[split.train > stretch[-1]]
            assert after.size == 0 or after.min() > 5


def test_every_path_judges_every_fold_once_by_a_split_that_judges_it():
    paths = splits.backtest_paths(6, 2)
    every = splits.combinatorial_purged(24, 6, 2)
    assert paths.shape == (5, 6)
    for fold in range(6):
        assert paths[:, fold].tolist() == sorted(set(paths[:, fold]))
        for split in paths[:, fold]:
            assert any(t[0] == fold * 4 for t in every[split].test)


def test_impossible_splits_are_refused():
    with pytest.raises(UsageError, match="no window"):
        splits.walk_forward(10, 8, 3)
    with pytest.raises(UsageError, match="6 of 6 folds"):
        splits.combinatorial_purged(24, 6, 6)
    with pytest.raises(UsageError, match="fill a fold of 4"):
        splits.combinatorial_purged(24, 6, 2, purge=2, embargo=1)
    with pytest.raises(UsageError, match="no window"):
        splits.walk_forward(40, 15, 5, step=0)


def test_the_p_value_beside_the_bootstrap_is_that_of_the_difference_over_its_error():
    rng = np.random.default_rng(3)
    first, second = rng.normal(0.0008, 0.01, 400), rng.normal(0.0002, 0.012, 400)
    found = compare.compare(first, second, draws=99)
    assert isinstance(found, compare.SharpeDifference)
    assert found.p_hac == pytest.approx(math.erfc(abs(found.difference) / found.error / math.sqrt(2.0)), rel=1e-12)


def test_nothing_is_purged_unless_asked_for():
    plain, explicit = splits.combinatorial_purged(24, 6, 1), splits.combinatorial_purged(24, 6, 1, purge=0, embargo=0)
    for one, other in zip(plain, explicit, strict=True):
        np.testing.assert_array_equal(one.train, other.train)
        assert one.train.size == 20
