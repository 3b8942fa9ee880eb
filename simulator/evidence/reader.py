"""Reads a run folder (docs/decisions/0002-run-folder.md) and nothing else.

A file that is missing or not what it should be ends in a DataError with the line and the command that writes it anew.
"""

from __future__ import annotations

import csv
import json
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simulator.errors import DataError

Series = NDArray[np.float64]
Rows = tuple[dict[str, str], ...]

ACCOUNT = "account:"
MEMBER = "member:"
"""What a column of a member's account began with in schema 1."""

NEEDED: dict[str, tuple[type, ...]] = {
    **dict.fromkeys(("run_id", "digest", "strategy", "from", "to"), (str,)),
    "symbols": (list,),
    "sessions": (int,),
    "cash": (int, float),
    "command": (str, list),
    "metrics": (dict,),
    "benchmarks": (dict,),
}
OPTIONAL: dict[str, tuple[type, ...]] = {
    **dict.fromkeys(("inference", "reasons", "sources", "context", "config", "audit", "llm", "code"), (dict,)),
    **dict.fromkeys(("replicates", "shortfalls", "stopped", "council_against_best", "contamination"), (dict,)),
    **dict.fromkeys(("notes", "accounts", "members", "cost_sensitivity", "execution_toggles"), (list,)),
    "account": (str,),
}
"""Keys of run.json the report reads, and what they must hold; the optional ones may be null or absent."""

NESTED = ("benchmarks", "accounts", "members", "cost_sensitivity", "execution_toggles", "config")
"""Keys whose entries are objects themselves."""

PARTS = ("metrics", "reasons", "llm", "calibration", "reviews", "audit", "intervals")
"""What is an object too inside such an entry, where it is there."""

BOOKS = ("orders.csv", "fills.csv", "rejected.csv")

COLUMNS = {
    "equity.csv": ("session", "equity", "cash", "gross", "net"),
    "weights.csv": ("session",),
    "orders.csv": ("id", "symbol", "submitted_at", "status"),
    "fills.csv": ("order_id", "symbol", "session", "quantity", "price", "slippage", "commission", "why"),
    "rejected.csv": ("symbol", "session", "wanted", "got", "why"),
}


@dataclass(frozen=True)
class Evidence:
    """All of a run folder.

    Attributes
    ----------
    run : run.json
    sessions : T exchange sessions, oldest first
    equity : column of equity.csv → (T,) values, NaN where the field is empty
    weights : symbol → (T,) signed fraction of equity at the close, NaN where the field is empty
    orders, fills, rejected : rows as text, in file order
    decisions, calls : rows of decisions.jsonl and llm_calls.jsonl
    ablation, checks : ablation.json and checks.json, empty where nobody asked
    runtime : runtime.json, the only part that differs between reruns
    """

    run: Mapping[str, Any]
    sessions: tuple[date, ...]
    equity: Mapping[str, Series]
    weights: Mapping[str, Series]
    orders: Rows
    fills: Rows
    rejected: Rows
    decisions: tuple[dict[str, Any], ...]
    calls: tuple[dict[str, Any], ...]
    ablation: Mapping[str, Any]
    checks: Mapping[str, Any]
    runtime: Mapping[str, Any]

    @property
    def accounts(self) -> dict[str, Series]:
        """Account → (T,) dollars at the close, the council's own account among them."""
        return accounts_of(self.run, self.equity)


@dataclass(frozen=True)
class Books:
    """What one account decided and traded: rows as in `Evidence`."""

    decisions: tuple[dict[str, Any], ...]
    orders: Rows
    fills: Rows
    rejected: Rows


