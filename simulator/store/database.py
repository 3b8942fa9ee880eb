"""Store of what happened in every run and of the tables computed from it, in SQLite or PostgreSQL.

    record_run(facts, folder, events)
        └── one transaction: events appended ─► the run's rows computed and put in place ─► run counted

Events are only ever appended; triggers refuse the rest. Everything else can be computed again (`rebuild`).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Select, Table, and_, func, select
from sqlalchemy.exc import DBAPIError, OperationalError, SQLAlchemyError, StatementError

from simulator.errors import SimError
from simulator.files import keep_private, refuse_special, tighten
from simulator.store import connection, revisions
from simulator.store.connection import HEAD
from simulator.store.events import KINDS, OF_FOLDERS, Event, Kind, Stored, recording
from simulator.store.forward_rows import FORWARD, WITH_ROWS, put_rows, read_before, tell_left, undoing
from simulator.store.listing import by_run, newest
from simulator.store.packing import PACKED, Packer, without_facts
from simulator.store.projections import OF_HOLDINGS, Row, Rows, count_recording, in_effect, key_of, project
from simulator.store.schema import PROJECTIONS, events, positions, runs, schema
from simulator.workspace import Workspace

WITH_FORWARD_ROWS = "0005"
"""Revision from which on forward tests have rows."""
CHUNK = 500
"""Rows read at a time."""
PLACE = tuple(one for one in events.c if one.name not in ("payload", "packed"))
"""Columns of an event without what it says."""


@dataclass(frozen=True)
class Status:
    """State of a store: `url` without secrets, `size` in bytes, `revision` None before there are tables."""

    url: str
    revision: str | None
    head: str
    rows: Mapping[str, int]
    size: int


@dataclass(frozen=True)
class Change:
    """Numbers of rows of one table that were lost, changed, or unknown to any event."""

    lost: int = 0
    changed: int = 0
    unknown: int = 0

    def __add__(self, other: Change) -> Change:
        return Change(self.lost + other.lost, self.changed + other.changed, self.unknown + other.unknown)


@dataclass(frozen=True)
class Rebuilt:
    """Result of a rebuild: events read, runs computed again, rows there are, and by table what differed.

    `left` says of forward tests whose rows could not be computed, and stay as they were, why.
    """

    events: int
    runs: int
    rows: int
    differed: Mapping[str, Change] = field(default_factory=dict)
    left: Mapping[str, str] = field(default_factory=dict)


class Store:
    """`place` is a SQLite file or a database URL; `clock` gives the (aware) time of recording.

    Tables are made when first needed. A SQLite file of an older version is brought forward on its own, in one
    transaction; a server is not, for others may work with it. Every method raises SimError (exit 1) in one line without
    secrets where the database cannot be reached, read or written.
    """

    def __init__(self, place: Path | str, clock: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._url = connection.parse_place(place)
        self._clock = clock
        self._engine = connection.connect(self._url)
        self._ready = False
        self._told: set[str] = set()
        if self._file is not None:
            try:
                refuse_special(self._file)
            except OSError as error:
                mend = "move it away; the run folders hold the evidence"
                raise SimError(f"the store {error.strerror}", where=str(self._file), mend=mend) from None
            tighten(self._file)

    def __enter__(self) -> Store:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()

    def close(self) -> None:
        self._engine.dispose()

    def check(self) -> None:
        """Raise SimError where a run could not be recorded: no answer, another program's tables, an older server.

        Makes nothing; an older SQLite file is brought forward.
        """
        with self._reading():
            pass

    # ── recording ───────────────────────────────────────────────────────────────────────────────────────────────────

    def record_run(
        self, facts: Mapping[str, Any], folder: str, happened: Iterable[Event] = (), **further: object
    ) -> int:
        """Append the events of a run and count it; returns the number of distinct runs so far.

        `facts` is its run.json, `further` what is kept beside it: the sha256 of the file as ``run_json``. Afterwards
        all of it is there, or nothing. `happened` is not read when the same result (run_id and digest) is known: only
        the counting is appended. Another result of the same run is appended whole and takes the place of the older in
        the tables, unless it stopped early and the older did not.
        """
        run_id, digest = str(facts["run_id"]), str(facts["digest"])
        of_result = select(events.c.position).where(events.c.run_id == run_id, events.c.digest == digest)
        with self._writing() as db:
            known = db.scalar(of_result.where(events.c.kind.not_in(OF_FOLDERS)).limit(1)) is not None
            new = [] if known else [event for event in happened if event.kind not in OF_FOLDERS]
            stored = self._append(db, run_id, digest, [*new, recording(facts, folder, further)])
            before = _fetch(db, select(runs).where(runs.c.run_id == run_id))
            same = next((row for row in before if row["digest"] == digest), None)
            row = count_recording(same, stored[-1])
            is_key = and_(*(column == row[column.name] for column in runs.primary_key.columns))
            db.execute(runs.insert() if same is None else runs.update().where(is_key), row)
            was = newest(before).get(run_id)
            now = newest([*(other for other in before if other is not same), row])[run_id]
            if now["digest"] == digest and (not known or was is None or was["digest"] != digest):
                rows = project(run_id, stored[:-1] if not known else _history(db, run_id, digest))
                for table in PROJECTIONS:
                    _replace(db, table, run_id, rows[table.name])
            return int(db.scalar(select(func.count(runs.c.run_id.distinct()))) or 0)

    def record_parts(self, run_id: str, digest: str, parts: Mapping[str, str]) -> None:
        """Append {file: sha256} of what another command adds to the folder of a result."""
        with self._writing() as db:
            self._append(db, run_id, digest, [Event("part.added", None, None, {"parts": dict(parts)})])

    def append(self, run_id: str, new: Sequence[Event]) -> None:
        """Append events of a forward run, all of them or none; they are on disk when this returns."""
        with self._writing() as db:
            self._append_forward(db, run_id, list(new))

    def append_after_reading(
        self, run_id: str, kinds: Sequence[str], make: Callable[[list[Stored]], list[Event]]
    ) -> list[Stored]:
        """Append what `make` returns of the events of `kinds` of a forward run; no other writer adds to them meanwhile.

        Returns those events and the new ones; nothing is appended where `make` raises.
        """
        with self._writing() as db:
            before = list(_history(db, run_id, FORWARD, kinds))
            new = make(before)
            return [*before, *(self._append_forward(db, run_id, new) if new else [])]

    def of_forward(
        self, run_id: str | None, kinds: Sequence[str] = (), after: int = 0, most: int | None = None
    ) -> list[Stored]:
        """Return the events of a forward run (of all by None), oldest first; those of `kinds` alone where some are
        given, and of positions beyond `after`, `most` of them."""
        with self._reading() as db:
            return [] if db is None else list(_history(db, run_id, FORWARD, kinds, after, most))

    def newest_forward(self, count: int) -> list[Stored]:
        """Return the newest `count` events of all forward runs, oldest first."""
        of_forward = select(events.c.position).where(events.c.digest == FORWARD, events.c.kind.not_in(OF_FOLDERS))
        with self._reading() as db:
            if db is None:
                return []
            before = db.scalar(of_forward.order_by(events.c.position.desc()).offset(count).limit(1))
            return list(_history(db, None, FORWARD, after=before or 0))

    def at(self, positions: Sequence[int]) -> list[Stored]:
        """Return the events of forward runs in these positions, oldest first."""
        with self._reading() as db:
            query = select(events).where(events.c.digest == FORWARD, events.c.position.in_(positions))
            return [] if db is None or not positions else list(_read(db, query))

    def newest_event(self, run_id: str | None = None) -> Stored | None:
        """Return the newest event of a run, of all by None, without its payload; None where there is none."""
        query = select(events) if run_id is None else select(events).where(events.c.run_id == run_id)
        return self._find_place(query.order_by(events.c.position.desc()).limit(1))

    def holds(self, stored: Stored) -> bool:
        """Return True where this event stands in its place; a store that was put back from a backup may not have it."""
        found = self._find_place(select(events).where(events.c.position == stored.position))
        return found == replace(stored, event=replace(stored.event, payload={}))

    def _find_place(self, query: Select[Any]) -> Stored | None:
        with self._reading() as db:
            row = None if db is None else db.execute(query.with_only_columns(*PLACE)).first()
        if row is None:
            return None
        return Stored(row.position, row.run_id, row.digest, row.recorded_at, Event(row.kind, row.at, row.account, {}))

    def now(self) -> datetime:
        """Return the time that an event would be recorded at."""
        return self._clock()

    def evidence(self, run_ids: Collection[str]) -> list[Stored]:
        """Events that tell what stands in the folders of these runs, oldest first."""
        query = select(events).where(events.c.run_id.in_(run_ids), events.c.kind.in_(OF_FOLDERS))
        with self._reading() as db:
            return [] if db is None else list(_read(db, query))

    def _append(self, db: Connection, run_id: str, digest: str, new: list[Event]) -> list[Stored]:
        last = int(db.scalar(select(func.max(events.c.position))) or 0)
        now = self._clock().astimezone(UTC).isoformat(timespec="microseconds")
        stored = [Stored(last + i, run_id, digest, now, event) for i, event in enumerate(new, 1)]
        packer = Packer()
        db.execute(events.insert(), [_event_row(one, packer) for one in stored])
        return stored

    def _append_forward(self, db: Connection, run_id: str, new: list[Event]) -> list[Stored]:
        stored = self._append(db, run_id, FORWARD, new)
        if any(one.kind in WITH_ROWS for one in new):
            self._keep_rows(db, run_id, partial(_advance, db, run_id, stored))
        return stored

    def _keep_rows(self, db: Connection, run_id: str, make: Callable[[], Rows]) -> None:
        """Put rows of a forward test in their places; where that fails all stay as they were, and it is said once."""
        failed: list[str] = []
        with undoing(db, failed):
            put_rows(db, make())
        if failed and run_id not in self._told:
            self._told.add(run_id)
            tell_left(run_id, failed[0])

    # ── reading ─────────────────────────────────────────────────────────────────────────────────────────────────────

    def runs(self) -> list[dict[str, Any]]:
        """Every run with its newest result, the first made first; `times` counts all its results.

        `partial` is True where every result of it stopped early.
        """
        return by_run(self.results())

    def results(self) -> list[dict[str, Any]]:
        """Every distinct result (run_id and digest) ever recorded, the first made first."""
        return self._rows(select(runs).order_by(runs.c.first_run_at, runs.c.run_id, runs.c.digest))

    def began(self) -> str | None:
        """The instant at which the first event was recorded (ISO, UTC); None in an empty store."""
        with self._reading() as db:
            return None if db is None else db.scalar(select(events.c.recorded_at).where(events.c.position == 1))

    def rows(self, table: str, run_id: str | None = None) -> list[dict[str, Any]]:
        """Rows of one of the tables by key, of one run or of all."""
        columns = schema.tables[table]
        query = select(columns).order_by(*columns.primary_key.columns)
        rows = self._rows(query if run_id is None else query.where(columns.c.run_id == run_id))
        if columns is events:
            packer = Packer()
            for row in rows:
                row["payload"] = _payload(row["position"], row, row.pop("packed"), packer)
        return rows

    def _rows(self, query: Select[Any]) -> list[Row]:
        with self._reading() as db:
            return [] if db is None else _fetch(db, query)

    # ── maintenance ────────────────────────────────────────────────────────────────────────────────────────────────

    def init(self) -> bool:
        """Make the tables; True where there were none before."""
        before = self._revision()
        with self._writing():
            return before is None

    def upgrade(self) -> tuple[str | None, str]:
        """Bring the database to HEAD in one transaction, rows kept; returns the revisions before and after."""
        before = self._revision()
        with self._writing(forward=True):
            return before, HEAD

    def status(self) -> Status:
        """Describe the database; makes and upgrades nothing."""
        where = connection.printable(self._url)
        if self._file is not None and not self._file.exists():
            return Status(where, None, HEAD, {}, 0)
        with self._explain_errors(), connection.reading(self._engine) as db:
            revision = revisions.revision_of(db, where)
            tables = [] if revision is None else [runs] if revision != HEAD else schema.sorted_tables
            rows = {table.name: _count(db, table) for table in tables}
            return Status(where, revision, HEAD, rows, self._size(db, list(rows)))

    def rebuild(self, progress: Callable[[int, int], None] | None = None) -> Rebuilt:
        """Compute every table again from the events, in one transaction; returns which rows differed.

        `progress` gets (runs done, runs in all). A table that is as it should be is not written.
        """
        with self._writing() as db:
            differed: dict[str, Change] = {}
            left: dict[str, str] = {}
            newest_rows, total = _rebuild_registry(db, differed)
            digests = {**_forward_runs(db), **{run_id: row["digest"] for run_id, row in newest_rows.items()}}
            for done, (run_id, digest) in enumerate(digests.items()):
                if progress:
                    progress(done, len(digests))
                if digest != FORWARD:
                    total += _rebuild_run(db, run_id, digest, differed)
                    continue
                changes, failed = dict[str, Change](), list[str]()
                with undoing(db, failed):
                    total += _rebuild_run(db, run_id, digest, changes)
                if failed:
                    left[run_id] = failed[0]
                    continue
                for name, change in changes.items():
                    _note(differed, name, change)
            for table in PROJECTIONS:
                for run_id in set(db.scalars(select(table.c.run_id).distinct())) - digests.keys():
                    gone = db.execute(table.delete().where(table.c.run_id == run_id)).rowcount
                    _note(differed, table.name, Change(unknown=gone))
            if progress:
                progress(len(digests), len(digests))
            return Rebuilt(_count(db, events), len(digests), total, differed, left)

    # ── connections ─────────────────────────────────────────────────────────────────────────────────────────────────

    @property
    def _file(self) -> Path | None:
        """The SQLite file; None for a server and for SQLite's own addresses (``file:``, ``:memory:``)."""
        database = self._url.database
        plain = self._url.get_backend_name() == "sqlite" and database and not database.startswith(("file:", ":"))
        return Path(database) if plain and database else None

    def _revision(self) -> str | None:
        if self._file is not None and not self._file.exists():
            return None
        with self._explain_errors(), connection.reading(self._engine) as db:
            return revisions.revision_of(db, connection.printable(self._url))

    @contextmanager
    def _writing(self, forward: bool = False) -> Iterator[Connection]:
        if self._file is not None:
            with suppress(OSError):  # the database says it better
                keep_private(self._file)
        with self._explain_errors(), connection.writing(self._engine) as db:
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
        with self._explain_errors(), connection.reading(self._engine) as db:
            yield db

    def _prepare(self, db: Connection, forward: bool) -> None:
        where = connection.printable(self._url)
        revision = revisions.revision_of(db, where)
        if revision is None:
            revisions.make(db)
        elif revision != HEAD and forward:
            revisions.bring_forward(db, revision)
            if revision < WITH_FORWARD_ROWS:  # what comes goes on from them
                for run_id in _forward_runs(db):
                    self._keep_rows(db, run_id, partial(_compute, db, run_id, FORWARD))
        elif revision != HEAD:
            found = f"the store has revision {revision}, this version needs {HEAD}"
            raise SimError(found, where=where, mend=revisions.UPGRADE)

    @contextmanager
    def _explain_errors(self) -> Iterator[None]:
        try:
            yield
        except SQLAlchemyError as error:
            if isinstance(error, StatementError) and not isinstance(error, DBAPIError) and error.orig is not None:
                # Not an error of the database: a value that is no JSON.
                raise error.orig from None
            raise connection.explain(error, self._url) from None

    def _size(self, db: Connection, names: list[str]) -> int:
        if db.dialect.name == "sqlite":
            pages, size = (db.exec_driver_sql(f"PRAGMA {name}").scalar() for name in ("page_count", "page_size"))
            return int(pages or 0) * int(size or 0)
        sizes = (db.scalar(select(func.pg_total_relation_size(name))) for name in names)
        return sum(int(size or 0) for size in sizes)


