"""Reads a run folder (docs/decisions/0002-run-folder.md) and nothing else.

A file that is missing or not what it should be ends in a DataError with the line, the key and the command that writes
it anew. Folders of versions 1 and 2 are read in the words of version 3.
"""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import date, datetime
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar, cast

import numpy as np
from numpy.typing import NDArray

from simulator import files
from simulator.council.records import (
    CheckpointRecord,
    MeetingRecord,
    MemberCheckpointRecord,
    MemberRecord,
    council_record,
)
from simulator.errors import DataError
from simulator.evidence import schema
from simulator.evidence.factor_records import RunFactors
from simulator.evidence.records import (
    SCHEMA,
    AblationRecord,
    CallRow,
    Checks,
    ComparedRecord,
    Comparisons,
    DecisionRow,
    RunRecord,
    Runtime,
    TrialRow,
    TrialsRecord,
)
from simulator.evidence.row_table import RowTable
from simulator.market.bars import instant
from simulator.store.folders import COMPARED
from simulator.trading.model import Fill, OrderRecord, Rejection, RoundTrip

Series = NDArray[np.float64]
R = TypeVar("R", Fill, OrderRecord, Rejection, RoundTrip)

TRADES = "trades.csv"

ROWS_AT_ONCE = 4096
"""Rows of a table that are held as texts: they take several times the room of what they say."""

ACCOUNT = "account:"
MEMBER = "member:"
"""Beginning of the column of a member's account in version 1."""

COUNCIL_RECORDS: dict[str, type] = {
    "council": MeetingRecord,
    "checkpoint": CheckpointRecord,
    "member": MemberRecord,
    "member_checkpoint": MemberCheckpointRecord,
}


COMPARISONS = "comparisons.json"
PRICES = "prices.csv"
"""Closes of the symbols traded most: of bars, so not in the digest of the result."""

EXPOSURE = "exposure.csv"
"""Excess return of every session in parts: of the result and of bars, so not in the digest of the result."""


@dataclass(frozen=True)
class Books:
    """Decisions and trades of one account, in file order."""

    decisions: tuple[DecisionRow, ...]
    orders: RowTable[OrderRecord]
    fills: RowTable[Fill]
    rejected: RowTable[Rejection]


@dataclass(frozen=True)
class Evidence:
    """All of a run folder.

    Attributes
    ----------
    folder : where it lies
    run : run.json, with what trials.json adds to its inference
    sessions : T exchange sessions, oldest first
    equity : column of equity.csv → (T,) values, NaN where the field is empty
    weights : symbol → (T,) signed fraction of equity at the close, NaN where the field is empty
    prices : symbol → (T,) newest close of each session, NaN before there is one, of the symbols traded most; empty in
        folders of earlier versions
    decisions, orders, fills, rejected : of the account the run reports, as in `Books`
    trips : account → its round trips, those of a run without accounts under ""; empty in folders made before version
        0.2, which do not hold them
    calls : lines of llm_calls.jsonl
    tried : trials.json; None where it is not there, cannot be read or is another result's
    ablation, checks, factors : ablation.json, checks.json and factors.json, None where nobody asked
    comparisons : those the run is part of, the newest first
    runtime : runtime.json; None where it cannot be read: it says nothing of the result
    altered : what has changed in the folder since the run was made; empty where nothing has, or nobody looked
    """

    folder: Path
    run: RunRecord
    sessions: tuple[date, ...]
    equity: Mapping[str, Series]
    weights: Mapping[str, Series]
    prices: Mapping[str, Series]
    orders: RowTable[OrderRecord]
    fills: RowTable[Fill]
    rejected: RowTable[Rejection]
    trips: Mapping[str, Sequence[RoundTrip]]
    decisions: tuple[DecisionRow, ...]
    calls: tuple[CallRow, ...]
    ablation: AblationRecord | None
    checks: Checks | None
    comparisons: tuple[ComparedRecord, ...]
    tried: TrialsRecord | None
    factors: RunFactors | None
    runtime: Runtime | None
    altered: str = ""

    @property
    def accounts(self) -> dict[str, Series]:
        """Account → (T,) dollars at the close, the council's own account among them."""
        return account_curves(self.run, self.equity)

    @property
    def own_trips(self) -> Sequence[RoundTrip] | None:
        """Round trips of the account the run reports, by entry; None where the folder holds none."""
        return self.trips.get(self.run["account"] or "")


