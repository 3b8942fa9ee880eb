"""Record of a forward test, computed from its events: the same events give the same record.

forward.* ──► State of each account (as the loop has it) ──► days, orders, fills      forward.point, .alert ──► rows
"""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from typing import Any, get_args

from simulator.forward import payloads
from simulator.forward.approvals import fold
from simulator.forward.programs import list_changes, list_spans
from simulator.forward.records import (
    Accruals,
    AlertRow,
    DayRow,
    FillRow,
    ForwardRecord,
    HeldWeights,
    OrderRow,
    OrderState,
    PointRow,
    Recommendation,
    SessionRow,
)
from simulator.forward.registration import Registration
from simulator.forward.state import State
from simulator.market.bars import instant, moment
from simulator.market.calendar import NEW_YORK, sessions
from simulator.store.events import Event, Stored
from simulator.trading.orders import Origin, Ticket, session_hours

CHANGE = 0.01
"""Fraction of equity by which a target must change to count as a decision."""


@dataclass(eq=False)
class _Account:
    state: State
    days: list[DayRow] = field(default_factory=list)
    targets: dict[str, float] = field(default_factory=dict)
    decided: set[str] = field(default_factory=set)
    sent: dict[str, tuple[datetime, str, str]] = field(default_factory=dict)
    """{client_order_id: (when, state, why)}"""
    references: dict[str, float] = field(default_factory=dict)


def project(
    run: str, stored: Sequence[Stored], registration: Registration | None = None, rehearsed: bool = False
) -> ForwardRecord:
    """Return the record of `run` by all its events. Without a registration accounts are those that the loop opened."""
    events = [one.event for one in stored]
    opening: Mapping[str, Any] = next((one.payload["opening"] for one in events if "opening" in one.payload), {})
    names = tuple(registration.accounts) if registration else tuple(opening)
    accounts = {name: _Account(State(Origin(run, name), with_records=False)) for name in names}
    for name, one in accounts.items():
        one.state.begin(opening.get(name, {}))
    points, alerts, recommended = [], [], list[Recommendation]()
    primary = registration.primary if registration else (names[-1] if names else "")
    for event in events:
        if event.account in accounts and event.at is not None:
            _take(accounts[event.account], event, recommended if event.account == primary else None)
        elif event.kind == "forward.split":
            for one in accounts.values():
                one.state.apply(event.kind, event.payload)
        elif event.kind == "forward.point" and event.at is not None:
            points.append(_point(event))
        if event.kind == "forward.alert":
            given = event.payload
            alerts.append(AlertRow(str(event.at), str(given["kind"]), str(given["text"]), event.account))
    days = [replace(day, decided=day.session in one.decided) for one in accounts.values() for day in one.days]
    begun = {name: opening.get(name, {}) for name in names}
    answers = {
        (name, instant(datetime.fromisoformat(one.decided_at)), one.symbol): one.state
        for one in fold({}, stored).values()
        for name in one.sizes
    }
    declined = {trade for trade, state in answers.items() if state in ("rejected", "expired")}
    return ForwardRecord(
        run,
        registration.digest if registration else "",
        names,
        {name: float(one.get("equity" if one.get("positions") else "cash", 0.0)) for name, one in begun.items()},
        tuple(sorted(days, key=lambda row: (row.session, names.index(row.account)))),
        tuple(points),
        tuple(sorted((row for one in accounts.values() for row in _orders(one, declined)), key=lambda row: row.at)),
        tuple(sorted((row for one in accounts.values() for row in _fills(one)), key=lambda row: row.at)),
        tuple(alerts),
        tuple(_sessions(events, points)),
        tuple(recommended),
        None,
        rehearsed or any(one.payload.get("rehearsed") for one in events if one.kind == "forward.started"),
        tuple(list_changes(events)),
        tuple(list_spans(events)),
    )


def _session(at: datetime) -> str:
    """Return the session that something at `at` belongs to: the one that is open, else the next."""
    return str(session_hours(at)[0].astimezone(NEW_YORK).date())


def _take(one: _Account, event: Event, recommended: list[Recommendation] | None) -> None:
    """Take an event of an account into its rows."""
    assert event.at is not None
    at, given = datetime.fromisoformat(event.at), event.payload
    if event.kind == "forward.intent":
        _take_targets(one, at, given, recommended)
    elif event.kind == "forward.order":
        key = str(given["client_order_id"])
        since = one.sent[key][0] if key in one.sent else at
        one.sent[key] = (since, str(given["state"]), str(given.get("why", "")) or one.sent.get(key, (0, 0, ""))[2])
    elif event.kind == "forward.fill":
        fill = payloads.read_fill(given)
        ticket = one.state.tickets.get(fill.client_order_id)
        if fill.client_order_id and _is_exit(ticket, fill.quantity):
            one.decided.add(_session(moment(fill.at)))
    elif event.kind == "forward.session":
        one.references |= dict(given.get("references", {}))
        one.days.append(_day(str(event.account), given))
    one.state.apply(event.kind, given)


