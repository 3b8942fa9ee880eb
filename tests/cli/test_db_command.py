"""`sim db` as a person runs it."""

from __future__ import annotations

import json
import sqlite3
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from simulator.store.connection import HEAD
from simulator.store.database import Store
from simulator.store.events import Event

Sim = Callable[..., "subprocess.CompletedProcess[str]"]

RUN = {"run_id": "id", "strategy": "s", "symbols": ["SPY"], "from": "2024-01-02", "to": "2024-12-30"}


@pytest.fixture(autouse=True)
def _own_store(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DATABASE_URL", raising=False)


@pytest.fixture
def recorded(workspace: Path) -> Path:
    """A workspace whose store knows one run of two fills."""
    payload = {"order_id": 0, "symbol": "SPY", "quantity": 1.0, "price": 10.0}
    fills = [Event("order.filled", f"2024-01-0{day}T09:30:00-05:00", "COUNCIL", payload) for day in (2, 3)]
    with Store(workspace / "sim.db") as store:
        store.record_run({**RUN, "digest": "d", "metrics": {}}, "folder", fills)
    return workspace


def test_a_store_is_made_once_and_told_where_it_lies(workspace: Path, sim: Sim) -> None:
    file = workspace / "sim.db"
    assert sim("db", "status", cwd=workspace).stdout == f"{file}: not made yet; `sim run` or `sim db init` makes it\n"
    assert not file.exists()
    assert sim("db", "init", cwd=workspace).stdout == f"{file}: made, revision {HEAD}\n"
    assert sim("db", "init", cwd=workspace).stdout == f"{file}: there already, revision {HEAD}\n"
    assert sim("db", "upgrade", cwd=workspace).stdout == f"{file}: has revision {HEAD}\n"


def test_status_counts_the_rows_of_every_table(recorded: Path, sim: Sim) -> None:
    told = sim("db", "status", cwd=recorded).stdout
    assert told.startswith(f"{recorded / 'sim.db'}: revision {HEAD}, the newest; 0.")
    answer = json.loads(sim("db", "status", "--json", cwd=recorded).stdout)
    assert (answer["url"], answer["revision"], answer["head"]) == (str(recorded / "sim.db"), HEAD, HEAD)
    assert answer["size"] == (recorded / "sim.db").stat().st_size
    counts = {name: count for name, count in answer["rows"].items() if count}
    assert counts == {"events": 3, "runs": 1, "trades": 2, "positions": 1}
    assert [line.split() for line in told.splitlines()[1:]] == [[str(n), name] for name, n in answer["rows"].items()]


def test_rebuild_tells_what_differed_and_puts_it_right(recorded: Path, sim: Sim) -> None:
    with sqlite3.connect(recorded / "sim.db") as db:
        db.execute("UPDATE trades SET price = 11")
        db.execute("DELETE FROM positions")
    db.close()
    done = sim("db", "rebuild", cwd=recorded)
    assert done.stdout.splitlines() == [
        f"{recorded / 'sim.db'}: 3 events of 1 run make 4 rows",
        "positions: 1 lost; put right",
        "trades: 2 changed; put right",
    ]
    again = json.loads(sim("db", "rebuild", "--json", cwd=recorded).stdout)
    counted = {"recorded": [], "events": 3, "runs": 1, "rows": 4, "differed": {}, "left": {}}
    assert again == {"url": str(recorded / "sim.db"), **counted}
    assert sim("db", "rebuild", cwd=recorded).stdout.splitlines()[1:] == ["Every table was as its events have it."]


@pytest.mark.parametrize("command", ["init", "upgrade", "status", "rebuild"])
def test_a_server_out_of_reach_is_one_line_without_the_password(command: str, workspace: Path, sim: Sim) -> None:
    done = sim("db", command, cwd=workspace, env={"DATABASE_URL": "postgres://me:geheim@127.0.0.1:1/store"})
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (1, "", 1)
    assert done.stderr.startswith("sim: error: postgresql://me:***@127.0.0.1:1/store: ")
    assert not (workspace / "sim.db").exists()


def test_an_address_that_means_nothing_is_a_usage_error(workspace: Path, sim: Sim) -> None:
    done = sim("db", "status", cwd=workspace, env={"DATABASE_URL": "mysql://me:geheim@host/store"})
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "sim: error: DATABASE_URL names mysql; the store is SQLite or PostgreSQL\n"


def test_a_store_of_a_newer_version_is_left_alone(recorded: Path, sim: Sim) -> None:
    with sqlite3.connect(recorded / "sim.db") as db:
        db.execute("UPDATE alembic_version SET version_num = '0099'")
    db.close()
    before = (recorded / "sim.db").read_bytes()
    for command in ("init", "upgrade", "status", "rebuild"):
        done = sim("db", command, cwd=recorded)
        assert (done.returncode, done.stderr.count("\n")) == (1, 1)
        assert "revision 0099" in done.stderr
    assert (recorded / "sim.db").read_bytes() == before
