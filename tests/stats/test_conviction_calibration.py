"""Forecasts against outcomes: by hand, against scipy, and whether the intervals hold what they promise."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import rankdata, spearmanr

from simulator.errors import DataError
from simulator.stats.calibration import (
    Sample,
    mean_by_forecast,
    rank_correlation,
    rank_correlation_interval,
    ranks,
)
from simulator.stats.series import Undefined


def made(
    rng: np.random.Generator,
    dates: int = 52,
    horizon: int = 5,
    *,
    per_date: int = 1,
    persistence: float = 0.0,
    skill: float = 0.0,
) -> Sample:
    """Weekly convictions −2 … +2 on one market without drift, `horizon` sessions ahead.

    `persistence` is the autocorrelation of an opinion from week to week, `skill` how much of it is the future.
    """
    walk = np.concatenate(([0.0], np.cumsum(0.01 * rng.normal(size=5 * dates + horizon))))
    start = np.repeat(5 * np.arange(dates), per_date)
    outcome = walk[start + horizon] - walk[start]
    opinion = rng.normal(size=(dates, per_date))
    for k in range(1, dates):
        opinion[k] = persistence * opinion[k - 1] + math.sqrt(1 - persistence**2) * opinion[k]
    seen = skill * outcome / (0.01 * math.sqrt(horizon)) + math.sqrt(1 - skill**2) * opinion.ravel()
    return Sample.of(np.clip(np.round(seen), -2, 2), outcome, start, start + horizon - 1)


def coverage(count: int, seed: int, **given: object) -> tuple[float, float]:
    """Share of samples without skill whose intervals hold 0: of the correlation, and of the means."""
    rng = np.random.default_rng(seed)
    held, means = [], []
    for _ in range(count):
        sample = made(rng, **given)  # type: ignore[arg-type]
        found = rank_correlation_interval(sample, draws=400)
        held.append(found.low <= 0.0 <= found.high)
        for _, (_, mean) in mean_by_forecast(sample, draws=400).items():
            if not isinstance(mean.low, Undefined):
                means.append(mean.low <= 0.0 <= mean.high)
    return float(np.mean(held)), float(np.mean(means))


def test_a_small_case_by_hand():
    # ranks of x: 1.5 1.5 3 4.5 4.5; of y: 2 1 3 5 4; deviations from 3 multiply to 1.5 + 3 + 0 + 3 + 1.5 = 9,
    # squares sum to 9 and to 10: 9 / √90
    x, y = [-1, -1, 0, 2, 2], [0.00, -0.02, 0.01, 0.05, 0.03]
    assert ranks(x).tolist() == [1.5, 1.5, 3.0, 4.5, 4.5]
    assert rank_correlation(x, y) == pytest.approx(9 / math.sqrt(90), rel=1e-14)
    sample = Sample.of(x, y, [0, 5, 10, 15, 20], [9, 14, 19, 24, 29])
    # four dates see the next one begin within their horizon, the last does not
    assert sample.overlap == pytest.approx(9 / 5)
    found = {level: (n, estimate.value) for level, (n, estimate) in mean_by_forecast(sample).items()}
    assert found == {-1.0: (2, pytest.approx(-0.01)), 0.0: (1, 0.01), 2.0: (2, pytest.approx(0.04))}


def test_it_is_the_correlation_scipy_computes():
    rng = np.random.default_rng(1)
    for n in (3, 10, 200):
        x, y = rng.integers(-2, 3, n).astype(float), np.round(rng.normal(size=n), 1)
        x[:2] = (-2, 2)
        assert np.array_equal(ranks(y), rankdata(y))
        assert rank_correlation(x, y) == pytest.approx(spearmanr(x, y).statistic, rel=1e-12, abs=1e-12)


def test_replicates_are_ranked_anew():
    rng = np.random.default_rng(2)
    sample = made(rng, 20, per_date=2, skill=0.5)
    from simulator.stats import calibration

    counts = rng.integers(0, 3, size=(20, 20))
    weights = counts.T[sample.date_of].astype(float)
    for b, got in enumerate(calibration._correlations(sample, weights)):
        rows = np.repeat(np.arange(40), counts[b][sample.date_of])
        assert got == pytest.approx(spearmanr(sample.x[rows], sample.y[rows]).statistic, rel=1e-9)


def test_planted_skill_is_found_in_nearly_every_year():
    years = [rank_correlation_interval(made(np.random.default_rng(n), skill=0.6), draws=400) for n in range(40)]
    assert all(year.low < year.value < year.high for year in years)
    assert sum(year.low > 0.0 for year in years) >= 36


def test_mean_outcomes_rise_with_conviction_where_there_is_skill():
    levels = mean_by_forecast(made(np.random.default_rng(3), 4000, skill=0.6), draws=100)
    means = [estimate.value for _, estimate in levels.values()]
    assert means == sorted(means)
    assert levels[-2.0][1].high < levels[-1.0][1].low < levels[-1.0][1].high < 0.0
    assert 0.0 < levels[1.0][1].low < levels[1.0][1].high < levels[2.0][1].low


def test_overlapping_horizons_and_lasting_opinions_widen_the_interval():
    widths = {}
    for horizon in (5, 15):
        rng = np.random.default_rng(4)
        found = [rank_correlation_interval(made(rng, horizon=horizon, persistence=0.9), draws=300) for _ in range(30)]
        widths[horizon] = np.median([one.high - one.low for one in found])
    assert widths[15] > 1.3 * widths[5]


def test_several_forecasts_of_one_date_are_not_several_dates():
    one = made(np.random.default_rng(5), skill=0.4)
    five = Sample.of(*(np.repeat(values, 5) for values in (one.x, one.y, one.start, one.end)))
    alone, crowd = rank_correlation_interval(one), rank_correlation_interval(five)
    assert crowd.value == pytest.approx(alone.value, rel=1e-12)
    assert (crowd.low, crowd.high) == pytest.approx((alone.low, alone.high), rel=1e-9)


def test_order_of_observations_does_not_matter_and_a_rerun_gives_the_same():
    sample = made(np.random.default_rng(6), horizon=15)
    shuffled = np.random.default_rng(7).permutation(sample.x.size)
    again = Sample.of(*(values[shuffled] for values in (sample.x, sample.y, sample.start, sample.end)))
    assert rank_correlation_interval(again) == rank_correlation_interval(sample)
    assert mean_by_forecast(again) == mean_by_forecast(sample)


@pytest.mark.medium
def test_coin_flips_are_told_from_skill_nineteen_times_in_twenty():
    held, means = coverage(200, 8, horizon=15)
    assert 0.91 <= held <= 1.0
    assert 0.89 <= means <= 1.0


@pytest.mark.slow
@pytest.mark.parametrize(
    "given",
    [
        {},
        {"horizon": 15},
        {"horizon": 15, "persistence": 0.9},
        {"horizon": 15, "persistence": 0.9, "dates": 260},
        {"horizon": 15, "persistence": 0.9, "per_date": 5},
        {"dates": 26},
    ],
    ids=str,
)
def test_intervals_hold_no_skill_as_often_as_they_say(given):
    held, means = coverage(1000, 9, **given)
    print(f"| {given} | {100 * held:.1f} % | {100 * means:.1f} % |")
    assert 0.92 <= held <= 0.985
    assert 0.905 <= means <= 0.985


def test_what_a_sample_does_not_carry_is_undefined_with_its_reason():
    rng = np.random.default_rng(10)
    flat = made(rng)
    constant = rank_correlation_interval(Sample.of(np.zeros(52), flat.y, flat.start, flat.end))
    assert constant.value == constant.low == constant.high == Undefined("the forecasts never differ")
    short = rank_correlation_interval(made(rng, 4, skill=0.5))
    assert isinstance(short.value, float)
    assert short.low == short.high == Undefined("4 dates: an interval needs 5 that do not overlap")
    crowded = rank_correlation_interval(made(rng, 20, 40, skill=0.5))
    assert "overlap 6" in crowded.low.reason
    assert rank_correlation([1.0, 2.0], [1.0, 2.0]) == Undefined("2 of at least 3 observations")
    seldom = np.zeros(52)
    seldom[7] = 1.0
    rare = rank_correlation_interval(Sample.of(seldom, flat.y, flat.start, flat.end))
    assert rare.low == Undefined("forecasts or outcomes differ on too few dates to draw from")
    assert mean_by_forecast(Sample.of([1.0], [0.02], [0], [4]))[1.0][1].value == 0.02


def test_a_perfect_forecast_is_not_certainty():
    y = np.random.default_rng(11).normal(size=30)
    found = rank_correlation_interval(Sample.of(y, y, np.arange(30), np.arange(30)))
    assert (found.value, found.high) == (pytest.approx(1.0), pytest.approx(1.0))
    assert 0.9 < found.low < 1.0


def test_bad_input_is_refused():
    with pytest.raises(DataError, match="2 forecasts, 2 outcomes, 2 starts and 1 ends"):
        Sample.of([1, 2], [1, 2], [0, 1], [1])
    with pytest.raises(DataError, match="outcomes holds nan"):
        Sample.of([1, 2], [1, math.nan], [0, 1], [1, 2])
    with pytest.raises(DataError, match="ends before it starts"):
        Sample.of([1, 2], [1, 2], [5, 6], [4, 8])
    with pytest.raises(DataError, match="2 forecasts and 3 outcomes"):
        rank_correlation([1, 2], [1, 2, 3])
