"""Sweeps among the results of a workspace: what the store keeps of one, and those that only their folders tell of."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, cast

from simulator.errors import DataError
from simulator.files import read_bytes

if TYPE_CHECKING:  # lists of runs are wanted at once
    from simulator.evidence.sweep_records import SweepRecord, SweptRow

STUDY, BEGUN = "study.json", "begun.json"


@dataclass(frozen=True)
class UnrecordedSweep:
    """A finished sweep that the store does not know, and when it was written (ISO, UTC)."""

    folder: Path
    record: SweepRecord
    written_at: str

    @property
    def row(self) -> Mapping[str, object]:
        """The folder as a row of the registry, though it has none."""
        facts = sweep_facts(self.record)
        at = {"first_run_at": self.written_at, "last_run_at": self.written_at}
        span = {"first": facts["from"], "last": facts["to"]}
        return {**facts, **span, **at, "folder": self.folder.name, "partial": False, "times": 1, "event": None}


def read_study(folder: Path) -> SweepRecord:
    """Return study.json of the sweep in `folder`. Raises DataError where it is not one."""
    from simulator.evidence.schema import MismatchError, check
    from simulator.evidence.sweep_records import SweepRecord

    path = folder / STUDY
    try:
        found: SweepRecord = json.loads(read_bytes(path))
        check(SweepRecord, found)
    except OSError as error:
        raise DataError(f"cannot be read ({error.strerror})", where=str(path), mend="sweep again") from None
    except (ValueError, RecursionError, MismatchError) as error:
        raise DataError(f"is no study ({error})", where=str(path), mend="sweep again") from None
    return found


def sweep_facts(record: SweepRecord, rows: Iterable[Mapping[str, object]] = ()) -> dict[str, object]:
    """Return what the store keeps of a sweep: one row, however many members it has. ``metrics`` are the best member's,
    ``sweep`` is what a run beside it is judged by; paths that earlier walk-forwards of it played are those of `rows`.
    """
    known, found, walked = record["identity"], record["inference"], record.get("walk_forward")
    kept = ("run_id", "strategy", "symbols", "from", "to", "digest", "data_digest", "command", "bar_months")
    facts: dict[str, object] = {name: value for name, value in known.items() if name in kept}
    swept = {one["name"]: one["values"][:20] or one["spread"] for one in record["study"]["parameters"]}
    same = (cast("SweptRow | None", row.get("sweep")) for row in rows if row["digest"] == known["digest"])
    paths = dict.fromkeys(digest for swept in same if swept for digest in swept.get("paths", ()))
    if walked and walked["path"]:
        paths[walked["path"]["digest"]] = None
    swept_row: SweptRow = {
        **record["counts"],
        "effective": found["effective"],
        "p": found["p"],
        "ratio_mean": found["ratio_mean"],
        "ratio_sd": found["ratio_sd"],
        "ratio_skew": found["ratio_skew"],
        "ratio_kurtosis": found["ratio_kurtosis"],
        "sharpe_mean": found["sharpe_mean"],
        "sharpe_sd": found["sharpe_sd"],
        "null_best": found["null_best"],
        "null_t": found["null_t"],
        "draws": found["draws"],
        "block": found["block"],
        "seed": found["seed"],
        "sessions": known["sessions"],
        "paths": list(paths),
    }
    return {
        **facts,
        "definition": known["definition"],
        "parameters": {**record["study"]["fixed"], **swept},
        "metrics": record["best"]["measures"],
        "sessions": known["sessions"],
        "sweep": swept_row,
    }


def unrecorded_sweeps(results: Sequence[Mapping[str, object]], reports: Path) -> list[UnrecordedSweep]:
    """Return the finished sweeps of `reports` whose result is not among `results`, the oldest first."""
    if not (folders := _sweep_folders(reports)):
        return []
    known = {(row["run_id"], row["digest"]) for row in results}
    seen = {str(row["folder"]): str(row["last_run_at"]) for row in results}
    found = []
    for path in (folder / STUDY for folder in folders):
        try:
            at = datetime.fromtimestamp(path.stat().st_mtime, UTC).isoformat(timespec="microseconds")
            if at <= seen.get(path.parent.name, ""):
                continue
            record = read_study(path.parent)
            if (record["identity"]["run_id"], record["identity"]["digest"]) not in known:
                found.append(UnrecordedSweep(path.parent, record, at))
        except (DataError, OSError):
            continue  # of another version, or replaced meanwhile
    return sorted(found, key=lambda one: one.written_at)


def _sweep_folders(reports: Path) -> list[Path]:
    # Not by a pattern of pathlib, which takes a second for a hundred thousand runs beside them.
    names = os.listdir(reports) if reports.is_dir() else []
    return [reports / name for name in sorted(names) if name.startswith("sweep-")]


def unfinished_sweeps(reports: Path) -> tuple[list[Mapping[str, object]], list[str]]:
    """Return a row of the registry for each sweep in `reports` that was stopped, or is being played, and the names of
    folders with members that nothing tells the strategy and bars of."""
    rows, unknown = list[Mapping[str, object]](), []
    for folder in _sweep_folders(reports):
        if not (folder / STUDY).is_file() and any(folder.glob("chunks/*.parquet")):
            row = read_begun(folder)
            rows += [row] if row else []
            unknown += [] if row else [folder.name]
    return rows, unknown


def read_begun(folder: Path) -> Mapping[str, object] | None:
    """Return the members that are done of the unfinished sweep in `folder` as a row of the registry, partial; None
    where none is, or begun.json is not there. No step-down is made of them, so they have no p."""
    import numpy as np
    from pyarrow import parquet

    from simulator.evidence.reader import read_checked
    from simulator.evidence.sweep_records import SEAL, SweepOrigin, SweptRow

    known, digest, found = None, hashlib.sha256(), [np.zeros(0)]
    with suppress(DataError):
        known = cast(SweepOrigin, read_checked(folder / BEGUN, SweepOrigin, "sweep again"))
    for path in sorted((folder / "chunks").glob("*.parquet")) if known else ():
        with suppress(OSError, ValueError, KeyError):  # damaged, or replaced meanwhile
            table = parquet.read_table(path)
            digest.update((table.schema.metadata or {})[SEAL])
            found.append(table["sharpe"].to_numpy().astype(np.float64))
    sharpe = np.concatenate(found)
    if known is None or not sharpe.size:
        return None
    there, size = sharpe[np.isfinite(sharpe)], sharpe.size
    nothing: dict[str, None] = dict.fromkeys(("ratio_mean", "ratio_sd", "ratio_skew", "ratio_kurtosis"))
    swept: dict[str, object] = {
        "members": size,
        "failed": 0,
        "idle": 0,
        "few_decisions": 0,
        "tested": 0,
        "effective": float(size),
        "p": 1.0,
        **nothing,
        "null_t": [],
        "draws": 0,
        "block": 1.0,
        "seed": 0,
        "sessions": known["sessions"],
        "sharpe_mean": float(there.mean()) if there.size else None,
        "sharpe_sd": float(there.std(ddof=1)) if there.size > 1 else None,
    }
    at = datetime.fromtimestamp((folder / BEGUN).stat().st_mtime, UTC).isoformat(timespec="microseconds")
    row = {**known, "digest": digest.hexdigest(), "first": known["from"], "last": known["to"], "folder": folder.name}
    told = {"partial": True, "times": 1, "event": None, "first_run_at": at, "last_run_at": at}
    return {**row, **told, "parameters": {}, "metrics": {}, "sweep": cast(SweptRow, swept)}
