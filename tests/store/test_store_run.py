"""`sim run` fills the store: the same rows in the workspace's file and on a server."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from simulator.store.database import Store
from simulator.store.schema import schema

pytestmark = pytest.mark.medium

Sim = Callable[..., "subprocess.CompletedProcess[str]"]

MONTH = ("run", "--from", "2024-01-02", "--to", "2024-01-31", "--symbols", "SPY,QQQ")
CLOCK = ("recorded_at", "first_run_at", "last_run_at")


def rows(place: Path | str) -> dict[str, list[dict[str, Any]]]:
    """Everything a store holds, without what the clock says."""
    with Store(place) as store:
        found = {name: store.rows(name) for name in schema.tables}
        assert not store.rebuild().differed
    return {
        name: [{column: value for column, value in _timeless(row).items() if column not in CLOCK} for row in held]
        for name, held in found.items()
    }


def _timeless(row: dict[str, Any]) -> dict[str, Any]:
    """A row with the names of a run's pages alone: a page tells how long its run took."""
    payload = row.get("payload")
    return {**row, "payload": {**payload, "parts": [*payload["parts"]]}} if payload and "parts" in payload else row


def test_the_same_run_makes_equal_rows_in_the_file_and_on_a_server(workspace: Path, sim: Sim, postgres: str) -> None:
    server = {"DATABASE_URL": postgres}
    done = sim(*MONTH, cwd=workspace)
    assert done.returncode == 0, done.stderr
    again = sim(*MONTH, cwd=workspace, env=server)
    assert again.returncode == 0, again.stderr
    held = rows(workspace / "sim.db")
    assert held == rows(postgres)
    assert [name for name, found in held.items() if not found] == ["orders", "approvals"]
    assert {row["account"] for row in held["trades"]} == {row["account"] for row in held["positions"]}
    assert len({row["account"] for row in held["trades"]}) > 1
    (run,) = json.loads(sim("runs", "--json", cwd=workspace, env=server).stdout)
    assert run["run_id"] == held["runs"][0]["run_id"]
    status = json.loads(sim("db", "status", "--json", cwd=workspace, env=server).stdout)
    assert status["rows"] == {name: len(found) for name, found in held.items()}
    assert status["url"].startswith("postgresql://postgres:***@/")


def test_a_run_killed_at_any_moment_is_in_the_store_whole_or_not_at_all(workspace: Path, sim: Sim) -> None:
    whole = None
    for seconds in (1.2, 2.0):
        running = subprocess.Popen(
            [sys.executable, "-m", "simulator", *MONTH],
            cwd=workspace,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        time.sleep(seconds)
        os.kill(running.pid, signal.SIGKILL)
        running.wait()
        found = rows(workspace / "sim.db")
        assert not found["runs"] or found["pipeline_runs"], "a run is counted without what happened in it"
        whole = whole or (found["pipeline_runs"] or None)
        assert (found["pipeline_runs"] or None) == whole
    assert sim(*MONTH, cwd=workspace).returncode == 0
    found = rows(workspace / "sim.db")
    assert len(found["runs"]) == 1
    assert whole is None or found["pipeline_runs"] == whole


def test_a_store_that_cannot_be_used_is_told_before_anything_is_asked(workspace: Path, sim: Sim, postgres: str) -> None:
    from sqlalchemy import create_engine

    url = postgres.replace("postgresql:", "postgresql+psycopg:")
    admin = create_engine(url)
    with Store(postgres) as store:
        store.init()
    with admin.begin() as db:
        db.exec_driver_sql("UPDATE alembic_version SET version_num = '0001'")
    admin.dispose()
    (workspace / "no.db").write_text("This is a letter.")
    mends = {
        "postgresql://me:s3cret@127.0.0.1:1/x": "unset DATABASE_URL",
        f"sqlite:///{workspace / 'no.db'}": "move the file away",
        postgres: "`sim db upgrade` brings it forward",
    }
    for address, mend in mends.items():
        done = sim(*MONTH, cwd=workspace, env={"DATABASE_URL": address})
        assert (done.returncode, done.stdout) == (1, "")
        assert mend in done.stderr
        assert done.stderr.count("\n") == 1
        assert "s3cret" not in done.stderr
    assert not list((workspace / "llm_cache").rglob("*.db"))
