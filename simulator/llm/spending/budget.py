"""Budgets of a run and of a day. Money is reserved before a question is asked and settled once its price is known.

    reserve ─► Reservation ─► settle(dollars) | write_off | release
       ├── would pass the run's limit, counting what is paid: RunBudgetError
       ├── would pass the day's: DayBudgetError, and the breaker opens
       └── would pass one of them only with what is in flight: None, ask again once something was settled

The breaker: closed ─ day's money spent ─► open ─ next day (UTC) ─► half-open: one question ─ settled ─► closed
"""

from __future__ import annotations

import math
import sqlite3
from collections.abc import Callable
from dataclasses import dataclass
from threading import Lock
from uuid import uuid4

from simulator.errors import BudgetError, UsageError
from simulator.llm.spending.shared_ledger import SharedLedger, Spending, book
from simulator.llm.spending.usage import is_amount

EVEN = 1e-9
"""Dollars by which a sum of floats may pass a limit."""


class RunBudgetError(BudgetError):
    """The run's own limit. `wanted_usd` is the limit that one question more would need."""

    def __init__(self, found: str, *, wanted_usd: float) -> None:
        self.wanted_usd = wanted_usd
        limit = max(1.0, math.ceil(2 * wanted_usd))
        super().__init__(found, mend=f"`--max-cost {limit:g}` continues where this stopped, answers paid for are kept")


class DayBudgetError(BudgetError):
    """The day's limit, which `--max-cost` does not lift."""


@dataclass(frozen=True)
class Reservation:
    """Dollars set aside for one attempt: `usd` at most, `likely` as a rule. To be settled exactly once."""

    usd: float
    likely: float
    number: int = 0


