"""Skill: returns beyond a run's own usual exposure, and the test of their mean."""

from __future__ import annotations

import importlib
import math
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from simulator.analysis.verdict import ANCHORED
from simulator.errors import DataError
from simulator.stats.distributions import student_cdf, student_quantile, student_sf
from simulator.stats.series import Undefined
from simulator.stats.skill import (
    anchoring,
    cosines,
    deflated_ratio,
    ewc_variance,
    level_reward,
    mean_so_far,
    mean_test,
    p_of_trials,
    split_return,
    usual_exposure,
)

REPLICATES = 200


def weekly(values: np.ndarray, n: int) -> np.ndarray:
    return np.repeat(values, 5, axis=0)[:n]


def beyond(weights: np.ndarray, moves: np.ndarray) -> np.ndarray:
    return (weights * moves).sum(axis=1) - usual_exposure(weights, moves)


def rejections(series) -> int:
    found = [mean_test(one) for one in series]
    return sum(not isinstance(one, Undefined) and one.p < 0.05 for one in found)


def test_usual_exposure_is_known_before_the_session_it_is_held_against() -> None:
    rng = np.random.default_rng(1)
    w, x = rng.normal(size=(50, 3)), rng.normal(size=(50, 3))
    by_hand = [sum(w[: t + 1, i].mean() * x[t, i] for i in range(3)) for t in range(50)]
    assert usual_exposure(w, x) == pytest.approx(by_hand, rel=1e-12)
    later = w.copy()
    later[30:] = 9.0
    assert usual_exposure(later, x)[:30].tolist() == usual_exposure(w, x)[:30].tolist()
    with pytest.raises(DataError, match="shape"):
        usual_exposure(w, x[:, :2])


def test_the_parts_add_up_to_the_excess_return() -> None:
    rng = np.random.default_rng(2)
    e, b, paid = rng.normal(size=(3, 400)) * 0.01
    parts = split_return(e, b, np.abs(paid))
    assert parts.exposure + parts.choosing + parts.costs == pytest.approx(e, abs=1e-12)
    assert parts.beyond == pytest.approx(e - b, abs=1e-12)
    with pytest.raises(DataError):
        split_return(e, b, paid[1:])


def test_a_constant_weight_earns_its_exposure_and_nothing_beyond() -> None:
    x = np.random.default_rng(3).normal(size=(100, 1)) * 0.01
    assert beyond(np.full((100, 1), 1.9), x) == pytest.approx(np.zeros(100), abs=1e-15)


@pytest.mark.parametrize("n", [10, 60, 251, 1000])
def test_the_long_run_variance_is_the_mean_square_of_cosine_transforms(n: int) -> None:
    x, count = np.random.default_rng(n).normal(size=n) + 5.0, cosines(n)
    t = np.arange(1, n + 1)
    transforms = [math.sqrt(2 / n) * np.sum(x * np.cos(np.pi * j * (t - 0.5) / n)) for j in range(1, count + 1)]
    assert ewc_variance(x, count) == pytest.approx(np.mean(np.square(transforms)), rel=1e-9)
    assert (cosines(60), cosines(251), cosines(1000)) == (6, 15, 40)


@given(st.floats(-40, 40), st.integers(1, 200))
def test_students_tail_is_that_of_scipy(t: float, degrees: int) -> None:
    assume(abs(t) > 1e-3)  # nearer to 0 scipy gives 0.5
    assert student_sf(t, degrees) == pytest.approx(1.0 - student_cdf(t, degrees), abs=1e-13)


@given(st.floats(0.001, 0.999), st.floats(1.0, 5_000.0))
def test_students_quantile_is_that_of_scipy(p: float, degrees: float) -> None:
    from scipy.special import stdtrit

    assert student_quantile(p, degrees) == pytest.approx(float(stdtrit(degrees, p)), rel=2e-13, abs=1e-15)


def test_the_p_is_the_larger_of_the_two_and_undefined_where_nothing_varies() -> None:
    found = mean_test(np.random.default_rng(5).normal(0.05, 1, 500))
    assert not isinstance(found, Undefined)
    assert found.p == max(found.p_mean, found.p_ratio) == found.p_level
    assert found.p_worse == pytest.approx(1 - found.p_mean, abs=1e-12)
    assert mean_test(np.full(100, 0.001)) == Undefined("it does not vary")
    assert mean_test(np.arange(9.0)) == Undefined("fewer than 10 sessions")


