"""Backups of a store: nothing is lost on the way there and back, and what is no backup changes nothing."""

from __future__ import annotations

import json
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from simulator.errors import SimError, UsageError
from simulator.forward.readable import refuse_unreadable
from simulator.store.backup import _digest, back_up, restore
from simulator.store.database import Store
from simulator.store.events import Event, Kind

from .test_store_kill import WHOLE, shape, start

pytestmark = pytest.mark.medium

KILLED = """
import json, os, sys
from pathlib import Path
from sqlalchemy import event
from sqlalchemy.engine import Engine
from simulator.store.backup import restore

where, backup, keep, last = json.loads(sys.argv[1])
seen = []

@event.listens_for(Engine, "before_cursor_execute")
def die(_db, _cursor, statement, *_rest):
    if keep is None or Path(keep).exists():
        seen.append(statement.strip().startswith(("DROP TABLE", "CREATE", "INSERT")))
        if sum(seen) > last:
            os.kill(os.getpid(), 9)

restore(Path(backup), Path(where[0]) if where[0] else where[1], Path(keep))
"""


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
    assert restore(tmp_path / "b.sqlite", place, tmp_path / "kept.sqlite") == count
    assert restore(tmp_path / "kept.sqlite", tmp_path / "as it was.db") == count + 1
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
            restore(wrong, place, tmp_path / "kept")
        assert place.read_bytes() == kept
    with pytest.raises(SimError):
        restore(tmp_path / "absent", place, tmp_path / "kept")
    sqlite3.connect(tmp_path / "other.db").execute("CREATE TABLE events (x)").connection.close()
    with pytest.raises(SimError, match="another program"):
        restore(whole, tmp_path / "other.db", tmp_path / "kept")
    with pytest.raises(UsageError, match="already"):
        back_up(place, whole)
    with pytest.raises(UsageError, match="no such folder"):
        back_up(place, tmp_path / "bakcups" / "b.sqlite")
    assert not (tmp_path / "bakcups").exists()
    assert not (tmp_path / "kept").exists()


def test_a_backup_made_while_others_write_holds_whole_runs_of_one_moment(place: Path | str, tmp_path: Path) -> None:
    writer = start(place, "w", 6)
    assert writer.stdout is not None
    writer.stdout.readline()
    writer.stdout.readline()
    made = []
    while writer.poll() is None:
        back_up(place, file := tmp_path / f"{len(made)}.sqlite")
        made.append(file)
    assert (writer.returncode, writer.communicate()[1]) == (0, "")
    counts = []
    for file in [made[0], made[-1]]:
        restore(file, back := file.with_suffix(".db"))
        found = shape(back)
        assert list(found.values()) == [WHOLE] * len(found)
        counts.append(len(found))
    assert 1 <= counts[0] <= counts[1] <= 6


