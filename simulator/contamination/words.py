"""Numbers in verdicts: an ordinary space before %, for they stand in run.json and checks.json."""

from __future__ import annotations

from simulator import number_format
from simulator.number_format import SPACE, ratio

FINDS = "finds a loss of"
"""Begins the note of a figure that says from which loss on a check would have found it four times in five."""


def percent(value: float, digits: int = 1, sign: bool = False) -> str:
    """Return a fraction as ``12.3 %``; with `sign` also ``+12.3 %``."""
    return number_format.percent(value, digits, sign).replace(SPACE, " ")


def percents(low: float, high: float, level: str = "95 %") -> str:
    """Return an interval of fractions: ``95 % −1.0 % to +2.5 %``."""
    return f"{level} {percent(low, sign=True)} to {percent(high, sign=True)}"


def numbers(low: float, high: float, digits: int = 2, sign: bool = False) -> str:
    """Return a 95 % interval: ``95 % −1.00 to 2.50``."""
    return f"95 % {ratio(low, digits, sign)} to {ratio(high, digits, sign)}"


def p_text(p: float) -> str:
    """Return ``p 0.031`` or ``p < 0.001``."""
    return "p < 0.001" if p < 0.001 else f"p {p:.3f}"
