"""A file of factor returns: Kenneth French's as downloaded, or a column of dates and a column for each factor.

French's is known by its form: a header whose first cell is empty above dates without separators. Its numbers are
percentages; of its parts the daily or the monthly one is read, text around them and annual parts are passed over, and
−99.99 and −999 are missing. Any other file holds fractions, or numbers with percent signs. A file whose numbers are of
another size than its form says is refused.
"""

from __future__ import annotations

import io
import math
import re
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from simulator.analysis.returns.column_file import decode, read_content, read_table
from simulator.analysis.returns.frequency import rows_a_year
from simulator.analysis.returns.load import find_dates, parse_dates, read_numbers
from simulator.errors import DataError
from simulator.evidence.verify import sha256
from simulator.stats.series import Floats

Unit = Literal["D", "M"]
"""Factors of days or of months."""

SPOKEN: Mapping[Unit, str] = {"D": "daily", "M": "monthly"}

FREE = ("rf", "riskfree", "r_f", "risk_free", "risk-free")
MARKET = ("mkt-rf", "mktrf", "mkt_rf", "mkt", "market", "market-rf", "market_rf", "mkt-rf.", "rm-rf", "rmrf")
"""Names of the columns of the risk-free return and of the market's excess return, in any case."""

MARKS = (-0.9999, -9.99, -99.99, -999.0)
"""What stands for a missing value in a file of fractions, which other programs made of French's."""

MISSING = -0.99989
"""Returns from here on down are marks of what is missing: −99.99 and −999 among percentages."""

TYPICAL: Mapping[Unit, float] = {"D": 0.05, "M": 0.3}
"""Median size of a factor's returns: fractions are smaller, percentages larger."""


@dataclass(frozen=True, eq=False)
class Factors:
    """Returns of factors by day or month.

    Attributes
    ----------
    source, digest : the file as it was named, and its sha256 (hex)
    unit : days or months
    dates : (T,) datetime64 of that unit, oldest first, each once
    columns : name → (T,) fractions, NaN where missing
    free : (T,) risk-free return, None where the file has none
    form : how the numbers were read
    """

    source: str
    digest: str
    unit: Unit
    dates: NDArray[np.datetime64]
    columns: Mapping[str, Floats]
    free: Floats | None
    form: str


def read_factors(path: Path, unit: Unit = "D") -> Factors:
    """Return the factors of a file, those of days or months where it has both.

    Raises UsageError where there is no such file, DataError with file and line for what cannot be read as factors of
    either form: a date twice, no number, no date, no factor, numbers of another size than the form says.
    """
    content, source = read_content(path), str(path)
    digest = sha256(content)
    content = _unpack(source, content)
    parts = [] if content[:4] == b"PAR1" else _french_parts(source, decode(source, content))
    if not parts:
        return _plain(path, digest)
    chosen = next((part for part in parts if part.unit == unit), parts[0])
    columns = dict(zip(chosen.names, np.array(chosen.rows).T / 100.0, strict=True))
    form = f"percent, as Kenneth French writes them, the {SPOKEN[chosen.unit]} part"
    return _order_factors(source, digest, chosen.unit, chosen.dates, chosen.lines, columns, form)


@dataclass
class _Part:
    unit: Unit
    names: list[str]
    dates: list[str]
    rows: list[list[float]]
    lines: list[int]


def _unpack(source: str, content: bytes) -> bytes:
    """Return the one file in an archive; other content as it is."""
    if content[:2] != b"PK":
        return content
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            inside = [name for name in archive.namelist() if name.lower().endswith((".csv", ".txt"))]
            if len(inside) == 1:
                return archive.read(inside[0])
    except (OSError, zipfile.BadZipFile, RuntimeError, NotImplementedError) as problem:
        raise DataError(f"is a broken zip file ({problem})", where=source, mend="download it again") from None
    raise DataError(f"holds {len(inside)} tables", where=source, mend="unpack it and name one CSV file")


def _french_parts(source: str, text: str) -> list[_Part]:
    """Return the daily and monthly parts of a file in French's form; none where it is in another."""
    parts: list[_Part] = []
    header: list[str] = []
    open_part: _Part | None = None
    for number, line in enumerate(text.splitlines(), 1):
        fields = [field.strip() for field in (line.split(",") if "," in line else line.split())]
        if not fields or not any(fields):
            continue
        if not re.fullmatch(r"\d{8}|\d{6}|\d{4}", fields[0]) or len(fields) < 2:
            open_part, header = None, fields[1:] if fields[0] == "" else fields if "," not in line else []
            continue
        if open_part is None:
            if len(header) != len(fields) - 1:
                continue
            open_part = _Part("M" if len(fields[0]) == 6 else "D", header, [], [], [])
            if len(fields[0]) > 4:
                parts.append(open_part)
        if len(fields) != len(open_part.names) + 1:
            found = f"has {len(fields)} fields, the header {len(open_part.names) + 1}"
            raise DataError(found, where=f"{source}:{number}", mend="download the file again")
        open_part.dates.append(fields[0])
        open_part.rows.append([_number(source, number, field) for field in fields[1:]])
        open_part.lines.append(number)
    return parts


