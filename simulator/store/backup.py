"""Copies of a store: a SQLite file with the events of one moment, whatever database they come from or go back into.

backup ─► aside ─► events of one moment copied, read again, compared ─► sealed with a digest ─► put in place
restore ─► seal checked ─► brought forward, tables computed ─► old store backed up ─► one transaction: tables dropped,
           made, filled, compared

All else is computed from events: leaving it out makes a backup a third of its store.
"""

from __future__ import annotations

import hashlib
import shutil
import sqlite3
import tempfile
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path

from sqlalchemy import Connection, Table, func, select
from sqlalchemy.exc import SQLAlchemyError

from simulator.errors import SimError, UsageError
from simulator.files import PRIVATE, refuse_special, write_file
from simulator.store import connection, revisions
from simulator.store.database import CHUNK, Store
from simulator.store.forward_rows import tell_left
from simulator.store.schema import events, schema

ANOTHER = "name another file: `sim db backup` makes one"


def back_up(place: Path | str, target: Path) -> int:
    """Write every event of the store into the new file `target`, all of one moment; returns their number.

    Others may write meanwhile; those of a SQLite store wait for the copy. Raises UsageError where `target` is there,
    or its folder is not, SimError where there is no store or the copy does not hold what the store does; nothing is
    left behind then.
    """
    if target.exists():
        raise UsageError(
            "there is a file already", where=str(target), mend="name another, backups are never overwritten"
        )
    if not target.absolute().parent.is_dir():
        raise UsageError("there is no such folder", where=str(target.parent), mend="make it, or name another")
    url = connection.parse_place(place)
    with Store(place) as store:
        now = store.status()
        store.check()
    if now.revision is None:
        raise SimError("there is no store yet", where=now.url, mend="`sim db init` makes it")
    with tempfile.TemporaryDirectory() as folder:
        aside = Path(folder) / "store"
        _copy(place, aside, [events])
        with closing(sqlite3.connect(aside)) as db, db:
            count = int(db.execute("SELECT count(*) FROM events").fetchone()[0])
            digest = _digest(db)
            db.execute("CREATE TABLE backup (sha256 TEXT NOT NULL, source TEXT NOT NULL)")
            db.execute("INSERT INTO backup VALUES (?, ?)", (digest, url.get_backend_name()))
        write_file(target, aside.read_bytes(), PRIVATE)
    return count


def restore(
    backup: Path, place: Path | str, keep: Path | None = None, check: Callable[[Store], None] = lambda _: None
) -> int:
    """Put the events of `backup` and the tables they make into the store, in one transaction; returns their number.

    An older backup is brought forward first. A store that holds events is replaced where `keep` names a new file, which
    gets a backup of it. `check` raises SimError for events that another room cannot read. Raises SimError for a file
    that is torn or foreign, or has events that no reader understands, UsageError without `keep`; the store is as it was
    then, and after a kill at any moment before the end.
    """
    _check(backup)
    with tempfile.TemporaryDirectory() as folder:
        aside = Path(shutil.copyfile(backup, Path(folder) / "store"))
        with closing(sqlite3.connect(aside)) as db, db:
            db.execute("DROP TABLE backup")
        with Store(aside) as older:
            try:
                older.upgrade()
                for run_id, why in older.rebuild().left.items():
                    tell_left(run_id, why)
                check(older)
            except SimError as error:
                raise SimError(error.found, where=str(backup), mend=ANOTHER) from None
            except (KeyError, ValueError, TypeError, AttributeError, IndexError) as error:
                what = f"an event of a run cannot be read ({type(error).__name__}: {error})"
                raise SimError(what, where=str(backup), mend=ANOTHER) from None
        with Store(place) as store:
            now = store.status()
        there = now.rows.get(events.name, 0) if now.revision is not None else 0
        if there or (now.revision is not None and now.revision != now.head):
            if keep is None:
                found, mend = f"the store holds {there:,} events", "`--force` puts the backup in its place"
                raise UsageError(found, where=now.url, mend=mend)
            back_up(place, keep)
        return _copy(aside, place, schema.sorted_tables)


def _copy(source: Path | str, target: Path | str, tables: Sequence[Table]) -> int:
    """Replace what `target` holds by `tables` of `source`, in one transaction; returns the number of events."""
    urls = connection.parse_place(source), connection.parse_place(target)
    one, other = (connection.connect(url) for url in urls)
    at = urls[0]
    try:
        with connection.reading(one) as old:
            at = urls[1]
            with connection.writing(other) as new:
                revisions.revision_of(new, connection.printable(at))  # another program's tables are left alone
                schema.drop_all(new)
                revisions.make(new)
                for table in tables:
                    query = select(table).order_by(*table.primary_key.columns)
                    for rows in old.execute(query, execution_options={"yield_per": CHUNK}).mappings().partitions():
                        new.execute(table.insert(), [dict(row) for row in rows])
                count = int(new.scalar(select(func.count()).select_from(events)) or 0)
                if _contents(old, tables) != _contents(new, tables):
                    raise SimError("the copy differs from its source", where=connection.printable(at), mend="repeat it")
        return count
    except SQLAlchemyError as error:
        raise connection.explain(error, at) from None
    finally:
        one.dispose()
        other.dispose()


def _contents(db: Connection, tables: Sequence[Table]) -> str:
    digest, collated = hashlib.sha256(), db.dialect.name != "sqlite"
    for table in tables:
        keys = list(table.primary_key.columns)
        order = [k.collate("C") if collated and k.type.python_type is str else k for k in keys]
        for row in db.execute(select(table).order_by(*order), execution_options={"yield_per": CHUNK}):
            digest.update(repr(tuple(row)).encode("utf-8", "surrogatepass"))
    return digest.hexdigest()


def _check(backup: Path) -> None:
    """Raise SimError where `backup` is not what `back_up` wrote."""
    where = str(backup)
    try:
        refuse_special(backup)
        with closing(sqlite3.connect(f"{backup.resolve().as_uri()}?mode=ro&immutable=1", uri=True)) as db:
            names = {name for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
            if not {"backup", "events"} <= names:
                raise SimError("this is no backup of a store", where=where, mend=ANOTHER)
            sound = _digest(db) == db.execute("SELECT sha256 FROM backup").fetchone()[0]
    except OSError as error:
        raise SimError(f"the backup {error.strerror}", where=where, mend=ANOTHER) from None
    except (sqlite3.Error, TypeError, UnicodeDecodeError) as error:
        raise SimError(f"this is no backup, or a torn one ({error})", where=where, mend=ANOTHER) from None
    if not sound:
        raise SimError("the backup is torn: it does not hold what was written", where=where, mend=ANOTHER)


def _digest(db: sqlite3.Connection) -> str:
    """sha256 of every row of every table but that of the seal, whatever the revision."""
    digest = hashlib.sha256()
    tables = db.execute("SELECT name FROM sqlite_master WHERE type = 'table' AND name <> 'backup' ORDER BY name")
    for (name,) in tables.fetchall():
        digest.update(str(name).encode())
        for row in db.execute(
            f'SELECT * FROM "{name}" ORDER BY 1, 2, 3' if name != "alembic_version" else f"SELECT * FROM {name}"
        ):
            digest.update(repr(row).encode("utf-8", "surrogatepass"))
    return digest.hexdigest()
