"""Opinions kept, so that a rerun need not put its questions again: ``llm_cache/opinions.db``.

    key ─► sha256 of key and text ‖ zlib of the text: {"answers": …, "calls": …, "refusals": …} and the opinion, lines

The key says all an opinion rests on but the stored answers; these are looked at each time, byte for byte. An opinion
whose answers were refreshed, forgotten, imported or damaged since is none, and the questions are put as ever.

It is a cache of what the answers say: whoever removes or damages it loses time and nothing else. Nothing here raises.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
import zlib
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path

from simulator.files import keep_private, refuse_special
from simulator.keys import scrub
from simulator.llm.connection import BROKEN, Connection, result_code
from simulator.llm.gateway import Gateway
from simulator.llm.messages import Usage
from simulator.llm.trace import Call, Trace

FILE = "opinions.db"
LARGEST = 256 * 2**20
"""Bytes of the file above which the older half of its opinions goes."""
BUSY_SECONDS = 2.0


@dataclass(frozen=True)
class KeptOpinion:
    """An opinion as JSON text, and the questions {key: call} behind it."""

    content: str
    calls: dict[str, Call]


class OpinionStore:
    """Opinions formed through `gateway`, in `folder` beside its answers.

    What is kept goes to disk with `close`, in one step.
    """

    def __init__(self, folder: Path, gateway: Gateway) -> None:
        self.path, self._gateway = folder / FILE, gateway
        self._fresh: list[tuple[str, bytes]] = []
        self._connection: sqlite3.Connection | None = None

    def find(self, key: str) -> KeptOpinion | None:
        """Return the opinion of that key where every answer behind it is stored as it was read."""
        with suppress(OSError, sqlite3.Error, ValueError, KeyError, TypeError, zlib.error):
            head, content = self._read(key).split("\n")
            kept = json.loads(head)
            refused = {name: self._gateway.refusals_of(*name.split("|")) for name in kept["refusals"]}
            if self._gateway.cache.stands(kept["answers"]) and all(
                sorted(fields) == kept["refusals"][name] for name, fields in refused.items()
            ):
                calls = kept["calls"].items()
                return KeptOpinion(content, {k: Call(**{**one, "usage": Usage(**one["usage"])}) for k, one in calls})
        return None

    def keep(self, key: str, content: str, trace: Trace) -> None:
        """Keep `content`, JSON on one line, which was made of the answers in `trace`."""
        calls = {name: {**vars(call), "usage": vars(call.usage)} for name, call in trace.calls.items()}
        head = json.dumps({"answers": trace.answers, "calls": calls, "refusals": trace.refusals})
        text = f"{head}\n{content}"
        # Answers hold no secrets of the day they came; a word of theirs may have become one since.
        if trace.complete and scrub(text) == text:
            packed = zlib.compress(text.encode(), 1)
            self._fresh.append((key, hashlib.sha256(key.encode() + packed).digest() + packed))

    def close(self) -> None:
        """Write what was kept, or give it up where the disk says no; the next use opens the file again."""
        fresh, self._fresh = self._fresh, []
        if self._connection is not None:
            self._connection.close()
            self._connection = None
        if not fresh:
            return
        with suppress(OSError, sqlite3.Error):
            try:
                _write(self.path, fresh)
            except sqlite3.Error as error:
                if result_code(error) not in BROKEN:
                    raise
                for end in ("", "-journal", "-wal", "-shm"):
                    self.path.with_name(FILE + end).unlink(missing_ok=True)
                _write(self.path, fresh)

    def _read(self, key: str) -> str:
        if self._connection is None:
            refuse_special(self.path)
            self._connection = _connect(self.path)
        (value,) = self._connection.execute("SELECT value FROM opinions WHERE key = ?", (key,)).fetchone()
        if hashlib.sha256(key.encode() + value[32:]).digest() != value[:32]:
            raise ValueError("does not match its digest")
        return zlib.decompress(value[32:]).decode()


def _connect(path: Path) -> sqlite3.Connection:
    # For reading too: what a killed writer left half done is undone by whoever may write. Makes no file.
    address = f"{path.resolve().as_uri()}?mode=rw"
    return sqlite3.connect(address, timeout=BUSY_SECONDS, isolation_level=None, uri=True, factory=Connection)


def _write(path: Path, rows: list[tuple[str, bytes]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    keep_private(path)
    with closing(_connect(path)) as connection:
        # Losing it costs time alone, so nobody waits for the disk.
        connection.execute("PRAGMA synchronous = OFF")
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("CREATE TABLE IF NOT EXISTS opinions (key TEXT PRIMARY KEY, value BLOB NOT NULL)")
        connection.executemany("INSERT OR REPLACE INTO opinions VALUES (?, ?)", rows)
        pages, free, size = (
            connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_count", "freelist_count", "page_size")
        )
        if (pages - free) * size > LARGEST:
            connection.execute(
                "DELETE FROM opinions WHERE rowid <= (SELECT rowid FROM opinions ORDER BY rowid LIMIT 1"
                " OFFSET (SELECT count(*) / 2 FROM opinions))"
            )
        connection.execute("COMMIT")