def read(folder: Path, altered: str = "", tried: TrialsRecord | None = None) -> Evidence:
    """Return all of `folder`. Raises DataError naming the file, the line and the command that mends it.

    `altered` says what has changed in it since the run was made (`simulator.evidence.verify`), for every page to show;
    `tried` stands in the place of its trials.json.
    """
    while True:
        before = files.identity(folder)
        try:
            evidence = _read(folder, altered, tried)
        except DataError as error:
            if files.identity(folder) != before:
                continue
            if altered:
                raise DataError(f"{error.found} ({altered})", where=error.where, mend=error.mend) from None
            raise
        # A run that is made again meanwhile puts another folder in this place: never half of each.
        if files.identity(folder) == before:
            return evidence


def _read(folder: Path, altered: str, tried: TrialsRecord | None) -> Evidence:
    run = read_run(folder) if tried is None else with_trials(read_run(folder, trials=False), tried)
    mend = _again(run)
    sessions, equity = read_equity(folder, run, ("equity", "cash", "gross", "net"))
    if len(sessions) != run["sessions"] and not altered:
        counts = f"holds {len(sessions)} sessions, run.json says {run['sessions']}"
        raise DataError(counts, where=str(folder / "equity.csv"), mend=mend)
    weighed_on, weights = _read_series(folder / "weights.csv", mend)
    if weighed_on != sessions and not altered:
        raise DataError("has other sessions than equity.csv", where=str(folder / "weights.csv"), mend=mend)
    if altered:
        shared = sorted({*sessions} & ({*weighed_on} if weights else {*sessions}))
        if not shared:
            raise DataError("equity.csv and weights.csv share no session", where=str(folder), mend=mend)
        equity, weights = _at(shared, sessions, equity), _at(shared, weighed_on, weights)
        sessions = tuple(shared)
    books = read_books(folder, run)
    trips = {name: read_trades(folder, run, name) for name in [one["name"] for one in run["accounts"]] or [""]}
    return Evidence(
        folder=folder,
        run=run,
        sessions=sessions,
        equity=equity,
        weights=weights,
        prices=_read_prices(folder, run, sessions),
        orders=books.orders,
        fills=books.fills,
        rejected=books.rejected,
        trips={name: rows for name, rows in trips.items() if rows is not None},
        decisions=books.decisions,
        calls=read_calls(folder, run),
        ablation=cast(AblationRecord | None, _read_added(folder, run, "ablation.json", AblationRecord, "sim ablate")),
        checks=cast(Checks | None, _read_added(folder, run, "checks.json", Checks, "sim check")),
        comparisons=read_comparisons(folder, run),
        tried=found if (found := tried or _read_tried(folder, run)) and found["digest"] == run["digest"] else None,
        factors=read_factors(folder, run),
        runtime=_runtime_or_none(folder, run),
        altered=altered,
    )


def _at(chosen: list[date], sessions: tuple[date, ...], series: Mapping[str, Series]) -> dict[str, Series]:
    rows = [sessions.index(day) for day in chosen] if series else []
    return {name: values[rows] for name, values in series.items()}


def _runtime_or_none(folder: Path, run: RunRecord) -> Runtime | None:
    try:
        return read_runtime(folder, run)
    except DataError:
        return None


def read_runtime(folder: Path, run: RunRecord) -> Runtime:
    """Return runtime.json of `folder`. Raises DataError."""
    return cast(Runtime, read_document(folder / "runtime.json", Runtime, run))


