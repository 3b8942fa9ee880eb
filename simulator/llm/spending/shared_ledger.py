"""Ledger that all processes of a workspace share and that outlives them: ``llm_cache/shared_ledger.db``.

    charges    how much more than the table says a model costs
    held       dollars promised to attempts in flight        spent     dollars paid, by run and hour
    questions  who is asking which question                  calls     when which endpoint was asked, for hourly limits
    holders    the processes behind all of these             breaker   whether the day's money is spent
    batches    questions out in batches, and the money set aside for them: they outlive the process that put them

A process that dies leaves its rows behind. The next one to look sees that it is gone: what it held is booked as likely
paid, because the service may have charged for an answer, and its questions are free to be asked again.
"""

from __future__ import annotations

import os
import socket
import sqlite3
import sys
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from simulator.errors import LLMError, NoResultError
from simulator.files import born, is_alive, keep_private
from simulator.llm.connection import BROKEN, Connection, result_code
from simulator.llm.spending.older_ledger import attach_older, copy_older

FILE = "shared_ledger.db"
FORMAT = 1
BUSY_SECONDS = 20.0
UNSEEN_SECONDS = 3600.0
"""Age after which rows of a process count as left behind where it cannot be looked at: another container, Windows."""
CHECK_SECONDS = 0.2
HOUR, DAY = 3600, 86_400
KEPT_HOURS, KEPT_ROWS = 48, 2000
AHEAD_HOURS = 31 * 24
"""Hours ahead of the clock that still count for the day; those of a run count however far ahead they are."""

TABLES = """
CREATE TABLE IF NOT EXISTS holders (id INTEGER PRIMARY KEY AUTOINCREMENT, place TEXT, pid INT, born TEXT, seen REAL);
CREATE TABLE IF NOT EXISTS held (id INTEGER PRIMARY KEY, holder INT, run TEXT, usd REAL, likely REAL);
CREATE TABLE IF NOT EXISTS spent (run TEXT, hour INT, usd REAL, lost REAL, PRIMARY KEY (run, hour)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS questions (key TEXT PRIMARY KEY, holder INT) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS calls (id INTEGER PRIMARY KEY, endpoint TEXT, at REAL, tokens INT);
CREATE INDEX IF NOT EXISTS calls_at ON calls (endpoint, at);
CREATE TABLE IF NOT EXISTS breaker (one INT PRIMARY KEY, state TEXT, day INT, usd REAL);
"""
CHARGES = "CREATE TABLE IF NOT EXISTS charges (model TEXT PRIMARY KEY, hour INT, more REAL) WITHOUT ROWID"
BATCHES = (
    "CREATE TABLE IF NOT EXISTS batches (name TEXT PRIMARY KEY, run TEXT, endpoint TEXT, model TEXT, questions INT, "
    "usd REAL, likely REAL, at REAL, holder INT, state TEXT, digest TEXT, file TEXT, batch TEXT) WITHOUT ROWID",
    "CREATE TABLE IF NOT EXISTS batched (key TEXT PRIMARY KEY, name TEXT) WITHOUT ROWID",
)
"""Not part of the format, as CHARGES: versions that do not know these tables leave them alone."""
MOST_USD = 1e6
"""Dollars above which a row is no sum that was paid: one of these would keep a workspace from asking for ever."""
POSSIBLE = f"(typeof({{0}}) IN ('real', 'integer') AND {{0}} BETWEEN 0 AND {MOST_USD:.0f})"


def ignore(line: str) -> None:
    """Say nothing."""


@dataclass(frozen=True)
class Spending:
    """Dollars of one day and one run: settled ones, and those promised to attempts in flight.

    `lost` is the part of the day's that was booked for attempts whose answer never came, `out` and `run_out` the parts
    that are set aside for batches: days may pass until these are settled, so that they count as spent.
    """

    day: float
    day_held: float
    run: float
    run_held: float
    lost: float = 0.0
    out: float = 0.0
    run_out: float = 0.0


