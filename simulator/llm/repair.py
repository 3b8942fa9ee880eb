"""Verification and repair of the answer cache: `sim cache verify [--repair]`.

rows that fail their digest, key or mode ──► a line each in quarantine.jsonl, then deleted
a file that is no sound database         ──► good rows to a new file, the old one to quarantine-N.db
"""

from __future__ import annotations

import base64
import hashlib
import json
import math
import os
import re
import shutil
import sqlite3
import zlib
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import fields
from itertools import count
from pathlib import Path
from typing import Any

from pydantic_core import from_json

from simulator.errors import CacheCorruptError
from simulator.files import folder_aside, keep_private
from simulator.llm.cache import OUTCOMES, AnswerCache, BadEntry, Entry, Verification, entry_from, unpack
from simulator.llm.connection import result_code
from simulator.llm.messages import ChatResponse, Usage
from simulator.llm.storage import (
    FILE,
    BytesDisk,
    RefusedRowError,
    Store,
    attach,
    check_row,
    connect,
    explain,
)

QUARANTINE = "quarantine.jsonl"
ANSWER_FIELDS = {field.name for field in fields(ChatResponse)}
USAGE_FIELDS = {field.name for field in fields(Usage)}
PLAIN_PURPOSE = re.compile(rb'\{"purpose":\{(?:"[\w.:/ -]*":"[\w.:/@ +-]*"(?:,(?!$)|$))*')
"""The beginning of a question whose labels hold nothing that JSON escapes."""

THREADS, AT_ONCE = min(4, os.cpu_count() or 1), 256
GIVE_UP = 100_000
"""Unreadable rows one after the other, after which a broken file counts as read to its end."""


def verify(cache: AnswerCache, *, repair: bool) -> Verification:
    """See `AnswerCache.verify`."""
    cache.close()
    try:
        try:
            store = attach(cache.folder)
            if store is None:
                return Verification(entries=0)
            with closing(store):
                _check_file(store, cache.folder)
                return _verify_rows(store, cache.folder, repair)
        except CacheCorruptError as broken:
            if not repair:
                return Verification(entries=0, bad=(BadEntry(FILE, broken.found),))
            return _replace_file(cache.folder)
    except (sqlite3.Error, OSError) as error:
        raise explain(error, cache.folder) from None


def _check_file(store: Store, folder: Path) -> None:
    try:
        (report,) = store.sql("PRAGMA integrity_check(1)").fetchone()
    except sqlite3.DatabaseError as error:
        raise explain(error, folder) from None
    if report != "ok":
        raise CacheCorruptError(f"LLM cache is broken ({report})", where=str(folder))


def _verify_rows(store: Store, folder: Path, repair: bool) -> Verification:
    entries, bad = 0, list[tuple[int, BadEntry]]()
    # In the order of the file: by key it would be read back and forth.
    rows = store.raw_rows(order="rowid")
    pending: deque[Future[tuple[int, list[tuple[int, BadEntry]]]]] = deque()
    # Unpacking and hashing leave Python's lock to other threads; few rows at a time, for a cache outgrows memory.
    with ThreadPoolExecutor(THREADS) as pool:
        for some in iter(lambda: rows.fetchmany(AT_ONCE), []):
            pending.append(pool.submit(_check_rows, store, some))
            if len(pending) > 2 * THREADS:
                sound, found = pending.popleft().result()
                entries, bad = entries + sound, bad + found
        for checked in pending:
            sound, found = checked.result()
            entries, bad = entries + sound, bad + found
    moved = folder / QUARANTINE if repair and bad else None
    if moved:
        with store.transact():
            _quarantine(store, bad, moved)
    named = sorted((entry for _, entry in bad), key=lambda entry: entry.key)
    return Verification(entries, tuple(named), moved)


def _check_rows(store: Store, rows: list[tuple[Any, ...]]) -> tuple[int, list[tuple[int, BadEntry]]]:
    """Return the number of sound rows, and the bad ones with their numbers."""
    bad = []
    for row in map(store.check, rows):
        try:
            _check_entry(row.key, row.blob)
        except ValueError as error:
            bad.append((row.rowid, BadEntry(_printable(row.key), str(error))))
    return len(rows) - len(bad), bad