def test_the_reward_of_a_change_of_level_is_taken_out_at_half_the_p_or_all_where_it_is_most_and_never_added() -> None:
    d = np.random.default_rng(6).normal(0.1, 1, 500)
    plain, shifted = mean_test(d), mean_test(d - 0.03)
    assert not isinstance(plain, Undefined)
    assert not isinstance(shifted, Undefined)
    gained, lost = mean_test(d, 0.03), mean_test(-d, -0.03)
    assert not isinstance(gained, Undefined)
    assert not isinstance(lost, Undefined)
    assert gained.p_level == pytest.approx(max(shifted.p_mean, shifted.p_ratio), rel=1e-9)
    assert gained.p == gained.p_level / 2 > plain.p
    assert (gained.p_mean, gained.p_ratio, gained.p_worse) == (plain.p_mean, plain.p_ratio, plain.p_worse)
    assert lost.p_worse == pytest.approx(shifted.p_mean / 2, rel=1e-9)
    against = mean_test(d, -0.07)
    assert not isinstance(against, Undefined)
    assert against.p == plain.p
    most = mean_test(d, 0.07)
    assert not isinstance(most, Undefined)
    assert most.p == most.p_level
    assert level_reward([[0.0], [1.0], [2.0]], [[0.03], [0.0], [0.0]]) == pytest.approx(0.01)


def test_a_book_anchored_to_its_starting_prices_is_known_and_others_are_not(table: ModuleType) -> None:
    cells = dict(zip(table.CAUTIONED, anchored_of(table), strict=True))
    for name in list(cells)[:3]:
        assert np.median(cells[name]) < -0.9, name
        assert np.mean(np.array(cells[name]) <= ANCHORED) > 0.9, name
    for name in list(cells)[3:]:
        assert np.mean(np.array(cells[name]) <= ANCHORED) <= 0.05, name
    assert anchoring(np.full((50, 2), 0.5), np.random.default_rng(1).normal(size=(50, 2))) == 0.0
    assert anchoring(np.zeros((1, 1)), np.ones((1, 1))) == 0.0


def anchored_of(table: ModuleType, n: int = 251, replicates: int = 40) -> Iterator[list[float]]:
    for weigh, symbols in table.CAUTIONED.values():
        rng = np.random.default_rng(8)
        moves = table.DRIFT + table.SPREAD * rng.normal(size=(replicates, n + table.WARM, symbols))
        yield [anchoring(weigh(rng, one)[table.WARM :], one[table.WARM :]) for one in moves]


def test_a_change_of_level_is_that_of_all_symbols_whatever_it_was_spread_over() -> None:
    moves = [[0.01, 0.03], [-0.02, 0.03]]
    # more of the worse one, which has no mean of its own to be paid: the larger where something was earned
    assert level_reward([[0.0, 0.0], [0.4, 0.4]], moves) == pytest.approx(0.2 * -0.005 + 0.2 * 0.03)
    assert level_reward([[0.4, 0.0], [0.0, 0.0]], moves) == pytest.approx(0.2 * 0.0125)
    assert level_reward([[0.0, 0.0], [0.4, 0.0]], moves) == pytest.approx(0.2 * -0.005)


@settings(max_examples=100)
@given(
    st.floats(1e-9, 1.0),
    st.integers(1, 5000),
    st.floats(-0.5, 0.5),
    st.integers(60, 2000),
    st.floats(-2, 2),
    st.floats(3, 9),
)
def test_one_more_trial_never_helps(p: float, trials: int, ratio: float, n: int, g3: float, g4: float) -> None:
    assert p_of_trials(p, trials + 1) >= p_of_trials(p, trials)
    one, more = (deflated_ratio(n, ratio, g3, g4, count) for count in (trials, trials + 1))
    if not isinstance(one, Undefined):
        assert not isinstance(more, Undefined)
        assert more <= one


