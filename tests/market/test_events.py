from __future__ import annotations

from collections import Counter
from datetime import date, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from simulator.errors import DataError
from simulator.market.events import Event, load_events
from simulator.market.sources.synthetic import synthetic_bars
from simulator.workspace import shipped

NEW_YORK = ZoneInfo("America/New_York")
EVENTS = load_events(shipped() / "data" / "events.csv")
HEAD = "at,name,importance,known_at"
GOOD = "2024-01-31T14:00:00-05:00,FOMC,high,2023-12-31T23:59:00-05:00"


def local(event: Event) -> datetime:
    return event.at.astimezone(NEW_YORK)


def test_the_calendar_has_every_scheduled_release_of_the_years_it_covers() -> None:
    count = Counter((e.name, local(e).year) for e in EVENTS)
    assert [count["FOMC", year] for year in range(2018, 2027)] == [8, 8, 7, 8, 8, 8, 8, 8, 8]
    assert [count["CPI", year] for year in range(2018, 2026)] == [12, 12, 12, 12, 12, 12, 12, 11]
    assert [count["NFP", year] for year in range(2018, 2026)] == [12, 12, 12, 12, 12, 12, 12, 11]


def test_decisions_come_at_two_and_releases_at_half_past_eight_new_york_time() -> None:
    assert {(e.name, local(e).strftime("%H:%M")) for e in EVENTS} == {
        ("FOMC", "14:00"),
        ("CPI", "08:30"),
        ("NFP", "08:30"),
    }
    assert all(local(e).weekday() < 5 for e in EVENTS)


def test_no_event_is_known_before_the_year_that_published_it_ended_or_its_move_was_announced() -> None:
    moved = {e for e in EVENTS if e.known_at.year == local(e).year}
    assert {str(local(e).date()) for e in moved} == {
        "2025-10-24", "2025-11-20", "2025-12-16", "2025-12-18", "2026-02-11", "2026-02-13",
    }  # fmt: skip
    assert all(e.known_at < e.at for e in moved)
    assert all(e.known_at.date() == date(local(e).year - 1, 12, 31) for e in EVENTS if e not in moved)


def test_a_snapshot_shows_only_what_was_known_then() -> None:
    bars = synthetic_bars(["AAA"], date(2025, 9, 2), date(2025, 12, 31), seed=1)
    before = bars.snapshot(datetime(2025, 11, 14, 8, tzinfo=NEW_YORK), EVENTS)
    after = bars.snapshot(datetime(2025, 11, 17, 8, tzinfo=NEW_YORK), EVENTS)
    jobs = datetime(2025, 11, 20, 8, 30, tzinfo=NEW_YORK)
    assert jobs not in {e.at for e in before.events}
    assert jobs in {e.at for e in after.events}


def test_events_come_in_order_of_time(tmp_path: Path) -> None:
    path = tmp_path / "events.csv"
    path.write_text(f"{HEAD}\n2024-03-20T14:00:00-04:00,FOMC,high,2023-12-31T00:00:00+00:00\n\n{GOOD}\n")
    first, second = load_events(path)
    assert first.at < second.at
    assert (first.name, first.importance, second.at.utcoffset()) == ("FOMC", "high", timedelta(hours=-4))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "events.csv:1: the header was nothing"),
        ("date,name\n", "events.csv:1: the header was date,name, expected at,name,importance,known_at"),
        (f"{HEAD}\n{GOOD}\n2024-01-31,FOMC\n", "events.csv:3: has 2 columns, expected 4"),
        (f"{HEAD}\n{GOOD.replace('2024-01-31T', '2024-01-32T')}\n", 'events.csv:2: at was "2024-01-32T14:00:00-05:00"'),
        (f"{HEAD}\n{GOOD.replace('14:00:00-05:00', '14:00:00')}\n", "events.csv:2: at"),
        (f"{HEAD}\n{GOOD.replace('high', 'huge')}\n", 'events.csv:2: importance was "huge", expected one of high,'),
        (f"{HEAD}\n{GOOD.replace('FOMC', ' ')}\n", "events.csv:2: the event has no name"),
        (f"{HEAD}\n{GOOD.replace('2023-12-31', '2024-12-31')}\n", "events.csv:2: known_at"),
    ],
)
def test_a_wrong_line_is_named(text: str, said: str, tmp_path: Path) -> None:
    path = tmp_path / "events.csv"
    path.write_text(text)
    with pytest.raises(DataError) as error:
        load_events(path)
    assert said in str(error.value)


def test_a_file_that_is_missing_or_no_text_is_named(tmp_path: Path) -> None:
    path = tmp_path / "events.csv"
    with pytest.raises(DataError, match=r"events\.csv: file is missing"):
        load_events(path)
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(DataError, match=r"events\.csv: cannot be read"):
        load_events(path)
