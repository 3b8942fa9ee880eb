"""Agenda of a forward session: the points of a replay, each once, on every kind of day."""

from __future__ import annotations

from datetime import date, datetime, time
from typing import Any

import numpy as np
import pytest

from simulator.forward.agenda import judge
from simulator.forward.session import Session
from simulator.market.bars import moment
from simulator.market.calendar import NEW_YORK, sessions
from simulator.trading.cycle import TradingRules
from simulator.trading.execution import ExecutionRules
from simulator.trading.risk import Limits
from simulator.trading.schedule import MEETING, Point, make_schedule

POINTS = (
    Point(MEETING, time(8), "weekly", always=True),
    Point("checkpoint 12:00", time(12)),
    Point("checkpoint 15:30", time(15, 30)),
)


def _session(first: date, last: date) -> Session:
    nothing: Any = None
    rules = TradingRules(Limits(1.0, 1.0, 1.0, {}), ExecutionRules())
    return Session("run", nothing, (), POINTS, rules, nothing, nothing, nothing, first, last)


@pytest.mark.parametrize(
    ("first", "last", "closed", "early"),
    [
        (date(2025, 1, 6), date(2025, 1, 10), "2025-01-09", None),
        (date(2024, 11, 25), date(2024, 12, 2), "2024-11-28", "2024-11-29"),
        (date(2024, 7, 1), date(2024, 7, 8), "2024-07-04", "2024-07-03"),
        (date(2024, 3, 4), date(2024, 3, 15), None, None),
        (date(2024, 10, 28), date(2024, 11, 8), None, None),
    ],
    ids=["ad-hoc closure", "thanksgiving", "fourth of july", "clocks forward", "clocks back"],
)
def test_edge_30_points_are_those_of_a_replay_and_none_is_due_twice(
    first: date, last: date, closed: str | None, early: str | None
) -> None:
    on = sessions(first, last)
    session = _session(first, last)
    wakes = session.wakes()
    points = [(one.at, one.name) for one in wakes if one.why == "point"]
    replayed = make_schedule(POINTS, on, on.closes_at)
    assert set(points) <= set(zip(replayed.instants.tolist(), replayed.names, strict=True)) | {points[0]}
    assert len(points) == len({at for at, _ in points}) == len(session.agenda().instants)
    assert [one.at for one in wakes] == sorted(one.at for one in wakes)
    days = {str(moment(one.at).astimezone(NEW_YORK).date()) for one in wakes}
    assert days == {str(day) for day in on.dates}
    assert closed not in days
    for why, clock in (("open", "09:30"), ("morning", "08:30")):
        assert {f"{moment(one.at).astimezone(NEW_YORK):%H:%M}" for one in wakes if one.why == why} == {clock}
    ends = {one.name: f"{moment(one.at).astimezone(NEW_YORK):%H:%M}" for one in wakes if one.why == "end"}
    assert {day for day, at in ends.items() if at == "13:20"} == ({early} if early else set())
    assert len(ends) == len(on)


def test_a_meeting_comes_before_the_open_and_after_the_look_at_the_night() -> None:
    wakes = _session(date(2024, 6, 3), date(2024, 6, 3)).wakes()
    assert [one.why for one in wakes if one.name in ("2024-06-03", MEETING)] == ["point", "morning", "open", "end"]
    assert np.all(np.diff([one.at for one in wakes]) > 0)


@pytest.mark.parametrize(
    ("began", "begun", "decided", "late", "state"),
    [
        ("07:00", False, False, False, "done"),
        ("08:00", True, False, False, "done"),
        ("09:10", False, False, False, "missed"),
        ("09:10", False, False, True, "late"),
        ("09:10", True, False, False, "late"),  # its orders go to the open, as they would have
        ("14:12", True, False, False, "missed"),
        ("14:12", True, False, True, "late"),
        ("14:12", True, True, False, "late"),  # in one account: then in all
        ("16:30", False, False, True, "missed"),
        ("16:30", True, True, True, "failed"),
    ],
)
def test_a_point_that_was_begun_is_finished_before_the_open_and_missed_after_it(
    began: str, begun: bool, decided: bool, late: bool, state: str
) -> None:
    def on_tuesday(wall: str) -> datetime:
        return datetime.fromisoformat(f"2024-06-04T{wall}").replace(tzinfo=NEW_YORK)

    at, start = on_tuesday("08:00"), on_tuesday(began)
    held, why = judge(at, max(at, start), start, begun, decided, late)
    assert held == state
    assert bool(why) == (state in ("missed", "failed"))
