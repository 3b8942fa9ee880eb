from __future__ import annotations

import subprocess
import sys
from datetime import UTC, date, datetime, time

import numpy as np
import pytest

from simulator.market import calendar
from simulator.market.calendar import checkpoint_instants, decision_instants, sessions


def utc(year: int, month: int, day: int, hour: int, minute: int = 0) -> int:
    return int(datetime(year, month, day, hour, minute, tzinfo=UTC).timestamp()) * 1_000_000_000


def test_the_table_of_the_past_equals_exchange_calendars() -> None:
    until, _ = calendar._table()
    told = calendar._from_library(1970, until.year).between(calendar.LIBRARY_FROM, until)
    kept = sessions(calendar.LIBRARY_FROM, until)
    assert len(kept) == 14_121
    for name in ("session_of", "opens_at", "closes_at"):
        np.testing.assert_array_equal(getattr(kept, name), getattr(told, name))


def test_the_exchange_was_closed_on_the_day_of_mourning_of_2025() -> None:
    days = sessions(date(2025, 1, 8), date(2025, 1, 10)).dates.astype(str).tolist()
    assert days == ["2025-01-08", "2025-01-10"]


@pytest.mark.parametrize(
    ("day", "opens", "closes"),
    [
        (date(2024, 7, 3), utc(2024, 7, 3, 13, 30), utc(2024, 7, 3, 17)),
        (date(2024, 11, 29), utc(2024, 11, 29, 14, 30), utc(2024, 11, 29, 18)),
        (date(2024, 3, 8), utc(2024, 3, 8, 14, 30), utc(2024, 3, 8, 21)),
        (date(2024, 3, 11), utc(2024, 3, 11, 13, 30), utc(2024, 3, 11, 20)),
        (date(2026, 11, 27), utc(2026, 11, 27, 14, 30), utc(2026, 11, 27, 18)),
    ],
)
def test_sessions_open_and_close_by_new_york_time_early_closes_included(day: date, opens: int, closes: int) -> None:
    one = sessions(day, day)
    assert (one.opens_at.tolist(), one.closes_at.tolist()) == ([opens], [closes])


def test_days_beyond_the_table_join_those_within_it_without_a_seam() -> None:
    days = sessions(date(2025, 12, 30), date(2026, 1, 5)).dates.astype(str).tolist()
    assert days == ["2025-12-30", "2025-12-31", "2026-01-02", "2026-01-05"]


@pytest.mark.parametrize("year", [2024, 2026])
def test_a_weekend_has_no_sessions_and_reversed_dates_have_none_either(year: int) -> None:
    saturday = date(year, 8, 3) if year == 2024 else date(year, 8, 1)
    assert len(sessions(saturday, date(year, 8, saturday.day + 1))) == 0
    assert len(sessions(date(year, 8, 9), saturday)) == 0


def test_weekly_decisions_move_to_the_next_session_when_monday_is_a_holiday() -> None:
    instants = decision_instants(sessions(date(2024, 1, 1), date(2024, 1, 31)), "weekly", time(8))
    days = [str(np.datetime64(at, "ns").astype("datetime64[D]")) for at in instants.tolist()]
    assert days == ["2024-01-02", "2024-01-08", "2024-01-16", "2024-01-22", "2024-01-29"]


def test_decisions_keep_new_york_wall_time_when_the_clocks_change() -> None:
    on = sessions(date(2024, 3, 8), date(2024, 3, 11))
    assert decision_instants(on, "daily", time(8)).tolist() == [utc(2024, 3, 8, 13), utc(2024, 3, 11, 12)]


def test_monthly_decisions_fall_on_the_first_session_of_each_month() -> None:
    instants = decision_instants(sessions(date(2024, 1, 1), date(2024, 7, 1)), "monthly", time(8))
    days = [str(np.datetime64(at, "ns").astype("datetime64[D]")) for at in instants.tolist()]
    assert days == ["2024-01-02", "2024-02-01", "2024-03-01", "2024-04-01", "2024-05-01", "2024-06-03", "2024-07-01"]


