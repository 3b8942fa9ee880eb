"""Check of events of forward tests by the readers that a loop, the pages and a report read them with."""

from __future__ import annotations

from collections import defaultdict
from datetime import datetime
from itertools import chain

from simulator.errors import SimError
from simulator.forward.approvals import KINDS, Approval, fold
from simulator.forward.closing import KIND as CLOSING
from simulator.forward.closing import read
from simulator.forward.state import State
from simulator.store.database import Store
from simulator.store.events import Stored
from simulator.trading.orders import Origin

FACTS: dict[str, tuple[str, ...]] = {
    "forward.registered": ("digest",),
    "forward.stopped": ("why",),
    "forward.paused": ("why",),
    "forward.resumed": ("why",),
    "forward.asked": ("name",),
    "forward.point": ("name", "state"),
    "forward.alert": ("kind", "text"),
    "part.added": ("parts",),
    "run.recorded": ("folder",),
    "web.acted": ("by", "action"),
    "question.answered": ("question", "by"),
}
"""Facts without which an event says nothing, of kinds that have no reader of their own."""


def refuse_unreadable(store: Store) -> None:
    """Raise SimError at the first event of a forward test, a page, a question or a run's folder that no reader
    understands; events in a run are read where its tables are computed."""
    states: dict[tuple[str, str], State] = {}
    trades: dict[str, dict[str, Approval]] = defaultdict(dict)
    for stored in chain(store.of_forward(None), store.evidence({str(one["run_id"]) for one in store.runs()})):
        try:
            _read(stored, states, trades)
        except (KeyError, ValueError, TypeError, AttributeError, IndexError) as error:
            why = f"no {error}" if isinstance(error, KeyError) else str(error).splitlines()[0]
            what = f"event {stored.position}, {stored.event.kind} of {stored.run_id}, cannot be read: {why}"
            raise SimError(what) from None


def _read(stored: Stored, states: dict[tuple[str, str], State], trades: dict[str, dict[str, Approval]]) -> None:
    event, run = stored.event, stored.run_id
    if event.at is not None:
        datetime.fromisoformat(event.at)
    for name in FACTS.get(event.kind, ()):
        _ = event.payload[name]
    if event.kind in KINDS:
        if event.kind != "approval.asked":
            _ = event.payload["id"], int(event.payload["version"])
        trades[run] = fold(trades[run], [stored])
    elif event.kind == CLOSING:
        if event.payload["state"] == "done":
            read(event.payload)
        _ = event.payload["thrown"]
    elif event.kind == "forward.started" and not event.payload:
        raise KeyError("strategy")
    else:
        for name, one in dict(event.payload.get("opening", {})).items():
            _ = str(one["number"])
            states.setdefault((run, name), State(Origin(run, name))).begin(one)
        account = event.account or ""
        states.setdefault((run, account), State(Origin(run, account))).apply(event.kind, event.payload)
