"""The folder of a sweep verified: chunks held against their seals, study.json against them, and the store against it.

chunks/*.parquet, *.npy ──sha256──► seal of the Parquet file ──all members──► `digest` of study.json
study.json ─────────────────sha256──► `run.recorded` in the store
inference.parquet, verdict.json ────► `part.added` in the store

sweep.html and runtime.json stand in no digest.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from simulator import files
from simulator.errors import DataError, SimError
from simulator.evidence.sweep_records import SEAL, SealRecord
from simulator.evidence.sweep_trials import STUDY, read_study
from simulator.evidence.verify import ELSEWHERE, verification_row
from simulator.stats.series import Floats
from simulator.workspace import Workspace

PARTS = ("inference.parquet", "verdict.json")
"""Files that stand in the store beside study.json."""

SUMS = "sums:"
"""Beginning of what a seal says of a series; earlier versions wrote the sha256 of its file."""

UNFINISHED = "is not finished: the same `sim sweep` plays what is missing"


def read_seal(path: Path) -> SealRecord:
    """Return the seal of a chunk. Raises OSError, KeyError and ValueError where there is none."""
    import pyarrow.parquet as pq

    seal: SealRecord = json.loads((pq.read_schema(path).metadata or {})[SEAL])
    return seal


def digests_of(path: Path, seal: SealRecord) -> Mapping[str, str]:
    """Return the digests of a chunk's table at `path` and of the series beside it, of the kind its `seal` has. Raises
    OSError and ValueError where they cannot be read."""
    import pyarrow.parquet as pq

    with path.with_suffix(".npy").open("rb") as file:
        summed = seal["beyond"].startswith(SUMS)
        beyond = _sums_in(file) if summed else hashlib.file_digest(file, "sha256").hexdigest()
    return {"table": table_digest(pq.read_table(path)), "beyond": beyond}


def _sums_in(file: BinaryIO) -> str:
    """Return `series_digest` of a whole file; empty where it holds no series, or more than one."""
    try:
        series = np.load(file, allow_pickle=False)
        return series_digest(series) if not file.read(1) else ""
    except (ValueError, EOFError):
        return ""


def series_head(series: Floats) -> bytes:
    """Return what stands before `series` in its file: the header of .npy."""
    head = io.BytesIO()
    np.lib.format.write_array_header_1_0(head, np.lib.format.header_data_from_array_1_0(series))
    return head.getvalue()


def series_digest(series: Floats) -> str:
    """Digest of the sums of `series` (R, S) by row and by column, its numbers taken as whole ones, bit by bit.

    A number that is damaged changes a sum of each kind. sha256 of them all would take a seventh of a sweep's time; that
    is taken once all members are in (`members_digest`).
    """
    words, found = series.view(np.uint64), hashlib.sha256(series_head(series))
    for axis in (0, 1):
        found.update(words.sum(axis=axis).data)
    return SUMS + found.hexdigest()


def table_digest(table: Any) -> str:
    """sha256 (hex) of the columns of a pyarrow table."""
    import pyarrow as pa

    out = io.BytesIO()
    with pa.ipc.new_stream(out, table.schema.remove_metadata()) as stream:
        stream.write_table(table.replace_schema_metadata(None).combine_chunks())
    return hashlib.sha256(out.getbuffer()).hexdigest()


def members_digest(blocks: Iterable[Floats], columns: Iterable[tuple[Any, Any]]) -> str:
    """sha256 (hex) of every member's d, settings and measures."""
    found = hashlib.sha256()
    for rows in blocks:
        found.update(np.ascontiguousarray(rows).data)
    for name, column in columns:
        found.update(repr((name, column.tolist())).encode())
    return found.hexdigest()


def verify_sweep(workspace: Workspace, folder: Path) -> dict[str, object]:
    """Return what `sim verify --json` prints of the sweep in `folder`."""
    changed = _changed_chunks(folder)
    if not (folder / STUDY).is_file():
        state = "changed" if changed else "unrecorded"
        return verification_row(folder.name, None, state, tuple(changed), (UNFINISHED,))
    try:
        known = read_study(folder)["identity"]
    except DataError as error:
        return verification_row(folder.name, None, "changed", (*changed, str(error)))
    if not changed and _digest_in(folder) != known["digest"]:
        changed.append(f"chunks hold other members than {STUDY} was made of")
    if not folder.name.endswith(f"-{known['run_id']}"):
        changed.append(f"the folder is named {folder.name}, but holds the sweep {known['run_id']}")
    recorded, notes = _ask_store(workspace, folder, known["run_id"], known["digest"], changed)
    state = "changed" if changed else "verified" if recorded else "unrecorded"
    return verification_row(folder.name, known, state, tuple(changed), notes)


def _changed_chunks(folder: Path) -> list[str]:
    changed, studies = [], set[str]()
    tables = sorted((folder / "chunks").glob("*.parquet"))
    for path in tables:
        name = f"chunks/{path.name}"
        try:
            seal = read_seal(path)
            now = digests_of(path, seal)
        except FileNotFoundError:
            changed.append(f"chunks/{path.stem}.npy is missing")
            continue
        except (OSError, KeyError, ValueError):
            changed.append(f"{name} cannot be read")
            continue
        parts = ((name, seal["table"], now["table"]), (f"chunks/{path.stem}.npy", seal["beyond"], now["beyond"]))
        changed += [f"{part} has changed since it was played" for part, was, found in parts if was != found]
        studies.add(seal["study"])
        if len(studies) > 1:
            changed.append(f"{name} is of another study")
            studies.discard(seal["study"])
    stems = {path.stem for path in tables}
    series = sorted(path.stem for path in (folder / "chunks").glob("*.npy"))
    return [*changed, *(f"chunks/{stem}.parquet is missing" for stem in series if stem not in stems)]


def _digest_in(folder: Path) -> str:
    import pandas as pd

    paths = sorted((folder / "chunks").glob("*.parquet"))
    table = pd.concat([pd.read_parquet(path) for path in paths], ignore_index=True) if paths else pd.DataFrame()
    return members_digest((np.load(path.with_suffix(".npy")) for path in paths), table.items())


def _ask_store(
    workspace: Workspace, folder: Path, run_id: str, digest: str, changed: list[str]
) -> tuple[bool, tuple[str, ...]]:
    """Add to `changed` what the store knows otherwise; return whether it knows study.json, and notes."""
    from simulator.store.connection import store_place
    from simulator.store.evidence import read_evidence

    try:
        stored = read_evidence(store_place(workspace.registry), {run_id})
    except SimError as error:
        return False, (f"not held against the store: {error}",)
    payloads = [one.event.payload for one in stored if one.digest == digest]
    studies = {payload["run_json"] for payload in payloads if "run_json" in payload}
    recorded = _sha256(folder / STUDY) in studies
    if studies and not recorded:
        changed.append(f"{STUDY} is not the one that was recorded")
    for name in PARTS:
        known = {payload["parts"][name] for payload in payloads if name in payload.get("parts", {})}
        if known and _sha256(folder / name) not in known:
            there = (folder / name).is_file()
            changed.append(f"{name} {'has changed since it was written' if there else 'is missing'}")
    return recorded, () if recorded or studies else (ELSEWHERE.replace("run.json", STUDY),)


def _sha256(path: Path) -> str | None:
    try:
        return hashlib.sha256(files.read_bytes(path)).hexdigest()
    except OSError:
        return None
