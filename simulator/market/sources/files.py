"""A folder of CSV or Parquet files, one per symbol, named after it: ``SPY.csv``, ``SPY.csv.gz``, ``SPY.parquet``.

Column spellings are the common ones (``SPELLINGS``), case, blanks and underscores aside. Prices are taken as they
stand: an adjusted close beside the close is not used, and the loader says so; a dividend column (cash per share on
the ex-date) is. Dates are ISO 8601 or YYYYMMDD.

Daily bars carry their session's date. Bars with times of day are intraday: each label is the START of its bar, without
a time zone it is New York time, and the spacing of the labels is the frequency.
"""

from __future__ import annotations

import csv
import gzip
import io
import os
import re
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Any

import numpy as np

from simulator.errors import DataError
from simulator.market.bars import NUMBERS, Floats, Instants, moment
from simulator.market.calendar import DAY, MINUTE, NEW_YORK, OPEN, SECOND, day_number, offsets, wall_to_utc
from simulator.market.table import DAILY, PRICES, BarTable, absorb_rounding

SUFFIXES = (".csv.gz", ".csv", ".parquet")

SPELLINGS: Mapping[str, tuple[str, ...]] = {
    "date": ("date", "datetime", "timestamp", "time", "day", "session", "t", "", "unnamed:0", "indexlevel0"),
    "open": ("open", "o", "openprice"),
    "high": ("high", "h", "highprice"),
    "low": ("low", "l", "lowprice"),
    "close": ("close", "c", "closeprice"),
    "volume": ("volume", "vol", "v"),
    "dividend": ("dividend", "dividends", "div", "divcash", "dividendamount"),
    "adjusted": ("adjclose", "adjustedclose", "closeadj", "adj"),
    "source": ("source",),
}
NEEDED = ("date", *PRICES)
AGAIN = "delete it or fetch it again"
ADJUSTED = "its adjusted close is not used and it has no dividend column: returns leave dividends out"
EARLIEST, LATEST = 1900, 2100
"""Years that are accepted. Nanoseconds in 64 bits reach from 1677 to 2262 and would wrap around in silence."""


@dataclass(frozen=True)
class Stamps:
    """Time labels: nanoseconds since the epoch as written on the wall, and in UTC where a zone was given."""

    wall: Instants
    utc: Instants | None


@dataclass(frozen=True)
class Sheet:
    """A file's columns by role (the keys of SPELLINGS), each n long, and the line of each row (None for Parquet)."""

    shown: str
    columns: Mapping[str, Any]
    lines: list[int] | None

    def where(self, row: int) -> str:
        return f"{self.shown}:{self.lines[row]}" if self.lines else self.shown


def symbol_of(path: Path) -> str | None:
    """The symbol a file is named after, in capitals; None when it is no file of bars by its name."""
    suffix = next((suffix for suffix in SUFFIXES if path.name.lower().endswith(suffix)), None)
    stem = path.name[: -len(suffix)].upper() if suffix else ""
    return stem if is_symbol(stem) and path.name != "events.csv" else None


def is_symbol(text: str) -> bool:
    """True where `text` can name a file of bars: letters, digits and ``. - = _``, with ``^`` allowed in front."""
    return re.fullmatch(r"\^?[A-Za-z0-9][A-Za-z0-9.=_-]{0,31}", text) is not None


def read_table(path: Path, *, symbol: str | None = None, source: str | None = None) -> BarTable:
    """Read the bars of one file, unchecked. `source` is the label people see; a ``source`` column is added to it.

    Raises DataError, with file and line, for what cannot be read as bars at all.
    """
    shown = shown_path(path)
    sheet = _read_parquet(path, shown) if path.suffix == ".parquet" else _read_csv(path, shown)
    frequency, session_of, starts = _place(_stamps(sheet), sheet)
    numbers = {name: _numbers(sheet, name) for name in NUMBERS}
    numbers |= absorb_rounding(*(numbers[name] for name in PRICES))
    return BarTable(
        symbol or symbol_of(path) or path.stem,
        (source or path.name) + _origin(sheet),
        frequency,
        session_of,
        starts,
        **numbers,
        path=shown,
        lines=None if sheet.lines is None else np.array(sheet.lines, dtype=np.int64),
        notes=(ADJUSTED,) if "adjusted" in sheet.columns and "dividend" not in sheet.columns else (),
    )


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
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow(("date", *NUMBERS, "source"))
        numbers = zip(*(map(_plain, getattr(table, name).tolist()) for name in NUMBERS), strict=True)
        if table.daily:
            labels = [str(day) for day in table.session_of.astype("datetime64[D]")]
        else:
            labels = [moment(at).astimezone(NEW_YORK).isoformat() for at in table.starts.tolist()]
        for label, row in zip(labels, numbers, strict=True):
            writer.writerow((label, *row, origin))
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


