"""Scheduled events (rate decisions, inflation and employment releases) and when their dates became known.

``data/events.csv`` holds FOMC decisions, CPI and employment releases from 2018 on, as published by the Federal Reserve
and the Bureau of Labor Statistics. Both publish a year's calendar during the year before; since the day itself is not
always on record, the end of that year is taken as `known_at`, so that nothing is known too early. Releases that
were moved (the shutdowns of 2025 and 2026) carry the moment the new date was announced; dates that were
cancelled (FOMC of March 2020) and unscheduled decisions are left out.
"""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from simulator.errors import DataError
from simulator.files import read_text
from simulator.market.sources.files import parse_moment, shown_path

COLUMNS = ("at", "name", "importance", "known_at")
IMPORTANCE = ("high", "medium", "low")


@dataclass(frozen=True)
class Event:
    """An event `at` a scheduled moment (aware) whose date is known from `known_at` (aware) on."""

    at: datetime
    name: str
    importance: str
    known_at: datetime


def load_events(path: Path) -> tuple[Event, ...]:
    """Read a CSV file with the columns at, name, importance (high, medium, low) and known_at; by time.

    Both times are ISO 8601 with an offset. Raises DataError with file and line for anything else.
    """
    shown = shown_path(path)
    try:
        reader = csv.reader(io.StringIO(read_text(path), newline=""))
        header = next(reader, None)
        if header != list(COLUMNS):
            found = ",".join(header) if header else "nothing"
            raise DataError(f"the header was {found}, expected {','.join(COLUMNS)}", where=f"{shown}:1")
        events = [_event(row, f"{shown}:{reader.line_num}") for row in reader if row]
    except FileNotFoundError:
        raise DataError("file is missing", where=shown, mend="`sim init DIR` writes a fresh one") from None
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"cannot be read ({getattr(error, 'strerror', None) or error})", where=shown) from None
    return tuple(sorted(events, key=lambda event: (event.at, event.name)))


def _event(row: list[str], where: str) -> Event:
    if len(row) != len(COLUMNS):
        raise DataError(f"has {len(row)} columns, expected {len(COLUMNS)}", where=where)
    at, name, importance, known_at = (cell.strip() for cell in row)
    if not name:
        raise DataError("the event has no name", where=where)
    if importance not in IMPORTANCE:
        raise DataError(f'importance was "{importance}", expected one of {", ".join(IMPORTANCE)}', where=where)
    event = Event(parse_moment(at, "at", where), name, importance, parse_moment(known_at, "known_at", where))
    if event.known_at > event.at:
        raise DataError(f"known_at {known_at} lies after the event itself, {at}", where=where)
    return event
