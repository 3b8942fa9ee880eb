"""The registry of runs: every distinct run ever made in a workspace, so that trials are counted without anyone
having to remember to declare them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlalchemy import JSON, Column, DateTime, Engine, Integer, MetaData, String, Table, create_engine, func, select
from sqlalchemy.exc import IntegrityError, OperationalError, SQLAlchemyError

from simulator.errors import SimError
from simulator.store.folders import is_partial

schema = MetaData()

runs = Table(
    "runs",
    schema,
    Column("run_id", String(16), primary_key=True),
    Column("strategy", String, nullable=False),
    Column("symbols", JSON, nullable=False),
    Column("first", String(10), nullable=False),
    Column("last", String(10), nullable=False),
    Column("digest", String(64), nullable=False),
    Column("folder", String, nullable=False),
    Column("metrics", JSON, nullable=False),
    Column("first_run_at", DateTime(timezone=True), nullable=False),
    Column("last_run_at", DateTime(timezone=True), nullable=False),
    Column("times", Integer, nullable=False),
)


class Registry:
    """Runs of one workspace. `url` is an SQLAlchemy URL; SQLite by default."""

    def __init__(self, place: Path | str) -> None:
        self._place = place
        url = f"sqlite:///{place}" if isinstance(place, Path) else place
        self._engine: Engine = create_engine(url)

    def record(self, run: Mapping[str, Any], folder: str) -> int:
        """Enter one run (its run.json) or count it once more; returns the number of distinct runs so far.

        A run that stopped early is entered like any other, for it was looked at; it never takes the place of the whole
        one, which takes its.

        Raises SimError when the registry cannot be written.
        """
        now = datetime.now(UTC)
        row = {
            "run_id": run["run_id"],
            "strategy": run["strategy"],
            "symbols": run["symbols"],
            "first": run["from"],
            "last": run["to"],
            "digest": run["digest"],
            "folder": folder,
            "metrics": run["metrics"],
        }
        try:
            try:
                return self._enter(row, now)
            except (IntegrityError, OperationalError):
                # Another process made the table or entered the same run in between: now it is there.
                return self._enter(row, now)
        except SQLAlchemyError as error:
            raise self._trouble(error) from None

    def _enter(self, row: Mapping[str, Any], now: datetime) -> int:
        schema.create_all(self._engine)
        with self._engine.begin() as db:
            same = runs.c.run_id == row["run_id"]
            known = db.execute(select(runs.c.folder).where(same)).first()
            if known is None:
                db.execute(runs.insert().values(**row, first_run_at=now, last_run_at=now, times=1))
            else:
                kept = {} if is_partial(row["folder"]) and not is_partial(known.folder) else row
                db.execute(runs.update().where(same).values(**kept, last_run_at=now, times=runs.c.times + 1))
            return int(db.scalar(select(func.count()).select_from(runs)) or 0)

    def rows(self) -> list[dict[str, Any]]:
        """Every run, the first made first; `partial` where all there is of it stopped early."""
        try:
            schema.create_all(self._engine)
            with self._engine.connect() as db:
                found = db.execute(select(runs).order_by(runs.c.first_run_at))
                return [{**r._mapping, "partial": is_partial(r.folder)} for r in found]
        except SQLAlchemyError as error:
            raise self._trouble(error) from None

    def close(self) -> None:
        self._engine.dispose()

    def _trouble(self, error: SQLAlchemyError) -> SimError:
        cause = str(getattr(error, "orig", error))
        return SimError(f"the run registry cannot be used ({cause})", where=str(self._place), mend="`sim doctor`")
