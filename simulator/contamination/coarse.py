"""Facts without exact digits: every number moved to the nearest of nine values, so that a row is no fingerprint.

    centre + unit × (−4, −2, −1, −½, 0, ½, 1, 2, 4)          unit of a return over k sessions: √k per cent

A masked market still shows returns to two decimals, and three of them name asset and date to who knows a table of them.
Rounded to nine values they say how the market stands, and no more. Prices are moved as distances from the newest close.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, cast

from simulator.contamination.disguise import Disguise, Disguised
from simulator.council.context import PipelineContext
from simulator.council.records import Facts
from simulator.council.strategy import Council
from simulator.market.bars import Snapshot

STEPS = (-4.0, -2.0, -1.0, -0.5, 0.0, 0.5, 1.0, 2.0, 4.0)

SCALES: tuple[tuple[str, float, float], ...] = (
    ("volatility", 0.0, 20.0),
    ("macd", 0.0, 1.0),
    ("rsi", 50.0, 10.0),
    ("correlation", 0.0, 0.25),
    ("vix.*percentile", 50.0, 12.5),
    ("vix.*change", 0.0, 2.0),
    ("vix", 0.0, 20.0),
    ("cash_yield", 0.0, 1.0),
    ("atr", 0.0, 1.0),
)
"""Centre and unit of what is no return over so many sessions, by words in its name; ATR in per cent of the close."""

PRICES = ("atr_14", "prior_high", "prior_low")
EXACT = ("close", "impact")
"""The newest close is 100 in a masked market whatever happened; an event's importance is no figure of the market."""


class Coarse(Disguised):
    """A masked council shown coarse facts. What it answers is carried out as in the masked arm, on exact ones: limits
    rest on them, and these are no judgement of the council."""

    def __init__(self, council: Council, disguise: Disguise) -> None:
        super().__init__(council.showing(coarsen), disguise)
        self.council = council

    async def opine(self, snapshot: Snapshot, _journal: Any) -> PipelineContext:
        """Return the council's opinion on coarse facts, beside the exact ones."""
        formed = cast(PipelineContext, await super().opine(snapshot, ()))
        return replace(formed, facts=self.council.open(self.mask(snapshot), shortlist=formed.shortlist).facts)


def coarsen(facts: Facts) -> Facts:
    """Return `facts` with every number moved to the nearest of nine values of its kind; names, dates, texts stay."""
    return cast(Facts, _coarse(facts, "", 100.0))


def _coarse(value: Any, name: str, close: float) -> Any:
    if isinstance(value, Mapping):
        base = float(value.get("close", close))
        return {key: _coarse(one, f"{name}.{key}", base) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_coarse(one, name, close) for one in value]
    last = name.rpartition(".")[2]
    if isinstance(value, bool) or not isinstance(value, int | float) or last in EXACT:
        return value
    centre, unit = scale_of(name)
    if not last.startswith(PRICES):
        return nearest(value, centre, unit)
    away = 100.0 * value / close - (0.0 if last.startswith("atr") else 100.0)
    moved = nearest(away, centre, unit) + (0.0 if last.startswith("atr") else 100.0)
    return float(f"{close * moved / 100.0:.6g}")


def scale_of(name: str) -> tuple[float, float]:
    """Return (centre, unit) of a fact, ``vix.change_5``: of sessions counted in its name √k per cent, else 1."""
    for words, centre, unit in SCALES:
        if re.search(words, name):
            return centre, unit
    sessions = re.search(r"_(\d+)(?:_|$)", name.rpartition(".")[2])
    return 0.0, math.sqrt(int(sessions[1])) if sessions else 1.0


def nearest(value: float, centre: float, unit: float) -> float:
    """Return the nearest of the nine values, to one decimal or three digits; of two as near the lower."""
    step = min(STEPS, key=lambda step: abs(value - centre - step * unit))
    return float(f"{centre + step * unit:.3g}") + 0.0
