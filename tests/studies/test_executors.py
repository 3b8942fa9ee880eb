"""Who plays a sweep changes no byte of it; nothing that is done is lost or done again."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import date
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from simulator.errors import SimError, UsageError
from simulator.evidence.sweep_records import SealRecord
from simulator.evidence.verify_sweep import digests_of, series_digest, series_head
from simulator.files import read_bytes
from simulator.runs.spec import RunSpec
from simulator.studies.executors import Executor, choose_executor
from simulator.studies.space import Parameter, Space
from simulator.studies.study import Study
from simulator.studies.study_file import make_study
from simulator.studies.sweep import Shard, Sweep, run_shard, run_sweep
from simulator.workspace import Workspace, shipped

SETS = [("fast", "5:45:5"), ("slow", "60:200:10"), ("costs.slippage_bps", "0,5")]
NO_TOKEN = {"RAY_AUTH_MODE": "disabled"}
COMMAND = ["--strategy", "sma_cross", "--symbols", "SPY,QQQ", "--from", "2024-01-01"]
COMMAND += [word for name, text in SETS for word in ("--set", f"{name}={text}")]


def make(out: Path, sets: list[tuple[str, str]] = SETS, strategy: str = "sma_cross", **options: Any) -> Sweep:
    workspace = Workspace(shipped(), out)
    given = {"strategy": strategy, "symbols": ("SPY", "QQQ"), "first": "2024-01-01", **options}
    study: Study = make_study(workspace, None, sets, **given)
    return Sweep(study, workspace)


def digest(folder: Path, what: str = "**/*") -> str:
    """Of all that is there: names and bytes."""
    found = hashlib.sha256()
    for path in sorted(path for path in folder.glob(what) if path.is_file()):
        found.update(path.relative_to(folder).as_posix().encode() + b"\0" + path.read_bytes())
    return found.hexdigest()


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Digest of the sweep as one thread plays it."""
    sweep = make(tmp_path_factory.mktemp("alone"))
    sweep.play(Executor(workers=1))
    return digest(sweep.folder.path)


def played(place: Path, executor: Executor | None) -> str:
    sweep = make(place)
    sweep.play(executor)
    return digest(sweep.folder.path)


@pytest.mark.medium
def test_threads_give_the_bytes_of_one(alone: str, tmp_path: Path) -> None:
    assert played(tmp_path, Executor(workers=3)) == alone


