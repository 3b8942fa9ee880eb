"""A folder of CSV or Parquet files, one per symbol, named after it: ``SPY.csv``, ``SPY.csv.gz``, ``SPY.parquet``.

    file ──► sheets: columns by role ──► settle: dates, numbers ──► rows in order ──► adjust: splits ──► BarTable

Columns are known by many names (`headers`), numbers and dates are read as their whole column shows them (`settle`).
Prices are taken as they stand: an adjusted close beside the close is not used, and the loader says so; a dividend
column (cash per share on the ex-date) and a column of splits are (`adjust`).

Daily bars carry their session's date. Bars with times of day are intraday: each label is the START of its bar, without
a time zone it is New York time or that of ``zone``, and the spacing of the labels is the frequency.
"""

from __future__ import annotations

import csv
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta, tzinfo
from pathlib import Path
from typing import Any, TextIO
from zoneinfo import ZoneInfo

import numpy as np

from simulator.errors import DataError
from simulator.market.adjust import apply_splits, settle_dividends
from simulator.market.bars import NUMBERS, Floats, Instants, moment
from simulator.market.calendar import (
    DAY,
    MINUTE,
    NEW_YORK,
    OPEN,
    SECOND,
    TABLE_FROM,
    day_number,
    day_of,
    offsets,
    sessions,
    wall_to_utc,
)
from simulator.market.sources.headers import quote
from simulator.market.sources.sheets import Sheet, read_sheet
from simulator.market.table import DAILY, PRICES, BarTable, absorb_rounding, in_hours

SUFFIXES = (".csv.gz", ".csv.zip", ".csv", ".parquet")
ADJUSTED = "its adjusted close is not used and it has no dividend column: returns leave dividends out"
FAR = (0.05, 1.5)
"""Times the close within which the newest adjusted close is not worth a word: splits to come make it less."""
EARLIEST, LATEST = 1900, 2100
"""Years that are accepted. Nanoseconds in 64 bits reach from 1677 to 2262 and would wrap around in silence."""
ZONES = ("UTC", "Europe/London", "Europe/Berlin", "America/Chicago", "America/Los_Angeles", "Asia/Kolkata")
ONE_A_DAY = 0.9
"""Days for each bar from which on bars are daily ones, whatever times of day their labels have."""
MOSTLY, NEARLY_ALL, MORE = 0.97, 0.9, 0.08
"""Share of a file's volume within the session: below the first, labels without a zone are suspected to be of another
zone of ZONES, and refused where one of these brings the share above the second, and up by the third."""


@dataclass(frozen=True)
class Stamps:
    """Time labels: nanoseconds since the epoch as written on the wall, and in UTC where a zone was given."""

    wall: Instants
    utc: Instants | None


def symbol_of(path: Path) -> str | None:
    """The symbol a file is named after, in capitals; None when it is no file of bars by its name."""
    suffix = next((suffix for suffix in SUFFIXES if path.name.lower().endswith(suffix)), None)
    stem = path.name[: -len(suffix)].upper() if suffix else ""
    return stem if is_symbol(stem) and path.name != "events.csv" else None


def find_misnamed(folder: Path) -> list[Path]:
    """Return the files of `folder` that end like files of bars and are not named after a symbol."""
    there = sorted(folder.iterdir()) if folder.is_dir() else []
    ending = [path for path in there if path.name.lower().endswith(SUFFIXES) and path.name[0] != "."]
    return [path for path in ending if not symbol_of(path) and path.name != "events.csv"]


def is_symbol(text: str) -> bool:
    """True where `text` can name a file of bars: letters, digits and ``. - = _``, with ``^`` allowed in front."""
    return re.fullmatch(r"\^?[A-Za-z0-9][A-Za-z0-9.=_-]{0,31}", text) is not None