def _event_row(stored: Stored, packer: Packer) -> Row:
    event = stored.event
    if event.kind not in KINDS:
        raise SimError(f'the store knows no event "{event.kind}"')
    place, packed = (stored.run_id, stored.digest, event.kind), None
    if event.kind in PACKED:
        packed = packer.pack(place, connection.compact(without_facts(event.payload)))
    return {
        "position": stored.position,
        "run_id": stored.run_id,
        "digest": stored.digest,
        "kind": event.kind,
        "at": event.at,
        "account": event.account,
        "recorded_at": stored.recorded_at,
        "payload": {} if packed else event.payload,
        "packed": packed,
    }


def _payload(position: int, row: Mapping[str, Any], packed: bytes | None, packer: Packer) -> Any:
    """Return the payload of an event; events of older stores stand as JSON. Raises SimError where it cannot be read."""
    payload = row["payload"]
    try:
        if packed is not None and not isinstance(payload, connection.Unreadable):
            payload = packer.unpack((row["run_id"], row["digest"], row["kind"]), packed)
    except ValueError:
        payload = connection.Unreadable("")
    if isinstance(payload, connection.Unreadable):
        mend = "restore a copy of the store; events are never rewritten"
        raise SimError(f"event {position} of the store is not JSON", mend=mend)
    return payload


