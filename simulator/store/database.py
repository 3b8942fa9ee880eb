"""The store: what happened in every run, and the tables computed from it, in SQLite or PostgreSQL.

    record_run(facts, folder, events)
        └── one transaction: events appended ─► the run's rows computed and put in place ─► run counted

Events are only ever appended; triggers refuse the rest. Everything else can be computed again (`rebuild`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, Table, and_, func, select
from sqlalchemy.exc import DBAPIError, SQLAlchemyError, StatementError

from simulator.errors import SimError
from simulator.store import connection, revisions
from simulator.store.events import KINDS, Event, Stored
from simulator.store.folders import is_partial
from simulator.store.projections import Row, Rows, counted, key_of, newest, project
from simulator.store.schema import HEAD, PROJECTIONS, events, runs, schema

REGISTERED = ("run_id", "strategy", "symbols", "from", "to", "digest", "metrics")
"""What must be known of a run to count it."""

OPTIONAL = ("parameters", "partial", "models", "sessions", "data_digest", "command")
CHUNK = 500
"""Rows read at a time."""


@dataclass(frozen=True)
class Status:
    """What `sim db status` tells: `url` has no secrets, `size` is in bytes, `revision` None before there are tables."""

    url: str
    revision: str | None
    head: str
    rows: Mapping[str, int]
    size: int


@dataclass(frozen=True)
class Change:
    """Rows of one table that were not as the events have it: lost, changed, and known to no event."""

    lost: int = 0
    changed: int = 0
    unknown: int = 0


@dataclass(frozen=True)
class Rebuilt:
    """What a rebuild did: events read, runs computed again, and the tables that differed."""

    events: int
    runs: int
    rows: int
    differed: Mapping[str, Change] = field(default_factory=dict)


def utc_now() -> datetime:
    return datetime.now(UTC)


class Store:
    """`place` is a SQLite file or a database URL; `clock` tells when something is recorded.

    Tables are made when first needed. A SQLite file of an older version is brought forward on its own, in one
    transaction; a server is not, for others may work with it. Every method raises SimError (exit 1) in one line without
    secrets where the database cannot be reached, read or written.
    """

    def __init__(self, place: Path | str, clock: Callable[[], datetime] = utc_now) -> None:
        self._url = connection.parse_place(place)
        self._clock = clock
        self._engine = connection.connect(self._url)
        self._ready = False

    def __enter__(self) -> Store:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()

    def close(self) -> None:
        self._engine.dispose()

    def check(self) -> None:
        """Raise SimError where a run could not be recorded: nobody answers, what is there is no store of ours, or a
        server's is older than this version. Makes nothing; an older SQLite file is brought forward."""
        with self._reading():
            pass

    # ── recording ───────────────────────────────────────────────────────────────────────────────────────────────────

    def record_run(self, facts: Mapping[str, Any], folder: str, happened: Iterable[Event] = ()) -> int:
        """Append what happened in a run and count it; returns the number of distinct runs so far.

        `facts` is its run.json. All of it is there afterwards, or nothing. `happened` is not looked at when the same
        result (run_id and digest) is known already: only the counting is appended. Another result of the same run is
        appended whole and takes the place of the older in the tables, except that a run that stopped early never takes
        the place of a whole one.
        """
        run_id, digest = str(facts["run_id"]), str(facts["digest"])
        with self._writing() as db:
            known = db.scalar(_of_result(run_id, digest).where(events.c.kind != "run.recorded").limit(1)) is not None
            new = [] if known else [event for event in happened if event.kind != "run.recorded"]
            stored = self._append(db, run_id, digest, [*new, _recorded(facts, folder)])
            before = [dict(row._mapping) for row in db.execute(select(runs).where(runs.c.run_id == run_id))]
            self._count(db, before, stored[-1])
            after = [dict(row._mapping) for row in db.execute(select(runs).where(runs.c.run_id == run_id))]
            was, now = newest(before).get(run_id), newest(after)[run_id]
            if now["digest"] == digest and (not known or was is None or was["digest"] != digest):
                history = stored[:-1] if not known else _history(db, run_id, digest)
                _put(db, run_id, project(run_id, history))
            return int(db.scalar(select(func.count(runs.c.run_id.distinct()))) or 0)

    def _append(self, db: Connection, run_id: str, digest: str, new: list[Event]) -> list[Stored]:
        last = int(db.scalar(select(func.max(events.c.position))) or 0)
        now = self._clock().astimezone(UTC).isoformat(timespec="microseconds")
        stored = [Stored(last + i, run_id, digest, now, event) for i, event in enumerate(new, 1)]
        db.execute(events.insert(), [_event_row(one) for one in stored])
        return stored

    def _count(self, db: Connection, before: list[Row], stored: Stored) -> None:
        same = next((row for row in before if row["digest"] == stored.digest), None)
        row = counted(same, stored)
        if same is None:
            db.execute(runs.insert(), row)
        else:
            db.execute(runs.update().where(_is_key(runs, row)), row)

    # ── reading ─────────────────────────────────────────────────────────────────────────────────────────────────────

    def runs(self) -> list[dict[str, Any]]:
        """Every run as it is shown, the first made first; `times` counts all its results.

        `partial` where all there is of it stopped early.
        """
        by_run: dict[str, list[Row]] = {}
        for row in self.results():
            by_run.setdefault(row["run_id"], []).append(row)
        return [
            {
                **newest(rows)[run_id],
                "times": sum(row["times"] for row in rows),
                "first_run_at": min(row["first_run_at"] for row in rows),
                "last_run_at": max(row["last_run_at"] for row in rows),
            }
            for run_id, rows in by_run.items()
        ]

    def results(self) -> list[dict[str, Any]]:
        """Every distinct result (run_id and digest) ever recorded, the first made first."""
        return self._rows(select(runs).order_by(runs.c.first_run_at, runs.c.run_id, runs.c.digest))

    def rows(self, table: str, run_id: str | None = None) -> list[dict[str, Any]]:
        """Rows of one of the tables by key, of one run or of all."""
        held = schema.tables[table]
        wanted = select(held).order_by(*held.primary_key.columns)
        return self._rows(wanted if run_id is None else wanted.where(held.c.run_id == run_id))

    def _rows(self, wanted: Select[Any]) -> list[dict[str, Any]]:
        with self._reading() as db:
            return [] if db is None else [dict(row._mapping) for row in db.execute(wanted)]

    # ── looking after it ────────────────────────────────────────────────────────────────────────────────────────────

    def init(self) -> bool:
        """Make the tables; whether there were none before."""
        before = self._revision()
        with self._writing():
            return before is None

    def upgrade(self) -> tuple[str | None, str]:
        """Bring the database to HEAD in one transaction, rows kept; returns the revisions before and after."""
        before = self._revision()
        with self._writing(forward=True):
            return before, HEAD

    def status(self) -> Status:
        """What is there; looks only, makes and upgrades nothing."""
        where = connection.shown(self._url)
        if self._file is not None and not self._file.exists():
            return Status(where, None, HEAD, {}, 0)
        with self._translated(), connection.reading(self._engine) as db:
            revision = revisions.revision_of(db, where)
            held = [] if revision is None else [runs] if revision != HEAD else schema.sorted_tables
            rows = {table.name: int(db.scalar(select(func.count()).select_from(table)) or 0) for table in held}
            return Status(where, revision, HEAD, rows, self._size(db, [table.name for table in held]))

    def rebuild(self, progress: Callable[[int, int], None] | None = None) -> Rebuilt:
        """Compute every table again from the events, in one transaction, and tell which rows differed.

        `progress` is told runs done and runs in all. A table that is as it should be is not written.
        """
        with self._writing() as db:
            differed: dict[str, list[Change]] = {}
            shown, total = _registry(db, differed)
            for done, (run_id, row) in enumerate(shown.items()):
                if progress:
                    progress(done, len(shown))
                wanted = project(run_id, _history(db, run_id, row["digest"]))
                for table in PROJECTIONS:
                    total += len(wanted[table.name])
                    _mend(db, table, run_id, wanted[table.name], differed)
            _forget_unknown(db, set(shown), differed)
            if progress:
                progress(len(shown), len(shown))
            count = int(db.scalar(select(func.count()).select_from(events)) or 0)
            summed = {name: _sum(changes) for name, changes in differed.items()}
            return Rebuilt(count, len(shown), total, summed)

    # ── connections ─────────────────────────────────────────────────────────────────────────────────────────────────

    @property
    def _file(self) -> Path | None:
        """The SQLite file; None for a server and for addresses only SQLite understands."""
        database = self._url.database
        plain = self._url.get_backend_name() == "sqlite" and database and not database.startswith(("file:", ":"))
        return Path(database) if plain and database else None

    def _revision(self) -> str | None:
        if self._file is not None and not self._file.exists():
            return None
        with self._translated(), connection.reading(self._engine) as db:
            return revisions.revision_of(db, connection.shown(self._url))

    @contextmanager
    def _writing(self, forward: bool = False) -> Iterator[Connection]:
        with self._translated(), connection.writing(self._engine) as db:
            if not self._ready:
                self._prepare(db, forward or db.dialect.name == "sqlite")
            yield db
        self._ready = True

    @contextmanager
    def _reading(self) -> Iterator[Connection | None]:
        """A connection for reading, None where there is nothing to read yet."""
        if not self._ready:
            revision = self._revision()
            if revision is None:
                yield None
                return
            if revision != HEAD:
                with self._writing():
                    pass
        with self._translated(), connection.reading(self._engine) as db:
            yield db

    def _prepare(self, db: Connection, forward: bool) -> None:
        where = connection.shown(self._url)
        revision = revisions.revision_of(db, where)
        if revision is None:
            revisions.make(db)
        elif revision != HEAD and forward:
            revisions.bring_forward(db, revision)
        elif revision != HEAD:
            found = f"the store has revision {revision}, this version needs {HEAD}"
            raise SimError(found, where=where, mend=revisions.UPGRADE)

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except SQLAlchemyError as error:
            if isinstance(error, StatementError) and not isinstance(error, DBAPIError) and error.orig is not None:
                # Not the database's trouble: a value that is no JSON.
                raise error.orig from None
            raise connection.trouble(error, self._url) from None

    def _size(self, db: Connection, names: list[str]) -> int:
        if db.dialect.name == "sqlite":
            pages, size = (db.exec_driver_sql(f"PRAGMA {name}").scalar() for name in ("page_count", "page_size"))
            return int(pages or 0) * int(size or 0)
        sizes = (db.scalar(select(func.pg_total_relation_size(name))) for name in names)
        return sum(int(size or 0) for size in sizes)


