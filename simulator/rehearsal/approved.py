"""Accounts in which a person changed trades: what of them is held, and against what.

intents after the change ──book as recorded──► replay decides and plans on it: prompts, decisions, orders
orders as sent ──► fills ──replay's rules, recorded bars──► books at closes and at decisions

The person's change is in the fills alone: everything else follows from these, to the cent.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial
from math import prod
from typing import Any

import numpy as np

from simulator.evidence.writer import session_ends
from simulator.forward import payloads
from simulator.forward.approvals import Approval, Staged, list_changed
from simulator.forward.books import Books, Split, in_new_shares
from simulator.forward.staging import find_due, put_terms
from simulator.forward.state import State
from simulator.market.bars import Bars, instant, moment
from simulator.market.calendar import NEW_YORK, day_of
from simulator.rehearsal.difference import CENT, SHARE, Difference
from simulator.replay.inputs import ReplayInputs
from simulator.replay.run import Recorded
from simulator.store.events import Event
from simulator.trading.cycle import Intent
from simulator.trading.execution import ExecutionRules
from simulator.trading.model import Book, BrokerFill, Past
from simulator.trading.orders import Origin
from simulator.trading.sizing import orders_for

BY_ORDERS, BY_FILLS, BY_DECISION = "by its orders", "by its fills", "by its decision"


@dataclass
class Approved:
    """Account of a forward test in which a person first changed a trade that was decided at `since`.

    `changed` are the trades that were approved as changed, by the id of the question. `points` are the first intents of
    decisions after it, with the fills that were booked before each; `anew` those that took their place, with what was
    due then of trades that had been changed. Shares and prices are told in shares after all `splits`.
    """

    name: str
    since: datetime
    rules: ExecutionRules
    cash: float
    splits: Sequence[Split]
    state: State
    changed: Mapping[str, tuple[datetime, str, Staged]] = field(default_factory=dict)
    points: dict[datetime, tuple[Intent, list[BrokerFill]]] = field(default_factory=dict)
    anew: list[tuple[Intent, dict[str, Staged]]] = field(default_factory=list)
    rows: list[Mapping[str, Any]] = field(default_factory=list)
    filled: dict[str, float] = field(default_factory=dict)
    """Shares that the broker stated when an order ended, by its id."""
    _terms: dict[tuple[datetime, str], Staged] = field(default_factory=dict)
    """Of `changed`, what had been answered so far."""

    @property
    def first(self) -> str:
        """Session from which on fills and books are the account's own."""
        return minute(self.since)[:10]

    def read(self, events: Iterable[Event]) -> None:
        for event in events:
            if event.kind == "approval.given" and (its := self.changed.get(event.payload["id"])) is not None:
                self._terms[its[:2]] = its[2]
            if event.account != self.name and event.kind != "forward.split":
                continue
            payload = event.payload
            if event.kind == "forward.intent" and "approval" not in payload:
                intent = payloads.read_intent(payload)
                if intent.revision:
                    self.anew.append((intent, self._find_due(intent)))
                elif intent.decision.as_of > self.since:
                    self.points[intent.decision.as_of] = intent, in_new_shares(self.state.booked, self.splits)
            elif event.kind == "forward.session":
                self.rows.append(payload)
            elif event.kind == "forward.order" and payload["state"] == "filled":
                self.filled[payload["client_order_id"]] = abs(float(payload.get("filled") or 0.0))
            self.state.apply(event.kind, payload)

    def books(self) -> dict[datetime, Recorded]:
        """Return the account at each of its decisions after the change, as it was recorded."""

        def past(at: datetime, fills: Sequence[BrokerFill], inputs: ReplayInputs) -> Past:
            return self._own(inputs).past(_closed(inputs.traded, at), fills, at)

        points = self.points.items()
        return {at: Recorded(self._book(intent), partial(past, at, fills)) for at, (intent, fills) in points}

    def excuses(self, one: Difference) -> bool:
        """Return True for fills and books of sessions from the first change on: `find_differences` holds them."""
        return one.part in ("fills", "books") and one.where[1] >= self.first

    def find_differences(self, inputs: ReplayInputs) -> Iterator[Difference]:
        """Yield where what followed from the change does not follow from orders, fills and recorded bars."""
        yield from self._check_orders()
        yield from self._check_fills()
        yield from self._check_books(inputs)

    def _check_orders(self) -> Iterator[Difference]:
        """Of decisions that were planned once more, on what was left of them."""
        for intent, changed in self.anew:
            if (at := intent.decision.as_of) <= self.since:
                continue
            expected = replace(intent, orders=orders_for(intent.allowed, intent.book, self.rules, 0).orders)
            for symbol, terms in changed.items():
                expected = put_terms(expected, symbol, terms)
            planned = {one.symbol: one for one in expected.orders}
            for order in intent.orders:
                due = planned.get(order.symbol)
                if due is None or replace(due, id=order.id) != order:
                    where = self.name, minute(at), order.symbol
                    yield Difference("orders", where, _size(order), due and _size(due), BY_DECISION)

    def _find_due(self, intent: Intent) -> dict[str, Staged]:
        held, at = intent.book.positions, intent.decision.as_of
        return {
            symbol: find_due(mine, fills, held.get(symbol, 0.0))
            for (decided, symbol), mine in self._terms.items()
            if decided == at and (fills := self.state.entered(symbol))
        }

    def _check_fills(self) -> Iterator[Difference]:
        done: dict[str, list[BrokerFill]] = {}
        for fill in self.state.booked:
            done.setdefault(fill.client_order_id, []).append(fill)
        for key, fills in done.items():
            where = self.name, minute(fills[0].at)[:10], fills[0].symbol
            if moment(fills[0].at) < self.since:
                continue  # held against the replay
            ticket, shares = self.state.tickets.get(key), abs(sum(one.quantity for one in fills))
            if not self.state.owns(key):
                yield Difference("fills", where, shares, None, BY_ORDERS)
            elif ticket is None:
                continue  # exits that an entry brought
            elif key in self.filled and abs(shares - self.filled[key]) > SHARE:
                yield Difference("fills", where, shares, self.filled[key], BY_ORDERS)
            elif ticket.quantity is not None and shares > abs(ticket.quantity) + SHARE:
                yield Difference("fills", where, shares, abs(ticket.quantity), BY_ORDERS)

    def _check_books(self, inputs: ReplayInputs) -> Iterator[Difference]:
        books, bars = self._own(inputs), inputs.traded
        ends = {int(t): str(day_of(bars.session_of[t])) for t in session_ends(bars).tolist()}
        rows = {str(row["session"]): row for row in self.rows}
        for t, step in enumerate(books.by_bar(bars, in_new_shares(self.state.booked, self.splits))):
            row = rows.get(day := ends.get(t, ""))
            if row is None or day < self.first:
                continue
            book = step.account.book()
            held = {one: shares * self._ratio(one, day) for one, shares in row["positions"].items()}
            yield from self._differ(day, "equity", row["equity"], book.equity, CENT)
            yield from self._differ(day, "cash", row["cash"], book.cash, CENT)
            for symbol in sorted({*held, *book.positions}):
                yield from self._differ(day, symbol, held.get(symbol, 0.0), book.positions.get(symbol, 0.0), SHARE)
        for at, (intent, fills) in self.points.items():
            due = books.at(_closed(bars, at), fills)
            yield from self._differ(minute(at), "cash", intent.book.cash, due.cash, CENT)
            yield from self._differ(minute(at), "equity", intent.book.equity, due.equity, CENT)

    def _differ(self, when: str, what: str, mine: float, due: float, most: float) -> Iterator[Difference]:
        if not abs(mine - due) <= most:
            yield Difference("books", (self.name, when, what), mine, due, BY_FILLS)

    def _own(self, inputs: ReplayInputs) -> Books:
        marks = dict(zip(inputs.traded.symbols, inputs.opening_marks.tolist(), strict=True))
        days = {one.id: (one.symbol, minute(one.at)[:10]) for one in self.state.booked}
        stopped = {key: price / self._ratio(*days[key]) for key, price in self.state.stopped.items()}
        return Books(self.cash, marks, self.rules, stopped=stopped)

    def _book(self, intent: Intent) -> Book:
        book, day = intent.book, minute(intent.decision.as_of)[:10]
        ratio: Callable[[str], float] = lambda symbol: self._ratio(symbol, day)  # noqa: E731
        held = {symbol: shares * ratio(symbol) for symbol, shares in book.positions.items()}
        return replace(book, positions=held, marks={one: mark / ratio(one) for one, mark in book.marks.items()})

    def _ratio(self, symbol: str, session: str) -> float:
        return ratio_since(self.splits, symbol, session)


