"""Staging: orders that open or enlarge a position wait until a person has answered for them, or their deadline.

    intent ──entries──► staged ──held at the gate──► approval.asked ──► person: approval.given | .refused
                           └── sent as approved, changed, or given up ◄──┘        deadline: approval.expired

What closes, protects or withdraws never comes here. What was answered is looked up by account: the newest question
that names it. What has filled since that was asked is part of it and leaves the rest due, however often it is planned.

    of the account   and its order, as it is planned now      is
    ──────────────   ──────────────────────────────────────   ───────────────────────────────────────────────────
    nothing          (first planned, or the account is late)  asked: a question of its own, or with one that waits
    waiting          other terms, or more has filled          asked under the next version
    rejected         whatever it is                           given up, in this account and for this decision
    expired          whatever it is                           given up, likewise
    approved         what is due                              sent, once price and risk are looked at again
      as decided     another size or price                    asked: a question of its own for what is planned now
      as changed     another size or price                    made what is due
      all filled     more                                     given up: what was approved has filled
      any            none                                     given up, with why nothing is planned of it
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from itertools import groupby
from math import fsum
from typing import Any

from simulator.forward.alerts import Kind as AlertKind
from simulator.forward.approvals import (
    KINDS,
    LEAST_DOLLARS,
    Approval,
    Staged,
    approval_id,
    beside,
    fold,
    forbids,
    list_questions,
    write_asked,
)
from simulator.forward.exposure import Room
from simulator.forward.quotes import Quotes, QuotesOfWaiting
from simulator.forward.settings import Forward
from simulator.forward.trader import Record, Tell, Trader
from simulator.forward.watch import Watch
from simulator.market.bars import instant
from simulator.market.calendar import NEW_YORK, say_time
from simulator.store.database import Store
from simulator.store.events import Event, Stored
from simulator.trading.cycle import Intent, TradingRules
from simulator.trading.model import Book, BrokerFill, Protect
from simulator.trading.orders import Ticket, compile_orders, session_hours
from simulator.trading.strategy import Explains, RulesEntries

LAST_ANSWER = timedelta(minutes=3)
"""Before an open and a close, until which is answered for what is sent then: 09:27."""


def entries(intent: Intent, tickets: Iterable[Ticket]) -> Iterator[tuple[tuple[str, ...], Ticket, float]]:
    """Yield the trades of `intent` that open or enlarge a position: ids of its `tickets`, the order as a whole, and the
    shares held before it. What leaves in parts is ordered in as many; the take-profit is that of the rest."""
    held = dict(intent.book.positions)
    for (_, simple), group in groupby(tickets, lambda one: (one.symbol, one.order_class == "simple")):
        parts = list(group)
        for own in [[one] for one in parts] if simple else [parts]:
            ticket = own[-1]
            if len(own) > 1:
                ticket = replace(ticket, quantity=sum(one.quantity or 0.0 for one in own))
            before, mark = held.get(ticket.symbol, 0.0), intent.book.marks.get(ticket.symbol, 0.0)
            dollars = ticket.notional or 0.0
            wanted = ticket.quantity if ticket.quantity is not None else dollars / mark if mark else dollars
            held[ticket.symbol] = before + wanted
            if wanted * before >= 0.0 or abs(wanted) > abs(before) + 1e-6:
                yield tuple(one.client_order_id for one in own), ticket, before


@dataclass(eq=False)
class Staging:
    """Orders of the run that wait. `settings` and `mode` say for which a person is asked; `rules` are those of risk and
    margin.

    Nobody is asked, and the store not read, where they say ``none``.
    """

    run: str
    store: Store
    rules: TradingRules
    settings: Callable[[], tuple[Forward, str]]
    tell: Callable[[AlertKind, str, str], None]
    known: dict[str, Approval] = field(default_factory=dict)
    position: int = 0
    quotes: QuotesOfWaiting | None = None
    """Of what a person is shown; None where nobody quotes."""

    @property
    def share(self) -> float | None:
        """Percent of an account's equity above which an order waits; None where none does."""
        settings, mode = self.settings()
        return settings.approval_share(mode)

    @property
    def waiting(self) -> list[Approval]:
        """Trades that were asked for and not answered."""
        return [one for one in self.known.values() if one.state == "waiting"]

    @property
    def deadlines(self) -> list[datetime]:
        return [datetime.fromisoformat(one.deadline) for one in self.waiting]

    # ── at the gate ─────────────────────────────────────────────────────────────────────────────────────────────────

    def hold(self, trader: Trader, intent: Intent, tickets: Sequence[Ticket]) -> frozenset[str]:
        """Return the ids of `tickets` that are not to be sent yet."""

        def is_due(symbol: str, staged: Staged) -> bool:
            found = self._find(trader, intent, symbol)
            due = None if found is None else self._find_due(found, trader, staged.held)
            return due is not None and due.terms == staged.terms

        asked = self.stage(trader, intent, tickets)
        return frozenset(key for key, its in asked.items() if not is_due(*its))

    def _find(self, trader: Trader, intent: Intent, symbol: str) -> Approval | None:
        """Return the newest question about the trade of `intent` on `symbol` that names the account."""
        asked = list_questions(self.known, self.run, _decided_at(intent), symbol)
        return next((one for one in reversed(asked) if trader.name in one.sizes), None)

    def _find_due(self, found: Approval, trader: Trader, held: float) -> Staged | None:
        """Return what is still to be ordered of what was approved in an account which has `held` shares of it; None
        where it is not approved."""
        if found.state != "approved":
            return None
        return find_due(found.sizes[trader.name], trader.state.entered(found.symbol), held)

    def stage(self, trader: Trader, intent: Intent, tickets: Sequence[Ticket]) -> dict[str, tuple[str, Staged]]:
        """Return {client_order_id: (symbol, its order as it would be sent)} of what a person is asked for."""
        share = self.share
        if share is None:
            return {}
        found: dict[str, tuple[str, Staged]] = {}
        whole = {one.symbol: (one.stop, one.take_profit) for one in intent.protects}
        parts, strategy = {one.symbol: one.exits for one in intent.orders}, trader.strategy
        for keys, ticket, held in entries(intent, tickets):
            price = intent.book.marks.get(ticket.symbol) or None
            at, equity = ticket.limit or price, intent.book.equity
            worth = ticket.notional or abs(ticket.quantity or 0.0) * (at or float("inf"))
            if worth * 100.0 <= share * equity:
                continue
            brought = ticket.order_class != "simple" or not held
            staged = Staged(
                ticket.quantity, ticket.notional, ticket.limit, ticket.stop, ticket.take_profit, ticket.order_class,
                held if held * (ticket.quantity or 1.0) > 0.0 else 0.0, equity, self.rules.limits.max_weight * equity,
                whole=(None, None) if brought else whole.get(ticket.symbol, (None, None)),
                parts=parts.get(ticket.symbol, ()),
                rules=strategy.entry_rules(ticket.symbol) if isinstance(strategy, RulesEntries) else None,
            )  # fmt: skip
            found |= dict.fromkeys(keys, (ticket.symbol, staged))
        return found

    def _measure_room(
        self, trader: Trader, intent: Intent, trades: Mapping[str, Staged], book: Book
    ) -> dict[str, Staged]:
        """Return orders by symbol with the room that `book`, which is read now or was when they were planned, has for
        them once what never waits is done."""
        tickets, marks = compile_orders(intent, trader.state.origin, trader.state.profile), intent.book.marks
        held, moved = intent.book.positions, {one.symbol for one in intent.orders}
        worth = {one: shares * marks.get(one, 0.0) for one, shares in held.items() if one in moved}
        for one in tickets if (staged := self.stage(trader, intent, tickets)) else ():
            if one.client_order_id not in staged:
                dollars = one.notional if one.quantity is None else one.quantity * marks.get(one.symbol, 0.0)
                worth[one.symbol] = worth.get(one.symbol, 0.0) + (dollars or 0.0)
        worth |= {one: shares * book.marks.get(one, 0.0) for one, shares in book.positions.items() if one not in moved}
        limits, margin = self.rules.limits, self.rules.execution
        margins, most = (margin.initial_margin_long, margin.initial_margin_short), limits.max_weight * book.equity
        return {
            symbol: replace(one, equity=book.equity, most=most, room=Room.of(symbol, worth, limits, margins, moved))
            for symbol, one in trades.items()
        }

    # ── answers ─────────────────────────────────────────────────────────────────────────────────────────────────────

    def read(self, now: datetime) -> None:
        """Read the answers that others wrote; a trade whose deadline has passed expires. Raises SimError."""
        if self.share is None:
            return
        self._take(self.store.of_forward(self.run, tuple(KINDS), self.position))
        for one in self.waiting:
            if now >= datetime.fromisoformat(one.deadline):
                self._expire(one, f"nobody answered until {say_time(datetime.fromisoformat(one.deadline))}")

    def withdraw(self, now: datetime, why: str) -> None:
        """End every trade that waits, with `why` on record. Raises SimError."""
        self.read(now)
        for one in self.waiting:
            self._expire(one, why)

    def _take(self, stored: Sequence[Stored]) -> None:
        self.known = fold(self.known, stored)
        self.position = max([self.position, *(one.position for one in stored)])

    def _expire(self, asked: Approval, why: str) -> None:
        """Put on record that a trade is not made, unless it was answered a moment before."""

        def make(stored: list[Stored]) -> list[Event]:
            newest = fold({}, stored)[asked.id]
            if newest.state != "waiting":
                return []
            payload = {"id": asked.id, "version": newest.version + 1, "reason": why}
            return [Event("approval.expired", asked.decided_at, None, payload)]

        self._take(self.store.append_after_reading(self.run, tuple(KINDS), make))
        if self.known[asked.id].state == "expired":
            self.tell("approval expired", f"{self._name(asked)} is not traded: {why}", "")

    def _name(self, asked: Approval) -> str:
        """Return the symbol, and the accounts where not all are asked at once."""
        is_first = asked.id == approval_id(self.run, asked.decided_at, asked.symbol)
        return asked.symbol if is_first else f"{asked.symbol} in {', '.join(asked.sizes)}"

    async def show_prices(self, now: datetime, watch: Watch | None, traders: Sequence[Trader]) -> None:
        """Have the heartbeat tell the newest quotes of the symbols that wait and of those that are held, these asked
        for while the market is open: all that people see of them."""
        if self.quotes is not None and watch is not None:
            held = {symbol for one in traders for symbol in one.state.shares}
            asked = held if session_hours(now)[0] <= now else set()
            await self.quotes.look({one.symbol for one in self.waiting} | asked, now, held)
            watch.prices = self.quotes.known

    async def follow(self, trader: Trader, now: datetime, quotes: Quotes | None, record: Record, tell: Tell) -> None:
        """Do as was answered: what was refused is given up, what was changed takes the place of what was planned.
        In an open market the price of now is asked for. Raises BrokerError."""
        intent = trader.state.intent
        if not self.known or intent is None:
            return

        def give_up(keys: Iterable[str], symbol: str, why: str, alert: bool) -> None:
            for key in keys:
                trader.note(key, "given up", now, record, why)
            if alert:
                tell("order refused", f"{symbol} was approved and not sent: {why}", trader.name)

        for symbol, keys in self._list_dropped(trader, intent).items():
            why = next((one.why for one in intent.refused if one.symbol == symbol), "planned anew without it")
            give_up(keys, symbol, why, alert=True)
        if not trader.execution_open:
            return
        trades: dict[str, tuple[list[str], Staged]] = {}
        for key, (symbol, staged) in self._unsent(trader, intent).items():
            trades.setdefault(symbol, ([], staged))[0].append(key)
        for symbol, (keys, staged) in trades.items():
            found = self._find(trader, intent, symbol)
            if found is None or found.state == "waiting":
                continue
            due = self._find_due(found, trader, staged.held)
            if due is None:
                who = f"rejected by {found.by}: {found.reason}" if found.by else found.reason
                give_up(keys, symbol, who, alert=False)
                continue
            if not due.size:
                give_up(keys, symbol, "what was approved of it has filled", alert=False)
                continue
            if due.terms != staged.terms:
                if not found.is_changed_in(trader.name):
                    continue  # it is asked for again
                intent = put_terms(intent, symbol, due)
                trader.record_intent(intent, record, approval=found.id, version=found.version)
            is_open = now >= session_hours(now)[0]
            if trader.state.tickets[keys[0]].at_open and not is_open:
                continue  # it is looked at when its turn comes
            quote = (await quotes([symbol])).get(symbol) if quotes and is_open else None
            judged = self._measure_room(trader, intent, {symbol: due}, await trader.broker.account())[symbol]
            price = found.price_then if quote is None else quote.price
            if why := forbids(judged, price, beside(found, trader.name, self.known.values())):
                give_up(keys, symbol, why, alert=True)

    def _list_dropped(self, trader: Trader, intent: Intent) -> dict[str, list[str]]:
        """Return {symbol: ids} of orders that were approved, never sent, and are no part of the newest plan."""
        state, dropped = trader.state, dict[str, list[str]]()
        planned = {(one.symbol, _side(one)) for one in compile_orders(intent, state.origin, state.profile)}
        for symbol in {one.symbol for one in self.known.values() if one.decided_at == _decided_at(intent)}:
            found = self._find(trader, intent, symbol)
            due = None if found is None else self._find_due(found, trader, 0.0)
            if due is None or not due.size or (symbol, _side(due)) in planned:
                continue
            at = instant(intent.decision.as_of)
            keys = [key for key, one in state.tickets.items()
                    if one.symbol == symbol and _side(one) == _side(due) and state.decision_of(key) == at]  # fmt: skip
            if state.states.keys().isdisjoint(keys):
                dropped[symbol] = keys
        return dropped

    def amend(self, trader: Trader, intent: Intent) -> Intent:
        """Return an intent that is planned anew after some of it has filled, with what a person made of those trades in
        the place of what was decided: what is left of the size, and stop and target."""
        for symbol in {one.symbol for one in self.known.values() if one.decided_at == _decided_at(intent)}:
            found = self._find(trader, intent, symbol)
            if found is None or not found.is_changed_in(trader.name) or not trader.state.entered(symbol):
                continue  # before anything has filled `follow` changes it
            due = self._find_due(found, trader, intent.book.positions.get(symbol, 0.0))
            intent = intent if due is None else put_terms(intent, symbol, due)
        return intent

    def _unsent(self, trader: Trader, intent: Intent) -> dict[str, tuple[str, Staged]]:
        tickets = compile_orders(intent, trader.state.origin, trader.state.profile)
        return {key: one for key, one in self.stage(trader, intent, tickets).items() if key not in trader.state.states}

    # ── asking ──────────────────────────────────────────────────────────────────────────────────────────────────────

    def ask(self, now: datetime, traders: Sequence[Trader], point: Callable[[datetime], str]) -> None:
        """Ask for what is held and was not asked for, or not in these terms; what is gone is not asked for any more."""
        if self.share is None:
            return
        held: dict[tuple[str, str], dict[str, Staged]] = {}
        of: dict[tuple[str, str], tuple[Trader, Intent]] = {}
        for trader in traders:
            intent = trader.state.intent
            if intent is None or not trader.execution_open or now >= session_hours(intent.decision.as_of)[1]:
                continue
            unsent = dict(self._unsent(trader, intent).values())
            orders = {symbol: one for symbol, one in unsent.items() if self._is_asked(trader, intent, symbol, one)}
            for symbol, staged in self._measure_room(trader, intent, orders, intent.book).items():
                others = {one: it.worth(intent.book.marks.get(one, 0.0)) for one, it in orders.items() if one != symbol}
                why = forbids(staged, intent.book.marks.get(symbol) or None, others)
                asked = replace(staged, blocked=why, filled=_sum_filled(trader.state.entered(symbol), staged))
                held.setdefault((_decided_at(intent), symbol), {})[trader.name] = asked
                of[_decided_at(intent), symbol] = trader, intent
        for trade, sizes in held.items():
            self._ask(trade[1], sizes, *of[trade], now, point)
        for one in self.waiting:
            if (one.decided_at, one.symbol) not in held:
                self._expire(one, "nothing of it is left to order")

    def _is_asked(self, trader: Trader, intent: Intent, symbol: str, staged: Staged) -> bool:
        """Return True where a person has still to answer for an order as it is planned now."""
        found = self._find(trader, intent, symbol)
        if found is None or found.state == "waiting":
            return True
        due = self._find_due(found, trader, staged.held)
        is_other = due is not None and due.size != 0.0 and due.terms != staged.terms
        return is_other and not found.is_changed_in(trader.name)  # what a person changed is changed again

    def _ask(
        self, symbol: str, sizes: Mapping[str, Staged], trader: Trader, intent: Intent, now: datetime,
        point: Callable[[datetime], str],
    ) -> None:  # fmt: skip
        questions = list_questions(self.known, self.run, _decided_at(intent), symbol)
        before = next((one for one in questions if one.state == "waiting"), None)
        if before is not None and _terms(sizes) == _terms(before.sizes):
            return
        name = before.id if before else approval_id(self.run, _decided_at(intent), symbol, len(questions))
        decided = intent.decision.as_of
        until = deadline(now, decided, self.settings()[0].approval_minutes)
        words = _words(trader, intent, symbol)
        version = 1 if before is None else before.version + 1
        asked = Approval(
            name, self.run, symbol, _decided_at(intent), point(decided), until.astimezone(NEW_YORK).isoformat(),
            version, "waiting", sizes, intent.book.marks.get(symbol), **words,
        )  # fmt: skip
        event = Event("approval.asked", asked.decided_at, None, write_asked(asked))

        def make(stored: list[Stored]) -> list[Event]:
            newest = fold({}, stored).get(name)
            return [event] if (newest.version if newest else 0) == version - 1 else []

        self._take(self.store.append_after_reading(self.run, tuple(KINDS), make))
        if self.known[name].version != version:
            return  # answered a moment before: it is looked at again
        link = self.settings()[0].web_url
        where = f"{link.rstrip('/')}/approvals" if link else "`sim forward approvals`"
        self.tell("approval asked", f"{self._name(asked)} until {say_time(until)}, {where}", "")


