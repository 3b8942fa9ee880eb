"""The path of an account by calendar periods and below its peaks."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import date

import numpy as np

from simulator.evidence.reader import Series
from simulator.number_format import number_of


def period_returns(
    sessions: Sequence[date], equity: Series, cash: float, period: Callable[[date], tuple[int, ...]]
) -> dict[tuple[int, ...], float | None]:
    """Period → return from the last close before it, or from `cash`, to its last close; None where that was lost."""
    last = {period(day): float(value) for day, value in zip(sessions, equity, strict=True)}
    returns: dict[tuple[int, ...], float | None] = {}
    before = cash
    for key, value in last.items():
        returns[key] = number_of(value / before - 1) if before > 0 else None
        before = value
    return returns


def drawdown(path: Series) -> Series:
    """(n,) fraction below the highest value of `path` so far; its start counts as a peak. NaN stays NaN.

    At most all of it: what a lost account owes is no further fall.
    """
    return np.maximum(path / np.fmax.accumulate(path) - 1, -1.0)


def exposures(equity: Mapping[str, Series]) -> tuple[Series, Series]:
    """Return (gross, net) of equity.csv; NaN from the session on at whose close nothing was left to be a part of."""
    left = ~np.logical_or.accumulate(equity["equity"] <= 0)
    gross, net = (np.where(left, equity[name], np.nan) for name in ("gross", "net"))
    return gross, net
