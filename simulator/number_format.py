"""Numbers as people read them: true minus signs, grouped thousands, a space before %, "n/a" for what is undefined."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

MINUS = "\u2212"
SPACE = "\u00a0"
UNDEFINED = "n/a"


def number_of(value: Any) -> float | None:
    """`value` as a float; None for None, NaN, infinities and whatever is not a number."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return float(value)


def ratio(value: Any, digits: int = 2, sign: bool = False) -> str:
    """``1.21``, ``−0.40``; with `sign` also ``+1.21``."""
    x = number_of(value)
    if x is None:
        return UNDEFINED
    text = f"{abs(x):,.{digits}f}"
    zero = not text.strip("0.,")
    return ("" if zero else MINUS if x < 0 else "+" if sign else "") + text


def percent(value: Any, digits: int = 1, sign: bool = False) -> str:
    """A fraction as ``12.3 %``."""
    x = number_of(value)
    return UNDEFINED if x is None else ratio(100 * x, digits, sign) + SPACE + "%"


def dollars(value: Any, digits: int = 0, sign: bool = False) -> str:
    """``$100,000``, ``−$12``."""
    text = ratio(value, digits, sign)
    if text == UNDEFINED:
        return text
    return f"{text[0]}${text[1:]}" if text[0] in (MINUS, "+") else f"${text}"


def whole(value: Any) -> str:
    """``1,234``."""
    return ratio(value, 0)


def p_value(value: Any) -> str:
    """``0.12``, three digits below 0.1, ``below 0.001``."""
    x = number_of(value)
    if x is None:
        return UNDEFINED
    if x < 0.001:
        return "below 0.001"
    return f"{x:.3f}" if x < 0.1 else f"{x:.2f}"


def small(value: Any) -> str:
    """A tiny difference: ``0``, ``3.1e−16``."""
    x = number_of(value)
    if x is None:
        return UNDEFINED
    return "0" if x == 0 else f"{x:.1e}".replace("-", MINUS)


def interval(low: Any, high: Any, write: Callable[[Any], str] = ratio) -> str:
    """``−0.40 to 2.70``; undefined unless both ends are."""
    if number_of(low) is None or number_of(high) is None:
        return UNDEFINED
    return f"{write(low)} to {write(high)}"


def counted(count: int, one: str, many: str | None = None) -> str:
    """``1 fill``, ``2 fills``."""
    return f"{whole(count)}{SPACE}{one if count == 1 else many or one + 's'}"
