"""SQLite and PostgreSQL hold equal rows; older, newer, foreign and broken databases are told apart."""

from __future__ import annotations

import re
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Engine, create_engine, text

import simulator
from simulator.errors import SimError, UsageError
from simulator.store import connection, revisions
from simulator.store.connection import HEAD, KNOWN
from simulator.store.database import Change, Store
from simulator.store.events import Event
from simulator.store.schema import POSTGRES_GUARDS, PROJECTIONS, SQLITE_GUARDS, schema

from .conftest import fill, run

pytestmark = pytest.mark.medium

NOON = datetime(2026, 1, 2, 12, tzinfo=UTC)

OLD_REGISTRY = """
CREATE TABLE runs (
    run_id VARCHAR(16) NOT NULL, strategy VARCHAR NOT NULL, symbols JSON NOT NULL, first VARCHAR(10) NOT NULL,
    last VARCHAR(10) NOT NULL, digest VARCHAR(64) NOT NULL, folder VARCHAR NOT NULL, metrics JSON NOT NULL,
    first_run_at {instant} NOT NULL, last_run_at {instant} NOT NULL, times INTEGER NOT NULL, PRIMARY KEY (run_id)
)
"""
OLD_ROWS = """
INSERT INTO runs VALUES
 ('b', 's', '["SPY","QQQ"]', '2024-01-02', '2024-12-30', 'db', 'folder-b', '{"sharpe":0.1}',
  '2026-01-02 10:00:00.000001', '2026-01-02 10:00:00.000001', 1),
 ('a', 's', '["SPY"]', '2024-01-02', '2024-06-28', 'da', 'folder-a-partial', '{"sharpe":null}',
  '2026-01-01 10:00:00.000000', '2026-01-03 11:00:00.500000', 7)
"""


@pytest.fixture
def engine(place: Path | str) -> Iterator[Engine]:
    made = connection.connect(connection.parse_place(place))
    yield made
    made.dispose()


def old_registry(place: Path | str) -> None:
    """A registry as the version before events left it."""
    if isinstance(place, Path):
        with sqlite3.connect(place) as db:
            db.execute(OLD_REGISTRY.format(instant="DATETIME"))
            db.execute(OLD_ROWS)
        db.close()
        return
    engine = create_engine(connection.parse_place(place))
    with engine.begin() as db:
        db.exec_driver_sql("SET TIME ZONE 'UTC'")
        db.exec_driver_sql(OLD_REGISTRY.format(instant="TIMESTAMP WITH TIME ZONE"))
        db.exec_driver_sql(OLD_ROWS)
    engine.dispose()


def everything(store: Store) -> dict[str, list[dict[str, Any]]]:
    return {name: store.rows(name) for name in schema.tables}


def test_the_same_runs_make_equal_rows_in_sqlite_and_postgresql(
    tmp_path: Path, postgres: str, facts: dict[str, Any], happened: list[Event]
) -> None:
    held = []
    for place in (tmp_path / "sim.db", postgres):
        with Store(place, clock=lambda: NOON) as store:
            store.record_run(facts, "folder", happened)
            store.record_run({**facts, "digest": "other"}, "folder", happened[5:])
            store.record_run(run(2, metrics={"sharpe": 0.1 + 0.2, "tiny": 5e-324}), "b", [fill("SPY", 1 / 3, 1e22)])
            store.record_run(facts, "folder", happened)
            held.append((everything(store), store.runs(), store.results()))
    assert held[0] == held[1]
    assert sum(map(len, held[0][0].values())) > 1000


DOCS = Path(simulator.__file__).parent.parent / "docs" / "store.md"


@pytest.mark.skipif(not DOCS.exists(), reason="the page of the store is in a checkout only")
def test_the_page_of_the_store_names_every_table_and_its_questions_have_answers(
    store: Store, engine: Engine, facts: dict[str, Any], happened: list[Event]
) -> None:
    page = DOCS.read_text()
    assert re.findall(r"^\| `(\w+)` \|", page, re.MULTILINE) == [table.name for table in schema.tables.values()]
    store.record_run(facts, "folder", happened)
    (block,) = re.findall(r"```sql\n(.*?)```", page, re.DOTALL)
    with engine.connect() as db:
        for question in block.split(";")[:-1]:
            assert db.exec_driver_sql(question).all()


def test_rebuilding_an_untouched_store_changes_nothing(
    store: Store, facts: dict[str, Any], happened: list[Event]
) -> None:
    store.record_run(facts, "folder", happened)
    before = everything(store)
    done = store.rebuild()
    assert (done.runs, done.differed) == (1, {})
    assert done.events == len(before["events"])
    assert done.rows == sum(map(len, before.values())) - done.events
    assert everything(store) == before


