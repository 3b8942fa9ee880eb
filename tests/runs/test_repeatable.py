"""The same command gives the same bytes: twice, after a kill, from another folder, with another hash seed."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

COMMAND = ("run", "--from", "2024-01-01", "--to", "2024-06-28", "--symbols", "SPY,QQQ", "--json")

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


def run(sim, workspace: Path, **how) -> tuple[dict, dict[str, bytes]]:
    done = sim(*COMMAND, "--workspace", workspace, **how)
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    return said, evidence(Path(said["dir"]))


def test_the_second_run_asks_nothing_and_repeats_every_byte(sim, workspace, tmp_path) -> None:
    first, before = run(sim, workspace, env={"PYTHONHASHSEED": "1"})
    assert first["llm"]["asked"] > 0
    assert first["llm"]["analysts"] == "rule-based analysts, no LLM"
    elsewhere = tmp_path / "another folder"
    elsewhere.mkdir()
    second, after = run(sim, workspace, cwd=elsewhere, env={"PYTHONHASHSEED": "77"})
    assert second["llm"]["asked"] == 0
    assert second["llm"]["cached"] == first["llm"]["asked"] + first["llm"]["cached"]
    assert second["digest"] == first["digest"]
    assert after == before


def test_another_workspace_gives_the_same_bytes(sim, workspace, tmp_path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(workspace, copy)
    assert run(sim, workspace)[1] == run(sim, copy)[1]


def test_a_killed_run_is_continued_by_the_same_command(sim, workspace, tmp_path) -> None:
    fresh = tmp_path / "fresh"
    shutil.copytree(workspace, fresh)
    started = time.monotonic()
    _, expected = run(sim, fresh)
    took = time.monotonic() - started
    moments = random.Random(20241120)
    for _ in range(3):
        doomed = subprocess.Popen(
            [sys.executable, "-m", "simulator", *COMMAND, "--workspace", str(workspace)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env={**os.environ},
        )
        time.sleep(moments.uniform(0.2, 1.0) * took)
        doomed.send_signal(signal.SIGKILL)
        doomed.wait()
    _, after = run(sim, workspace)
    assert after == expected
    assert not [p for p in (workspace / "reports").iterdir() if p.name.startswith(".")]
