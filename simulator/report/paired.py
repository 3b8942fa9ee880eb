"""The run against its benchmarks, session by session: a difference of two Sharpe ratios is surer than either."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from simulator.analysis.verdict import withheld
from simulator.evidence.reader import Series
from simulator.number_format import UNDEFINED, interval, p_value, ratio

BENCHMARKS = (("buy_and_hold", "Buy-and-hold"), ("exposure_matched", "Same exposure"))
"""Holding the symbols, and holding them as much as the run did. Equal weight would ask the first question again."""

COLUMNS = ("Sharpe less its", "95\u00a0% interval", "p", "Detectable")
DRAWS = 1_000
"""Enough to place p among 0.03, 0.05 and 0.07; ten years then take a tenth of a second for each benchmark."""


@dataclass(frozen=True)
class Paired:
    """The run's Sharpe ratio less that of `benchmark` (its key), a year, with a 95 % interval and a two-sided p.

    `detectable` is the difference that would be found four times in five. All None where undefined, and `why` says so.
    """

    benchmark: str
    label: str
    difference: float | None = None
    low: float | None = None
    high: float | None = None
    p: float | None = None
    detectable: float | None = None
    verdict: str = UNDEFINED
    why: str = ""

    @property
    def cells(self) -> tuple[str, ...]:
        """Cells of COLUMNS."""
        return (
            ratio(self.difference, sign=True),
            interval(self.low, self.high),
            p_value(self.p),
            ratio(self.detectable),
        )


def against_benchmarks(run: Mapping[str, Any], equity: Mapping[str, Series]) -> tuple[Paired, ...]:
    """One row per benchmark with a curve in equity.csv (`equity` as in `Evidence`); none below 60 sessions.

    Ledoit & Wolf (2008): HAC-studentised circular block bootstrap on the same sessions, seed 0.
    """
    if withheld(run):
        return ()
    own, cash = equity["equity"], float(run["cash"])
    free = np.nan_to_num(equity.get("risk_free", np.zeros_like(own)))
    return tuple(_pair(key, label, own, equity[key], free, cash) for key, label in BENCHMARKS if key in equity)


def returns_of(equity: Series, cash: float) -> Series:
    """(T,) simple returns at each close, the first one from `cash`."""
    before: Series = np.r_[cash, equity[:-1]]
    return equity / before - 1.0


def _pair(key: str, label: str, own: Series, other: Series, free: Series, cash: float) -> Paired:
    from simulator.stats.compare import compare
    from simulator.stats.series import Undefined

    if not (np.isfinite(own).all() and np.isfinite(other).all() and min(own.min(), other.min()) > 0):
        return Paired(key, label, why="an account was lost")
    if np.ptp(own) == 0:
        return Paired(key, label, why="no position was held")
    found = compare(returns_of(own, cash), returns_of(other, cash), free, draws=DRAWS)
    if isinstance(found, Undefined):
        return Paired(key, label, why=found.reason)
    said = {"the first is better": "better", "the second is better": "worse"}.get(found.verdict, found.verdict)
    verdict = f"{said}, borderline" if found.borderline else said
    return Paired(key, label, found.difference, found.low, found.high, found.p, found.detectable, verdict)