def _read_csv(path: Path, shown: str) -> Sheet:
    text = _text(path, shown)
    first_line = text.partition("\n")[0]
    reader = csv.reader(io.StringIO(text), delimiter=max(",;\t", key=first_line.count))
    rows: list[list[str]] = []
    lines: list[int] = []
    try:
        header = next(reader, [])
        for row in filter(None, reader):
            if len(row) != len(header):
                where = f"{shown}:{reader.line_num}"
                raise DataError(f"has {len(row)} columns where the header has {len(header)}", where=where)
            rows.append(row)
            lines.append(reader.line_num)
    except csv.Error as error:
        raise DataError(f"is not CSV ({error})", where=f"{shown}:{reader.line_num}") from None
    roles = _roles(header, shown)
    if not rows:
        raise DataError("has a header and no bars", where=f"{shown}:1", mend=AGAIN)
    by_name = list(zip(*rows, strict=True))
    return Sheet(shown, {role: by_name[header.index(name)] for role, name in roles.items()}, lines)


def _text(path: Path, shown: str) -> str:
    try:
        data = path.read_bytes()
        content = (gzip.decompress(data) if path.suffix == ".gz" else data).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise DataError("is not text", where=f"{shown}:{line}", mend=AGAIN) from None
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"cannot be read ({error})", where=shown) from None
    if not content.strip():
        raise DataError("the file is empty", where=f"{shown}:1", mend=AGAIN)
    before, nul, _ = content.partition("\0")
    if nul:
        raise DataError("is not text", where=f"{shown}:{before.count(chr(10)) + 1}", mend=AGAIN)
    return content


def _read_parquet(path: Path, shown: str) -> Sheet:
    import pyarrow
    import pyarrow.parquet

    try:
        content = pyarrow.parquet.ParquetFile(path).read()
    except (pyarrow.ArrowException, OSError) as error:
        raise DataError(f"is not a whole Parquet file ({error})", where=shown, mend="fetch it again") from None
    roles = _roles(content.column_names, shown)
    if not content.num_rows:
        raise DataError("has no bars", where=shown, mend=AGAIN)
    return Sheet(shown, {role: content[name].combine_chunks() for role, name in roles.items()}, None)


def _roles(header: Sequence[str], shown: str) -> dict[str, str]:
    """{role: name of its column}."""
    plain = {name: name.strip().lower().replace(" ", "").replace("_", "") for name in header}
    roles: dict[str, str] = {}
    for role, spellings in SPELLINGS.items():
        found = [name for name in header if plain[name] in spellings]
        if len(found) > 1:
            names = " and ".join(f'"{name}"' for name in found)
            raise DataError(f"columns {names} both look like the {role}", where=f"{shown}:1", mend="rename one")
        roles |= {role: found[0]} if found else {}
    missing = [role for role in NEEDED if role not in roles]
    if missing:
        there = ", ".join(header) or "nothing"
        raise DataError(f"no column for {', '.join(missing)}; it has {there}", where=f"{shown}:1")
    return roles


def _origin(sheet: Sheet) -> str:
    """The values of the source column in parentheses; nothing without one."""
    column = sheet.columns.get("source")
    if column is None:
        return ""
    kinds = sorted({str(kind) for kind in (column if sheet.lines else column.to_pylist())})
    return f" ({kinds[0]})" if len(kinds) == 1 else f" (mixed: {', '.join(kinds)})"


# ---- numbers and dates -------------------------------------------------------------------------------------------


def _numbers(sheet: Sheet, role: str) -> Floats:
    if role not in sheet.columns:
        return np.zeros(len(sheet.columns["date"]))
    column = sheet.columns[role]
    if sheet.lines is None:
        return arrow_floats(column, f"{sheet.shown}, column {role}")
    try:
        return np.fromiter(map(float, column), dtype=np.float64, count=len(column))
    except ValueError:
        return np.array([_number(text, role, sheet.where(row)) for row, text in enumerate(column)])


def _number(text: str, role: str, where: str) -> float:
    if not text.strip():
        return float("nan")
    try:
        return float(text)
    except ValueError:
        raise DataError(f'{role} was "{text}", not a number', where=where) from None


def arrow_floats(column: Any, where: str) -> Floats:
    """(n,) float64 of a pyarrow array, nulls as NaN. Raises DataError when it holds no numbers."""
    import pyarrow

    try:
        numbers = column.cast(pyarrow.float64())
    except pyarrow.ArrowException:
        raise DataError(f"holds {column.type}, not numbers", where=where) from None
    if numbers.null_count:
        return np.asarray(numbers.to_numpy(zero_copy_only=False), dtype=np.float64)
    # Not `to_numpy`, which imports pandas: a quarter of a second.
    return np.asarray(np.from_dlpack(numbers), dtype=np.float64)


