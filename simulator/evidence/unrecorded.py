"""Run folders that the store does not know: after a kill, from another machine, or of a store that is gone.

They were looked at like all others, so they are listed and counted as trials; `sim db rebuild` records them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from simulator.errors import DataError
from simulator.evidence.sweep_trials import UnrecordedSweep, sweep_facts, unfinished_sweeps, unrecorded_sweeps
from simulator.files import read_bytes
from simulator.store.events import Event, Kind, definition_of
from simulator.store.folders import added_later, dated_folders
from simulator.store.listing import Listing, by_run, list_results
from simulator.workspace import Workspace

# What reads a folder is imported where one is read: mostly there is none to read, and lists are wanted at once.
if TYPE_CHECKING:
    from simulator.evidence.records import DecisionRow, RunRecord
    from simulator.store.database import Store

COUNCIL_EVENTS: Mapping[object, Kind] = {"council": "meeting.held", "checkpoint": "checkpoint.held"}
"""Kinds of record that are events of their own; what members did shows in their fills."""

MOST_FILLS = 20_000
"""Fills of an account that the store holds as events; of one with more they stand in its folder alone."""

Row = Mapping[str, object]
"""A row of the registry: `simulator.store.database.Store.results`."""


@dataclass(frozen=True)
class Unrecorded:
    """A run folder without its result in the store, and when it was written (ISO, UTC)."""

    folder: Path
    run: RunRecord
    written_at: str

    @property
    def row(self) -> Row:
        """The folder as a row of the registry, though it has none."""
        run = self.run
        kept = ("run_id", "digest", "strategy", "symbols", "parameters", "metrics", "partial")
        return {
            **{name: run.get(name) for name in kept},
            "definition": definition_of(run),
            "bar_months": run.get("bar_months"),
            "first": run["from"],
            "last": run["to"],
            "folder": self.folder.name,
            "times": 1,
            "first_run_at": self.written_at,
            "last_run_at": self.written_at,
            "event": None,
        }


@dataclass(frozen=True)
class Folders:
    """Run folders without their results in the store, the oldest first; names of the unreadable, and of all."""

    found: tuple[Unrecorded, ...]
    broken: tuple[str, ...] = ()
    names: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Seen:
    """Rows of every result somebody saw, and the names of the run folders there are.

    `at_least` says why there may have been more; it is empty where nothing tells so.
    """

    rows: tuple[Row, ...]
    at_least: str = ""
    folders: frozenset[str] = frozenset()


def find_unrecorded(results: Sequence[Row], reports: Path) -> list[Unrecorded]:
    """Return the run folders of `reports` whose result is not among `results`, see `compare_folders`."""
    return list(compare_folders(results, reports).found)


def compare_folders(results: Sequence[Row], reports: Path) -> Folders:
    """Return the run folders of `reports` whose result is not among `results`, all rows of the registry.

    A folder that was not written since its name was last recorded is not opened, nor is one parsed whose run.json is
    known byte by byte; one that cannot be read, or whose files have changed, is named by `sim verify --all`.
    """
    known = {(row["run_id"], row["digest"]) for row in results}
    contents = {row.get("run_json") for row in results}
    seen: dict[str, str] = {}
    for row in results:
        name = str(row["folder"])
        seen[name] = max(str(row["last_run_at"]), seen.get(name, ""))
    found, broken = [], []
    folders = dated_folders(reports)
    for name, written_ns in folders.items():
        recorded_at = seen.get(name)
        if recorded_at and written_ns <= datetime.fromisoformat(recorded_at).timestamp() * 1e9:
            continue
        from simulator.evidence.reader import read_run
        from simulator.evidence.verify import check_parts

        folder = reports / name
        try:
            if hashlib.sha256(read_bytes(folder / "run.json")).hexdigest() in contents:
                continue
            run = read_run(folder)
            written_at = datetime.fromtimestamp(written_ns / 1e9, UTC).isoformat(timespec="microseconds")
            if (run["run_id"], run["digest"]) not in known:
                check_parts(folder, run)
                found.append(Unrecorded(folder, run, written_at))
        except FileNotFoundError:
            continue  # replaced or removed meanwhile
        except (DataError, OSError):
            broken.append(name)
    return Folders(tuple(sorted(found, key=lambda one: one.written_at)), tuple(broken), frozenset(folders))


def all_results(place: Path | str, reports: Path) -> Seen:
    """Return every result somebody saw: those of the store at `place`, then those that only their folders tell of."""
    listing = list_results(place)
    seen = add_folders(listing, compare_folders(listing.rows, reports))
    sweeps = [one.row for one in unrecorded_sweeps(listing.rows, reports)]
    begun, unknown = unfinished_sweeps(reports)
    if begun:
        known = {(row["run_id"], row["digest"]) for row in listing.rows}
        sweeps += [row for row in begun if (row["run_id"], row["digest"]) not in known]
    if unknown:
        why = f"of {', '.join(unknown[:3])}, not finished, nothing tells the bars"
        seen = replace(seen, at_least="; ".join(filter(None, (seen.at_least, why))))
    return replace(seen, rows=(*seen.rows, *sweeps)) if sweeps else seen


def add_folders(listing: Listing, folders: Folders) -> Seen:
    """Return what the store lists and only folders tell of, and whether there may have been more."""
    results, began = listing.rows, listing.began
    first = [one.written_at for one in folders.found] + [str(row["first_run_at"]) for row in results]
    why = ["run folders are older than the store"] if first and (began is None or min(first) < began) else []
    if folders.broken:
        why.append(f"{', '.join(folders.broken[:3])} cannot be read")
    return Seen((*results, *(one.row for one in folders.found)), "; ".join(why), folders.names)


def list_runs(workspace: Workspace, short: bool = False) -> list[Row]:
    """Return the distinct runs of a workspace as rows, the newest last; ``recorded`` is False where only a folder tells
    of one. With `short` they have the few metrics that lists are made of, and are there at once."""
    from simulator.store.connection import store_place

    results = list_results(store_place(workspace.registry), short).rows
    # Rows of runs lack "sweep": what a row is shows in what it has.
    told = ({name: value for name, value in row.items() if name != "sweep" or value} for row in by_run(results))
    rows: list[Row] = [{**row, "recorded": True} for row in told]
    others: tuple[Unrecorded | UnrecordedSweep, ...] = (
        *find_unrecorded(results, workspace.reports),
        *unrecorded_sweeps(results, workspace.reports),
    )
    found = [{**one.row, "recorded": False} for one in others]
    return sorted([*rows, *found], key=lambda row: str(row["first_run_at"])) if found else rows


def record_unrecorded(store: Store, reports: Path) -> list[str]:
    """Record every run folder the store does not know, the oldest first; returns their names."""
    from simulator.evidence.verify import part_digests, sha256

    found = find_unrecorded(store.results(), reports)
    for one in found:
        digest = sha256(read_bytes(one.folder / "run.json"))
        facts = {**one.run, "parameters": one.run["parameters"] or {}}
        further = {"run_json": digest, "first_run_at": one.written_at}
        store.record_run(facts, one.folder.name, _events(one.folder, one.run), **further)
        if added := added_later(one.folder, one.run["digest"]):
            store.record_parts(one.run["run_id"], one.run["digest"], part_digests(added))
    sweeps = unrecorded_sweeps(store.results(), reports)
    for sweep in sweeps:
        digest, at = sha256(read_bytes(sweep.folder / "study.json")), sweep.written_at
        store.record_run(sweep_facts(sweep.record), sweep.folder.name, run_json=digest, first_run_at=at)
    return [*(one.folder.name for one in found), *(one.folder.name for one in sweeps)]


def _events(folder: Path, run: RunRecord) -> list[Event]:
    """Events of a run as `simulator.runs.run_events` has them; none where a folder of an earlier version lacks some."""
    from simulator.evidence.reader import read_calls, read_decisions
    from simulator.market.bars import instant

    try:
        own, calls = run["account"], read_calls(folder, run)
        events = [*_meetings(read_decisions(folder / "decisions.jsonl", run), own, 0)]
        for number in range(1, run["replicates"]["count"]):
            path = folder / f"decisions-replicate-{number}.jsonl"
            events += _meetings(read_decisions(path, run), own, number)
        accounts: list[str | None] = [one["name"] for one in run["accounts"]]
        for account in accounts or [None]:
            events += _fills(folder, run, account)
    except (DataError, KeyError):
        return []
    events.sort(key=lambda event: instant(datetime.fromisoformat(str(event.at))))
    return [*events, *([Event("calls.made", None, None, {"calls": [dict(call) for call in calls]})] if calls else [])]


def _meetings(decisions: Sequence[DecisionRow], account: str | None, replicate: int) -> Iterator[Event]:
    from simulator.council.records import council_record

    for row in decisions:
        record = council_record(row["record"])
        if record is None or record["kind"] not in COUNCIL_EVENTS:
            continue
        payload = {"as_of": row["as_of"], "session": row["session"], "record": row["record"]}
        again = {"replicate": replicate} if replicate else {}
        yield Event(COUNCIL_EVENTS[record["kind"]], row["as_of"], account, {**payload, **again})


def _fills(folder: Path, run: RunRecord, account: str | None) -> Iterator[Event]:
    from simulator.evidence.reader import read_books
    from simulator.evidence.rows import exchange_time

    books = read_books(folder, run, account)
    if len(books.fills) > MOST_FILLS:
        return
    decided = {order.id: exchange_time(order.submitted_at) for order in books.orders}
    for fill in books.fills:
        at = exchange_time(fill.at)
        payload = {**vars(fill), "at": at, "session": at[:10], "decided_at": decided.get(fill.order_id)}
        yield Event("order.filled", at, account, payload)
