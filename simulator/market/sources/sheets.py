"""The columns of a foreign file of bars, as they stand there: CSV of any common dialect, zipped or not, or Parquet.

bytes ──► unpack, decode ──► find the header ──► rows of the symbol ──► Sheet: columns by role, line of each row
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from simulator.errors import DataError
from simulator.files import read_bytes, refuse_special
from simulator.market.sources.headers import (
    ROLES,
    Named,
    find_columns,
    has_prices,
    name_columns,
    pick_symbol,
    plain,
    same_symbol,
)
from simulator.market.table import PRICES

AGAIN = "delete it or fetch it again"
MARKS = ",;\t|"
HEADER_WITHIN = 12
"""Lines within which the header is looked for: some vendors write a title, Excel a line ``sep=;`` above it."""
MOST_BYTES = 1 << 28
ENCODINGS = ("cp1252", "gb18030", "cp932", "cp949", "big5", "cp1251")
"""Tried where a file is no UTF-8, and taken where its header makes sense then."""


@dataclass(frozen=True)
class Sheet:
    """A file's columns by role, each n long, and the line of each row (None for Parquet).

    `mark` separates the columns of a CSV; `notes` are sentences about what was left out.
    """

    shown: str
    columns: Mapping[str, Any]
    lines: list[int] | None
    mark: str = ","
    notes: tuple[str, ...] = ()

    def where(self, row: int) -> str:
        return f"{self.shown}:{self.lines[row]}" if self.lines else f"{self.shown}, row {row + 1}"


def read_sheet(path: Path, shown: str, symbol: str) -> Sheet:
    """Read the columns of one file; of several symbols in it those of `symbol`. Raises DataError with file and line."""
    if path.name.lower().endswith(".parquet"):
        return _read_parquet(path, shown, symbol)
    return _read_csv(_text(_unpack(path, shown), shown), shown, symbol)


# ---- text --------------------------------------------------------------------------------------------------------


def _unpack(path: Path, shown: str) -> bytes:
    try:
        data = read_bytes(path, MOST_BYTES)
    except OSError as error:
        raise DataError(f"cannot be read ({error.strerror or error})", where=shown) from None
    if data[:4] == b"PAR1":
        raise DataError("is a Parquet file", where=shown, mend="name it SYMBOL.parquet")
    if data[:2] in (b"\x1f\x8b", b"PK") or path.name.lower().endswith((".gz", ".zip")):
        data = _unzip(data, shown)
    if len(data) > MOST_BYTES:
        raise DataError(f"holds more than {MOST_BYTES >> 20:,} MiB", where=shown, mend="cut it into parts")
    return data


def _unzip(data: bytes, shown: str) -> bytes:
    import gzip
    import zipfile
    import zlib

    try:
        if data[:2] != b"PK":
            return gzip.GzipFile(fileobj=io.BytesIO(data)).read(MOST_BYTES + 1)
        with zipfile.ZipFile(io.BytesIO(data)) as packed:
            inside = [name for name in packed.namelist() if not name.endswith("/") and "__MACOSX" not in name]
            if any(name.startswith("xl/") for name in inside):
                raise DataError("is a spreadsheet", where=shown, mend="save its sheet as CSV")
            if len(inside) != 1:
                raise DataError(f"holds {len(inside)} files", where=shown, mend="unzip it and name each SYMBOL.csv")
            return packed.open(inside[0]).read(MOST_BYTES + 1)
    except (OSError, EOFError, zlib.error, zipfile.BadZipFile, RuntimeError, NotImplementedError) as error:
        raise DataError(f"cannot be read ({error})", where=shown) from None


def _text(data: bytes, shown: str) -> str:
    text = _decode(data, shown)
    if not text.strip():
        raise DataError("the file is empty", where=f"{shown}:1", mend=AGAIN)
    if "\n" not in text:
        text = text.replace("\r", "\n")
    before, nul, _ = text.partition("\0")
    if nul:
        raise DataError("is not text", where=f"{shown}:{before.count(chr(10)) + 1}", mend=AGAIN)
    return text


def _decode(data: bytes, shown: str) -> str:
    wide = {b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16"}.get(data[:2])
    if not wide and len(data) > 3 and (data[1::2][:40].count(0) > 30 or data[::2][:40].count(0) > 30):
        wide = "utf-16-le" if data[1] == 0 else "utf-16-be"
    try:
        return data.decode(wide or "utf-8-sig")
    except UnicodeDecodeError as error:
        for encoding in () if wide else ENCODINGS:
            try:
                text = data.decode(encoding)
            except UnicodeDecodeError:
                continue
            if any(has_prices(header) for _, _, header in _headers(text)):
                return text
        line = error.object[: error.start].count(b"\n") + 1
        raise DataError("is not text", where=f"{shown}:{line}", mend=AGAIN) from None


def _headers(text: str) -> Iterator[tuple[int, str, Named]]:
    """(lines above it, separator, names) of each of the first lines, read as a header."""
    for at, line in enumerate(text[:20_000].split("\n")[:HEADER_WITHIN]):
        mark = max(MARKS, key=line.count)
        if cells := _cells(line, mark):
            yield at, mark, name_columns(cells)


def _cells(line: str, mark: str) -> list[str]:
    """Return the cells of one line of CSV, none where it is no CSV."""
    try:
        return next(csv.reader([line], delimiter=mark), [])
    except csv.Error:
        return []


def _read_csv(text: str, shown: str, symbol: str) -> Sheet:
    candidates = list(_headers(text))
    above, mark, header = next((c for c in candidates if has_prices(c[2])), (candidates or [(0, ",", [])])[0])
    text, notes = _without_footer(text, mark)
    stream = io.StringIO(text)
    title = [stream.readline() for _ in range(above)][-1:]
    reader = csv.reader(stream, delimiter=mark)
    rows: list[list[str]] = []
    lines: list[int] = []
    try:
        next(reader, [])
        width = len(header)
        for row in filter(any, reader):
            if len(row) != width:
                row = _fit(row, width, f"{shown}:{reader.line_num + above}")
            rows.append(row)
            lines.append(reader.line_num + above)
    except csv.Error as error:
        raise DataError(f"is not CSV ({error})", where=f"{shown}:{reader.line_num + above}") from None
    header, skip = _second_level(header, _cells("".join(title), mark), rows)
    del rows[:skip], lines[:skip]
    roles = find_columns(header, symbol, shown, f"{shown}:{above + 1}")
    if not rows:
        raise DataError("has a header and no bars", where=f"{shown}:{above + 1}", mend=AGAIN)
    by_place = list(zip(*rows, strict=True))
    sheet = Sheet(shown, {role: by_place[at] for role, at in roles.items()}, lines, mark, notes)
    return _rows_of_symbol(sheet, symbol)


def _without_footer(text: str, mark: str) -> tuple[str, tuple[str, ...]]:
    """Return `text` without last lines of words alone (``Downloaded from …``), and a note about them."""
    kept = text.rstrip()
    while True:
        above, _, last = kept.rpartition("\n")
        words = [cell for cell in _cells(last[:1000], mark) if cell.strip()]
        if not above or "".join(words[1:]) or not re.match(r"\W*[^\W\d]{3,}:?\s", " ".join(words)):
            break
        kept = above.rstrip()
    if len(kept) == len(text.rstrip()):
        return text, ()
    return kept, ("lines of words at its end are left out",)


def _fit(row: list[str], width: int, where: str) -> list[str]:
    """Return `row` without empty cells beyond the header's width. Raises DataError where that is not what differs."""
    if len(row) < width or any(row[width:]):
        raise DataError(f"has {len(row)} columns where the header has {width}", where=where)
    return row[:width]


