"""Connection to a SQLite file of ``llm_cache`` that may be damaged."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from typing import Any


class Connection(sqlite3.Connection):
    """A connection on which a damaged file raises `sqlite3.DatabaseError`, whatever it says.

    SQLite quotes the damaged bytes of a schema in its message, and Python fails to decode that.
    """

    def execute(self, sql: str, parameters: Any = (), /) -> sqlite3.Cursor:
        try:
            return super().execute(sql, parameters)
        except UnicodeDecodeError as error:
            raise _damaged(error) from None

    def executemany(self, sql: str, parameters: Iterable[Any], /) -> sqlite3.Cursor:
        try:
            return super().executemany(sql, parameters)
        except UnicodeDecodeError as error:
            raise _damaged(error) from None


def _damaged(error: UnicodeDecodeError) -> sqlite3.DatabaseError:
    damaged = sqlite3.DatabaseError(error.object.decode("ascii", "backslashreplace"))
    damaged.sqlite_errorcode = sqlite3.SQLITE_CORRUPT
    return damaged


def result_code(error: BaseException) -> int:
    """SQLite's primary result code; 0 where Python itself complains."""
    code: int = getattr(error, "sqlite_errorcode", 0) or 0
    return code & 0xFF


BROKEN = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_ERROR)
"""Result codes of a file that is damaged, or is none of SQLite."""
