"""Many dates at once: what the vector form of a rule reads."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from simulator.market.bars import Bars, Floats, Instants, Snapshot, moment


@dataclass(frozen=True, eq=False)
class Occasions:
    """The K dates a rule decides on: row k knows the bars that have closed by ``instants[k]`` and no later one.

    `bars` are all there are, those before the first date included; `instants` (K,) nanoseconds since the epoch, rising.
    """

    bars: Bars
    instants: Instants

    def __len__(self) -> int:
        return len(self.instants)

    @property
    def symbols(self) -> tuple[str, ...]:
        return self.bars.symbols

    @cached_property
    def ends(self) -> Instants:
        """(K,) number of bars known at each date."""
        return np.searchsorted(self.bars.closes_at, self.instants, side="right")

    @cached_property
    def listed(self) -> NDArray[np.bool_]:
        """(K, N) True where a symbol has had a bar: it gets a target."""
        fresh = self.bars.fresh
        first = np.where(fresh.any(axis=0), fresh.argmax(axis=0), len(fresh))
        return first < self.ends[:, None]

    def history(self, column: int) -> tuple[Floats, Instants]:
        """Return the closes of one symbol, missing bars left out, and (K,) how many of them are known at each date."""
        rows, values = self.bars.series("close", column)
        return values, self.ends if rows is None else np.searchsorted(rows, self.ends)

    @cached_property
    def newest(self) -> Floats:
        """(K, N) newest close of each symbol known at each date; NaN where it has had no bar yet."""
        closes = np.full(self.listed.shape, np.nan)
        for n in range(len(self.symbols)):
            values, known = self.history(n)
            closes[known > 0, n] = values[known[known > 0] - 1]
        return closes

    @property
    def running_sums(self) -> Floats:
        """(N, k + 1) sums of the first closes of each symbol, the last repeated where others have more, kept with the
        bars."""
        key = ("running sums",)
        if key not in self.bars.worked_out:
            closes = [self.history(n)[0] for n in range(len(self.symbols))]
            sums = np.zeros((len(closes), 1 + max(map(len, closes))))
            for row, values in zip(sums, closes, strict=True):
                row[1 : len(values) + 1] = np.cumsum(values)
                row[len(values) + 1 :] = row[len(values)]
            self.bars.worked_out[key] = sums
        found: Floats = self.bars.worked_out[key]
        return found

    def snapshot(self, k: int) -> Snapshot:
        """Return what the step form sees at date `k`."""
        return self.bars.snapshot(moment(int(self.instants[k])))

    def targets(self, weights: Floats) -> Floats:
        """Return (K, N) `weights` as targets: NaN, left alone, where a symbol has had no bar yet."""
        return np.where(self.listed, weights, np.nan)