def read_table(
    path: Path, *, symbol: str | None = None, source: str | None = None, zone: ZoneInfo | None = None
) -> BarTable:
    """Read the bars of one file, unchecked. `source` is the label people see; a ``source`` column is added to it.

    Of several symbols in the file those of `symbol` are read. Newest first is turned round, rows without any price are
    left out. `zone` is that of intraday labels without one. Raises DataError, with file and line, for what cannot be
    read as bars at all, and for what may mean two things.
    """
    shown = shown_path(path)
    symbol = symbol or symbol_of(path) or path.stem
    sheet = read_sheet(path, shown, symbol)
    stamps = _stamps(sheet)
    frequency, session_of, starts = _place(stamps, sheet, zone)
    numbers = _read_numbers(sheet)
    rows, notes = _order(session_of if frequency == DAILY else starts, numbers, sheet)
    if zone and stamps.utc is not None:
        notes = (*notes, f"its labels say their own zone: {zone} is not used")
    columns = {name: numbers.get(name, np.zeros(len(starts))) for name in NUMBERS}
    silent = int(np.isnan(columns["volume"][rows]).sum())
    if silent < len(columns["volume"][rows]):  # else a column of volumes that says nothing, as indices have it
        notes = (*notes, f"{silent} bars say no volume and are read with 0") if silent else notes
    columns["volume"] = np.where(np.isnan(columns["volume"]), 0.0, columns["volume"])
    columns["dividend"] = np.nan_to_num(columns["dividend"], nan=0.0, posinf=np.inf, neginf=-np.inf)
    columns |= absorb_rounding(*(columns[name] for name in PRICES))
    _carry_actions(rows, columns, numbers)
    lines = None if sheet.lines is None else np.array(sheet.lines, dtype=np.int64)
    origin = (source or path.name) + _origin(sheet)
    table = BarTable(symbol, origin, frequency, session_of, starts, **columns, path=shown, lines=lines, notes=notes)
    table = table.take(rows)
    if frequency != DAILY and stamps.utc is None and zone is None:
        _refuse_other_zone(table, path)
    return _adjust(table, {role: numbers[role][rows] for role in ("adjusted", "split") if role in numbers}, sheet)


def _order(keys: Instants, numbers: dict[str, Floats], sheet: Sheet) -> tuple[Any, tuple[str, ...]]:
    """Return the rows that hold bars, oldest first, and a note on the others."""
    none = np.isnan(numbers["open"])
    for name in PRICES[1:]:
        none &= np.isnan(numbers[name])
    if none.all():
        raise DataError("has no row with a price", where=sheet.where(0))
    steps = np.diff(keys)
    turn = slice(None, None, -1 if len(steps) and (steps <= 0).all() and (steps < 0).any() else 1)
    inner = int(none.sum() - np.argmin(none) - np.argmin(none[::-1]))
    notes = (*sheet.notes, f"{inner} rows without a price are left out") if inner else sheet.notes
    return (np.arange(len(keys))[turn][~none[turn]] if none.any() else turn), notes


def _carry_actions(rows: Any, columns: dict[str, Floats], numbers: dict[str, Floats]) -> None:
    """Move dividends and splits of rows without a price, which yfinance has at times, to the next row with one."""
    if isinstance(rows, slice):
        return
    for actions, idle in ((columns["dividend"], 0.0), (numbers.get("split", np.zeros(0)), 1.0)):
        for row in np.setdiff1d(np.flatnonzero(np.nan_to_num(actions) * (actions != idle)), rows).tolist():
            newest_first = len(rows) > 1 and rows[0] > rows[1]
            later = rows[rows < row][:1] if newest_first else rows[rows > row][:1]
            actions[later] = actions[row] if idle else actions[later] + actions[row]


def _adjust(table: BarTable, extra: dict[str, Floats], sheet: Sheet) -> BarTable:
    """Apply what the columns beside the prices say. Nothing is held against prices that the checks refuse anyway."""
    if "adjusted" in extra and "dividend" not in sheet.columns:
        table = replace(table, notes=(*table.notes, ADJUSTED))
    if "adjusted" in extra and not FAR[0] < (times := extra["adjusted"][-1] / table.close[-1]) < FAR[1]:
        far = f"its adjusted close on {table.last} is {times:.4g} times its close: are both of this symbol?"
        table = replace(table, notes=(*table.notes, far))
    prices = np.array([getattr(table, name) for name in PRICES])
    sound = (np.diff(table.key) > 0).all() and np.isfinite(prices).all() and (prices > 0).all()
    if not sound or not (extra or table.dividend.any()):
        return table
    if "split" in extra:
        table = apply_splits(table, extra["split"], extra.get("adjusted"))
    if "source" in sheet.columns:  # written by us: judged when it was taken in
        return table
    return settle_dividends(table, extra.get("adjusted"), actions="split" in extra)


def shown_path(path: Path) -> str:
    """Return `path` as a person would type it: from the current folder where it lies below it."""
    try:
        return str(path.resolve().relative_to(Path.cwd()))
    except (ValueError, OSError):
        return str(path)


