"""Result of a check as plain data: checks.json holds it, terminal and page show it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Outcome = Literal["passed", "flagged", "shown", "not assessable", "not applicable", "not asked"]
"""``shown``: a figure without a bar to pass; ``not assessable``: too little to judge by; ``not asked``: by models."""

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
