"""From a finished replay to the files of its run folder (docs/decisions/0002-run-folder.md)."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

from simulator.market.bars import Bars, moment
from simulator.replay.ledger import Ledger
from simulator.store.folders import csv_bytes, jsonl_bytes
from simulator.trading.cycle import CycleResult
from simulator.trading.model import Target

RESULT_FILES = ("decisions.jsonl", "orders.csv", "fills.csv", "rejected.csv", "equity.csv", "weights.csv")

EXCHANGE = ZoneInfo("America/New_York")

FILL_COLUMNS = ("order_id", "symbol", "at", "session", "quantity", "price", "slippage", "commission", "why")
REJECTION_COLUMNS = ("order_id", "symbol", "at", "session", "wanted", "got", "why")
ORDER_COLUMNS = (
    *("id", "symbol", "submitted_at", "kind", "quantity", "notional", "limit", "stop", "take_profit", "status"),
)


def result_files(
    ledger: Ledger, results: Sequence[CycleResult], curves: Mapping[str, NDArray[np.float64]]
) -> dict[str, bytes]:
    """The six files the digest is taken over. `curves` are further columns of equity.csv, one value a session."""
    bars = ledger.bars
    ends = session_ends(bars)
    sessions = [str(d) for d in bars.dates[ends]]
    columns = {
        "equity": ledger.equity[ends],
        "cash": ledger.cash[ends],
        "gross": ledger.gross[ends],
        "net": ledger.net[ends],
        **curves,
    }
    return {
        "decisions.jsonl": decision_lines(results),
        "orders.csv": csv_bytes(ORDER_COLUMNS, (_order(o) for o in ledger.orders)),
        "fills.csv": csv_bytes(FILL_COLUMNS, _timed(ledger.fills, FILL_COLUMNS)),
        "rejected.csv": csv_bytes(REJECTION_COLUMNS, _timed(ledger.rejections, REJECTION_COLUMNS)),
        "equity.csv": csv_bytes(("session", *columns), _table(sessions, columns.values())),
        "weights.csv": csv_bytes(("session", *bars.symbols), _table(sessions, ledger.weights[ends].T)),
    }


def account_files(folder: str, ledger: Ledger, results: Sequence[CycleResult]) -> dict[str, bytes]:
    """The files of an account beside the run's own, in a folder of its own; its equity is a column of equity.csv."""
    files = result_files(ledger, results, {})
    return {f"{folder}/{name}": files[name] for name in RESULT_FILES if name != "equity.csv"}


def replicate_file(number: int) -> str:
    """Name of the decisions of a further replicate; those of replicate 0 are in decisions.jsonl."""
    return f"decisions-replicate-{number}.jsonl"


def decision_lines(results: Sequence[CycleResult]) -> bytes:
    """The content of decisions.jsonl."""
    return jsonl_bytes(_decision(result) for result in results)


def result_digest(files: Mapping[str, bytes]) -> str:
    """sha256 (hex) over the result files, decisions of further replicates and the other accounts, names included."""
    h = hashlib.sha256()
    further = sorted(name for name in files if name.startswith(("decisions-replicate-", "accounts/")))
    for name in (*RESULT_FILES, *further):
        h.update(name.encode() + b"\0" + files[name] + b"\0")
    return h.hexdigest()


def session_ends(bars: Bars) -> NDArray[np.intp]:
    """Row of the last bar of each session."""
    return np.flatnonzero(np.r_[bars.session_of[1:] != bars.session_of[:-1], True])


def exchange_time(at: int | datetime) -> str:
    """New York time, ISO 8601 with offset."""
    return (moment(at) if isinstance(at, int) else at).astimezone(EXCHANGE).isoformat()


def _decision(result: CycleResult) -> dict[str, Any]:
    wanted, allowed = result.decision, result.allowed
    return {
        "as_of": exchange_time(wanted.as_of),
        "session": exchange_time(wanted.as_of)[:10],
        "targets": [_target(t) for t in wanted.targets],
        "allowed": {t.symbol: t.weight for t in allowed.targets},
        "cuts": list(result.cuts),
        "record": dict(wanted.record),
    }


def _target(target: Target) -> dict[str, Any]:
    return {k: v for k, v in vars(target).items() if v is not None and v != ""}


def _order(order: Any) -> list[Any]:
    row = [getattr(order, name) for name in ORDER_COLUMNS]
    row[ORDER_COLUMNS.index("submitted_at")] = exchange_time(order.submitted_at)
    return row


def _timed(rows: Iterable[Any], columns: Sequence[str]) -> Iterable[list[Any]]:
    for row in rows:
        when = exchange_time(row.at)
        timed = {"at": when, "session": when[:10]}
        yield [timed[c] if c in timed else getattr(row, c) for c in columns]


def _table(sessions: Sequence[str], columns: Iterable[NDArray[np.float64]]) -> Iterable[list[Any]]:
    return ([day, *values] for day, *values in zip(sessions, *(c.tolist() for c in columns), strict=True))
