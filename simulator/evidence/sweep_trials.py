"""Sweeps among the results of a workspace: what the store keeps of one, and those that only their folders tell of."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, cast

from simulator.errors import DataError
from simulator.files import read_bytes

if TYPE_CHECKING:  # lists of runs are wanted at once
    from simulator.evidence.sweep_records import SweepRecord, SweptRow

STUDY = "study.json"


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
    known = {(row["run_id"], row["digest"]) for row in results}
    seen = {str(row["folder"]): str(row["last_run_at"]) for row in results}
    found = []
    for path in sorted(reports.glob(f"sweep-*/{STUDY}")):
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
