"""What a check found, as plain data: checks.json holds it, terminal and page show it."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any, Literal

Outcome = Literal["passed", "flagged", "shown", "not assessable", "not applicable"]
"""``shown``: a figure without a bar to pass; ``not assessable``: too little to judge by."""

Unit = Literal["a year", "share", "Sharpe", "count", "slope", "return"]


@dataclass(frozen=True)
class Figure:
    """One number with its 95 % interval and p where there are any. `unit` says how it is written."""

    name: str
    value: float | None
    unit: Unit
    low: float | None = None
    high: float | None = None
    p: float | None = None
    note: str = ""


@dataclass(frozen=True)
class Result:
    """One check: a line for people, and what it rests on."""

    outcome: Outcome
    verdict: str
    figures: tuple[Figure, ...] = ()
    notes: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        figures = [{key: _finite(value) for key, value in asdict(one).items()} for one in self.figures]
        return {"outcome": self.outcome, "verdict": self.verdict, "figures": figures, "notes": list(self.notes)}


def _finite(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value
