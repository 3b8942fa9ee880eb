"""The folder of a sweep as Python has it: its records, and settings and measures of all members as columns.

study.json, verdict.json, runtime.json ──► facts, verdict, runtime
chunks/*.parquet, inference.parquet ─────► settings {name: (R,)}, measures {name: (R,)}, in the order of the members
"""

from __future__ import annotations

import json
import os
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, cast

import numpy as np

from simulator.errors import DataError
from simulator.evidence.reader import read_checked
from simulator.evidence.sweep_records import SEAL, ParameterRecord, SweepRecord, SweepRuntime, SweepVerdict
from simulator.number_format import write_setting
from simulator.stats.series import Floats

STUDY, VERDICT, RUNTIME, INFERENCE = "study.json", "verdict.json", "runtime.json", "inference.parquet"
AGAIN = "type the same `sim sweep` again, it plays what is missing"
RATIO = "ratio"
"""Measure by which members are ranked: what they earned beyond their exposure over its deviation, a year."""


@dataclass(frozen=True, eq=False)
class SweepEvidence:
    """A sweep as its folder has it.

    Attributes
    ----------
    verdict, runtime : None where there is no such file
    settings : {parameter: R values}
    failures : {member: why it could not be played}
    measures : {name: (R,) float64}, NaN where undefined; ``ratio``, ``t`` and ``p`` are those of the inference
    """

    folder: Path
    facts: SweepRecord
    verdict: SweepVerdict | None
    runtime: SweepRuntime | None
    settings: Mapping[str, Sequence[Any]]
    measures: Mapping[str, Floats]
    failures: Mapping[int, str] = field(default_factory=dict)

    @property
    def best(self) -> int:
        """Member the verdict speaks of."""
        return self.facts["best"]["member"]

    @property
    def grid(self) -> bool:
        """True where members are all combinations of listed values."""
        return self.facts["study"]["search"] == "grid"

    @cached_property
    def base_command(self) -> str:
        """The `sim run` of every member without its parameters; empty where the strategy was passed from Python."""
        words, kept = iter(shlex.split(self.facts["best"]["command"])), []
        for word in words:
            if word == "--set":
                next(words, "")
            else:
                kept.append(word)
        return shlex.join(kept) if kept[:2] == ["sim", "run"] else ""

    @property
    def fixed(self) -> Mapping[str, object]:
        """Parameters that all members share."""
        return self.facts["study"]["fixed"]

    def command(self, number: int) -> str:
        """Return the `sim run` that gives member `number` by itself; without one, how Python does."""
        if not self.base_command:
            return f"simulator.load({self.facts['identity']['run_id']!r}).member({number}).run(strategy=…)"
        parameters = {**self.fixed, **{name: column[number] for name, column in self.settings.items()}}
        sets = [
            word for name, value in sorted(parameters.items()) for word in ("--set", f"{name}={write_setting(value)}")
        ]
        return shlex.join([*shlex.split(self.base_command), *sets])


def shorten(text: str, most: int = 18) -> str:
    """Return the text of a setting as a label or a cell of a table has room for it."""
    text = " ".join(text.split())
    return text if len(text) <= most else text[: most - 1] + "…"


def is_sweep(folder: Path) -> bool:
    """Return True for the folder of a sweep, finished or not."""
    return os.path.isfile(folder / STUDY) or os.path.isdir(folder / "chunks")  # False for a name no file can have


def find_sweeps(reports: Path) -> list[Path]:
    """Return the folders of all sweeps, finished or not, by name."""
    return sorted(one for one in reports.glob("sweep-*") if is_sweep(one))


def find_sweep(reports: Path, name: str) -> Path | None:
    """Return the sweep of that folder, id or beginning of a name, the one written last of several; None without one."""
    if is_sweep(Path(name)):
        return Path(name)
    if not name:
        return None
    known = [
        one for one in find_sweeps(reports) if one.name.startswith(name) or one.name.rpartition("-")[2].startswith(name)
    ]
    return max(known, key=lambda one: one.stat().st_mtime_ns, default=None)


def read_facts(folder: Path) -> tuple[SweepRecord, SweepVerdict | None]:
    """Return study.json and verdict.json of the sweep in `folder`. Raises DataError for one that is not finished."""
    facts = cast(SweepRecord, read_checked(folder / STUDY, SweepRecord, AGAIN))
    return facts, cast(SweepVerdict | None, _read_beside(folder, VERDICT, SweepVerdict, facts))


def _read_settings(column: Sequence[Any], given: ParameterRecord) -> list[Any]:
    """Return the values of a parameter as they were given: a column holds one type, numbers with NaN for none, or texts
    with JSON for what is no text."""
    known: dict[object, object] = {}
    for value in given["values"]:
        known[value if isinstance(value, str) else json.dumps(value, default=str)] = value
        if isinstance(value, int | float):
            known[value] = value
    return [None if one is None or one != one else known.get(one, one) for one in column]


def _read_beside(folder: Path, name: str, kind: type, facts: SweepRecord) -> object:
    return read_checked(folder / name, kind, _mend(facts)) if (folder / name).is_file() else None


def _mend(facts: SweepRecord) -> str:
    command = facts["identity"]["command"]
    return f"`{command}` makes it again" if command else AGAIN


def read_sweep(folder: Path) -> SweepEvidence:
    """Return the sweep in `folder`. Raises DataError for one that is not finished, or damaged."""
    import pandas as pd
    import pyarrow as pa
    import pyarrow.parquet as pq

    facts, verdict = read_facts(folder)
    runtime = cast(SweepRuntime | None, _read_beside(folder, RUNTIME, SweepRuntime, facts))
    mend = _mend(facts)
    try:
        parts = [pq.read_table(path) for path in sorted((folder / "chunks").glob("*.parquet"))]
        table = pa.concat_tables([one.replace_schema_metadata(None) for one in parts], promote_options="permissive")
        seals = [json.loads((one.schema.metadata or {}).get(SEAL, "{}")) for one in parts]
        inferred = pd.read_parquet(folder / INFERENCE)
    except (OSError, ValueError) as error:
        raise DataError(f"cannot be read ({str(error).splitlines()[0]:.80})", where=str(folder), mend=mend) from None
    members = facts["counts"]["members"]
    for name, rows in (("chunks", len(table)), (INFERENCE, len(inferred))):
        if rows != members:
            found = f"{name} hold {rows:,} members, study.json says {members:,}"
            raise DataError(found, where=str(folder), mend=mend)
    study = facts["study"]
    names = [one["name"] for one in study["parameters"]]
    lacking = [name for name in names if name not in table.column_names]
    if lacking:
        raise DataError(f'chunks have no column "{lacking[0]}"', where=str(folder), mend=mend)
    measured = table.drop_columns(names).to_pandas().join(inferred)
    measures = {str(name): measured[name].to_numpy(dtype=np.float64) for name in measured}
    settings = {one["name"]: _read_settings(table[one["name"]].to_pylist(), one) for one in study["parameters"]}
    failures = {int(number): why for seal in seals for number, why in seal.get("failures", {}).items()}
    return SweepEvidence(folder, facts, verdict, runtime, settings, measures, failures)