def _check_entry(key: Any, blob: bytes | RefusedRowError) -> None:
    """Raise ValueError where `entry_from` does, in a quarter of its time.

    A question whose bytes have the sha256 that is its key is what was asked, and need not be parsed; anything unusual
    is left to `entry_from`.
    """
    if not isinstance(blob, RefusedRowError) and isinstance(key, str):
        answer, packed = unpack(key, blob)
        try:
            head, _, request = zlib.decompress(packed)[:-1].partition(b'},"request":')
            if (
                hashlib.sha256(request).hexdigest() == key
                and b'"messages":[' in request
                and b'"model":' in request
                and b'"provider":' in request
                and PLAIN_PURPOSE.fullmatch(head)
                and _is_plain(from_json(answer))
            ):
                return
        except (ValueError, TypeError, KeyError, OverflowError, zlib.error):
            pass  # entry_from says what is wrong
    entry_from(key, blob)


def _is_plain(answer: dict[str, Any]) -> bool:
    """Return whether an answer has fields of today, each of its kind."""
    usage, latency = answer["usage"], answer["latency_s"]
    return (
        answer.keys() == ANSWER_FIELDS
        and usage.keys() <= USAGE_FIELDS
        and answer["outcome"] in OUTCOMES
        and {type(answer[name]) for name in ("text", "model", "asked_at", "finish")} == {str}
        and {type(number) for number in (latency, *usage.values())} <= {int, float}
        and -math.inf < latency + sum(usage.values()) < math.inf
    )


def _quarantine(store: Store, bad: list[tuple[int, BadEntry]], target: Path) -> None:
    # First on disk in `target`, then out of the cache: a kill in between leaves an entry twice, never not at all.
    keep_private(target)
    with target.open("a", encoding="utf-8") as out:
        for rowid, entry in bad:
            cursor = store.sql("SELECT * FROM Cache WHERE rowid = ?", (rowid,))
            names = [column[0] for column in cursor.description]
            for row in cursor:
                line = {"reason": entry.reason, "row": dict(zip(names, row, strict=True))}
                text = json.dumps(line, sort_keys=True, default=lambda raw: {"base64": base64.b64encode(raw).decode()})
                out.write(f"{text}\n")
        out.flush()
        os.fsync(out.fileno())
    for rowid, _ in bad:
        store.sql("DELETE FROM Cache WHERE rowid = ?", (rowid,))


def _printable(key: Any) -> str:
    return key if isinstance(key, str) else repr(key)[:80]


def _replace_file(folder: Path) -> Verification:
    """Make a sound file of what can still be read, and keep the broken one beside it."""
    bad: list[BadEntry] = []
    with folder_aside(folder / "repair") as scratch:
        with AnswerCache(scratch) as rescued:
            entries = rescued.put_entries(_survivors(folder / FILE, bad))
        names = (folder / f"quarantine-{number}.db" for number in count(1))
        aside = next(name for name in names if not name.exists())
        for suffix in ("-wal", "-shm"):
            if (folder / (FILE + suffix)).exists():
                os.replace(folder / (FILE + suffix), f"{aside}{suffix}")
        if (folder / FILE).exists():
            keep_private(aside)
            shutil.copyfile(folder / FILE, aside)
        os.replace(scratch / FILE, folder / FILE)
    return Verification(entries, (BadEntry(FILE, "is not a sound database"), *bad), aside)


def _survivors(path: Path, bad: list[BadEntry]) -> Iterator[Entry]:
    """Good entries of a broken file, row by row, because one unreadable page must not hide the others."""
    if not path.exists():
        return
    disk = BytesDisk(str(path.parent))
    with closing(connect(path.resolve().as_uri())) as connection:
        for key, *rest in _readable_rows(connection, bad):
            try:
                yield entry_from(key, check_row(disk, key, *rest))
            except (RefusedRowError, ValueError) as error:
                bad.append(BadEntry(_printable(key), str(error)))


def _readable_rows(connection: sqlite3.Connection, bad: list[BadEntry]) -> Iterator[tuple[Any, ...]]:
    columns = "rowid, key, raw, expire_time, mode, filename, value"
    statement = f"SELECT {columns} FROM Cache WHERE rowid > ? ORDER BY rowid LIMIT 1"
    rowid = unreadable = 0
    while unreadable < GIVE_UP:
        try:
            row = connection.execute(statement, (rowid,)).fetchone()
        except sqlite3.DatabaseError as error:
            if result_code(error) in (sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_ERROR):
                # No database at all, or one without our table.
                return
            if not unreadable:
                bad.append(BadEntry(f"rows after number {rowid}", str(error)))
            rowid, unreadable = rowid + 1, unreadable + 1
            continue
        if row is None:
            return
        rowid, unreadable = row[0], 0
        yield row[1:]
