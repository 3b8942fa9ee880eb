"""Every distinct run is counted once, however often it is repeated."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from simulator.errors import SimError
from simulator.store.registry import Registry


def run(number: int, **changes: Any) -> dict[str, Any]:
    facts = {"run_id": f"id{number}", "strategy": "s", "symbols": ["SPY"], "from": "2024-01-02", "to": "2024-12-30"}
    return {**facts, "digest": "d", "metrics": {"sharpe": None}, **changes}


def test_a_repeated_run_is_no_further_trial(tmp_path: Path) -> None:
    registry = Registry(tmp_path / "sim.db")
    assert [registry.record(run(n), "folder") for n in (1, 2, 1)] == [1, 2, 2]
    assert [row["times"] for row in registry.rows()] == [2, 1]
    registry.close()


def test_a_partial_run_never_takes_the_place_of_the_whole_one(tmp_path: Path) -> None:
    registry = Registry(tmp_path / "sim.db")
    registry.record(run(1, digest="part"), "a-partial")
    assert registry.rows()[0]["partial"]
    registry.record(run(1, digest="whole"), "a")
    registry.record(run(1, digest="part"), "a-partial")
    row = registry.rows()[0]
    assert (row["digest"], row["folder"], row["partial"], row["times"]) == ("whole", "a", False, 3)
    registry.close()


def test_a_registry_that_is_no_database_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "sim.db").write_text("not a database, but long enough to look like one " * 40)
    registry = Registry(tmp_path / "sim.db")
    with pytest.raises(SimError, match="the store cannot be used"):
        registry.record(run(1), "folder")
    registry.close()


def test_processes_that_begin_at_once_lose_no_run(tmp_path: Path) -> None:
    facts = run(0)
    program = (
        "import sys; from pathlib import Path; from simulator.store.registry import Registry\n"
        f"registry, facts = Registry(Path(sys.argv[1])), {facts}\n"
        "for n in range(10): registry.record({**facts, 'run_id': f'id{n}'}, 'folder')\n"
        "registry.close()"
    )
    started = [
        subprocess.Popen([sys.executable, "-c", program, str(tmp_path / "sim.db")], stderr=subprocess.PIPE)
        for _ in range(3)
    ]
    assert [p.communicate()[1] for p in started] == [b"", b"", b""]
    registry = Registry(tmp_path / "sim.db")
    assert [row["times"] for row in registry.rows()] == [3] * 10
    registry.close()
