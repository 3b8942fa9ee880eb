"""Real commands, killed at random moments, again and again: nothing is lost, nothing half-made is left."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from simulator.evidence.verify import verify_run
from simulator.llm.cache import AnswerCache
from simulator.store.database import Store
from simulator.store.folders import run_folders
from simulator.workspace import find_workspace, make_workspace

pytestmark = [pytest.mark.medium, pytest.mark.skipif(sys.platform == "win32", reason="no SIGKILL")]

KILLS = [5, pytest.param(50, marks=pytest.mark.slow)]
RUN = ("run", "--strategy", "sma_cross", "--symbols", "SPY", "--from", "2024-01-02", "--to", "2024-01-12")
ADDED = ("checks.json", "checks.html")


class Killer:
    """Starts commands of `sim` in `folder` and kills them, each at another moment of the time they take."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.moments, self.killed = folder, random.Random(folder.name), 0
        self.env = {**os.environ, "PATH": ""}  # without git, which would go on in a process of its own

    def start(self, words: Sequence[object]) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "simulator", *map(str, words)]
        return subprocess.Popen(command, cwd=self.folder, env=self.env, stdout=-3, stderr=subprocess.PIPE)

    def finish(self, *words: object) -> float:
        """Let a command end; returns the seconds it took."""
        began = time.monotonic()
        running = self.start(words)
        _, said = running.communicate(timeout=300)
        assert running.returncode == 0, said.decode()
        return time.monotonic() - began

    def kill(self, longest: float, *words: object) -> None:
        running = self.start(words)
        time.sleep(self.moments.uniform(0.2, 0.95) * longest)
        running.send_signal(signal.SIGKILL)
        self.killed += running.wait() == -signal.SIGKILL
        assert running.stderr is not None
        running.stderr.close()


def left_aside(folder: Path) -> list[str]:
    return [path.name for path in folder.rglob(".*.sim-*")]


@pytest.fixture
def killer(tmp_path: Path) -> Killer:
    """In a workspace with a run, and what `sim check` added to it."""
    make_workspace(tmp_path / "workspace", git=False)
    killer = Killer(tmp_path / "workspace")
    for words in (RUN, ("check", "--only", "costs")):
        killer.finish(*words)
    return killer


def check_evidence(workspace: Path, added: dict[str, bytes]) -> None:
    """The run is there, whole, verified, and recorded; what was added to it too."""
    (folder,) = run_folders(workspace / "reports")
    found = verify_run(find_workspace(workspace), folder)
    assert (found.changed, found.recorded) == ((), True)
    assert (folder / "report.html").read_bytes().rstrip().endswith(b"</html>")
    assert {name: (folder / name).read_bytes() for name in added} == added
    with Store(workspace / "sim.db") as store:
        assert [row["run_id"] for row in store.runs()] == [found.run["run_id"]]


@pytest.mark.parametrize("kills", KILLS)
@pytest.mark.fault("disk", "sim run is killed at any moment", "run and checks stay whole, nothing is left aside")
def test_runs_killed_at_any_moment_lose_nothing(killer: Killer, kills: int) -> None:
    (folder,) = run_folders(killer.folder / "reports")
    added = {name: (folder / name).read_bytes() for name in ADDED}
    longest = killer.finish(*RUN)
    for _ in range(kills):
        killer.kill(longest, *RUN)
        check_evidence(killer.folder, added)
    killer.finish(*RUN)
    check_evidence(killer.folder, added)
    assert left_aside(killer.folder) == []
    with AnswerCache(killer.folder / "llm_cache") as cache:
        assert cache.verify().bad == ()
    with Store(killer.folder / "sim.db") as store:
        assert not store.rebuild().differed
    assert killer.killed


@pytest.mark.parametrize("kills", KILLS)
@pytest.mark.fault("disk", "sim cache import is killed at any moment", "all answers of the file are there, or none")
def test_imports_killed_at_any_moment_bring_all_or_nothing(tmp_path: Path, kills: int) -> None:
    make_workspace(tmp_path / "workspace", git=False)
    killer, cache = Killer(tmp_path / "workspace"), tmp_path / "workspace" / "llm_cache"
    longest = killer.finish("cache", "import", "small_council")
    with AnswerCache(cache) as answers:
        whole = len(answers.keys())
    seen = set()
    for _ in range(kills):
        for path in cache.glob("cache.db*"):
            path.unlink()
        killer.kill(longest, "cache", "import", "small_council")
        with AnswerCache(cache) as answers:
            checked = answers.verify()
        assert checked.bad == ()
        seen.add(checked.entries)
    assert seen <= {0, whole}
    killer.finish("cache", "import", "small_council")
    with AnswerCache(cache) as answers:
        assert len(answers.keys()) == whole
    assert left_aside(killer.folder) == []
    assert killer.killed


@pytest.mark.parametrize("kills", KILLS)
@pytest.mark.fault("disk", "sim init is killed at any moment", "no half a workspace; the same command makes it whole")
def test_a_workspace_whose_making_is_killed_is_whole_or_not_there(tmp_path: Path, kills: int) -> None:
    make_workspace(tmp_path / "reference", git=False)
    expected = tree(tmp_path / "reference")
    killer = Killer(tmp_path)
    longest = killer.finish("init", "first")
    for number in range(kills):
        folder = tmp_path / f"w{number}"
        if number % 2:
            folder.mkdir()
        killer.kill(longest, "init", folder)
        if (folder / "sim.toml").exists():
            assert tree(folder).keys() >= expected.keys()
        again = killer.start(["init", folder])
        again.communicate()
        # 2: it was whole already, and is not overwritten.
        assert again.returncode in (0, 2)
        assert tree(folder) == expected
    assert left_aside(tmp_path) == []
    assert killer.killed


def tree(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


OTHERS = (
    ("compare", "last", "last", "--draws", "100"),
    ("check", "--only", "costs"),
    ("db", "rebuild"),
    ("report",),
)


@pytest.mark.parametrize("kills", KILLS)
@pytest.mark.fault(
    "disk", "compare, check, report or db rebuild is killed", "the run stays verified, nothing is left aside"
)
def test_commands_that_read_a_run_killed_at_any_moment_harm_nothing(killer: Killer, kills: int) -> None:
    (folder,) = run_folders(killer.folder / "reports")
    longest = {words: killer.finish(*words) for words in OTHERS}
    figures = json.loads((folder / "checks.json").read_text())["checks"]["costs"]["figures"]
    for number in range(kills):
        words = OTHERS[number % len(OTHERS)]
        if words[0] == "db":
            (killer.folder / "sim.db").unlink()
        killer.kill(longest[words], *words)
        if words[0] == "db":
            killer.finish("db", "rebuild")
        check_evidence(killer.folder, {})
        assert json.loads((folder / "checks.json").read_text())["checks"]["costs"]["figures"] == figures
    for words in OTHERS:
        killer.finish(*words)
    check_evidence(killer.folder, {})
    assert left_aside(killer.folder) == []
    assert killer.killed
