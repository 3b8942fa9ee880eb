"""Growth of the store and of the cache: `python benchmarks/store.py [--runs N] [--entries N] [--json]`.

A registry of N runs with their folders, and a cache of N answers, are made up first. CPU seconds, user and system, the
best of three; commands are whole processes, beside one that imports click. What a run adds to the store is that of the
README's command.
"""

from __future__ import annotations

import argparse
import json
import os
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np

from simulator.analysis.trials import trials
from simulator.evidence.unrecorded import all_results
from simulator.llm.answers import with_schema
from simulator.llm.cache import AnswerCache, Entry, entry_from
from simulator.llm.storage import attach
from simulator.store.database import Store
from simulator.store.listing import FIGURES
from simulator.workspace import make_workspace

sys.path.insert(0, str(Path(__file__).parent))
from cache import Pitch, answer, question

SYMBOLS, STRATEGIES, MONTHS = ("SPY", "QQQ", "GLD", "NVDA"), 25, 24
SPAN = ("2022-01-03", "2023-12-29")
NOW = "2100-01-01T00:00:00.000000+00:00"


def facts_of(number: int) -> dict[str, Any]:
    """run.json of a made-up run, with as many metrics as a real one has."""
    values = np.random.default_rng(number).normal(size=len(FIGURES) + 40).tolist()
    strategy, symbol = f"rule_{number % STRATEGIES}", SYMBOLS[number // STRATEGIES % len(SYMBOLS)]
    return {
        "run_id": f"{number:010x}",
        "strategy": strategy,
        "symbols": [symbol],
        "from": SPAN[0],
        "to": SPAN[1],
        "sessions": 501,
        "digest": f"{number:064x}",
        "metrics": dict(zip((*FIGURES, *(f"metric_{n}" for n in range(40))), values, strict=True)),
        "parameters": {"fast": number},
        "partial": False,
        "strategy_files": {f"{strategy}.py": f"{number % STRATEGIES:064x}"},
        "bar_months": {symbol: ["2022-01", *(f"{SYMBOLS.index(symbol):08x}{month:08x}" for month in range(MONTHS))]},
    }


def fill(workspace: Path, count: int) -> None:
    """Make `count` runs with their folders, recorded at once."""
    with Store(workspace / "sim.db") as store:
        store.init()
    with closing(sqlite3.connect(workspace / "sim.db")) as db, db:
        for number in range(count):
            facts = facts_of(number)
            name = f"{facts['strategy']}-{SPAN[0]}-{SPAN[1]}-{facts['run_id']}"
            (workspace / "reports" / name).mkdir(parents=True)
            (workspace / "reports" / name / "run.json").write_text(json.dumps(facts))
            kept = {**facts, "folder": name, "definition": facts["strategy_files"][f"{facts['strategy']}.py"]}
            event = (number + 1, facts["run_id"], facts["digest"], "run.recorded", NOW, json.dumps(kept))
            insert(db, "events", "position run_id digest kind recorded_at payload", event)
            columns = "run_id digest strategy symbols first last parameters metrics folder partial times first_run_at"
            texts = (json.dumps(facts["symbols"]), *SPAN, "{}", json.dumps(facts["metrics"]), name, False, 1, NOW)
            further = (NOW, number + 1, *(facts["metrics"][one] for one in FIGURES), kept["definition"])
            insert(
                db,
                "runs",
                f"{columns} last_run_at event {' '.join(FIGURES)} definition bar_months",
                (
                    facts["run_id"],
                    facts["digest"],
                    facts["strategy"],
                    *texts,
                    *further,
                    json.dumps(facts["bar_months"]),
                ),
            )


def insert(db: sqlite3.Connection, table: str, columns: str, values: tuple[object, ...]) -> None:
    names = columns.split()
    db.execute(f"INSERT INTO {table} ({', '.join(names)}) VALUES ({', '.join('?' * len(names))})", values)


def cpu(work: Callable[[], object], repeats: int = 3) -> float:
    """CPU seconds of `work` and its children, the best of `repeats`."""

    def spent() -> float:
        times = os.times()
        return times.user + times.system + times.children_user + times.children_system

    best = float("inf")
    for _ in range(repeats):
        before = spent()
        work()
        best = min(best, spent() - before)
    return best


def command(folder: Path, *words: str) -> Callable[[], object]:
    return lambda: subprocess.run([sys.executable, *words], cwd=folder, check=True, capture_output=True)


def entries(count: int) -> Iterator[Entry]:
    for number in range(count):
        asked = with_schema(question(number), Pitch)
        yield Entry(asked.key, asked.canonical(), asked.purpose, answer(number))


def long_check(folder: Path) -> None:
    """Every entry parsed, the way it was checked before."""
    store = attach(folder)
    if store is None:
        raise RuntimeError("no cache")
    with closing(store):
        store.sql("PRAGMA integrity_check(1)").fetchone()
        for row in store.rows(order="rowid"):
            entry_from(row.key, row.blob)


def measure_store(workspace: Path, runs: int) -> Iterator[tuple[str, float, float | None, str]]:
    with Store(workspace / "sim.db") as store:
        before = store.status().size
        year = ("run", "--from", "2024-01-02", "--to", "2024-12-30", "--symbols", "SPY,QQQ")
        command(workspace, "-m", "simulator", *year)()
        (folder,) = (one.parent for one in (workspace / "reports").glob("*/run.json"))
        held = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
        yield "a year of councils in the store, MB", (store.status().size - before) / 1e6, held / 1e6, "1.5"
    for path in (workspace / "sim.db", folder / "run.json"):
        path.unlink()
    fill(workspace, runs)
    bare = cpu(command(workspace, "-c", "import click"))
    yield f"sim runs, {runs:,} runs, s", cpu(command(workspace, "-m", "simulator", "runs")), bare, "0.5"
    own: Any = {**facts_of(0), "command": "sim run"}

    def count() -> None:
        found = trials(all_results(workspace / "sim.db", workspace / "reports").rows, own)
        if found.count < runs / len(SYMBOLS):
            raise RuntimeError(f"{found.count} trials")

    yield f"trials counted among {runs:,} runs, s", cpu(count), None, "0.2"


def measure_cache(folder: Path, count: int) -> Iterator[tuple[str, float, float | None, str]]:
    with AnswerCache(folder) as cache:
        cache.put_entries(entries(count))
        started = time.perf_counter()
        long_check(folder)
        long = time.perf_counter() - started
        started = time.perf_counter()
        cache.verify()
        yield f"cache verify, {count:,} entries, wall s", time.perf_counter() - started, long, "4 of 14"
        yield f"cache stats, {count:,} entries, s", cpu(cache.stats), cpu(cache._count, 1), "0.1"


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--runs", type=int, default=10_000)
    options.add_argument("--entries", type=int, default=100_000)
    options.add_argument("--json", action="store_true")
    given = options.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        workspace = Path(scratch) / "workspace"
        make_workspace(workspace, git=False)
        rows = [*measure_store(workspace, given.runs), *measure_cache(Path(scratch) / "cache", given.entries)]
    if given.json:
        print(json.dumps([dict(zip(("work", "ours", "other", "aim"), row, strict=True)) for row in rows]))
        return
    print(f"{'work':<44}{'ours':>9}{'other':>9}{'ratio':>8}  aim")
    for work, ours, other, aim in rows:
        beside = f"{other:>9.2f}{ours / other:>8.2f}" if other else f"{'':>17}"
        print(f"{work:<44}{ours:>9.3f}{beside}  {aim}")


if __name__ == "__main__":
    main()
