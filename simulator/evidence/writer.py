"""From a finished replay to the files of its run folder (docs/decisions/0002-run-folder.md)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from simulator.desk.records import desk_record
from simulator.evidence.reader import EXPOSURE, PRICES
from simulator.evidence.records import DecisionRow, TargetRow
from simulator.evidence.rows import (
    FILL_COLUMNS,
    ORDER_COLUMNS,
    REJECTION_COLUMNS,
    TRADE_COLUMNS,
    as_row,
    exchange_time,
    fill_rows,
    order_rows,
    rejection_rows,
)
from simulator.evidence.verify import RESULT_FILES
from simulator.market.bars import Bars
from simulator.replay.ledger import Ledger
from simulator.store.folders import csv_bytes, jsonl_bytes
from simulator.trading.cycle import CycleResult
from simulator.trading.model import RoundTrip, Target

MOST_PRICES = 40
"""Symbols whose closes a run folder holds for its charts."""


def result_files(
    ledger: Ledger, results: Sequence[CycleResult], curves: Mapping[str, NDArray[np.float64]]
) -> dict[str, bytes]:
    """The six files the digest is taken over. `curves` are further columns of equity.csv, one value a session."""
    bars = ledger.bars
    ends = session_ends(bars)
    sessions, weights = [str(d) for d in bars.dates[ends]], ledger.weights_at(ends)
    columns = {
        "equity": ledger.equity[ends],
        "cash": ledger.cash[ends],
        "gross": np.abs(weights).sum(axis=1),
        "net": weights.sum(axis=1),
        **curves,
    }
    return {
        "decisions.jsonl": decision_lines(results),
        "orders.csv": csv_bytes(ORDER_COLUMNS, order_rows(ledger)),
        "fills.csv": csv_bytes(FILL_COLUMNS, fill_rows(ledger)),
        "rejected.csv": csv_bytes(REJECTION_COLUMNS, rejection_rows(ledger)),
        "equity.csv": csv_bytes(("session", *columns), _table(sessions, columns.values())),
        "weights.csv": csv_bytes(("session", *bars.symbols), _table(sessions, weights.T)),
    }


def account_files(folder: str, ledger: Ledger, results: Sequence[CycleResult]) -> dict[str, bytes]:
    """The files of an account beside the run's own, in a folder of its own; its equity is a column of equity.csv."""
    files = result_files(ledger, results, {})
    return {f"{folder}/{name}": files[name] for name in RESULT_FILES if name != "equity.csv"}


def exposure_file(bars: Bars, parts: Mapping[str, NDArray[np.float64]]) -> dict[str, bytes]:
    """Return exposure.csv: a column for each of `parts` (S,) of the excess return, a row for each session."""
    sessions = [str(day) for day in bars.dates[session_ends(bars)]]
    return {EXPOSURE: csv_bytes(("session", *parts), _table(sessions, parts.values()))}


def prices_file(ledgers: Sequence[Ledger], results: Sequence[CycleResult]) -> dict[str, bytes]:
    """Return prices.csv: of the MOST_PRICES symbols that accounts over the same bars traded most, or their desk looked
    at most, the newest close of each session, empty before there is one; no file where there is no such symbol."""
    bars, own = ledgers[0].bars, ledgers[0]
    fills = np.sum([np.bincount(one.fill_rows["symbol"], minlength=len(bars.symbols)) for one in ledgers], axis=0)
    looked_at = [desk for one in results if (desk := desk_record(one.decision.record)) is not None]
    for row in (row for desk in looked_at for row in desk.get("analyses", ())):
        fills[bars.symbols.index(row["symbol"])] += 1
    if not fills.any():
        return {}
    kept = np.sort(np.argsort(-fills, kind="stable")[: min(MOST_PRICES, int(np.count_nonzero(fills)))])
    ends = session_ends(bars)
    marks = own.marks[ends][:, kept]
    closes = marks.astype(object)
    closes[marks <= 0] = None
    names = ("session", *(bars.symbols[n] for n in kept.tolist()))
    return {PRICES: csv_bytes(names, _table([str(day) for day in bars.dates[ends]], closes.T))}


def trade_lines(trips: Iterable[RoundTrip]) -> bytes:
    """Return the content of trades.csv."""
    return csv_bytes(TRADE_COLUMNS, (list(as_row(trip).values()) for trip in trips))


def replicate_file(number: int) -> str:
    """Name of the decisions of a further replicate; those of replicate 0 are in decisions.jsonl."""
    return f"decisions-replicate-{number}.jsonl"


def decision_lines(results: Sequence[CycleResult]) -> bytes:
    """Return the content of decisions.jsonl."""
    return jsonl_bytes(decision_row(result) for result in results)


def session_ends(bars: Bars) -> NDArray[np.intp]:
    """Row of the last bar of each session."""
    return np.flatnonzero(np.r_[bars.session_of[1:] != bars.session_of[:-1], True])


def decision_row(result: CycleResult) -> DecisionRow:
    """Return a line of decisions.jsonl."""
    decision, allowed = result.decision, result.allowed
    return {
        "as_of": exchange_time(decision.as_of),
        "session": exchange_time(decision.as_of)[:10],
        "targets": [_target(t) for t in decision.targets],
        "allowed": {t.symbol: t.weight for t in allowed.targets},
        "cuts": list(result.cuts),
        "record": dict(decision.record),
    }


def _target(target: Target) -> TargetRow:
    return cast(TargetRow, {k: v for k in Target.__slots__ if (v := getattr(target, k)) not in (None, "", ())})


def _table(sessions: Sequence[str], columns: Iterable[NDArray[Any]]) -> Iterable[list[Any]]:
    rows = np.reshape(list(columns), (-1, len(sessions))).T  # also where there is no column
    return ([day, *row.tolist()] for day, row in zip(sessions, rows, strict=True))
