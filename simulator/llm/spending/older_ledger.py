"""Takes over the ledger of earlier versions, ``llm_cache/tally.db``, with everything that was spent and promised.

    fence tally.db (one transaction) ─► copy its rows while the tables of shared_ledger.db are made (one transaction)

Each step is done whole or not at all and may be repeated: after a kill the next to open the ledger begins again. The
older file stays as the fence, so that money is never counted in two places: an earlier version refuses to open it, and
one that had it open already can settle what is in flight but promise nothing more.
"""

from __future__ import annotations

import sqlite3
from pathlib import Path

from simulator.errors import LLMError
from simulator.files import tighten

OLDER = "tally.db"
FENCED = 2
"""`user_version` of a fenced file. Earlier versions know 1, and say that a newer one is needed."""
TABLES = ("holders", "held", "spent", "questions", "calls", "breaker")
REFUSAL = "taken over by shared_ledger.db: repeat the command with this version of council-simulator"


def attach_older(db: sqlite3.Connection, folder: Path) -> bool:
    """Fence the older ledger in `folder` and attach it to `db` as ``older``; False where there is none to take over.

    To be called outside of a transaction. Raises LLMError for a file that cannot be read or fenced.
    """
    if not (folder / OLDER).exists():
        return False
    try:
        tighten(folder / OLDER)
        db.execute("ATTACH ? AS older", (str(folder / OLDER),))
        _fence(db)
    except sqlite3.Error as error:
        mend = "allow reading and writing it; deleting it while nothing runs forgets what was spent today"
        raise LLMError(f"cannot be taken over ({error})", where=str(folder / OLDER), mend=mend) from None
    return True


def _fence(db: sqlite3.Connection) -> None:
    # Committed before anything is copied: what is promised there after the copy would be known to nobody here. Not in
    # one transaction with the copy either, for SQLite commits two files in WAL mode one after the other.
    db.execute("BEGIN IMMEDIATE")
    try:
        (version,) = db.execute("PRAGMA older.user_version").fetchone()
        if 0 < version < FENCED:
            refuse = f"BEGIN SELECT RAISE(ABORT, '{REFUSAL}'); END"
            db.execute(f"CREATE TRIGGER older.refuse_promises BEFORE INSERT ON held {refuse}")
        if version < FENCED:
            db.execute(f"PRAGMA older.user_version = {FENCED}")
        db.execute("COMMIT")
    except BaseException:
        db.execute("ROLLBACK")
        raise


def copy_older(db: sqlite3.Connection) -> None:
    """Copy every row of the attached ledger, inside the transaction that makes the tables of `db`."""
    there = {name for (name,) in db.execute("SELECT name FROM older.sqlite_master WHERE type = 'table'")}
    for table in TABLES:
        if table in there:
            db.execute(f"INSERT INTO main.{table} SELECT * FROM older.{table}")
