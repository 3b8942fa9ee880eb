"""Sessions of the New York Stock Exchange and the instants of decisions.

    closures.csv (fixed past) ──┐
                                ├──► sessions(first, last) ──► decision_instants(…, cadence, at), checkpoint_instants
    exchange_calendars (beyond) ┘

What the exchange did in the past does not change, so closures and early closes up to a stated day are kept beside
this module: exchange_calendars with pandas takes 0.6 s to answer, the table 5 ms. Days after the table's end are asked
of exchange_calendars. ``python -m simulator.market.calendar LAST_DAY`` writes the table anew from 1970 on; the closures
before, which exchange_calendars does not have, are those of pandas_market_calendars 5.5 (which has no other from 1970
to 1975 either). Shortened hours before 1970 are left out: bars of those years are daily.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, timezone
from functools import cache, cached_property, lru_cache
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

from simulator.errors import DataError, UsageError
from simulator.market.bars import Instants

Day = str | date | np.datetime64
"""A date as people have it in Python; datetime and pandas Timestamp are dates."""

NEW_YORK = ZoneInfo("America/New_York")
TABLE = Path(__file__).with_name("closures.csv")
TABLE_FROM = date(1953, 1, 1)
"""First day whose closures are known here; until September 1952 the exchange was open on Saturdays too."""
LIBRARY_FROM = date(1970, 1, 1)
YEARS = range(1900, 2200)
OPEN, CLOSE, EARLIEST_CLOSE = time(9, 30), time(16, 0), time(13, 0)

EPOCH = date(1970, 1, 1)
SECOND = 1_000_000_000
MINUTE = 60 * SECOND
DAY = 86_400 * SECOND


@dataclass(frozen=True, eq=False)
class Sessions:
    """K trading sessions, oldest first; or the K bars of a timeline, of which several may lie in one session.

    Attributes
    ----------
    session_of : (K,) int64, days since the epoch, increasing
    opens_at, closes_at : (K,) int64, nanoseconds since the epoch, UTC; early closes included
    """

    session_of: Instants
    opens_at: Instants
    closes_at: Instants

    def __post_init__(self) -> None:
        for array in (self.session_of, self.opens_at, self.closes_at):
            array.flags.writeable = False

    def __len__(self) -> int:
        return len(self.session_of)

    @cached_property
    def dates(self) -> NDArray[np.datetime64]:
        """(K,) datetime64[D]."""
        return self.session_of.astype("datetime64[D]")

    def rows(self, start: int, stop: int) -> Sessions:
        """Sessions `start` (included) to `stop` (excluded), by position."""
        return Sessions(self.session_of[start:stop], self.opens_at[start:stop], self.closes_at[start:stop])

    def between(self, first: date, last: date) -> Sessions:
        """The sessions `first` to `last`, both included."""
        lo, hi = np.searchsorted(self.session_of, (day_number(first), day_number(last) + 1))
        return self.rows(int(lo), int(hi))


def check_year(day: date, name: str) -> date:
    """Return `day`. Raises UsageError, with the `name` of the option, outside of the years YEARS."""
    if day.year not in YEARS:
        mend = f"name a day from {YEARS[0]} to {YEARS[-1]}"
        raise UsageError(f"{name} was {day}, a year without an exchange calendar", mend=mend)
    return day


def parse_date(given: Day, name: str) -> date:
    """Return the day of a date in any of Python's forms. Raises UsageError naming the argument,
    also for a year no exchange calendar has."""
    value: object = given.astype("datetime64[us]").item() if isinstance(given, np.datetime64) else given
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value.strip())
        except ValueError:
            value = None
    # NaT of pandas is a datetime that equals nothing, itself included.
    if not isinstance(value, date) or value != value:
        raise UsageError(f'{name} was "{given}", which is not a date', mend="write it as 2024-01-31")
    return check_year(value.date() if isinstance(value, datetime) else value, name)


def parse_instant(typed: str, name: str) -> datetime:
    """Return the aware instant of a text, in New York time where it has no offset. Raises UsageError naming the
    argument, also for a time that clocks there skip or show twice, on the days they are changed."""
    try:
        at = datetime.fromisoformat(typed)
    except ValueError:
        raise UsageError(
            f'{name} was "{typed}", which is not a date', mend="write it as 2024-01-31 or 2024-01-31T08:00"
        ) from None
    check_year(at.date(), name)
    if at.tzinfo:
        return at
    first, second = (at.replace(tzinfo=NEW_YORK, fold=fold).utcoffset() for fold in (0, 1))
    if first != second and first is not None and second is not None:  # each with an offset that it may be meant by
        which = "which comes twice" if first > second else "which does not come"
        both = (at.replace(tzinfo=timezone(one)).isoformat(timespec="minutes") for one in (first, second))
        found = f"{name} was {typed}, {which} in New York: clocks are changed that day"
        raise UsageError(found, mend=f"say {' or '.join(both)}")
    return at.replace(tzinfo=NEW_YORK)


def say_time(at: datetime) -> str:
    """Return an instant as people read it: in New York, to the minute, with its zone."""
    return f"{at.astimezone(NEW_YORK):%Y-%m-%d %H:%M %Z}"


def day_number(day: date) -> int:
    """Days since 1970-01-01."""
    return day.toordinal() - EPOCH.toordinal()


def day_of(number: int) -> date:
    """The date of `number` days since 1970-01-01; the inverse of :func:`day_number`."""
    return date.fromordinal(int(number) + EPOCH.toordinal())


def sessions(first: date, last: date) -> Sessions:
    """Regular sessions of XNYS from `first` to `last`, both included; none when `first` lies after `last`.

    Source: exchange_calendars (XNYS), for the past by way of ``closures.csv``. Raises DataError before TABLE_FROM.
    """
    if first < TABLE_FROM:
        unknown = f"the sessions of the New York Stock Exchange are known from {TABLE_FROM} on, not on {first}"
        raise DataError(unknown, mend=f"leave out what lies before, e.g. with --from {TABLE_FROM}")
    if first >= TABLE_FROM and last <= _table()[0]:
        return _from_table(first, last)
    return _from_library(min(first, last).year, max(first, last).year).between(first, last)


def decision_instants(on: Sessions, cadence: str, at: time, weekday: int = 0) -> Instants:
    """(K,) int64 nanoseconds UTC: New York wall time `at` (`wall_on`) on the session of each period's decision in `on`.

    `cadence` is ``once``, ``daily``, ``weekly`` (on `weekday`, 0 = Monday) or ``monthly`` (on the first). A weekly or
    monthly decision due on a holiday or an early close moves to the next whole session. Whatever the weekday, the
    first of them falls on the first whole session of `on`; ``once`` is the first session. Raises ValueError for another
    cadence.
    """
    days = on.session_of
    if cadence == "daily" or not len(days):
        return wall_on(on, at)
    if cadence == "once":
        return wall_on(on.rows(0, 1), at)
    if cadence == "weekly":
        due = np.arange(days[0] - (days[0] + 3) % 7 + weekday, days[-1] + 1, 7)  # the epoch was a Thursday
    elif cadence == "monthly":
        months = np.arange(on.dates[0].astype("datetime64[M]"), on.dates[-1].astype("datetime64[M]") + 1)
        due = months.astype("datetime64[D]").astype(np.int64)
    else:
        raise ValueError(f"cadence was {cadence!r}")
    whole = days[on.closes_at == wall_to_utc(days, CLOSE)]
    first = whole[0] if len(whole) else days[0]
    moved = np.searchsorted(whole, due[due > first], side="left")
    return wall_to_utc(np.unique(np.r_[first, whole[moved[moved < len(whole)]]]), at)


def checkpoint_instants(on: Sessions, times: Sequence[time]) -> Instants:
    """(K,) int64 nanoseconds UTC: each New York wall time of `times` (`wall_on`) on each session of `on`, oldest first.

    Those at or after the close of their session are left out.
    """
    at = np.array([wall_on(on, moment) for moment in sorted(set(times))], dtype=np.int64)
    at = np.sort(at.reshape(-1, len(on)).T, axis=1)
    kept: Instants = at[at < on.closes_at[:, None]]
    return kept


def wall_on(on: Sessions, at: time) -> Instants:
    """(K,) int64 nanoseconds UTC of New York wall time `at` on each session. From 13:00, the earliest close, on it
    keeps its distance from the close: 15:50 on a half-day is ten minutes before it."""
    usual = wall_to_utc(on.session_of, at)
    if at < EARLIEST_CLOSE:
        return usual
    return np.asarray(usual - (wall_to_utc(on.session_of, CLOSE) - on.closes_at))


def week_ends(on: Sessions) -> Sessions:
    """Return those sessions of `on` that are the last of their week: mostly Fridays."""
    if not len(on):
        return on
    last = day_of(int(on.session_of[-1]))
    following = sessions(last + timedelta(1), last + timedelta(14)).session_of[:1]
    weeks = (np.r_[on.session_of, following] + 3) // 7  # the epoch was a Thursday
    ends = np.flatnonzero(weeks[1:] != weeks[: len(weeks) - 1])
    ends = ends[ends < len(on)]
    return Sessions(on.session_of[ends], on.opens_at[ends], on.closes_at[ends])


def wall_to_utc(days: Instants, at: time) -> Instants:
    """(K,) int64 nanoseconds UTC of New York wall time `at` on each of `days` (days since the epoch)."""
    since_midnight = (at.hour * 3600 + at.minute * 60 + at.second) * SECOND + at.microsecond * 1000
    return np.asarray(days, dtype=np.int64) * DAY + since_midnight - offsets(days)


def offsets(days: Instants) -> Instants:
    """(K,) int64 nanoseconds New York is ahead of UTC (negative) on each of `days`, Monday to Saturday.

    Clocks change on Sundays at 2:00, so the answer holds for a whole week of sessions.
    """
    weeks, where = np.unique((np.asarray(days, dtype=np.int64) + 3) // 7, return_inverse=True)
    return np.array([_offset_in_week(week) for week in weeks.tolist()], dtype=np.int64)[where]


@cache
def _offset_in_week(week: int) -> int:
    shift = datetime.combine(day_of(week * 7 - 3), time(12), NEW_YORK).utcoffset() or timedelta()
    return int(shift.total_seconds()) * SECOND


@lru_cache(maxsize=1)
def _table() -> tuple[date, dict[str, Instants]]:
    """Last day of the table, and the days (since the epoch) by what happened: ``closed``, or the hour of the close."""
    days: dict[str, list[int]] = {}
    for line in TABLE.read_text(encoding="ascii").split()[1:]:
        day, what = line.split(",")
        days.setdefault(what, []).append(day_number(date.fromisoformat(day)))
    (until,) = days.pop("end")
    return day_of(until), {what: np.array(numbers) for what, numbers in days.items()}


def _from_table(first: date, last: date) -> Sessions:
    closed_early = dict(_table()[1])
    days = np.arange(day_number(first), day_number(last) + 1)
    days = days[((days + 3) % 7 < 5) & ~np.isin(days, closed_early.pop("closed"))]
    closes = wall_to_utc(days, CLOSE)
    for at, early in closed_early.items():
        on = np.isin(days, early)
        closes[on] = wall_to_utc(days[on], time.fromisoformat(at))
    return Sessions(days, wall_to_utc(days, OPEN), closes)


@lru_cache(maxsize=8)
def _from_library(first_year: int, last_year: int) -> Sessions:
    from exchange_calendars import get_calendar  # type: ignore[import-untyped]

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of pandas, at how the library calls it
        calendar = get_calendar("XNYS", start=f"{first_year}-01-01", end=f"{last_year}-12-31")
    opens = np.asarray(calendar.opens_nanos, dtype=np.int64).copy()
    closes = np.asarray(calendar.closes_nanos, dtype=np.int64).copy()
    return Sessions(opens // DAY, opens, closes)  # the New York open falls on the same day in UTC


def _write_table(until: date, say: Callable[[str], None] = print) -> None:
    whole = _from_library(LIBRARY_FROM.year, until.year).between(LIBRARY_FROM, until)
    trading = set(whole.session_of.tolist())
    kept = TABLE.read_text(encoding="ascii").split()
    lines = [line for line in kept if line == kept[0] or line < str(LIBRARY_FROM)]
    usual = wall_to_utc(whole.session_of, CLOSE)
    early = {int(d): int(c) for d, c, u in zip(whole.session_of, whole.closes_at, usual, strict=True) if c != u}
    for day in range(day_number(LIBRARY_FROM), day_number(until) + 1):
        if (day + 3) % 7 < 5 and day not in trading:
            lines.append(f"{day_of(day)},closed")
        elif day in early:
            closed_at = datetime.fromtimestamp(early[day] // SECOND, UTC).astimezone(NEW_YORK)
            lines.append(f"{day_of(day)},{closed_at:%H:%M}")
    lines.append(f"{until},end")
    TABLE.write_text("\n".join(lines) + "\n", encoding="ascii", newline="\n")
    say(f"{TABLE}: {len(lines) - 2} days to {until}")


if __name__ == "__main__":
    import sys

    _write_table(date.fromisoformat(sys.argv[1]))
