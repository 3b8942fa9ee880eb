"""What is recorded of run folders stands in the store the same, whichever way it got there."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from simulator.store.database import Store
from simulator.store.events import Event
from simulator.store.evidence import record_parts, record_run

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


def test_a_run_is_counted_the_same_with_the_store_and_beside_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow, fast = tmp_path / "slow.db", tmp_path / "fast.db"
    facts = {"run_id": "r", "digest": "d", "strategy": "s", "symbols": ["SPY"], "from": "2024-01-02", "partial": False}
    facts |= {"to": "2024-12-30", "metrics": {"sharpe": 1.5}, "parameters": {"a": "ü"}}
    part, other, rule = {**facts, "partial": True, "digest": "p"}, {**facts, "digest": "e"}, {**facts, "run_id": "q"}
    calls = [Event("calls.made", None, None, {"calls": []})]
    record, asked = Store.record_run, list[str]()

    def noting(store: Store, facts: Any, folder: str, *more: Any, **further: Any) -> int:
        asked.append(folder)
        return record(store, facts, folder, *more, **further)

    with Store(slow) as one, Store(fast) as two:
        for run, folder, happened, page, whole in [
            *[(facts, "f", calls, "1", True), (facts, "f", calls, "1", False), (facts, "f", calls, "2", False)],
            *[(facts, "g", calls, "2", True), (part, "f-partial", calls, "1", True), (other, "g", calls, "3", True)],
            *[(other, "g", calls, "4", False), (facts, "f", calls, "1", True), (rule, "q", [], "1", True)],
            *[(rule, "q", [], "1", True), (facts, "f", calls, "3", False)],
        ]:
            further = {"run_json": "j", "parts": {"report.html": page}}
            counted = one.record_run(run, folder, happened, **further)
            with monkeypatch.context() as patch:
                patch.setattr(Store, "record_run", noting)
                assert record_run(fast, run, folder, happened, **further) == counted
            assert asked == [folder] * whole, "the store is asked where there is more to do than to count"
            asked.clear()
        assert rows(fast) == rows(slow)
        instants = dict.fromkeys(("first_run_at", "last_run_at"))
        first, second = ([{**row, **instants} for row in store.rows("runs")] for store in (one, two))
        assert first == second
        assert not two.rebuild().differed


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
