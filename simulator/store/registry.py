"""The registry of runs: every distinct run ever made in a workspace, so that trials are counted without anyone
having to remember to declare them. It is the table `runs` of the store."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from simulator.store.database import Store


class Registry:
    """Runs of one workspace. `place` is a SQLite file or a database URL."""

    def __init__(self, place: Path | str) -> None:
        self._store = Store(place)

    def record(self, run: Mapping[str, Any], folder: str) -> int:
        """Count one run (its run.json); returns the number of distinct runs so far. Raises SimError."""
        return self._store.record_run(run, folder)

    def rows(self) -> list[dict[str, Any]]:
        """Every run, the first made first. Raises SimError."""
        return self._store.runs()

    def close(self) -> None:
        self._store.close()
