"""Drawing: no extreme is lost, ticks are round and few, paths are small and classed."""

from __future__ import annotations

import re
from datetime import date, timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulator.report import drawing
from simulator.report.drawing import Frame, Layer


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=5000), st.sampled_from([40, 400, 1600]))
def test_thinning_keeps_the_ends_and_the_extremes(values: list[float], most: int) -> None:
    series = np.array(values)
    at = drawing.thin(series, most)
    assert len(at) <= max(most, 1) or len(series) <= most
    assert {at[0], at[-1]} == {0, len(series) - 1}
    assert (np.diff(at) > 0).all()
    assert series[at].min() == series.min()
    assert series[at].max() == series.max()


@given(st.floats(-100, 100), st.floats(1e-4, 100), st.sampled_from([0.01, 1.0, 1e6]), st.integers(3, 8))
def test_steps_are_evenly_spaced_and_within_bounds(low: float, span: float, unit: float, most: int) -> None:
    low, span = low * unit, span * unit
    high = low + span
    values = drawing.steps(low, high, most)
    assert 1 <= len(values) <= most
    assert all(low - 1e-6 * span <= v <= high + 1e-6 * span for v in values)
    if len(values) > 2:
        assert np.allclose(np.diff(values), values[1] - values[0], rtol=1e-6)


@given(st.floats(1e-3, 1e8), st.floats(1.001, 1e6))
def test_log_steps_are_few_and_within_bounds(low: float, ratio: float) -> None:
    values = drawing.log_steps(low, low * ratio, 6)
    assert 1 <= len(values) <= 6
    assert all(low * (1 - 1e-9) <= v <= low * ratio * (1 + 1e-9) for v in values)


@pytest.mark.medium
@given(st.dates(date(1950, 1, 1), date(2040, 1, 1)), st.integers(1, 6000), st.sampled_from([5, 13]))
def test_the_time_axis_has_a_label_and_never_too_many(start: date, count: int, most: int) -> None:
    sessions = [start + timedelta(days=n + 2 * (n // 5)) for n in range(count)]
    ticks = drawing.session_ticks(sessions, most)
    assert 1 <= len(ticks) <= most
    places = [t.at for t in ticks]
    assert places == sorted(places)
    assert places[0] >= 0
    assert places[-1] < 100


def test_a_year_of_sessions_is_labelled_by_month_and_ten_by_year() -> None:
    year = [date(2024, 1, 2) + timedelta(days=n) for n in range(364)]
    assert [t.label for t in drawing.session_ticks(year, 13)][:3] == ["2024", "Feb", "Mar"]
    assert [t.label for t in drawing.session_ticks(year, 5)] == ["2024", "Apr", "Jul", "Oct"]
    decade = [date(2015, 1, 2) + timedelta(days=n) for n in range(3600)]
    assert [t.label for t in drawing.session_ticks(decade, 13)][:2] == ["2015", "2016"]


def test_a_run_that_begins_late_in_a_month_does_not_label_that_month() -> None:
    sessions = [date(2024, 3, 20) + timedelta(days=n) for n in range(200)]
    assert drawing.session_ticks(sessions, 13)[0].label == "Apr 2024"


@pytest.mark.parametrize(
    ("values", "labels"),
    [
        ([90_000.0, 95_000.0, 100_000.0], ["$90k", "$95k", "$100k"]),
        ([100_000.0, 100_500.0], ["$100.0k", "$100.5k"]),
        ([0.0, 1e6, 2e6], ["$0", "$1M", "$2M"]),
        ([-20_000.0, 0.0], ["−$20k", "$0"]),
        ([800.0, 1_000.0], ["$800", "$1,000"]),
    ],
)
def test_dollar_labels_have_just_the_decimals_they_need(values: list[float], labels: list[str]) -> None:
    assert [label for _, label in drawing.dollar_ticks(values)] == labels


def drawn(layers: list[Layer], frame: Frame) -> dict[str, str]:
    return dict(re.findall(r'<path class="([^"]+)" d="([^"]+)"/>', drawing.draw(layers, frame).paths))


def test_a_line_is_drawn_where_its_numbers_are() -> None:
    line = drawing.line("strategy", np.array([20.0, 10.0, 20.0, 30.0]), first=-1)
    paths = drawn([line], Frame(-1, 2, 0.0, 40.0, 100))
    assert paths == {"strategy": "M0 50L333.3 75L666.7 50L1000 25"}


def test_a_log_axis_gives_equal_ratios_equal_heights() -> None:
    line = drawing.line("strategy", np.array([1.0, 10.0, 100.0]))
    assert drawn([line], Frame(0, 2, 1.0, 100.0, 100, log=True)) == {"strategy": "M0 100L500 50L1000 0"}


def test_a_gap_breaks_the_line() -> None:
    line = drawing.line("strategy", np.array([1.0, 2.0, np.nan, 1.0, 2.0]))
    assert drawn([line], Frame(0, 4, 0.0, 2.0, 100))["strategy"].count("M") == 2


def test_what_was_held_stands_over_the_session_it_was_held_in() -> None:
    weight = drawing.staircase("weight", np.array([0.0, 0.5]))
    assert drawn([weight], Frame(-1, 1, 0.0, 1.0, 100)) == {"weight": "M0 100L0 100L500 100L500 50L1000 50L1000 100z"}


def test_each_trade_gets_one_marker_of_its_kind() -> None:
    x = np.array([0.5, 3.5, 4.5])
    layers = [Layer(kind, kind, x[:n], np.zeros(n)) for n, kind in ((3, "buys"), (2, "sells"), (1, "exits"))]
    paths = drawn(layers, Frame(-1, 9, 0.0, 1.0, 60, lane=True))
    assert (paths["buys"].count("z"), paths["sells"].count("z"), paths["exits"].count("M")) == (3, 2, 2)
