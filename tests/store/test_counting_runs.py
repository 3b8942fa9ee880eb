"""Every distinct run is counted once, however often it is repeated."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from simulator.errors import SimError
from simulator.store.database import Store

pytestmark = pytest.mark.medium


def run(number: int, **changes: Any) -> dict[str, Any]:
    facts = {"run_id": f"id{number}", "strategy": "s", "symbols": ["SPY"], "from": "2024-01-02", "to": "2024-12-30"}
    return {**facts, "digest": "d", "metrics": {"sharpe": None}, **changes}


def test_a_repeated_run_is_no_further_trial(tmp_path: Path) -> None:
    store = Store(tmp_path / "sim.db")
    assert [store.record_run(run(n), "folder") for n in (1, 2, 1)] == [1, 2, 2]
    assert [row["times"] for row in store.runs()] == [2, 1]
    store.close()


def test_a_partial_run_never_takes_the_place_of_the_whole_one(tmp_path: Path) -> None:
    store = Store(tmp_path / "sim.db")
    store.record_run(run(1, digest="part"), "a-partial")
    assert store.runs()[0]["partial"]
    store.record_run(run(1, digest="whole"), "a")
    store.record_run(run(1, digest="part"), "a-partial")
    row = store.runs()[0]
    assert (row["digest"], row["folder"], row["partial"], row["times"]) == ("whole", "a", False, 3)
    store.close()


def test_a_file_that_is_no_database_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "sim.db").write_text("not a database, but long enough to look like one " * 40)
    store = Store(tmp_path / "sim.db")
    with pytest.raises(SimError, match="the store cannot be used"):
        store.record_run(run(1), "folder")
    store.close()


def test_processes_that_begin_at_once_lose_no_run(tmp_path: Path) -> None:
    facts = run(0)
    program = (
        "import sys; from pathlib import Path; from simulator.store.database import Store\n"
        f"store, facts = Store(Path(sys.argv[1])), {facts}\n"
        "for n in range(10): store.record_run({**facts, 'run_id': f'id{n}'}, 'folder')\n"
        "store.close()"
    )
    started = [
        subprocess.Popen([sys.executable, "-c", program, str(tmp_path / "sim.db")], stderr=subprocess.PIPE)
        for _ in range(3)
    ]
    assert [p.communicate()[1] for p in started] == [b"", b"", b""]
    store = Store(tmp_path / "sim.db")
    assert [row["times"] for row in store.runs()] == [3] * 10
    store.close()