class Budget:
    """Dollars of one run and of one day.

    Never overspent as far as estimates are upper bounds: what is reserved counts as spent until it is settled.

    Parameters
    ----------
    max_usd_per_run : limit in dollars; 0 lets only free questions through. Counts the last 24 hours of `run`
    max_usd_per_day : limit of all runs of the workspace in one UTC day; needs `ledger`
    ledger : shared by the processes of a workspace; without one the budget is this object's own
    run : name under which restarts of a run find what it spent; without one it starts at nothing

    Attributes
    ----------
    spent_usd, lost_usd : paid through this object, and booked for attempts whose answer never came
    reserved_usd : promised to questions in flight
    """

    def __init__(
        self,
        max_usd_per_run: float = 5.0,
        *,
        max_usd_per_day: float = math.inf,
        ledger: SharedLedger | None = None,
        run: str = "",
    ) -> None:
        if not (is_amount(max_usd_per_run) and max_usd_per_day >= 0):
            raise UsageError(f"a budget was ${max_usd_per_run:g} a run, ${max_usd_per_day:g} a day", mend="0 or more")
        self.max_usd_per_run, self.max_usd_per_day = max_usd_per_run, max_usd_per_day
        self.ledger, self.run = ledger, run or uuid4().hex
        self.spent_usd = self.lost_usd = self.reserved_usd = 0.0
        self._lock = Lock()

    def reserve(self, usd: float, likely: float = 0.0) -> Reservation | None:
        """Set `usd` aside for one attempt; None where that has to wait for what is in flight.

        Raises RunBudgetError, DayBudgetError. What costs nothing is always granted.
        """
        if usd <= 0:
            return Reservation(0.0, 0.0)
        with self._lock:
            if self.ledger is not None:
                number = self._reserve_shared(self.ledger, usd, likely)
            else:
                spent = self.spent_usd + self.lost_usd
                if spent >= self.max_usd_per_run or spent + usd > self.max_usd_per_run + EVEN:
                    raise self._over_run(spent, usd, 0.0)
                number = 0 if spent + self.reserved_usd + usd <= self.max_usd_per_run + EVEN else None
            if number is None:
                return None
            self.reserved_usd += usd
            return Reservation(usd, min(likely, usd), number)

    def settle(self, reserved: Reservation, usd: float) -> None:
        """Book the answer that came and cost `usd`; what was set aside for it where that is no amount of dollars."""
        usd = usd if is_amount(usd) else reserved.usd
        self._close(reserved, usd, 0.0, answered=True)

    def write_off(self, reserved: Reservation) -> None:
        """Book the likely price: no answer came, and the service may have charged for one."""
        self._close(reserved, reserved.likely, reserved.likely)

    def release(self, reserved: Reservation) -> None:
        """Give the money back: nothing was charged."""
        self._close(reserved, 0.0, 0.0)

    def dollars_left(self) -> float:
        """Dollars of the run and of the day that are neither spent nor set aside."""
        if self.ledger is None:
            return self.max_usd_per_run - self.spent_usd - self.lost_usd - self.reserved_usd
        with self.ledger.transaction() as db:
            now = self.ledger.spending(db, self.run)
        return min(self.max_usd_per_run - now.run - now.run_held, self.max_usd_per_day - now.day - now.day_held)

    def hand_over(self, reserved: Reservation, enter: Callable[[sqlite3.Connection], None]) -> None:
        """Have `enter` set the money aside elsewhere in the ledger, in the transaction in which it is free again."""
        ledger = self.ledger
        if ledger is None:
            raise ValueError("money is handed over within a shared ledger")
        with self._lock, ledger.transaction() as db:
            self.reserved_usd = max(0.0, self.reserved_usd - reserved.usd)
            db.execute("DELETE FROM held WHERE id = ?", (reserved.number,))
            enter(db)

    def add(self, usd: float, lost: float) -> None:
        """Count what was booked for this run elsewhere, `lost` of it for answers that never came."""
        with self._lock:
            self.spent_usd += usd - lost
            self.lost_usd += lost

    def close(self) -> None:
        if self.ledger is not None:
            self.ledger.close()

    def _close(self, reserved: Reservation, usd: float, lost: float, answered: bool = False) -> None:
        if not reserved.usd and not usd:
            return
        with self._lock:
            self.reserved_usd = max(0.0, self.reserved_usd - reserved.usd)
            self.spent_usd += usd - lost
            self.lost_usd += lost
            if self.ledger is None:
                return
            # In one transaction: between the two another process would see the money neither promised nor spent.
            with self.ledger.transaction() as db:
                db.execute("DELETE FROM held WHERE id = ?", (reserved.number,))
                if usd:
                    book(db, self.run, self.ledger.hour, usd, lost)
                if answered:
                    db.execute("DELETE FROM breaker WHERE state = 'half-open'")

    def _reserve_shared(self, ledger: SharedLedger, usd: float, likely: float) -> int | None:
        refused: BudgetError | None = None
        with ledger.transaction() as db:
            now = ledger.spending(db, self.run)
            if now.run >= self.max_usd_per_run or now.run + usd > self.max_usd_per_run + EVEN:
                refused = self._over_run(now.run, usd, now.run_out)
            elif not self._breaker_lets_through(db, ledger, now, usd):
                refused = self._over_day(now, usd)
            elif self._has_room(db, now, usd):
                statement = "INSERT INTO held (holder, run, usd, likely) VALUES (?, ?, ?, ?)"
                return db.execute(statement, (ledger.holder, self.run, usd, min(likely, usd))).lastrowid
        # Raised outside of the transaction, which an error would undo: the breaker's new state must stay.
        if refused is not None:
            raise refused
        return None

    def _has_room(self, db: sqlite3.Connection, now: Spending, usd: float) -> bool:
        """True where `usd` fits beside what is in flight; half-open the breaker lets one question at a time through."""
        run, day = now.run + now.run_held + usd, now.day + now.day_held + usd
        if run > self.max_usd_per_run + EVEN or day > self.max_usd_per_day + EVEN:
            return False
        return not now.day_held or db.execute("SELECT 1 FROM breaker WHERE state = 'half-open'").fetchone() is None

    def _breaker_lets_through(self, db: sqlite3.Connection, ledger: SharedLedger, now: Spending, usd: float) -> bool:
        """Open for the rest of a day whose money is spent; what a raised limit still has room for closes it."""
        over = now.day >= self.max_usd_per_day or now.day + usd > self.max_usd_per_day + EVEN
        row = db.execute("SELECT state, day, usd FROM breaker").fetchone()
        if over:
            db.execute("INSERT OR REPLACE INTO breaker VALUES (1, 'open', ?, ?)", (ledger.day, self.max_usd_per_day))
        elif row is not None and row[0] == "open":
            if row[1] == ledger.day and row[2] >= self.max_usd_per_day:
                return False
            state = "half-open" if row[1] != ledger.day else None
            db.execute("DELETE FROM breaker")
            if state:
                db.execute("INSERT INTO breaker VALUES (1, ?, ?, ?)", (state, ledger.day, self.max_usd_per_day))
        return not over

    def _over_run(self, spent: float, usd: float, out: float) -> RunBudgetError:
        return RunBudgetError(
            f"budget of ${self.max_usd_per_run:.2f} is spent: ${spent:.4f} paid{_with_batches(out)}, "
            f"${usd:.4f} at most for the next question",
            wanted_usd=spent + usd,
        )

    def _over_day(self, now: Spending, usd: float) -> DayBudgetError:
        return DayBudgetError(
            f"the day's ${self.max_usd_per_day:.2f} are spent: ${now.day:.4f} paid today by all runs"
            f"{_with_batches(now.out)}, ${usd:.4f} at most for the next question",
            mend="the same command continues after midnight UTC, or now with a larger max_usd_per_day in "
            "config/models.yaml; answers paid for are kept",
        )


def _with_batches(out: float) -> str:
    return f" or, ${out:.4f}, set aside for batches that are out" if out else ""
