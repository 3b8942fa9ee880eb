"""Results of the store as lists and counts of trials need them: few columns, read without SQLAlchemy from a file."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Collection, Iterable, Mapping
from contextlib import closing
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from simulator.store.connection import BUSY_SECONDS, HEAD

FIGURES = ("total_return", "volatility", "max_drawdown", "sharpe", "exposure")
"""Metrics with a column of their own in `runs`: lists and counts of trials read no others."""

PLAIN = (
    *("run_id", "digest", "strategy", "first", "last", "folder", "partial", "times", "first_run_at", "last_run_at"),
    *("event", "definition", "run_json"),
)
COLUMNS = ("symbols", "bar_months", "parameters", "sweep", *FIGURES, *PLAIN)
QUERY = f"SELECT {', '.join(COLUMNS)} FROM runs ORDER BY first_run_at, run_id, digest"

Row = dict[str, Any]


@dataclass(frozen=True)
class Listing:
    """Every distinct result ever recorded, the first made first, and the instant of the first recording (ISO, UTC).

    Rows are those of `simulator.store.database.Store.results`, with FIGURES for ``metrics``. Rows with equal bars share
    one ``bar_months``.
    """

    rows: list[Row]
    began: str | None = None


def list_results(place: Path | str, short: bool = True) -> Listing:
    """Return the results of the store at `place`, none where there is no store. Raises SimError as `Store` does.

    Rows have all their columns unless they may be `short`.
    """
    if short and isinstance(place, Path) and place.is_file():
        try:
            return _read_file(place)
        except (sqlite3.Error, ValueError, TypeError, OSError):
            pass  # an older revision, a file of another program or a broken one: the store knows what to do or say
    from simulator.store.database import Store

    with Store(place) as store:
        return Listing(store.results(), store.began())


def newest(results: Collection[Mapping[str, Any]]) -> dict[str, Mapping[str, Any]]:
    """{run_id: its newest row of `runs`}: the last recorded, a whole run before any that stopped early."""
    ranked = sorted(results, key=lambda row: (not row["partial"], row["event"]))
    last = {row["run_id"]: row for row in ranked}
    return {row["run_id"]: last[row["run_id"]] for row in results}


def by_run(results: Iterable[Mapping[str, Any]]) -> list[Row]:
    """Every run with its newest result, the first made first; `times` counts all its results.

    `partial` is True where every result of it stopped early.
    """
    of_run: dict[str, list[Mapping[str, Any]]] = {}
    for row in results:
        of_run.setdefault(row["run_id"], []).append(row)
    return [
        {
            **(rows[0] if len(rows) == 1 else newest(rows)[run_id]),
            "times": sum(row["times"] for row in rows),
            "first_run_at": min(row["first_run_at"] for row in rows),
            "last_run_at": max(row["last_run_at"] for row in rows),
        }
        for run_id, rows in of_run.items()
    ]


def _read_file(place: Path) -> Listing:
    from simulator.files import refuse_special

    refuse_special(place)
    with closing(sqlite3.connect(f"{place.resolve().as_uri()}?mode=ro", uri=True, timeout=BUSY_SECONDS)) as db:
        db.execute("BEGIN")
        if db.execute("SELECT version_num FROM alembic_version").fetchone() != (HEAD,):
            raise ValueError("another revision")
        began = db.execute("SELECT recorded_at FROM events WHERE position = 1").fetchone()
        found = db.execute(QUERY).fetchall()
    parse = cache(json.loads)
    rows = []
    for symbols, bar_months, parameters, sweep, *values in found:
        row = dict(zip(PLAIN, values[len(FIGURES) :]))  # noqa: B905 - a tenth of the time of a long list
        row["symbols"], row["bar_months"] = parse(symbols), bar_months and parse(bar_months)
        row["parameters"], row["sweep"] = parse(parameters), sweep and json.loads(sweep)
        row["metrics"] = dict(zip(FIGURES, values))  # noqa: B905
        row["partial"] = row["partial"] == 1
        rows.append(row)
    return Listing(rows, None if began is None else began[0])
