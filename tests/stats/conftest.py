"""Readers of the files in tests/stats/golden."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

GOLDEN = Path(__file__).parent / "golden"


@pytest.fixture(scope="session")
def expected() -> Callable[[str], Any]:
    """Expected values by file name without the ending."""
    return lambda name: json.loads((GOLDEN / f"{name}.json").read_text())


@pytest.fixture(scope="session")
def table() -> Callable[[str], dict[str, np.ndarray]]:
    """A table of numbers with a header, as columns; a date column is left out."""

    def read(name: str) -> dict[str, np.ndarray]:
        with gzip.open(GOLDEN / f"{name}.csv.gz", "rt") as lines:
            names = next(lines).strip().split(",")
            rows = [line.strip().split(",") for line in lines]
        columns = zip(*rows, strict=True)
        return {n: np.array(c, dtype=float) for n, c in zip(names, columns, strict=True) if n != "date"}

    return read


@pytest.fixture(scope="session")
def draws() -> Callable[[str], np.ndarray]:
    """Rows drawn by a bootstrap, (draws, T), 0-based."""

    def read(name: str) -> np.ndarray:
        with gzip.open(GOLDEN / f"{name}.csv.gz", "rt") as lines:
            return np.array([line.split(",") for line in lines], dtype=np.int64)

    return read


@pytest.fixture(scope="session")
def daily(table: Callable[[str], dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """1,260 sessions of strat_a, strat_b, bench and rf."""
    return table("daily_open")


@pytest.fixture(scope="session")
def sweep(table: Callable[[str], dict[str, np.ndarray]]) -> np.ndarray:
    """480 sessions of 24 configurations; the first three have an edge."""
    return np.column_stack(list(table("sweep_open").values()))
