"""Conclusions of a sweep: streamed over its members they are those of the whole matrix, and luck is called luck."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest

from simulator.stats import selection
from simulator.stats.many import Resampling, compare_many
from simulator.stats.overfitting import BlockSums, backtest_overfitting, overfitting_of
from simulator.stats.series import Floats, Undefined
from simulator.stats.skill import mean_test, p_values
from simulator.studies.inference import Members, adjusted_p, infer

SESSIONS = 300


@pytest.fixture(scope="module")
def beyond() -> Floats:
    """(60, 300) d: correlated luck, one edge and its copy, one that never varies, one that failed."""
    rng = np.random.default_rng(7)
    d = rng.normal(size=(60, 3)) @ rng.normal(0, 0.004, (3, SESSIONS)) + rng.normal(0, 0.01, (60, SESSIONS))
    d[5] += 0.0035
    d[6], d[7], d[8] = d[5], 0.0, np.nan
    return d


def members_of(d: Floats, step: int = 60, levels: Floats | None = None) -> Members:
    count = len(d)

    def blocks() -> Iterator[Floats]:
        return (d[first : first + step] for first in range(0, count, step))

    failed = np.isnan(d[:, 0])
    held = np.nan_to_num(d).any(axis=1)
    none = np.zeros(count)
    return Members(blocks, none if levels is None else levels, np.full(count, 40.0), held, failed, none)


@pytest.mark.parametrize("step", [1, 7, 60])
def test_blocks_of_any_size_give_the_p_values_of_the_whole_matrix(beyond: Floats, step: int) -> None:
    whole = np.delete(beyond, 8, axis=0)
    how = Resampling(draws=400, block=3.0)
    steps, check = selection.romano_wolf(whole.T, how), selection.max_sharpe_reality_check(whole.T, how)
    many = compare_many(members_of(beyond, step).blocks(), how)
    assert np.array_equal(np.delete(many.p, 8), steps.p)
    assert np.allclose(np.delete(many.t, 8), steps.t, rtol=1e-12, equal_nan=True)
    assert (many.p_best, many.best) == (check.p, check.best)
    assert many.p[7] == many.p[8] == 1.0
    sums = [BlockSums.of((whole[i : i + step] for i in range(0, len(whole), step)), 10), BlockSums.of([whole], 10)]
    assert overfitting_of(sums[0]).probability == overfitting_of(sums[1]).probability
    assert backtest_overfitting(whole.T, 10).probability == overfitting_of(sums[0]).probability


def test_the_step_down_is_the_one_that_is_defined_over_all_that_remain() -> None:
    rng = np.random.default_rng(3)
    x = rng.normal(0, 0.01, (120, 9))
    x[:, 2] += 0.003
    how = Resampling(draws=200, block=2.0)
    drawn = [counts for part in how.counts(x) for counts in part]
    ratio = x.mean(axis=0) / x.std(axis=0, ddof=1)
    replicates = np.array([[np.repeat(x[:, i], c.astype(int)) for i in range(9)] for c in drawn])
    of_replicates = replicates.mean(axis=2) / replicates.std(axis=2, ddof=1)
    error = of_replicates.std(axis=0, ddof=1)
    t, away, expected, highest = ratio / error, (of_replicates - ratio) / error, np.ones(9), 0.0
    left = list(np.argsort(-t))
    while left:
        highest = max(highest, (1 + (away[:, left].max(axis=1) >= t[left[0]]).sum()) / 201)
        expected[left.pop(0)] = highest
    assert np.allclose(selection.romano_wolf(x, how).p, expected)


def test_the_rule_of_levels_is_carried_into_the_step_down(beyond: Floats) -> None:
    how = Resampling(draws=400, block=3.0)
    levels = np.zeros(60)
    levels[5] = np.nanmean(beyond[5]) * 0.9
    plain = adjusted_p(members_of(beyond), compare_many([beyond], how))
    moved = adjusted_p(members_of(beyond, levels=levels), compare_many([beyond], how, levels))
    assert plain[5] == plain[6] < 0.05
    assert moved[5] > 0.5, "nine tenths of it are one choice of level"
    assert moved[6] < 0.05, "its copy moved nothing"


def test_no_member_has_a_smaller_p_than_it_has_by_itself(beyond: Floats) -> None:
    d = beyond[:7]
    p = adjusted_p(members_of(d, 3), compare_many([d], Resampling(draws=400, block=3.0)))
    alone = [mean_test(row) for row in d]
    assert all(isinstance(one, Undefined) or p[i] >= one.p * (1 - 1e-9) for i, one in enumerate(alone) if p[i] < 0.1)
    levels = np.linspace(-0.001, 0.003, 7)
    many = p_values(d, levels)
    single = [mean_test(row, level) for row, level in zip(d, levels, strict=True)]
    assert np.allclose(many, [1.0 if isinstance(one, Undefined) else one.p for one in single], rtol=1e-9)


@pytest.mark.medium
def test_a_sweep_says_all_that_is_asked_of_one(beyond: Floats) -> None:
    found = infer(members_of(beyond, 7), seed=1)
    record, counts = found.record, found.counts
    assert (counts["members"], counts["failed"], counts["idle"], counts["tested"]) == (60, 1, 1, 58)
    assert (record["best"], record["significant"]) == (5, 2)
    assert record["p"] == found.columns["p"][5] < 0.05
    assert 1 < record["effective"] < 60
    assert record["overfitting"] is not None
    assert sum(record["overfitting"]["logits"]["counts"]) == record["overfitting"]["splits"] == 12870
    assert record["confidence_set"] is not None
    assert {5, 6} <= set(record["confidence_set"]["members"])
    assert sum(record["ratios"]["counts"]) == 58
    assert infer(members_of(beyond, 60), seed=1).record == record, "whoever played, whatever the chunks"


@pytest.mark.medium
def test_the_best_is_looked_for_among_members_with_enough_decisions(beyond: Floats) -> None:
    members = members_of(beyond)
    decisions = members.decisions.copy()
    decisions[[5, 6]] = 3
    found = infer(replace(members, decisions=decisions))
    assert found.record["best"] not in (5, 6)
    assert found.counts["few_decisions"] == 2


@pytest.mark.parametrize("copies", [False, True])
def test_the_best_of_luck_is_seldom_called_skill(copies: bool) -> None:
    rng, called = np.random.default_rng(11), 0
    for _ in range(40):
        d = rng.standard_t(5, (20, 120)) * 0.01
        if copies:
            d[10:] = d[0] + 0.1 * d[10:]
        p = adjusted_p(members_of(d), compare_many([d], Resampling(draws=200, block=1.0)))
        called += bool(p.min() < 0.05)
    assert called <= 6, "5 % of 40 are 2, and 6 is as far as chance goes in 99 of 100"


@pytest.mark.medium
def test_nearly_idle_members_set_no_bar_and_are_chosen_nowhere(beyond: Floats) -> None:
    d = np.vstack([beyond[:5], beyond[10:30], np.zeros((3, SESSIONS))])
    d[25:, 60], d[25:, 120:123] = -0.05, [[1e-5], [2e-5], [3e-5]]
    whole = members_of(d, 7)
    few = infer(replace(whole, decisions=np.r_[np.full(25, 40.0), np.full(3, 3.0)]))
    record, alone = few.record, infer(members_of(d[:25], 7)).record
    # Block lengths are those of all: the bar is nearly, not to the last digit, that of the others alone.
    assert np.allclose(record["null_best"], alone["null_best"], rtol=0.25)
    assert infer(whole).record["null_best"][95] > 3 * record["null_best"][95]
    assert (record["members"], few.counts["tested"]) == (28, 25)
    assert record["reality_check_best"] < 25
    assert (few.columns["p"][25:] == 1).all()
    assert record["overfitting"] == alone["overfitting"]
    assert record["expected_maximum"] == alone["expected_maximum"]


def test_members_that_are_all_the_same_were_not_chosen_among(beyond: Floats) -> None:
    record = infer(members_of(np.tile(beyond[:1], (4, 1)))).record
    assert (record["overfitting"], record["reasons"]["overfitting"]) == (None, "all members are the same")
    assert backtest_overfitting(np.tile(beyond[:1], (4, 1)).T, 10).probability == 0.5