def _number(source: str, line: int, text: str) -> float:
    try:
        value = float(text) if text else math.nan
    except ValueError:
        value = math.inf
    if math.isinf(value):
        raise DataError(f'"{text[:40]}" is not a number', where=f"{source}:{line}", mend="download the file again")
    return value


def _plain(path: Path, digest: str) -> Factors:
    table = read_table(path)
    at = find_dates(table.names)
    if at is None:
        found = f"no column of dates; the columns are {', '.join(table.names[:12])}"
        raise DataError(found, where=table.source, mend="call it `date`")
    names = [name for name in table.names if name != at]
    dates, _ = parse_dates(table, at)
    columns = read_numbers(table, names)
    signs = any("%" in text for name in names for text in table.texts(name)[:50])
    unit: Unit = "M" if rows_a_year(np.sort(dates)) == 12 else "D"
    form = "numbers with percent signs" if signs else "fractions"
    return _order_factors(
        table.source, digest, unit, [str(day)[:10] for day in dates], table.lines.tolist(), columns, form
    )


def _order_factors(
    source: str,
    digest: str,
    unit: Unit,
    texts: Sequence[str],
    lines: Sequence[int],
    columns: Mapping[str, Floats],
    form: str,
) -> Factors:
    """Return rows by date, the risk-free return apart, of `columns` as fractions."""
    percent = form.startswith("percent")
    gone = (lambda v: v <= MISSING) if percent else (lambda v: np.isin(v, MARKS))
    columns = {name: np.where(gone(values), np.nan, values) for name, values in columns.items()}
    _check_size(source, columns, unit, percent=percent)
    for name, values in columns.items():
        if not percent and (values <= -1.0).any():
            found = f'column "{name}" holds {float(np.nanmin(values)):g}, a loss of more than everything'
            raise DataError(
                found, where=source, mend="write fractions (0.0029), percent signs, or nothing where missing"
            )
    try:
        dates = np.array([_iso(text) for text in texts], dtype=f"datetime64[{unit}]")
    except ValueError:
        wrong = next(row for row, text in enumerate(texts) if not _is_date(text))
        raise DataError(f"{texts[wrong]} is not a date", where=f"{source}:{lines[wrong]}") from None
    order = np.argsort(dates, kind="stable")
    dates = dates[order]
    twice = np.flatnonzero(dates[1:] == dates[:-1])
    if twice.size:
        where = f"{source}:{lines[int(order[twice[0] + 1])]}"
        raise DataError(f"{dates[twice[0]]} stands twice", where=where, mend="keep one row per date")
    free = [name for name in columns if name.lower() in FREE]
    factors = {name: values[order] for name, values in columns.items() if name not in free}
    if not factors:
        raise DataError("no column of a factor", where=source, mend="add one column per factor beside `date`")
    if not dates.size or not any(np.isfinite(values).any() for values in factors.values()):
        raise DataError("has no row of factors", where=source, mend="add a row per date")
    return Factors(source, digest, unit, dates, factors, columns[free[0]][order] if free else None, form)


def _iso(text: str) -> str:
    return text if "-" in text else "-".join(filter(None, (text[:4], text[4:6], text[6:])))


def _is_date(text: str) -> bool:
    try:
        np.datetime64(_iso(text))
    except ValueError:
        return False
    return True


def _check_size(source: str, columns: Mapping[str, Floats], unit: Unit, percent: bool) -> None:
    """Raise DataError for numbers that are of another size than their form says: `columns` as fractions by it."""
    sizes = np.abs(np.concatenate([v for name, v in columns.items() if name.lower() not in FREE] or [np.zeros(0)]))
    typical = float(np.nanmedian(sizes)) if np.isfinite(sizes).any() else 0.0
    if not percent and typical > TYPICAL[unit]:
        raise DataError(
            f"half of its returns are beyond ±{typical:g}: percentages, where fractions are read",
            where=source,
            mend="write percent signs (0.29%), or give Kenneth French's file as it was downloaded",
        )
    if percent and 0.0 < typical <= TYPICAL[unit] / 100.0:
        raise DataError(
            f"half of its returns are within ±{100 * typical:g}\u00a0%: fractions, where percentages are read",
            where=source,
            mend="call the column of dates `date`: then fractions are read",
        )
