"""A file of named columns, CSV or Parquet, with the place of each row in it."""

from __future__ import annotations

import csv
import gzip
import io
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simulator.errors import DataError, UsageError
from simulator.files import read_bytes

DELIMITERS = ",;\t|"
TITLES = 12
"""Lines within which the header is looked for."""

INDEX = "__index_level_0__"
"""Name of a pandas index without a name in Parquet."""


@dataclass(frozen=True, eq=False)
class ColumnFile:
    """Columns of one file, rows in its order.

    Attributes
    ----------
    source : the file as it was named
    columns : name → (R,) texts of a CSV file, or float64, datetime64 or texts of a Parquet file
    lines : (R,) line in a CSV file, row counted from 1 in a Parquet file; `word` says which
    delimiter : of a CSV file; a comma for Parquet
    instants : name → (R,) datetime64 in UTC of a Parquet column that has a time zone
    """

    source: str
    columns: Mapping[str, list[str] | NDArray[Any]]
    lines: NDArray[np.int64]
    word: str
    delimiter: str = ","
    instants: Mapping[str, NDArray[Any]] = field(default_factory=dict)

    def where(self, row: int) -> str:
        return f"{self.source}:{self.lines[row]}"

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self.columns)

    def texts(self, name: str) -> list[str]:
        """Return a column as texts, empty where it has nothing."""
        return ["" if v != v or v is None else str(v).strip() for v in self.columns[name]]


def read_table(path: Path) -> ColumnFile:
    """Return a CSV (any of , ; tab |, gzipped or not) or Parquet file.

    Raises UsageError where there is no such file, DataError with file and line for what is not a table: no header,
    a column named twice, a row with more or fewer fields than the header.
    """
    content = read_content(path)
    return _parquet(path) if content[:4] == b"PAR1" else _csv(str(path), decode(str(path), content))


def read_content(path: Path) -> bytes:
    """Return the bytes of a file. Raises UsageError where there is none."""
    mend = "name a CSV or Parquet file"
    try:
        return read_bytes(path)
    except FileNotFoundError:
        raise UsageError(f"no file {path}", mend=mend) from None
    except OSError as problem:
        found = "is a folder" if path.is_dir() else str(problem.strerror)
        raise UsageError(f"{path} {found}", mend=mend) from None


def decode(source: str, content: bytes) -> str:
    """Return the text of a CSV file, gzipped or not. Raises DataError for what is no text."""
    if content[:2] == b"\x1f\x8b":
        try:
            content = gzip.decompress(content)
        except (OSError, EOFError) as problem:
            raise DataError(f"is a broken gzip file ({problem})", where=source, mend="pack it again") from None
    if content[:2] == b"PK":
        raise DataError("is a workbook or a zip file", where=source, mend="save the sheet as CSV")
    if content[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return content.decode("utf-16", errors="replace")
    if b"\0" in content:
        raise DataError("is neither CSV nor Parquet", where=source, mend="save the table as CSV")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        # Only names of columns can hold such letters, and any reading of them will do.
        return content.decode("latin-1")


def _csv(source: str, text: str) -> ColumnFile:
    top = [(at, line) for at, line in enumerate(text[:20_000].splitlines()) if line.strip()][:TITLES]
    if not top:
        raise DataError("is empty", where=source, mend="write a header and one row per session")
    # A title and Excel's line `sep=;` stand above the header, which is the first line of several fields.
    several = (one for one in top if any(map(one[1].count, DELIMITERS)) and not one[1].lower().startswith("sep="))
    above, first = next(several, top[0])
    delimiter = max(DELIMITERS, key=first.count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, skipinitialspace=True)
    rows: list[list[str]] = []
    lines: list[int] = []
    try:
        for row in reader:
            if reader.line_num > above and any(field.strip() for field in row):
                rows.append(row)
                lines.append(reader.line_num)
    except csv.Error as problem:
        raise DataError(f"cannot be read ({problem})", where=f"{source}:{reader.line_num}") from None
    header = _header(source, lines[0], rows[0], rows[1][0].strip() if len(rows) > 1 else "0")
    for row, line in zip(rows, lines, strict=True):
        if len(row) > len(header) and not any(field.strip() for field in row[len(header) :]):
            del row[len(header) :]
        if len(row) != len(header):
            raise DataError(
                f"has {len(row)} fields, the header {len(header)}",
                where=f"{source}:{line}",
                mend="write one field per column, empty where there is none",
            )
    values = zip(*rows[1:], strict=True) if len(rows) > 1 else ((),) * len(header)
    columns = {name: list(column) for name, column in zip(header, values, strict=True)}
    return ColumnFile(source, columns, np.array(lines[1:], dtype=np.int64), "line", delimiter)


def _header(source: str, line: int, names: list[str], below: str) -> list[str]:
    """Return the names of the columns; numbers are names behind a first cell that is none: ``,0``, ``date,10,50``.

    So are ``0,1,2``, as a data frame counts its columns, where the first cell below is no such number.
    """
    header = [name.strip() for name in names]
    twice = next((name for i, name in enumerate(header) if name in header[:i]), None)
    if twice is not None:
        raise DataError(f'two columns are called "{twice}"', where=f"{source}:{line}", mend="rename one of them")
    numeric = sum(_is_number(name) for name in header)
    dated = not _is_number(below) or re.fullmatch(r"\d{8,}", below)
    counted = dated and header == [str(i) for i in range(len(header))]
    if not counted and numeric >= max(1, len(header) - 1) and (numeric == len(header) or re.match(r"\d", header[0])):
        raise DataError(
            "has no header, the first row holds numbers",
            where=f"{source}:{line}",
            mend="write the names first: date,mine",
        )
    return header


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _parquet(path: Path) -> ColumnFile:
    import pyarrow
    from pyarrow import compute, parquet, types

    try:
        read = parquet.read_table(path)
    except (pyarrow.ArrowException, OSError) as problem:
        first = str(problem).splitlines()[0]
        raise DataError(f"cannot be read as Parquet ({first})", where=str(path), mend="write it again") from None
    columns: dict[str, list[str] | NDArray[Any]] = {}
    instants: dict[str, NDArray[Any]] = {}
    for name, column in zip(read.column_names, read.columns, strict=True):
        kind, name = column.type, "" if name == INDEX else name
        if types.is_timestamp(kind) and kind.tz:
            instants[name] = column.cast(pyarrow.timestamp("s", kind.tz), safe=False).cast(pyarrow.int64()).to_numpy()
            column = compute.local_timestamp(column)
        if types.is_timestamp(kind) or types.is_date(kind):
            values: list[str] | NDArray[Any] = column.cast(pyarrow.timestamp("s"), safe=False).to_numpy()
        elif types.is_floating(kind) or types.is_integer(kind) or types.is_decimal(kind):
            values = column.cast(pyarrow.float64(), safe=False).to_numpy()
        else:
            values = ["" if value is None else str(value) for value in column.to_pylist()]
        columns[name] = values
    return ColumnFile(str(path), columns, np.arange(1, read.num_rows + 1), "row", instants=instants)
