"""Losses from a peak, on the compounded path E₀ = 1, Eₜ = Eₜ₋₁·(1 + rₜ).

E₀ counts as a peak: a strategy that loses on its first session is in a drawdown from the start. Positions count
points of the path, so 0 is the instant before the first return and n the last close.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from simulator.stats.series import Floats, Measure, Undefined, as_series


@dataclass(frozen=True)
class Drawdown:
    """One loss from a peak and, if it came, the way back.

    Attributes
    ----------
    depth : negative fraction of the peak, e.g. -0.084
    peak, trough : points of the path, 0 = before the first return
    recovery : first point at or above the peak again; None while open
    sessions : from the peak to the recovery, or to the last session while open. PerformanceAnalytics counts one
        more for an open one
    """

    depth: float
    peak: int
    trough: int
    recovery: int | None
    sessions: int

    @property
    def open(self) -> bool:
        """True where the loss was not yet made good when the history ended."""
        return self.recovery is None


def path(returns: ArrayLike) -> Floats | Undefined:
    """Return (n + 1,) the compounded value of 1 invested before the first session.

    Undefined where one session lost more than everything, because what follows a negative value cannot compound.
    A loss of exactly everything is defined: the path stays at 0.
    """
    r = as_series(returns)
    beyond = r < -1.0
    if beyond.any():
        at = int(np.argmax(beyond))
        return Undefined(f"session {at} lost {-r[at]:.0%}, more than everything, and nothing compounds after that")
    with np.errstate(over="ignore"):
        grown = np.concatenate(([1.0], np.cumprod(1.0 + r)))
    return grown if np.isfinite(grown).all() else Undefined("the compounded value is too large to represent")


def underwater(returns: ArrayLike) -> Floats | Undefined:
    """Return (n + 1,) Eₜ / max(E₀…Eₜ) − 1, zero or negative; the first entry is 0."""
    value = path(returns)
    return value if isinstance(value, Undefined) else value / np.maximum.accumulate(value) - 1.0


def drawdowns(returns: ArrayLike) -> tuple[Drawdown, ...] | Undefined:
    """Return every drawdown in order of time; the last one may be open. Empty when the path never fell."""
    below = underwater(returns)
    if isinstance(below, Undefined):
        return below
    under = np.concatenate((below < 0.0, [False]))
    edges = np.flatnonzero(np.diff(under.astype(np.int8)))
    last = below.size - 1
    losses = []
    for before, end in zip(edges[::2], edges[1::2], strict=True):
        peak, over = int(before), int(end) + 1
        trough = peak + int(np.argmin(below[peak : end + 1]))
        recovery = over if over <= last else None
        losses.append(Drawdown(float(below[trough]), peak, trough, recovery, min(over, last) - peak))
    return tuple(losses)


def deepest_drawdowns(returns: ArrayLike) -> tuple[Drawdown, ...] | Undefined:
    """Return every drawdown, the deepest first, the earlier of equals before the later."""
    every = drawdowns(returns)
    return every if isinstance(every, Undefined) else tuple(sorted(every, key=lambda one: one.depth))


def worst_drawdown(returns: ArrayLike) -> Drawdown | Undefined | None:
    """Return the deepest drawdown, the earlier of equals; None when the path never fell."""
    every = deepest_drawdowns(returns)
    return every if isinstance(every, Undefined) else next(iter(every), None)


def max_drawdown(returns: ArrayLike) -> Measure:
    """Depth of the deepest drawdown, negative (-0.084 is a loss of 8.4 %); 0.0 when the path never fell.

    Compounded; source: Magdon-Ismail & Atiya (2004), with E₀ as a peak.
    """
    worst = worst_drawdown(returns)
    return worst if isinstance(worst, Undefined) else (worst.depth if worst else 0.0)


def max_drawdown_sessions(returns: ArrayLike) -> Measure:
    """Sessions from the peak of the deepest drawdown to its recovery, or to the last session while it is open."""
    worst = worst_drawdown(returns)
    return worst if isinstance(worst, Undefined) else (float(worst.sessions) if worst else 0.0)


def ulcer(returns: ArrayLike) -> Measure:
    """Ulcer index √mean(DDₜ²) over the n sessions, as a positive fraction (0.05 is 5 %), divided by n.

    Source: Martin & McCann (1989).
    """
    below = underwater(returns)
    return below if isinstance(below, Undefined) else float(np.sqrt(np.mean(below[1:] ** 2)))