def _fetch(db: Connection, query: Select[Any]) -> list[Row]:
    return [dict(row._mapping) for row in db.execute(query)]


def _count(db: Connection, table: Table) -> int:
    return int(db.scalar(select(func.count()).select_from(table)) or 0)


def _history(
    db: Connection, run_id: str | None, digest: str, kinds: Sequence[str] = (), after: int = 0, most: int | None = None
) -> Generator[Stored, None, None]:
    """Events of one result (of all by None), oldest first, without those that only count it."""
    of_result = [events.c.digest == digest, events.c.kind.not_in(OF_FOLDERS), events.c.position > after]
    of_result += [events.c.run_id == run_id] if run_id is not None else []
    return _read(db, select(events).where(*of_result, *([events.c.kind.in_(kinds)] if kinds else [])).limit(most))


def _read(db: Connection, query: Select[Any]) -> Generator[Stored, None, None]:
    packer = Packer()
    with db.execute(query.order_by(events.c.position), execution_options={"yield_per": CHUNK}) as rows:
        for row in rows:
            payload = _payload(row.position, dict(row._mapping), row.packed, packer)
            event = Event(row.kind, row.at, row.account, payload)
            yield Stored(row.position, row.run_id, row.digest, row.recorded_at, event)


def _compute(db: Connection, run_id: str, digest: str, kinds: Sequence[Kind] = ()) -> Rows:
    """Compute the rows of a result; a reader of events is closed where that fails, before anything is undone."""
    splits = list(_history(db, run_id, digest, ("forward.split",)))
    with closing(_history(db, run_id, digest, kinds)) as history:
        return project(run_id, in_effect(history, splits))