def account_curves(run: RunRecord, equity: Mapping[str, Series]) -> dict[str, Series]:
    """Account → (T,) dollars at the close, out of the columns of equity.csv."""
    own = run["account"]
    others = {name[len(ACCOUNT) :]: values for name, values in equity.items() if name.startswith(ACCOUNT)}
    return {**({own: equity["equity"]} if own else {}), **others}


def read_run(folder: Path, trials: bool = True) -> RunRecord:
    """Return run.json of `folder`, with what trials.json adds to it unless `trials` is False. Raises DataError."""
    path, mend = folder / "run.json", "type the same `sim run` again, it writes the folder anew"
    run = _read_json(path, mend)
    try:
        schema.migrate(run)
    except schema.MismatchError as error:
        raise DataError(str(error), where=str(path), mend=mend) from None
    checked = cast(RunRecord, run)
    added = _read_added(folder, checked, "trials.json", TrialsRecord, "sim report") if trials else None
    return checked if added is None else with_trials(checked, cast(TrialsRecord, added))


def with_trials(run: RunRecord, trials: TrialsRecord) -> RunRecord:
    """Return `run` with ``inference`` and ``reasons`` of trials.json added; as it is where they are another result's.

    The reason of ``trials`` is the sentence on what was counted, that of ``at_least`` why there may be more.
    The number of trials grows with the workspace, so it stands beside run.json and in no digest.
    """
    if trials["digest"] != run["digest"]:
        return run
    inference, reasons = {**run["inference"], **trials["inference"]}, {**run["reasons"], **trials["reasons"]}
    if "summary" in trials:
        reasons["trials"] = trials["summary"]
    if trials.get("at_least"):
        reasons["at_least"] = trials["at_least"]
    return {**run, "inference": inference, "reasons": reasons}


def read_trials(folder: Path, run: RunRecord) -> list[TrialRow]:
    """Return the trials that trials.json of `folder` lists; none where it is not there or cannot be read."""
    found = _read_tried(folder, run)
    return found["counted"] if found else []


def _read_tried(folder: Path, run: RunRecord) -> TrialsRecord | None:
    try:
        return cast(TrialsRecord | None, _read_added(folder, run, "trials.json", TrialsRecord, "sim report"))
    except DataError:
        return None


def read_equity(
    folder: Path, run: RunRecord, columns: tuple[str, ...] = ("equity",)
) -> tuple[tuple[date, ...], dict[str, Series]]:
    """Return T sessions and the columns (T,) of equity.csv, at least `columns`, alone. Raises DataError."""
    sessions, equity = _read_series(folder / "equity.csv", _again(run), columns)
    if not sessions:
        raise DataError("holds no session", where=str(folder / "equity.csv"), mend=_again(run))
    return sessions, equity


def read_exposure(folder: Path, run: RunRecord) -> tuple[tuple[date, ...], dict[str, Series]]:
    """Return sessions and columns of exposure.csv, none where an earlier version wrote none. Raises DataError."""
    if not (folder / EXPOSURE).exists():
        return (), {}
    return _read_series(folder / EXPOSURE, _again(run), ("choosing", "costs"))


def read_beyond(folder: Path, run: RunRecord) -> dict[date, float]:
    """Return {session: return beyond the run's usual exposure} of exposure.csv, empty where there is none. Raises
    DataError."""
    sessions, series = read_exposure(folder, run)
    return dict(zip(sessions, (series["choosing"] + series["costs"]).tolist(), strict=True)) if sessions else {}


def read_weights(place: Path, run: RunRecord) -> tuple[tuple[date, ...], dict[str, Series]]:
    """Return T sessions and the weight (T,) of each symbol at the close, of the account whose books stand in `place`.

    Raises DataError.
    """
    return _read_series(place / "weights.csv", _again(run))


