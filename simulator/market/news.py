"""Dated news: headlines and the moment each was published.

``data/news/*.csv`` with the columns published_at, headline and optionally symbols and source; ``data/news/*.jsonl``
with the same keys, one object a line. A headline is known from ``published_at`` on, which is written with an offset.
Several symbols in one CSV cell stand with spaces between them; a headline without any concerns the whole market.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from simulator.errors import DataError, did_you_mean
from simulator.files import read_text
from simulator.market.sources.files import parse_moment, shown_path

NEEDED = ("published_at", "headline")
COLUMNS = (*NEEDED, "symbols", "source")


@dataclass(frozen=True)
class News:
    """A headline, known from `published_at` (aware) on. Without `symbols` it concerns the whole market."""

    published_at: datetime
    headline: str
    symbols: tuple[str, ...] = ()
    source: str = ""


def load_news(folder: Path) -> tuple[News, ...]:
    """Read all CSV and JSONL files in `folder`, oldest headline first; none where there is no such folder.

    Raises DataError naming file and line for a row that is no headline.
    """
    found: list[News] = []
    for path in sorted(path for path in folder.glob("*") if path.suffix in (".csv", ".jsonl")):
        rows = _csv_rows if path.suffix == ".csv" else _json_rows
        try:
            lines = io.StringIO(read_text(path, encoding="utf-8-sig"), newline="")
            found += [_news(row, where) for row, where in rows(lines, shown_path(path))]
        except (OSError, UnicodeDecodeError, csv.Error) as error:
            raise DataError(
                f"cannot be read ({getattr(error, 'strerror', None) or error})", where=shown_path(path)
            ) from None
    return tuple(sorted(found, key=lambda news: (news.published_at, news.headline)))


def _csv_rows(lines: Iterator[str], shown: str) -> Iterator[tuple[Mapping[str, Any], str]]:
    reader = csv.reader(lines)
    header = [name.strip() for name in next(reader, [])]
    _check_names(header, f"{shown}:1", "column")
    for row in filter(None, reader):
        where = f"{shown}:{reader.line_num}"
        if len(row) != len(header):
            raise DataError(f"has {len(row)} columns, the header has {len(header)}", where=where)
        yield dict(zip(header, row, strict=True)), where


def _json_rows(lines: Iterator[str], shown: str) -> Iterator[tuple[Mapping[str, Any], str]]:
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        where = f"{shown}:{number}"
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise DataError(f"is no JSON ({error})", where=where) from None
        if not isinstance(row, dict):
            raise DataError("is no JSON object", where=where)
        _check_names(list(row), where, "key")
        yield row, where


def _check_names(names: Sequence[str], where: str, kind: str) -> None:
    for name in names:
        if name not in COLUMNS:
            found = f'unknown {kind} "{name}"{did_you_mean(name, COLUMNS)}'
            raise DataError(found, where=where, mend=f"there may be {', '.join(COLUMNS)}")
    for name in NEEDED:
        if name not in names:
            raise DataError(f'{kind} "{name}" is missing', where=where)
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise DataError(f'{kind} "{twice}" stands there twice', where=where)


def _news(row: Mapping[str, Any], where: str) -> News:
    headline = row["headline"]
    if not isinstance(headline, str) or not headline.strip():
        raise DataError("the headline is empty", where=where)
    source = row.get("source") or ""
    if not isinstance(source, str):
        raise DataError(f"source was {source!r}, expected a name", where=where)
    published = parse_moment(str(row["published_at"]).strip(), "published_at", where)
    return News(published, " ".join(headline.split()), _symbols(row, where), source.strip())


def _symbols(row: Mapping[str, Any], where: str) -> tuple[str, ...]:
    given = row.get("symbols") or []
    words = given.replace(",", " ").replace(";", " ").split() if isinstance(given, str) else given
    if not isinstance(words, list) or not all(isinstance(word, str) and word.strip() for word in words):
        raise DataError(f"symbols was {given!r}, expected e.g. SPY QQQ", where=where)
    return tuple(sorted({word.strip().upper() for word in words}))