def find_approved(
    run: str,
    events: Sequence[Event],
    trades: Iterable[Approval],
    splits: Sequence[Split],
    rules: ExecutionRules,
    cash: Mapping[str, float],
    begins: float,
) -> dict[str, Approved]:
    """Return the accounts of `run` in which a person refused, changed or left unanswered a trade. They began with
    `cash` by account, or `begins` dollars."""
    since: dict[str, datetime] = {}
    changed: dict[str, dict[str, tuple[datetime, str, Staged]]] = {}
    for one in list_changed(trades):
        named = {key.rpartition(".")[0] for key in one.changes} or {""}
        for account in one.sizes if "" in named else named:
            at = datetime.fromisoformat(one.decided_at)
            since[account] = min(at, since.get(account, at))
            if one.state == "approved" and account in one.sizes:
                changed.setdefault(account, {})[one.id] = at, one.symbol, one.sizes[account]
    found = {}
    for name, at in since.items():
        dollars = cash.get(name, begins)
        found[name] = Approved(name, at, rules, dollars, splits, State(Origin(run, name)), changed.get(name, {}))
        found[name].read(events)
    return found


def ratio_since(splits: Iterable[Split], symbol: str, session: str) -> float:
    """Return the shares that one of `symbol` in a session has become after all `splits`."""
    return prod(one.ratio for one in splits if one.symbol == symbol and session < str(one.session))


def _closed(bars: Bars, at: datetime) -> Bars:
    return bars.rows(0, int(np.searchsorted(bars.closes_at, instant(at), side="right")))


def minute(at: int | datetime) -> str:
    """Return an instant as it is shown, ISO in New York; it begins with the date."""
    return (moment(at) if isinstance(at, int) else at).astimezone(NEW_YORK).isoformat(timespec="minutes")


def _size(order: Any) -> str:
    return f"${order.notional:.2f}" if order.quantity is None else f"{order.quantity:g}"