def _recorded(facts: Mapping[str, Any], folder: str) -> Event:
    known = {name: facts[name] for name in REGISTERED} | {name: facts[name] for name in OPTIONAL if name in facts}
    return Event(
        "run.recorded", None, None, {"parameters": {}, "partial": is_partial(folder), **known, "folder": folder}
    )


def _event_row(stored: Stored) -> Row:
    event = stored.event
    if event.kind not in KINDS:
        raise SimError(f'the store knows no event "{event.kind}"')
    return {
        "position": stored.position,
        "run_id": stored.run_id,
        "digest": stored.digest,
        "kind": event.kind,
        "at": event.at,
        "account": event.account,
        "recorded_at": stored.recorded_at,
        "payload": event.payload,
    }


def _of_result(run_id: str, digest: str) -> Select[Any]:
    return select(events.c.position).where(events.c.run_id == run_id, events.c.digest == digest)


def _history(db: Connection, run_id: str, digest: str) -> Iterator[Stored]:
    """What happened in one result, oldest first."""
    wanted = select(events).where(events.c.run_id == run_id, events.c.digest == digest, events.c.kind != "run.recorded")
    return _read(db, wanted)


def _read(db: Connection, wanted: Select[Any]) -> Iterator[Stored]:
    found = db.execute(wanted.order_by(events.c.position), execution_options={"yield_per": CHUNK})
    for row in found:
        if isinstance(row.payload, connection.Unreadable):
            mend = "restore a copy of the store; events are never rewritten"
            raise SimError(f"event {row.position} of the store is not JSON", mend=mend)
        event = Event(row.kind, row.at, row.account, row.payload)
        yield Stored(row.position, row.run_id, row.digest, row.recorded_at, event)


