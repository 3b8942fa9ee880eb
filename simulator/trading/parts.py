"""Exits in parts: a position that takes its profit at several prices, under one stop for what is left of it.

    Target.exits ((share of the position, price), …) ──parts_of──► Parts, and the take-profit of the rest
    held shares, Parts ──part_shares, one after the other──► shares that leave at each price

`Parts` say how much of what is *then left* leaves, so that nothing has to be remembered of what was held: a position
that was cut since, or filled in part, is still divided as decided. The rules are in docs/decisions/0001-fill-rules.md.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise
from math import floor

import numpy as np

from simulator.errors import UsageError
from simulator.market.bars import Floats

Parts = tuple[tuple[float, float], ...]
"""(Share of what is left by then, price), in the order in which prices are reached."""

ALL = 1.0 - 1e-9
"""Sum of shares from which on nothing is left: three thirds need not come to one."""
WHOLE = 1e-9
"""Shares by which a product may fall short of a whole number of them."""


def check_exits(symbol: str, weight: float, exits: Parts, take_profit: float | None) -> None:
    """Raise UsageError for shares that are none or come to more than everything, and prices out of order."""
    shares, prices = [share for share, _ in exits], [price for _, price in exits]
    if not all(0.0 < share <= 1.0 for share in shares) or sum(shares) > 2.0 - ALL:
        raise UsageError(f"exits of {symbol} were {exits}", mend="give shares above 0 that add up to 1 at the most")
    if take_profit is not None:
        prices.append(take_profit)
        if sum(shares) >= ALL:
            found = f"exits of {symbol} close all of it before its take_profit {take_profit}"
            raise UsageError(found, mend="give smaller shares, or no take_profit")
    up = -1.0 if weight < 0.0 else 1.0
    if not all(0.0 < price < float("inf") for price in prices):
        raise UsageError(f"exits of {symbol} were {exits}", mend="give positive prices")
    if any(up * (after - before) <= 0.0 for before, after in pairwise(prices)):
        found = f"exits of {symbol} were at {', '.join(map(str, prices))}"
        raise UsageError(found, mend=f"name them as they are reached, {'down' if up < 0.0 else 'up'}ward")


def parts_of(exits: Parts, take_profit: float | None) -> tuple[Parts, float | None]:
    """Return what leaves before the rest, as shares of what is left, and the take-profit of the rest."""
    parts: list[tuple[float, float]] = []
    left, total = 1.0, 0.0  # two sums: thirds taken off 1 do not end at 0, added up they reach `ALL`
    for share, price in exits:
        total += share
        if total >= ALL:
            return tuple(parts), price
        parts.append((share / left, price))
        left -= share
    return tuple(parts), take_profit


def parts_of_many(exits: Floats, take_profit: Floats) -> tuple[Floats, Floats]:
    """Return :func:`parts_of` of (K, N, P, 2) exits and (K, N) take-profits, NaN for none, with the same bits."""
    parts, rest = np.full(exits.shape, np.nan), take_profit.copy()
    left, total = np.ones(rest.shape), np.zeros(rest.shape)
    for i in range(exits.shape[2]):
        share, price = exits[:, :, i, 0], exits[:, :, i, 1]
        total = total + np.where(np.isnan(share), 0.0, share)
        last = ~np.isnan(share) & (total >= ALL)
        rest = np.where(last, price, rest)
        parts[:, :, i, 0] = np.where(last, np.nan, share / left)
        parts[:, :, i, 1] = np.where(last, np.nan, price)
        left = np.where(np.isnan(share), left, left - share)
    return parts, rest


def part_shares(share: float, held: float, whole: bool) -> float:
    """Return the unsigned shares of `held` that a part takes; `whole` ones are rounded down, and may be none."""
    part = share * abs(held)
    return float(floor(part + WHOLE)) if whole else part


def quantities(parts: Parts, held: float) -> list[float]:
    """Return the whole shares of `held` that leave at each of `parts`, and the rest last; unsigned."""
    found, left = [], float(floor(abs(held) + WHOLE))
    for share, _ in parts:
        found.append(part_shares(share, left, whole=True))
        left -= found[-1]
    return [*found, left]


def parts_left(parts: Parts, held: float, taken: float) -> Parts:
    """Return `parts` of a position that still holds `held` shares after `taken` of it left at the first of them."""
    total, left, found = abs(held) + taken, abs(held), []
    for (_, price), size in zip(parts, quantities(parts, total), strict=False):
        gone = min(size, taken)
        taken -= gone
        if size > gone and left > 0.0:
            found.append(((size - gone) / left, price))
            left -= size - gone
    return tuple(found)


def stack_exits(exits: Iterable[Floats]) -> Floats:
    """Return (K, N, P, 2) exits of several tapes one after the other, NaN where one has fewer parts than another."""
    given = list(exits)
    most = max(one.shape[2] for one in given)
    rooms = [((0, 0), (0, 0), (0, most - one.shape[2]), (0, 0)) for one in given]
    return np.concatenate([np.pad(one, room, constant_values=np.nan) for one, room in zip(given, rooms, strict=True)])


def next_price(parts: Parts, take_profit: float) -> float:
    """Return the price at which profit is taken next, NaN where it is nowhere."""
    return parts[0][1] if parts else take_profit
