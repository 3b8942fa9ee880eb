"""State of the forward loops of a workspace, read from outside: heartbeats, switches, store and log.

heartbeat-RUN.json ─┐
forward.* events ───┼─► read_status ─► Status of each loop: at work or not, what comes next, books, alerts
forward.stop, pause ┘
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from simulator.forward.alerts import LEFT_ALONE
from simulator.forward.approvals import Approval
from simulator.forward.programs import list_changes
from simulator.forward.state import State
from simulator.forward.switches import Heartbeat, read_heartbeats
from simulator.store.database import Store
from simulator.store.events import Event, Stored
from simulator.store.kept import Kept
from simulator.trading.orders import Origin
from simulator.workspace import Workspace

ALERTS = 5
"""Newest alerts that are shown of a loop."""
KINDS = tuple(f"forward.{one}" for one in ("started", "point", "intent", "session", "alert", "fill", "split"))
"""Kinds of events that tell how a loop stands."""


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


def read_status(workspace: Workspace, store: Store, now: datetime | None = None) -> list[Status]:
    """Return the state of every loop that ever beat in the workspace, the one that beat last at the end."""
    at = now or datetime.now(UTC)
    hearts = read_heartbeats(workspace)
    with _loops.of(store) as known:
        return [_describe(heart, known.get(heart.run) or Past(), at, hearts) for heart in hearts]


def find_unchecked(workspace: Workspace, store: Store, trades: Iterable[Approval]) -> dict[str, dict[str, str]]:
    """Return {run: {account: why}} of accounts of which nobody knows what waits for approval: the loop does not answer,
    did not reach the broker, or is not there while some of `trades` wait for it."""
    found, now, hearts = {}, datetime.now(UTC), read_heartbeats(workspace)
    with _loops.of(store) as known:
        missing = {run: past.list_missing() for run, past in known.items()}
    for heart in hearts:
        silent = _health(heart, now, hearts) in ("gone", "late")
        why = dict.fromkeys(heart.accounts, "its loop does not answer") if silent else missing.get(heart.run)
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


def _describe(heart: Heartbeat, past: Past, now: datetime, hearts: Sequence[Heartbeat]) -> Status:
    numbers = {**heart.accounts, **{name: str(one["number"]) for name, one in past.opened_last.items()}}
    return Status(
        heart.run,
        heart.strategy,
        heart.mode,
        _health(heart, now, hearts),
        heart.state,
        heart.since,
        heart.age_s(now),
        None if heart.state == "stopped" else heart.next_point,
        past.last_point,
        {name: past.stand(name, number) for name, number in numbers.items()},
        list(past.alerts),
        past.requests,
        past.failed,
        list_changes(past.starts),
        dict(past.left_alone),
    )


def _health(heart: Heartbeat, now: datetime, hearts: Sequence[Heartbeat]) -> str:
    if heart.state == "stopped":
        return "stopped"
    if not heart.is_running():
        later = {number for one in hearts if one.beat_at > heart.beat_at for number in one.accounts.values()}
        return "given up" if heart.mode == "rehearsal" or later & {*heart.accounts.values()} else "gone"
    return "late" if heart.is_late(now) else "at work"


# ── the past of a loop ──────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(eq=False)
class Past:
    """State of a forward test that follows from its events, taken one by one.

    Attributes
    ----------
    starts : events of its starts; opened, opened_last : {account: what the broker stated} at the first and at the last
    books : {account: our own}, as far as its shares go; closes : {account: row of the session booked last}
    missing : {account: (instant, why)} of those whose broker was not reached at the newest point
    """

    run: str = ""
    starts: list[Event] = field(default_factory=list)
    opened: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    opened_last: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    books: dict[str, State] = field(default_factory=dict)
    closes: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    last_point: Mapping[str, Any] | None = None
    requests: int = 0
    failed: int = 0
    alerts: deque[Mapping[str, Any]] = field(default_factory=lambda: deque(maxlen=ALERTS))
    left_alone: dict[str, str] = field(default_factory=dict)
    missing: dict[str, tuple[str, str]] = field(default_factory=dict)

    def take(self, event: Event) -> None:
        """Take in an event of the test."""
        given, account = event.payload, event.account
        if event.kind == "forward.started":
            self._start(event)
        elif event.kind == "forward.point":
            self.last_point = {"at": event.at, **{name: given.get(name) for name in ("name", "state")}}
            self.requests += int(given.get("calls", 0))
            self.failed += int(given.get("failed_calls", 0))
            why = f"not reached at {given.get('name')}, {event.at}"
            self.missing |= {name: (str(event.at), why) for name in given.get("left", ())}
        elif event.kind == "forward.intent" and account in self.missing and str(event.at) >= self.missing[account][0]:
            del self.missing[account]
        elif event.kind == "forward.session" and account is None:
            self.requests += int(given.get("requests", 0))
            self.failed += int(given.get("failed", 0))
        elif event.kind == "forward.session" and account is not None:
            self.closes[account] = {name: given.get(name) for name in ("equity", "cash", "session")}
        elif event.kind == "forward.alert":
            self.alerts.append({"at": event.at, "account": account or "", **given})
            if account and str(given["text"]).endswith(LEFT_ALONE):
                self.left_alone[account] = str(given["text"])
        elif event.kind == "forward.fill" and account is not None:
            self._book(account).apply(event.kind, given)
        elif event.kind == "forward.split":
            for state in self.books.values():
                state.apply(event.kind, given)

    def _start(self, event: Event) -> None:
        self.left_alone.clear()
        self.starts.append(event)
        opening: Mapping[str, Any] = event.payload.get("opening", {})
        for name, one in opening.items() if not self.opened else ():
            self._book(name).begin(one)
        self.opened = {**opening, **self.opened}
        self.opened_last |= opening

    def _book(self, name: str) -> State:
        return self.books.setdefault(name, State(Origin(self.run, name)))

    def list_missing(self) -> dict[str, str]:
        """Return {account: why} of accounts whose broker was not reached: nobody knows what waits in them."""
        return {name: why for name, (_, why) in self.missing.items()}

    def stand(self, name: str, number: str) -> Standing:
        """Return how the account `name` stands."""
        row, opened = self.closes.get(name, {}), self.opened.get(name)
        began = None if opened is None else opened.get("equity" if opened.get("positions") else "cash")
        shares = dict(self._book(name).shares)
        return Standing(
            number, row.get("equity"), row.get("cash"), row.get("session"), shares, opened is not None, began
        )


_loops = Kept(KINDS, dict[str, Past], lambda known, one: known.setdefault(one.run_id, Past(one.run_id)).take(one.event))


def read_past(stored: Sequence[Stored]) -> Past:
    """Return the state of a forward test after `stored`, all its events."""
    past = Past(stored[0].run_id if stored else "")
    for one in stored:
        past.take(one.event)
    return past


def find_left_alone(stored: Sequence[Stored]) -> dict[str, str]:
    """Return {account: why} of the accounts that the loop has left alone since it was started last."""
    return read_past(stored).left_alone


def read_positions(name: str, stored: Sequence[Stored]) -> dict[str, float]:
    """Return the signed shares of account `name` by our own books: its opening and all fills, splits counted."""
    past = read_past(stored)
    return dict(past.books[name].shares) if name in past.books else {}
