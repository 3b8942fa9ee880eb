"""Plateau or spike: a member of a sweep beside its neighbours, the members one step away in one parameter.

What a strategy earns should not hang on a parameter's exact value. Where the best member stands alone among worse
neighbours, chance chose the value, or the future will.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from simulator.stats.series import Floats, Integers

FLAT, STEEP = 0.75, 0.5
"""Share of a member's ratio that its neighbours keep: from the first on a plateau, below the second a spike."""


@dataclass(frozen=True, eq=False)
class Plateau:
    """Members of a sweep and their neighbours.

    Attributes
    ----------
    level : (R,) median over a member and its neighbours; NaN where fewer than half of them exist
    around : (R,) median over the neighbours alone; NaN without one
    neighbours : (R,) how many there are
    steadiest : member of the highest level; None where no member has one
    """

    level: Floats
    around: Floats
    neighbours: Integers
    steadiest: int | None


def find_plateau(settings: Mapping[str, Sequence[Any]], values: Floats, grid: bool) -> Plateau:
    """Return the neighbourhoods of members with `settings` {name: (R,)} and `values` (R,), e.g. Sharpe ratios.

    On a grid neighbours differ in one ordered parameter, by one of its values; elsewhere, drawn members have no steps,
    they are the 2 K nearest by ranks in K ordered parameters. Members that differ in words or switches are none.
    """
    values = np.asarray(values, dtype=np.float64)
    ordered = [name for name, column in settings.items() if is_ordered(column)]
    others = [name for name in settings if name not in ordered]
    words = zip(*(map(repr, settings[name]) for name in others), strict=True) if others else [()] * len(values)
    known: dict[tuple[str, ...], int] = {}
    apart = np.array([known.setdefault(row, len(known)) for row in words], dtype=np.int64)
    places = np.array([np.unique(np.asarray(settings[name], dtype=float), return_inverse=True)[1] for name in ordered])
    none = np.full((len(values), 0), -1)
    near = none if not ordered else _steps(places, apart) if grid else _nearest(places, apart)
    found = np.where(near >= 0, values[near], np.nan)
    count = np.isfinite(found).sum(axis=1)
    with np.errstate(all="ignore"):
        around = _medians(found)
        level = np.where(2 * count >= near.shape[1], _medians(np.column_stack([values, found])), np.nan)
    level = np.where(np.isfinite(values) & (count > 0), level, np.nan)
    steadiest = int(np.nanargmax(level)) if np.isfinite(level).any() else None
    return Plateau(level, around, count, steadiest)


def is_ordered(column: Sequence[Any]) -> bool:
    """Return True for numbers; switches and words have no neighbours."""
    return all(isinstance(one, int | float | np.number) and not isinstance(one, bool | np.bool_) for one in column)


def describe(own: float, around: float) -> str:
    """Return ``plateau``, ``slope`` or ``spike`` of a member's value and the median of its neighbours; empty where its
    own is no gain or it has no neighbour."""
    if not own > 0 or not np.isfinite(around):
        return ""
    return "plateau" if around >= FLAT * own else "slope" if around >= STEEP * own else "spike"


def _medians(rows: Floats) -> Floats:
    """Medians of the finite values of each row, NaN without one; sorting puts NaN last."""
    if not rows.shape[1]:
        return np.full(len(rows), np.nan)
    ranked, count, at = np.sort(rows, axis=1), np.isfinite(rows).sum(axis=1), np.arange(len(rows))
    return np.asarray((ranked[at, np.maximum(count - 1, 0) // 2] + ranked[at, count // 2]) / 2)


def _steps(places: Integers, apart: Integers) -> Integers:
    """(R, 2 K) members one value up or down in one parameter, −1 where there is none."""
    sizes = places.max(axis=1) + 1
    strides = np.cumprod(np.r_[1, sizes[:-1]])
    code = apart * int(np.prod(sizes)) + (strides[:, None] * places).sum(axis=0)
    order = np.argsort(code, kind="stable")
    known = code[order]

    def look(k: int, step: int) -> Integers:
        inside = (places[k] + step >= 0) & (places[k] + step < sizes[k])
        wanted = code + step * strides[k]
        at = np.minimum(np.searchsorted(known, wanted), len(known) - 1)
        return np.where(inside & (known[at] == wanted), order[at], -1)

    return np.column_stack([look(k, step) for k in range(len(places)) for step in (-1, 1)])


def _nearest(places: Integers, apart: Integers) -> Integers:
    """(R, 2 K) nearest members by ranks, scaled to 0 … 1, among those alike in the rest; −1 where there are fewer."""
    from scipy.spatial import cKDTree

    wanted = 2 * len(places)
    near = np.full((places.shape[1], wanted), -1, dtype=np.int64)
    for one in range(int(apart.max()) + 1):
        group = np.flatnonzero(apart == one)
        points = (places[:, group] / np.maximum(places.max(axis=1, keepdims=True), 1)).T
        most = min(wanted, len(group) - 1)
        if most:
            _, found = cKDTree(points).query(points, k=most + 1)
            own = found == np.arange(len(group))[:, None]
            # Where others lie on the same point a member may not be found first, or not at all: the farthest goes.
            own[~own.any(axis=1), -1] = True
            near[group, :most] = group[found[~own].reshape(len(group), most)]
    return near