@pytest.mark.medium
def test_forgetting_prepared_inputs_changes_no_byte(
    alone: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("simulator.studies.inputs.MOST_STAGED", 0)
    assert played(tmp_path, Executor(workers=2)) == alone


@pytest.mark.medium
def test_processes_give_the_bytes_of_one_thread(alone: str, tmp_path: Path) -> None:
    assert played(tmp_path, Executor("loky", 2)) == alone


def once(kill: Callable[[], object]) -> Callable[[int, int], None]:
    """Called with each chunk that is done: kills at the first."""
    left = [kill]
    return lambda _done, _total: left.pop()() and None if left else None


@pytest.mark.medium
@pytest.mark.filterwarnings("ignore")
@pytest.mark.skipif(find_spec("distributed") is None, reason="no Dask here: `make test-executors` brings it")
def test_a_dask_cluster_gives_the_bytes_of_one_thread_also_where_a_worker_is_killed(alone: str, tmp_path: Path) -> None:
    from distributed import LocalCluster

    local = {"n_workers": 2, "threads_per_worker": 1, "host": "127.0.0.1", "dashboard_address": None}
    with LocalCluster(**local, silence_logs=50) as cluster:
        there = Executor("dask", address=cluster.scheduler_address)
        assert played(tmp_path / "whole", there) == alone
        sweep = make(tmp_path / "killed")
        sweep.play(there, progress=once(lambda: os.kill(cluster.workers[0].pid, signal.SIGKILL)))
        assert digest(sweep.folder.path) == alone
    with pytest.raises(SimError, match=r"no dask cluster with a worker at tcp://127\.0\.0\.1:9"):
        make(tmp_path / "none").play(Executor("dask", address="tcp://127.0.0.1:9"))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.skipif(find_spec("distributed") is None, reason="no Dask here: `make test-executors` brings it")
def test_a_dask_cluster_is_made_where_none_is_named(alone: str, tmp_path: Path) -> None:
    assert played(tmp_path, Executor("dask", 2)) == alone


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.skipif(find_spec("ray") is None, reason="no Ray here: `make test-executors` brings it")
def test_a_ray_cluster_of_two_nodes_gives_the_bytes_of_one_thread_also_where_one_is_lost(
    alone: str, tmp_path: Path
) -> None:
    import psutil

    first = ("--head", "--port=6399", "--node-ip-address=127.0.0.1", "--include-dashboard=false")
    with ray_node(*first), ray_node("--address=127.0.0.1:6399", "--node-ip-address=127.0.0.2") as second:
        words = ["sweep", *COMMAND, "--executor", "ray=127.0.0.1:6399", "--json"]
        for lost in (False, True):
            place = tmp_path / str(lost)
            place.mkdir()
            played_there = sim(*words, place=place)
            until = time.monotonic() + 100
            while lost and not list(place.rglob("*.parquet")) and time.monotonic() < until:
                time.sleep(0.01)
            for part in psutil.Process(second.pid).children(recursive=True) if lost else ():
                part.kill()
            _, errors = played_there.communicate(timeout=200)
            assert played_there.returncode == 0, errors
            assert digest(next(place.rglob("chunks")).parent, "chunks/*") == alone


@contextmanager
def ray_node(*words: str) -> Iterator[subprocess.Popen[bytes]]:
    """One node with one processor; nothing of it outlives the block."""
    import psutil

    command = [sys.executable, "-m", "ray.scripts.scripts", "start", *words, "--num-cpus=1", "--block"]
    command += ["--object-store-memory=100000000", "--min-worker-port=20000", "--max-worker-port=20999"]
    node = subprocess.Popen(command, stdout=-3, stderr=-3, env={**os.environ, **NO_TOKEN})
    try:
        time.sleep(12)
        yield node
    finally:
        for part in (*psutil.Process(node.pid).children(recursive=True), psutil.Process(node.pid)):
            with suppress(psutil.NoSuchProcess):
                part.kill()
        node.wait()


@pytest.mark.medium
def test_shards_in_any_order_give_the_bytes_of_one_and_the_last_knows_it(alone: str, tmp_path: Path) -> None:
    sweep = make(tmp_path)
    left = []
    for number in (2, 3, 1):
        sweep.play(shard=Shard(number, 3))
        left.append(len(sweep.missing()))
    assert left == [11, 6, 0]
    assert digest(sweep.folder.path) == alone


def test_shards_share_out_all_chunks() -> None:
    numbers = [n for number in (1, 2, 3) for n in list(range(16))[number - 1 :: 3]]
    assert sorted(numbers) == list(range(16))


@pytest.mark.parametrize("text", ["0/3", "4/3", "1", "a/b", "1/0", "-1/3", "1/3/5", "²/3", ""])
def test_a_shard_that_is_none_gets_one_line(text: str) -> None:
    with pytest.raises(UsageError, match="--shard was"):
        Shard.parse(text)


def test_executors_are_named_with_their_address() -> None:
    assert choose_executor(None) is None
    assert choose_executor("dask=tcp://10.0.0.1:8786", 4) == Executor("dask", 4, "tcp://10.0.0.1:8786")
    assert choose_executor("ray") == Executor("ray", 0, None)
    with pytest.raises(UsageError, match='did you mean "dask"'):
        choose_executor("dusk")
    with pytest.raises(UsageError, match="has no address"):
        choose_executor("loky=tcp://10.0.0.1:1")


def test_a_series_is_known_by_its_sums_and_one_of_an_earlier_version_by_its_sha256(tmp_path: Path) -> None:
    series = np.random.default_rng(3).normal(size=(5, 40))
    seal: SealRecord = {"study": "s", "members": [0, 5], "table": "", "beyond": series_digest(series), "failures": {}}
    path = tmp_path / "0.parquet"
    pq.write_table(pa.table({"sharpe": [1.0]}), path)

    def digest_of(numbers: Any, more: bytes = b"", **told: str) -> str:
        path.with_suffix(".npy").write_bytes(series_head(numbers) + numbers.tobytes() + more)
        return digests_of(path, {**seal, **told})["beyond"]  # type: ignore[typeddict-item]

    assert digest_of(series) == seal["beyond"]
    signs, order = series.copy(), series[::-1].copy()
    signs[2, :2] *= -1  # which leaves the sum of the row as it was
    for other in (signs, order, series[:4], series.reshape(8, 25)):
        assert digest_of(other) != seal["beyond"]
    assert digest_of(series, more=b"more") == ""
    content = series_head(series) + series.tobytes()
    assert digest_of(series, beyond="0" * 64) == hashlib.sha256(content).hexdigest()


@pytest.mark.medium
@pytest.mark.fault("disk", "a chunk of a sweep is damaged, cut off, of other members, or half there", "played again")
@pytest.mark.parametrize("damage", ["flip", "cut", "empty", "series", "no series", "moved"])
def test_a_damaged_chunk_is_played_again(alone: str, tmp_path: Path, damage: str) -> None:
    sweep = make(tmp_path)
    sweep.play()
    chunks = sweep.folder.path / "chunks"
    table, series = sorted(chunks.glob("*.parquet"))[3], sorted(chunks.glob("*.npy"))[3]
    content = bytearray(table.read_bytes())
    if damage == "flip":
        content[len(content) // 3] ^= 1
        table.write_bytes(content)
    elif damage == "cut":
        table.write_bytes(content[:-9])
    elif damage == "empty":
        table.write_bytes(b"")
    elif damage == "series":
        numbers = bytearray(series.read_bytes())
        numbers[-5] ^= 1
        series.write_bytes(numbers)
    elif damage == "no series":
        series.unlink()
    else:
        table.write_bytes(sorted(chunks.glob("*.parquet"))[4].read_bytes())
    again = make(tmp_path)
    assert again.missing() == [again.spans[3]]
    counts = []
    again.play(progress=lambda done, total: counts.append((done, total)))
    assert counts == [(len(again.study), len(again.study))]
    assert digest(again.folder.path) == alone


@pytest.mark.medium
@pytest.mark.fault("disk", "members of another study lie in a sweep's folder", "one line; not a byte is written")
@pytest.mark.parametrize("what", ["a chunk", "the folder"])
def test_another_study_in_the_folder_is_refused_and_kept(tmp_path: Path, what: str) -> None:
    sweep, other = make(tmp_path), make(tmp_path / "other", [*SETS[:2], ("costs.slippage_bps", "0,6")])
    other.play()
    if what == "the folder":
        other.folder.path.rename(sweep.folder.path.parent.parent / "aside")
        sweep.folder.path.parent.mkdir(parents=True, exist_ok=True)
        (sweep.folder.path.parent.parent / "aside").rename(sweep.folder.path)
    else:
        sweep.play()
        for path in other.folder.path.glob("chunks/*0.*"):
            (sweep.folder.path / "chunks" / path.name).write_bytes(path.read_bytes())
    before = digest(sweep.folder.path)
    with pytest.raises(SimError, match=r"chunks/\d+\.parquet is of another study .*give that folder another name"):
        make(tmp_path).play()
    assert digest(sweep.folder.path) == before


def sim(*words: str, place: Path, **options: Any) -> subprocess.Popen[str]:
    """`sim` in a process of its own, that reads the shipped files and writes to `place`."""
    return subprocess.Popen(
        [sys.executable, "-m", "simulator", *words],
        cwd=place,
        env={**os.environ, "SIM_WORKSPACE": "", **NO_TOKEN},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **options,
    )


SLOW = '''
import time
from simulator.rules import Rule

class Slow(Rule):
    """Waits before it decides: there is time for a kill."""

    cadence = "monthly"
    part = 0.5
    seconds = 0.004

    def weights(self, market):
        time.sleep(self.seconds)
        up = market.history("SPY", last=2)
        return {"SPY": self.part} if up[-1] > up[0] else {}
'''


@contextmanager
def workspace_of_slow(place: Path) -> Iterator[Path]:
    from simulator.workspace import make_workspace

    make_workspace(place, git=False)
    (place / "strategies" / "slow.py").write_text(SLOW)
    yield place


def slow(place: Path) -> Sweep:
    workspace = Workspace(place, place)
    given = {"strategy": "slow", "symbols": ("SPY",), "first": "2024-01-01"}
    return Sweep(make_study(workspace, None, [("part", "0.01:0.6:0.01")], **given), workspace)


@pytest.mark.medium
@pytest.mark.fault("disk", "`sim sweep` is killed in the middle (kill -9)", "the same command plays what is missing")
def test_a_killed_sweep_goes_on_where_it_stopped(tmp_path: Path) -> None:
    with workspace_of_slow(tmp_path / "w") as place:
        words = [
            "sweep",
            "--strategy",
            "slow",
            "--symbols",
            "SPY",
            "--from",
            "2024-01-01",
            "--set",
            "part=0.01:0.6:0.01",
        ]
        done = sim(*words, "--threads", "1", place=place)
        sweep = slow(place)
        chunks = sweep.folder.path / "chunks"
        until = time.monotonic() + 120
        while len(list(chunks.glob("*.parquet"))) < 3 and done.poll() is None and time.monotonic() < until:
            time.sleep(0.01)
        done.kill()
        done.communicate()
        there = {path: path.stat().st_mtime_ns for path in chunks.glob("*.parquet")}
        missing = sweep.missing()
        assert 0 < len(missing) < len(sweep.spans)
        kept = {path: at for path, at in there.items() if not any(path.stem == f"{first:09}" for first, _ in missing)}
        counts: list[int] = []
        sweep.play(progress=lambda done, _: counts.append(done))
        assert len(counts) == len(missing)
        assert {path: path.stat().st_mtime_ns for path in kept} == kept
        with workspace_of_slow(tmp_path / "v") as other:
            whole = slow(other)
            whole.play()
            assert digest(whole.folder.path) == digest(sweep.folder.path)


@pytest.mark.medium
@pytest.mark.fault(
    "machine", "a worker process of a sweep is killed", "its chunks are played again, the bytes are the same"
)
def test_a_killed_worker_loses_nothing(alone: str, tmp_path: Path) -> None:
    sweep = make(tmp_path)
    sweep.play(Executor("loky", 2), progress=once(lambda: os.kill(_a_worker(), signal.SIGKILL)))
    assert digest(sweep.folder.path) == alone


def _a_worker() -> int:
    """Number of a process that loky started for this one."""
    import psutil

    workers = [one.pid for one in psutil.Process().children(recursive=True) if "loky" in " ".join(one.cmdline())]
    workers = [pid for pid in workers if "resource_tracker" not in " ".join(psutil.Process(pid).cmdline())]
    return workers[0]


@pytest.mark.medium
@pytest.mark.fault("machine", "a member of a sweep kills every worker that plays it", "one line that names the members")
def test_a_member_that_kills_its_workers_gets_one_line(tmp_path: Path) -> None:
    with workspace_of_slow(tmp_path / "w") as place:
        text = SLOW.replace("time.sleep(self.seconds)", "self.part > 0.5 and __import__('os')._exit(9)")
        (place / "strategies" / "slow.py").write_text(text)
        sweep = slow(place)
        with pytest.raises(SimError, match=r"4 workers died .* while they played members \d+ to \d+") as caught:
            sweep.play(Executor("loky", 1))
        assert "goes on from here" in str(caught.value)


@pytest.mark.medium
def test_a_member_whose_rule_fails_is_counted_and_does_not_stop_the_others(tmp_path: Path) -> None:
    with workspace_of_slow(tmp_path / "w") as place:
        (place / "strategies" / "slow.py").write_text(
            SLOW.replace("time.sleep(self.seconds)", "1 / (self.part != 0.3)")
        )
        sweep = slow(place)
        sweep.play()
        ((number, why),) = sweep.folder.failures().items()
        assert sweep.study.space.settings(number) == {"part": 0.3}
        assert "division by zero" in why
        table = sweep.folder.table()
        assert table["total_return"].isna().sum() == 1
        assert sweep.conclude().record["counts"]["failed"] == 1
        assert sweep.missing() == []


def test_where_every_member_fails_the_first_says_why(tmp_path: Path) -> None:
    with workspace_of_slow(tmp_path / "w") as place:
        (place / "strategies" / "slow.py").write_text(SLOW.replace("time.sleep(self.seconds)", "1 / 0"))
        sweep = slow(place)
        with pytest.raises(UsageError, match=r"every member failed, the first so: .*division by zero"):
            run_sweep(sweep.study, sweep.workspace)


@pytest.mark.medium
@pytest.mark.fault("disk", "the disk is full in the middle of a sweep", "one line; what is whole is kept")
def test_a_full_disk_gets_one_line_and_what_is_whole_is_kept(alone: str, tmp_path: Path) -> None:
    import resource

    # Sizes of files stand in for the size of a disk: the series of a chunk no longer fit.
    limit = lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))  # noqa: E731
    done = sim("sweep", *COMMAND, place=tmp_path, preexec_fn=limit)
    _, told = done.communicate(timeout=300)
    assert done.returncode == 1
    assert "cannot be written" in told
    assert "Traceback" not in told
    assert not list(tmp_path.rglob("*.parquet"))
    assert played(tmp_path, None) == alone


@pytest.mark.medium
def test_the_command_plays_a_shard_and_says_what_is_missing(tmp_path: Path) -> None:
    first = sim("sweep", *COMMAND, "--shard", "1/2", "--json", place=tmp_path)
    told, errors = first.communicate(timeout=300)
    assert first.returncode == 0, errors
    assert json.loads(told) == {"shard": "1/2", "chunks_missing": 8}
    assert not list(tmp_path.rglob("study.json"))
    last = sim("sweep", *COMMAND, "--shard", "2/2", "--json", place=tmp_path)
    told, errors = last.communicate(timeout=300)
    assert last.returncode == 0, errors
    assert len(list(tmp_path.rglob("study.json"))) == 1
    assert read_bytes(next(tmp_path.rglob("study.json")))


def test_a_search_that_learns_refuses_shards(tmp_path: Path) -> None:
    base, space = RunSpec("sma_cross", ("SPY",), date(2024, 1, 1)), Space((Parameter("fast", (5, 9)),), (), "tpe", 20)
    with pytest.raises(UsageError, match="leave --shard out"):
        run_shard(Study(base, space), Workspace(shipped(), tmp_path), Shard(1, 2))
