"""Stores and caches that earlier versions wrote are opened, brought forward and gone on with: tests/data/README.md."""

from __future__ import annotations

import sqlite3
import tarfile
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from simulator.store.backup import back_up, restore
from simulator.store.connection import HEAD, KNOWN
from simulator.store.database import Store
from simulator.store.events import Event

from ..conftest import Sim
from .conftest import fill, run

pytestmark = pytest.mark.medium

DATA = Path(__file__).parents[1] / "data"
ARCHIVES = {"0001": "store_0001", "0002": "main_v2", "0003": "store_0003", "0004": "store_0004"}
COMPUTED = ("pipeline_runs", "research_packs", "pm_pitches", "peer_reviews", "checkpoints", "trades", "positions")


@pytest.fixture(params=ARCHIVES)
def old(request: pytest.FixtureRequest, workspace: Path) -> tuple[str, Path]:
    """Revision of a store, and a workspace with it and the cache of its time."""
    with tarfile.open(DATA / f"{ARCHIVES[request.param]}.tar.xz") as archive:
        for member in archive:
            if member.name.removeprefix("./") in ("sim.db", "llm_cache/cache.db"):
                archive.extract(member, workspace, filter="data")
    return request.param, workspace


def _counted(place: Path) -> dict[str, int]:
    with closing(sqlite3.connect(place)) as db:
        names = [name for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        return {name: db.execute(f"SELECT count(*) FROM {name}").fetchone()[0] for name in names}


def test_every_revision_before_the_newest_is_among_them() -> None:
    assert tuple(ARCHIVES) == KNOWN[:-1]


def test_an_old_store_is_brought_forward_rebuilt_backed_up_and_gone_on_with(
    old: tuple[str, Path], sim: Sim, tmp_path: Path
) -> None:
    revision, workspace = old
    place = workspace / "sim.db"
    before = _counted(place)
    with closing(sqlite3.connect(place)) as db:
        runs = set(db.execute("SELECT run_id, digest, times FROM runs"))
    done = sim("db", "upgrade", cwd=workspace)
    assert f"brought from revision {revision} to revision {HEAD}" in done.stdout, done.stderr
    with Store(place) as store:
        assert {(row["run_id"], row["digest"], row["times"]) for row in store.results()} == runs
        after = store.status().rows
        recorded = {run_id for run_id, _, _ in runs}
        kept = {name: sum(row["run_id"] in recorded for row in store.rows(name)) for name in COMPUTED if name in before}
        assert kept == {name: before[name] for name in kept}
        if revision == "0004":  # it holds a forward test
            assert {row["state"] for row in store.rows("approvals")} == {"given"}
            assert len(store.rows("positions")) > before["positions"]
        differed = store.rebuild().differed  # a column that a migration has added is filled
        assert not differed.keys() & {"approvals", "orders", "positions"}
        assert not store.rebuild().differed
        store.record_run(run(99), "reports/new", [fill("SPY", 1, 500)])
        whole: dict[str, Any] = {name: store.rows(name) for name in after}
    back_up(place, tmp_path / "b.sqlite")
    restore(tmp_path / "b.sqlite", tmp_path / "new.db")
    with Store(tmp_path / "new.db") as store:
        assert {name: store.rows(name) for name in after} == whole


def test_a_forward_test_whose_rows_cannot_be_computed_does_not_lock_an_old_store_out(tmp_path: Path) -> None:
    with tarfile.open(DATA / "store_0004.tar.xz") as archive:
        archive.extract(next(one for one in archive if one.name.endswith("sim.db")), tmp_path, filter="data")
    place = next(tmp_path.rglob("sim.db"))
    with closing(sqlite3.connect(place)) as db, db:
        (test,) = db.execute("SELECT DISTINCT run_id FROM events WHERE kind = 'forward.fill'").fetchone()
        names = ", ".join(
            row[1] for row in db.execute("PRAGMA table_info(events)") if row[1] not in ("position", "payload")
        )
        db.execute(
            f"INSERT INTO events (position, payload, {names}) SELECT (SELECT max(position) FROM events) + 1, "
            f"'{{}}', {names} FROM events WHERE kind = 'forward.fill' LIMIT 1"
        )
    with Store(place) as store:
        events = len(store.of_forward(test))
        store.append(test, [Event("forward.alert", None, None, {"kind": "late", "text": ""})])
        assert len(store.of_forward(test)) == events + 1
        assert list(store.rebuild().left) == [test]


def test_an_old_cache_is_whole_and_takes_new_answers(old: tuple[str, Path], sim: Sim) -> None:
    _, workspace = old
    with closing(sqlite3.connect(workspace / "llm_cache" / "cache.db")) as db:
        kept = db.execute("SELECT count(*) FROM Cache").fetchone()[0]
    assert kept > 20
    checked = sim("cache", "verify", cwd=workspace)
    assert checked.returncode == 0, checked.stderr
    words = ("run", "--from", "2024-06-03", "--to", "2024-06-03", "--symbols", "SPY")
    assert sim(*words, cwd=workspace).returncode == 0
    assert sim("cache", "verify", cwd=workspace).returncode == 0
