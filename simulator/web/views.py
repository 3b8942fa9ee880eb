"""Facts of each page, read from store, heartbeats and folders. Nothing is computed that another room computes."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from threading import Lock
from typing import Any
from weakref import WeakKeyDictionary

from simulator.analysis.forward_facts import gather_facts, read_test
from simulator.config import load_config
from simulator.errors import SimError, UsageError
from simulator.forward.approvals import read_approvals, read_outcomes
from simulator.forward.closing import find_owed
from simulator.forward.project import project
from simulator.forward.registration import FILE, find_folder
from simulator.forward.review import review
from simulator.forward.status import find_unchecked, read_status
from simulator.forward.switches import read_switches
from simulator.forward.worth import read_worth
from simulator.rehearsal.shadow import Decided
from simulator.report import forward_page
from simulator.report.sections.forward import tabulate_alerts
from simulator.runs.strategies import available
from simulator.store.database import Store
from simulator.store.events import Stored
from simulator.web.feed import describe
from simulator.web.holdings import read_book
from simulator.web.reports import list_reports
from simulator.web.timeline import read_timeline
from simulator.workspace import Workspace

NEWEST = 200
DECIDED = Decided()
TOLD = 20
"""Newest answers of which it is told what came of their orders."""
ORDERS = 40
"""Newest orders that are shown of a test."""


def look_over(workspace: Workspace, store: Store) -> dict[str, Any]:
    """Return loops with their accounts, switches and the newest events."""
    newest = store.newest_forward(NEWEST)[::-1]
    strategies, profiles, why = tuple[str, ...](), list[str](), ""
    try:
        strategies, models = available(workspace.strategies), load_config(workspace.config).models
        profiles = sorted(models.profiles, key=lambda name: name != models.default)
    except SimError as error:  # nothing can be started then; loops and switches are shown all the same
        why = str(error)
    waiting: dict[str, list[str]] = {}
    trades = read_approvals(store)
    for trade in trades:
        if trade.state == "waiting":
            waiting.setdefault(trade.run, []).append(trade.deadline)
    return {
        "waiting": {run: (len(until), min(until)) for run, until in waiting.items()},
        "unchecked": find_unchecked(workspace, store, trades),
        "loops": read_status(workspace, store)[::-1],
        "owed": find_owed(store),
        "worth": read_worth(workspace, store),
        "switches": read_switches(workspace),
        "strategies": strategies,
        "profiles": profiles,
        "why": why,
        "events": _list_events(newest),
        "now": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def look_at_approvals(workspace: Workspace, store: Store) -> dict[str, Any]:
    """Return trades that wait, those that were answered, and accounts of which nobody knows what waits."""
    known = read_approvals(store)
    silent = find_unchecked(workspace, store, known)
    reviewed, answered = review(workspace, known), [one for one in known if one.state != "waiting"][::-1][:NEWEST]
    return {
        "waiting": [(one, reviewed[one.id]) for one in known if one.state == "waiting"],
        "answered": answered,
        "outcomes": read_outcomes(store, answered[:TOLD]),
        "unchecked": {(run, name): why for run, accounts in silent.items() for name, why in accounts.items()},
    }


def look_at_test(workspace: Workspace, store: Store, run: str) -> dict[str, Any]:
    """Return a forward test: its loop, accounts, verdict, timeline and registration. Raises UsageError for none."""
    loops = [one for one in read_status(workspace, store) if one.run == run]
    facts = _read_test(workspace, store, run)
    if not facts:
        raise UsageError(f'no forward test "{run}"', mend="the overview lists them")
    return {
        **facts,
        "loop_": loops[-1] if loops else None,
        "worth": read_worth(workspace, store).get(run, {}),
        "owed": find_owed(store),
        "strategy": loops[-1].strategy if loops else facts["strategy"],
        "switches": read_switches(workspace),
    }


@dataclass(eq=False)
class Looked:
    """Facts of a forward test that follow from its events and its registration, as they were `after` the newest event
    and the last writing of that file."""

    after: tuple[Stored | None, int | None] = (None, None)
    facts: dict[str, Any] = field(default_factory=dict)
    turn: Lock = field(default_factory=Lock)


LOOKED: WeakKeyDictionary[Store, defaultdict[str, Looked]] = WeakKeyDictionary()


def _read_test(workspace: Workspace, store: Store, run: str) -> dict[str, Any]:
    """Return what the events of a test say, none where there are none; it is worked out once, however many look on."""
    if store.newest_event(run) is None:
        return {}
    looked = LOOKED.setdefault(store, defaultdict(Looked))[run]
    with looked.turn:
        now = store.newest_event(run), _find_written(workspace, run)
        if looked.after == now:
            return looked.facts
        stored = store.of_forward(run)
        started = next((one.event.payload for one in stored if one.event.kind == "forward.started"), {})
        held, orders = read_book(stored)
        looked.facts = {
            "run": run,
            "strategy": str(started.get("strategy", run)),
            **_describe(workspace, run, stored),
            "bills": read_bills(stored),
            "held": held,
            "orders": orders[:ORDERS],
            "events": _list_events(stored[-NEWEST:][::-1]),
            "occasions": read_timeline(stored),
        }
        looked.after = now
        return looked.facts


def _find_written(workspace: Workspace, run: str) -> int | None:
    """Return the instant at which the registration of a test was written last, None where there is none."""
    with suppress(SimError, OSError):
        return (find_folder(workspace.reports, run) / FILE).stat().st_mtime_ns
    return None


def look_at_holdings(workspace: Workspace, store: Store, run: str) -> dict[str, Any]:
    """Return what the accounts of a test hold at the prices of this moment, read again every few seconds."""
    held = _read_test(workspace, store, run).get("held", ())
    return {"held": held, "worth": read_worth(workspace, store).get(run, {})}


def _describe(workspace: Workspace, run: str, stored: Sequence[Stored]) -> dict[str, Any]:
    """Return the page of a test, None before its first close and where it cannot be had, and what is told all the
    same: why, its alerts and its registration."""
    found: dict[str, Any] = {"page": None, "why": "", "registration": (), "digests": ()}
    try:
        folder, record, registration, trials = read_test(workspace, run, stored)
    except SimError as error:
        return {**found, "why": error.found, "alerts": tabulate_alerts(project(run, stored).alerts)}
    found["alerts"] = tabulate_alerts(record.alerts)
    found["registration"] = forward_page.list_registration(registration, record.spans)
    found["digests"] = forward_page.list_digests(registration)
    try:
        facts = gather_facts(record, registration, trials, DECIDED(workspace, run, folder, record))
        return {**found, "page": forward_page.compose(facts)}
    except SimError as error:
        return {**found, "why": error.found}


def read_bills(stored: Sequence[Stored]) -> dict[str, float]:
    """Return what the models of a test were asked, what of it failed, and their dollars; all since it began."""
    points = [one.event.payload for one in stored if one.event.kind == "forward.point"]
    return {name: sum(float(one.get(name, 0.0)) for one in points) for name in ("calls", "failed_calls", "cost_usd")}


def _list_events(newest: Sequence[Stored]) -> list[tuple[str, str, str, str]]:
    return [(one.recorded_at, one.event.kind, one.event.account or "", describe(one)) for one in newest]


def look_at_runs(workspace: Workspace, store: Store) -> dict[str, Any]:
    """Return the runs on record and the pages there are."""
    pages = list_reports(workspace.reports)
    return {
        "pages": pages,
        "runs": store.runs()[::-1][:NEWEST],
        "folders": {one.partition("/")[0]: one for one in pages},
    }