def _put(db: Connection, run_id: str, rows: Rows) -> None:
    """Put `rows` in the place of everything the tables hold of a run."""
    for table in PROJECTIONS:
        db.execute(table.delete().where(table.c.run_id == run_id))
        if rows[table.name]:
            db.execute(table.insert(), rows[table.name])


# ── rebuilding ──────────────────────────────────────────────────────────────────────────────────────────────────────


def _registry(db: Connection, differed: dict[str, list[Change]]) -> tuple[dict[str, Mapping[str, Any]], int]:
    """Compute `runs` again; returns the shown row of every run, the first recorded first, and the number of rows."""
    wanted: dict[tuple[Any, ...], Row] = {}
    for stored in _read(db, select(events).where(events.c.kind == "run.recorded")):
        key = (stored.run_id, stored.digest)
        wanted[key] = counted(wanted.get(key), stored)
    held = [dict(row._mapping) for row in db.execute(select(runs))]
    change = _compared(runs, held, list(wanted.values()))
    if change != Change():
        differed["runs"] = [change]
        db.execute(runs.delete())
        if wanted:
            db.execute(runs.insert(), list(wanted.values()))
    return newest(wanted.values()), len(wanted)


def _mend(db: Connection, table: Table, run_id: str, wanted: list[Row], differed: dict[str, list[Change]]) -> None:
    held = [dict(row._mapping) for row in db.execute(select(table).where(table.c.run_id == run_id))]
    change = _compared(table, held, wanted)
    if change != Change():
        differed.setdefault(table.name, []).append(change)
        db.execute(table.delete().where(table.c.run_id == run_id))
        if wanted:
            db.execute(table.insert(), wanted)


def _forget_unknown(db: Connection, known: set[str], differed: dict[str, list[Change]]) -> None:
    """Remove rows of runs no event speaks of."""
    for table in PROJECTIONS:
        for run_id in set(db.scalars(select(table.c.run_id).distinct())) - known:
            gone = db.execute(table.delete().where(table.c.run_id == run_id)).rowcount
            differed.setdefault(table.name, []).append(Change(unknown=gone))


def _compared(table: Table, held: list[Row], wanted: list[Row]) -> Change:
    there = {key_of(table, row): row for row in held}
    right = {key_of(table, row): row for row in wanted}
    changed = sum(there[key] != row for key, row in right.items() if key in there)
    return Change(len(right.keys() - there.keys()), changed, len(there.keys() - right.keys()))


def _sum(changes: list[Change]) -> Change:
    return Change(
        sum(change.lost for change in changes),
        sum(change.changed for change in changes),
        sum(change.unknown for change in changes),
    )


def _is_key(table: Table, row: Row) -> ColumnElement[bool]:
    return and_(*(column == row[column.name] for column in table.primary_key.columns))
