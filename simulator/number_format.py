"""Numbers as people read them: true minus signs, grouped thousands, a space before %, "n/a" for what is undefined."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from decimal import Decimal

MINUS = "\u2212"
SPACE = "\u00a0"
UNDEFINED = "n/a"
NEVER = "not in this lifetime"
LIFETIME, SESSIONS_A_YEAR = 100, 252
"""Years that nobody waits for, and sessions of one."""

MOST = 1e15
"""Beyond it, either way, no number from outside is believed: no price, no amount, no count of tokens is as large."""


def gate(number: float, low: float = -MOST, high: float = MOST) -> float:
    """Return `number`, which came from outside. Raises ValueError unless it is finite and from `low` to `high`."""
    if not math.isfinite(number):
        raise ValueError("not finite")
    if not low <= number <= high:
        raise ValueError(f"not from {low:g} to {high:g}")
    return number


def number_of(value: object) -> float | None:
    """Return `value` as a float; None for None, NaN, infinities, integers too large, and whatever is not a number."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        number = float(value)
    except OverflowError:  # JSON knows integers that no float holds
        return None
    return number if math.isfinite(number) else None


def ratio(value: object, digits: int | None = None, sign: bool = False) -> str:
    """``1.21``, ``−0.40``; with `sign` also ``+1.21``. Without `digits` two of them, none from 1,000 on."""
    x = number_of(value)
    if x is None:
        return UNDEFINED
    if digits is None:
        digits = 2 if abs(x) < 1000 else 0
    text = f"{abs(x):,.{digits}f}"
    zero = not text.strip("0.,")
    return ("" if zero else MINUS if x < 0 else "+" if sign else "") + text


def percent(value: object, digits: int = 1, sign: bool = False) -> str:
    """A fraction as ``12.3 %``; without digits from 1,000 % on."""
    x = number_of(value)
    digits = digits if x is None or abs(x) < 10 else 0
    return UNDEFINED if x is None else ratio(100 * x, digits, sign) + SPACE + "%"


def signed_ratio(value: object) -> str:
    """``+1.21``."""
    return ratio(value, sign=True)


def signed_percent(value: object) -> str:
    """A fraction as ``+12.3 %``."""
    return percent(value, sign=True)


def rough_percent(value: object) -> str:
    """A fraction as ``12 %``."""
    return percent(value, 0)


def loss(value: object) -> str:
    """A drawdown as ``−12.3 %``, whatever its sign."""
    x = number_of(value)
    return UNDEFINED if x is None else percent(-abs(x))


def dollars(value: object, digits: int = 0, sign: bool = False) -> str:
    """``$100,000``, ``−$12``."""
    text = ratio(value, digits, sign)
    if text == UNDEFINED:
        return text
    return f"{text[0]}${text[1:]}" if text[0] in (MINUS, "+") else f"${text}"


def cents(value: object) -> str:
    """``$1,234.50``."""
    return dollars(value, 2)


def price(value: object) -> str:
    """``$476.49``; below $10 with what cents would lose: ``$4.7649``, ``$0.00000945``."""
    x = number_of(value)
    return dollars(x, 2 if x is None else decimals(x))


def shares(value: object, digits: int = 4) -> str:
    """``12.5000``, ``0.00003210``: below 1 to four significant digits."""
    x = number_of(value)
    return ratio(x, digits if x is None or not 0 < abs(x) < 1 else 3 - math.floor(math.log10(abs(x))))


def round_price(value: float) -> float:
    """Return a price to the cent, outside of $10 to $10,000 to five significant digits: that is what cents are to a
    price in the hundreds, and a decision is the same at any size of prices."""
    return round(value, 2) if 10 <= abs(value) < 10_000 else float(f"{value:.5g}")


def price_text(value: float) -> str:
    """``476.49``, ``0.00000945``: a price as it was rounded, never in powers of ten."""
    return format(Decimal(repr(value)), "f")


def decimals(value: float) -> int:
    """Decimals of `value` as :func:`round_price` rounds it: two or more."""
    return max(2, len(price_text(round_price(value)).partition(".")[2]))


def whole(value: object) -> str:
    """``1,234``."""
    return ratio(value, 0)


def p_value(value: object) -> str:
    """``0.12``, three digits below 0.1, ``below 0.001``."""
    x = number_of(value)
    if x is None:
        return UNDEFINED
    if x < 0.001:
        return "below 0.001"
    return f"{x:.3f}" if x < 0.1 else f"{x:.2f}"


def small(value: object) -> str:
    """A tiny difference: ``0``, ``3.1e−16``."""
    x = number_of(value)
    if x is None:
        return UNDEFINED
    return "0" if x == 0 else f"{x:.1e}".replace("-", MINUS)


def interval(low: object, high: object, write: Callable[[object], str] = ratio) -> str:
    """``−0.40 to 2.70``; undefined unless both ends are."""
    if number_of(low) is None or number_of(high) is None:
        return UNDEFINED
    return f"{write(low)} to {write(high)}"


def axis_number(value: float) -> str:
    """``−2.5``: a round value beside an axis."""
    return f"{MINUS if value < 0 else ''}{abs(value):g}"


def plain(text: str) -> str:
    """`text` with ordinary spaces: for terminals and plain files."""
    return text.replace(SPACE, " ")


def years(value: object) -> str:
    """``3.2 years``, ``12 years``; from a century on NEVER, as a time that somebody would have to wait."""
    x = number_of(value)
    if x is None:
        return UNDEFINED
    return NEVER if x >= LIFETIME else f"{ratio(x, 1 if x < 10 else 0)} years"


def sessions_needed(value: object) -> str:
    """``812``; from a century of sessions on NEVER."""
    x = number_of(value)
    return NEVER if x is not None and x >= LIFETIME * SESSIONS_A_YEAR else whole(value)


def age(seconds: float) -> str:
    """``12 s``, ``4 min``, ``16 h``, ``3 days``."""
    for unit, size in (("days", 86_400.0), ("h", 3600.0), ("min", 60.0)):
        if seconds >= 2.0 * size:
            return f"{seconds / size:.0f}{SPACE}{unit}"
    return f"{max(seconds, 0.0):.0f}{SPACE}s"


def counted(count: int, one: str, many: str | None = None) -> str:
    """``1 fill``, ``2 fills``."""
    return f"{whole(count)}{SPACE}{one if count == 1 else many or one + 's'}"


def write_setting(value: object) -> str:
    """Return `value` as ``--set NAME=`` reads it back: JSON, and a text as it is where it is not taken for that."""
    if isinstance(value, str):
        try:
            json.loads(value)
        except ValueError:
            return value
    return json.dumps(value, default=str, ensure_ascii=False)
