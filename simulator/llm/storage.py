"""Storage of the answer cache, the only module that uses diskcache: one SQLite file whose rows are bytes, no objects.

diskcache unpickles what a row's ``mode`` says (CVE-2025-69872, without a fix in 5.6.3), opens files a row names, drops
entries past 1 GB and lets them expire. Here a row is a key and a blob, and everything else is refused on reading. An
existing file is opened without diskcache's own code, which obeys the file's Settings table and writes to it.
"""

from __future__ import annotations

import os
import re
import shutil
import sqlite3
import tempfile
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import diskcache

from simulator.errors import CacheCorruptError, LLMError, SimError
from simulator.files import keep_private, name_aside, refuse_special, sweep, tighten
from simulator.llm.connection import BROKEN, Connection, result_code

FILE = "cache.db"
FORMAT = 1
BUSY_SECONDS = 60.0
PLAIN = [1, None, diskcache.core.MODE_RAW, None]
"""Columns of a row that is a key and a blob: raw, expire_time, mode, filename."""
MOST_AT_ONCE = 500
"""Keys looked up with one statement: SQLite has taken 999 since its beginnings."""
REPAIR = "`sim cache verify --repair` moves what is broken aside and loses nothing"
KEPT = "make room and allow writing there, then repeat the command: stored answers are kept"

KEY = re.compile(r"[0-9a-f]{64}")

SETTINGS = {
    "eviction_policy": "none",
    "cull_limit": 0,
    "size_limit": 2**62,
    "statistics": 0,
    "tag_index": 0,
    "sqlite_auto_vacuum": 0,
    "sqlite_journal_mode": "wal",
}


class RefusedRowError(Exception):
    """A row that is not a key and a blob."""


class StoredRow(NamedTuple):
    """A row of the file: `blob` is its bytes, or why it was refused; `key` may be anything then."""

    rowid: int
    tag: Any
    key: Any
    blob: bytes | RefusedRowError


class BytesDisk(diskcache.Disk):  # type: ignore[misc]
    """Bytes under sha256 keys inside the database; no way to unpickle, nor to touch a file that a row names."""

    def put(self, key: Any) -> tuple[str, bool]:
        if type(key) is not str or not KEY.fullmatch(key):
            raise RefusedRowError(f"key was {key!r:.80}, not a sha256")
        return key, True

    def get(self, key: Any, raw: Any) -> str:
        if raw != 1:
            raise RefusedRowError(f"raw was {raw!r:.20}, not 1")
        return self.put(key)[0]

    def store(self, value: Any, read: bool, key: Any = diskcache.UNKNOWN) -> tuple[int, int, None, bytes]:  # noqa: ARG002
        if type(value) is not bytes or read:
            raise RefusedRowError(f"value was {type(value).__name__}, not bytes")
        return len(value), diskcache.core.MODE_RAW, None, value

    def fetch(self, mode: Any, filename: Any, value: Any, read: bool) -> bytes:
        if mode != diskcache.core.MODE_RAW or filename is not None or read:
            raise RefusedRowError(f"storage mode was {mode!r:.20}, file {filename!r:.80}")
        if type(value) is not bytes:
            raise RefusedRowError(f"value was {type(value).__name__}, not bytes")
        return value

    def filename(self, key: Any = diskcache.UNKNOWN, value: Any = diskcache.UNKNOWN) -> tuple[str, str]:  # noqa: ARG002
        raise RefusedRowError("entries are not kept in files")

    def remove(self, file_path: Any) -> None:
        """Remove nothing: any path there is was planted in a row."""


def check_row(disk: BytesDisk, key: Any, raw: Any, expire_time: Any, mode: Any, filename: Any, value: Any) -> bytes:
    """Return the bytes of one row. Raises RefusedRowError."""
    disk.get(key, raw)
    if expire_time is not None:
        raise RefusedRowError("has an expiry date, and answers do not expire")
    return disk.fetch(mode, filename, value, False)