def _second_level(header: Named, above: Sequence[str], rows: Sequence[list[str]]) -> tuple[Named, int]:
    """Return the header with the symbols of a frame's second level, and the number of `rows` that belong to it.

    pandas writes a header of two levels as ``Price,Close,…`` / ``Ticker,SPY,…`` / ``Date,,…``, in either order.
    """
    below = bool(rows) and _names_symbols(rows[0], len(header))
    owners = rows[0] if below else list(above) if _names_symbols(above, len(header)) else [""] * len(header)
    dated = rows[below : below + 1]
    named = bool(dated) and not any(dated[0][1:]) and ROLES.get(plain(dated[0][0])) == "date"
    if not named and not any(owners):
        return header, 0
    names = ["Date", *(name for name, _ in header[1:])]
    return list(zip(names, ["", *owners[1:]], strict=True)), below + named


def _names_symbols(row: Sequence[str], width: int) -> bool:
    """Return True for ``Ticker,SPY,SPY,…`` (the first cell may be empty)."""
    return (
        len(row) == width
        and plain(row[0]) in ("", "ticker", "tickers", "symbol")
        and all(re.fullmatch(r"\^?[A-Za-z0-9.=-]*[A-Za-z][A-Za-z0-9.=-]*", cell.strip()) for cell in row[1:])
    )


