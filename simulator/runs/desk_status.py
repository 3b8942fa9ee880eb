"""State of the desk of a workspace, read from outside: forward loop or last replay, money, the next point.

heartbeats, forward.* events ─┐
newest run folder of a desk ──┼─► desk_status ─► running, mode, workflow_state, daily_cost, …, next_task
shared_ledger.db, schedule ───┘
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TypedDict

from simulator.config import load_config
from simulator.desk.records import last_workflow
from simulator.desk.spec import DeskDefinition, load_definition
from simulator.desk.strategy import Desk
from simulator.errors import SimError
from simulator.evidence.reader import read_decisions, read_run
from simulator.evidence.records import Record
from simulator.forward.payloads import read_intent
from simulator.forward.status import Status, read_status
from simulator.llm.spending import shared_ledger
from simulator.market.bars import moment
from simulator.market.calendar import NEW_YORK, sessions
from simulator.runs.strategies import available, find_strategy, is_desk_file
from simulator.store.database import open_store
from simulator.store.events import Stored
from simulator.store.folders import dated_folders, is_of_person
from simulator.trading.schedule import make_schedule
from simulator.workspace import Workspace, find_workspace

AHEAD = timedelta(days=10)
"""No stretch of days without a session is longer."""
NEWEST = 50
"""Run folders among which the last one of a desk is looked for."""


class DeskStatus(TypedDict):
    """State of a desk. `workflow_state` is in small letters; `daily_cost` and `budget_remaining` are dollars of all
    runs of the workspace on this UTC day; `next_task` is (point, New York time) of what is due next, ``next_at``
    its instant; `trades_today` counts fills of forward accounts; `last` is the run or test looked at."""

    running: bool
    mode: str
    workflow_state: str
    daily_cost: float
    budget_remaining: float
    trades_today: int
    next_task: tuple[str, str] | None
    next_at: str | None
    strategy: str | None
    last: str | None


def status(workspace: str | os.PathLike[str] | None = None) -> DeskStatus:
    """Return the state of the desk of a workspace, that of the current folder where none is named."""
    return desk_status(find_workspace(None if workspace is None else os.fspath(workspace)))


def desk_status(workspace: Workspace, now: datetime | None = None) -> DeskStatus:
    """Return the state of the workspace's desk: of its forward loop where there was one, else its last replay."""
    at = now or datetime.now(UTC)
    desks = [
        name for name in available(workspace.strategies) if is_desk_file(find_strategy(name, workspace.strategies))
    ]
    loop, stored = _newest_loop(workspace, desks, at)
    name = loop.strategy if loop is not None else desks[0] if desks else None
    spent, held = _spent_today(workspace)
    found = _next(load_definition(find_strategy(name, workspace.strategies), workspace.config), at) if name else None
    running = loop is not None and loop.health in ("at work", "late")
    run, records = (None, []) if loop is not None else _last_replay(workspace, desks)
    if loop is not None:
        intents = (one.event for one in stored if one.event.kind == "forward.intent")
        run, records = loop.run, [read_intent(one.payload).decision.record for one in intents]
    workflow = last_workflow(records)
    today = at.astimezone(NEW_YORK).date()
    fills = [one.event.at for one in stored if one.event.kind == "forward.fill" and one.event.at is not None]
    return {
        "running": running,
        "mode": loop.mode if loop is not None else "backtest",
        "workflow_state": (workflow["state"] if workflow else "IDLE").lower(),
        "daily_cost": spent,
        "budget_remaining": max(0.0, load_config(workspace.config).models.max_usd_per_day - spent - held),
        "trades_today": sum(datetime.fromisoformat(one).astimezone(NEW_YORK).date() == today for one in fills),
        "next_task": found and (found[0], f"{found[1]:%H:%M:%S}"),
        "next_at": found and found[1].isoformat(),
        "strategy": name,
        "last": run,
    }


def _newest_loop(workspace: Workspace, desks: Iterable[str], at: datetime) -> tuple[Status | None, list[Stored]]:
    """Return the desk's loop that beat last and its events."""
    with open_store(workspace) as store:
        loops = [one for one in read_status(workspace, store, at) if one.strategy in desks]
        return (loops[-1], store.of_forward(loops[-1].run)) if loops else (None, [])


def _last_replay(workspace: Workspace, desks: Iterable[str]) -> tuple[str | None, list[Record]]:
    """Return the id of the run of a desk that a person made last and the records of its decisions; damaged folders are
    passed over."""
    written = dated_folders(workspace.reports)
    for name in sorted(written, key=lambda one: -written[one])[:NEWEST]:
        folder = workspace.reports / name
        try:
            run = read_run(folder)
            if run["strategy"] in desks and is_of_person(folder):
                rows = read_decisions(folder / "decisions.jsonl", run)
                return run["run_id"], [row["record"] for row in rows]
        except SimError:
            continue
    return None, []


def _spent_today(workspace: Workspace) -> tuple[float, float]:
    """Return dollars spent and promised today; nothing where no model was ever asked."""
    if not (workspace.cache / shared_ledger.FILE).exists():
        return 0.0, 0.0
    ledger = shared_ledger.SharedLedger(workspace.cache)
    try:
        with ledger.transaction() as db:
            money = ledger.spending(db, "")
    finally:
        ledger.close()
    return money.day, money.day_held


def _next(definition: DeskDefinition, now: datetime) -> tuple[str, datetime] | None:
    """Return the desk's next point and its instant in New York time; None where all are switched off."""
    points = tuple(replace(point, always=True) for point in Desk(definition).points)
    today = now.astimezone(NEW_YORK).date()
    on = sessions(today, today + AHEAD)
    schedule = make_schedule(points, on, on.closes_at)
    following = schedule.following(now)
    if following is None:
        return None
    return schedule.names[following], moment(int(schedule.instants[following])).astimezone(NEW_YORK)
