"""Measures of a member of a sweep: their names, how they are written, and which direction is better."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from simulator.number_format import dollars, loss, p_value, percent, ratio, signed_percent, whole
from simulator.report.catalogue import Direction, Format

Unit = Literal["%", "ratio", "$", "p", "count"]


@dataclass(frozen=True)
class Measure:
    """A measure; `unit` says how the page's script writes it, `format` how everything else does."""

    key: str
    name: str
    unit: Unit
    better: Direction
    format: Format
    help: str = ""

    def write(self, value: object) -> str:
        return self.format(value)


MEASURES = (
    Measure("ratio", "Ratio beyond", "ratio", "higher", ratio, "of what was earned beyond its exposure, a year"),
    Measure("around", "Neighbours", "ratio", "higher", ratio, "median ratio of the members one step away"),
    Measure("p", "p", "p", "lower", p_value, "Romano-Wolf: as one of all members"),
    Measure("total_return", "Return", "%", "higher", signed_percent, "after costs"),
    Measure("sharpe", "Sharpe", "ratio", "higher", ratio, "over cash, a year"),
    Measure("max_drawdown", "Drawdown", "%", "higher", loss, "the largest"),
    Measure("exposure", "Exposure", "%", "", percent, "mean gross weight"),
    Measure("turnover", "Turnover", "ratio", "", ratio, "times a year"),
    Measure("decisions", "Decisions", "count", "", whole, "sessions on which it changed its targets"),
    Measure("costs", "Costs", "$", "lower", dollars, "commission and slippage"),
)
"""In the order of the table; those that a sweep has are shown."""
