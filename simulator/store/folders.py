"""Run folders: written whole or not at all, read back as plain data.

    reports/.<name>.sim-<process>/ ──exchange──► reports/<name>/

A name without a leading dot is a complete run. What a killed run left behind starts with a dot and is swept away by
the next command that looks into the folder.
"""

from __future__ import annotations

import csv
import io
import json
import os
import re
import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import chain, islice
from pathlib import Path
from typing import Any

from simulator import files as on_disk
from simulator.errors import DataError, SimError, UsageError, did_you_mean
from simulator.files import locked, write_file
from simulator.number_format import counted
from simulator.printing import say

PARTIAL = "-partial"

NAMED = re.compile(rf".+(-\d{{4}}-\d\d-\d\d){{2}}-[0-9a-f]{{10}}({PARTIAL})?")
"""Names of run folders."""
COMPARED = re.compile(r"compare(-[0-9a-f]{10}){2,}")
"""Names of folders of comparisons."""

ADDED_LATER = ("ablation.json", "ablation.html", "checks.json", "checks.html", "factors.json", "comparisons.json")
"""Files that other commands add to a run's folder, about the result in it."""


def write_folder(
    parent: Path,
    name: str,
    files: Mapping[str, bytes],
    finish: Callable[[Path], object] | None = None,
    record: Callable[[], object] | None = None,
) -> Path:
    """Write `files` to ``parent/name`` and return it; an older folder of that name is replaced in one step.

    Names of files may hold folders: ``accounts/COUNCIL/fills.csv``. `finish` may add files of its own (the report)
    while the folder still stands aside, and `record` is called when it is whole and not yet in its place. A folder of
    the same result hands on what was ADDED_LATER, up to the last moment. Raises SimError (exit 1), and leaves nothing,
    when the place cannot be written.
    """
    target = parent / name
    digest = _digest_in(files.get("run.json", b""))
    try:
        parent.mkdir(parents=True, exist_ok=True)
        with on_disk.folder_aside(target) as staging:
            for file, content in files.items():
                (staging / file).parent.mkdir(parents=True, exist_ok=True)
                (staging / file).write_bytes(content)
            added: Mapping[str, bytes] | None = None
            while True:
                with locked(parent):
                    latest = added_later(target, digest) if digest else {}
                    if latest == added and record is None:
                        on_disk.place_folder(staging, target)
                        return target
                if latest != added:
                    for file in added or ():
                        (staging / file).unlink()
                    for file, content in latest.items():
                        (staging / file).write_bytes(content)
                    if finish is not None:
                        finish(staging)
                    added = latest
                elif record is not None:
                    record()
                    record = None
    except OSError as error:
        raise SimError(
            f"cannot be written ({error.strerror})", where=str(parent), mend="free space or choose --workspace"
        ) from None


def add_files(folder: Path, content: Mapping[str, bytes]) -> None:
    """Put files into a run folder, each in one step. Raises SimError when they cannot be written."""
    with locked(folder.parent):
        for name, data in content.items():
            write_file(folder / name, data)


def folder_name(strategy: str, first: str, last: str, run_id: str) -> str:
    """Name of the folder of a whole run."""
    return f"{strategy}-{first}-{last}-{run_id}"


def partial_name(name: str) -> str:
    """Name of the folder of a run that stopped early; the whole run has `name`."""
    return name + PARTIAL


def is_partial(folder: str) -> bool:
    """True where a run folder of that name holds less than was asked for."""
    return folder.endswith(PARTIAL)


def run_id_of(folder: str) -> str:
    """Id of the run whose folder has that name."""
    return folder.removesuffix(PARTIAL).rpartition("-")[2]


def remove_folder(parent: Path, name: str) -> None:
    """Remove ``parent/name`` where there is one. Raises SimError when it cannot be removed."""
    gone = on_disk.name_aside(parent / name)
    try:
        # In one step for readers: files would vanish one by one.
        (parent / name).rename(gone)
        shutil.rmtree(gone)
    except FileNotFoundError:
        return
    except OSError as error:
        raise SimError(f"cannot be removed ({error.strerror})", where=str(parent / name)) from None


def added_later(folder: Path, digest: str) -> dict[str, bytes]:
    """{file: content} of ADDED_LATER in `folder`, where it holds the result `digest`: a rerun keeps them."""
    try:
        if _digest_in(on_disk.read_bytes(folder / "run.json")) != digest:
            return {}
        return {name: on_disk.read_bytes(folder / name) for name in ADDED_LATER if (folder / name).is_file()}
    except OSError:
        return {}


def _digest_in(run_json: bytes) -> str | None:
    try:
        found: str | None = json.loads(run_json).get("digest")
    except (ValueError, RecursionError, AttributeError):
        return None
    return found


def run_folders(parent: Path) -> list[Path]:
    """Complete run folders, oldest name first; what killed commands left beside them is swept away."""
    if not parent.is_dir():
        return []
    with locked(parent):
        on_disk.sweep(parent)
        return sorted(p for p in parent.iterdir() if not p.name.startswith(".") and (p / "run.json").exists())


