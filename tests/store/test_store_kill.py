"""Killed at any moment, or shared by several processes: never half a run, never a lost one."""

from __future__ import annotations

import json
import random
import subprocess
import sys
import time
from pathlib import Path

import pytest
from sqlalchemy import func, inspect, select

from simulator.store.connection import BUSY_SECONDS, connect, parse_place
from simulator.store.database import Store
from simulator.store.schema import schema

from .conftest import run

pytestmark = pytest.mark.medium

# What a run of the council does, in little: more than SQLite keeps in memory, so that it writes before the commit.
WRITER = """
import json, sys
from pathlib import Path
from simulator.store.database import Store
from simulator.store.events import Event

place, facts, name, runs = json.loads(sys.argv[1])
answer = {"scores": {"clarity": 5}, "kill_shot": "x" * 1500, "flip_condition": "y" * 1500}
seats = [f"pm.{n}" for n in range(5)]
reviews = [{"seat": a, "about": b, "keys": ["k" * 64], "answer": answer} for a in seats for b in seats if a != b]
def happened():
    for week in range(20):
        at = f"2024-01-02T08:{week:02}:00-05:00"
        yield Event("meeting.held", at, "C", {"as_of": at, "session": "s", "record": {"reviews": reviews}})
        yield Event("order.filled", at, "C", {"order_id": week, "symbol": "SPY", "quantity": 1, "price": 10})
store = Store(Path(place[0]) if place[0] else place[1])
print("ready", flush=True)
for number in range(runs):
    store.record_run({**facts, "run_id": f"{name}-{number}"}, "folder", happened())
    print(number, flush=True)
"""
EVENTS, REVIEWS = 40, 400


def start(place: Path | str, name: str, runs: int) -> subprocess.Popen[str]:
    where = [str(place), None] if isinstance(place, Path) else [None, place]
    words = [sys.executable, "-c", WRITER, json.dumps([where, run(0), name, runs])]
    return subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def shape(place: Path | str) -> dict[str, dict[str, int]]:
    """{run_id: rows in each table}, of every run any table knows."""
    found: dict[str, dict[str, int]] = {}
    engine = connect(parse_place(place))
    with engine.connect() as db:
        made = inspect(db).get_table_names()
        for table in (schema.tables[name] for name in schema.tables if name in made):
            for run_id, count in db.execute(select(table.c.run_id, func.count()).group_by(table.c.run_id)):
                found.setdefault(run_id, {})[table.name] = count
    engine.dispose()
    return found


WHOLE = {"events": EVENTS + 1, "runs": 1, "pipeline_runs": 20, "peer_reviews": REVIEWS, "trades": 20, "positions": 1}


@pytest.mark.parametrize("kills", [5, pytest.param(25, marks=pytest.mark.slow)])
def test_a_writer_killed_at_any_moment_leaves_whole_runs_only(place: Path | str, kills: int) -> None:
    random.seed(7)
    told = kept = 0
    for attempt in range(kills):
        writer = start(place, f"w{attempt}", 10_000)
        assert writer.stdout is not None
        assert writer.stdout.readline() == "ready\n"
        if attempt % 2:
            # At least one run is told on a slow machine, too.
            told += writer.stdout.readline() == "0\n"
        time.sleep(random.uniform(0, 0.25))
        writer.kill()
        told += len(writer.communicate()[0].split())
        if not isinstance(place, Path) or place.exists():
            found = shape(place)
            assert all(counts == WHOLE for counts in found.values()), found
            assert len(found) >= told
            kept = len(found)
    with Store(place) as store:
        assert not store.rebuild().differed
    # What a writer was told is recorded is there; at most one more each, told by nobody.
    assert told <= kept <= told + kills
    assert kept > 0


def test_four_processes_at_once_lose_nothing(place: Path | str) -> None:
    began = time.monotonic()
    writers = [start(place, f"w{n % 2}", 6) for n in range(4)]
    outcomes = [(writer.communicate(timeout=BUSY_SECONDS), writer.returncode) for writer in writers]
    assert [code for _, code in outcomes] == [0] * 4, [said[1] for said, _ in outcomes]
    found = shape(place)
    with Store(place) as store:
        # Two of them record the same runs: one is first, the other counts it once more.
        assert {name: {**counts, "events": counts["events"] - 1} for name, counts in found.items()} == {
            f"w{pair}-{number}": WHOLE for pair in range(2) for number in range(6)
        }
        assert [row["times"] for row in store.runs()] == [2] * 12
        positions = [row["position"] for row in store.rows("events")]
        assert positions == list(range(1, 12 * (EVENTS + 2) + 1))
        assert not store.rebuild().differed
    assert time.monotonic() - began < BUSY_SECONDS


def test_a_killed_upgrade_leaves_the_old_registry_or_the_new_store(tmp_path: Path) -> None:
    from .test_store_databases import old_registry

    program = (
        "import sys; from pathlib import Path; from simulator.store.database import Store; import alembic.command\n"
        "print('ready', flush=True); Store(Path(sys.argv[1])).upgrade()"
    )
    seen = set()
    for attempt in range(4):
        file = tmp_path / f"{attempt}.db"
        old_registry(file)
        upgrade = subprocess.Popen([sys.executable, "-c", program, file], stdout=subprocess.PIPE)
        assert upgrade.stdout is not None
        upgrade.stdout.readline()
        time.sleep(0.02 * attempt)
        upgrade.kill()
        upgrade.communicate()
        with Store(file) as store:
            seen.add(store.status().revision)
            assert [(row["run_id"], row["times"]) for row in store.runs()] == [("a", 7), ("b", 1)]
            assert not store.rebuild().differed
    assert seen <= {"0001", "0002"}


@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_reader_sees_a_run_whole_or_not_at_all(place: Path | str, moment: str) -> None:
    """Readers come while a writer is at work."""
    writer = start(place, moment, 8)
    with Store(place) as store:
        while writer.poll() is None:
            counted = {row["run_id"] for row in store.rows("runs")} if moment == "before" else None
            found = [row["run_id"] for row in store.rows("trades")]
            assert {found.count(run_id) for run_id in found} <= {20}
            if counted is not None:
                assert counted <= set(found)
    said, trouble = writer.communicate()
    assert (writer.returncode, trouble) == (0, ""), said
