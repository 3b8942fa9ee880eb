"""Numbers in verdicts, as people read them: a true minus sign, a space before %."""

from __future__ import annotations

MINUS = "\u2212"


def number(value: float, digits: int = 2, sign: bool = False) -> str:
    """``1.21``, ``−0.40``; with `sign` also ``+1.21``."""
    text = f"{abs(value):.{digits}f}"
    if not text.strip("0."):
        return text
    return (MINUS if value < 0 else "+" if sign else "") + text


def percent(value: float, digits: int = 1, sign: bool = False) -> str:
    """A fraction as ``12.3 %``; with `sign` also ``+12.3 %``."""
    return f"{number(100 * value, digits, sign)} %"


def percents(low: float, high: float) -> str:
    """A 95 % interval of fractions: ``95 % −1.0 % to +2.5 %``."""
    return f"95 % {percent(low, sign=True)} to {percent(high, sign=True)}"


def numbers(low: float, high: float, digits: int = 2, sign: bool = False) -> str:
    """A 95 % interval: ``95 % −1.00 to 2.50``."""
    return f"95 % {number(low, digits, sign)} to {number(high, digits, sign)}"


def p_text(p: float) -> str:
    """``p 0.031``, ``p < 0.001``."""
    return "p < 0.001" if p < 0.001 else f"p {p:.3f}"
