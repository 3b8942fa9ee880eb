"""The same command gives the same bytes: twice, after a kill, from another folder, with another hash seed."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from simulator.llm.cache import AnswerCache
from simulator.workspace import make_workspace

pytestmark = pytest.mark.medium

COMMAND = ("run", "--from", "2024-01-01", "--to", "2024-04-26", "--symbols", "SPY,QQQ", "--json")

EVIDENCE = (
    *("decisions.jsonl", "orders.csv", "fills.csv", "rejected.csv", "equity.csv", "weights.csv"),
    *("run.json", "llm_calls.jsonl"),
)


def evidence(folder: Path) -> dict[str, bytes]:
    """The files that must not differ; of the report all but its stated run-time line."""
    files = {name: (folder / name).read_bytes() for name in EVIDENCE}
    report = (folder / "report.html").read_text(encoding="utf-8").splitlines()
    stated = [line for line in report if 'class="runtime"' in line]
    assert len(stated) == 1
    files["report.html"] = "\n".join(line for line in report if 'class="runtime"' not in line).encode()
    return files


Said = tuple[dict[str, Any], dict[str, bytes]]
"""What ``--json`` said, and the evidence."""


def run(workspace: Path, **how: Any) -> Said:
    words = [sys.executable, "-m", "simulator", *COMMAND, "--workspace", str(workspace)]
    env = {**os.environ, **how.pop("env", {})}
    done = subprocess.run(words, capture_output=True, text=True, timeout=300, check=False, env=env, **how)
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    return said, evidence(Path(said["dir"]))


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("first") / "workspace"
    make_workspace(folder, git=False)
    return folder


@pytest.fixture(scope="module")
def first(place: Path) -> Said:
    return run(place, env={"PYTHONHASHSEED": "1"})


def test_the_second_run_asks_nothing_and_repeats_every_byte(first: Said, place: Path, tmp_path: Path) -> None:
    said, before = first
    assert said["llm"]["asked"] > 0
    assert said["llm"]["analysts"] == "rule-based analysts, no LLM"
    again, after = run(place, cwd=tmp_path, env={"PYTHONHASHSEED": "77"})
    assert again["llm"]["asked"] == 0
    assert again["llm"]["cached"] == said["llm"]["asked"] + said["llm"]["cached"]
    assert again["digest"] == said["digest"]
    assert after == before


def test_another_workspace_gives_the_same_bytes_also_after_kills(first: Said, workspace: Path) -> None:
    """Killed twice while it asks, each time with more answers on disk, and once while its folder is written."""
    moments = random.Random(20241120)
    for _ in range(2):
        wanted = stored(workspace) + moments.randrange(1, 200)
        killed(workspace, lambda wanted=wanted: stored(workspace) >= wanted)
    kept = stored(workspace)
    killed(workspace, lambda: bool(unfinished(workspace)))
    assert len(unfinished(workspace)) == 1
    said, after = run(workspace)
    assert said["llm"]["cached"] > kept > 0
    assert after == first[1]
    assert not unfinished(workspace)


def killed(workspace: Path, due: Callable[[], bool]) -> None:
    """A run that is killed as soon as `due` says so."""
    words = [sys.executable, "-m", "simulator", *COMMAND, "--workspace", str(workspace)]
    doomed = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while doomed.poll() is None and not due():
        time.sleep(0.005)
    doomed.send_signal(signal.SIGKILL)
    assert doomed.wait() == -signal.SIGKILL, "it ended before"


def unfinished(workspace: Path) -> list[Path]:
    """Folders that were being written."""
    reports = workspace / "reports"
    return [path for path in reports.iterdir() if path.name.startswith(".")] if reports.is_dir() else []


def stored(workspace: Path) -> int:
    """Answers on disk."""
    with AnswerCache(workspace / "llm_cache") as cache:
        return len(cache.keys())
