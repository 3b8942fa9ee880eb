"""Files of bars as people have them, written by hand."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import date
from pathlib import Path

import pytest

from simulator.market.calendar import sessions

HEAD = "date,open,high,low,close,volume"
Write = Callable[..., Path]


def lines_of(first: date, last: date, price: float = 100.0) -> list[str]:
    """A line of CSV for each session, rising by one dollar a session."""
    days = sessions(first, last).dates.astype(str).tolist()
    return [
        f"{day},{price + n},{price + n + 2},{price + n - 1},{price + n + 1},{1000 + n}" for n, day in enumerate(days)
    ]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    place = tmp_path / "data"
    place.mkdir()
    return place


@pytest.fixture
def write(folder: Path) -> Write:
    """``write("ACME", lines, head=…)`` puts ``data/ACME.csv`` there; `lines` may be the two ends of a range."""

    def put(symbol: str, lines: Sequence[str] | tuple[date, date], head: str = HEAD, price: float = 100.0) -> Path:
        rows = lines_of(*lines, price) if isinstance(lines, tuple) else lines
        path = folder / f"{symbol}.csv"
        path.write_text("\n".join([head, *rows]) + "\n")
        return path

    return put