def write_csv(table: BarTable, path: Path, origin: str) -> None:
    """Write `table` so that :func:`read_table` gives the same bars back; `origin` goes into the source column.

    The file is written whole and on disk when this returns; the caller moves it into place.
    """
    with path.open("w", encoding="utf-8", newline="") as out:
        csv.writer(out, lineterminator="\n").writerow(("date", *NUMBERS, "source"))
        _write_rows(table, out, origin)


def append_csv(table: BarTable, path: Path, origin: str) -> None:
    """Write the bars of `table`, later than all there, at the end of a file of :func:`write_csv`; they are on disk when
    this returns. A kill in between leaves whole lines and one that was cut off, which `cut_torn_line` removes."""
    with path.open("a", encoding="utf-8", newline="") as out:
        _write_rows(table, out, origin)


def cut_torn_line(path: Path) -> None:
    """Remove what stands after the last line end of `path`: a kill cut it off."""
    with path.open("r+b") as file:
        whole = file.read()
        if not whole.endswith(b"\n"):
            file.truncate(whole.rfind(b"\n") + 1)


def _write_rows(table: BarTable, out: TextIO, origin: str) -> None:
    numbers = zip(*(map(_plain, getattr(table, name).tolist()) for name in NUMBERS), strict=True)
    if table.daily:
        labels = [str(day) for day in table.session_of.astype("datetime64[D]")]
    else:
        labels = [moment(at).astimezone(NEW_YORK).isoformat() for at in table.starts.tolist()]
    rows = ((label, *row, origin) for label, row in zip(labels, numbers, strict=True))
    csv.writer(out, lineterminator="\n").writerows(rows)
    out.flush()
    os.fsync(out.fileno())


def parse_moment(text: str, column: str, where: str) -> datetime:
    """Parse ISO 8601 with an offset. Raises DataError."""
    example = "expected e.g. 2024-01-31T14:00:00-05:00"
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise DataError(f'{column} was "{text}", {example}', where=where) from None
    if at.tzinfo is None:
        raise DataError(f'{column} "{text}" has no offset, {example}', where=where)
    return at


def _plain(number: float) -> str:
    return str(int(number)) if number.is_integer() else repr(number)


# ---- reading -----------------------------------------------------------------------------------------------------


def _origin(sheet: Sheet) -> str:
    """The values of the source column in parentheses; nothing without one."""
    column = sheet.columns.get("source")
    if column is None:
        return ""
    kinds = sorted({str(kind) for kind in (column if sheet.lines else column.to_pylist())})
    return f" ({kinds[0]})" if len(kinds) == 1 else f" (mixed: {', '.join(kinds)})"


# ---- numbers and dates -------------------------------------------------------------------------------------------


def _read_numbers(sheet: Sheet) -> dict[str, Floats]:
    """Return (n,) float64 of each column of numbers there is."""
    columns = {role: sheet.columns[role] for role in (*NUMBERS, "adjusted", "split") if role in sheet.columns}
    texts = columns
    if sheet.lines is None:
        texts = {role: _arrow_texts(column) for role, column in columns.items() if _is_text(column.type)}
    numbers: dict[str, Floats] = {}
    if texts:
        from simulator.market.sources.settle import read_numbers

        numbers = read_numbers(texts, sheet.where, point=sheet.mark != ";")
    rest = {role: column for role, column in columns.items() if role not in texts}
    return numbers | {role: arrow_floats(column, f"{sheet.shown}, column {role}") for role, column in rest.items()}


def arrow_floats(column: Any, where: str) -> Floats:
    """(n,) float64 of a pyarrow array, nulls as NaN. Raises DataError when it holds no numbers."""
    import pyarrow

    # Not `cast`, which imports pyarrow.compute, nor `to_numpy`, which imports pandas: a quarter of a second.
    if not column.null_count and str(column.type) in ("double", "float", "int64", "int32"):
        plain_numbers = np.from_dlpack(column)
        if column.type != pyarrow.int64() or not plain_numbers.size or np.abs(plain_numbers).max() <= 2**53:
            return np.asarray(plain_numbers, dtype=np.float64)
    if pyarrow.types.is_decimal(column.type):  # by way of text: a cast is off in the last bit
        column = column.cast(pyarrow.string())
    try:
        numbers = column.cast(pyarrow.float64())
    except pyarrow.ArrowException:
        raise DataError(f"holds {column.type}, not numbers", where=where) from None
    if numbers.null_count:
        return np.asarray(numbers.to_numpy(zero_copy_only=False), dtype=np.float64)
    return np.asarray(np.from_dlpack(numbers), dtype=np.float64)


