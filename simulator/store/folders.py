"""Run folders: written whole or not at all, read back as plain data.

    reports/.<name>.<pid>/ ──rename──► reports/<name>/

A name without a leading dot is a complete run. What a killed run left behind starts with a dot and is swept away by
the next run of the same name.
"""

from __future__ import annotations

import csv
import io
import json
import os
import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from simulator.errors import DataError, SimError, UsageError, did_you_mean

PARTIAL = "-partial"

ADDED_LATER = ("ablation.json", "ablation.html", "checks.json", "checks.html")
"""Files that other commands add to a run's folder, about the result in it."""


def write_folder(
    parent: Path, name: str, files: Mapping[str, bytes], finish: Callable[[Path], object] | None = None
) -> Path:
    """Write `files` to ``parent/name`` and return it; an older folder of that name is replaced in one step.

    Names of files may hold folders: ``accounts/COUNCIL/fills.csv``. `finish` may add files of its own (the report)
    while the folder still stands aside. Raises SimError (exit 1), and leaves nothing, when the place cannot be written.
    """
    target, staging = parent / name, parent / f".{name}.{os.getpid()}"
    try:
        parent.mkdir(parents=True, exist_ok=True)
        for stale in parent.glob(f".{name}.*"):
            if not _is_alive(stale.name.removesuffix(".old").rpartition(".")[2]):
                shutil.rmtree(stale, ignore_errors=True)
        staging.mkdir()
        for file, content in files.items():
            (staging / file).parent.mkdir(parents=True, exist_ok=True)
            (staging / file).write_bytes(content)
        if finish is not None:
            finish(staging)
        if target.exists():
            # Two renames, for a folder cannot be renamed onto another. After a kill in between the same command makes
            # the run again.
            old = target.rename(staging.with_name(f"{staging.name}.old"))
            staging.rename(target)
            shutil.rmtree(old)
        else:
            staging.rename(target)
    except OSError as error:
        raise SimError(
            f"cannot be written ({error.strerror})", where=str(parent), mend="free space or choose --workspace"
        ) from None
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    return target


def write_file(path: Path, content: bytes) -> Path:
    """Write a file in one step, its folder made where needed. Raises SimError when the place cannot be written."""
    aside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        aside.write_bytes(content)
        aside.replace(path)
    except OSError as error:
        aside.unlink(missing_ok=True)
        mend = "free space or make the folder writable"
        raise SimError(f"cannot be written ({error.strerror})", where=str(path), mend=mend) from None
    return path


def _is_alive(process: str) -> bool:
    """True while another process of that number is at work: two may make the same run at once."""
    if not process.isdigit() or int(process) == os.getpid():
        return False
    try:
        os.kill(int(process), 0)
    except ProcessLookupError:
        return False
    except OSError:
        pass
    return True


def partial_name(name: str) -> str:
    """Name of the folder of a run that stopped early; the whole run has `name`."""
    return name + PARTIAL


def is_partial(folder: str) -> bool:
    """True where a run folder of that name holds less than was asked for."""
    return folder.endswith(PARTIAL)


def remove_folder(parent: Path, name: str) -> None:
    """Remove ``parent/name`` where there is one. Raises SimError when it cannot be removed."""
    try:
        shutil.rmtree(parent / name)
    except FileNotFoundError:
        return
    except OSError as error:
        raise SimError(f"cannot be removed ({error.strerror})", where=str(parent / name)) from None


def added_later(folder: Path, digest: str) -> dict[str, bytes]:
    """{file: content} of ADDED_LATER in `folder`, where it holds the result `digest`: a rerun keeps them."""
    try:
        if json.loads((folder / "run.json").read_bytes()).get("digest") != digest:
            return {}
        return {name: (folder / name).read_bytes() for name in ADDED_LATER if (folder / name).is_file()}
    except (OSError, ValueError):
        return {}


def run_folders(parent: Path) -> list[Path]:
    """Complete run folders, oldest name first."""
    if not parent.is_dir():
        return []
    return sorted(p for p in parent.iterdir() if not p.name.startswith(".") and (p / "run.json").is_file())


def find_run(parent: Path, name: str) -> Path:
    """Find the run whose folder or id is `name` or begins so; ``last`` is the one written last.

    Raises UsageError when none or more than one matches.
    """
    direct = Path(name)
    if (direct / "run.json").is_file():
        return direct
    folders = run_folders(parent)
    if name == "last" and folders:
        return max(folders, key=lambda p: (p / "runtime.json").stat().st_mtime)
    ids = {p: p.name.removesuffix(PARTIAL).rpartition("-")[2] for p in folders}
    exact = [p for p in folders if p.name == name]
    found = exact or [p for p in folders if p.name.startswith(name) or ids[p].startswith(name)]
    if len(found) == 2 and found[1].name == partial_name(found[0].name):
        found = found[:1]
    if len(found) == 1:
        return found[0]
    if found:
        raise UsageError(f'"{name}" fits {len(found)} runs: {", ".join(p.name for p in found[:3])} …')
    near = did_you_mean(name, [p.name for p in folders])
    raise UsageError(f'no run "{name}" in {parent}{near}', mend="`sim runs` lists them")


def read_lines(path: Path) -> list[dict[str, Any]]:
    """The objects of a JSONL file. Raises DataError naming the line."""
    rows: list[dict[str, Any]] = []
    try:
        with path.open(encoding="utf-8") as lines:
            for line in lines:
                rows.append(json.loads(line))
    except OSError as error:
        raise DataError(f"cannot be read ({error.strerror})", where=str(path)) from None
    except ValueError:
        where = f"{path}:{len(rows) + 1}"
        raise DataError("is not JSON", where=where, mend="run the same `sim run` again") from None
    return rows


def json_bytes(value: Any) -> bytes:
    """Readable JSON, keys in their order, one trailing newline."""
    return (json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False) + "\n").encode()


def jsonl_bytes(rows: Iterable[Mapping[str, Any]]) -> bytes:
    """One compact JSON object per line."""
    lines = (json.dumps(r, ensure_ascii=False, allow_nan=False, separators=(",", ":")) + "\n" for r in rows)
    return "".join(lines).encode()


def csv_bytes(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> bytes:
    """CSV with full-precision numbers; None is an empty field."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(rows)
    return out.getvalue().encode()
