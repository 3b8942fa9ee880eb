"""Records of run folders in the store, read and added without SQLAlchemy where it is a file of this version: whoever
looks at one run, renders its report or repeats it does not wait a quarter of a second for it."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from simulator.files import keep_private, refuse_special, tighten
from simulator.store.connection import BUSY_SECONDS, HEAD, compact
from simulator.store.events import OF_FOLDERS, Event, Stored, recording


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
            with _writing(place) as db:
                _append(db, run_id, digest, "part.added", compact({"parts": dict(parts)}))
            return
    from simulator.store.database import Store

    with Store(place) as store:
        store.record_parts(run_id, digest, parts)


def check(place: Path | str) -> None:
    """Raise SimError where a run could not be recorded, as `Store.check`."""
    if isinstance(place, Path) and place.is_file():
        with suppress(OSError, sqlite3.Error, ValueError):
            _read_file(place, [])
            return
    from simulator.store.database import Store

    with Store(place) as store:
        store.check()


def record_run(
    place: Path | str, facts: Mapping[str, Any], folder: str, happened: Iterable[Event] = (), **further: object
) -> int:
    """Record a run as `Store.record_run` does; returns the number of distinct runs so far. Raises as `Store`."""
    if isinstance(place, Path) and place.is_file():
        with suppress(OSError, sqlite3.Error, ValueError):
            return _count_again(place, recording(facts, folder, further), str(facts["run_id"]), str(facts["digest"]))
    from simulator.store.database import Store

    with Store(place) as store:
        return store.record_run(facts, folder, happened, **further)


def _count_again(path: Path, event: Event, run_id: str, digest: str) -> int:
    """Count a result once more that stands as the newest of its run and was recorded with the same facts.

    Raises ValueError where that is not so: then there is more to do than to count.
    """
    with _writing(path) as db:
        payload = compact(event.payload)
        newest = (
            "SELECT runs.digest, payload FROM runs JOIN events ON position = event"
            " WHERE runs.run_id = ? ORDER BY partial, event DESC LIMIT 1"
        )
        known, before = db.execute(newest, (run_id,)).fetchone() or ("", "{}")
        happened = "SELECT 1 FROM events WHERE run_id = ? AND digest = ? AND kind NOT IN (?, ?) LIMIT 1"
        told = db.execute(happened, (run_id, digest, *OF_FOLDERS)).fetchone() is not None
        same = [{**json.loads(text), "parts": None} for text in (before, payload)]  # pages tell how long the run took
        if known != digest or not told or same[0] != same[1]:
            raise ValueError("more than another time")
        at, now = _append(db, run_id, digest, event.kind, payload)
        counted = "UPDATE runs SET times = times + 1, last_run_at = ?, event = ? WHERE run_id = ? AND digest = ?"
        db.execute(counted, (now, at, run_id, digest))
        return int(db.execute("SELECT count(DISTINCT run_id) FROM runs").fetchone()[0])


@contextmanager
def _writing(path: Path) -> Iterator[sqlite3.Connection]:
    refuse_special(path)
    keep_private(path)
    # Of a file somebody else is writing to the store says how long it waited: not here.
    with closing(_open(path, "rw", seconds=0)) as db:
        db.execute("BEGIN IMMEDIATE")
        _check_version(db)
        yield db
        db.execute("COMMIT")


def _append(db: sqlite3.Connection, run_id: str, digest: str, kind: str, payload: str) -> tuple[int, str]:
    """Append an event without packed parts; returns its position and the instant."""
    now = datetime.now(UTC).isoformat(timespec="microseconds")
    (last,) = db.execute("SELECT coalesce(max(position), 0) FROM events").fetchone()
    db.execute(
        "INSERT INTO events (position, run_id, digest, kind, recorded_at, payload) VALUES (?, ?, ?, ?, ?, ?)",
        (last + 1, run_id, digest, kind, now, payload),
    )
    return last + 1, now


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
