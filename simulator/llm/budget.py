"""What a run may spend. Money is reserved before a question is asked and settled once its price is known."""

from __future__ import annotations

from threading import Lock

from simulator.errors import BudgetError


class Budget:
    """Dollars of one run, shared by all of its threads and tasks.

    Never overspent as far as estimates are upper bounds: what is reserved counts as spent until it is settled.

    Attributes
    ----------
    max_usd_per_run : limit in dollars; 0 lets only free questions through
    spent_usd, reserved_usd : settled so far, and promised to questions in flight
    """

    def __init__(self, max_usd_per_run: float = 5.0) -> None:
        self.max_usd_per_run = max_usd_per_run
        self.spent_usd = 0.0
        self.reserved_usd = 0.0
        self._lock = Lock()

    def reserve(self, usd: float) -> None:
        """Set `usd` aside for one question. Raises BudgetError when that would pass the limit."""
        with self._lock:
            wanted = self.spent_usd + self.reserved_usd + usd
            if wanted > self.max_usd_per_run:
                raise BudgetError(
                    f"budget of ${self.max_usd_per_run:.2f} is spent: ${self.spent_usd:.4f} paid, "
                    f"${self.reserved_usd:.4f} in flight, ${usd:.4f} wanted",
                    mend=f"`--max-cost {_next_limit(wanted)}` continues where this stopped, answers paid for are kept",
                )
            self.reserved_usd += usd

    def settle(self, reserved_usd: float, paid_usd: float) -> None:
        """Give back what `reserve` set aside and book what was paid instead."""
        with self._lock:
            self.reserved_usd = max(0.0, self.reserved_usd - reserved_usd)
            self.spent_usd += paid_usd


def _next_limit(wanted: float) -> str:
    return f"{max(1.0, 2 * wanted):.0f}"
