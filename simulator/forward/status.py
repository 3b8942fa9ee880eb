"""State of the forward loops of a workspace, read from outside: heartbeats, switches, store and log.

heartbeat-RUN.json ─┐
forward.* events ───┼─► read_status ─► Status of each loop: at work or not, what comes next, books, alerts
forward.stop, pause ┘
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Protocol

from simulator.forward.alerts import LEFT_ALONE
from simulator.forward.approvals import Approval, read_unchecked
from simulator.forward.programs import list_changes
from simulator.forward.state import State
from simulator.forward.switches import Heartbeat, read_heartbeats
from simulator.store.database import Store
from simulator.store.events import Stored
from simulator.trading.orders import Origin
from simulator.workspace import Workspace

ALERTS = 5
"""Newest alerts that are shown of a loop."""


class Events(Protocol):
    """Source of the events of a forward run; `simulator.store.Store` is one."""

    def of_forward(self, run_id: str) -> list[Stored]: ...


@dataclass(frozen=True)
class Standing:
    """An account by our own books: number at the broker, dollars at the last close booked (None before the first),
    and signed shares with all fills since. Where the store has not even its opening, it is not `on_record`: that it
    shows no shares says nothing."""

    number: str
    equity: float | None
    cash: float | None
    session: str | None
    positions: Mapping[str, float]
    on_record: bool = True
    began: float | None = None
    """Dollars of equity with which the test began."""

    @property
    def pnl(self) -> float | None:
        """Dollars won by the last close booked, None before the first."""
        return None if self.equity is None or self.began is None else self.equity - self.began

    @property
    def without_shares(self) -> str:
        """Return the word for no positions."""
        return "flat" if self.on_record else "positions unknown: the store has lost this test"


@dataclass(frozen=True)
class Status:
    """State of a loop. `health` is ``at work``, ``late`` (its heart has not beaten in time), ``gone`` (killed, or its
    machine was), ``given up`` (gone, but a rehearsal, or another loop has its account by now) or ``stopped``; `age_s`
    the seconds since its last heartbeat; instants are ISO."""

    run: str
    strategy: str
    mode: str
    health: str
    state: str
    since: str
    age_s: float
    next_point: str | None
    last_point: Mapping[str, Any] | None
    accounts: Mapping[str, Standing]
    alerts: Sequence[Mapping[str, Any]]
    requests: int = 0
    failed: int = 0
    programs: Sequence[str] = ()
    """A sentence for each change of the program between two starts."""
    left_alone: Mapping[str, str] = field(default_factory=dict)
    """{account: why} of those that nothing is done with until the next start."""

    @property
    def error_rate(self) -> float | None:
        """Share of the requests of all sessions that ended, to broker and models, that failed or were refused."""
        return self.failed / self.requests if self.requests else None

    @property
    def may_hold(self) -> bool:
        """Return True unless every account is known to be flat."""
        return any(one.positions or not one.on_record for one in self.accounts.values())

    @property
    def is_sound(self) -> bool:
        """Return True for a loop at work in all its accounts, stopped on purpose, or missed by nobody."""
        return self.health in ("stopped", "given up") or (self.health == "at work" and not self.left_alone)


def read_status(workspace: Workspace, events: Events, now: datetime | None = None) -> list[Status]:
    """Return the state of every loop that ever beat in the workspace, the one that beat last at the end."""
    at = now or datetime.now(UTC)
    hearts = read_heartbeats(workspace)
    return [_describe(heart, events.of_forward(heart.run), at, hearts) for heart in hearts]


def find_unchecked(workspace: Workspace, store: Store, trades: Iterable[Approval]) -> dict[str, dict[str, str]]:
    """Return {run: {account: why}} of accounts of which nobody knows what waits for approval: the loop does not answer,
    did not reach the broker, or is not there while some of `trades` wait for it."""
    found, now, hearts = {}, datetime.now(UTC), read_heartbeats(workspace)
    for heart in hearts:
        silent = _health(heart, now, hearts) in ("gone", "late")
        why = dict.fromkeys(heart.accounts, "its loop does not answer") if silent else read_unchecked(store, heart.run)
        if why:
            found[heart.run] = why
    at_work = {heart.run for heart in hearts if heart.is_running()}
    for one in trades:
        if one.state == "waiting" and one.run not in at_work and one.run not in found:
            found[one.run] = dict.fromkeys(one.sizes, "no loop is at work here that would order it")
    return found


def read_health(workspace: Workspace) -> dict[str, tuple[str, float]]:
    """Return {run: (health, seconds since its last heartbeat)} of every loop, by the heartbeats alone."""
    now, hearts = datetime.now(UTC), read_heartbeats(workspace)
    return {one.run: (_health(one, now, hearts), one.age_s(now)) for one in hearts}


def _describe(heart: Heartbeat, stored: Sequence[Stored], now: datetime, hearts: Sequence[Heartbeat]) -> Status:
    points = [one.event for one in stored if one.event.kind == "forward.point"]
    opened = [one.event.payload["opening"] for one in stored if "opening" in one.event.payload]
    numbers = {**heart.accounts, **{name: str(one["number"]) for opening in opened for name, one in opening.items()}}
    ended = [one.event for one in stored if one.event.kind == "forward.session" and one.event.account is None]
    alerts = [one.event for one in stored if one.event.kind == "forward.alert"]
    last = None if not points else {"at": points[-1].at, **{k: points[-1].payload.get(k) for k in ("name", "state")}}
    return Status(
        heart.run,
        heart.strategy,
        heart.mode,
        _health(heart, now, hearts),
        heart.state,
        heart.since,
        heart.age_s(now),
        None if heart.state == "stopped" else heart.next_point,
        last,
        {name: _stand(name, number, stored) for name, number in numbers.items()},
        [{"at": one.at, "account": one.account or "", **one.payload} for one in alerts[-ALERTS:]],
        sum(int(one.payload.get("requests", 0)) for one in ended) + sum(int(p.payload.get("calls", 0)) for p in points),
        sum(int(one.payload.get("failed", 0)) for one in ended)
        + sum(int(p.payload.get("failed_calls", 0)) for p in points),
        list_changes(one.event for one in stored),
        find_left_alone(stored),
    )


def find_left_alone(stored: Sequence[Stored]) -> dict[str, str]:
    """Return {account: why} of the accounts that the loop has left alone since it was started last."""
    found: dict[str, str] = {}
    for event in (one.event for one in stored):
        if event.kind == "forward.started":
            found.clear()
        elif event.kind == "forward.alert" and event.account and str(event.payload["text"]).endswith(LEFT_ALONE):
            found[event.account] = str(event.payload["text"])
    return found


def _health(heart: Heartbeat, now: datetime, hearts: Sequence[Heartbeat]) -> str:
    if heart.state == "stopped":
        return "stopped"
    if not heart.is_running():
        later = {number for one in hearts if one.beat_at > heart.beat_at for number in one.accounts.values()}
        return "given up" if heart.mode == "rehearsal" or later & {*heart.accounts.values()} else "gone"
    return "late" if heart.is_late(now) else "at work"


def _stand(name: str, number: str, stored: Sequence[Stored]) -> Standing:
    rows = [one.event.payload for one in stored if one.event.kind == "forward.session" and one.event.account == name]
    row = rows[-1] if rows else {}
    openings = (one.event.payload["opening"] for one in stored if name in one.event.payload.get("opening", ()))
    opened: Mapping[str, Any] | None = next((one[name] for one in openings), None)
    began = None if opened is None else opened.get("equity" if opened.get("positions") else "cash")
    shares = read_positions(name, stored)
    return Standing(number, row.get("equity"), row.get("cash"), row.get("session"), shares, opened is not None, began)


def read_positions(name: str, stored: Sequence[Stored]) -> dict[str, float]:
    """Return the signed shares of account `name` by our own books: its opening and all fills, splits counted."""
    state, begun = State(Origin(stored[0].run_id if stored else "", name)), False
    for event in (one.event for one in stored):
        if event.kind == "forward.started" and not begun and "opening" in event.payload:
            begun = True
            state.begin(event.payload["opening"].get(name, {}))
        if event.kind == "forward.split" or (event.kind == "forward.fill" and event.account == name):
            state.apply(event.kind, event.payload)
    return dict(state.shares)
