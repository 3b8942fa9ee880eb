"""Records of an account that follow from others of its own: held against these, whatever a replay says.

decisions ──limits, sizing──► orders           orders ──► how they ended ◄── fills
fills, recorded bars ──replay's rules──► rows of sessions, books at decisions
                                           └── less what the broker states: the reconciling line
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from math import fsum, isclose, prod
from typing import Any

import numpy as np

from simulator.forward import payloads
from simulator.forward.approvals import Staged
from simulator.forward.books import Books, Split, adjust_for_splits
from simulator.forward.day import broker_part, own_rows
from simulator.forward.staging import find_due, put_terms
from simulator.forward.state import FINAL, State
from simulator.market.bars import Bars, instant, moment
from simulator.market.calendar import NEW_YORK, day_number, day_of
from simulator.rehearsal.difference import CENT, NOTHING, PRICE, SHARE, Difference
from simulator.replay.inputs import ReplayInputs
from simulator.store.events import Event
from simulator.trading.cycle import Intent, TradingRules
from simulator.trading.model import Book, BrokerFill, Order
from simulator.trading.orders import compile_orders, session_hours
from simulator.trading.risk import limit
from simulator.trading.sizing import orders_for

BY_ORDERS, BY_FILLS, BY_DECISION = "by its orders", "by its fills", "by its decision"
STATED = ("broker_cash", "broker_equity", "unexplained")
"""Values of a row that the broker alone knows, or that follow from these."""
DOLLARS = ("equity", "cash", "pnl", "costs", "accruals", "accrued", *STATED)


Questions = Mapping[str, tuple[datetime, str, Staged | None]]
"""Questions put to a person, by id: decision, symbol, and the order as he changed it, None where he did not."""


@dataclass(frozen=True)
class Planned:
    """An intent, the fills that were booked before it, and what was `due` then of trades that a person had changed,
    None where nothing of them had filled. It is `answered` where his terms were put into it as he gave them."""

    intent: Intent
    fills: Sequence[BrokerFill]
    due: Mapping[str, Staged | None]
    answered: bool

    @property
    def at(self) -> datetime:
        return self.intent.decision.as_of


@dataclass
class OwnRecords:
    """Records of an account of a forward test. It began with `cash`; a person was asked `questions` about it, and
    `late` names symbols by the session whose bar of them came later."""

    name: str
    rules: TradingRules
    cash: float
    splits: Sequence[Split]
    state: State
    questions: Questions = field(default_factory=dict)
    late: Mapping[str, Collection[str]] = field(default_factory=dict)
    planned: list[Planned] = field(default_factory=list)
    rows: list[Mapping[str, Any]] = field(default_factory=list)
    ended: dict[str, tuple[str, float]] = field(default_factory=dict)
    """How orders stand, and shares that the broker stated of them, by id."""
    held: int = 0
    """Values of rows and books that were worked out again."""
    _terms: dict[tuple[datetime, str], Staged | None] = field(default_factory=dict)
    """Trades as a person had changed them so far: of each the newest question counts."""

    def read(self, events: Iterable[Event]) -> None:
        for event in events:
            if event.kind.startswith("approval.") and (its := self.questions.get(str(event.payload["id"]))) is not None:
                self._terms[its[:2]] = its[2] if event.kind == "approval.given" else None
            if event.account != self.name and event.kind != "forward.split":
                continue
            payload = event.payload
            if event.kind == "forward.intent":
                intent = payloads.read_intent(payload)
                due = self._find_due(intent)
                self.planned.append(Planned(intent, self.state.booked, due, "approval" in payload))
            elif event.kind == "forward.session":
                self.rows.append(payloads.from_json(payload))
            elif event.kind == "forward.order":
                key, filled = str(payload["client_order_id"]), abs(float(payload.get("filled") or 0.0))
                self.ended[key] = str(payload["state"]), filled
            self.state.apply(event.kind, payload)

    def _find_due(self, intent: Intent) -> dict[str, Staged | None]:
        held, at = intent.book.positions, intent.decision.as_of
        return {
            symbol: find_due(mine, fills, held.get(symbol, 0.0)) if (fills := self.state.entered(symbol)) else None
            for (decided, symbol), mine in self._terms.items()
            if mine is not None and decided == at and self.state.decided_at(at)
        }

    def find_differences(self, inputs: ReplayInputs) -> Iterator[Difference]:
        """Yield what does not follow from other records of the account and from recorded bars, in today's shares."""
        later = [one for one in self.splits if day_number(one.session) > inputs.traded.session_of[0]]
        back = [replace(one, ratio=1.0 / one.ratio) for one in later]
        traded = adjust_for_splits(inputs.traded, back)
        marks = {
            symbol: mark * prod(one.ratio for one in later if one.symbol == symbol)
            for symbol, mark in zip(traded.symbols, inputs.opening_marks.tolist(), strict=True)
        }
        books = Books(self.cash, marks, self.rules.execution, stopped=self.state.stopped)
        yield from self._check_orders()
        yield from self._check_ends()
        yield from self._check_rows(books, inputs.bars, traded, later)
        yield from self._check_books(books, traded, later)

    # ── orders ──────────────────────────────────────────────────────────────────────────────────────────────────────

    def _check_orders(self) -> Iterator[Difference]:
        """Hold what was ordered, withdrawn and protected against decision and book; where a person has changed it, the
        audit trail says what it should be."""
        for one in self.planned:
            intent, at, book = one.intent, one.at, one.intent.book
            allowed, cuts = limit(intent.decision, book, self.rules.limits)
            if (allowed.targets, cuts) != (intent.allowed.targets, intent.cuts):
                yield self._differ("orders", at, "limits", [*intent.cuts], [*cuts], BY_DECISION)
            due = orders_for(intent.allowed, book, self.rules.execution, 0)
            known = intent.refused[: len(due.refused)] == due.refused
            if not (
                {*intent.cancels} <= {*due.cancels} if intent.revision else intent.cancels == due.cancels and known
            ):
                yield self._differ("orders", at, "withdrawn", [*intent.cancels], [*due.cancels], BY_DECISION)
            expected = replace(intent, orders=due.orders, protects=due.protects)
            for symbol, terms in one.due.items():
                expected = expected if terms is None else put_terms(expected, symbol, terms)
            yield from self._check_requests(intent, expected, one.due.keys() if one.answered else ())

    def _check_requests(self, intent: Intent, due: Intent, passed: Collection[str]) -> Iterator[Difference]:
        """Hold orders, and exits of what is held, against those that are `due`; an intent that was planned once more is
        of what still waited alone. Symbols `passed` are as a person answered."""
        at, denied = intent.decision.as_of, {one.symbol for one in intent.refused}
        planned = {one.symbol: one for one in due.orders}
        for order in intent.orders:
            own, held = planned.get(order.symbol), intent.book.positions.get(order.symbol, 0.0)
            ends = Order(order.id, order.symbol, order.submitted_at, -held)  # of what goes no further
            fits = (own is not None and replace(own, id=order.id) == order) or (
                order == ends and order.symbol in denied
            )
            if not fits and order.symbol not in passed:
                yield self._differ("orders", at, order.symbol, _size(order), own and _size(own), BY_DECISION)
        exits, wanted = ({one.symbol: one for one in some} for some in (intent.protects, due.protects))
        named = exits.keys() | (set() if intent.revision else wanted.keys())
        for symbol in sorted(named - set(passed)):
            if exits.get(symbol) != wanted.get(symbol):
                yield self._differ("orders", at, f"{symbol} exits", exits.get(symbol), wanted.get(symbol), BY_DECISION)

    def _check_ends(self) -> Iterator[Difference]:
        """Hold how orders ended against what filled of them. What has the id of an entry and its other sign is an exit
        that it brought."""
        entered, left, of = dict[str, list[float]](), dict[str, list[float]](), dict[str, BrokerFill]()
        for fill in self.state.booked:
            key, ticket = fill.client_order_id, self.state.tickets.get(fill.client_order_id)
            of[key] = fill
            if not self.state.owns(key):
                yield self._differ("fills", fill.at, fill.symbol, fill.quantity, None, BY_ORDERS)
            elif ticket is not None and ticket.symbol != fill.symbol:
                yield self._differ("fills", fill.at, fill.symbol, ticket.symbol, None, BY_ORDERS)
            elif ticket is not None:
                enters = (ticket.quantity is None or ticket.quantity > 0.0) == (fill.quantity > 0.0)
                (entered if enters else left).setdefault(key, []).append(fill.quantity)
        booked = {str(row["session"]) for row in self.rows}
        for key in sorted({*entered, *left, *(self.ended.keys() & self.state.tickets.keys())}):
            state, stated = self.ended.get(key, ("", 0.0))
            filled, ticket = abs(fsum(entered.get(key, ()))), self.state.tickets[key]
            gone, at = abs(fsum(left.get(key, ()))), of[key].at if key in of else self.state.decision_of(key) or 0
            asked = filled if ticket.quantity is None else abs(ticket.quantity)
            ratio = prod(one.ratio for one in self.splits if one.symbol == ticket.symbol)
            ends = ticket.time_in_force != "gtc" or filled >= asked - SHARE
            if not state or filled > asked + SHARE:
                yield self._differ("fills", at, ticket.symbol, filled, asked if state else None, BY_ORDERS)
            elif gone > filled * max(ratio, 1.0) + SHARE:
                yield self._differ("fills", at, f"{ticket.symbol} exits", gone, filled, BY_ORDERS)
            elif state in FINAL and (abs(filled - stated) > SHARE or (filled > 0.0) != (state.endswith("filled"))):
                yield self._differ("fills", at, f"{ticket.symbol} {state}", filled, stated, BY_ORDERS)
            elif state not in FINAL and ends and at and _session(at) in booked:
                yield self._differ("orders", at, f"{ticket.symbol} {state}", None, "an end", BY_FILLS)
        yield from self._check_unsent(booked)

    def _check_unsent(self, booked: Collection[str]) -> Iterator[Difference]:
        """Of a session that was booked, every order that was planned last has an end."""
        newest = {one.at: one.intent for one in self.planned}
        for at, intent in newest.items():
            if _session(instant(at)) in booked:
                for ticket in compile_orders(intent, self.state.origin, self.state.profile):
                    if ticket.client_order_id not in self.ended:
                        yield self._differ("orders", at, ticket.symbol, None, "an end", BY_DECISION)

    # ── rows and books ──────────────────────────────────────────────────────────────────────────────────────────────

    def _check_rows(self, books: Books, shown: Bars, traded: Bars, splits: Sequence[Split]) -> Iterator[Difference]:
        days = [day_of(one) for one in np.unique(traded.session_of).tolist()]
        fills = [one for one in self.state.booked if one.at <= traded.closes_at[-1]]
        due = {row["session"]: row for row in own_rows(books, self.state, shown, traded, fills, splits, days)}
        for on in days:
            if not _fills_after(fills, traded, on):
                continue  # else its row was written before these filled
            until = traded.rows(0, int(np.searchsorted(traded.session_of, day_number(on), side="right")))
            known = shown.rows(0, len(shown) - len(traded) + len(until))
            seen = [one for one in fills if one.at <= until.closes_at[-1]]
            (due[str(on)],) = own_rows(books, self.state, known, until, seen, splits, [on])
        for day in sorted(due.keys() - {row["session"] for row in self.rows}):
            yield self._differ("books", day, "row", None, due[day]["equity"], BY_FILLS)
        for row in self.rows:
            day = str(row["session"])
            if day not in due:
                yield self._differ("books", day, "row", row["equity"], None, BY_FILLS)
                continue
            cash, equity = row.get("broker_cash"), row.get("broker_equity")
            stated = None if cash is None or equity is None else (float(cash), float(equity))
            mine, theirs = dict(_leaves(row)), dict(_leaves({**due[day], **broker_part(due[day], stated)}))
            self.held += len(theirs)
            for name in sorted({*mine, *theirs}, key=str):
                value, own = mine.get(name), theirs.get(name)
                unknown = value is None and name[0] == "held" and name[-1] in self.late.get(day, ())
                if not (unknown or _is_near(name, value, own)):
                    yield self._differ("books", day, ".".join(map(str, name)), value, own, BY_FILLS)

    def _check_books(self, books: Books, traded: Bars, splits: Sequence[Split]) -> Iterator[Difference]:
        """Hold the book that each decision rests on; what was changed by a person stands with that of before."""
        counts = [len(closed_by(traded, one.at)) for one in self.planned]
        days = [one.at.astimezone(NEW_YORK).date() for one in self.planned]
        known = zip(counts, (one.fills for one in self.planned), days, strict=True)
        before: Planned | None = None
        for one, due, count in zip(self.planned, books.at_each(traded, list(known), splits), counts, strict=True):
            if one.answered and before is not None and before.at == one.at:
                due = before.intent.book
            late = self.late.get(str(day_of(int(traded.session_of[count - 1]))), ()) if count else ()
            yield from self._check_book(one, due, late)
            before = one

    def _check_book(self, one: Planned, due: Book, late: Collection[str]) -> Iterator[Difference]:
        book = one.intent.book
        worth = fsum(shares * book.marks.get(symbol, 0.0) for symbol, shares in book.positions.items())
        found: list[tuple[str, float, float, float]] = [
            ("cash", book.cash, due.cash, CENT), ("equity", book.equity, book.cash + worth, CENT)
        ]  # fmt: skip
        held = sorted({*book.positions, *due.positions})
        found += [(symbol, book.positions.get(symbol, 0.0), due.positions.get(symbol, 0.0), SHARE) for symbol in held]
        marks = [symbol for symbol in due.marks if symbol not in late]
        found += [(f"{it} mark", book.marks.get(it, 0.0), due.marks[it], PRICE * due.marks[it]) for it in marks]
        self.held += len(found)
        for what, mine, own, most in found:
            if not abs(mine - own) <= most:
                yield self._differ("books", one.at, what, mine, own, BY_FILLS)

    def _differ(
        self, part: Any, when: str | int | datetime, what: str, mine: Any, due: Any, against: str
    ) -> Difference:
        return Difference(part, (self.name, when if isinstance(when, str) else minute(when), what), mine, due, against)