def _is_exit(ticket: Ticket | None, quantity: float) -> bool:
    return ticket is None or ((ticket.quantity is None or ticket.quantity > 0.0) != (quantity > 0.0))


def _take_targets(one: _Account, at: datetime, given: Mapping[str, Any], told: list[Recommendation] | None) -> None:
    intent, day = payloads.read_intent(given, with_record=False), _session(at)
    for target in intent.decision.targets:
        if target.weight != target.weight:
            continue
        before = one.targets.get(target.symbol)
        if told is not None and not intent.revision and "approval" not in given:  # as the strategy recommended it
            told.append(
                Recommendation(at.isoformat(), day, target.symbol, target.weight, before or 0.0, target.conviction)
            )
        if before is not None and abs(target.weight - before) >= CHANGE:
            one.decided.add(day)
        one.targets[target.symbol] = target.weight


def _point(event: Event) -> PointRow:
    given, due = event.payload, str(event.at)
    ran = given.get("ran_at") if given["state"] in ("done", "late") else None
    day = _session(datetime.fromisoformat(due))
    return PointRow(due, day, given["state"], str(given["name"]), ran, str(given.get("why", "")))


def _day(account: str, given: Mapping[str, Any]) -> DayRow:
    read = payloads.from_json(given)
    return DayRow(
        account,
        read["session"],
        read["equity"],
        read["cash"],
        read["pnl"],
        read["positions"],
        tuple(HeldWeights(**one) for one in read["held"]),
        read["free"],
        read["costs"],
        accruals=Accruals(**read["accruals"]),
        broker_equity=read["broker_equity"],
        broker_cash=read["broker_cash"],
        unexplained=read["unexplained"],
    )


def _orders(one: _Account, declined: Container[tuple[str, int | None, str]]) -> Iterator[OrderRow]:
    for key, (at, state, why) in one.sent.items():
        ticket = one.state.tickets.get(key)
        if ticket is None:
            continue  # an order of somebody else
        known: OrderState = state if state in get_args(OrderState) else "denied"  # type: ignore[assignment]
        if known == "given up" and (one.state.origin.account, one.state.decision_of(key), ticket.symbol) in declined:
            known = "declined"
        yield OrderRow(
            key,
            one.state.origin.account,
            ticket.symbol,
            at.isoformat(),
            _session(at),
            ticket.kind,
            known,
            ticket.quantity,
            ticket.notional,
            ticket.limit,
            ticket.stop,
            ticket.take_profit,
            why,
        )


def _fills(one: _Account) -> Iterator[FillRow]:
    for fill in one.state.booked:
        at = moment(fill.at).astimezone(NEW_YORK)
        ticket = one.state.tickets.get(fill.client_order_id)
        why = "external" if not fill.client_order_id else "exit" if _is_exit(ticket, fill.quantity) else "order"
        yield FillRow(
            fill.id,
            fill.client_order_id,
            one.state.origin.account,
            fill.symbol,
            at.isoformat(),
            _session(at),
            fill.quantity,
            fill.price,
            one.references.get(fill.id),
            why,
        )


def _sessions(events: Sequence[Event], points: Sequence[PointRow]) -> Iterator[SessionRow]:
    """Yield a row of each session that ended; the loop was alive from each start to its last event."""
    instants = [(instant(datetime.fromisoformat(one.at)), one) for one in events if one.at is not None]
    spans: list[list[int]] = []
    starts = []
    for at, event in instants:
        if event.kind == "forward.started":
            spans.append([at, at])
            starts.append(at)
        elif spans:
            spans[-1][1] = max(spans[-1][1], at)
    costs: dict[str, list[Mapping[str, Any]]] = {}
    for one, row in zip((one for one in events if one.kind == "forward.point"), points, strict=True):
        costs.setdefault(row.session, []).append(one.payload)
    for event in events:
        if event.kind != "forward.session" or event.account is not None:
            continue
        day = date.fromisoformat(event.payload["session"])
        (opens,), (closes,) = ((on := sessions(day, day)).opens_at.tolist(), on.closes_at.tolist())
        alive = sum(max(0, min(closes, until) - max(opens, since)) for since, until in spans)
        asked = costs.get(str(day), [])
        yield SessionRow(
            str(day),
            (closes - opens) / 60e9,
            min(alive, closes - opens) / 60e9,
            restarts=sum(opens <= at < closes for at in starts),
            calls=int(sum(one.get("calls", 0) for one in asked)),
            failed_calls=int(sum(one.get("failed_calls", 0) for one in asked)),
            cost_usd=float(sum(one.get("cost_usd", 0.0) for one in asked)),
            requests=int(event.payload.get("requests", 0)),
            failed=int(event.payload.get("failed", 0)),
        )