def _advance(db: Connection, run_id: str, new: Sequence[Stored]) -> Rows:
    """Compute the rows of a forward test that events `new`, which are stored, add or change."""
    rows = project(run_id, new, read_before(db, run_id, new))
    if any(one.event.kind == "forward.split" for one in new):
        rows["positions"] = _compute(db, run_id, FORWARD, OF_HOLDINGS)["positions"]
        db.execute(positions.delete().where(positions.c.run_id == run_id))
    return rows


def _replace(db: Connection, table: Table, run_id: str | None, rows: list[Row]) -> None:
    """Replace what `table` holds, of one run or of all, by `rows`."""
    db.execute(table.delete() if run_id is None else table.delete().where(table.c.run_id == run_id))
    if rows:
        # In the order of their keys: so SQLite fills its pages.
        db.execute(table.insert(), sorted(rows, key=lambda row: key_of(table, row)))


def open_store(workspace: Workspace) -> Store:
    """Return the store of `workspace`: its file, or the database that DATABASE_URL names."""
    return Store(connection.store_place(workspace.registry))


def _forward_runs(db: Connection) -> dict[str, str]:
    """Return the forward tests that have rows, with the digest of their events."""
    query = select(events.c.run_id).distinct().where(events.c.digest == FORWARD, events.c.kind.in_(WITH_ROWS))
    return dict.fromkeys(sorted(db.scalars(query)), FORWARD)