def dated_folders(parent: Path) -> dict[str, int]:
    """{name of a complete run folder: nanoseconds at which its run.json was written}, oldest name first."""
    if not parent.is_dir():
        return {}
    found = {}
    with locked(parent):
        on_disk.sweep(parent)
        for entry in sorted(entry for entry in os.listdir(parent) if not entry.startswith(".")):
            try:
                found[entry] = os.stat(f"{parent}/{entry}/run.json").st_mtime_ns
            except OSError:
                continue
    return found


def find_run(parent: Path, name: str) -> Path:
    """Find the run whose folder or id is `name` or begins so; ``last`` is the one that a person made last, and what is
    passed over is told on stderr.

    Raises UsageError when none or more than one matches.
    """
    direct = Path(name)
    if os.path.exists(direct / "run.json"):  # False for a name too long for a file, where Path.exists raises
        return direct
    folders = run_folders(parent)
    if name == "last" and folders:
        folder, newer = find_last(parent)
        if newer:
            passed_over = counted(len(newer), "newer run")
            say(f"sim: last is {folder.name}; passed over: {passed_over} that tools asked for", err=True)
        return folder
    ids = {p: run_id_of(p.name) for p in folders}
    exact = [p for p in folders if p.name == name]
    found = exact or [p for p in folders if p.name.startswith(name) or ids[p].startswith(name)]
    if len(found) == 2 and found[1].name == partial_name(found[0].name):
        found = found[:1]
    if len(found) == 1:
        return found[0]
    if found:
        raise UsageError(f'"{name}" fits {len(found)} runs: {", ".join(p.name for p in found[:3])} …')
    sweeps = parent.glob("sweep-*")
    swept = [p for p in sweeps if name == "last" or name in (p.name, p.name.rpartition("-")[2])]
    if swept:
        newest = max(swept, key=written_at).name
        raise UsageError(f"{newest} is a sweep, not a run", mend=f"`sim report {newest}` shows it and what was counted")
    near = did_you_mean(name, [p.name for p in folders])
    raise UsageError(f'no run "{name}" in {parent}{near}', mend="`sim runs` lists them")


def find_last(parent: Path) -> tuple[Path, list[Path]]:
    """Return the run that a person made last, and those that tools asked for since, newest first: what a model tries
    is no account of whom it works for. Raises UsageError where there is none."""
    newer: list[Path] = []
    for folder in sorted(run_folders(parent), key=written_at, reverse=True):
        if is_of_person(folder):
            return folder, newer
        newer.append(folder)
    if newer:
        found = f"every run in {parent} was asked for by a tool"
        raise UsageError(found, mend=f"name one, e.g. {newer[0].name}, or `sim run` first")
    return find_run(parent, "last"), []


def is_of_person(folder: Path) -> bool:
    """True of a run folder that no tool asked for, as far as is known."""
    try:
        return bool(json.loads(on_disk.read_text(folder / "runtime.json")).get("asked_by") != "tool")
    except (OSError, ValueError, RecursionError, AttributeError):
        return (folder / "run.json").is_file()


def written_at(folder: Path) -> float:
    """Seconds since the epoch at which a run folder was written; 0 where it is gone."""
    found = (path for path in (folder / "runtime.json", folder / "run.json") if path.is_file())
    return next((path.stat().st_mtime for path in found), 0.0)


def read_lines(path: Path) -> list[dict[str, Any]]:
    """The objects of a JSONL file. Raises DataError naming the line."""
    rows: list[dict[str, Any]] = []
    try:
        text = on_disk.read_text(path).removesuffix("\n")
        for line in text.split("\n") if text else ():
            rows.append(json.loads(line))
    except OSError as error:
        raise DataError(f"cannot be read ({error.strerror})", where=str(path)) from None
    except (ValueError, RecursionError):
        where = f"{path}:{len(rows) + 1}"
        raise DataError("is not JSON", where=where, mend="run the same `sim run` again") from None
    return rows


def json_bytes(value: Any) -> bytes:
    """Readable JSON, keys in their order, one trailing newline; half a surrogate pair is written as its escape."""
    return (json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False) + "\n").encode(errors="backslashreplace")


def jsonl_bytes(rows: Iterable[Mapping[str, Any]]) -> bytes:
    """One compact JSON object per line."""
    write = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode
    return b"".join(f"{write(row)}\n".encode(errors="backslashreplace") for row in rows)


def csv_bytes(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> bytes:
    """CSV with full-precision numbers; None is an empty field."""
    content, given = [], chain([columns], rows)
    while some := list(islice(given, 4096)):  # io.StringIO takes four bytes a character
        out = io.StringIO()
        csv.writer(out, lineterminator="\n").writerows(some)
        content.append(out.getvalue().encode())
    return b"".join(content)
