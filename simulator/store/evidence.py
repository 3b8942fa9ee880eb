"""Records of run folders in the store, read without SQLAlchemy where it is a file of this version: whoever looks at one
run does not wait a quarter of a second for it."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Collection
from contextlib import closing, suppress
from pathlib import Path

from simulator.files import refuse_special, tighten
from simulator.store.connection import BUSY_SECONDS, HEAD
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


def _read_file(path: Path, run_ids: list[str]) -> list[Stored]:
    refuse_special(path)
    tighten(path)
    address = f"{path.resolve().as_uri()}?mode=ro"
    with closing(sqlite3.connect(address, timeout=BUSY_SECONDS, isolation_level=None, uri=True)) as db:
        if db.execute("SELECT version_num FROM alembic_version").fetchall() != [(HEAD,)]:
            raise ValueError("is of another version")
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
