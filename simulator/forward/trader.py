"""One account of a forward test between two wakes: fills booked, orders sent, positions protected.

    settle: executions ──► booked once ──► execute: what can be sent now ──► guard: what is held, as it was decided
               ▲                                                               │
               └────────────────────── until nothing changes ◄─────────────────┘

Everything is on record before it is sent; after a crash the same calls go on where they were.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from math import isclose
from typing import Any, Protocol

from simulator.errors import LLMError, StoppedByUserError
from simulator.forward import payloads
from simulator.forward.alerts import Kind as AlertKind
from simulator.forward.books import Books
from simulator.forward.gate import Check, Gated, Hold
from simulator.forward.guard import Guard, find_unexplained
from simulator.forward.protocols import ForwardBroker, Known
from simulator.forward.requests import UnexplainedError
from simulator.forward.state import FINAL, State
from simulator.market.bars import instant, moment
from simulator.market.calendar import NEW_YORK
from simulator.store.events import Kind
from simulator.trading.broker import DeniedError, RejectedError
from simulator.trading.cycle import Intent, execute, narrow
from simulator.trading.model import Book, BrokerFill, Decision
from simulator.trading.orders import compile_orders, session_hours
from simulator.trading.strategy import ReadsPast, Strategy

PASSES = 20
"""Rounds of one `settle` before what still changes is left to the next."""
YOUNG = timedelta(seconds=30)
"""Age below which an order or a fill is not held against the books: the broker's own parts agree only after a while."""


class Record(Protocol):
    """Puts an event of an account on record, and applies it."""

    def __call__(self, kind: Kind, at: datetime, account: str, payload: Mapping[str, Any]) -> None: ...


Plan = Callable[[Book, int], Awaitable[Intent]]
Tell = Callable[[AlertKind, str, str], None]
"""Alerts people: kind, text, account."""


