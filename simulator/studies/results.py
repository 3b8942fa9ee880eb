"""The folder of a sweep: chunks as Parquet, each whole or not there, and study.json once all are in.

reports/sweep-<strategy>-<from>-<to>-<id>/
  chunks/000000000.parquet   members 0 … : settings and measures, a row each; digests of both files, and whose they are
  chunks/000000000.npy       (R, S) what they earned beyond their usual exposure
  study.json                 what was swept, what was concluded
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from simulator.errors import SimError
from simulator.evidence.sweep_records import SEAL, SealRecord
from simulator.evidence.verify_sweep import digests_of, read_seal, series_head, table_digest
from simulator.files import write_file
from simulator.market.bars import Floats
from simulator.runs.identity import code_digest, data_digest, digest_of
from simulator.studies.chunks import Chunk
from simulator.studies.inputs import SweepInputs

PLAIN: dict[str, Any] = {"use_dictionary": False, "write_statistics": False}
"""A chunk is read whole: writing what helps to find rows in it takes longer than all the rest."""


@dataclass(frozen=True)
class SweepFolder:
    """The folder of one sweep; `study` is the digest of everything its results follow from."""

    path: Path
    study: str = ""

    def keep(self, chunk: Chunk) -> None:
        """Write one chunk; its table comes last and says that it is whole. Raises SimError where it cannot be."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        rows = io.BytesIO()
        table = pa.table({name: pa.array(values) for name, values in chunk.columns.items()})
        seal: SealRecord = {
            "study": self.study,
            "members": [chunk.first, chunk.first + len(chunk.beyond)],
            "table": table_digest(table),
            "beyond": chunk.digest,
            "failures": {str(number): why for number, why in sorted(chunk.failures.items())},
        }
        pq.write_table(table.replace_schema_metadata({SEAL: json.dumps(seal).encode()}), rows, **PLAIN)
        write_file(self._series(chunk.first), chunk.beyond.data.cast("B"), head=series_head(chunk.beyond))
        write_file(self._table(chunk.first), rows.getvalue())

    def has(self, first: int, end: int) -> bool:
        """Return True where the chunk of members `first` to before `end` is there, whole, and of this study."""
        return self._seal(first, end) is not None

    def missing(self, spans: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
        """Return those of `spans` whose chunk is not there, damaged, or of another study."""
        return [span for span in spans if not self.has(*span)]

    def failures(self) -> dict[int, str]:
        """Return {member: why it could not be played}."""
        found: dict[int, str] = {}
        for path in sorted((self.path / "chunks").glob("*.parquet")):
            found |= {int(number): why for number, why in read_seal(path)["failures"].items()}
        return found

    def table(self) -> pd.DataFrame:
        """Return a row per member, in the order of their numbers, as index."""
        parts = [pd.read_parquet(path) for path in sorted((self.path / "chunks").glob("*.parquet"))]
        return pd.concat(parts, ignore_index=True).rename_axis("member")

    def blocks(self) -> Iterator[Floats]:
        """Yield (R, S) d of the members of each chunk, in the order of their numbers."""
        return (np.load(path) for path in sorted((self.path / "chunks").glob("*.npy")))

    def series(self, number: int) -> Floats:
        """(S,) d of one member."""
        path = max(path for path in (self.path / "chunks").glob("*.npy") if int(path.stem) <= number)
        found: Floats = np.load(path)[number - int(path.stem)]
        return found

    def beyond(self) -> Floats:
        """(R, S) of all members."""
        return np.concatenate(list(self.blocks()))

    def refuse_others(self) -> None:
        """Raise SimError where members of another study lie in this folder: it was copied, or given this name."""
        for path in sorted((self.path / "chunks").glob("*.parquet")):
            with suppress(OSError, KeyError, ValueError):  # damaged: it is played again
                if (other := read_seal(path)["study"]) != self.study:
                    found = f"chunks/{path.name} is of another study ({other[:10]}, this one is {self.study[:10]})"
                    raise SimError(found, where=str(self.path), mend="give that folder another name, and try again")

    def _seal(self, first: int, end: int) -> SealRecord | None:
        path = self._table(first)
        try:
            seal = read_seal(path)
            there = {"study": self.study, "members": [first, end], **digests_of(path, seal)}
        except (OSError, KeyError, ValueError):  # pyarrow's own errors are of these kinds
            return None
        return seal if {**seal, **there} == seal else None

    def _table(self, first: int) -> Path:
        return self.path / "chunks" / f"{first:09}.parquet"

    def _series(self, first: int) -> Path:
        return self._table(first).with_suffix(".npy")


def name_folder(inputs: SweepInputs) -> SweepFolder:
    """Return the folder of the sweep of `inputs`, which need not be there. Its name holds ten digits of the digest of
    all that results follow from; councils were asked before."""
    staged = inputs.staged(inputs.member(0))
    made_of: list[Any] = [
        {**inputs.study.described(), "to": str(staged.last)},
        [inputs.config.dump(), dict(inputs.strategy.files), data_digest(staged.inputs), code_digest()],
        *([{key: one.digest for key, one in inputs.decided.items()}] if inputs.of_council else []),
    ]
    study = digest_of(made_of)
    name = f"sweep-{inputs.name}-{inputs.study.base.first}-{staged.last}-{study[:10]}"
    return SweepFolder(inputs.workspace.reports / name, study)
