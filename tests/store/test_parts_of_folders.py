"""What another command adds to a run folder stands in the store the same, whichever way it got there."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from simulator.store.database import Store
from simulator.store.evidence import record_parts

PARTS = {"report.html": "ab" * 32, "ünï.json": "cd" * 32}


def rows(path: Path) -> list[tuple[Any, ...]]:
    query = "SELECT position, run_id, digest, kind, at, account, payload, typeof(payload), packed FROM events"
    with closing(sqlite3.connect(path)) as db:
        return db.execute(query).fetchall()


def test_a_file_gets_the_rows_the_store_writes(tmp_path: Path) -> None:
    slow, fast = tmp_path / "slow.db", tmp_path / "fast.db"
    with Store(slow) as one, Store(fast) as other:
        other.init()
        for number in range(3):
            one.record_parts("r", f"d{number}", PARTS)
            record_parts(fast, "r", f"d{number}", PARTS)
        assert one.evidence(["r"])[0].event == other.evidence(["r"])[0].event
    assert rows(fast) == rows(slow)
    assert len(rows(fast)) == 3


def test_where_there_is_no_store_it_is_made(tmp_path: Path) -> None:
    record_parts(tmp_path / "new.db", "r", "d", PARTS)
    assert [row[:4] for row in rows(tmp_path / "new.db")] == [(1, "r", "d", "part.added")]


def test_a_writer_in_the_middle_of_its_work_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "sim.db"
    with Store(path) as store:
        store.init()
    waited: list[str] = []
    with closing(sqlite3.connect(path, isolation_level=None)) as writer:
        writer.execute("BEGIN IMMEDIATE")

        def wait(_store: Store, run_id: str, *_parts: object) -> None:
            waited.append(run_id)

        monkeypatch.setattr(Store, "record_parts", wait)
        record_parts(path, "r", "d", PARTS)
    assert waited == ["r"]
    assert rows(path) == []
