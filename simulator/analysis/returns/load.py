"""Anyone's returns: a CSV or Parquet file with a column `date` and one column of returns per strategy.

What could be meant in two ways is refused with the place and the mend (duplicate dates, holes, prices, percentages);
what can only be meant in one way is read (any delimiter, decimal commas, newest first, a column that starts late) and
written in `Returns.notes`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simulator.analysis.returns.column_file import ColumnFile, read_table
from simulator.errors import DataError, UsageError, did_you_mean
from simulator.stats.series import Floats

Dates = NDArray[np.datetime64]

DATE_NAMES = ("date", "datetime", "timestamp", "time", "session", "month", "")
"""Names of a column of dates, in any case; pandas leaves an index without a name."""

FEWEST_TO_JUDGE = 20
"""Observations below which a scale is not held against a column."""

IMPOSSIBLE, UNUSUAL = 10.0, 1.5
"""Annual volatility (10 is 1,000 %) that only percentages read as fractions have, and that should be looked at."""


@dataclass(frozen=True, eq=False)
class Returns:
    """Simple returns per session, oldest first.

    Attributes
    ----------
    source : the file as it was named
    dates : (T,) datetime64[s], strictly increasing; None where the file has no column of dates
    columns : name → (T,) fractions, NaN where the file has nothing before a strategy starts and after it ends
    lines : (T,) where each row stands in the file, for messages
    notes : what was done to the file beyond reading it, in sentences
    """

    source: str
    dates: Dates | None
    columns: Mapping[str, Floats]
    lines: NDArray[np.int64]
    notes: tuple[str, ...] = ()

    @property
    def sessions(self) -> int:
        return len(self.lines)

    def column(self, name: str, option: str) -> Floats:
        """(T,) of one column. Raises UsageError that lists what there is."""
        if name not in self.columns:
            known = ", ".join(list(self.columns)[:12])
            raise UsageError(
                f'{option}: {self.source} has no column "{name}"{did_you_mean(name, self.columns)}; it has {known}'
            )
        return self.columns[name]

    def without(self, *names: str | None) -> Returns:
        """Return the same without some columns."""
        return replace(self, columns={n: v for n, v in self.columns.items() if n not in names})

    def rows(self, chosen: NDArray[Any] | slice) -> Returns:
        """Return the rows chosen by a mask or slice."""
        dates = None if self.dates is None else self.dates[chosen]
        return replace(
            self, dates=dates, columns={n: v[chosen] for n, v in self.columns.items()}, lines=self.lines[chosen]
        )

    def day(self, row: int) -> str:
        """The date of a row, ``2024-01-02``, or ``row 17`` where there are no dates."""
        return f"row {row + 1}" if self.dates is None else day_of(self.dates[row])


def day_of(instant: Any) -> str:
    """``2024-01-02``; with the time of day where there is one."""
    return str(instant).removesuffix("T00:00:00").replace("T", " ")


def read_returns(path: Path, *, percent: bool = False) -> Returns:
    """Return the file as returns, checked but for their scale (`check_scale`).

    `percent`: values are percentages, 1.5 for 1.5 %. Raises DataError with file and line of what cannot be read, of
    a duplicate date and of a hole inside a column, UsageError where there is no such file.
    """
    table = read_table(path)
    dated = [n for n in table.names if n.lower() in DATE_NAMES]
    at = min(dated, key=lambda n: DATE_NAMES.index(n.lower()), default=None)
    # A spreadsheet's or a data frame's row numbers, which nobody asked for.
    names = [n for n in table.names if n != at and not (n == "" and _counts(table.texts(n)))]
    if not names:
        raise DataError(
            f"no column of returns; the columns are {', '.join(table.names)}",
            where=table.source,
            mend="add one column per strategy beside `date`",
        )
    columns = {n: read_numbers(table, n) * (0.01 if percent else 1.0) for n in names}
    read = Returns(table.source, None, columns, table.lines, table.notes)
    if at is None:
        note = "There is no column of dates: rows are taken to be consecutive sessions, oldest first."
        read = replace(read, notes=(*read.notes, note))
    else:
        read = _dated(read, table, at)
    filled = np.flatnonzero(np.any([np.isfinite(v) for v in read.columns.values()], axis=0))
    if not filled.size:
        raise DataError("no row holds a return", where=table.source, mend="add rows below the header")
    read = read.rows(slice(int(filled[0]), int(filled[-1]) + 1))
    for name, values in read.columns.items():
        _refuse_holes(read, name, values)
    return read


def _counts(texts: Sequence[str]) -> bool:
    return list(texts) in ([str(i) for i in range(len(texts))], [str(i) for i in range(1, len(texts) + 1)])


def _dated(read: Returns, table: ColumnFile, at: str) -> Returns:
    dates = _parse_dates(table, at)
    order = np.argsort(dates, kind="stable")
    notes = list(read.notes)
    if (order != np.arange(len(order))).any():
        how = "newest first" if (np.diff(dates) < np.timedelta64(0)).all() else "not in order of date"
        notes.append(f"Rows were {how}; they were sorted.")
    dates, read = dates[order], read.rows(order)
    twice = np.flatnonzero(dates[1:] == dates[:-1])
    if twice.size:
        one, other = sorted((int(read.lines[twice[0]]), int(read.lines[twice[0] + 1])))
        raise DataError(
            f"{day_of(dates[twice[0]])} stands here and in {table.word} {one}",
            where=f"{table.source}:{other}",
            mend="keep one row per date",
        )
    return replace(read, dates=dates, notes=tuple(notes))


def _refuse_holes(read: Returns, name: str, values: Floats) -> None:
    """Nothing before the first return and after the last is a strategy that starts late or ended; a hole is neither."""
    there = np.flatnonzero(np.isfinite(values))
    if not there.size:
        return
    inside = np.isnan(values[there[0] : there[-1] + 1])
    if inside.any():
        row = int(there[0]) + int(np.argmax(inside))
        many = int(inside.sum())
        more = f" and {many - 1} more inside its history" if many > 1 else ""
        raise DataError(
            f'column "{name}" has no return on {read.day(row)}{more}',
            where=f"{read.source}:{read.lines[row]}",
            mend="write 0 where nothing was held, or leave the row out",
        )


MISSING = frozenset({"", "na", "n/a", "nan", "null", "none", "-", "#n/a", "."})


def read_numbers(table: ColumnFile, name: str, *, whole: bool = False) -> Floats:
    """(R,) of one column; NaN where it has nothing, which is an error where it must be `whole`."""
    numbers = _parse_numbers(table, name)
    if whole and np.isnan(numbers).any():
        row = int(np.argmax(np.isnan(numbers)))
        where = f"{table.source}:{table.lines[row]}"
        raise DataError(f'column "{name}" is empty', where=where, mend="write a number or leave the row out")
    return numbers


def _parse_numbers(table: ColumnFile, name: str) -> Floats:
    values = table.columns[name]
    if isinstance(values, np.ndarray):
        return _refuse_infinite(table, name, values)
    try:
        return _refuse_infinite(table, name, np.array(values, dtype=np.float64))
    except ValueError:
        pass
    texts = [v.strip() for v in values]
    shown = [t for t in texts if t.lower() not in MISSING]
    percent = bool(shown) and all(t.endswith("%") for t in shown)
    parsed = [_parse_number(table, name, i, t, percent) for i, t in enumerate(texts)]
    return _refuse_infinite(table, name, np.array(parsed, dtype=np.float64))


def _parse_number(table: ColumnFile, name: str, row: int, text: str, percent: bool) -> float:
    if text.lower() in MISSING:
        return math.nan
    plain = text.replace("−", "-").removesuffix("%").strip() if percent else text.replace("−", "-")
    if table.delimiter != "," and "," in plain and "." not in plain:
        plain = plain.replace(",", ".")
    try:
        return float(plain) / (100.0 if percent else 1.0)
    except ValueError:
        mend = "write a return such as 0.0012, or leave the column out"
        if text.endswith("%"):
            mend = "write fractions (0.012) or percentages (1.2%) throughout"
        elif _is_date(text):
            mend = "call the column of dates `date`"
        raise DataError(
            f'"{text[:40]}" in column "{name}" is not a number', where=f"{table.source}:{table.lines[row]}", mend=mend
        ) from None


def _refuse_infinite(table: ColumnFile, name: str, values: Floats) -> Floats:
    if np.isinf(values).any():
        row = int(np.argmax(np.isinf(values)))
        raise DataError(
            f'column "{name}" holds {values[row]}',
            where=f"{table.source}:{table.lines[row]}",
            mend="a return is finite",
        )
    return values


def _parse_dates(table: ColumnFile, name: str) -> Dates:
    values = table.columns[name]
    if isinstance(values, np.ndarray) and values.dtype.kind == "M":
        dates = values.astype("datetime64[s]")
    else:
        texts = [str(int(v)) if isinstance(v, float) and v == v else str(v).strip() for v in values]
        try:
            # The common case in one step; whatever it does not like is looked at one by one.
            dates = np.array(
                texts if all(len(t) == 10 for t in texts) else [_iso(t) for t in texts], dtype="datetime64[s]"
            )
        except ValueError:
            dates = np.array([_parse_date(table, name, i, t) for i, t in enumerate(texts)], dtype="datetime64[s]")
    if np.isnat(dates).any():
        row = int(np.argmax(np.isnat(dates)))
        raise DataError(
            f'column "{name or "date"}" is empty',
            where=f"{table.source}:{table.lines[row]}",
            mend="write a date such as 2024-01-02",
        )
    return dates


def _iso(text: str) -> str:
    """A date or an instant as numpy reads it: 20240102, 2024/01/02, 2024-01-02 09:30:00+00:00."""
    from datetime import datetime

    if len(text) == 8 and text.isdigit():
        return f"{text[:4]}-{text[4:6]}-{text[6:]}"
    if len(text) in (7, 10) and text[4:5] == "/":
        return text.replace("/", "-")
    if len(text) == 7 and text[4] == "-":
        return text
    if not text or text.lower() in MISSING:
        return "NaT"
    instant = datetime.fromisoformat(text)
    return instant.replace(tzinfo=None).isoformat()


def _is_date(text: str) -> bool:
    try:
        return _iso(text) != "NaT"
    except ValueError:
        return False


def _parse_date(table: ColumnFile, name: str, row: int, text: str) -> str:
    try:
        iso = _iso(text)
        np.datetime64(iso)
    except ValueError:
        raise DataError(
            f'"{text[:40]}" in column "{name or "date"}" is not a date',
            where=f"{table.source}:{table.lines[row]}",
            mend="write 2024-01-02: day and month cannot be told apart in other forms",
        ) from None
    return iso


def check_scale(read: Returns, names: Sequence[str], periods: float) -> tuple[str, ...]:
    """Return warnings on columns that may not be fractions per session. Raises DataError where they cannot be.

    Prices and equity curves: all above 0, large against their own changes. Percentages: the middle of the moves amounts
    to an annual volatility above 1,000 % (refused) or 150 % (warned of).
    """
    warnings = []
    for name in names:
        values = read.columns[name]
        values = values[np.isfinite(values)]
        moves = np.abs(values[values != 0.0])
        if values.size < 5 or not moves.size:
            continue
        _refuse_prices(read, name, values)
        volatility = float(np.median(moves)) / 0.6745 * math.sqrt(periods)
        if values.size >= FEWEST_TO_JUDGE and volatility > IMPOSSIBLE:
            middle = float(np.median(moves))
            raise DataError(
                f'column "{name}" looks like percentages: half of its moves are above {middle:.3g}, or {middle:.0%}',
                where=read.source,
                mend="say --percent",
            )
        if values.size >= FEWEST_TO_JUDGE and volatility > UNUSUAL:
            warnings.append(
                f'Column "{name}" moves like {volatility:.0%} a year: if 0.5 in it means 0.5 %, say --percent.'
            )
    return tuple(warnings)


def _refuse_prices(read: Returns, name: str, values: Floats) -> None:
    if np.array_equal(values, np.arange(values.size) + values[0]):
        raise DataError(f'column "{name}" counts the rows', where=read.source, mend="leave it out")
    if (values <= 0.0).any() or np.median(values) < 0.3:
        return
    changes = np.abs(np.diff(values)) / values[:-1]
    if np.median(changes) < 0.25 * np.median(values):
        raise DataError(
            f'column "{name}" holds prices or the value of an account (around {np.median(values):.4g}), not returns',
            where=read.source,
            mend="write value / value before - 1 of each row",
        )


def usual_periods(dates: Dates | None) -> int | None:
    """Sessions a year as the dates lie apart: 252, 52, 12, 4 or 1; None for intraday rows and where nothing tells."""
    if dates is None or len(dates) < 3:
        return None
    gap = float(np.median(np.diff(dates).astype(np.float64))) / 86_400
    for longest, periods in ((0.9, None), (4.5, 252), (16, 52), (45, 12), (120, 4), (400, 1)):
        if gap <= longest:
            return periods
    return None