@pytest.mark.parametrize("last", [0, 30])
def test_a_restore_killed_in_the_middle_leaves_the_store_as_it_was(
    place: Path | str, tmp_path: Path, facts: dict[str, Any], happened: list[Event], last: int
) -> None:
    before = _filled(place, facts, happened)
    back_up(place, tmp_path / "b.sqlite")
    with Store(place) as store:
        store.append("later", [Event("forward.paused", None, None, {"why": "x"})])
        before["events"] = store.rows("events")
    where = [str(place), None] if isinstance(place, Path) else [None, place]
    told = [where, str(tmp_path / "b.sqlite"), str(tmp_path / "kept.sqlite"), last]
    done = subprocess.run([sys.executable, "-c", KILLED, json.dumps(told)], capture_output=True, text=True, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr
    with Store(place) as store:
        assert {name: store.rows(name) for name in store.status().rows} == before
        assert not store.rebuild().differed
    restore(tmp_path / "b.sqlite", place, tmp_path / "again.sqlite")
    with Store(place) as store:
        assert len(store.rows("events")) == len(before["events"]) - 1


def rewrite(backup: Path, kind: str, payload: dict[str, Any]) -> None:
    """Seal a backup anew with `payload` in the events of a kind."""
    with closing(sqlite3.connect(backup)) as db, db:
        for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
            db.execute(f"DROP TRIGGER {name}")
        db.execute("UPDATE events SET payload = ?, packed = NULL WHERE kind = ?", (json.dumps(payload), kind))
        db.execute("UPDATE backup SET sha256 = ?", (_digest(db),))


@pytest.mark.fault("disk", "a backup with a right seal and events that say nothing", "it is refused in one line")
@pytest.mark.parametrize(
    "kind",
    ["run.recorded", "part.added", "meeting.held", "approval.asked", "approval.given", "forward.intent",
     "forward.order", "forward.session", "web.acted"],
)  # fmt: skip
def test_a_sealed_backup_whose_events_no_reader_understands_is_refused_and_the_store_stays(
    tmp_path: Path, facts: dict[str, Any], happened: list[Event], kind: Kind
) -> None:
    place, backup = tmp_path / "sim.db", tmp_path / "b.sqlite"
    _filled(place, facts, happened)
    with Store(place) as store:
        store.record_parts(facts["run_id"], facts["digest"], {"report.html": "0" * 64})
        if kind not in {one["kind"] for one in store.rows("events")}:
            store.append("later", [Event(kind, None, None, {"why": "x", "at": 3})])
    back_up(place, backup)
    rewrite(backup, kind, {})
    kept = place.read_bytes()
    with pytest.raises(SimError) as refused:
        restore(backup, place, tmp_path / "kept", refuse_unreadable)
    assert str(refused.value).count("\n") == 0
    assert place.read_bytes() == kept


ASKED: dict[str, Any] = {
    "id": "a" * 12, "symbol": "SPY", "decided_at": "2024-06-10T08:00:00-04:00", "point": "meeting", "version": 1,
    "deadline": "2024-06-10T09:27:00-04:00", "price_then": 1.0, "thesis": [], "reviews": [], "kill_shots": [],
    "dissent": "", "rules": [], "sizes": {},
}  # fmt: skip
FILL = {"id": "f", "client_order_id": "x", "symbol": "SPY", "quantity": 5.0, "price": 500.0, "at": 1}
SPLIT = {"symbol": "SPY", "session": "2024-06-10", "ratio": 2.0}
POINT = {"name": "meeting", "state": "done", "calls": 3, "cost_usd": 0.01}


@pytest.mark.fault("disk", "a backup with a right seal and a value no event can have", "it is refused in one line")
@pytest.mark.parametrize(
    ("kind", "whole", "name", "value"),
    [
        ("approval.asked", ASKED, "price_then", "x"),
        ("approval.asked", ASKED, "deadline", "never"),
        ("approval.asked", ASKED, "reviews", ["x"]),
        ("approval.asked", ASKED, "kill_shots", [2]),
        ("approval.asked", ASKED, "thesis", 5),
        ("forward.split", SPLIT, "ratio", 0),
        ("forward.split", SPLIT, "session", "x"),
        ("forward.point", POINT, "calls", "many"),
        ("forward.point", POINT, "cost_usd", float("nan")),
        ("forward.fill", FILL, "quantity", float("nan")),
        ("forward.fill", FILL, "price", "dear"),
    ],
)
def test_a_sealed_backup_with_a_value_no_event_can_have_names_event_and_backup(
    tmp_path: Path, kind: Kind, whole: dict[str, Any], name: str, value: object
) -> None:
    place, backup = tmp_path / "sim.db", tmp_path / "b.sqlite"
    with Store(place) as store:
        store.append("later", [Event(kind, "2024-06-10T08:00:00-04:00", "A", whole)])
    back_up(place, backup)
    restore(backup, place, tmp_path / "whole", refuse_unreadable)
    rewrite(backup, kind, {**whole, name: value})
    kept = place.read_bytes()
    with pytest.raises(SimError, match=rf"event 1, {kind} of later, cannot be read: .*{name}") as refused:
        restore(backup, place, tmp_path / "kept", refuse_unreadable)
    assert str(backup) in str(refused.value)
    assert "\n" not in str(refused.value)
    assert place.read_bytes() == kept