def _stamps(sheet: Sheet) -> Stamps:
    column = sheet.columns["date"]
    if not isinstance(column, list | tuple):
        if (
            not _is_text(column.type)
            and "time" not in sheet.columns
            and not str(column.type).startswith(("int", "uint"))
        ):
            return _arrow_stamps(column, sheet)
        column = _arrow_texts(column)
    texts = [text.strip() for text in column]
    if "time" in sheet.columns:
        clocks = sheet.columns["time"] if sheet.lines else _arrow_texts(sheet.columns["time"])
        texts = [f"{day} {clock.strip()}" for day, clock in zip(texts, clocks, strict=True)]
    try:
        if all(len(text) == 10 for text in texts):
            days = [date.fromisoformat(text) for text in texts]
            _check_years([day.year for day in days], texts, sheet)
            since = np.array([day.toordinal() for day in days], dtype=np.int64)
            return Stamps((since - date(1970, 1, 1).toordinal()) * DAY, None)
        moments = [datetime.fromisoformat(text) for text in texts]
    except ValueError:
        from simulator.market.sources.settle import settle_dates

        moments = settle_dates(texts, sheet.where)
    _check_years([moment.year for moment in moments], texts, sheet)
    return _stamps_of(moments, sheet)


def _check_years(years: Sequence[int], texts: Sequence[str], sheet: Sheet) -> None:
    if not EARLIEST <= min(years) <= max(years) <= LATEST:
        row = next(row for row, year in enumerate(years) if not EARLIEST <= year <= LATEST)
        raise DataError(f'the year of "{texts[row]:.60}" cannot be meant', where=sheet.where(row))


def _stamps_of(moments: Sequence[datetime], sheet: Sheet) -> Stamps:
    zoned = [m.tzinfo is not None for m in moments]
    if any(zoned) != all(zoned):
        row = zoned.index(not zoned[0])
        raise DataError("some dates have a time zone and some have none", where=sheet.where(row))
    # By subtraction of naive times: a conversion to UTC would make a year of minutes a third slower.
    naive, since = [m.replace(tzinfo=None) for m in moments] if zoned[0] else moments, datetime(1970, 1, 1)
    wall = np.array([_nanoseconds(m - since) for m in naive], dtype=np.int64)
    if not zoned[0]:
        return Stamps(wall, None)
    return Stamps(wall, wall - np.array([_nanoseconds(m.utcoffset()) for m in moments], dtype=np.int64))


def _nanoseconds(span: Any) -> int:
    return (span.days * 86_400_000_000 + span.seconds * 1_000_000 + span.microseconds) * 1_000  # type: ignore[no-any-return]


