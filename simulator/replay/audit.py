"""One engine checked by the other: the difference of two ledgers of the same tape."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from simulator.errors import AuditError
from simulator.market.bars import Floats
from simulator.replay.ledger import Ledger
from simulator.trading.fills import FILL_WHYS, REJECTION_WHYS, STATUSES

LARGEST_ALLOWED = 1e-9
"""Of equity. Bit-identical is the aim; anything above this is an error in one of the engines."""

RECORDS: dict[str, tuple[str, tuple[str, ...]]] = {
    "order": ("order_rows", STATUSES),
    "fill": ("fill_rows", FILL_WHYS),
    "rejection": ("rejection_rows", REJECTION_WHYS),
}

REPORT = "this is a bug: please report it with the run folder"


def audit(ledger: Ledger, auditor: Ledger) -> float:
    """Return the largest difference of two ledgers of the same bars and decisions, as a fraction of equity.

    Raises AuditError when it exceeds 1e-9, or when the two do not hold the same orders, fills and rejections; the
    message names the first bar or record they part at.
    """
    for name in RECORDS:
        found = _first_unlike_record(ledger, auditor, name)
        if found:
            raise AuditError(f"the two engines disagree: {found}", mend=REPORT)
    difference = largest_difference(ledger, auditor)
    if not difference <= LARGEST_ALLOWED:
        too_far = ~(_differences(ledger, auditor) <= LARGEST_ALLOWED)  # NaN is too far
        t = int(np.argmax(too_far.any(axis=1)))
        raise AuditError(
            f"the two engines differ by {difference:.3g} of equity, first on {ledger.bars.dates[t]}", mend=REPORT
        )
    return difference


def largest_difference(a: Ledger, b: Ledger) -> float:
    """Return the largest |difference| over cash, equity and each position's value, relative to equity at that bar.

    0.0 means equal to the last bit. Infinity when orders, fills or rejections are not the same ones.
    """
    if any(_first_unlike_record(a, b, name) for name in RECORDS):
        return float("inf")
    found = _differences(a, b).max(initial=0.0)
    return float("inf") if np.isnan(found) else float(found)


def _differences(a: Ledger, b: Ledger) -> Floats:
    """Return (T, N + 2) |differences| of each position's value, of cash and of equity, as fractions of |equity|.

    Where equity is below a dollar, in dollars.
    """
    worth = np.maximum(np.abs(a.equity), 1.0)[:, None]
    values = np.abs(a.positions - b.positions) * a.marks
    return np.column_stack([values, np.abs(a.cash - b.cash), np.abs(a.equity - b.equity)]) / worth


def _first_unlike_record(a: Ledger, b: Ledger, name: str) -> str | None:
    """Describe the first order, fill or rejection that is not the same in both; sizes and prices may round."""
    column, codes = RECORDS[name]
    mine, theirs = getattr(a, column), getattr(b, column)
    shared = min(len(mine), len(theirs))
    alike = np.ones(shared, dtype=bool)
    for field in mine.dtype.names:
        alike &= _alike(mine[field][:shared], theirs[field][:shared])
    if alike.all() and len(mine) == len(theirs):
        return None
    first = shared if alike.all() else int(np.argmin(alike))
    one, other = _describe(a, mine, first, codes), _describe(b, theirs, first, codes)
    return f"{name} {first} is {one} in one and {other} in the other"


def _alike(left: NDArray[np.generic], right: NDArray[np.generic]) -> NDArray[np.bool_]:
    if left.dtype.kind == "f":
        return np.asarray(np.isclose(left, right, rtol=LARGEST_ALLOWED, atol=LARGEST_ALLOWED, equal_nan=True))
    return np.asarray(left == right)


def _describe(ledger: Ledger, rows: NDArray[np.void], index: int, codes: tuple[str, ...]) -> str:
    if index >= len(rows):
        return "missing"
    row = dict(zip(rows.dtype.names or (), rows[index].item(), strict=True))
    row["symbol"] = ledger.bars.symbols[row["symbol"]]
    last = "status" if "status" in row else "why"
    row[last] = codes[row[last]]
    return ", ".join(f"{name} {value}" for name, value in row.items())