@pytest.mark.medium
@pytest.mark.parametrize("n", [60, 251, 501])
@pytest.mark.parametrize("kind", ["coin", "picker", "neutral", "dip buyer", "trend follower"])
def test_no_book_without_skill_passes_more_often_than_stated(kind: str, n: int) -> None:
    """In a bull market. 200 replicates: 5 % and what chance may add at 99 %."""
    rng = np.random.default_rng(17)

    def one() -> np.ndarray:
        x = 0.0006 + 0.011 * rng.standard_t(4, (n, 2)) / math.sqrt(2)
        weeks = -(-n // 5)
        if kind == "coin":
            w = weekly(rng.random((weeks, 2)) < 0.5, n) * 0.5
        elif kind == "picker":
            w = weekly(np.eye(2)[rng.integers(0, 2, weeks)], n)
        elif kind == "neutral":
            side = rng.choice([-0.5, 0.5], weeks)
            w = weekly(np.column_stack([side, -side]), n)
        else:
            level = np.vstack([np.zeros((20, 2)), np.cumsum(x, axis=0)])
            trend = level[19:-1] - level[:-20]
            w = 0.5 * ((trend < 0) if kind == "dip buyer" else (trend > 0))
        return beyond(w.astype(float), x)

    assert rejections(one() for _ in range(REPLICATES)) <= 0.05 * REPLICATES + 2.33 * math.sqrt(0.0475 * REPLICATES)


@pytest.mark.medium
@pytest.mark.parametrize("n", [60, 251, 1000])
@pytest.mark.parametrize("kind", ["exponential", "gamma", "puts"])
def test_noise_that_leans_left_passes_no_more_often_than_stated(kind: str, n: int) -> None:
    rng = np.random.default_rng(23)

    def one() -> np.ndarray:
        if kind == "exponential":
            return 1.0 - rng.exponential(size=n)
        if kind == "gamma":  # skew −4
            return 0.5 - rng.gamma(0.25, 2.0, n)
        return rng.normal(scale=0.5, size=n) + np.where(rng.random(n) < 0.05, -19.0, 1.0)

    assert rejections(one() for _ in range(REPLICATES)) <= 0.065 * REPLICATES + 2.33 * math.sqrt(0.061 * REPLICATES)


@pytest.fixture(scope="module")
def table() -> Iterator[ModuleType]:
    """The benchmark that makes the tables of docs/verdict.md, and those beside it that it takes from."""
    folder = str(Path(__file__).parents[2] / "benchmarks")
    sys.path.insert(0, folder)
    yield importlib.import_module("verdict_size")
    sys.path.remove(folder)


@pytest.mark.medium
def test_every_null_of_the_table_keeps_to_its_bound(table: ModuleType) -> None:
    """200 of the histories at n = 125; docs/verdict.md has all lengths, by the same functions."""
    found = {name: table.share(table.p_values(series, 125, REPLICATES)) for name, series in table.NULLS.items()}
    assert len(found) >= 20
    assert {name: share for name, share in found.items() if share > table.bound(name, REPLICATES)} == {}


@pytest.mark.medium
def test_a_known_ic_is_found_as_often_as_the_noncentral_t_says(table: ModuleType) -> None:
    series = table.book(table.informed(0.3))
    ratio = table.true_ratio(series, 251, 400_000)
    found = table.share(table.p_values(series, 251, REPLICATES))
    power = table.noncentral(ratio, 251)
    assert abs(found - power) < 5 + 233 * math.sqrt(power / 100 * (1 - power / 100) / REPLICATES)


def test_planted_skill_is_found_as_often_as_the_noncentral_t_says() -> None:
    rng, n, ratio = np.random.default_rng(29), 501, 0.12
    found = rejections(rng.normal(ratio, 1.0, n) for _ in range(REPLICATES))
    degrees = cosines(n)
    critical = next(t for t in np.arange(1.0, 3.0, 1e-4) if student_sf(t, degrees) < 0.05)
    power = 1.0 - student_cdf(float(critical), degrees, ratio * math.sqrt(n))
    assert abs(found / REPLICATES - power) < 0.05 + 2.33 * math.sqrt(power * (1 - power) / REPLICATES)


@pytest.mark.medium
def test_a_symbol_listed_late_is_held_from_then_on():
    """Zeros of the time before its first bar are no choice: its mean exposure, and its mean reward, begin with it."""
    rng = np.random.default_rng(3)
    passed = 0
    for _ in range(400):
        x = np.zeros((1000, 1))
        x[700:, 0] = rng.normal(0.15 / 252, 0.17 / math.sqrt(252), 300)
        held = np.repeat(rng.choice([0.98, 1.0], 60), 5)
        w = np.vstack([np.zeros((701, 1)), held[:299, None]])
        usual = mean_so_far(w, np.array([700]))
        d = (w * x).sum(axis=1) - (usual * x).sum(axis=1)
        found = mean_test(d, level_reward(w - usual, x))
        passed += not isinstance(found, Undefined) and found.p < 0.05
    assert passed <= 0.05 * 400 + 2.33 * math.sqrt(400 * 0.05 * 0.95)
