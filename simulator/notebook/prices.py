"""Prices of a run for its charts: the workspace's bars, as long as they are those that were traded on."""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING

import numpy as np

from simulator.errors import DataError
from simulator.evidence.writer import session_ends
from simulator.market.load import load_bars

if TYPE_CHECKING:
    import pandas as pd

    from simulator.notebook.run import Run

WITHIN = 1e-9
"""Relative distance at which a fill still lies within its bar."""


def closes_of(run: Run, symbol: str) -> pd.Series:
    """Return (T,) the closes of one symbol by session; see :meth:`simulator.notebook.run.Run.closes`."""
    from simulator.notebook.tables import tabulate_series

    facts, folders = run.facts, run.workspace.reading(run.facts.get("bars")).bar_folders
    first, last = (date.fromisoformat(day) for day in (facts["from"], facts["to"]))
    bars = load_bars([symbol], folders, first=first, last=last).bars
    fills = run.fills[run.fills["symbol"] == symbol]
    row = np.searchsorted(bars.opens_at, fills["at"].astype("int64").to_numpy())
    low, high = (np.append(values[:, 0], np.nan)[row] for values in (bars.low, bars.high))
    price = fills["price"].to_numpy()
    outside = ~((price >= low * (1 - WITHIN)) & (price <= high * (1 + WITHIN)))
    if outside.any():
        day = fills["session"].iloc[int(np.argmax(outside))]
        raise DataError(
            f"bars of {symbol} have changed since run {run.id}",
            where=f"{day:%Y-%m-%d}",
            mend=f"`{facts['command']}` runs it again",
        )
    ends = session_ends(bars)
    closes = tabulate_series(bars.dates[ends].tolist(), {symbol: bars.close[ends, 0]})[symbol]
    return closes.reindex(run.equity.index)