# ---- Parquet -----------------------------------------------------------------------------------------------------


def _read_parquet(path: Path, shown: str, symbol: str) -> Sheet:
    import pyarrow
    import pyarrow.parquet

    try:
        refuse_special(path)
        content = pyarrow.parquet.ParquetFile(path).read()
    except (pyarrow.ArrowException, OSError) as error:
        reason = (error.strerror if isinstance(error, OSError) else None) or error
        raise DataError(f"is not a whole Parquet file ({reason})", where=shown, mend="fetch it again") from None
    roles = find_columns(name_columns(content.column_names), symbol, shown, f"{shown}:1")
    if not content.num_rows:
        raise DataError("has no bars", where=shown, mend=AGAIN)
    columns = {role: content.column(at).combine_chunks() for role, at in roles.items()}
    for role, column in columns.items():
        if pyarrow.types.is_dictionary(column.type):
            columns[role] = column.dictionary_decode()
    undated = columns["date"].is_null() if columns["date"].null_count else None
    if undated is not None and all(columns[price].filter(undated).null_count == undated.true_count for price in PRICES):
        columns = {role: column.filter(columns["date"].is_valid()) for role, column in columns.items()}  # empty rows
    return _rows_of_symbol(Sheet(shown, columns, None), symbol)


def _rows_of_symbol(sheet: Sheet, symbol: str) -> Sheet:
    """Return the rows of `symbol` in a file of several, one below the other."""
    column = sheet.columns.get("symbol")
    if column is None:
        return sheet
    names = [str(name).strip() for name in (column if sheet.lines else column.to_pylist())]
    there = dict.fromkeys(names)
    if len(there) == 1:
        (only,) = there
        other = not same_symbol(only, symbol) and re.fullmatch(r"\^?[A-Z0-9.=-]{1,10}", only)
        return _noting(sheet, f"its rows are called {only}") if other else sheet
    chosen = pick_symbol(there, symbol, sheet.where(0), sheet.shown)
    kept = [row for row, name in enumerate(names) if name == chosen]
    note = f"rows of {len(there) - 1} other symbols in its file are left out"
    if sheet.lines:
        columns: dict[str, Any] = {role: [cells[row] for row in kept] for role, cells in sheet.columns.items()}
        lines = [sheet.lines[row] for row in kept]
        return _noting(Sheet(sheet.shown, columns, lines, sheet.mark, sheet.notes), note)
    return _noting(Sheet(sheet.shown, {role: cells.take(kept) for role, cells in sheet.columns.items()}, None), note)


def _noting(sheet: Sheet, note: str) -> Sheet:
    return Sheet(sheet.shown, sheet.columns, sheet.lines, sheet.mark, (*sheet.notes, note))