def find_late(data: Mapping[str, bytes], events: Iterable[Event]) -> dict[str, set[str]]:
    """Return {session: symbols whose bar of it was recorded later than the session was booked}, of daily bars by the
    bytes that `data`, {name of a file: what it holds}, had then."""
    late = dict[str, set[str]]()
    for event in events:
        for name, (size, _) in (event.payload.get("inputs") or {}).items() if event.kind == "forward.session" else ():
            if name in data:
                newest = data[name][:size].rstrip().rpartition(b"\n")[2][:10].decode(errors="replace")
                if newest < (day := str(event.payload["session"])):
                    late.setdefault(day, set()).add(name.rpartition("/")[2].removesuffix(".csv"))
    return late


def _session(at: int) -> str:
    """Return the session that something at `at` belongs to: the one that is open, else the next."""
    return minute(session_hours(moment(at))[0])[:10]


def _fills_after(fills: Sequence[BrokerFill], traded: Bars, day: date) -> bool:
    """Return True where something filled after the last bar of `day` and before the next one."""
    t = int(np.searchsorted(traded.session_of, day_number(day), side="right"))
    until = traded.opens_at[t] if t < len(traded) else 0
    return any(traded.closes_at[t - 1] < one.at < until for one in fills)


def closed_by(bars: Bars, at: datetime) -> Bars:
    """Return the bars that have closed by `at`."""
    return bars.rows(0, int(np.searchsorted(bars.closes_at, instant(at), side="right")))


