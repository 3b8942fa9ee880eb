"""Anyone's returns: a CSV or Parquet file with a column `date` and one column of returns per strategy.

What could be meant in two ways is refused with the place and the mend (duplicate dates, holes, 03/04/2024, 1,234);
what can only be meant in one way is read (any delimiter, decimal commas, newest first, a column that starts late) and
written in `Returns.notes`. What the numbers are (fractions, prices, money) is looked at in scale.py.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simulator.analysis.returns.column_file import ColumnFile, read_table
from simulator.errors import DataError, UsageError, did_you_mean
from simulator.market.sources import settle
from simulator.stats.series import Floats

Dates = NDArray[np.datetime64]

DATE_NAMES = (
    *("date", "datetime", "timestamp", "time", "session", "day", "week", "month", "quarter", "year", "index"),
    *("tradedate", "pricedate", "closetime", "opentime", "unnamed:0", ""),
)
"""Names of a column of dates, in any case; pandas leaves an index without a name."""


@dataclass(frozen=True, eq=False)
class Returns:
    """Simple returns per session, oldest first.

    Attributes
    ----------
    source : the file as it was named
    dates : (T,) datetime64[s] as written, oldest first; None where the file has no column of dates
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
    return read_rows(read_table(path), percent=percent)


def read_rows(table: ColumnFile, *, percent: bool = False) -> Returns:
    """Return columns that were read already as `read_returns` does."""
    # A spreadsheet's or a data frame's row numbers, which nobody asked for.
    numbered = [n for n in table.names if n.lower() in ("", "index", "unnamed: 0") and _counts(table.texts(n))]
    rest = [n for n in table.names if n not in numbered]
    counted = [n for n in rest[:1] if n.isdecimal() and _is_date("".join(table.texts(n)[:1]))]
    at = counted[0] if counted else find_dates(rest)
    clock = next(
        (n for n in table.names if n.lower() == "time" and n != at and at and ":" in "".join(table.texts(n)[:1])), None
    )
    if at is not None and clock is not None:
        moments = [" ".join(parts) for parts in zip(table.texts(at), table.texts(clock), strict=True)]
        table = replace(table, columns={**table.columns, at: moments})
    names = [n for n in table.names if n not in (at, clock, *numbered)]
    if not names:
        raise DataError(
            f"no column of returns; the columns are {', '.join(table.names)}",
            where=table.source,
            mend="add one column per strategy beside `date`",
        )
    columns = {
        n: values * (0.01 if percent and not any("%" in text for text in table.texts(n)) else 1.0)
        for n, values in read_numbers(table, names).items()
    }
    read = Returns(table.source, None, columns, table.lines)
    if at is None:
        note = "There is no column of dates: rows are taken to be consecutive sessions, oldest first."
        read = replace(read, notes=(*read.notes, note))
    else:
        read = _sort_by_date(read, table, at)
    filled = np.flatnonzero(np.any([np.isfinite(v) for v in read.columns.values()], axis=0))
    if not filled.size:
        raise DataError("no row holds a return", where=table.source, mend="add rows below the header")
    read = read.rows(slice(int(filled[0]), int(filled[-1]) + 1))
    for name, values in read.columns.items():
        _refuse_holes(read, name, values)
    return read


def add_benchmark(read: Returns, path: Path, other: Returns) -> tuple[Returns, str]:
    """Return `read` with the one column of `other`, read from `path`, on its dates, and the name it has there.

    Sessions that `other` lacks are NaN. Raises UsageError where it has several columns, DataError without dates in
    both, or a date in common.
    """
    if len(other.columns) != 1:
        columns = ", ".join(list(other.columns)[:12])
        raise UsageError(f"--benchmark {path} has {len(other.columns)} columns", mend=f"keep one of {columns}")
    ((column, values),) = other.columns.items()
    if read.dates is None or other.dates is None:
        where = read.source if read.dates is None else str(path)
        raise DataError("has no column of dates to lay the benchmark by", where=where, mend="add a column date")
    name = column if column not in read.columns else path.stem if path.stem not in read.columns else f"{path}"
    known = dict(zip(other.dates.astype("datetime64[D]").tolist(), values.tolist(), strict=True))
    laid = np.array([known.get(day, np.nan) for day in read.dates.astype("datetime64[D]").tolist()])
    if not np.isfinite(laid).any():
        raise DataError(f"has no date in common with {read.source}", where=str(path), mend="check the years of both")
    have = np.flatnonzero(np.isfinite(laid))
    if holes := [row for row in range(have[0], have[-1]) if not np.isfinite(laid[row])]:
        found = f"lacks {day_of(read.dates[holes[0]])}, a session of {read.source} ({len(holes)} such)"
        raise DataError(found, where=str(path), mend="add that date, or leave it out of the returns as well")
    note = f"The benchmark is {name} of {path}."
    return replace(read, columns={**read.columns, name: laid}, notes=(*read.notes, note)), name


