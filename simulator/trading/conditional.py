"""Targets that wait for the account: known but for what its book says when they are carried out.

The rule stands once, in `resolve`: a council decides by it in plain Python, in the replay kernel it is compiled, so
that its decisions can be swept over costs, sizes and stops without Python. It imports no compiler.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import isnan, nan

from simulator.trading.fills import price_or_none
from simulator.trading.model import Book, Target

LEAVE, SET, ENTER, KEEP, TRIM, ADD, FLIP, CLOSE, DROP = range(9)
"""Kinds of terms. SET holds a weight whatever is held, ENTER does of a position that is still to be opened; KEEP to
CLOSE change a position that is held on its side, and DROP closes any."""


class Terms:
    """Of one symbol: the kind; the side (±1) of the position meant, for KEEP to CLOSE; the weight `size`, signed for
    SET and ENTER; `full`, by which TRIM divides; the limit of an order out of nothing, and of one that buys or sells.

    NaN is no limit.
    """

    kind: int
    side: int
    size: float
    full: float
    limit: float
    buying: float
    selling: float


def resolve(
    kind: int,
    side: int,
    sizes: tuple[float, float],
    limits: tuple[float, float, float],
    held: float,
    mark: float,
    equity: float,
) -> tuple[float, float]:
    """Return weight and limit of the target that the terms come to; a NaN weight leaves the symbol alone.

    `sizes` are size and full, `limits` those out of nothing, of buying and of selling; `held` are signed shares, worth
    `mark` dollars each, of an account of `equity`.
    """
    size, full = sizes
    limit, buying, selling = limits
    weight = held * mark / equity if held != 0.0 and equity > 0.0 else 0.0
    if kind == SET:
        return size, buying if size > weight else selling
    if kind == ENTER:
        if weight == 0.0 or isnan(limit):
            return size, limit
        if weight * size < 0.0:
            return size, nan  # getting out of the other side does not wait
        return size, buying if size > weight else selling
    if kind == DROP:
        return 0.0 if held != 0.0 else nan, nan
    if kind == LEAVE or not held * side > 0.0:
        return nan, nan
    if kind == CLOSE:
        return 0.0, nan
    if kind == FLIP:
        return -side * size, nan
    if kind == TRIM:
        return weight * size / full, nan
    if kind == ADD and size > abs(weight):
        return side * size, nan
    return held_weight(weight, held, mark, equity), nan


def held_weight(weight: float, held: float, mark: float, equity: float) -> float:
    """Return the weight that sizing turns back into exactly the shares held now, so that a target with it changes the
    protective prices and orders nothing.

    Sizing computes ``weight · equity / mark``; the plain `weight` may come out one rounding beside the shares `held`,
    which in whole shares is a share less. Where no weight near it comes out exactly, one just beyond does no harm.
    """
    if weight == 0.0:
        return 0.0
    spacing = abs(weight) * 2.0**-53
    for steps in (0.0, 1.0, -1.0, 2.0, -2.0, 3.0, -3.0, 4.0, -4.0):
        near = weight + steps * spacing
        if near * equity / mark == held:
            return near
    return weight * (1.0 + 1e-12)


@dataclass(frozen=True)
class Conditional:
    """A target but for its weight and limit, which follow from the account by `resolve`: see `Terms`."""

    target: Target
    kind: int = SET
    side: int = 0
    size: float = 0.0
    full: float = 1.0
    limit: float = nan
    buying: float = nan
    selling: float = nan

    def on(self, book: Book) -> Target | None:
        """Return the target of the account with `book`, None where it leaves the symbol alone."""
        symbol, limits = self.target.symbol, (self.limit, self.buying, self.selling)
        held, mark = book.positions.get(symbol, 0.0), book.marks.get(symbol, 0.0)
        weight, limit = resolve(self.kind, self.side, (self.size, self.full), limits, held, mark, book.equity)
        if isnan(weight):
            return None
        price = price_or_none(limit)
        return replace(self.target, weight=weight, order="market" if price is None else "limit", limit=price)
