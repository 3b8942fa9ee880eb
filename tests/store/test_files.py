"""Folders are exchanged in one step, writers never fail each other, and what a killed process left is swept away."""

from __future__ import annotations

import json
import multiprocessing
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from simulator import files
from simulator.errors import SimError
from simulator.files import check_writable, name_aside, place_all, sweep, write_file
from simulator.store.folders import add_files, run_folders, write_folder

FORK = multiprocessing.get_context("fork")


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def content(number: int) -> dict[str, bytes]:
    """A folder whose every file says which version it is."""
    return {
        "run.json": json.dumps({"digest": "d", "version": number}).encode(),
        **dict.fromkeys("abcd", b"%d" % number),
    }


def write_many(parent: Path, name: str, times: int, number: int) -> None:
    for n in range(times):
        write_folder(parent, name, content(number * 1000 + n))


@pytest.mark.medium
@pytest.mark.parametrize("exchange", [True, False])
@pytest.mark.fault(
    "disk", "a run folder is replaced while it is read", "readers find the old one or the new one, whole"
)
def test_readers_find_a_whole_folder_while_two_writers_replace_it(
    exchange: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not exchange:
        monkeypatch.setattr(files, "exchange", lambda *_: False)
    write_many(tmp_path, "run", 1, 9)
    writers = [FORK.Process(target=write_many, args=(tmp_path, "run", 60, n)) for n in (1, 2)]
    for writer in writers:
        writer.start()
    seen = set()
    while any(writer.is_alive() for writer in writers):
        if exchange:
            assert (tmp_path / "run" / "run.json").is_file()  # at every moment, without a lock
        assert [path.name for path in run_folders(tmp_path)] == ["run"]
        seen.add(files.identity(tmp_path / "run"))
    assert [writer.exitcode for writer in writers] == [0, 0]
    assert len(seen) > 1  # inodes are used again: more than two need not be seen
    found = {path.read_bytes() for path in (tmp_path / "run").iterdir() if len(path.name) == 1}
    assert len(found) == 1
    assert names(tmp_path) == {"run"}


def add_many(folder: Path, name: str, times: int) -> None:
    for n in range(times):
        add_files(folder, {name: b"%d" % n})


@pytest.mark.medium
@pytest.mark.fault(
    "disk", "sim ablate or sim check writes while the run is made again", "neither fails, nothing is lost"
)
def test_what_is_added_while_a_folder_is_replaced_is_not_lost(tmp_path: Path) -> None:
    folder = write_folder(tmp_path, "run", content(0))
    added = ("ablation.json", "checks.json")
    writers = [FORK.Process(target=add_many, args=(folder, name, 80)) for name in added]
    writers.append(FORK.Process(target=write_many, args=(tmp_path, "run", 40, 1)))
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert [writer.exitcode for writer in writers] == [0, 0, 0]
    assert {name: (folder / name).read_bytes() for name in added} == dict.fromkeys(added, b"79")


def test_a_folder_moved_away_by_a_killed_writer_is_put_back(tmp_path: Path) -> None:
    """Where two names cannot be exchanged, the older folder is away for a moment: a kill then must not lose it."""
    folder = write_folder(tmp_path, "run", content(1))
    add_files(folder, {"ablation.json": b"paid for"})
    folder.rename(tmp_path / ".run.sim-999999999-1-7.old")
    (tmp_path / ".run.sim-999999999-1-6").mkdir()
    assert [path.name for path in run_folders(tmp_path)] == ["run"]
    assert (folder / "ablation.json").read_bytes() == b"paid for"
    assert names(tmp_path) == {"run"}


def test_a_process_number_given_out_again_is_not_taken_for_the_one_that_died(tmp_path: Path) -> None:
    mine, later = name_aside(tmp_path / "a"), tmp_path / f".a.sim-{os.getppid()}-1-0"
    for path in (mine, later):
        path.mkdir()
    sweep(tmp_path)
    assert names(tmp_path) == {mine.name}
    (tmp_path / ".mine.12345").write_text("a file of the user's")
    (tmp_path / ".a.sim").write_text("another")
    sweep(tmp_path)
    assert len(names(tmp_path)) == 3


@pytest.mark.medium
def test_a_folder_another_container_holds_is_left_alone(tmp_path: Path) -> None:
    """Its process cannot be seen, its lock can."""
    aside = tmp_path / ".a.sim-999999999-1-0"
    aside.mkdir()
    program = (
        "import fcntl, os, sys, time; fcntl.flock(os.open(sys.argv[1], os.O_RDONLY), fcntl.LOCK_EX); "
        "print('held', flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", program, aside], stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        holder.stdout.readline()
        sweep(tmp_path)
        assert aside.is_dir()
        holder.kill()
        holder.wait()
    sweep(tmp_path)
    assert names(tmp_path) == set()


@pytest.mark.fault(
    "disk", "sim fetch or sim init is killed between two files", "the next command moves the others: all or none"
)
def test_moves_that_a_kill_cut_short_are_finished(tmp_path: Path) -> None:
    program = (
        "import os, sys; from pathlib import Path; from simulator import files\n"
        "folder = Path(sys.argv[1]); moved = []\n"
        "replace = Path.replace\n"
        "def once(path, target):\n"
        "    if moved: os.kill(os.getpid(), 9)\n"
        "    moved.append(replace(path, target))\n"
        "Path.replace = once\n"
        "pairs = [(files.name_aside(folder / name), folder / name) for name in 'abc']\n"
        "[aside.write_text('new') for aside, _ in pairs]\n"
        "files.place_all(folder, pairs)\n"
    )
    (tmp_path / "b").write_text("old")
    subprocess.run([sys.executable, "-c", program, tmp_path], check=False)
    assert (tmp_path / "b").read_text() == "old"
    assert sweep(tmp_path)
    assert {name: (tmp_path / name).read_text() for name in names(tmp_path)} == dict.fromkeys("abc", "new")


def test_moves_that_fail_are_taken_back(tmp_path: Path) -> None:
    asides = [name_aside(tmp_path / name) for name in "ab"]
    asides[0].write_text("new")
    with pytest.raises(OSError, match="No such file"):
        place_all(tmp_path, [(asides[0], tmp_path / "a"), (asides[1], tmp_path / "b")])
    assert names(tmp_path) == {asides[0].name}


def test_a_file_is_written_though_its_folder_is_exchanged_meanwhile(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    original = Path.replace

    def vanish(path: Path, target: Path) -> Path:
        if vanish.left:  # type: ignore[attr-defined]
            vanish.left -= 1  # type: ignore[attr-defined]
            shutil.rmtree(folder)
            folder.mkdir()
        return original(path, target)

    vanish.left = 2  # type: ignore[attr-defined]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Path, "replace", vanish)
        write_file(folder / "report.html", b"page")
    assert names(folder) == {"report.html"}
    shutil.rmtree(folder)
    folder.write_text("a file")
    with pytest.raises(SimError, match="cannot be written"):
        write_file(folder / "report.html", b"page")


def test_a_folder_that_takes_no_files_is_told_in_one_line(tmp_path: Path) -> None:
    def gone(_path: Path, _target: Path) -> None:
        raise FileNotFoundError

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Path, "replace", gone)  # as /proc, which is there and takes none
        with pytest.raises(SimError, match="cannot be written"):
            write_file(tmp_path / "report.html", b"page")
    assert names(tmp_path) == set()


def test_looking_whether_a_place_can_be_written_leaves_nothing(tmp_path: Path) -> None:
    check_writable(tmp_path / "deep" / "reports")
    assert names(tmp_path) == set()


def test_a_lock_is_held_by_one_process_and_may_be_entered_again_by_its_thread(tmp_path: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from simulator.files import locked\n"
        "with locked(Path(sys.argv[1])): (Path(sys.argv[1]) / 'entered').touch()"
    )
    with files.locked(tmp_path), files.locked(tmp_path):
        other = subprocess.Popen([sys.executable, "-c", program, tmp_path])
        time.sleep(0.3)
        assert not (tmp_path / "entered").exists()
    assert other.wait() == 0
    assert (tmp_path / "entered").exists()
