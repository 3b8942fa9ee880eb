"""Batches in the shared ledger: which questions are out in which batch, and the dollars set aside for each.

    enter ─► new ─► creating ─► out ─► settle
      │      nothing sent  │     └── the service has named it
      │                    └── it may have been created: it is looked for by its name before it is created again
      └── in one transaction: the money is set aside, the questions are taken

A row outlives its process. Whoever comes next goes on where the last one stopped; the row is taken out once, with the
booking of what its answers cost.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Mapping
from dataclasses import astuple, dataclass, fields
from uuid import uuid4

from simulator.llm.spending.budget import Budget, Reservation
from simulator.llm.spending.shared_ledger import SharedLedger, book

NEW, CREATING, OUT = "new", "creating", "out"


@dataclass(frozen=True)
class BatchRow:
    """A batch that is out, or about to be put.

    Attributes
    ----------
    name : under which the service finds it again, in its ``metadata``
    usd, likely : dollars set aside, at the price of a batch
    at : seconds since the epoch when it was entered
    holder : process that puts it
    digest : sha256 (hex) of the content of its file
    file, batch : as the service names them; empty before it did
    """

    name: str
    run: str
    endpoint: str
    model: str
    questions: int
    usd: float
    likely: float
    at: float
    holder: int
    state: str = NEW
    digest: str = ""
    file: str = ""
    batch: str = ""


COLUMNS = ", ".join(one.name for one in fields(BatchRow))


class BatchLedger:
    """The rows of batches; raises as `SharedLedger`."""

    def __init__(self, ledger: SharedLedger) -> None:
        self.ledger = ledger

    def rows(self) -> list[BatchRow]:
        """All batches, the oldest first."""
        with self.ledger.transaction() as db:
            return [BatchRow(*row) for row in db.execute(f"SELECT {COLUMNS} FROM batches ORDER BY at, name")]

    def row(self, name: str) -> BatchRow | None:
        return next((one for one in self.rows() if one.name == name), None)

    def names(self, keys: Iterable[str]) -> dict[str, str]:
        """{key: name of the batch} of those of `keys` that are out."""
        with self.ledger.transaction() as db:
            wanted, out = set(keys), db.execute("SELECT key, name FROM batched").fetchall()
        return {key: name for key, name in out if key in wanted}

    def enter(
        self, budget: Budget, reserved: Reservation, to: tuple[str, str], dollars: Mapping[str, tuple[float, float]]
    ) -> tuple[BatchRow, tuple[str, ...]]:
        """Take the questions of `dollars` {key: (at most, likely)} that nobody else asks; `to` is (endpoint, model).

        Returns the row, with what is set aside for them, and their keys; no row stands in the ledger where all are
        asked elsewhere.
        """
        name, keys, ledger = uuid4().hex, [], self.ledger
        made: list[BatchRow] = []

        def take(db: sqlite3.Connection) -> None:
            for key in dollars:
                busy = db.execute("SELECT 1 FROM questions WHERE key = ?", (key,)).fetchone()
                if busy is None and db.execute("INSERT OR IGNORE INTO batched VALUES (?, ?)", (key, name)).rowcount:
                    keys.append(key)
            usd, likely = (sum(dollars[key][k] for key in keys) for k in (0, 1))
            made.append(BatchRow(name, budget.run, *to, len(keys), usd, likely, ledger.clock(), ledger.holder))
            if keys:
                marks = ", ".join("?" * len(fields(BatchRow)))
                db.execute(f"INSERT INTO batches ({COLUMNS}) VALUES ({marks})", astuple(made[0]))

        budget.hand_over(reserved, take)
        return made[0], tuple(keys)

    def let_go(self, name: str, dollars: Mapping[str, tuple[float, float]]) -> None:
        """Take questions out of a batch that was not sent yet, with their dollars."""
        with self.ledger.transaction() as db:
            for key, (usd, likely) in dollars.items():
                db.execute("DELETE FROM batched WHERE key = ?", (key,))
                db.execute(
                    "UPDATE batches SET questions = questions - 1, usd = max(0.0, usd - ?), "
                    "likely = max(0.0, likely - ?) WHERE name = ?",
                    (usd, likely, name),
                )

    def note(self, name: str, **now: str) -> None:
        """Keep how far a batch has come: `state`, `digest`, `file`, `batch`."""
        changes = ", ".join(f"{column} = ?" for column in now)
        with self.ledger.transaction() as db:
            db.execute(f"UPDATE batches SET {changes} WHERE name = ?", (*now.values(), name))

    def adopt(self, name: str) -> bool:
        """Take over the putting of a batch; False while the process that puts it is alive."""
        with self.ledger.transaction() as db:
            free = "holder = ? OR holder NOT IN (SELECT id FROM holders)"
            change = f"UPDATE batches SET holder = ? WHERE name = ? AND ({free})"
            return bool(db.execute(change, (self.ledger.holder, name, self.ledger.holder)).rowcount)

    def settle(self, row: BatchRow, usd: float, lost: float = 0.0) -> bool:
        """Book `usd` for a batch and take it out, with its questions; False where that was done before.

        `lost` is the part of it whose answers never came.
        """
        with self.ledger.transaction() as db:
            if not db.execute("DELETE FROM batches WHERE name = ?", (row.name,)).rowcount:
                return False
            db.execute("DELETE FROM batched WHERE name = ?", (row.name,))
            # Perhaps opened by what was set aside and is free now; where the day's money is spent, it opens again.
            db.execute("DELETE FROM breaker")
            if usd:
                book(db, row.run, self.ledger.hour, usd, lost)
        return True