def test_rebuilding_puts_right_whatever_was_done_to_a_table(
    store: Store, engine: Engine, facts: dict[str, Any], happened: list[Event]
) -> None:
    store.record_run(facts, "folder", happened)
    store.record_run(run(2), "b", [fill("SPY", 1, 10)])
    before = everything(store)
    with engine.begin() as db:
        db.execute(text("UPDATE pm_pitches SET conviction = 2, indicators = '[]' WHERE seat = 'pm.trend'"))
        db.execute(text("UPDATE runs SET times = 40, metrics = '{}' WHERE run_id = 'id2'"))
        db.execute(text("DELETE FROM trades WHERE run_id = 'id2'"))
        db.execute(text("DELETE FROM peer_reviews"))
        db.execute(text("UPDATE trades SET account = 'NOBODY' WHERE account = 'COUNCIL'"))
        db.execute(text("INSERT INTO positions (run_id, account, number, event) VALUES ('id9', 'X', 0, 1)"))
    seen: list[tuple[int, int]] = []
    done = store.rebuild(lambda *step: seen.append(step))
    assert everything(store) == before
    trend = sum(row["seat"] == "pm.trend" for row in before["pm_pitches"])
    council = sum(row["account"] == "COUNCIL" and row["run_id"] != "id2" for row in before["trades"])
    assert done.differed == {
        "pm_pitches": Change(changed=trend),
        "runs": Change(changed=1),
        "trades": Change(lost=council + 1, unknown=council),
        "peer_reviews": Change(lost=len(before["peer_reviews"])),
        "positions": Change(unknown=1),
    }
    assert seen == [(0, 2), (1, 2), (2, 2)]
    assert not store.rebuild().differed


def test_everything_is_computed_again_from_events_alone(
    store: Store, engine: Engine, facts: dict[str, Any], happened: list[Event]
) -> None:
    store.record_run(facts, "folder", happened)
    store.record_run({**facts, "digest": "part"}, "folder-partial", happened[:9])
    before = everything(store)
    with engine.begin() as db:
        for table in (*PROJECTIONS, schema.tables["runs"]):
            db.execute(table.delete())
    assert set(store.rebuild().differed) == {name for name, rows in before.items() if rows and name != "events"}
    assert everything(store) == before


def test_migrations_and_tables_agree(engine: Engine) -> None:
    with connection.writing(engine) as db:
        command.upgrade(revisions.migrations(db), "head")
    with engine.connect() as db:
        assert compare_metadata(MigrationContext.configure(db, opts={"compare_type": True}), schema) == []
    script = ScriptDirectory.from_config(revisions.migrations())
    assert script.get_heads() == [HEAD]
    assert tuple(reversed([one.revision for one in script.walk_revisions()])) == KNOWN


def guards(engine: Engine) -> list[tuple[Any, ...]]:
    """Triggers of a database, as it tells them."""
    ask = {
        "sqlite": "SELECT name, sql FROM sqlite_master WHERE type = 'trigger' ORDER BY name",
        "postgresql": "SELECT tgname, pg_get_triggerdef(t.oid), prosrc FROM pg_trigger t "
        "JOIN pg_proc p ON p.oid = tgfoid WHERE NOT tgisinternal ORDER BY tgname",
    }
    with engine.connect() as db:
        return [tuple(row) for row in db.exec_driver_sql(ask[engine.dialect.name])]


def test_a_migrated_database_guards_its_events_as_a_new_one_does(place: Path | str, engine: Engine) -> None:
    with connection.writing(engine) as db:
        command.upgrade(revisions.migrations(db), "head")
    migrated = guards(engine)
    assert [name for name, *_ in migrated] == sorted(SQLITE_GUARDS if isinstance(place, Path) else POSTGRES_GUARDS)
    with connection.writing(engine) as db:
        schema.drop_all(db)
        db.exec_driver_sql("DROP TABLE alembic_version")
        revisions.make(db)
    assert guards(engine) == migrated


