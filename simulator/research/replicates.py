"""How far the answers of a model carry: the same questions asked several times, and the spread of what came out."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

Spread = dict[str, float | None]


def spread(values: Sequence[float | None]) -> Spread:
    """mean, min, max and sd (ddof 1) of one metric over the draws; None where a draw has none, sd for one draw."""
    known = [value for value in values if value is not None and math.isfinite(value)]
    if len(known) < len(values) or not known:
        return {"mean": None, "min": None, "max": None, "sd": None}
    sd = float(np.std(known, ddof=1)) if len(known) > 1 else None
    return {"mean": float(np.mean(known)), "min": min(known), "max": max(known), "sd": sd}


def spreads(draws: Sequence[Mapping[str, float | None]]) -> dict[str, Spread]:
    """{metric: its spread over `draws`}, in the order of the first."""
    return {name: spread([draw.get(name) for draw in draws]) for name in draws[0]}
