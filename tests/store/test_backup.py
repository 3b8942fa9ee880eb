"""Backups of a store: nothing is lost on the way there and back, and what is no backup changes nothing."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

import pytest

from simulator.errors import SimError, UsageError
from simulator.store.backup import back_up, restore
from simulator.store.database import Store
from simulator.store.events import Event


def _filled(place: Path | str, facts: dict[str, Any], happened: list[Event]) -> dict[str, list[dict[str, Any]]]:
    with Store(place) as store:
        store.record_run(facts, "reports/x", happened)
        return {name: store.rows(name) for name in store.status().rows}


def test_a_backup_goes_back_and_a_rebuild_differs_in_nothing(
    place: Path | str, tmp_path: Path, facts: dict[str, Any], happened: list[Event]
) -> None:
    before = _filled(place, facts, happened)
    count = back_up(place, tmp_path / "b.sqlite")
    assert count == len(before["events"])
    with pytest.raises(UsageError, match="holds"):
        restore(tmp_path / "b.sqlite", place)
    with Store(place) as store:
        store.append("later", [Event("forward.paused", None, None, {"why": "x"})])
    assert restore(tmp_path / "b.sqlite", place, force=True) == count
    assert restore(tmp_path / "b.sqlite", tmp_path / "new.db") == count
    for each in (place, tmp_path / "new.db"):
        with Store(each) as store:
            assert {name: store.rows(name) for name in store.status().rows} == before
            assert not store.rebuild().differed
            store.append("later", [Event("forward.paused", None, None, {"why": "x"})])  # it goes on
            assert not store.rebuild().differed


def test_what_is_torn_or_foreign_is_refused_and_the_store_stays(
    tmp_path: Path, facts: dict[str, Any], happened: list[Event]
) -> None:
    place, whole = tmp_path / "sim.db", tmp_path / "b.sqlite"
    _filled(place, facts, happened)
    back_up(place, whole)
    kept = place.read_bytes()
    wrong = tmp_path / "wrong"
    content = whole.read_bytes()
    altered = bytearray(content)
    altered[content.index(b"reports/x")] ^= 1
    for bad in (b"", b"hello" * 999, content[: len(content) // 2], content[:-4096], bytes(altered), kept):
        wrong.write_bytes(bad)
        with pytest.raises(SimError, match="backup"):
            restore(wrong, place, force=True)
        assert place.read_bytes() == kept
    with pytest.raises(SimError):
        restore(tmp_path / "absent", place, force=True)
    sqlite3.connect(tmp_path / "other.db").execute("CREATE TABLE events (x)").connection.close()
    with pytest.raises(SimError, match="another program"):
        restore(whole, tmp_path / "other.db", force=True)
    with pytest.raises(UsageError, match="already"):
        back_up(place, whole)
