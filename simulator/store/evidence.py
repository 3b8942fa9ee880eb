"""Records of run folders in the store, read and added without SQLAlchemy where it is a file of this version: whoever
looks at one run or renders its report does not wait a quarter of a second for it."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Collection, Mapping
from contextlib import closing, suppress
from datetime import UTC, datetime
from pathlib import Path

from simulator.files import keep_private, refuse_special, tighten
from simulator.store.connection import BUSY_SECONDS, HEAD, compact
from simulator.store.events import OF_FOLDERS, Event, Stored


def read_evidence(place: Path | str, run_ids: Collection[str]) -> list[Stored]:
    """Return the events that tell what stands in the folders of these runs, oldest first. Raises as `Store`."""
    if isinstance(place, Path):
        with suppress(OSError, sqlite3.Error, ValueError, TypeError):
            return _read_file(place, sorted(run_ids))
    # Servers, older files, none, and whatever is wrong: it says so.
    from simulator.store.database import Store

    with Store(place) as store:
        return store.evidence(run_ids)


def record_parts(place: Path | str, run_id: str, digest: str, parts: Mapping[str, str]) -> None:
    """Append {file: sha256} of what another command adds to the folder of a result. Raises as `Store`."""
    if isinstance(place, Path) and place.is_file():
        with suppress(OSError, sqlite3.Error, ValueError):
            return _append_parts(place, run_id, digest, parts)
    from simulator.store.database import Store

    with Store(place) as store:
        return store.record_parts(run_id, digest, parts)


def _append_parts(path: Path, run_id: str, digest: str, parts: Mapping[str, str]) -> None:
    refuse_special(path)
    keep_private(path)
    # Of a file somebody else is writing to the store says how long it waited: not here.
    with closing(_open(path, "rw", seconds=0)) as db:
        db.execute("BEGIN IMMEDIATE")
        _check_version(db)
        now = datetime.now(UTC).isoformat(timespec="microseconds")
        db.execute(
            "INSERT INTO events (position, run_id, digest, kind, recorded_at, payload)"
            " SELECT coalesce(max(position), 0) + 1, ?, ?, 'part.added', ?, ? FROM events",
            (run_id, digest, now, compact({"parts": dict(parts)})),
        )
        db.execute("COMMIT")


def _open(path: Path, mode: str, seconds: float = BUSY_SECONDS) -> sqlite3.Connection:
    address = f"{path.resolve().as_uri()}?mode={mode}"
    return sqlite3.connect(address, timeout=seconds, isolation_level=None, uri=True)


def _check_version(db: sqlite3.Connection) -> None:
    if db.execute("SELECT version_num FROM alembic_version").fetchall() != [(HEAD,)]:
        raise ValueError("is of another version")


def _read_file(path: Path, run_ids: list[str]) -> list[Stored]:
    refuse_special(path)
    tighten(path)
    with closing(_open(path, "ro")) as db:
        _check_version(db)
        runs, kinds = (",".join("?" * len(names)) for names in (run_ids, OF_FOLDERS))
        query = (
            "SELECT position, run_id, digest, recorded_at, kind, at, account, payload FROM events"
            f" WHERE run_id IN ({runs}) AND kind IN ({kinds}) ORDER BY position"
        )
        rows = db.execute(query, (*run_ids, *OF_FOLDERS)).fetchall()
    return [
        Stored(position, run, digest, recorded, Event(kind, at, account, dict(json.loads(payload))))
        for position, run, digest, recorded, kind, at, account, payload in rows
    ]