class Store(diskcache.Cache):  # type: ignore[misc]
    """A cache file opened as it is: no setting is read from it, nothing is written by opening.

    `access` is the query of the SQLite address: ``mode=rw``, ``mode=ro`` or ``immutable=1``.
    """

    def __init__(self, folder: Path, access: str = "mode=rw") -> None:
        self._directory = str(folder)
        self._address = f"{(folder / FILE).resolve().as_uri()}?{access}"
        self._timeout = BUSY_SECONDS
        self._local = threading.local()
        self._txn_id = None
        self._disk = BytesDisk(self._directory)
        for name, value in SETTINGS.items():
            setattr(self, name, value)
        try:
            self.format: int = self.sql("PRAGMA user_version").fetchone()[0]
        except BaseException:
            self.close()
            raise

    @property
    def _con(self) -> sqlite3.Connection:
        # A connection serves one thread of one process.
        here = (os.getpid(), getattr(self._local, "con", None))
        if here[1] is None or self._local.pid != here[0]:
            self._local.con = connect(self._address)
            self._local.pid = here[0]
            for pragma in ("synchronous = NORMAL", "cache_size = 8192", "trusted_schema = OFF"):
                self._local.con.execute(f"PRAGMA {pragma}")
        connection: sqlite3.Connection = self._local.con
        return connection

    def sql(self, statement: str, values: tuple[Any, ...] = ()) -> sqlite3.Cursor:
        return self._con.execute(statement, values)

    def executemany(self, statement: str, values: list[tuple[Any, ...]]) -> None:
        self._con.executemany(statement, values)

    def blob(self, key: str) -> bytes | None:
        """Return the bytes under `key`, None without a row. Raises RefusedRowError for a row that was tampered with.

        Not `diskcache.Cache.get`, for which an expired row, another ``raw`` or an unreadable file is a miss.
        """
        rows = self.sql("SELECT raw, expire_time, mode, filename, value FROM Cache WHERE key = ?", (key,)).fetchall()
        if not rows:
            return None
        if len(rows) > 1:
            raise RefusedRowError("stands in two rows")
        return check_row(self._disk, key, *rows[0])

    def blobs(self, keys: Sequence[str]) -> dict[str, bytes]:
        """Return {key: `blob`} of those of `keys` that there are. Raises RefusedRowError as `blob`."""
        found: dict[str, bytes] = {}
        for start in range(0, len(keys), MOST_AT_ONCE):
            some = keys[start : start + MOST_AT_ONCE]
            columns, marks = "key, raw, expire_time, mode, filename, value", ",".join("?" * len(some))
            for key, *rest in self.sql(f"SELECT {columns} FROM Cache WHERE key IN ({marks})", tuple(some)):
                if key in found:
                    raise RefusedRowError("stands in two rows")
                plain = rest[:-1] == PLAIN and type(rest[-1]) is bytes
                found[key] = rest[-1] if plain else check_row(self._disk, key, *rest)
        return found

    def rows(
        self, where: str = "1", values: tuple[Any, ...] = (), order: str = "key, raw", most: int = -1
    ) -> Iterator[StoredRow]:
        """Rows, refused ones among them. Those written meanwhile may or may not be seen."""
        return map(self.check, self.raw_rows(where, values, order, most))

    def raw_rows(
        self, where: str = "1", values: tuple[str, ...] = (), order: str = "key, raw", most: int = -1
    ) -> sqlite3.Cursor:
        """Rows as they stand, for `check`."""
        columns = "rowid, tag, key, raw, expire_time, mode, filename, value"
        return self.sql(f"SELECT {columns} FROM Cache WHERE {where} ORDER BY {order} LIMIT ?", (*values, most))

    def check(self, row: tuple[Any, ...]) -> StoredRow:
        """Return a row of `raw_rows` with its bytes, or why they were refused."""
        rowid, tag, key, *rest = row
        try:
            return StoredRow(rowid, tag, key, check_row(self._disk, key, *rest))
        except RefusedRowError as refused:
            return StoredRow(rowid, tag, key, refused)

    def forget_transaction(self) -> None:
        """Give up what a failed write left open: diskcache leaves the transaction of a failed COMMIT as it is."""
        self._txn_id = None
        self.close()


def connect(address: str) -> sqlite3.Connection:
    """Connect so that text that is no UTF-8 can be read: such a row is refused, and no failure of the file."""
    connection = sqlite3.connect(address, timeout=BUSY_SECONDS, isolation_level=None, uri=True, factory=Connection)
    connection.text_factory = lambda text: text.decode("utf-8", "surrogateescape")
    return connection


