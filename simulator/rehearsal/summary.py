"""Summary of a rehearsal: a row an account, from the events that it left."""

from __future__ import annotations

from collections import Counter
from typing import Any

from simulator.forward.alerts import SERIOUS
from simulator.forward.session import Session
from simulator.rehearsal.rehearse import Rehearsal


def summarise(rehearsal: Rehearsal, session: Session) -> dict[str, object]:
    """Return what `sim rehearse --json` prints."""
    last: dict[str, Any] = {}
    days: set[str] = set()
    refused: list[str] = []
    alerts: Counter[str] = Counter()
    for stored in session.store.of_forward(session.run):
        if stored.event.kind == "forward.session":
            last[str(stored.event.account)] = stored.event.payload
            days.add(stored.event.payload["session"])
        elif (kind := stored.event.payload.get("kind")) == "deed refused":
            refused.append(stored.event.payload["text"])
        elif stored.event.kind == "forward.alert" and kind in SERIOUS:
            alerts[kind] += 1
    accounts = {
        trader.name: {
            "orders": trader.state.sent,
            "fills": len(trader.fills),
            "equity": last[trader.name]["equity"],
            "positions": last[trader.name]["positions"],
            "broker_equity": last[trader.name]["broker_equity"],
            "unexplained": last[trader.name]["unexplained"],
        }
        for trader in session.traders
        if trader.name in last
    }
    return {
        "run": session.run,
        "digest": rehearsal.registration.digest,
        "strategy": session.strategy.name,
        "from": str(session.first),
        "to": str(session.last),
        "sessions": len(days),
        "accounts": accounts,
        "refused": refused,
        "alerts": dict(alerts),
        "left_alone": {one.name: one.barred for one in session.traders if one.barred},
        "unbooked": [one.name for one in session.evening.owed],
        "dir": str(rehearsal.folder),
    }