# ── rebuilding ──────────────────────────────────────────────────────────────────────────────────────────────────────


def _rebuild_registry(db: Connection, differed: dict[str, Change]) -> tuple[dict[str, Mapping[str, Any]], int]:
    """Compute `runs` again; returns the newest row of every run, the first recorded first, and the number of rows."""
    rows: dict[tuple[str, str], Row] = {}
    for stored in _read(db, select(events).where(events.c.kind == "run.recorded")):
        key = (stored.run_id, stored.digest)
        rows[key] = count_recording(rows.get(key), stored)
    _rebuild(db, runs, None, list(rows.values()), differed)
    return newest(rows.values()), len(rows)


def _rebuild_run(db: Connection, run_id: str, digest: str, differed: dict[str, Change]) -> int:
    """Compute the rows of a result again; returns their number."""
    rows = _compute(db, run_id, digest)
    for table in PROJECTIONS:
        _rebuild(db, table, run_id, rows[table.name], differed)
    return sum(map(len, rows.values()))


def _rebuild(db: Connection, table: Table, run_id: str | None, rows: list[Row], differed: dict[str, Change]) -> None:
    """Bring `table` to `rows`, of one run or of all, and note how it differed."""
    query = select(table) if run_id is None else select(table).where(table.c.run_id == run_id)
    right = {key_of(table, row): row for row in rows}
    try:
        there = {key_of(table, row): row for row in _fetch(db, query)}
        changed = sum(there[key] != row for key, row in right.items() if key in there)
        change = Change(len(right.keys() - there.keys()), changed, len(there.keys() - right.keys()))
    except OperationalError as error:
        if "decode" not in str(error):
            raise
        # Text in SQLite that is none: nobody can say which rows are right.
        change = Change(
            lost=len(right), unknown=int(db.scalar(select(func.count()).select_from(query.subquery())) or 0)
        )
    if change != Change():
        _note(differed, table.name, change)
        _replace(db, table, run_id, rows)


def _note(differed: dict[str, Change], name: str, change: Change) -> None:
    differed[name] = differed.get(name, Change()) + change