@pytest.mark.parametrize("cadence", ["once", "weekly", "monthly"])
def test_a_run_that_begins_in_the_middle_of_a_period_decides_at_once(cadence: str) -> None:
    on = sessions(date(2024, 1, 10), date(2024, 1, 12))
    assert decision_instants(on, cadence, time(8)).tolist() == [utc(2024, 1, 10, 13)]


@pytest.mark.parametrize(("cadence", "day"), [("once", 3), ("daily", 3), ("weekly", 5), ("monthly", 5)])
def test_a_run_that_begins_on_a_half_day_meets_on_the_next_whole_session(cadence: str, day: int) -> None:
    on = sessions(date(2024, 7, 3), date(2024, 7, 5))  # 3 July closed at 13:00, the 4th was Independence Day
    assert decision_instants(on, cadence, time(8))[0] == utc(2024, 7, day, 12)


def test_a_single_half_day_is_met_on_all_the_same() -> None:
    on = sessions(date(2024, 7, 3), date(2024, 7, 3))
    assert decision_instants(on, "weekly", time(8)).tolist() == [utc(2024, 7, 3, 12)]


def test_no_sessions_give_no_decisions() -> None:
    on = sessions(date(2024, 1, 6), date(2024, 1, 7))
    assert [len(decision_instants(on, c, time(8))) for c in ("once", "daily", "weekly", "monthly")] == [0, 0, 0, 0]


def test_an_unknown_cadence_is_refused() -> None:
    with pytest.raises(ValueError, match="hourly"):
        decision_instants(sessions(date(2024, 1, 2), date(2024, 1, 5)), "hourly", time(8))


def test_sessions_cannot_be_written_to() -> None:
    with pytest.raises(ValueError, match="read-only"):
        sessions(date(2024, 1, 2), date(2024, 1, 5)).opens_at[0] = 0


def test_loading_the_sample_needs_neither_pandas_nor_exchange_calendars() -> None:
    code = """
import sys
from datetime import date
from simulator.market.load import load_bars
from simulator.workspace import shipped
load_bars(["SPY", "QQQ"], shipped() / "data", first=date(2024, 1, 1), history=300, context=["VIX", "BIL"])
print([name for name in ("pandas", "exchange_calendars", "scipy") if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_a_weekly_decision_due_on_a_half_day_moves_to_the_next_whole_session() -> None:
    on = sessions(date(2023, 6, 26), date(2023, 7, 14))  # Monday 3 July closed at 13:00, Tuesday was Independence Day
    days = (
        (decision_instants(on, "weekly", time(8))).astype("datetime64[ns]").astype("datetime64[D]").astype(str).tolist()
    )
    assert days == ["2023-06-26", "2023-07-05", "2023-07-10"]


def test_a_decision_due_on_the_last_holiday_of_a_week_moves_into_the_next_week() -> None:
    on = sessions(date(2024, 3, 18), date(2024, 4, 5))  # Good Friday was 29 March
    instants = decision_instants(on, "weekly", time(8), weekday=4)
    days = (instants).astype("datetime64[ns]").astype("datetime64[D]").astype(str).tolist()
    assert days == ["2024-03-18", "2024-03-22", "2024-04-01", "2024-04-05"]


def test_checkpoints_from_13_00_on_keep_their_distance_from_an_early_close() -> None:
    on = sessions(date(2024, 7, 2), date(2024, 7, 3))  # 3 July closed at 13:00
    instants = checkpoint_instants(on, [time(14), time(9), time(12), time(15, 50)])
    assert instants.tolist() == [
        *(utc(2024, 7, 2, hour, minute) for hour, minute in ((13, 0), (16, 0), (18, 0), (19, 50))),
        *(utc(2024, 7, 3, hour, minute) for hour, minute in ((13, 0), (15, 0), (16, 0), (16, 50))),
    ]
    assert checkpoint_instants(on, ()).tolist() == []
