"""Connections to the store: a SQLite file in the workspace, or the server that DATABASE_URL names."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, quote_plus

from simulator.errors import SimError, UsageError

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine
    from sqlalchemy.engine import URL
    from sqlalchemy.exc import SQLAlchemyError

KNOWN = ("0001", "0002", "0003", "0004", "0005")
"""Revisions of simulator/store/migrations, oldest first."""
HEAD = KNOWN[-1]

VARIABLE = "DATABASE_URL"
DRIVER = "postgresql+psycopg"
EXTRA = "`pip install 'council-simulator[postgres]'`"
BUSY_SECONDS = 60
CONNECT_SECONDS = 10
LOCK = 0x73696D  # "sim": every writer of a PostgreSQL database waits for this advisory lock.
FILE_INSTEAD = "name a file, sqlite:////home/me/sim.db, or unset it to use the workspace's own"
SECRET = ("password", "sslpassword", "passfile")


def store_place(default: Path) -> Path | str:
    """DATABASE_URL where it is set, else `default`."""
    return os.environ.get(VARIABLE) or default


def parse_place(place: Path | str) -> URL:
    """Return the SQLAlchemy URL of a SQLite file or of a database URL. Raises UsageError for anything else."""
    from sqlalchemy.engine import URL, make_url
    from sqlalchemy.exc import ArgumentError

    if isinstance(place, Path):
        return URL.create("sqlite", database=str(place))
    try:
        url = make_url(place)
        backend = url.get_backend_name()
    except (ArgumentError, ValueError):
        # Not repeated in the error: it may hold a password.
        mend = "write postgresql://USER:PASSWORD@HOST/DATABASE, with %40 for an @ in the password"
        raise UsageError(f"{VARIABLE} is no database URL", mend=mend) from None
    if backend in ("postgresql", "postgres"):
        return url.set(drivername=DRIVER)
    if backend == "sqlite":
        if not url.database or ":memory:" in url.database or url.query.get("mode") == "memory":
            raise UsageError(f"{VARIABLE} names a database in memory, which ends with the command", mend=FILE_INSTEAD)
        return url
    raise UsageError(f"{VARIABLE} names {backend}", mend="the store is SQLite or PostgreSQL")


def printable(url: URL) -> str:
    """Return a SQLite path, or an address whose secrets are stars."""
    if url.get_backend_name() == "sqlite":
        return str(url.database or ":memory:")
    stars = {name: "***" for name in SECRET if name in url.query}
    return url.update_query_dict(stars).set(drivername="postgresql").render_as_string().replace("%2A", "*")


def connect(url: URL) -> Engine:
    """Return an engine whose SQLite transactions begin as the option `begin` says (``IMMEDIATE``: as a writer).

    Nothing is opened before the first transaction. Raises SimError when the driver is not installed.
    """
    from sqlalchemy import create_engine, event

    sqlite = url.get_backend_name() == "sqlite"
    more = {"timeout": BUSY_SECONDS} if sqlite else {"connect_timeout": CONNECT_SECONDS}
    try:
        engine = create_engine(
            url,
            connect_args={name: value for name, value in more.items() if name not in url.query},
            json_serializer=compact,
            json_deserializer=_parse,
        )
    except ImportError:
        raise SimError("PostgreSQL needs psycopg, which is not installed", where=printable(url), mend=EXTRA) from None
    if sqlite:
        # The driver would begin late, as a reader, and leave CREATE TABLE outside of transactions: it is set to begin
        # nothing, and BEGIN is sent here.
        event.listen(engine, "connect", lambda driver, _record: setattr(driver, "isolation_level", None))
        event.listen(
            engine, "begin", lambda db: db.exec_driver_sql(f"BEGIN {db.get_execution_options().get('begin', '')}")
        )
    return engine


def compact(value: Any) -> str:
    """Return `value` as compact JSON. Raises ValueError for NaN."""
    from pydantic_core import PydanticSerializationError, to_json

    # A tenth of a second faster in a year of councils than `json`, which has the last word where the two would differ:
    # NaN is refused, half a surrogate pair is kept as its escape.
    try:
        text = to_json(value).decode()
    except PydanticSerializationError:
        text = "NaN"
    if "NaN" in text or "Infinity" in text:
        return json.dumps(value, separators=(",", ":"), allow_nan=False)
    return text


@dataclass(frozen=True)
class Unreadable:
    """Text in a JSON column that is no JSON: SQLite lets anybody write anything."""

    text: str


def _parse(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return Unreadable(text)


@contextmanager
def writing(engine: Engine) -> Iterator[Connection]:
    """Open a transaction no other writer is inside of: committed at the end, undone on any error."""
    with engine.connect().execution_options(begin="IMMEDIATE") as db, db.begin():
        if db.dialect.name == "postgresql":
            db.exec_driver_sql(f"SELECT pg_advisory_xact_lock({LOCK})")
        yield db


@contextmanager
def reading(engine: Engine) -> Iterator[Connection]:
    """Open a transaction that sees the store at one moment."""
    options: dict[str, Any] = {"isolation_level": "REPEATABLE READ"} if engine.dialect.name == "postgresql" else {}
    with engine.connect().execution_options(**options) as db, db.begin():
        yield db


MENDS = {
    "locked": "another command is writing to it: repeat this one",
    "full": "free some space and repeat the command",
    "disk i/o": "free some space and repeat the command",
    "not a database": "move the file away; the run folders hold the evidence",
    "malformed": "restore a copy of the file, or move it away; the run folders hold the evidence",
}


def explain(error: SQLAlchemyError, url: URL) -> SimError:
    """Return an error of the database as one line without secrets, and what mends it."""
    cause = str(getattr(error, "orig", None) or error).strip()
    cause = without_secrets(cause.splitlines()[0] if cause else type(error).__name__, url)
    low = cause.lower()
    mend = next((mend for sign, mend in MENDS.items() if sign in low), "`sim doctor` shows what can be written")
    if url.get_backend_name() != "sqlite":
        mend = f"look after the server, or unset {VARIABLE} to use the workspace's own file"
    return SimError(f"the store cannot be used ({cause})", where=printable(url), mend=mend)


def without_secrets(text: str, url: URL) -> str:
    """Return `text` with stars for every secret of `url`, however it is quoted."""
    secrets = [url.password, *(url.query.get(name) for name in SECRET)]
    for secret in secrets:
        for spelling in {str(secret), quote(str(secret), safe=""), quote_plus(str(secret))} if secret else ():
            text = text.replace(spelling, "***")
    return text
