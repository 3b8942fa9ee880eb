"""The points a run has, and those that are skipped."""

from __future__ import annotations

from datetime import date, time, timedelta

import numpy as np
import pytest

from simulator import config
from simulator.market.bars import moment
from simulator.market.calendar import MINUTE, NEW_YORK, Sessions, checkpoint_instants, sessions
from simulator.trading.schedule import Point, Schedule, drop_uninformed, make_schedule
from simulator.trading.strategy import points_of, strategy_at

CHECKPOINTS = tuple(Point(f"checkpoint {at:%H:%M}", at) for at in (time(9), time(12), time(14), time(15, 50)))


def meeting(at: time) -> Point:
    return Point("meeting", at, "weekly", always=True)


def week() -> Sessions:
    return sessions(date(2024, 7, 1), date(2024, 7, 9))


def scheduled(on: Sessions, closes: np.ndarray, at: time = time(8)) -> Schedule:
    return make_schedule((meeting(at), *CHECKPOINTS), on, closes)


def told(instants: np.ndarray) -> list[str]:
    return [f"{moment(int(at)).astimezone(NEW_YORK):%a %H:%M}" for at in instants]


def test_daily_bars_leave_one_checkpoint_a_session_and_none_on_the_day_of_a_meeting() -> None:
    on = week()
    due = scheduled(on, on.closes_at)
    assert told(due.instants) == ["Mon 08:00", "Tue 09:00", "Wed 09:00", "Fri 09:00", "Mon 08:00", "Tue 09:00"]
    assert due.names == ("meeting", *("checkpoint 09:00",) * 3, "meeting", "checkpoint 09:00")
    assert due.notes == (
        "20 checkpoints bring no bar newer than the occasion before and are skipped "
        "(09:00 × 2, 12:00 × 6, 14:00 × 6, 15:50 × 6)",
    )


def test_minute_bars_bring_all_four_checkpoints_from_13_00_on_counted_from_the_close() -> None:
    on = week()
    closes = np.concatenate(
        [np.arange(o + MINUTE, c + 1, MINUTE) for o, c in zip(on.opens_at, on.closes_at, strict=True)]
    )
    due = scheduled(on, closes)
    monday, tuesday, wednesday = told(due.instants)[:4], told(due.instants)[4:8], told(due.instants)[8:12]
    assert monday == ["Mon 08:00", "Mon 12:00", "Mon 14:00", "Mon 15:50"]
    assert tuesday == ["Tue 09:00", "Tue 12:00", "Tue 14:00", "Tue 15:50"]
    assert wednesday == ["Wed 09:00", "Wed 11:00", "Wed 12:00", "Wed 12:50"], "it closes at 13:00"


def test_nothing_is_looked_at_again_before_the_first_meeting() -> None:
    on = week()
    late = scheduled(on.rows(2, len(on)), on.closes_at)
    due = drop_uninformed(
        {int(at): meeting(time(8)) for at, name in zip(late.instants, late.names, strict=True) if name == "meeting"}
        | {int(at): CHECKPOINTS[0] for at in checkpoint_instants(on, (time(9),))},
        on.closes_at,
    )
    assert told(due.instants)[0] == "Fri 08:00", "Wednesday is a half-day, Thursday Independence Day"


def test_a_meeting_takes_the_place_of_a_checkpoint_at_the_same_instant() -> None:
    on = week()
    due = scheduled(on, on.closes_at, time(9))
    assert len(np.unique(due.instants)) == len(due.instants)
    assert due.names.count("meeting") == 2


def test_of_two_points_at_one_instant_the_earlier_named_is_held_and_the_other_is_told_of() -> None:
    points = (Point("open", time(9, 30), always=True), Point("at 11", time(11)), Point("at 14", time(14)))
    on = sessions(date(2024, 7, 3), date(2024, 7, 3))
    due = make_schedule(points, on, np.arange(on.opens_at[0], on.closes_at[0], MINUTE))
    assert due.names == ("open", "at 11")
    assert due.notes == ("1 points fall on the instant of another, which alone is held (at 14 × 1)",)


@pytest.mark.parametrize(
    ("first", "last", "ends"),
    [
        (date(2023, 4, 3), date(2023, 4, 12), ["2023-04-06 16:05"]),  # Good Friday
        (date(2024, 3, 25), date(2024, 3, 28), ["2024-03-28 16:05"]),
        (date(2025, 6, 30), date(2025, 7, 3), ["2025-07-03 13:05"]),  # a half-day before a holiday
        (date(2025, 12, 29), date(2026, 1, 5), ["2026-01-02 16:05"]),
        (date(2024, 3, 25), date(2024, 3, 27), []),
    ],
)
def test_the_end_of_a_week_is_its_last_session(first: date, last: date, ends: list[str]) -> None:
    on = sessions(first, last)
    due = make_schedule((Point("week", time(16, 5), always=True, ends_week=True),), on, on.closes_at)
    assert [f"{moment(int(at)).astimezone(NEW_YORK):%Y-%m-%d %H:%M}" for at in due.instants] == ends


def test_a_session_loop_finds_the_point_that_is_due_and_the_next_one_by_the_clock_it_hands_in() -> None:
    on = week()
    due = scheduled(on, on.closes_at)
    at = [moment(int(one)) for one in due.instants]
    assert due.due(at[0] - timedelta(seconds=1)) is None
    assert (due.due(at[0]), due.following(at[0])) == (0, 1)
    assert (due.due(at[1]), due.following(at[1])) == (1, 2)
    assert (due.due(at[1] + timedelta(hours=3)), due.following(at[1] + timedelta(hours=3))) == (1, 2)
    assert due.following(at[-1]) is None


def test_without_a_point_that_is_always_kept_the_first_that_is_due_is_kept() -> None:
    on = week()
    due = make_schedule(CHECKPOINTS[1:], on, on.closes_at)
    assert told(due.instants)[:2] == ["Mon 12:00", "Tue 12:00"]
    weekly = make_schedule((Point("review", time(12), "weekly"),), on, on.closes_at)
    assert told(weekly.instants) == ["Mon 12:00", "Mon 12:00"]


def test_points_of_a_strategy_are_its_own_or_its_meeting_and_its_checkpoints_by_the_schedule() -> None:
    class Plain:
        name, cadence, window, reads = "plain", "monthly", 1, "nothing"

    class Looking(Plain):
        checkpoint = Plain()

        def minutes(self, opinion: object) -> dict[str, object]:
            return {"of": opinion}

    class Own(Plain):
        points = (Point("open", time(9, 31)),)

        def at(self, _point: str) -> Plain:
            return Looking.checkpoint

    by = config.Schedule(decision_time=time(8, 30), checkpoints=(time(14), time(9)))
    assert points_of(Plain(), by) == (Point("meeting", time(8, 30), "monthly", always=True),)
    assert points_of(Plain(), config.Schedule(cadence="daily"))[0].cadence == "daily"
    assert [point.name for point in points_of(Looking(), by)] == ["meeting", "checkpoint 09:00", "checkpoint 14:00"]
    assert points_of(Own(), by) == Own.points
    looking = Looking()
    assert [strategy_at(looking, point) is looking for point in ("meeting", "checkpoint 09:00")] == [True, False]
    assert strategy_at(Own(), "open") is Looking.checkpoint