class OutInBatchError(NoResultError):
    """The question is out in a batch, perhaps for a day."""


class SharedLedger:
    """The shared file in `folder`, made on first use. One object may serve all threads of a process.

    Every method is one short transaction. Raises LLMError where the disk says no.

    Parameters
    ----------
    clock : seconds since the epoch; money is counted by its UTC day
    say : gets a line where rows that cannot be were taken out
    """

    def __init__(
        self, folder: Path, clock: Callable[[], float] = time.time, say: Callable[[str], None] = ignore
    ) -> None:
        self.folder, self.clock, self.say = Path(folder), clock, say
        self._lock = threading.RLock()
        self._connection: sqlite3.Connection | None = None
        self._opened_in = 0
        self._holder = 0
        self._checked = float("-inf")
        self._closing: weakref.finalize | None = None  # type: ignore[type-arg]

    def close(self) -> None:
        """Book what is still held as likely paid and close the file; the next use opens it again."""
        with self._lock:
            # After a fork the connection is the parent's: closing it here would drop the parent's locks.
            if self._connection is None or self._opened_in != os.getpid():
                return
            with self.transaction() as db:
                _clear_holder(db, self._holder, self.hour)
            if self._closing is not None:
                self._closing()
            self._connection = None

    @property
    def hour(self) -> int:
        return int(self.clock() // HOUR)

    @property
    def day(self) -> int:
        return int(self.clock() // DAY)

    @property
    def holder(self) -> int:
        """Number of this process in the file."""
        return self._holder

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """A write transaction. Rows of dead processes are cleared before it begins."""
        with self._lock:
            try:
                db = self._open()
                # IMMEDIATE: a transaction that began as a reader could not wait for its turn to write, only fail.
                db.execute("BEGIN IMMEDIATE")
                try:
                    self._clear(db)
                    yield db
                except BaseException:
                    db.execute("ROLLBACK")
                    raise
                db.execute("COMMIT")
            except (sqlite3.Error, OSError) as error:
                raise _explain(error, self.folder) from None

    def spending(self, db: sqlite3.Connection, run: str) -> Spending:
        """Dollars that count against the limits of today (UTC) and, over its last 24 hours, of `run`."""
        first = self.day * DAY // HOUR
        # Hours ahead were booked before the clock was set back: they count on.
        day, lost = db.execute(
            "SELECT coalesce(sum(usd), 0.0), coalesce(sum(lost), 0.0) FROM spent WHERE hour BETWEEN ? AND ?",
            (first, self.hour + AHEAD_HOURS),
        ).fetchone()
        (by_run,) = db.execute(
            "SELECT coalesce(sum(usd), 0.0) FROM spent WHERE run = ? AND hour > ?", (run, self.hour - 24)
        ).fetchone()
        held, held_by_run = db.execute(
            "SELECT coalesce(sum(usd), 0.0), coalesce(sum(usd) FILTER (WHERE run = ?), 0.0) FROM held", (run,)
        ).fetchone()
        out, out_by_run = db.execute(
            "SELECT coalesce(sum(usd), 0.0), coalesce(sum(usd) FILTER (WHERE run = ?), 0.0) FROM batches", (run,)
        ).fetchone()
        return Spending(day + out, held, by_run + out_by_run, held_by_run, lost, out, out_by_run)

    def claim(self, key: str) -> bool:
        """Take the question for this process; False while another one, alive, is asking it.

        Raises OutInBatchError where its answer is waited for in a batch.
        """
        with self.transaction() as db:
            out = db.execute("SELECT batch FROM batched JOIN batches USING (name) WHERE key = ?", (key,)).fetchone()
            if out is not None:
                mend = "`sim batch` fetches what is answered and can cancel it"
                raise OutInBatchError(f"the question {key[:12]} is out in {out[0] or 'a batch'}", mend=mend)
            row = db.execute("SELECT holder FROM questions WHERE key = ?", (key,)).fetchone()
            if row is None:
                db.execute("INSERT INTO questions VALUES (?, ?)", (key, self._holder))
            return row is None or row[0] == self._holder

    def most_charged(self, model: str) -> float | None:
        """Times the table of prices, or dollars, that `model` was seen to cost (`Charges`); None where it was not."""
        with self.transaction() as db:
            row = db.execute("SELECT more FROM charges WHERE model = ?", (model,)).fetchone()
        return float(row[0]) if row else None

    def charged_at(self, service: str) -> dict[str, float]:
        """{model: `most_charged`} of all whose name begins with `service`."""
        with self.transaction() as db:
            query = "SELECT model, more FROM charges WHERE substr(model, 1, ?) = ?"
            return dict(db.execute(query, (len(service), service)).fetchall())

    def remember_charge(self, model: str, more: float) -> None:
        """Keep that for the runs that come after."""
        with self.transaction() as db:
            db.execute(
                "INSERT INTO charges VALUES (?, ?, ?) "
                "ON CONFLICT (model) DO UPDATE SET hour = excluded.hour, more = max(more, excluded.more)",
                (model, self.hour, more),
            )

    def release(self, key: str) -> None:
        """Let others ask that question."""
        with self.transaction() as db:
            db.execute("DELETE FROM questions WHERE key = ? AND holder = ?", (key, self._holder))

    def _open(self) -> sqlite3.Connection:
        if self._connection is not None and self._opened_in == os.getpid():
            return self._connection
        self.folder.mkdir(parents=True, exist_ok=True)
        keep_private(self.folder / FILE)
        db = sqlite3.connect(
            self.folder / FILE,
            timeout=BUSY_SECONDS,
            isolation_level=None,
            check_same_thread=False,
            cached_statements=64,
            factory=Connection,
        )
        try:
            _to_wal(db)
            for pragma in ("synchronous = NORMAL", "trusted_schema = OFF"):
                db.execute(f"PRAGMA {pragma}")
            # A file can only be attached outside of a transaction; whether its rows are still needed is decided inside.
            older = _format_of(db) < FORMAT and attach_older(db, self.folder)
            db.execute("BEGIN IMMEDIATE")
            _make_tables(db, self.folder, older)
            for statement in (CHARGES, *BATCHES):
                db.execute(statement)
            place, started = _place(), born(os.getpid()) or ""
            self._holder = db.execute(
                "INSERT INTO holders (place, pid, born, seen) VALUES (?, ?, ?, ?) RETURNING id",
                (place, os.getpid(), started, self.clock()),
            ).fetchone()[0]
            db.execute("COMMIT")
            if older:
                db.execute("DETACH older")
        except BaseException:
            db.close()
            raise
        self._connection, self._opened_in, self._checked = db, os.getpid(), float("-inf")
        self._closing = weakref.finalize(self, db.close)
        return db

    def _clear(self, db: sqlite3.Connection) -> None:
        """Clear rows of processes that are gone, a few times a second and whenever the file was just opened."""
        now = self.clock()
        if 0 <= now - self._checked < CHECK_SECONDS:
            return
        self._checked, place = now, _place()
        db.execute("UPDATE holders SET seen = ? WHERE id = ?", (now, self._holder))
        db.execute("DELETE FROM charges WHERE hour < ?", (self.hour - KEPT_HOURS,))
        # By number and not by age alone: a clock that was days ahead for a while must not have forgotten what was paid.
        db.execute(
            "DELETE FROM spent WHERE hour < ? AND (SELECT count(*) FROM spent) > ?", (self.hour - KEPT_HOURS, KEPT_ROWS)
        )
        self._heal(db)
        for holder, where, pid, since, seen in db.execute(
            "SELECT * FROM holders WHERE id != ?", (self._holder,)
        ).fetchall():
            # A row that no process wrote has none behind it.
            gone = [type(one) for one in (where, pid, since, seen)] != [str, int, str, float] or (
                not is_alive(pid, since) if where == place and place else now - seen > UNSEEN_SECONDS
            )
            if gone:
                _clear_holder(db, holder, self.hour)

    def _heal(self, db: sqlite3.Connection) -> None:
        """Take out dollars that are NaN, infinite or negative, which earlier versions believed. Rows of any other time
        stay: the clock may be wrong now, and what was paid was paid."""
        usd, lost, likely = (POSSIBLE.format(name) for name in ("usd", "lost", "likely"))
        now = "typeof(hour) = 'integer'"
        wrong = db.execute(f"DELETE FROM spent WHERE NOT ({usd} AND {lost} AND {now})").rowcount
        wrong += db.execute(f"DELETE FROM held WHERE NOT ({usd} AND {likely})").rowcount
        wrong += db.execute(f"UPDATE batches SET usd = 0.0, likely = 0.0 WHERE NOT ({usd} AND {likely})").rowcount
        db.execute(f"DELETE FROM charges WHERE NOT ({POSSIBLE.format('more')} AND {now})")
        db.execute("DELETE FROM calls WHERE at > ?", (self.clock() + HOUR,))
        db.execute(f"DELETE FROM breaker WHERE NOT {usd}")
        if wrong:
            # Opened by a sum that never was.
            db.execute("DELETE FROM breaker")
            self.say(f"{self.folder / FILE}: {wrong} impossible amount{'s' * (wrong > 1)} taken out of what was spent")


def book(db: sqlite3.Connection, run: str, hour: int, usd: float, lost: float = 0.0) -> None:
    """Add settled dollars to a run; `lost` is the part of them whose answer never came."""
    db.execute(
        "INSERT INTO spent VALUES (?, ?, ?, ?) "
        "ON CONFLICT (run, hour) DO UPDATE SET usd = usd + excluded.usd, lost = lost + excluded.lost",
        (run, hour, usd, lost),
    )


def _clear_holder(db: sqlite3.Connection, holder: int, hour: int) -> None:
    for run, likely in db.execute(
        "SELECT run, sum(likely) FROM held WHERE holder = ? GROUP BY run", (holder,)
    ).fetchall():
        book(db, run, hour, likely, likely)
    for table, column in (("held", "holder"), ("questions", "holder"), ("holders", "id")):
        db.execute(f"DELETE FROM {table} WHERE {column} = ?", (holder,))


def _to_wal(db: sqlite3.Connection) -> None:
    # The busy timeout does not cover a change of the journal mode that another process is making too.
    for attempt in range(200):
        try:
            db.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or attempt == 199:
                raise
            time.sleep(0.02)


def _format_of(db: sqlite3.Connection) -> int:
    version: int = db.execute("PRAGMA main.user_version").fetchone()[0]
    return version


def _make_tables(db: sqlite3.Connection, folder: Path, older: bool) -> None:
    """Make the tables where there are none yet, with the rows of the attached `older` ledger."""
    known = _format_of(db)
    if known > FORMAT:
        where, mend = str(folder / FILE), "upgrade council-simulator"
        raise LLMError(f"shared ledger has format {known}, known is {FORMAT}", where=where, mend=mend)
    if known < FORMAT:
        for statement in TABLES.strip().split(";\n"):
            db.execute(statement)
        if older:
            copy_older(db)
        db.execute(f"PRAGMA main.user_version = {FORMAT}")


def _place() -> str:
    """Name of the space in which process numbers are unique (boot and container); empty where it cannot be known."""
    if sys.platform == "win32":
        return ""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot} {os.readlink('/proc/self/ns/pid')}"
    except OSError:
        return socket.gethostname()


def _explain(error: BaseException, folder: Path) -> LLMError:
    found, mend = "is broken", "deleting it while nothing runs forgets what was spent today"
    if result_code(error) not in BROKEN:
        found, mend = "cannot be used", f"make room and allow writing there; {mend}"
    return LLMError(f"shared ledger of calls and dollars {found} ({error})", where=str(folder / FILE), mend=mend)