def _arrow_stamps(column: Any, sheet: Sheet) -> Stamps:
    import pyarrow

    kind = column.type
    if column.null_count:
        row = column.is_null().index(True).as_py()
        raise DataError(f"row {row + 1} has no date", where=sheet.shown)
    if pyarrow.types.is_date(kind):
        days = _int64((column if kind == pyarrow.date32() else column.cast(pyarrow.date32())).view(pyarrow.int32()))
        _check_days(days, sheet)
        return Stamps(days * DAY, None)
    if pyarrow.types.is_timestamp(kind):
        seconds = column.cast(pyarrow.timestamp("s", kind.tz), safe=False).cast(pyarrow.int64())
        _check_days(_int64(seconds) // 86_400, sheet)
        utc = _int64(column.cast(pyarrow.timestamp("ns", kind.tz)).cast(pyarrow.int64()))
        if kind.tz is None:
            return Stamps(utc, None)
        import pyarrow.compute

        wall = pyarrow.compute.local_timestamp(column.cast(pyarrow.timestamp("ns", kind.tz)))
        return Stamps(_int64(wall.cast(pyarrow.int64())), utc)
    raise DataError(f"column date holds {kind}, not dates", where=sheet.shown)


def _is_text(kind: Any) -> bool:
    import pyarrow

    return bool(pyarrow.types.is_string(kind) or pyarrow.types.is_large_string(kind))


def _arrow_texts(column: Any) -> list[str]:
    return ["" if value is None else str(value) for value in column.to_pylist()]


def _int64(column: Any) -> Instants:
    return np.asarray(np.from_dlpack(column), dtype=np.int64)


def _check_days(days: Instants, sheet: Sheet) -> None:
    strange = (days < day_number(date(EARLIEST, 1, 1))) | (days > day_number(date(LATEST, 12, 31)))
    if strange.any():
        row = int(np.argmax(strange))
        raise DataError(f"row {row + 1}: the year of day {days[row]} since 1970 cannot be meant", where=sheet.shown)


def _place(stamps: Stamps, sheet: Sheet, zone: ZoneInfo | None) -> tuple[str, Instants, Instants]:
    """Frequency, New York dates (days since the epoch) and UTC starts of the bars with these labels."""
    days = stamps.wall // DAY
    if not (stamps.wall % DAY).any():  # midnights as written, whatever the zone: plain dates
        return _daily(days)
    utc = stamps.utc if stamps.utc is not None else _to_utc(stamps.wall, zone)
    local = utc + offsets(utc // DAY)
    days = local // DAY
    one_label = (local % DAY == local[0] % DAY).all()  # e.g. New York midnight written in UTC
    if one_label or len(np.unique(days)) > ONE_A_DAY * len(days):  # a live bar of the last day may have its own label
        return _daily(days)
    steps = np.diff(utc)[np.diff(days) == 0]
    return _frequency(abs(int(np.gcd.reduce(steps))), sheet), days, utc


def _to_utc(wall: Instants, zone: tzinfo | None) -> Instants:
    """Instants of labels read off a wall clock in `zone`, in New York where None; of an hour twice there the first."""
    if zone is None:
        return wall - offsets(wall // DAY)
    hours, where = np.unique(wall // (60 * MINUTE), return_inverse=True)
    naive = (datetime(1970, 1, 1) + timedelta(hours=hour) for hour in hours.tolist())
    shifts = [(at.replace(tzinfo=zone).utcoffset() or timedelta()).total_seconds() for at in naive]
    return wall - (np.array(shifts, dtype=np.int64) * SECOND)[where]


def _refuse_other_zone(table: BarTable, path: Path) -> None:
    """Raise DataError where labels without a zone lie outside the session and fit it as those of another zone."""
    if table.session_of.min() < day_number(TABLE_FROM):
        return
    weights = np.clip(np.nan_to_num(table.volume), 0.0, 1e15)
    weights = weights if weights.any() else np.ones(len(table))
    inside = _in_session(table, None)
    _, day = np.unique(table.session_of, return_inverse=True)
    odd = (np.bincount(day, weights * inside) < 0.5 * np.bincount(day, weights))[day]
    whole = float(weights[inside].sum() / weights.sum())
    for rows, here in ((np.ones(len(table), dtype=bool), whole), (odd, 0.0)):
        if here >= MOSTLY or weights[rows].sum() <= 0.05 * weights.sum() or (rows is odd and odd.all()):
            continue
        part, total = table.take(rows), weights[rows].sum()
        shares = {zone: float(weights[rows][_in_session(part, ZoneInfo(zone))].sum() / total) for zone in ZONES}
        zone = max(ZONES, key=lambda name: shares[name])
        if shares[zone] >= max(NEARLY_ALL, here + MORE) or (here < 0.5 and rows.all() and shares[zone] > here + 0.2):
            raise _other_zone(part, whole, zone, path, partly=not rows.all())


def _other_zone(part: BarTable, inside: float, zone: str, path: Path, partly: bool) -> DataError:
    read = (
        f"`sim data fetch --source files --path {quote(shown_path(path.parent))} --symbols {part.symbol} --tz {zone}`"
    )
    mend = "write each label with its offset, as in 2024-01-31T09:30-05:00" if partly else f"{read} reads them so"
    since = f" from {part.first} on" if partly else ""
    what = f"{1 - inside:.0%} of its volume lies outside the session: labels without a zone{since} look like {zone}"
    return DataError(what, where=part.where(0), mend=mend)


def _in_session(table: BarTable, zone: tzinfo | None) -> Any:
    """(n,) True for the bars within regular hours, with the labels read in `zone`."""
    starts = table.starts
    if zone is not None:
        starts = _to_utc(starts + offsets(starts // DAY), zone)
    days = (starts + offsets(starts // DAY)) // DAY
    return in_hours(replace(table, starts=starts, session_of=days), sessions(day_of(days.min()), day_of(days.max())))


def _daily(days: Instants) -> tuple[str, Instants, Instants]:
    return DAILY, days, wall_to_utc(days, OPEN)


def _frequency(step: int, sheet: Sheet) -> str:
    if step and step % MINUTE == 0:
        return f"{step // MINUTE}min"
    if step and step % SECOND == 0:
        return f"{step // SECOND}s"
    raise DataError(f"bars stand {step} ns apart; spacings are whole seconds", where=sheet.shown)