def ratio_since(splits: Iterable[Split], symbol: str, session: str) -> float:
    """Return the shares that one of `symbol` in a session has become after all `splits`."""
    return prod(one.ratio for one in splits if one.symbol == symbol and session < str(one.session))


def minute(at: int | datetime) -> str:
    """Return an instant as it is shown, ISO in New York; it begins with the date."""
    return (moment(at) if isinstance(at, int) else at).astimezone(NEW_YORK).isoformat(timespec="minutes")


def _size(order: Order) -> str:
    return f"${order.notional:.2f}" if order.quantity is None else f"{order.quantity:g}"


def _leaves(value: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[tuple[str | int, ...], Any]]:
    if isinstance(value, Mapping):
        for name, one in value.items():
            yield from _leaves(one, (*path, str(name)))
    elif isinstance(value, list | tuple):
        for n, one in enumerate(value):
            yield from _leaves(one, (*path, n))
    else:
        yield path, value


def _is_near(name: tuple[str | int, ...], mine: Any, due: Any) -> bool:
    if isinstance(mine, str) or isinstance(due, str) or mine is None or due is None:
        return bool(mine == due)
    if name[0] in DOLLARS:
        return isclose(mine, due, rel_tol=0.0, abs_tol=CENT)
    if name[0] == "positions":
        return isclose(mine, due, rel_tol=0.0, abs_tol=SHARE)
    return isclose(mine, due, rel_tol=PRICE, abs_tol=NOTHING)
