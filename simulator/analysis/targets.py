"""Common targets of trading systems against what a run reached, each with its interval."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from simulator.analysis.verdict import find_inference, withheld
from simulator.evidence.reader import Evidence, Series
from simulator.evidence.rows import trip_profits
from simulator.number_format import UNDEFINED, interval, number_of, percent, ratio

Z = 1.959963984540054
"""The 97.5th percentile of the normal distribution."""

DRAWS = 10_000


@dataclass(frozen=True)
class Yardstick:
    """`reached` and its interval [`low`, `high`] against `wanted`; None where undefined. `below`: less is better."""

    key: str
    label: str
    wanted: float
    reached: float | None
    low: float | None
    high: float | None
    how: str
    below: bool = False

    @property
    def verdict(self) -> str:
        """A few words: met or missed, within chance or beyond it."""
        if self.reached is None:
            return UNDEFINED
        met = self.reached < self.wanted if self.below else self.reached > self.wanted
        result = "met" if met else "missed"
        ends = [x for x in (self.low, self.high) if x is not None]
        if not ends:
            return result
        within = min(ends) < self.wanted and (self.high is None or self.wanted < max(ends))
        return f"{result}, within chance" if within else f"{result}, beyond chance"

    @property
    def cells(self) -> tuple[str, str, str]:
        """Target, reached and interval as text."""
        write = percent if self.key in ("hit_rate", "max_drawdown") else ratio
        wanted = f"{'below' if self.below else 'above'} {write(self.wanted)}"
        reached = write(self.reached)
        if reached == write(self.wanted):  # 1.00 is not above 1.00, but 0.997 can be seen to miss it
            reached = write(self.reached, 4)
        if self.low is not None and self.high is None:
            return wanted, reached, f"{write(self.low)} and more"
        return wanted, reached, interval(self.low, self.high, write)


def targets(evidence: Evidence) -> tuple[Yardstick, ...]:
    """Win rate above 50 %, profit factor above 1.5, Sharpe ratio above 1, drawdown below 10 %."""
    run = evidence.run
    metrics = run["metrics"]
    profits = trip_profits(evidence.fills)
    names = ("sharpe", "sharpe_ci_low", "sharpe_ci_high")
    sharpe, low, high = (None if withheld(run) else find_inference(run, name) for name in names)
    bounds = (find_inference(run, name) for name in ("max_drawdown_5", "max_drawdown_95"))
    falls = sorted(-x for x in bounds if x is not None)
    least, most = falls if len(falls) == 2 else (None, None)
    fall = number_of(metrics.get("max_drawdown"))
    return (
        Yardstick(
            "hit_rate", "Win rate", 0.5, number_of(metrics.get("hit_rate")), *_wilson(metrics), how="Wilson, 95\u00a0%"
        ),
        Yardstick(
            "profit_factor",
            "Profit factor",
            1.5,
            number_of(metrics.get("profit_factor")),
            *profit_factor_interval(profits),
            how="round trips redrawn, 95\u00a0%",
        ),
        Yardstick("sharpe", "Sharpe ratio", 1.0, sharpe, low, high, how="stationary bootstrap, 95\u00a0%"),
        Yardstick(
            "max_drawdown",
            "Largest drawdown",
            0.1,
            None if fall is None else abs(fall),
            least,
            most,
            how="redrawn histories, 90\u00a0%",
            below=True,
        ),
    )


def _wilson(metrics: Any) -> tuple[float | None, float | None]:
    """95 % interval of a proportion, Wilson (1927)."""
    wins, losses = number_of(metrics.get("wins")), number_of(metrics.get("losses"))
    if wins is None or losses is None or wins + losses == 0:
        return None, None
    n = wins + losses
    centre, reach = (wins + Z * Z / 2) / (n + Z * Z), Z * math.sqrt(wins * losses / n + Z * Z / 4) / (n + Z * Z)
    return centre - reach, centre + reach


def profit_factor_interval(profits: Series, draws: int = DRAWS, seed: int = 0) -> tuple[float | None, float | None]:
    """95 % percentile interval of gains over losses, round trips drawn with replacement.

    No upper end where more than one draw in forty holds no loss; no interval below ten round trips.
    """
    if len(profits) < 10:
        return None, None
    drawn = np.random.default_rng(seed).choice(profits, (draws, len(profits)))
    gains, losses = np.where(drawn > 0, drawn, 0.0).sum(axis=1), -np.where(drawn < 0, drawn, 0.0).sum(axis=1)
    with np.errstate(divide="ignore"):
        factors = np.where(losses > 0, gains / np.where(losses > 0, losses, 1.0), np.inf)
    ordered = np.sort(factors)
    low, high = (float(ordered[int(share * (draws - 1))]) for share in (0.025, 0.975))
    return low, high if math.isfinite(high) else None
