"""Audit trail: who did what, when, having seen what; the newest first, page by page, as far back as the store goes.

events ──► places of deeds, one for all logins of a token in an hour (kept) ──► a page of them ──► read from the store
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from simulator.forward.approvals import KINDS, Approval, read_approvals, read_outcomes
from simulator.forward.closing import KIND as CLOSING
from simulator.forward.closing import list_closed
from simulator.forward.closing import read as read_closed
from simulator.store.database import Store
from simulator.store.events import Stored
from simulator.store.kept import Kept
from simulator.web.actions import LOGGED_IN, LOGIN_REFUSED, RUN

PAGE = 500
"""Lines of a page."""
ADDRESSES = 100
"""Addresses of an hour that are told apart: strangers name as many as they like."""


@dataclass
class Logins:
    """Logins of one token in one hour, or tries of strangers: who makes many fills no page with them."""

    last: int
    first_at: str
    count: int = 0
    addresses: set[str] = field(default_factory=set)


@dataclass
class Trail:
    """Places of deeds in the store, oldest first, and the logins behind those that stand for several."""

    places: dict[int, None] = field(default_factory=dict)
    logins: dict[tuple[str, str, str], Logins] = field(default_factory=dict)

    def take(self, stored: Stored) -> None:
        """Add an event; those that nobody is behind are none of the trail."""
        given, kind = stored.event.payload, stored.event.kind
        if not (given.get("by") or kind in ("approval.expired", CLOSING)):
            return
        if (key := _key(stored)) is not None:
            hour = self.logins.setdefault(key, Logins(stored.position, stored.recorded_at))
            self.places.pop(hour.last, None)
            hour.last, hour.count = stored.position, hour.count + 1
            if len(hour.addresses) < ADDRESSES:
                hour.addresses.add(str(given.get("from", "?")))
        self.places[stored.position] = None


def _key(stored: Stored) -> tuple[str, str, str] | None:
    """Return action, person and hour of a login, None for any other deed."""
    given = stored.event.payload
    action = str(given.get("action"))
    return (action, str(given["by"]), stored.recorded_at[:13]) if action in (LOGGED_IN, LOGIN_REFUSED) else None


_trails = Kept(("web.acted", CLOSING, *KINDS), Trail, Trail.take)


def look_at_audit(store: Store, before: int | None = None) -> dict[str, Any]:
    """Return a page of deeds, the newest first, those before the place `before` alone where it is given; and the place
    before which the next page begins, None where there is none."""
    with _trails.of(store) as trail:
        places = list(trail.places)
        end = len(places) if before is None else bisect_left(places, before)
        chosen = places[max(0, end - PAGE) : end]
        deeds = store.at(chosen)
        said = {one.position: _say_logins(trail, one) for one in deeds}
    trades = {one.id: one for one in read_approvals(store)}
    given = {str(one.event.payload.get("id")) for one in deeds if one.event.kind == "approval.given"}
    told = {_trade(trades[id]) for id in given & trades.keys()}
    outcomes = read_outcomes(store, [one for one in trades.values() if _trade(one) in told])
    symbols = {id: f"{one.symbol} in {', '.join(one.sizes)}" for id, one in trades.items()}
    lines = [{**_line(one, symbols, outcomes), **said[one.position]} for one in deeds[::-1]]
    return {"lines": lines, "older": chosen[0] if end > PAGE else None, "is_newest": before is None}


def _trade(asked: Approval) -> tuple[str, str, str]:
    return asked.run, asked.decided_at, asked.symbol


def _say_logins(trail: Trail, stored: Stored) -> dict[str, str]:
    """Return what stands in the place of about and action where the event is the last of several logins."""
    key = _key(stored)
    if key is None or (found := trail.logins[key]).count == 1:
        return {}
    addresses = sorted(found.addresses)
    many = " or more" if len(addresses) == ADDRESSES else ""
    where = f"{len(addresses)}{many} {'address' if len(addresses) == 1 else 'addresses'}: {', '.join(addresses[:3])}"
    others = " and others" if len(addresses) > 3 else ""
    return {"about": f"{found.count} times since {found.first_at[11:19]}, from {where}{others}"}


def _line(
    stored: Stored, symbols: Mapping[str, str], outcomes: Mapping[str, Mapping[str, Sequence[str]]]
) -> dict[str, str]:
    payload = stored.event.payload
    seen = f"version {payload['seen_version']}, {payload['seen']}" if "seen" in payload else ""
    if payload.get("price"):
        seen += f", price {payload['price']:g} of {payload.get('price_at') or 'an unknown instant'}"
    changed = ", ".join(f"{name} {value:g}" for name, value in payload.get("changes", {}).items())
    id, done = str(payload.get("id", "")), stored.event.kind == "approval.given"
    about = [symbols.get(id), *(payload.get(name) for name in ("id", "run", "what", "reason"))]
    about += [f"{name}: {'; '.join(came)}" for name, came in outcomes.get(id, {}).items() if done]
    action = str(payload.get("action", stored.event.kind))
    if stored.event.kind == CLOSING:
        action = f"close-all {payload['state']}"
        about += list_closed(read_closed(payload))
    return {
        "when": stored.recorded_at,
        "by": str(payload.get("by", "the loop")),
        "action": action,
        "about": " · ".join(str(one) for one in about if one),
        "seen": seen,
        "changed": changed,
        "run": "" if stored.run_id == RUN else stored.run_id,
    }