def read(folder: Path) -> Evidence:
    """The whole of `folder`. Raises DataError naming the file, the line and the command that mends it."""
    run = read_run(folder)
    mend = f"`{command_line(run)}` writes it again"
    tables = {name: _read_csv(folder / name, mend) for name in COLUMNS}
    sessions, equity = _series(folder / "equity.csv", tables["equity.csv"], mend)
    if not sessions:
        raise DataError("holds no session", where=str(folder / "equity.csv"), mend=mend)
    if len(sessions) != run["sessions"]:
        counts = f"holds {len(sessions)} sessions, run.json says {run['sessions']}"
        raise DataError(counts, where=str(folder / "equity.csv"), mend=mend)
    equity = {_account_column(name): values for name, values in equity.items()}
    held_on, weights = _series(folder / "weights.csv", tables["weights.csv"], mend)
    if held_on != sessions:
        raise DataError("has other sessions than equity.csv", where=str(folder / "weights.csv"), mend=mend)
    fills = tables["fills.csv"]
    _check_numbers(folder / "fills.csv", fills, ("quantity", "price", "slippage", "commission"), mend)
    return Evidence(
        run=run,
        sessions=sessions,
        equity=equity,
        weights=weights,
        orders=tables["orders.csv"],
        fills=fills,
        rejected=tables["rejected.csv"],
        decisions=_read_jsonl(folder / "decisions.jsonl", mend),
        calls=_read_jsonl(folder / "llm_calls.jsonl", mend),
        ablation=_read_later(folder, run, "ablation.json", "sim ablate"),
        checks=_read_later(folder, run, "checks.json", "sim check"),
        runtime=_read_object(folder / "runtime.json", mend),
    )


def accounts_of(run: Mapping[str, Any], equity: Mapping[str, Series]) -> dict[str, Series]:
    """Account → (T,) dollars at the close, out of the columns of equity.csv."""
    own = run.get("account")
    found = {str(own): equity["equity"]} if own else {}
    others = {name[len(ACCOUNT) :]: values for name, values in equity.items() if name.startswith(ACCOUNT)}
    return {**found, **others}


def read_equity(folder: Path, run: Mapping[str, Any]) -> dict[str, Series]:
    """Columns of equity.csv alone. Raises DataError as `read` does."""
    mend = f"`{command_line(run)}` writes it again"
    path = folder / "equity.csv"
    columns = _series(path, _read_csv(path, mend), mend)[1]
    return {_account_column(name): values for name, values in columns.items()}


def read_books(folder: Path, run: Mapping[str, Any], account: str | None = None) -> Books:
    """Decisions, orders and fills of `account`; of the run's own where it is None. Raises DataError as `read` does."""
    mend = f"`{command_line(run)}` writes it again"
    place = folder if account in (None, run.get("account")) else folder / "accounts" / str(account)
    orders, fills, rejected = (_read_csv(place / name, mend) for name in BOOKS)
    _check_numbers(place / "fills.csv", fills, ("quantity", "price", "slippage", "commission"), mend)
    return Books(_read_jsonl(place / "decisions.jsonl", mend), orders, fills, rejected)


def read_lines(folder: Path, run: Mapping[str, Any], name: str) -> tuple[dict[str, Any], ...]:
    """The objects of a JSONL file of the folder. Raises DataError as `read` does."""
    return _read_jsonl(folder / name, f"`{command_line(run)}` writes it again")


def command_line(run: Mapping[str, Any]) -> str:
    """The command that made the run, as one would type it."""
    command = run.get("command")
    return shlex.join(map(str, command)) if isinstance(command, list | tuple) else str(command or "sim run")


def read_run(folder: Path) -> dict[str, Any]:
    """run.json of `folder`, checked; that of an older schema in the words of the newest."""
    path = folder / "run.json"
    again = "type the same `sim run` again, it writes the folder anew"
    run = _read_object(path, again)
    for key, kinds in NEEDED.items():
        if key not in run:
            raise DataError(f'has no key "{key}"', where=str(path), mend=again)
        _check_kind(path, key, run[key], kinds, again)
    for key, kinds in OPTIONAL.items():
        if run.get(key) is not None:
            _check_kind(path, key, run[key], kinds, again)
    for key in NESTED:
        entries = run.get(key) or {}
        for entry in entries.values() if isinstance(entries, dict) else entries:
            _check_kind(path, f"an entry of {key}", entry, (dict,), again)
            for part in PARTS:
                if entry.get(part) is not None:
                    _check_kind(path, f"{part} of {key}", entry[part], (dict,), again)
    return with_trials(folder, run if "accounts" in run else _with_accounts(run))


def _with_accounts(run: dict[str, Any]) -> dict[str, Any]:
    """Schema 1 knew members only: each is an account, and so is the council they sit in."""
    members = run.get("members") or []
    if not members:
        return {**run, "account": None, "accounts": []}
    inference = run.get("inference") or {}
    own = {
        "name": "COUNCIL",
        "seat": "council",
        "model": "",
        "metrics": run["metrics"],
        "reasons": run.get("reasons") or {},
        **{key: inference.get(key) for key in ("sharpe_ci_low", "sharpe_ci_high")},
    }
    accounts = [{**member, "seat": member.get("name")} for member in members]
    return {**run, "account": own["name"], "accounts": [*accounts, own]}