def _read_prices(folder: Path, run: RunRecord, sessions: tuple[date, ...]) -> dict[str, Series]:
    if PRICES not in (run.get("parts") or {}):
        return {}
    days, closes = _read_series(folder / PRICES, _again(run))
    row = {day: n for n, day in enumerate(days)}
    at = np.array([row.get(day, len(days)) for day in sessions])
    return {symbol: np.append(values, math.nan)[at] for symbol, values in closes.items()}


def read_books(folder: Path, run: RunRecord, account: str | None = None) -> Books:
    """Return decisions and trades of `account`, of the run's own where it is None. Raises DataError."""
    place, mend = folder_of_account(folder, run, account), _again(run)
    return Books(
        read_decisions(place / "decisions.jsonl", run),
        _read_rows(place / "orders.csv", OrderRecord, mend),
        _read_rows(place / "fills.csv", Fill, mend),
        _read_rows(place / "rejected.csv", Rejection, mend),
    )


def read_orders(folder: Path, run: RunRecord, account: str | None = None) -> RowTable[OrderRecord]:
    """Return the orders of `account`, of the run's own where it is None. Raises DataError."""
    return _read_rows(folder_of_account(folder, run, account) / "orders.csv", OrderRecord, _again(run))


def read_factors(folder: Path, run: RunRecord) -> RunFactors | None:
    """Return factors.json of `folder`, None where there is none or it is another result's. Raises DataError."""
    found = cast(RunFactors | None, _read_added(folder, run, "factors.json", RunFactors, "sim report --factors FILE"))
    return found if found is not None and found["digest"] == run["digest"] else None


def read_trades(folder: Path, run: RunRecord, account: str | None = None) -> RowTable[RoundTrip] | None:
    """Return the round trips of `account`, of the run's own where it is None; None in folders made before version 0.2,
    which do not hold them. Raises DataError."""
    name = TRADES if account in (None, "", run["account"]) else f"accounts/{account}/{TRADES}"
    if name not in (run.get("parts") or {}):
        return None
    return _read_rows(folder / name, RoundTrip, _again(run))


def folder_of_account(folder: Path, run: RunRecord, account: str | None) -> Path:
    """Return where the books of `account` stand in a run folder; None is the run's own account."""
    return folder if account in (None, run["account"]) else folder / "accounts" / str(account)


def read_decisions(path: Path, run: RunRecord) -> tuple[DecisionRow, ...]:
    """Return the lines of a decisions.jsonl of `run`; records of a council are checked too. Raises DataError."""
    rows = cast(tuple[DecisionRow, ...], _read_lines(path, DecisionRow, run))
    for number, row in enumerate(rows, 1):
        record = council_record(row["record"])
        if record is not None:
            try:
                schema.check(COUNCIL_RECORDS[record["kind"]], record, run["schema"] != SCHEMA)
            except schema.MismatchError as error:
                raise DataError(str(error.within("record")), where=f"{path}:{number}", mend=_again(run)) from None
    return rows


def read_calls(folder: Path, run: RunRecord) -> tuple[CallRow, ...]:
    """Return the lines of llm_calls.jsonl. Raises DataError."""
    return cast(tuple[CallRow, ...], _read_lines(folder / "llm_calls.jsonl", CallRow, run))


def read_comparisons(folder: Path, run: RunRecord) -> tuple[ComparedRecord, ...]:
    """Return what comparisons.json lists; nothing where it cannot be read: it says nothing of the result."""
    try:
        found = _read_added(folder, run, COMPARISONS, Comparisons, "sim compare OTHER")
    except DataError:
        return ()
    listed = cast(Comparisons, found)["comparisons"] if found else []
    return tuple(one for one in listed if COMPARED.fullmatch(one["folder"]))


def _again(run: RunRecord) -> str:
    return f"`{run['command']}` writes it again"


def _read_added(folder: Path, run: RunRecord, name: str, kind: type, command: str) -> object:
    """Return a file that another command left in the folder; None where it did not run."""
    if not (folder / name).exists():
        return None
    # Such a file has no version of its own: an earlier program may have left it beside a result that stayed the same.
    return read_checked(folder / name, kind, f"`{command} {run['run_id']}` writes it again", older=True)