def deadline(now: datetime, decided: datetime, minutes: float) -> datetime:
    """Return the instant until which is answered: three minutes before the open, later `minutes` from now on, but not
    beyond three minutes before the close."""
    opens, closes = session_hours(decided)
    if now < opens - LAST_ANSWER:
        return opens - LAST_ANSWER
    return min(now + timedelta(minutes=minutes), closes - LAST_ANSWER)


def _terms(sizes: Mapping[str, Staged]) -> dict[str, tuple[object, ...]]:
    return {name: (*one.terms, one.filled) for name, one in sizes.items()}


def _side(order: Ticket | Staged) -> bool:
    """Return True for what buys."""
    return (order.quantity or 0.0) >= 0.0


def _sum_filled(fills: Iterable[BrokerFill], order: Staged) -> tuple[float, float]:
    """Return shares and dollars of the `fills` on the side of `order`; what closed them since does not take from it."""
    own = [one for one in fills if (one.quantity > 0.0) == _side(order)]
    return fsum(one.quantity for one in own), fsum(one.quantity * one.price for one in own)


def _decided_at(intent: Intent) -> str:
    return intent.decision.as_of.astimezone(NEW_YORK).isoformat()


def find_due(mine: Staged, fills: Iterable[BrokerFill], held: float) -> Staged:
    """Return what is still to be ordered of a trade as it was approved, beside `held` shares: less what of the `fills`
    of its decision came after it was asked, of size 0 where all has."""
    shares, dollars = _sum_filled(fills, mine)
    if mine.notional is not None:
        left = round(mine.notional + mine.filled[1] - dollars, 2)
        return replace(mine, held=held, notional=left if left >= LEAST_DOLLARS else 0.0)
    left = round((mine.quantity or 0.0) + mine.filled[0] - shares, 9)
    return replace(mine, held=held, quantity=left if left * (mine.quantity or 0.0) > 0.0 else 0.0)