def test_a_registry_of_the_version_before_is_brought_forward_with_its_rows(place: Path | str) -> None:
    old_registry(place)
    with Store(place) as store:
        assert (store.status().revision, store.status().rows) == ("0001", {"runs": 2})
        assert store.upgrade() == ("0001", HEAD)
        assert store.upgrade() == (HEAD, HEAD)
        first, second = store.results()
        assert [first[name] for name in ("run_id", "digest", "times", "partial", "symbols", "metrics")] == [
            *("a", "da", 7, True),
            *(["SPY"], {"sharpe": None}),
        ]
        assert (first["first_run_at"], first["last_run_at"]) == (
            "2026-01-01T10:00:00.000000+00:00",
            "2026-01-03T11:00:00.500000+00:00",
        )
        assert (second["run_id"], second["first"], second["last"]) == ("b", "2024-01-02", "2024-12-30")
        assert not store.rebuild().differed
        assert [row["sharpe"] for row in store.results()] == [None, 0.1]
        assert store.record_run(run(1, run_id="a", digest="da", **{"from": "2024-01-02", "to": "2024-06-28"}), "a") == 2
        assert [row["times"] for row in store.runs()] == [8, 1]
        assert not store.rebuild().differed


def test_a_file_is_brought_forward_by_whoever_needs_it(tmp_path: Path) -> None:
    old_registry(tmp_path / "sim.db")
    with Store(tmp_path / "sim.db") as store:
        assert [row["run_id"] for row in store.runs()] == ["a", "b"]
        assert store.record_run(run(1), "c") == 3


def test_a_server_is_brought_forward_only_by_name(postgres: str) -> None:
    old_registry(postgres)
    with Store(postgres) as store:
        for use in (store.runs, lambda: store.record_run(run(1), "c"), store.init, store.rebuild):
            with pytest.raises(SimError, match=f"has revision 0001, this version needs {HEAD}; `sim db upgrade`"):
                use()
        assert store.status().revision == "0001"


def test_an_upgrade_that_fails_leaves_the_old_database(place: Path | str, engine: Engine) -> None:
    old_registry(place)
    with engine.begin() as db:
        # Columns the migration reads are missing.
        db.execute(text("DROP TABLE runs"))
        db.execute(text("CREATE TABLE runs (run_id TEXT, digest TEXT, times INTEGER)"))
    with Store(place) as store:
        with pytest.raises(SimError, match=r"first_run_at|strategy"):
            store.upgrade()
        assert (store.status().revision, store.status().rows) == ("0001", {"runs": 0})


def test_rubbish_in_a_column_of_json_is_put_right(tmp_path: Path, happened: list[Event]) -> None:
    with Store(tmp_path / "sim.db") as store:
        store.record_run(run(1), "a", happened)
        before = everything(store)
        with sqlite3.connect(tmp_path / "sim.db") as db:
            db.execute("UPDATE pm_pitches SET indicators = 'rubbish', stop = 'low', conviction = 'high'")
            db.execute("UPDATE runs SET metrics = '', partial = 7")
        db.close()
        assert set(store.rebuild().differed) == {"pm_pitches", "runs"}
        assert everything(store) == before


@pytest.mark.parametrize(
    "broken",
    [
        "payload = '{' WHERE position = 2",
        "packed = X'00' WHERE position = 2",
        "packed = NULL, payload = '{' WHERE position = 2",
    ],
)
def test_an_event_that_was_broken_by_force_is_named(tmp_path: Path, broken: str) -> None:
    with Store(tmp_path / "sim.db") as store:
        store.record_run(run(1), "a", [fill("SPY", 1, 10), fill("QQQ", 1, 10)])
        with sqlite3.connect(tmp_path / "sim.db") as db:
            db.execute("DROP TRIGGER events_refuse_update")
            db.execute(f"UPDATE events SET {broken}")
        db.close()
        with pytest.raises(SimError, match="event 2 of the store is not JSON; restore a copy"):
            store.rebuild()


@pytest.mark.parametrize(
    ("made", "said"),
    [
        (
            ("CREATE TABLE alembic_version (version_num TEXT)", "INSERT INTO alembic_version VALUES ('9999')"),
            "revision 9999",
        ),
        (("CREATE TABLE trades (id INTEGER)",), r"tables of another program \(trades\)"),
        (("CREATE TABLE runs (id INTEGER)",), r"tables of another program \(runs\)"),
    ],
)
def test_a_database_of_another_version_or_program_is_left_alone(
    store: Store, engine: Engine, made: tuple[str, ...], said: str
) -> None:
    with engine.begin() as db:
        for statement in made:
            db.exec_driver_sql(statement)
    for use in (
        store.runs,
        store.init,
        store.upgrade,
        store.status,
        store.rebuild,
        lambda: store.record_run(run(1), "a"),
    ):
        with pytest.raises(SimError, match=said) as caught:
            use()
        assert str(caught.value).count("\n") == 0


