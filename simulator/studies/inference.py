"""Conclusions from the best of many members."""

from __future__ import annotations

from dataclasses import dataclass

from simulator.market.bars import Floats
from simulator.stats.selection import Resampling, effective_trials, max_sharpe_reality_check, romano_wolf


@dataclass(frozen=True, eq=False)
class Inference:
    """Conclusions on N members, of d (N, S): what each earned beyond its own usual exposure.

    Attributes
    ----------
    best : member with the largest ratio of d
    p : of the best, by the reality check
    p_members : (N,) Romano-Wolf step-down
    effective : number of independent trials they amount to
    """

    best: int
    p: float
    p_members: Floats
    effective: float


def infer(beyond: Floats, seed: int = 0, draws: int = 1000) -> Inference:
    """Return the conclusions on `beyond` (N, S)."""
    how = Resampling(draws=draws, seed=seed)
    check, steps = max_sharpe_reality_check(beyond.T, how), romano_wolf(beyond.T, how)
    return Inference(check.best, check.p, steps.p, effective_trials(beyond.T))