def find_dates(names: Sequence[str], known: Sequence[str] = DATE_NAMES) -> str | None:
    """Return the one of `names` that comes first among `known` names of dates, None where none does."""
    plain = {name: re.sub(r"[\s_/.-]+", "", name.lower()) for name in names}
    return min((n for n in names if plain[n] in known), key=lambda n: known.index(plain[n]), default=None)


def _counts(texts: Sequence[str]) -> bool:
    return list(texts) in ([str(i) for i in range(len(texts))], [str(i) for i in range(1, len(texts) + 1)])


def _sort_by_date(read: Returns, table: ColumnFile, at: str) -> Returns:
    dates, instants = parse_dates(table, at)
    order = np.argsort(instants, kind="stable")
    notes = list(read.notes)
    if (order != np.arange(len(order))).any():
        how = "newest first" if (np.diff(instants) < np.timedelta64(0)).all() else "not in order of date"
        notes.append(f"Rows were {how}; they were sorted.")
    dates, instants, read = dates[order], instants[order], read.rows(order)
    twice = np.flatnonzero(instants[1:] == instants[:-1])
    if twice.size:
        one, other = sorted((int(read.lines[twice[0]]), int(read.lines[twice[0] + 1])))
        raise DataError(
            f"{day_of(dates[twice[0]])} stands here and in {table.word} {one}",
            where=f"{table.source}:{other}",
            mend="keep one row per date"
            if dates[twice[0]] == dates[twice[0]].astype("datetime64[D]")
            else "keep one row per moment; where clocks went back write the offset, 01:00-04:00",
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


def read_numbers(table: ColumnFile, names: Sequence[str], *, whole: bool = False) -> dict[str, Floats]:
    """Return columns as (R,) numbers; NaN where one has nothing, which is an error where they must be `whole`.

    Numbers as people write them: percent signs throughout, decimal commas where the file shows them, thousands set
    apart, currency signs, (1.5) for −1.5. What the file leaves open is refused with its row.
    """
    read: dict[str, Floats] = {}
    for name in names:
        values = table.columns[name]
        try:
            read[name] = values if isinstance(values, np.ndarray) else np.array(values, dtype=np.float64)
        except ValueError:
            continue
    rest = {name: [text.strip() for text in table.columns[name]] for name in names if name not in read}
    read |= _read_texts(table, rest) if rest else {}
    for name in names:
        _refuse_infinite(table, name, read[name])
        if whole and np.isnan(read[name]).any():
            where = table.where(int(np.argmax(np.isnan(read[name]))))
            raise DataError(f'column "{name}" is empty', where=where, mend="write a number or leave the row out")
    return {name: read[name] for name in names}


def _read_texts(table: ColumnFile, columns: Mapping[str, list[str]]) -> dict[str, Floats]:
    scales, bare = {}, {}
    for name, texts in columns.items():
        shown = [t for t in texts if t.lower() not in MISSING]
        scales[name] = 0.01 if shown and all(t.strip("()").endswith("%") for t in shown) else 1.0
        bare[name] = [_undress(text, scales[name] < 1) for text in texts]
        for row, text in enumerate(bare[name]):
            if text and not re.search(r"\d", text) and text.lower().strip("+-") not in ("inf", "infinity"):
                raise _no_number(table, name, row, texts[row])
    try:
        read = settle.read_numbers(bare, table.where, point=table.delimiter == ",")
    except DataError as problem:
        word = re.fullmatch(r'(.*) was "(.*)", not a number', problem.found)
        if word and word[2] in bare.get(word[1], ()):
            row = bare[word[1]].index(word[2])
            raise _no_number(table, word[1], row, columns[word[1]][row]) from None
        raise DataError(f"column {problem.found}", where=problem.where, mend=problem.mend) from None
    return {name: values * scales[name] for name, values in read.items()}


def _undress(text: str, percent: bool) -> str:
    """Return the text of a number with a plain minus, without percent sign and accountants' parentheses."""
    text = "" if text.lower() in MISSING else text.replace("\u2212", "-")
    text = f"-{text[1:-1].strip()}" if text.startswith("(") and text.endswith(")") else text
    return text.removesuffix("%").strip() if percent else text


def _no_number(table: ColumnFile, name: str, row: int, text: str) -> DataError:
    mend = "write a return such as 0.0012, or leave the column out"
    if text.endswith("%"):
        mend = "write fractions (0.012) or percentages (1.2%) throughout"
    elif _is_date(text):
        mend = "call the column of dates `date`"
    return DataError(f'"{text[:40]}" in column "{name}" is not a number', where=table.where(row), mend=mend)


def _refuse_infinite(table: ColumnFile, name: str, values: Floats) -> Floats:
    if np.isinf(values).any():
        row = int(np.argmax(np.isinf(values)))
        raise DataError(
            f'column "{name}" holds {values[row]}',
            where=f"{table.source}:{table.lines[row]}",
            mend="a return is finite",
        )
    return values


def parse_dates(table: ColumnFile, name: str) -> tuple[Dates, Dates]:
    """Return (R,) dates as written, and the instants in UTC where they have a zone, else the same again."""
    values = table.columns[name]
    empty = DataError(f'column "{name or "date"}" is empty', mend="write a date such as 2024-01-02")
    if isinstance(values, np.ndarray) and values.dtype.kind == "M":
        dates = values.astype("datetime64[s]")
        if np.isnat(dates).any():
            empty.where = table.where(int(np.argmax(np.isnat(dates))))
            raise empty
        instants = table.instants.get(name)
        return dates, dates if instants is None else instants.astype("datetime64[s]")
    texts = [str(int(v)) if isinstance(v, float) and v == v else str(v).strip() for v in values]
    missing = next((row for row, text in enumerate(texts) if text.lower() in MISSING), None)
    if missing is not None:
        empty.where = table.where(missing)
        raise empty
    form = next((form for form in FORMS if all(map(form.fullmatch, texts))), None)
    if form is not None:
        try:
            dates = np.array([FORMS[form](text) for text in texts], dtype="datetime64[s]")
            return dates, dates
        except ValueError:
            pass  # 2024-02-30: named below with its row
    return _settle_dates(table, name, texts)


FORMS: Mapping[re.Pattern[str], Callable[[str], str]] = {
    re.compile(r"\d{4}-\d\d-\d\d"): str,
    re.compile(r"\d{4}[-/](0\d|1[0-2])"): lambda text: text.replace("/", "-"),
    re.compile(r"(19|20)\d\d"): str,
    re.compile(r"\d{4}-?[qQ][1-4]"): lambda text: f"{text[:4]}-{3 * int(text[-1]):02}",
}
"""Days, months, years and quarters as numpy reads them; everything else takes longer."""


def _settle_dates(table: ColumnFile, name: str, texts: Sequence[str]) -> tuple[Dates, Dates]:
    try:
        if all(map(settle.EPOCH.fullmatch, texts)):
            raise ValueError
        moments = [datetime.fromisoformat(text) for text in texts]
    except ValueError:
        try:
            moments = settle.settle_dates(texts, table.where)
        except DataError as problem:
            where = f'column "{name or "date"}" is not a date throughout'
            raise DataError(f"{where}: {problem.found}", where=problem.where, mend=problem.mend) from None
    zoned = [moment.tzinfo is not None for moment in moments]
    if any(zoned) != all(zoned):
        row = zoned.index(not zoned[0])
        raise DataError(
            "some dates have a time zone and some have none", where=table.where(row), mend="write it in all"
        )
    wall = [moment.replace(tzinfo=None) for moment in moments]
    dates = np.array(wall, dtype="datetime64[s]")
    if not zoned[0]:
        return dates, dates
    return dates, np.array([moment.astimezone(UTC).replace(tzinfo=None) for moment in moments], dtype="datetime64[s]")


def _is_date(text: str) -> bool:
    try:
        return bool(settle.settle_dates([text], str))
    except DataError:
        return False
