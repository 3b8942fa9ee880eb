"""Rows of forward tests, kept beside their events: each event that comes changes the few rows that it is about.

new events ─► read_before: what the rows stand at ─► project ─► put_rows        sim db rebuild: all events ─► project

With a split the holdings of its test are computed again from all events: it counts from the morning of its session on.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import fields
from typing import Any

from sqlalchemy import ColumnElement, Connection, Table, and_, func, select
from sqlalchemy.exc import SQLAlchemyError

from simulator.errors import SimError
from simulator.printing import say
from simulator.store.events import Event, Kind, Stored
from simulator.store.projections import Folds, Holding, Row, Rows, key_of
from simulator.store.schema import PROJECTIONS, approvals, events, orders, positions, trades

FORWARD = "forward"
"""Digest of the events of a forward run, which has no result before its end."""
WITH_ROWS: tuple[Kind, ...] = (
    "approval.asked",
    "approval.given",
    "approval.refused",
    "approval.expired",
    "forward.started",
    "forward.split",
    "forward.fill",
    "forward.order",
)
"""Kinds of events of forward tests that rows are computed from."""


def read_before(db: Connection, run_id: str, new: Sequence[Stored]) -> Folds:
    """Return what the rows of a forward test stand at, as far as the events `new`, which are stored, go on from it."""
    added = [one.event for one in new]
    symbols = {str(one.payload.get("symbol")) for one in added if one.kind == "forward.fill"}
    for opening in (one.payload.get("opening") or {} for one in added if one.kind == "forward.started"):
        symbols |= {symbol for found in opening.values() for symbol in found.get("positions", ())}
    folds = Folds(has_begun=_has_begun(db, run_id, new))
    if symbols:
        _read_books(db, run_id, symbols, added, folds)
    asked = _values(added, "approval", "id")
    for row in _rows(db, approvals, run_id, approvals.c.id.in_(asked)) if asked else ():
        folds.approvals[row["id"]] = row
    ordered = _values(added, "forward.order", "client_order_id")
    for row in _rows(db, orders, run_id, orders.c.order_id.in_(ordered)) if ordered else ():
        folds.orders[row["account"], row["order_id"]] = row
    return folds


def _has_begun(db: Connection, run_id: str, new: Sequence[Stored]) -> bool:
    """Return True where a start before `new`, if there is one among them, recorded what the accounts hold."""
    if not any(one.event.kind == "forward.started" for one in new):
        return True
    earlier = select(events.c.payload).where(
        events.c.run_id == run_id, events.c.kind == "forward.started", events.c.position < new[0].position
    )
    return any(isinstance(one, dict) and one.get("opening") is not None for one in db.scalars(earlier))


def _read_books(db: Connection, run_id: str, symbols: Collection[str], added: Sequence[Event], folds: Folds) -> None:
    for table, numbers in ((trades, folds.fills), (positions, folds.opened)):
        last = select(table.c.account, func.max(table.c.number)).where(table.c.run_id == run_id)
        numbers |= {account: number + 1 for account, number in db.execute(last.group_by(table.c.account))}
    names = [one.name for one in fields(Holding)]
    for row in _rows(db, positions, run_id, positions.c.symbol.in_(symbols), positions.c.closed_at.is_(None)):
        folds.held[row["account"], row["symbol"]] = Holding(**{name: row[name] for name in names})
    told = _values(added, "forward.fill", "id")
    for row in _rows(db, trades, run_id, trades.c.fill_id.in_(told)) if told else ():
        folds.fill_ids.add((row["account"], row["fill_id"]))


def _values(added: Iterable[Event], kind: str, name: str) -> set[str]:
    return {str(one.payload[name]) for one in added if one.kind.startswith(kind) and name in one.payload}


def _rows(db: Connection, table: Table, run_id: str, *further: ColumnElement[bool]) -> list[Row]:
    query = select(table).where(table.c.run_id == run_id, *further)
    return [dict(row._mapping) for row in db.execute(query)]


def put_rows(db: Connection, rows: Rows) -> None:
    """Put each row in the place of the one with its key, or add it."""
    for table in PROJECTIONS:
        for row in sorted(rows[table.name], key=lambda one: key_of(table, one)):
            is_key: Any = and_(*(column == row[column.name] for column in table.primary_key.columns))
            if not db.execute(table.update().where(is_key), row).rowcount:
                db.execute(table.insert(), row)


@contextmanager
def undoing(db: Connection, failed: list[str]) -> Iterator[None]:
    """Undo what is written inside, and nothing else, where it fails: `failed` gets the reason.

    Rows only repeat what events say: none may keep an event from being recorded, or a store from being used.
    """
    inner = db.begin_nested()
    try:
        yield
    except (SimError, SQLAlchemyError, ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        inner.rollback()  # raises where the database gave up the whole transaction, and the event with it
        cause = getattr(error, "orig", None) or error
        text = (str(cause).splitlines() or [""])[0]
        failed.append(error.found if isinstance(error, SimError) else f"{type(cause).__name__}: {text}")
    else:
        inner.commit()


def tell_left(run_id: str, why: str) -> None:
    """Say that the rows of a forward test stay as they were; its events are whole."""
    say(f"sim: note: rows of {run_id} in the store stay as they were ({why}): `sim db rebuild`", err=True)