def test_looking_makes_no_file(tmp_path: Path) -> None:
    with Store(tmp_path / "sim.db") as store:
        assert (store.runs(), store.results(), store.rows("events")) == ([], [], [])
        assert store.status().revision is None
    assert not list(tmp_path.iterdir())


def test_a_new_database_is_made_without_alembic(place: Path | str) -> None:
    program = (
        "import sys; from pathlib import Path; from simulator.store.database import Store\n"
        f"store = Store({f'Path({str(place)!r})' if isinstance(place, Path) else repr(place)})\n"
        f"store.record_run({run(1)}, 'a'); print(store.status().revision, 'alembic' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == f"{HEAD} False\n"


def test_a_file_that_is_no_database_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "sim.db").write_text("not a database, but long enough to look like one " * 40)
    with Store(tmp_path / "sim.db") as store, pytest.raises(SimError, match=r"file is not a database\); move the file"):
        store.record_run(run(1), "a")


def test_a_file_that_may_only_be_read_is_one_line_and_can_be_read(tmp_path: Path) -> None:
    with Store(tmp_path / "sim.db") as store:
        store.record_run(run(1), "a")
    with Store(f"sqlite:///file:{tmp_path}/sim.db?mode=ro&uri=true") as store:
        assert len(store.runs()) == 1
        with pytest.raises(SimError, match="attempt to write a readonly database"):
            store.record_run(run(2), "a")


def test_a_full_disk_is_one_line_and_leaves_the_store_as_it_was(tmp_path: Path) -> None:
    """A limit on the size of files stands for the disk's."""
    with Store(tmp_path / "sim.db") as store:
        store.record_run(run(1), "a")
        before = everything(store)
    program = (
        "import sys, resource; from pathlib import Path; from simulator.store.database import Store\n"
        "from simulator.store.events import Event\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, 300_000))\n"
        "event = Event('approval.asked', '2024-01-02', None, {'id': 'x' * 1_000_000})\n"
        f"try: Store(Path(sys.argv[1])).record_run({run(2)}, 'a', [event])\n"
        "except Exception as error: print(type(error).__name__, error)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, tmp_path / "sim.db"], capture_output=True, text=True, check=True
    )
    assert done.stdout.startswith("SimError")
    assert "free some space" in done.stdout
    with Store(tmp_path / "sim.db") as store:
        assert everything(store) == before


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://me:p%40ss-word@127.0.0.1:1/store",
        "postgres://me:p%40ss-word@127.0.0.1:1/store",
        "postgresql://127.0.0.1:1/store?user=me&password=p%40ss-word",
        "postgresql+psycopg2://me:p%40ss-word@127.0.0.1:1/store?sslpassword=p%40ss-word",
    ],
)
def test_a_server_out_of_reach_is_one_line_without_the_password(url: str) -> None:
    with Store(url) as store, pytest.raises(SimError, match="Connection refused") as caught:
        store.runs()
    said = str(caught.value)
    assert "\n" not in said
    assert not [word for word in ("p@ss-word", "p%40ss-word", "ss-word") if word in said]
    assert "***" in said
    assert caught.value.exit_code == 1


def test_a_database_that_is_not_on_the_server_is_one_line_without_the_password(postgres: str) -> None:
    place = postgres.replace("postgres:@", "postgres:geheim@").replace("/store", "/nowhere")
    with Store(place) as store, pytest.raises(SimError, match="does not exist") as caught:
        store.runs()
    assert "geheim" not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("mysql://me:geheim@host/store", "DATABASE_URL names mysql; the store is SQLite or PostgreSQL"),
        ("somewhere:geheim", "DATABASE_URL is no database URL"),
        ("postgresql://me:geheim@host:port/store", "DATABASE_URL is no database URL"),
    ],
)
def test_an_address_that_means_nothing_is_a_usage_error_without_the_password(url: str, said: str) -> None:
    with pytest.raises(UsageError, match=said) as caught:
        Store(url)
    assert "geheim" not in str(caught.value)


def test_postgresql_without_psycopg_names_the_extra(tmp_path: Path) -> None:
    """psycopg is hidden by a package of its name that cannot be imported."""
    (tmp_path / "psycopg.py").write_text("raise ImportError('no pq wrapper available')\n")
    program = "from simulator.store.database import Store; Store('postgresql://me:geheim@host/store')"
    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=False)
    last = done.stderr.splitlines()[-1]
    assert last.endswith(
        "PostgreSQL needs psycopg, which is not installed; `pip install 'council-simulator[postgres]'`"
    )
    assert "geheim" not in done.stderr
