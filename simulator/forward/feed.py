"""Bars of a forward run: fetched session by session, kept as files of the run, read as a replay reads them.

broker's data ──fetch──► <run>/data/SYMBOL.csv ──load──► Known at an instant
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np

from simulator.files import name_aside, place_all, sweep
from simulator.forward.protocols import Known
from simulator.market.bars import NUMBERS
from simulator.market.fetch import last_complete_session
from simulator.market.sources import files
from simulator.market.table import BarTable

Fetch = Callable[[Sequence[str], date, date], Sequence[BarTable]]
"""Tables of symbols from one day to another, both included: one a symbol, as they were traded."""


@dataclass(eq=False)
class RecordedFeed:
    """Feed that keeps the bars of `symbols`, from the session `begin` on, in `folder`.

    What is there is not asked again, so that a later restatement changes nothing that was decided on.
    """

    symbols: Sequence[str]
    begin: date
    folder: Path
    fetch: Fetch
    load: Callable[[datetime], Known]

    async def known_at(self, as_of: datetime) -> Known:
        await asyncio.to_thread(self._record, last_complete_session(as_of))
        return self.load(as_of)

    def _record(self, last: date) -> None:
        missing: dict[date, list[str]] = {}
        there: dict[str, BarTable] = {}
        for symbol in self.symbols:
            path = self.folder / f"{symbol}.csv"
            if path.is_file():
                there[symbol] = files.read_table(path)
            since = there[symbol].last + timedelta(days=1) if symbol in there else self.begin
            if since <= last:
                missing.setdefault(since, []).append(symbol)
        self.folder.mkdir(parents=True, exist_ok=True)
        sweep(self.folder)
        moves = []
        for since, symbols in missing.items():
            for table in self.fetch(symbols, since, last):
                path = self.folder / f"{table.symbol}.csv"
                moves.append((name_aside(path), path))
                whole = joined(there[table.symbol], table) if table.symbol in there else table
                files.write_csv(whole, moves[-1][0], table.source)
        place_all(self.folder, moves)


def joined(old: BarTable, new: BarTable) -> BarTable:
    """Return the bars of `old`, then those of `new`."""
    columns: dict[str, Any] = {
        name: np.concatenate([getattr(old, name), getattr(new, name)]) for name in ("session_of", "starts", *NUMBERS)
    }
    return BarTable(old.symbol, old.source, old.frequency, **columns)
