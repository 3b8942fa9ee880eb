"""Two accounts on the same sessions: how far apart they are, and whether that is more than chance."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import cast

import numpy as np

from simulator.evidence.records import PairRecord
from simulator.market.bars import Floats
from simulator.stats.adjust import adjust
from simulator.stats.bootstrap import DRAWS
from simulator.stats.compare import compare
from simulator.stats.mean import mean_of
from simulator.stats.metrics import PERIODS
from simulator.stats.series import Undefined

CHUNK = 1000

LEVEL = 0.05


@dataclass(frozen=True)
class Pair:
    """The reference less the variant: above 0, what the variant lacks has paid.

    Attributes
    ----------
    sharpe, sharpe_low, sharpe_high : difference of annual Sharpe ratios and its 95 % interval (Ledoit & Wolf 2008)
    p, p_adjusted : two-sided; the second adjusted for all pairs of the same table (Holm 1979)
    detectable : Sharpe difference that would be found with 80 % power on so many sessions
    annual_return, annual_return_low, annual_return_high : difference of mean annual returns and its 95 % percentile
        interval (stationary bootstrap of the paired difference)
    same : whether the two earned the same in every session
    reason : why there is no Sharpe interval, None where there is one
    """

    sharpe: float | None = None
    sharpe_low: float | None = None
    sharpe_high: float | None = None
    p: float | None = None
    p_adjusted: float | None = None
    detectable: float | None = None
    annual_return: float | None = None
    annual_return_low: float | None = None
    annual_return_high: float | None = None
    same: bool = False
    reason: str | None = None

    def to_json(self) -> PairRecord:
        return cast(PairRecord, asdict(self))

    def verdict(self, part: str) -> str:
        """A few words on whether `part` paid: never that there is no difference, unless every session was the same."""
        if self.same:
            return "the same trades"
        if self.p is None or self.sharpe is None or self.sharpe_low is None or self.sharpe_high is None:
            return "cannot be compared"
        if self.sharpe_low <= 0.0 <= self.sharpe_high:
            return "cannot tell them apart"
        if self.p_adjusted is not None and self.p_adjusted >= LEVEL:
            return "apart before adjusting"
        return f"better with {part}" if self.sharpe > 0.0 else f"worse with {part}"


def compare_returns(reference: Floats, variant: Floats, free: Floats, draws: int = DRAWS, seed: int = 0) -> Pair:
    """Return the pair of two accounts by their session returns (S,), and the risk-free return `free` (S,)."""
    if np.array_equal(reference, variant):
        return Pair(sharpe=0.0, annual_return=0.0, same=True, reason="the two earned the same in every session")
    apart = mean_of(reference - variant, PERIODS, draws, seed, CHUNK)
    mean, low, high = apart.value, apart.low, apart.high
    with np.errstate(invalid="ignore", divide="ignore"):
        tested = compare(reference, variant, free, PERIODS, draws=draws, seed=seed)
    if isinstance(tested, Undefined):
        return Pair(annual_return=mean, annual_return_low=low, annual_return_high=high, reason=tested.reason)
    if not np.isfinite((tested.low, tested.high)).all():
        # Some replicates drew none of the sessions in which the two differ.
        few = "the two differ in too few sessions to draw from"
        return Pair(tested.difference, annual_return=mean, annual_return_low=low, annual_return_high=high, reason=few)
    return Pair(
        sharpe=tested.difference,
        sharpe_low=tested.low,
        sharpe_high=tested.high,
        p=tested.p,
        detectable=tested.detectable,
        annual_return=mean,
        annual_return_low=low,
        annual_return_high=high,
    )


def adjust_pairs(pairs: Mapping[str, Pair]) -> dict[str, Pair]:
    """Return the same pairs with their p adjusted for each other; those without a p do not count."""
    tested = {name: pair.p for name, pair in pairs.items() if pair.p is not None}
    if not tested:
        return dict(pairs)
    holm = dict(zip(tested, adjust(list(tested.values()), "holm").tolist(), strict=True))
    return {name: replace(pair, p_adjusted=holm.get(name)) for name, pair in pairs.items()}