def _account_column(name: str) -> str:
    return ACCOUNT + name[len(MEMBER) :] if name.startswith(MEMBER) else name


def _read_later(folder: Path, run: Mapping[str, Any], name: str, command: str) -> dict[str, Any]:
    """What another command left in the folder; empty where it did not run."""
    path = folder / name
    return _read_object(path, f"`{command} {run['run_id']}` writes it again") if path.exists() else {}


def with_trials(folder: Path, run: dict[str, Any]) -> dict[str, Any]:
    """`run` with what trials.json knows of earlier runs: how many were tried, and what is left of its Sharpe ratio.

    Their number grows with the workspace, so it stands beside run.json. One of another result is passed over.
    """
    found = _read_later(folder, run, "trials.json", "sim runs --trials")
    inferred, reasons = found.get("inference"), found.get("reasons")
    if found.get("digest") != run["digest"] or not isinstance(inferred, dict):
        return run
    why = {**(run.get("reasons") or {}), **(reasons if isinstance(reasons, dict) else {})}
    return {**run, "inference": {**(run.get("inference") or {}), **inferred}, "reasons": why}


def _check_kind(path: Path, key: str, value: Any, kinds: tuple[type, ...], mend: str) -> None:
    if not isinstance(value, kinds) or isinstance(value, bool):
        raise DataError(f'"{key}" holds {str(value)[:40]!r}', where=str(path), mend=mend)


def _read_text(path: Path, mend: str) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise DataError("is missing", where=str(path), mend=mend) from None
    except UnicodeDecodeError:
        raise DataError("is not UTF-8 text", where=str(path), mend=mend) from None
    except OSError as error:
        raise DataError(f"cannot be read ({error.strerror})", where=str(path), mend=mend) from None


def _read_object(path: Path, mend: str) -> dict[str, Any]:
    text = _read_text(path, mend)
    try:
        content = json.loads(text)
    except ValueError as error:
        raise DataError("is not JSON", where=f"{path}:{getattr(error, 'lineno', 1)}", mend=mend) from None
    if not isinstance(content, dict):
        raise DataError("is not a JSON object", where=str(path), mend=mend)
    return content


def _read_jsonl(path: Path, mend: str) -> tuple[dict[str, Any], ...]:
    rows = []
    for number, line in enumerate(_read_text(path, mend).split("\n"), 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except ValueError:
            raise DataError("is not JSON", where=f"{path}:{number}", mend=mend) from None
        if not isinstance(row, dict):
            raise DataError("is not a JSON object", where=f"{path}:{number}", mend=mend)
        rows.append(row)
    return tuple(rows)


def _read_csv(path: Path, mend: str) -> Rows:
    lines = list(csv.reader(_read_text(path, mend).splitlines()))
    header = lines[0] if lines else []
    lacking = next((name for name in COLUMNS[path.name] if name not in header), None)
    if lacking:
        raise DataError(f'has no column "{lacking}"', where=f"{path}:1", mend=mend)
    for number, line in enumerate(lines[1:], 2):
        if len(line) != len(header):
            raise DataError(f"has {len(line)} fields, expected {len(header)}", where=f"{path}:{number}", mend=mend)
    return tuple(dict(zip(header, line, strict=True)) for line in lines[1:])


def _series(path: Path, rows: Rows, mend: str) -> tuple[tuple[date, ...], dict[str, Series]]:
    try:
        sessions = tuple(date.fromisoformat(row["session"][:10]) for row in rows)
    except ValueError as error:
        raise DataError(str(error), where=str(path), mend=mend) from None
    names = [name for name in (rows[0] if rows else {}) if name != "session"]
    _check_numbers(path, rows, names, mend)
    return sessions, {name: np.array([float(row[name] or "nan") for row in rows]) for name in names}


def _check_numbers(path: Path, rows: Rows, names: list[str] | tuple[str, ...], mend: str) -> None:
    for number, row in enumerate(rows, 2):
        for name in names:
            try:
                float(row[name] or "nan")
            except ValueError:
                where = f"{path}:{number}"
                raise DataError(f'{name} was "{row[name]}", not a number', where=where, mend=mend) from None
