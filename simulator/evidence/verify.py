"""The digest of a result, over the files that hold it, and whether a folder still has it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

from simulator.errors import DataError
from simulator.evidence.records import RunRecord

RESULT_FILES = ("decisions.jsonl", "orders.csv", "fills.csv", "rejected.csv", "equity.csv", "weights.csv")
FURTHER = ("decisions-replicate-", "accounts/")
"""Beginnings of the names of further files of a result."""


def result_digest(files: Mapping[str, bytes]) -> str:
    """sha256 (hex) over the result files, decisions of further replicates and the other accounts, names included."""
    h = hashlib.sha256()
    for name in (*RESULT_FILES, *sorted(name for name in files if name.startswith(FURTHER))):
        h.update(name.encode() + b"\0" + files[name] + b"\0")
    return h.hexdigest()


def verify(folder: Path, run: RunRecord) -> None:
    """Raise DataError where the result files in `folder` are not those whose digest stands in its run.json `run`."""
    mend = f"`{run['command']}` writes it again"
    paths = [*(folder / name for name in RESULT_FILES), *folder.glob("decisions-replicate-*.jsonl")]
    paths += [path for path in folder.glob("accounts/*/*") if path.name in RESULT_FILES]
    try:
        found = result_digest({path.relative_to(folder).as_posix(): path.read_bytes() for path in paths})
    except OSError as error:
        raise DataError(f"cannot be read ({error.strerror})", where=str(error.filename), mend=mend) from None
    if found != run["digest"]:
        mismatch = f"holds another result ({found[:10]}) than run.json names ({run['digest'][:10]})"
        raise DataError(mismatch, where=str(folder), mend=mend)
