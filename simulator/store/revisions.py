"""Revisions of the database, and the way of an older one to the newest.

A new database is made at HEAD at once; Alembic is imported only where an older one is brought forward. A registry made
before there were revisions holds the single table `runs` and counts as 0001.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from simulator.errors import SimError
from simulator.store.connection import HEAD, KNOWN
from simulator.store.schema import schema, versions

if TYPE_CHECKING:
    from alembic.config import Config
    from sqlalchemy import Connection

UPGRADE = "`sim db upgrade` brings it forward, rows are kept"
FIRST = KNOWN[0]


def revision_of(db: Connection, where: str) -> str | None:
    """The revision of a database, None where it holds no table of ours.

    Raises SimError where tables of our names are not ours, and for a revision this version does not know.
    """
    from sqlalchemy import inspect, select

    found = inspect(db)
    names = set(found.get_table_names())
    if versions.name in names:
        revision: str | None = db.scalar(select(versions.c.version_num))
        if revision is not None and revision not in KNOWN:
            mend = f"this version knows {HEAD}: `pip install --upgrade council-simulator`"
            raise SimError(
                f"the store has revision {revision}, made by a newer version or another program", where=where, mend=mend
            )
        if revision is not None:
            return revision
    ours = sorted(names & set(schema.tables))
    if not ours:
        return None
    if ours == ["runs"] and {"run_id", "digest", "times"} <= {column["name"] for column in found.get_columns("runs")}:
        return FIRST
    raise SimError(
        f"the database holds tables of another program ({', '.join(ours[:3])})",
        where=where,
        mend="name a database of its own in DATABASE_URL",
    )


def make(db: Connection) -> None:
    """Make every table at HEAD in a database that holds none of them."""
    schema.create_all(db, checkfirst=False)
    versions.create(db, checkfirst=True)
    db.execute(versions.delete())
    db.execute(versions.insert().values(version_num=HEAD))


def bring_forward(db: Connection, revision: str) -> None:
    """Run the migrations from `revision` to HEAD inside the transaction of `db`."""
    from alembic import command

    config = migrations(db)
    if revision == FIRST:
        command.stamp(config, FIRST)
    command.upgrade(config, HEAD)


def migrations(db: Connection | None = None) -> Config:
    """Alembic's configuration of the migrations in this package, working on `db`."""
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations").replace("%", "%%"))
    config.attributes["connection"] = db
    return config