@dataclass(eq=False)
class Trader:
    """An account: the strategy as it trades there, its broker, its own books, and its state.

    `execution_open` says whether part of the newest intent has still to be sent or seen. `barred` is the reason for
    which nothing more is done at all: keys or number of the account are wrong.
    """

    name: str
    strategy: Strategy[Any]
    broker: ForwardBroker
    books: Books
    state: State
    execution_open: bool = False
    barred: str = ""
    pending: tuple[datetime, str] | None = None
    """Point at which the broker was not reached: it is made good in its session."""
    skipped: frozenset[str] = frozenset()
    quotes: Mapping[str, Any] = field(default_factory=dict)
    """Quotes that the newest plan rests on."""
    check: Check | None = None
    """Looks at every order again when its turn comes."""
    hold: Hold | None = None
    """Names the orders that wait for a person."""
    since: int = 0
    """Instant from which on fills count."""
    guard: Guard = field(init=False)

    def __post_init__(self) -> None:
        self.guard = Guard(self.state, self.broker)
        self.broker.is_own, self.broker.ticket_of = self.state.owns, self.state.tickets.get
        self.broker.was_refused = lambda key: self.state.states.get(key) == "rejected"

    @property
    def journal(self) -> list[Decision]:
        """Decisions so far, oldest first."""
        return self.state.journal

    @property
    def fills(self) -> list[BrokerFill]:
        """Fills so far, oldest first."""
        return self.state.booked

    @property
    def orders(self) -> int:
        """Orders that were planned so far."""
        return self.state.orders

    @property
    def morning(self) -> float:
        """Equity that the broker stated at the close before, dollars; where it did not, that of the books."""
        return float(self.state.day.get("broker_equity") or self.state.day.get("equity") or self.books.equity)

    @property
    def busy(self) -> bool:
        """True while an order of ours may still fill, or something waits."""
        return self.execution_open or bool(self.state.open_ids) or bool(self.state.to_flatten)

    def begin(self, at: datetime, opening: Mapping[str, Any]) -> None:
        """Take over what the account held at `at`, when the test began: what filled before is in it."""
        self.since = instant(at)
        if "cash" in opening:
            self.books = replace(self.books, cash=float(opening["cash"]), shares=dict(opening["positions"]))
            self.state.begin(opening)

    def book(self, known: Known, account: Book) -> Book:
        """Return the account as replay would have it: own cash and marks, the broker's shares and open orders."""
        day = known.snapshot.as_of.astimezone(NEW_YORK).date()
        own = self.books.at(known.traded, self.state.booked, account.open_orders, known.splits, day)
        reads = isinstance(self.strategy, ReadsPast)
        past = (
            self.books.past(known.traded, self.state.booked, known.snapshot.as_of, known.splits, account.positions)
            if reads
            else None
        )
        positions = {}
        for symbol in (*own.marks, *(one for one in account.positions if one not in own.marks)):
            mine, theirs = own.positions.get(symbol, 0.0), account.positions.get(symbol, 0.0)
            same = isclose(mine, theirs, rel_tol=1e-9, abs_tol=1e-9)
            if shares := mine if same else theirs:
                positions[symbol] = shares
        marks = {**own.marks, **{one: account.marks.get(one, 0.0) for one in positions if one not in own.marks}}
        equity = own.cash + sum(shares * marks[symbol] for symbol, shares in positions.items())
        return Book(own.cash, positions, marks, equity, account.open_orders, past)

    # ── settle ──────────────────────────────────────────────────────────────────────────────────────────────────────

    async def settle(self, now: datetime, plan: Plan, record: Record, tell: Tell) -> None:
        """Book fills, send what can be sent and protect what is held, until nothing changes. Raises BrokerError."""
        for _ in range(PASSES):
            changed = await self.book_fills(record, tell)
            if changed:
                await self.review(now, record, tell)
            changed |= await self._or_leave(self._execute(now, plan, record, tell), now, record, tell)

            def put(payload: Mapping[str, Any]) -> None:
                record("forward.order", now, self.name, payload)

            changed |= await self.guard.look(now, self.skipped, put, tell)
            if not changed:
                return

    async def plan_anew(self, now: datetime, plan: Plan, record: Record, tell: Tell) -> None:
        """Put what an ending loop withdrew of the newest intent, and what was never sent, on record as it is planned
        now, in a further revision: what was done of it stands, whatever the prices are and whatever has left since."""
        state, intent = self.state, self.state.intent
        newest = () if intent is None else compile_orders(intent, state.origin, state.profile)
        left = {one.symbol for one in newest if one.client_order_id not in state.states}
        left |= {state.tickets[key].symbol for key in state.again}

        async def anew() -> bool:
            revision = 0 if intent is None else intent.revision + 1
            planned = await plan(await self.broker.account(), revision)
            self.record_intent(narrow(planned, frozenset(left)), record)
            return True

        await self._or_leave(anew(), now, record, tell)

    async def _or_leave(self, work: Awaitable[bool], now: datetime, record: Record, tell: Tell) -> bool:
        # What would be planned anew and has no answer is given up; exits are seen to all the same.
        try:
            return await work
        except StoppedByUserError:
            raise
        except LLMError as error:
            self.give_up(now, f"not planned anew: {error.found}", record, tell)
            tell("decision failed", f"not planned anew: {error.found}", self.name)
            return True

    async def book_fills(self, record: Record, tell: Tell) -> bool:
        """Record fills that are new; each counts once, however often it is reported."""
        told = await self.broker.executions()
        fresh = [one for one in told if one.at >= self.since and one.id not in self.state.fills]
        for fill in fresh:
            record("forward.fill", moment(fill.at), self.name, payloads.write_fill(fill))
            if not fill.client_order_id:
                tell("external order", f"{fill.quantity:g} {fill.symbol} at {fill.price:g}: in the books", self.name)
        return bool(fresh)

    async def _execute(self, now: datetime, plan: Plan, record: Record, tell: Tell) -> bool:
        intent = self.state.intent
        if not self.execution_open or intent is None:
            return False
        if now >= session_hours(intent.decision.as_of)[1]:
            self.give_up(now, "its session has closed", record, tell)
            return True

        async def put(anew: Intent) -> None:
            self.record_intent(anew, record)

        known, gate = dict(self.state.states), Gated(self.broker, self.check, self.hold)
        done = await execute(
            intent, gate, self.state.origin, plan, put, self.state.profile, lambda: now,
            self.state.given_up,
        )  # fmt: skip
        for key, report in done.orders.items():
            if known.get(key) != report.status:
                self.note(key, report.status, now, record, report.reason, report.filled)
                if report.status == "rejected":
                    tell("order refused", f"{report.symbol}: {report.reason}", self.name)
        for key, why in done.given_up.items():
            if key not in self.state.given_up:
                self.note(key, "given up", now, record, why)
                ticket = self.state.tickets.get(key)
                tell("order refused", f"{ticket.symbol if ticket else 'exits'}: {why}", self.name)
        self.execution_open = not done.done
        held = gate.find_held_back(done.intent, done.waiting)
        waits = {one.symbol for one in done.waiting if one.client_order_id not in held} | set(done.unprotected)
        bare = [key for key in done.orders if self.state.tickets[key].order_class == "simple"]
        trades = {done.orders[key].symbol for key in bare if done.orders[key].status == "open"}
        self.skipped = frozenset(waits | trades)
        return self.state.states != known

    def record_intent(self, intent: Intent, record: Record, point: str = "", **more: object) -> None:
        """Put an intent on record, before anything of it is sent; `more` beside it."""
        beside = {"point": point, "quotes": self.quotes, **more}
        record("forward.intent", intent.decision.as_of, self.name, {**payloads.write_intent(intent), **beside})
        self.execution_open, self.quotes = True, {}

    def note(
        self,
        key: str,
        state: str,
        now: datetime,
        record: Record,
        why: str = "",
        filled: float = 0.0,
        again: bool = False,
    ) -> None:
        """Record how an order stands; `again` of one that the next loop is to plan anew."""
        ticket = self.state.tickets.get(key)
        symbol = "" if ticket is None else ticket.symbol
        payload = {"client_order_id": key, "symbol": symbol, "state": state, "why": why, "filled": filled}
        record("forward.order", now, self.name, {**payload, "again": True} if again else payload)

    def give_up(self, now: datetime, why: str, record: Record, tell: Tell, symbol: str = "") -> None:
        """Give up what of the newest intent was never sent, or what of that is for `symbol`."""
        intent = self.state.intent
        if not symbol:
            self.execution_open, self.skipped = False, frozenset()
        for order in () if intent is None else intent.orders:
            if symbol not in ("", order.symbol):
                continue
            for key, ticket in self.state.tickets.items():
                is_its = ticket.symbol == order.symbol and key not in self.state.states
                if is_its and key not in self.state.given_up:
                    self.note(key, "given up", now, record, why)
                    tell("order refused", f"{ticket.symbol} was not sent: {why}", self.name)

    async def withdraw(self, now: datetime, why: str, record: Record, tell: Tell, symbol: str) -> None:
        """Cancel orders on `symbol` that wait, and give up those that were not sent."""
        for key in self.state.open_ids:
            if symbol == self.state.tickets[key].symbol:
                report = await self.broker.cancel(key)
                self.note(key, report.status, now, record, why, report.filled)
                tell("order refused", f"an order on {symbol} is withdrawn: {why}", self.name)
        self.give_up(now, why, record, tell, symbol)
        self.skipped -= {symbol}  # its position gets its exits back

    async def check_shares(self, now: datetime, theirs: Mapping[str, float], record: Record, tell: Tell) -> None:
        """Raise UnexplainedError where `theirs`, shares at the broker, are other than the books', and no fill says
        why."""
        await self.book_fills(record, tell)
        found = find_unexplained(self.state.shares, theirs, self._young(now))
        for symbol in found:
            self.guard.doubt(symbol, now)
        if found:
            raise UnexplainedError("; ".join(found.values()))

    def _young(self, now: datetime) -> set[str]:
        """Return symbols that filled a moment ago: the broker's own parts agree only after a while."""
        return {fill.symbol for fill in self.state.fills.values() if fill.at > instant(now - YOUNG)}

    async def restore_exits(self, now: datetime, record: Record, tell: Tell) -> None:
        """Protect what is held, before anything is sent: a loop may have been killed between the release of exits and
        the order they were released for. Symbols of which an order is at work are left. Raises BrokerError."""
        await self.book_fills(record, tell)
        await self.review(now, record, tell)
        intent, at_work = self.state.intent, set[str]()
        for one in () if intent is None else compile_orders(intent, self.state.origin, self.state.profile):
            report = await self.broker.find(one.client_order_id)  # one that was sent may not be on record
            if report is not None and report.status == "open":
                at_work.add(one.symbol)

        def put(payload: Mapping[str, Any]) -> None:
            record("forward.order", now, self.name, payload)

        await self.guard.look(now, frozenset(at_work), put, tell)

    async def stand_down(self, now: datetime, killed: str, record: Record, tell: Tell) -> None:
        """Leave the account to itself, every position with its exits: an order at work on one of them, for which they
        were released, is withdrawn first. It is planned anew by the next loop, unless `killed` says why the test ended
        for good: then entries are withdrawn too, and what was never sent is given up. Raises BrokerError."""
        state, why = self.state, killed or "the loop ended"
        newest = () if state.intent is None else compile_orders(state.intent, state.origin, state.profile)
        for key in dict.fromkeys([*state.open_ids, *(one.client_order_id for one in newest)]):
            ticket, report = state.tickets[key], await self.broker.find(key)
            if report is None or report.status != "open":
                continue
            held = state.shares.get(ticket.symbol, 0.0)
            bare = held != 0.0 and ticket.symbol in state.protection and not self.guard.asleep
            if bare or (killed and (ticket.quantity or 1.0) * held >= 0.0):
                report = await self.broker.cancel(key)
                self.note(key, report.status, now, record, why, report.filled, again=not killed)
        if killed:
            self.give_up(now, why, record, tell)
        if self.guard.asleep:
            return
        await self.book_fills(record, tell)
        for symbol, wanted in list(self.state.protection.items()):
            if symbol in self.guard.doubted:
                continue
            try:
                parts = wanted.parts_left(self.state.shares.get(symbol, 0.0))
                await self.broker.protect(symbol, wanted.stop, wanted.take_profit, wanted.id, parts)
            except (DeniedError, RejectedError) as error:
                tell("position unprotected", f"{symbol}, as the loop ends: {error.found}", self.name)

    # ── against the broker ──────────────────────────────────────────────────────────────────────────────────────────

    async def review(self, now: datetime, record: Record, tell: Tell) -> None:
        """Record orders that have ended since they were seen; one that ended early is alerted. Raises BrokerError."""
        intent, newest = self.state.intent, set[str]()
        if intent is not None:
            newest = {one.client_order_id for one in compile_orders(intent, self.state.origin, self.state.profile)}
        for key in self.state.open_ids:
            report = await self.broker.find(key)
            state = "given up" if report is None else report.status
            if report is not None and state not in FINAL:
                continue
            filled = 0.0 if report is None else report.filled
            self.note(key, state, now, record, "" if report else "the broker has none of that id", filled)
            ticket = self.state.tickets[key]
            replaced = intent is not None and ticket.symbol in intent.cancels and key not in newest
            if state in ("cancelled", "rejected", "partly_filled", "given up") and not replaced:
                tell("order refused", f"{ticket.symbol} ended early: {state}, {filled:g} filled", self.name)

    async def reconcile(self, now: datetime, account: Book, record: Record, tell: Tell) -> list[str]:
        """Hold the books against the broker's account; return the differences, which are alerted too.

        External orders are alerted once, and left as they are. What moved in the last seconds is passed over.
        """
        for one in account.open_orders:
            if one.external and one.client_order_id not in self.state.external:
                payload = {"client_order_id": one.client_order_id, "symbol": one.symbol, "state": "external"}
                record("forward.order", now, self.name, payload)
                tell("external order", f"an order on {one.symbol} is not ours: it is left as it is", self.name)
        differences = []
        for symbol in sorted({*self.state.shares, *account.positions} - self._young(now)):
            mine, theirs = self.state.shares.get(symbol, 0.0), account.positions.get(symbol, 0.0)
            if not isclose(mine, theirs, rel_tol=1e-9, abs_tol=1e-6):
                differences.append(f"{symbol}: {mine:g} in the books, {theirs:g} at the broker")
        if differences:
            tell("books differ", "; ".join(differences), self.name)
        return differences
