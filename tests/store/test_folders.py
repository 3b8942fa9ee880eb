"""Run folders appear whole or not at all."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from simulator.errors import DataError, SimError, UsageError
from simulator.store.folders import find_run, json_bytes, jsonl_bytes, read_lines, run_folders, write_folder

FILES = {"run.json": b"{}", "runtime.json": b"{}"}


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_a_folder_is_written_with_what_finishes_it(tmp_path: Path) -> None:
    folder = write_folder(tmp_path, "a", FILES, lambda aside: (aside / "report.html").write_text("page"))
    assert names(folder) == {*FILES, "report.html"}
    assert names(tmp_path) == {"a"}


def test_a_folder_that_cannot_be_finished_leaves_the_older_one_as_it_was(tmp_path: Path) -> None:
    write_folder(tmp_path, "a", {"run.json": b"old"})

    def fail(_: Path) -> None:
        raise OSError(28, "No space left on device")

    with pytest.raises(SimError, match="No space left on device"):
        write_folder(tmp_path, "a", FILES, fail)
    assert (tmp_path / "a" / "run.json").read_bytes() == b"old"
    assert names(tmp_path) == {"a"}


def test_what_a_killed_run_left_is_swept_away_and_what_another_still_writes_is_not(tmp_path: Path) -> None:
    dead, alive = tmp_path / ".a.999999999", tmp_path / f".a.{os.getppid()}"
    dead.mkdir(), alive.mkdir()
    write_folder(tmp_path, "a", FILES)
    assert names(tmp_path) == {"a", alive.name}


def test_folders_with_a_dot_are_no_runs(tmp_path: Path) -> None:
    write_folder(tmp_path, "a-1", FILES)
    write_folder(tmp_path, ".b-2", FILES)
    assert [p.name for p in run_folders(tmp_path)] == ["a-1"]


def test_a_run_is_found_by_id_beginning_or_as_the_last(tmp_path: Path) -> None:
    write_folder(tmp_path, "sma-2024-01-01-2024-12-30-abc", FILES)
    newer = write_folder(tmp_path, "sma-2024-01-01-2024-12-30-abd", FILES)
    os.utime(newer / "runtime.json", (2e9, 2e9))
    assert find_run(tmp_path, "abd") == find_run(tmp_path, "last") == newer
    with pytest.raises(UsageError, match="fits 2 runs"):
        find_run(tmp_path, "sma")
    with pytest.raises(UsageError, match="did you mean"):
        find_run(tmp_path, "sma-2024-01-01-2024-12-30-abx")


def test_a_broken_line_is_named(tmp_path: Path) -> None:
    (tmp_path / "x.jsonl").write_text('{"a": 1}\n{"a": \n')
    with pytest.raises(DataError, match=r"x\.jsonl:2: is not JSON"):
        read_lines(tmp_path / "x.jsonl")


def test_half_a_surrogate_pair_is_written_and_read_back() -> None:
    value = {"strategy": "a\ud800b \U0001f600"}
    assert json.loads(json_bytes(value)) == json.loads(jsonl_bytes([value])) == value
