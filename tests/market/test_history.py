"""What a snapshot shows is cut from arrays that all snapshots of a run share."""

from __future__ import annotations

import tracemalloc
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import numpy as np
import pytest

from simulator.errors import UsageError
from simulator.market.bars import FIELDS, Bars
from simulator.market.news import News
from simulator.market.sources.synthetic import synthetic_bars
from simulator.replay.inputs import ReplayInputs


@pytest.fixture(scope="module")
def whole() -> Bars:
    return synthetic_bars(["A", "B", "C"], date(2022, 1, 3), date(2023, 12, 29), seed=1)


@pytest.fixture(scope="module")
def holed(whole: Bars) -> Bars:
    there = np.random.default_rng(2).random(whole.close.shape) > 0.4
    there[:, 0] = True
    there[:, 2] = np.arange(len(whole)) > 450
    return replace(whole, **{name: np.where(there, getattr(whole, name), np.nan) for name in FIELDS})


def test_history_is_the_column_without_what_is_missing(holed):
    for end in (0, 1, 40, 451, len(holed)):
        for bars, start in (
            (holed.rows(0, end), 0),
            (holed.rows(30, end), 30),
            (holed.rows(10, end).rows(20, end), 30),
        ):
            snapshot = replace(holed.snapshot(datetime(2030, 1, 1, tzinfo=UTC)), bars=bars)
            for n, symbol in enumerate(holed.symbols):
                for what in FIELDS:
                    column = getattr(holed, what)[start:end, n]
                    expected = column[~np.isnan(column)]
                    np.testing.assert_array_equal(snapshot.history(symbol, what), expected)
                    np.testing.assert_array_equal(snapshot.history(symbol, what, last=7), expected[-7:])
                    assert len(snapshot.history(symbol, what, last=0)) == 0
                    assert snapshot.has(symbol) == bool(len(expected))


def test_history_is_a_view_that_nobody_can_change_the_market_through(whole):
    snapshot = whole.snapshot(datetime(2023, 6, 1, tzinfo=UTC))
    first, again = snapshot.history("B", last=5), snapshot.history("B", last=5)
    assert np.shares_memory(first, again)
    assert first.flags.c_contiguous
    for values in (first, snapshot.history("B", "high"), snapshot.indicator("sma", "B", 5)):
        with pytest.raises(ValueError, match="read-only"):
            values[0] = 1.0


def test_changed_bars_have_a_history_of_their_own(whole):
    part = whole.rows(0, 100)
    before = replace(whole.snapshot(datetime(2023, 6, 1, tzinfo=UTC)), bars=part).history("A")[-1]
    dearer = replace(whole.snapshot(datetime(2023, 6, 1, tzinfo=UTC)), bars=replace(part, close=part.close * 2))
    assert dearer.history("A")[-1] == 2 * before
    assert replace(dearer, bars=whole.rows(0, 100).select(["C", "A"])).history("A")[-1] == before


def test_an_indicator_nobody_has_is_named_with_what_there_is(whole):
    with pytest.raises(UsageError, match=r'no indicator "smaa" of one symbol, did you mean "sma"'):
        whole.snapshot(datetime(2023, 6, 1, tzinfo=UTC)).indicator("smaa", "A", 5)


@pytest.mark.medium
def test_headlines_of_all_dates_are_held_once(whole):
    begin = datetime(2022, 1, 3, tzinfo=UTC)
    news = [News(begin + timedelta(minutes=7 * n), f"headline {n}") for n in range(100_000)]
    inputs = ReplayInputs(whole, whole, 0, whole.closes_at, news=news)
    tracemalloc.start()
    snapshots = list(inputs.snapshots)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 10_000_000
    for snapshot in snapshots[::50]:
        known = [one for one in news if one.published_at <= snapshot.as_of]
        assert snapshot.news == known
        assert list(reversed(snapshot.news))[:3] == known[::-1][:3]
        assert snapshot.news[-2:] == known[-2:]
