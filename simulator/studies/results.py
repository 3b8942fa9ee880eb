"""The folder of a sweep: chunks as Parquet, each whole or not there, and study.json once all are in.

reports/sweep-<strategy>-<id>/chunks/000000.parquet   members 0 … : settings and measures, a row each
                              chunks/000000.npy       (R, S) what they earned beyond their usual exposure
                              study.json              what was swept, what was concluded
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from simulator.files import write_file
from simulator.market.bars import Floats
from simulator.studies.chunks import Chunk


@dataclass(frozen=True)
class SweepFolder:
    """The folder of one sweep."""

    path: Path

    def has(self, first: int) -> bool:
        """Return True where the chunk that begins with member `first` is there."""
        return self._table(first).exists()

    def keep(self, chunk: Chunk) -> None:
        """Write one chunk; its table comes last and says that it is whole."""
        series, table = io.BytesIO(), io.BytesIO()
        np.save(series, chunk.beyond)
        pd.DataFrame(dict(chunk.columns)).to_parquet(table, index=False)
        self._table(chunk.first).parent.mkdir(parents=True, exist_ok=True)
        write_file(self._table(chunk.first).with_suffix(".npy"), series.getvalue())
        write_file(self._table(chunk.first), table.getvalue())

    def table(self) -> pd.DataFrame:
        """Return a row per member, in the order of their numbers, as index."""
        parts = [pd.read_parquet(path) for path in sorted((self.path / "chunks").glob("*.parquet"))]
        return pd.concat(parts, ignore_index=True).rename_axis("member")

    def blocks(self) -> Iterator[Floats]:
        """Yield (R, S) d of the members of each chunk, in the order of their numbers."""
        return (np.load(path) for path in sorted((self.path / "chunks").glob("*.npy")))

    def _table(self, first: int) -> Path:
        return self.path / "chunks" / f"{first:09}.parquet"
