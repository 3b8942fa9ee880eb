"""A checkpoint sees no bar that closes after it, on daily bars and on the minute bars of a day."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, time, timedelta

import numpy as np
import pytest

from simulator.market import calendar
from simulator.market.bars import Bars, moment
from simulator.market.calendar import MINUTE
from simulator.market.events import Event
from simulator.market.news import News
from simulator.trading.schedule import MEETING, Point, make_schedule

FOUR = (time(9), time(12), time(14), time(15, 50))


def minute_bars(first, last, seed=5):
    """Regular hours of made-up minutes in two symbols."""
    sessions = calendar.sessions(first, last)
    starts, days = [], []
    for day, opens, closes in zip(sessions.session_of, sessions.opens_at, sessions.closes_at, strict=True):
        minutes = np.arange(opens, closes, MINUTE)
        starts.append(minutes)
        days.append(np.full(len(minutes), day))
    opens_at, count = np.concatenate(starts), sum(map(len, starts))
    random = np.random.default_rng(seed)
    close = np.array([500.0, 400.0]) * np.exp(np.cumsum(random.normal(0, 6e-4, (count, 2)), axis=0))
    opened = np.vstack([close[:1], close[:-1]])
    return Bars(
        symbols=("SPY", "QQQ"),
        opens_at=opens_at,
        closes_at=opens_at + MINUTE,
        open=opened,
        high=np.maximum(opened, close) * 1.0002,
        low=np.minimum(opened, close) * 0.9998,
        close=close,
        volume=np.ones((count, 2)),
        dividend=np.zeros((count, 2)),
        session_of=np.concatenate(days),
        sources=("made up", "made up"),
        frequency="1min",
    )


def with_a_future(market, at, noise_after):
    """The same market with noise in every bar that closes after `at`, and an event and a headline not known yet."""
    row = int(np.searchsorted(market.bars.closes_at, at, side="right"))
    beside = int(np.searchsorted(market.context.closes_at, at, side="right"))
    later = moment(int(at)) + timedelta(minutes=1)
    return replace(
        market,
        bars=noise_after(market.bars, row),
        context=noise_after(market.context, beside),
        events=(*market.events, Event(later + timedelta(hours=1), "Surprise", "high", later)),
    ), (News(later, "A surprise"),)


def asked_by(convene, points):
    meetings = convene()
    minutes = meetings.follow(points)
    return meetings.prompts, minutes


@pytest.mark.parametrize("last", [3, 40, 120, 200])
def test_daily_checkpoints_ask_the_same_whatever_comes_after_them(convene, year, noise_after, last):
    week = slice(max(0, last - 6), last + 1)
    whole = year.points[week]
    first = next(n for n, (_, kind) in enumerate(whole) if kind == "meeting")
    instants = year.schedule.instants[week][first:]
    changed, news = with_a_future(year, instants[-1], noise_after)
    seen = [
        (changed.bars.snapshot(moment(int(at)), changed.events, changed.context, news), kind)
        for at, (_, kind) in zip(instants, whole[first:], strict=True)
    ]
    assert changed.bars.digest != year.bars.digest
    assert asked_by(convene, seen) == asked_by(convene, whole[first:])


@pytest.fixture(scope="module")
def minutes_of_a_week(year):
    """Eight sessions of minutes; a meeting on the sixth, and the four checkpoints of that and the next days."""
    first, last = date(2024, 2, 26), date(2024, 3, 6)
    bars = minute_bars(first, last)
    traded = calendar.sessions(date(2024, 3, 4), last)
    checkpoints = (Point(f"checkpoint {at:%H:%M}", at) for at in FOUR)
    due = make_schedule((Point(MEETING, time(8), "weekly", always=True), *checkpoints), traded, bars.closes_at)
    return replace(year, bars=bars, instants=tuple(due.instants.tolist())), due


def test_minute_bars_bring_four_checkpoints_a_day_but_none_before_the_open_after_a_meeting(minutes_of_a_week):
    _, due = minutes_of_a_week
    at = [moment(int(i)).astimezone(calendar.NEW_YORK) for i in due.instants]
    assert [f"{one:%a %H:%M}" for one in at[:5]] == ["Mon 08:00", "Mon 12:00", "Mon 14:00", "Mon 15:50", "Tue 09:00"]
    assert len(at) == 1 + 3 + 4 + 4


@pytest.mark.parametrize("k", range(1, 12))
def test_each_checkpoint_of_a_day_asks_the_same_whatever_comes_after_it(convene, minutes_of_a_week, noise_after, k):
    market, due = minutes_of_a_week
    kinds = due.names[: k + 1]
    changed, news = with_a_future(market, due.instants[k], noise_after)
    instants = due.instants[: k + 1]
    before = [(market.at(i), kind) for i, kind in zip(instants, kinds, strict=True)]
    after = [
        (changed.bars.snapshot(moment(int(i)), changed.events, changed.context, news), kind)
        for i, kind in zip(instants, kinds, strict=True)
    ]
    asked, minutes = asked_by(convene, before)
    assert (asked, minutes) == asked_by(convene, after)
    assert any(thesis["state"] == "open" for thesis in minutes[-1]["theses"])


def test_noise_in_the_newest_known_minute_does_change_what_is_asked(convene, minutes_of_a_week, noise_after):
    market, due = minutes_of_a_week
    before = [(market.at(i), kind) for i, kind in zip(due.instants[:2], due.names[:2], strict=True)]
    row = int(np.searchsorted(market.bars.closes_at, due.instants[1], side="right"))
    changed = replace(market, bars=noise_after(market.bars, row - 1))
    after = [before[0], (changed.at(due.instants[1]), "checkpoint")]
    assert asked_by(convene, before)[0] != asked_by(convene, after)[0]


def test_entry_and_extremes_of_a_minute_thesis_are_those_of_the_bars_it_has_lived_through(convene, minutes_of_a_week):
    market, due = minutes_of_a_week
    points = [(market.at(i), kind) for i, kind in zip(due.instants[:3], due.names[:3], strict=True)]
    meetings = convene()
    meetings.follow(points)
    bars = points[2][0].bars
    day = bars.session_of == bars.session_of[-1]
    for one in meetings.opinions[2].theses:
        terms, column = one.thesis.terms[0], bars.column(one.thesis.instrument)
        if terms.order == "market" and len(one.thesis.terms) == 1 and one.standing.state == "open":
            assert one.standing.entry == bars.open[day, column][0]
            assert one.standing.high == bars.high[day, column].max()
            assert one.standing.low == bars.low[day, column].min()
            assert one.standing.sessions == 1
            break
    else:
        pytest.fail("no thesis was entered at the open")