def attach(folder: Path) -> Store | None:
    """Open the store of `folder`, None where there is none yet. Makes nothing and needs no write access.

    Raises CacheCorruptError for a file of another program, LLMError for one that cannot be opened.
    """
    try:
        if (folder / FILE).exists():
            refuse_special(folder / FILE)
            tighten(folder / FILE)
            return _check_format(_open(folder), folder)
        # SQLite would take a journal without its file for that of the file made next.
        if _has_journal(folder) and not (folder / FILE).exists():
            raise CacheCorruptError(f"{FILE}-wal lies there without its {FILE}", where=str(folder), mend=REPAIR)
        return None
    except (sqlite3.Error, OSError) as error:
        raise explain(error, folder) from None


def _open(folder: Path) -> Store:
    """Open for writing where the disk allows it, else for reading.

    In a read-only folder SQLite cannot make the shared-memory file of its journal. ``immutable`` needs none, but reads
    no journal either: it is right only where a clean close left none.
    """
    try:
        return Store(folder)
    except sqlite3.OperationalError as error:
        if result_code(error) not in (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY):
            raise
    try:
        return Store(folder, "mode=ro")
    except sqlite3.OperationalError:
        if _has_journal(folder):
            raise
    return Store(folder, "immutable=1")


def _has_journal(folder: Path) -> bool:
    journal = folder / f"{FILE}-wal"
    return journal.exists() and journal.stat().st_size > 0


def _check_format(store: Store, folder: Path) -> Store:
    if store.format == FORMAT:
        return store
    store.close()
    where = str(folder / FILE)
    if store.format > FORMAT:
        raise LLMError(
            f"LLM cache has format {store.format}, known is {FORMAT}", where=where, mend="upgrade council-simulator"
        )
    raise CacheCorruptError("is not an LLM cache of this program", where=where, mend=REPAIR)


def open_store(folder: Path) -> Store:
    """Open the store of `folder`, made when there is none: it appears whole, however many processes make it.

    Raises LLMError where it cannot be written, CacheCorruptError as `attach`.
    """
    sweep(folder)
    store = attach(folder)
    if store is None:
        try:
            _make(folder)
        except (sqlite3.Error, OSError) as error:
            raise explain(error, folder) from None
        store = attach(folder)
    if store is None:
        raise LLMError("LLM cache vanished while it was made", where=str(folder), mend="repeat the command")
    return store


def _make(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    fresh = name_aside(folder / FILE)
    try:
        keep_private(fresh)
        # Made elsewhere, for diskcache expands "$" and "~" in the folder it is given.
        with tempfile.TemporaryDirectory() as scratch:
            cache = diskcache.Cache(scratch, disk=BytesDisk, **SETTINGS)
            cache._sql(f"PRAGMA user_version = {FORMAT}")
            cache.close()
            shutil.copyfile(Path(scratch) / FILE, fresh)
        _place(fresh, folder / FILE)
    finally:
        fresh.unlink(missing_ok=True)


def _place(fresh: Path, target: Path) -> None:
    try:
        # Not a rename, which would replace the file that another process has made and written to meanwhile.
        os.link(fresh, target)
    except FileExistsError:
        pass
    except OSError:
        # A file system without hard links.
        if not target.exists():
            os.rename(fresh, target)


def explain(error: BaseException | None, folder: Path) -> SimError:
    """Turn an error of SQLite, diskcache or the disk about the cache in `folder` into one line with a way out."""
    if isinstance(error, diskcache.Timeout):
        # diskcache hides why a transaction could not begin.
        error = error.__context__
    where = str(folder)
    if not isinstance(error, sqlite3.Error):
        reason = getattr(error, "strerror", None) or str(error)
        return LLMError(f"LLM cache cannot be used ({reason})", where=where, mend=KEPT)
    code = result_code(error)
    if code in BROKEN:
        return CacheCorruptError(f"LLM cache is broken ({error})", where=where, mend=REPAIR)
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        found = f"LLM cache was locked by another process for {BUSY_SECONDS:.0f} s"
        return LLMError(found, where=where, mend="end that process, then repeat the command")
    if code in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM):
        return LLMError(f"LLM cache is read-only ({error})", where=where, mend=f"{KEPT}; `--cache replay` only reads")
    return LLMError(f"LLM cache cannot be used ({error})", where=where, mend=KEPT)
