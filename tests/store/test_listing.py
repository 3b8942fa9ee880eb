"""Lists are read from a file at once, and say what the store says."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

import pytest

from simulator.errors import SimError
from simulator.store.database import Store
from simulator.store.listing import FIGURES, by_run, list_results

from .conftest import run

pytestmark = pytest.mark.medium


def filled(place: Path | str) -> None:
    metrics = {"total_return": 0.1 + 0.2, "sharpe": None, "volatility": 5e-324, "exposure": 1}
    with Store(place) as store:
        store.record_run(run(1, metrics=metrics, bar_months={"SPY": ["2024-01", "ab"]}), "a", run_json="sha")
        store.record_run(run(2, strategy_files={"s.py": "sha of s"}), "b-partial")
        store.record_run(run(2, digest="whole"), "b")
        store.record_run(run(1, metrics=metrics), "a")


def slim(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Rows of the store with the figures of lists for metrics."""
    kept = [{name: value for name, value in row.items() if name not in (*FIGURES, "parameters")} for row in rows]
    return [{**row, "metrics": {name: row["metrics"].get(name) for name in FIGURES}} for row in kept]


def test_a_list_says_what_the_store_says(place: Path | str) -> None:
    assert list_results(place).rows == []
    filled(place)
    with Store(place) as store:
        listing = list_results(place)
        assert listing.began == store.began()
        assert slim([{**row} for row in store.results()]) == slim([{**row} for row in listing.rows])
        assert [row["folder"] for row in by_run(listing.rows)] == [row["folder"] for row in store.runs()] == ["a", "b"]


def test_looking_makes_and_changes_no_file(tmp_path: Path) -> None:
    assert list_results(tmp_path / "sim.db").rows == []
    assert not list(tmp_path.iterdir())
    filled(tmp_path / "sim.db")
    before = (tmp_path / "sim.db").read_bytes()
    assert len(list_results(tmp_path / "sim.db").rows) == 3
    assert (tmp_path / "sim.db").read_bytes() == before


def test_an_older_file_is_brought_forward_and_a_broken_one_is_one_line(tmp_path: Path) -> None:
    from .test_store_databases import old_registry

    old_registry(tmp_path / "old.db")
    assert [row["run_id"] for row in list_results(tmp_path / "old.db").rows] == ["a", "b"]
    (tmp_path / "letter.db").write_text("This is a letter." * 100)
    with pytest.raises(SimError, match="file is not a database"):
        list_results(tmp_path / "letter.db")
    filled(tmp_path / "sim.db")
    with sqlite3.connect(tmp_path / "sim.db") as db:
        db.execute("UPDATE runs SET symbols = 'rubbish'")
    db.close()
    assert len(list_results(tmp_path / "sim.db").rows) == 3
