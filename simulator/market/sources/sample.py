"""The real daily bars shipped in ``data/sample/``: one Parquet file per symbol, adjusted for splits and dividends.

``python -m simulator.market.sources.sample FOLDER data/sample`` makes them anew from a folder of CSV files
(date,open,high,low,close,volume); where they come from stands in ``data/sample/NOTICE``.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from simulator.market.bars import FIELDS
from simulator.market.sources.files import read_table, symbol_of

FOLDER = "sample"
SOURCE = "sample"


def convert(csv_files: Path, into: Path) -> list[Path]:
    """Write every CSV of `csv_files` as compact Parquet into `into`; the numbers stay what they were, bit by bit."""
    import pyarrow
    import pyarrow.parquet

    prices = dict.fromkeys(FIELDS[:4], "BYTE_STREAM_SPLIT")
    written = []
    for path in sorted(csv_files.glob("*.csv")):
        table = read_table(path)
        columns = {"date": pyarrow.array(table.session_of.astype(np.int32), pyarrow.date32())}
        columns |= {name: pyarrow.array(getattr(table, name)) for name in FIELDS[:4]}
        columns["volume"] = pyarrow.array(table.volume.astype(np.int64))
        written.append(into / f"{symbol_of(path)}.parquet")
        pyarrow.parquet.write_table(
            pyarrow.table(columns),
            written[-1],
            compression="zstd",
            compression_level=19,
            use_dictionary=False,
            column_encoding=prices | {"volume": "DELTA_BINARY_PACKED", "date": "DELTA_BINARY_PACKED"},
            store_schema=False,
        )
    return written


if __name__ == "__main__":
    import sys

    convert(Path(sys.argv[1]), Path(sys.argv[2]))
