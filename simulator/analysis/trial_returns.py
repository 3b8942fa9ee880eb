"""Returns of trials over cash, and how they move together: what makes many near copies few independent trials."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from simulator.errors import DataError
from simulator.evidence.reader import read_equity, read_run
from simulator.evidence.verify import check_parts
from simulator.numerics import products, weighing
from simulator.stats.series import Floats, is_constant

FEWEST_COMMON = 20
"""Sessions two trials must share for their correlation to be taken; with fewer they count as independent."""


@dataclass(frozen=True, eq=False)
class Excess:
    """Excess returns (T,) over the risk-free return by session (T,) datetime64[D], oldest first."""

    sessions: NDArray[np.datetime64]
    returns: Floats
    free: Floats

    @property
    def excess(self) -> Floats:
        return self.returns - self.free


def read_excess(folder: Path, digest: str | None = None) -> Excess | None:
    """Returns of the run in `folder`; None where it is gone, unreadable, or holds another result than `digest`."""
    try:
        run = read_run(folder, trials=False)
        if digest is not None:
            check_parts(folder, run, ("equity.csv",))
        sessions, curves = read_equity(folder, run)
    except DataError:
        return None
    if "risk_free" not in curves or (digest is not None and run["digest"] != digest):
        return None
    closes = np.r_[run["cash"], curves["equity"]]
    with np.errstate(divide="ignore", invalid="ignore"):
        returns = closes[1:] / closes[:-1] - 1.0
    found = Excess(np.array(sessions, dtype="datetime64[D]"), returns, curves["risk_free"])
    return found if np.isfinite(found.excess).all() else None


def mean_correlation(known: Sequence[Excess]) -> float:
    """Mean over all pairs of the correlation on the sessions both have; 0 for pairs that share too few.

    As `simulator.stats.selection.effective_trials` takes it where all have the same sessions.
    """
    if len(known) < 2:
        return 0.0
    days = np.unique(np.concatenate([one.sessions for one in known]))
    x, there = np.zeros((len(days), len(known))), np.zeros((len(days), len(known)))
    for column, one in enumerate(known):
        at = np.searchsorted(days, one.sessions)
        if not is_constant(one.excess):
            x[at, column], there[at, column] = one.excess - one.excess.mean(), 1.0
    n = weighing(there, len(days))(there.T)
    enough = n >= FEWEST_COMMON
    n = np.maximum(n, 1.0)
    mean, square = (weighing(one, len(days))(there.T).T / n for one in (x, x * x))
    variance = np.maximum(square - mean**2, 0.0)
    scale = np.sqrt(variance * variance.T)
    usable = enough & (scale > 0.0)
    correlation = np.divide(products(x, x) / n - mean * mean.T, scale, out=np.zeros_like(scale), where=usable)
    pairs = len(known) * (len(known) - 1)
    return (float(correlation.sum()) - float(np.trace(correlation))) / pairs
