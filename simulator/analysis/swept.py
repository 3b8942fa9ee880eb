"""Runs beside a sweep: members known again by their results, and the p a run has as one of the sweep's members."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from simulator.evidence.sweep_records import SweptRow
from simulator.evidence.sweep_trials import STUDY
from simulator.stats.many import Resampling, compare_many
from simulator.stats.metrics import PERIODS
from simulator.stats.series import Floats
from simulator.stats.skill import share_of_level

FIGURES = ("total_return", "volatility", "max_drawdown", "sharpe")
"""Measures that agree in twelve digits only where every session's return does."""

DIGITS = 1e-11
"""Relative, and absolute of small figures: the kernel's differ from a run's in the last digits."""


@dataclass(frozen=True, eq=False)
class SweptFigures:
    """FIGURES (N, 4) of all members of a sweep, and their p (N,) as one of them; None where it is not finished."""

    figures: Floats
    p: Floats | None

    @classmethod
    def of(cls, folder: Path) -> SweptFigures | None:
        """Return those of the sweep in `folder`; None where it is gone or cannot be read."""
        from pyarrow import ArrowInvalid, parquet

        try:
            tables = [
                parquet.read_table(path, columns=list(FIGURES)) for path in sorted(folder.glob("chunks/*.parquet"))
            ]
            p = None
            if (folder / STUDY).is_file():
                p = parquet.read_table(folder / "inference.parquet", columns=["p"])["p"].to_numpy()
            figures = np.concatenate([np.column_stack([one[name].to_numpy() for name in FIGURES]) for one in tables])
        except (OSError, ArrowInvalid, KeyError, ValueError):
            return None
        return cls(figures, p) if p is None or len(p) == len(figures) else None

    def find(self, figures: Sequence[float | None]) -> int | None:
        """Return the member with these figures, the first of equals; None where there is none."""
        if len(figures) != len(FIGURES):
            return None
        wanted = np.array([np.nan if one is None else one for one in figures])
        near = np.abs(self.figures - wanted) <= DIGITS * np.maximum(1.0, np.abs(wanted))
        alike = np.flatnonzero((near | (np.isnan(self.figures) & np.isnan(wanted))).all(axis=1))
        return int(alike[0]) if alike.size else None


def p_beside(sweep: SweptRow, beyond: Floats, level: float) -> float:
    """Return the p of a run with d `beyond` (n,), of which a change of level earned `level` per session, as if it were
    one of the members of `sweep`: the share of replicates in which the largest t of any member reaches its own.

    Romano-Wolf in a single step, which is never below the step-down. `sweep` as the store keeps it.
    """
    how = Resampling(sweep["draws"], sweep["block"], sweep["seed"])
    found = compare_many([beyond[None, :]], how)
    if not np.isfinite(found.t[0]):
        return 1.0
    mean, gain = float(found.mean[0]), max(level, 0.0)
    ratio = float(found.ratio[0]) * math.sqrt(PERIODS)
    without = ratio * (mean - gain) / mean if mean else 0.0

    def estimate_p(values: list[float], heights: list[float]) -> list[float]:
        if not heights:  # an earlier build kept none
            return [0.0] * len(values)
        below = np.interp(values, heights, np.linspace(0.0, 1.0, len(heights)))
        return [float(one) for one in np.maximum(1.0 - below, 1.0 / (sweep["draws"] + 1.0))]

    p_ratio, p_level = estimate_p([ratio, without], sweep.get("null_best", []))
    p = estimate_p([float(found.t[0])], sweep["null_t"])[0]
    return max(p, p_ratio, p_level * share_of_level(mean, gain))