def _stamps(sheet: Sheet) -> Stamps:
    column = sheet.columns["date"]
    if not isinstance(column, list | tuple):
        return _arrow_stamps(column, sheet)
    texts = [text.strip() for text in column]
    if all(len(text) == 10 for text in texts):
        days = [_parse(date.fromisoformat, text, row, sheet).toordinal() for row, text in enumerate(texts)]
        return Stamps((np.array(days, dtype=np.int64) - date(1970, 1, 1).toordinal()) * DAY, None)
    return _stamps_of([_parse(datetime.fromisoformat, text, row, sheet) for row, text in enumerate(texts)], sheet)


def _parse(parse: Callable[[str], Any], text: str, row: int, sheet: Sheet) -> Any:
    try:
        parsed = parse(text)
    except ValueError:
        what = f'date was "{text}"' if text else "date is missing"
        forms = "write dates as 2024-01-31 or 2024-01-31T09:30-05:00"
        raise DataError(what, where=sheet.where(row), mend=forms) from None
    if not EARLIEST <= parsed.year <= LATEST:
        raise DataError(f'the year of "{text}" cannot be meant', where=sheet.where(row))
    return parsed


def _stamps_of(moments: Sequence[datetime], sheet: Sheet) -> Stamps:
    zoned = [m.tzinfo is not None for m in moments]
    if any(zoned) != all(zoned):
        row = zoned.index(not zoned[0])
        raise DataError("some dates have a time zone and some have none", where=sheet.where(row))
    # By subtraction of naive times: a conversion to UTC would make a year of minutes a third slower.
    wall = np.array([_nanoseconds(m.replace(tzinfo=None) - datetime(1970, 1, 1)) for m in moments], dtype=np.int64)
    if not zoned[0]:
        return Stamps(wall, None)
    return Stamps(wall, wall - np.array([_nanoseconds(m.utcoffset()) for m in moments], dtype=np.int64))


def _nanoseconds(span: Any) -> int:
    return (span.days * 86_400_000_000 + span.seconds * 1_000_000 + span.microseconds) * 1_000  # type: ignore[no-any-return]


def _arrow_stamps(column: Any, sheet: Sheet) -> Stamps:
    import pyarrow
    import pyarrow.compute

    kind = column.type
    if column.null_count:
        row = column.is_null().index(True).as_py()
        raise DataError(f"row {row + 1} has no date", where=sheet.shown)
    if pyarrow.types.is_date(kind):
        days = _int64(column.cast(pyarrow.date32()).cast(pyarrow.int32()))
        _check_years(days, sheet)
        return Stamps(days * DAY, None)
    if pyarrow.types.is_timestamp(kind):
        seconds = column.cast(pyarrow.timestamp("s", kind.tz), safe=False).cast(pyarrow.int64())
        _check_years(_int64(seconds) // 86_400, sheet)
        utc = _int64(column.cast(pyarrow.timestamp("ns", kind.tz)).cast(pyarrow.int64()))
        if kind.tz is None:
            return Stamps(utc, None)
        wall = pyarrow.compute.local_timestamp(column.cast(pyarrow.timestamp("ns", kind.tz)))
        return Stamps(_int64(wall.cast(pyarrow.int64())), utc)
    if pyarrow.types.is_string(kind) or pyarrow.types.is_large_string(kind):
        return _stamps(Sheet(sheet.shown, {"date": column.to_pylist()}, None))
    raise DataError(f"column date holds {kind}, not dates", where=sheet.shown)


def _int64(column: Any) -> Instants:
    return np.asarray(np.from_dlpack(column), dtype=np.int64)


def _check_years(days: Instants, sheet: Sheet) -> None:
    strange = (days < day_number(date(EARLIEST, 1, 1))) | (days > day_number(date(LATEST, 12, 31)))
    if strange.any():
        row = int(np.argmax(strange))
        raise DataError(f"row {row + 1}: the year of day {days[row]} since 1970 cannot be meant", where=sheet.shown)


def _place(stamps: Stamps, sheet: Sheet) -> tuple[str, Instants, Instants]:
    """Frequency, New York dates (days since the epoch) and UTC starts of the bars with these labels."""
    days = stamps.wall // DAY
    if not (stamps.wall % DAY).any():  # midnights as written, whatever the zone: plain dates
        return _daily(days)
    utc = stamps.utc if stamps.utc is not None else stamps.wall - offsets(days)
    local = utc + offsets(utc // DAY)
    days = local // DAY
    one_label = (local % DAY == local[0] % DAY).all()  # e.g. New York midnight written in UTC
    if one_label or len(np.unique(days)) == len(days):
        return _daily(days)
    steps = np.diff(utc)[np.diff(days) == 0]
    return _frequency(int(np.gcd.reduce(steps)), sheet), days, utc


def _daily(days: Instants) -> tuple[str, Instants, Instants]:
    return DAILY, days, wall_to_utc(days, OPEN)


def _frequency(step: int, sheet: Sheet) -> str:
    if step and step % MINUTE == 0:
        return f"{step // MINUTE}min"
    if step and step % SECOND == 0:
        return f"{step // SECOND}s"
    raise DataError(f"bars stand {step} ns apart; spacings are whole seconds", where=sheet.shown)
