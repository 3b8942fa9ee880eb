"""Identity of a run by digests of what it is made of: the same identity means the same bytes of evidence."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
from collections.abc import Mapping
from dataclasses import fields
from functools import cache
from importlib import metadata
from pathlib import Path

import simulator
from simulator.config import Config
from simulator.evidence.records import SCHEMA, Code, Identity
from simulator.llm.cutoffs import cutoffs_of, language_models
from simulator.llm.spending.prices import Prices
from simulator.replay.inputs import ReplayInputs
from simulator.runs.load_inputs import LoadedInputs
from simulator.runs.spec import RunSpec
from simulator.runs.strategies import Loaded
from simulator.trading.strategy import seats_of

PACKAGE = Path(simulator.__file__).parent

NUMERICS = ("backtrader", "numpy", "numba", "scipy", "pyarrow", "pydantic", "jinja2", "exchange_calendars")
"""Packages whose version can change a number or a page."""

NOT_IN_ID = ("run_id", "command", "analysts", "sources", "context", "notes", "packages", "bars", "definition")
"""Parts of an identity that follow from the others, or from the machine."""


def identify(spec: RunSpec, config: Config, loaded: Loaded, staged: LoadedInputs) -> Identity:
    """Return what is run on what, and the id that follows from it: known before anything is asked."""
    inputs = staged.inputs
    seats = seats_of(loaded.strategy)
    described: Identity = {
        "run_id": "",
        "schema": SCHEMA,
        "strategy": loaded.strategy.name,
        "symbols": list(spec.symbols),
        "from": str(spec.first),
        "to": str(staged.last),
        "models": (spec.models or config.models.default) if seats else None,
        "parameters": dict(spec.parameters),
        "cash": config.accounts.cash,
        # Of the models only those that sit in this run: another profile changes nothing here.
        "config": {**config.dump(), "models": {name: seat.model_dump(mode="json") for name, seat in seats.items()}},
        "cutoffs": {
            one.model: str(one.cutoff) for one in language_models(cutoffs_of(seats, Prices(config.models.prices)))
        },
        "strategy_files": dict(loaded.files),
        "data_digest": data_digest(inputs),
        "code": code_version(),
        "command": spec.command(loaded.strategy.name, staged.last),
        "analysts": loaded.label,
        "sources": dict(zip(inputs.bars.symbols, inputs.bars.sources, strict=True)),
        "context": dict(zip(inputs.context.symbols, inputs.context.sources, strict=True)),
        "notes": list(staged.notes),
        "packages": dict(packages()),
    }
    if loaded.definition:
        described["definition"] = loaded.definition
    if spec.bars is not None:
        described["bars"] = spec.bars
    made_of = {name: value for name, value in described.items() if name not in NOT_IN_ID}
    return {**described, "run_id": run_id({**made_of, "code": code_digest(), "replicates": spec.replicates})}


def data_digest(inputs: ReplayInputs) -> str:
    """sha256 (hex) of what a strategy may read of the world: bars, context, events and news."""
    return digest_of(
        [
            inputs.bars.digest,
            inputs.context.digest,
            [[str(e.at), e.name, e.importance, str(e.known_at)] for e in inputs.events],
            [[str(getattr(item, f.name)) for f in fields(item)] for item in inputs.news],
        ]
    )


def digest_of(value: object) -> str:
    """sha256 (hex) of `value` as canonical JSON."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, separators=(",", ":"), default=str).encode()).hexdigest()


def run_id(parts: Mapping[str, object]) -> str:
    """Ten hex digits that name a run: config, strategy files, data and code."""
    return digest_of(parts)[:10]


@cache
def code_digest() -> str:
    """sha256 (hex) over the sources, tables and templates of the installed package."""
    h = hashlib.sha256()
    kinds = (".py", ".json", ".csv", ".html", ".css", ".js")
    found = [
        os.path.join(folder, name) for folder, _, names in os.walk(PACKAGE) for name in names if name.endswith(kinds)
    ]
    insides = (os.path.relpath(path, PACKAGE).split(os.sep) for path in found)  # not Path: ten times as long
    for parts in sorted(parts for parts in insides if parts[0] != "_workspace"):
        with open(os.path.join(PACKAGE, *parts), "rb") as file:
            h.update("/".join(parts).encode() + b"\0" + file.read() + b"\0")
    return h.hexdigest()


@cache
def code_version() -> Code:
    """Return version and digest of the code, its git commit, and whether files were changed since."""
    commit = _git("rev-parse", "HEAD")
    state = _git("status", "--porcelain", "--", PACKAGE.name) if commit else None
    return {
        "version": simulator.__version__,
        "digest": code_digest(),
        "commit": commit,
        "dirty": None if state is None else bool(state),
    }


@cache
def packages() -> Mapping[str, str]:
    """Versions of the packages that can change a number."""
    return {name: metadata.version(name) for name in NUMERICS}


def _git(*words: str) -> str | None:
    """Output of a git command on the checkout that holds the package, None where there is none."""
    if not (PACKAGE.parent / ".git").exists():
        return None
    try:
        done = subprocess.run(["git", "-C", str(PACKAGE.parent), *words], capture_output=True, text=True, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None