def put_terms(intent: Intent, symbol: str, due: Staged) -> Intent:
    """Return `intent` with what is `due` of a trade as it was approved, and nothing else, ordered on `symbol`: beside
    it only what closes a position of the other side first. Exits are those of the approval, on what is held as well."""
    held, size = intent.book.positions.get(symbol, 0.0), due.quantity or due.notional or 0.0
    shares = due.quantity if due.quantity is None or held * size >= 0.0 else due.quantity - held
    kind: Any = "limit" if due.limit is not None else "market"
    terms: dict[str, Any] = {"quantity": shares, "notional": due.notional, "kind": kind, "limit": due.limit}
    if held * size <= 0.0:
        terms |= {"stop": due.stop, "take_profit": due.take_profit, "exits": due.parts}
    brought = due.stop is not None or due.take_profit is not None
    whole = Protect(symbol, due.stop, due.take_profit, due.parts)
    return replace(
        intent,
        orders=tuple(replace(one, **terms) if one.symbol == symbol else one
                     for one in intent.orders if size or one.symbol != symbol),
        protects=tuple(whole if brought and one.symbol == symbol else one for one in intent.protects),
    )  # fmt: skip


def _words(trader: Trader, intent: Intent, symbol: str) -> dict[str, Any]:
    """Return thesis, reviews, kill shots, dissent and the rules' words on `symbol`, as far as the decision has them."""
    record: Mapping[str, Any] = intent.decision.record
    reasons = [one.reason for one in intent.decision.targets if one.symbol == symbol and one.reason]
    if isinstance(strategy := trader.strategy, Explains):
        reasons += strategy.explain(symbol, trader.state.journal)
    pitches = [one for one in _rows(record, "pitches") if one["answer"].get("instrument") == symbol]
    directions = {str(one["seat"]): str(one["answer"].get("direction", "")) for one in pitches}
    reviews = [one for one in _rows(record, "reviews") if one.get("about") in directions]
    dissent = [str(one["answer"].get("dissent_summary", "")) for one in _rows(record, "chairman")]
    return {
        "thesis": (
            *reasons,
            *(
                f"{one['seat']} {one['answer'].get('direction', '')}: {text}"
                for one in pitches
                for text in one["answer"].get("thesis_bullets", ())
            ),
        ),
        "reviews": tuple(
            {"seat": one["seat"], "about": one["about"], "direction": directions[str(one["about"])], **one["answer"]}
            for one in reviews
        ),
        "kill_shots": tuple(str(one["answer"].get("kill_shot", "")) for one in reviews),
        "dissent": " ".join(filter(None, dissent)),
        "rules": (
            *(one for one in intent.cuts if symbol in one),
            *(one.why for one in intent.refused if one.symbol == symbol),
        ),
    }


def _rows(record: Mapping[str, Any], name: str) -> list[Mapping[str, Any]]:
    """Return the rows of a meeting under `name` that were answered."""
    found: Any = record.get(name)
    rows = [found] if isinstance(found, Mapping) else found if isinstance(found, list | tuple) else ()
    return [one for one in rows if isinstance(one, Mapping) and isinstance(one.get("answer"), Mapping)]
