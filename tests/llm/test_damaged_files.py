"""A file of ``llm_cache`` whose schema was damaged, so that SQLite's own message is no text."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any, cast

import pytest

from simulator.errors import SimError
from simulator.llm import opinions, storage
from simulator.llm.cache import AnswerCache
from simulator.llm.opinions import OpinionStore
from simulator.llm.spending import older_ledger, shared_ledger
from simulator.llm.spending.shared_ledger import SharedLedger


def damage(path: Path) -> None:
    sound = path.read_bytes()
    path.write_bytes(sound.replace(b"CREATE TABLE ", b"CREATE \xd0\xffBLE "))
    with closing(sqlite3.connect(path)) as db, pytest.raises(UnicodeDecodeError):
        db.execute("SELECT * FROM sqlite_master")


def made(folder: Path) -> SharedLedger:
    ledger = SharedLedger(folder)
    ledger.claim("question")
    ledger.close()
    return ledger


def test_a_damaged_ledger_is_named_with_the_way_out_and_works_again_without_it(tmp_path: Path) -> None:
    ledger = made(tmp_path)
    damage(tmp_path / shared_ledger.FILE)
    with pytest.raises(SimError) as told:
        ledger.claim("question")
    said = str(told.value)
    assert said.startswith(f"{tmp_path / 'shared_ledger.db'}: shared ledger of calls and dollars is broken (")
    assert said.endswith("deleting it while nothing runs forgets what was spent today")
    assert said.isprintable()
    (tmp_path / shared_ledger.FILE).unlink()
    assert ledger.claim("question")


def test_a_damaged_older_ledger_is_named(tmp_path: Path) -> None:
    made(tmp_path)
    (tmp_path / shared_ledger.FILE).rename(tmp_path / older_ledger.OLDER)
    damage(tmp_path / older_ledger.OLDER)
    with pytest.raises(SimError, match=r"tally\.db: cannot be taken over \(malformed database schema"):
        SharedLedger(tmp_path).claim("question")


def test_a_damaged_cache_is_named_and_repaired(tmp_path: Path) -> None:
    storage.open_store(tmp_path).close()
    damage(tmp_path / storage.FILE)
    with AnswerCache(tmp_path) as cache:
        with pytest.raises(SimError, match=r"LLM cache is broken \(malformed database schema.*verify --repair"):
            cache.get("0" * 64)
        assert not cache.verify(repair=False).bad[0].reason.startswith("'utf-8'")
        assert cache.verify(repair=True).quarantine
        assert cache.get("0" * 64) is None


def test_damaged_opinions_are_made_anew(tmp_path: Path) -> None:
    opinions._write(tmp_path / opinions.FILE, [("old", b"opinion")])
    damage(tmp_path / opinions.FILE)
    store = OpinionStore(tmp_path, cast(Any, None))
    assert store.find("old") is None
    store._fresh = [("new", b"opinion")]
    store.close()
    with closing(sqlite3.connect(tmp_path / opinions.FILE)) as db:
        assert db.execute("SELECT key FROM opinions").fetchall() == [("new",)]


@pytest.mark.parametrize("column", ["place", "pid", "born", "seen"])
def test_what_a_damaged_row_of_a_process_holds_counts_as_paid(column: str, tmp_path: Path) -> None:
    ledger = SharedLedger(tmp_path)
    with ledger.transaction() as db:
        db.execute("INSERT INTO holders VALUES (99, 'here', 1, '', 2.0)")
        db.execute(f"UPDATE holders SET {column} = x'ff' WHERE id = 99")
        db.execute("INSERT INTO held VALUES (1, 99, 'run', 0.5, 0.25)")
    ledger.close()
    with ledger.transaction() as db:
        assert ledger.spending(db, "run").lost == 0.25
        assert db.execute("SELECT count(*) FROM held").fetchone() == (0,)
    ledger.close()
