"""p-values of several tests at once, adjusted as R's p.adjust does.

For exploration only: the verdict of a sweep comes from `selection`, which keeps the dependence of configurations.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from simulator.errors import DataError
from simulator.stats.series import Floats, as_series

Adjustment = Literal["bonferroni", "holm", "hochberg", "benjamini_hochberg", "benjamini_yekutieli"]


def adjust(p_values: ArrayLike, method: Adjustment = "benjamini_hochberg") -> Floats:
    """Return (m,) adjusted p-values in the order given, each at most 1.

    bonferroni, holm (1979) and hochberg (1988) bound the chance of a single false discovery; benjamini_hochberg (1995)
    and benjamini_yekutieli (2001, any dependence) bound the expected share of false discoveries.
    Errors: `DataError` for a value outside 0 … 1.
    """
    p = as_series(p_values, "p-values")
    outside = (p < 0.0) | (p > 1.0)
    if outside.any():
        at = int(np.argmax(outside))
        raise DataError(f"p-values holds {p[at]:g} at position {at}", mend="a probability lies between 0 and 1")
    m = p.size
    if method == "bonferroni":
        return np.minimum(p * m, 1.0)
    order = np.argsort(p, kind="stable")
    ranked, rank = p[order], np.arange(1, m + 1)
    if method == "holm":
        stepped = np.maximum.accumulate(ranked * (m - rank + 1))
    else:
        factor = {
            "hochberg": m - rank + 1.0,
            "benjamini_hochberg": m / rank,
            "benjamini_yekutieli": m / rank * np.sum(1.0 / rank),
        }[method]
        stepped = np.minimum.accumulate((ranked * factor)[::-1])[::-1]
    adjusted = np.empty(m)
    adjusted[order] = np.minimum(stepped, 1.0)
    return adjusted
