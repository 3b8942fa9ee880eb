"""Monthly returns: calendar months and years, tinted by their size."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from simulator.analysis.periods import period_returns
from simulator.evidence.reader import Evidence
from simulator.number_format import UNDEFINED, signed_percent
from simulator.report.drawing import MONTHS
from simulator.report.table import Table, make_row, make_table


@dataclass(frozen=True)
class Shade:
    """A return: its text, the side of zero it lies on, and how strongly to tint it (0–60)."""

    text: str
    side: str = ""
    strength: int = 0


@dataclass(frozen=True)
class Year:
    """Twelve months, None where there was no session, the year compounded, and buy-and-hold's."""

    year: int
    months: tuple[Shade | None, ...]
    total: Shade
    benchmark: str


def compose(evidence: Evidence) -> tuple[Year, ...]:
    """Return each year, from the close before a month (or the starting cash) to its last close."""
    sessions, cash = evidence.sessions, float(evidence.run["cash"])
    months = period_returns(sessions, evidence.equity["equity"], cash, lambda d: (d.year, d.month))
    years = period_returns(sessions, evidence.equity["equity"], cash, lambda d: (d.year,))
    hold = evidence.equity.get("buy_and_hold")
    against = {} if hold is None else period_returns(sessions, hold, cash, lambda d: (d.year,))
    strongest = max([abs(r) for r in months.values() if r is not None] + [0.02])
    return tuple(
        Year(
            year,
            tuple(_shade(months[(year, m)], strongest) if (year, m) in months else None for m in range(1, 13)),
            _shade(total, strongest),
            signed_percent(against.get((year,))),
        )
        for (year, *_), total in years.items()
    )


def tabulate(years: Sequence[Year]) -> Table:
    """Return the same as a table of texts."""
    rows = [
        make_row(str(one.year), [*(m.text if m else "" for m in one.months), one.total.text, one.benchmark])
        for one in years
    ]
    return make_table("Monthly returns", (*MONTHS, "Year", "Buy-and-hold"), rows)


def _shade(value: float | None, strongest: float) -> Shade:
    if value is None:
        return Shade(UNDEFINED)
    side = "gain" if value > 0 else "loss" if value < 0 else ""
    return Shade(signed_percent(value), side, round(60 * min(1.0, abs(value) / strongest)))