def read_document(path: Path, kind: type, run: RunRecord) -> object:
    """Return a JSON file that was written with `run`, held against its type. Raises DataError."""
    return read_checked(path, kind, _again(run), run["schema"] != SCHEMA)


def read_checked(path: Path, kind: type, mend: str, older: bool = False) -> object:
    """Return a JSON file held against its type. Raises DataError that tells to do `mend`."""
    content = _read_json(path, mend)
    try:
        schema.check(kind, content, older)
    except schema.MismatchError as error:
        raise DataError(str(error), where=str(path), mend=mend) from None
    return content


def _read_lines(path: Path, kind: type, run: RunRecord) -> tuple[object, ...]:
    mend, rows = _again(run), []
    for number, line in enumerate(_split_lines(_read_text(path, mend)), 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
            schema.check(kind, row, run["schema"] != SCHEMA)
        except schema.MismatchError as error:
            raise DataError(str(error), where=f"{path}:{number}", mend=mend) from None
        except (ValueError, RecursionError):
            raise DataError("is not JSON", where=f"{path}:{number}", mend=mend) from None
        rows.append(row)
    return tuple(rows)


def _split_lines(text: str) -> Iterator[str]:
    # One at a time: a list of them would leave holes in memory that nothing of a report fits into.
    start = 0
    while (end := text.find("\n", start)) >= 0:
        yield text[start:end]
        start = end + 1
    yield text[start:]


def _read_text(path: Path, mend: str) -> str:
    try:
        # Line ends as text files have them: those in a quoted field of a CSV, too.
        return files.read_text(path).replace("\r\n", "\n").replace("\r", "\n")
    except FileNotFoundError:
        raise DataError("is missing", where=str(path), mend=mend) from None
    except UnicodeDecodeError:
        raise DataError("is not UTF-8 text", where=str(path), mend=mend) from None
    except OSError as error:
        raise DataError(f"cannot be read ({error.strerror})", where=str(path), mend=mend) from None


def _read_json(path: Path, mend: str) -> dict[str, Any]:
    try:
        content = json.loads(_read_text(path, mend))
    except (ValueError, RecursionError) as error:
        raise DataError("is not JSON", where=f"{path}:{getattr(error, 'lineno', 1)}", mend=mend) from None
    if not isinstance(content, dict):
        raise DataError("is not a JSON object", where=str(path), mend=mend)
    return content


def _read_table(path: Path, columns: tuple[str, ...], mend: str) -> tuple[list[str], list[list[str]]]:
    """Return header and rows of a CSV file that has at least `columns`, every row as long as the header."""
    try:
        header, *rows = list(csv.reader(_read_text(path, mend).splitlines())) or [[]]
    except csv.Error as error:
        raise DataError(f"is not CSV ({error})", where=str(path), mend=mend) from None
    lacking = next((name for name in columns if name not in header), None)
    if lacking:
        raise DataError(f'has no column "{lacking}"', where=f"{path}:1", mend=mend)
    for number, row in enumerate(rows, 2):
        if len(row) != len(header):
            raise DataError(f"has {len(row)} fields, expected {len(header)}", where=f"{path}:{number}", mend=mend)
    return header, rows


def _read_series(path: Path, mend: str, columns: tuple[str, ...] = ()) -> tuple[tuple[date, ...], dict[str, Series]]:
    """Return the sessions of a table, and its other columns as arrays with NaN for what is empty."""
    lines = _read_text(path, mend).splitlines()
    numbers: Series = np.empty((0, 0))
    sessions: list[date] = []
    try:
        rows = csv.reader(lines)
        header = next(rows, [])
        if not {"session", *columns} <= {*header}:
            raise ValueError("a column is not there")
        days, numbers = header.index("session"), np.empty((len(lines), len(header)))
        for n, row in enumerate(rows):  # one at a time: texts take many times the room of their numbers
            if len(row) != len(header):
                raise ValueError("a row is as long as the header")
            sessions.append(date.fromisoformat(row[days]))
            row[days] = ""
            numbers[n] = [float(text) if text else math.nan for text in row]
            if not np.isfinite(numbers[n]).all():
                numbers[n] = [_number(text) for text in row]
    except (ValueError, csv.Error):  # from the beginning, to say where
        header, table = _read_table(path, ("session", *columns), mend)
        _parse_rows(
            path, header, table, [date.fromisoformat if name == "session" else _number for name in header], mend
        )
        raise
    series = {name: numbers[: len(sessions), n].copy() for n, name in enumerate(header) if name != "session"}
    renamed = {ACCOUNT + n[len(MEMBER) :] if n.startswith(MEMBER) else n: values for n, values in series.items()}
    return tuple(sessions), renamed


def _read_rows(path: Path, kind: type[R], mend: str) -> RowTable[R]:
    """Return the rows of a table as `kind`, whose fields name its columns."""
    tabled = [field for field in fields(kind) if not field.kw_only]  # an order's exits stand with its decision
    names = [field.name for field in tabled]
    parsers = [_PARSERS.get(field.name) or _PARSERS.get(str(field.type), str) for field in tabled]
    columns: dict[str, list[object]] = {name: [] for name in names}
    known: list[dict[str, object]] = [{} for _ in names]  # what recurs is read once, and held once
    text = _read_text(path, mend).removesuffix("\n")
    lines = csv.reader(line for piece in _split_lines(text) for line in piece.splitlines() or [""])
    try:
        header = next(lines, [])
        at = [header.index(name) for name in names]
        while rows := list(islice(lines, ROWS_AT_ONCE)):
            if any(len(row) != len(header) for row in rows):
                raise ValueError("a row is as long as the header")
            for values, n, parse, texts in zip(columns.values(), at, parsers, known, strict=True):
                for text in {row[n] for row in rows}.difference(texts):
                    texts[text] = parse(text)
                values += [texts[row[n]] for row in rows]
    except (ValueError, csv.Error):  # from the beginning, to say where
        header, rows = _read_table(path, tuple(names), mend)
        at = [header.index(name) for name in names]
        _parse_rows(path, names, [[row[n] for n in at] for row in rows], parsers, mend)
        raise
    return RowTable(kind, columns)


def _parse_rows(
    path: Path, names: list[str], rows: list[list[str]], parsers: list[Callable[[str], Any]], mend: str
) -> list[list[Any]]:
    try:
        return [[parse(text) for parse, text in zip(parsers, row, strict=True)] for row in rows]
    except ValueError:
        pass
    for number, row in enumerate(rows, 2):
        for name, parse, text in zip(names, parsers, row, strict=True):
            try:
                parse(text)
            except ValueError:
                where = f"{path}:{number}"
                what = "a number" if parse not in (date.fromisoformat, _instant) else "a time"
                raise DataError(f'{name} was "{text[:40]}", not {what}', where=where, mend=mend) from None
    raise AssertionError("a table is read once and for all")


def _number(text: str) -> float:
    """Return the number of a field, NaN where it is empty. Raises ValueError for one that is not finite."""
    return _finite(text) if text else math.nan


def _finite(text: str) -> float:
    if not math.isfinite(number := float(text)):
        raise ValueError(text)
    return number


def _instant(text: str) -> int:
    return instant(datetime.fromisoformat(text))


_PARSERS: dict[str, Callable[[str], Any]] = {
    **dict.fromkeys(("at", "submitted_at", "entry_at"), _instant),
    "exit_at": lambda text: _instant(text) if text else None,
    "int": int,
    "int | None": lambda text: int(text) if text else None,
    "float": _finite,
    "float | None": lambda text: _finite(text) if text.strip() else None,
}
"""By the name of a field, else by its annotation; what is neither is text."""
