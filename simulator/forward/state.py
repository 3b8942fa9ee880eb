"""State of one account of a forward test: all of it follows from the events of the store, in their order.

events ──apply──► decisions, tickets, fills, shares, protection that was decided, positions to be flattened

The running session applies each event as it records it, a restarted one all of them: there is no second way to know.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import date, datetime, time
from typing import Any

from simulator.forward import payloads
from simulator.market.bars import instant
from simulator.market.calendar import NEW_YORK
from simulator.trading.cycle import Intent
from simulator.trading.execution import Profile
from simulator.trading.fills import LEAST_SHARES, price_or_nan
from simulator.trading.model import BrokerFill, Decision, Protect
from simulator.trading.orders import Origin, Ticket, compile_orders, protections, session_hours
from simulator.trading.parts import Parts, next_price, parts_left
from simulator.trading.sizing import on_tick

FINAL = ("filled", "partly_filled", "cancelled", "rejected", "given up")
"""States in which an order stays."""


@dataclass(frozen=True)
class Protection:
    """Prices that close a position, and the id of the intent's part that decided them."""

    stop: float | None
    take_profit: float | None
    id: str
    exits: Parts = ()
    taken: float = 0.0
    """Shares that have left at the prices of `exits` so far."""

    def parts_left(self, held: float) -> Parts:
        """Return what leaves of the `held` shares before the rest does at `take_profit`."""
        return parts_left(self.exits, held, self.taken)

    def divide(self, ratio: float, long: bool) -> Protection:
        """Return it after a split, under an id of its own: on the tick of the new prices, never to a worse one."""
        prices = (self.stop, self.take_profit)
        stop, take = (None if one is None else on_tick(one / ratio, long) for one in prices)
        exits = tuple((share, on_tick(price / ratio, long)) for share, price in self.exits)
        return Protection(stop, take, own_id(self.id, "split", ratio), exits, self.taken * ratio)


def own_id(*parts: object) -> str:
    """Return 40 hex digits that name an order beside those of an intent; the same for the same reasons."""
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:40]


@dataclass(eq=False)
class State:
    """Record of the account `origin`, as far as it is known.

    Attributes
    ----------
    journal : its decisions, oldest first; intent : the newest
    tickets : {client_order_id: ticket} of all that was recorded; states : how those that were sent stand
    given_up : {client_order_id: reason} of what is not sent any more
    fills : by the broker's id; shares : what they add up to, splits counted
    protection : what every position is to be protected by
    to_flatten : {symbol: cause} of positions that nobody decided on
    external : ids of orders of others that were reported
    stopped : {id of a fill: stop that it was to fill at} of what a stop closed
    again : ids of orders of the newest intent that an ending loop withdrew: the next plans them anew
    day : row of the session that ended last
    with_records : whether decisions keep what was said before them, which the strategy reads and no page does
    """

    origin: Origin
    profile: Profile = "alpaca"
    journal: list[Decision] = field(default_factory=list)
    intent: Intent | None = None
    orders: int = 0
    tickets: dict[str, Ticket] = field(default_factory=dict)
    states: dict[str, str] = field(default_factory=dict)
    given_up: dict[str, str] = field(default_factory=dict)
    fills: dict[str, BrokerFill] = field(default_factory=dict)
    shares: dict[str, float] = field(default_factory=dict)
    protection: dict[str, Protection] = field(default_factory=dict)
    to_flatten: dict[str, str] = field(default_factory=dict)
    external: set[str] = field(default_factory=set)
    stopped: dict[str, float] = field(default_factory=dict)
    again: set[str] = field(default_factory=set)
    day: Mapping[str, Any] = field(default_factory=dict)
    with_records: bool = True
    _protecting: set[str] = field(default_factory=set)
    """Ids under which exits were decided."""
    _decided: dict[str, int] = field(default_factory=dict)
    """Instants at which exits were decided, by the id of theirs or of the entry that brings them."""
    _exits: dict[str, Protect] = field(default_factory=dict)
    """Prices that an entry brings, by its id."""

    @property
    def booked(self) -> list[BrokerFill]:
        """Fills, oldest first."""
        return sorted(self.fills.values(), key=lambda fill: (fill.at, fill.id))

    @property
    def open_ids(self) -> list[str]:
        """Ids of orders of ours that were sent and had not ended when they were seen last."""
        return [one for one, state in self.states.items() if state not in FINAL and state != "external"]

    @property
    def sent(self) -> int:
        """Number of orders that reached the broker; those that a person rejected, or a rule, did not."""
        went = self.states.keys() & self._decided.keys() - self.given_up.keys()
        return len({(self._decided[key], self.tickets[key].symbol) for key in went if key in self.tickets})

    def entered(self, symbol: str) -> list[BrokerFill]:
        """Return the fills by which the newest decision, over all its revisions, opened or enlarged a position."""
        at = 0 if self.intent is None else instant(self.intent.decision.as_of)
        own = [one for key, one in self.tickets.items() if one.symbol == symbol and self._decided.get(key) == at]
        closing = {key for one in own for key in one.after}  # the first step of an order that crosses zero
        entries = {one.client_order_id for one in own} - closing
        return [fill for fill in self.booked if fill.client_order_id in entries]

    def owns(self, client_order_id: str) -> bool:
        """Return True for an order of this account of the run, its exits and what `sim forward close-all` sent."""
        key = re.sub(r"^exit-(.+)-\d+$", r"\1", client_order_id)
        return key in self.tickets or key in self._protecting or key.startswith("close-")

    def decision_of(self, client_order_id: str) -> int | None:
        """Return the instant of the decision that an order carries out; None where no decision is known."""
        return self._decided.get(client_order_id)

    def decided_at(self, at: datetime) -> bool:
        """Return True where the newest intent is that of the point at `at`."""
        return self.intent is not None and instant(self.intent.decision.as_of) == instant(at)

    def apply(self, kind: str, payload: Mapping[str, Any]) -> None:
        """Take in an event of the account."""
        if kind == "forward.intent":
            self.take_intent(payloads.read_intent(payload, self.with_records))
        elif kind == "forward.fill":
            self.take_fill(payloads.read_fill(payload))
        elif kind == "forward.order":
            self._take_order(payload)
        elif kind == "forward.split":
            self._split(str(payload["symbol"]), date.fromisoformat(payload["session"]), float(payload["ratio"]))
        elif kind == "forward.session" and payload["session"] >= self.day.get("session", ""):
            self.day = payload

    def begin(self, opening: Mapping[str, Any]) -> None:
        """Take over the shares that the account held when the test began."""
        self.shares.update({symbol: float(shares) for symbol, shares in opening.get("positions", {}).items()})

    def take_intent(self, intent: Intent) -> None:
        """Put `intent` in the place of an earlier revision, or after those before."""
        if self.decided_at(intent.decision.as_of) and self.intent is not None:
            self.journal.pop()
            self.orders -= len(self.intent.orders)
        self.journal.append(intent.decision)
        self.orders += len(intent.orders)
        self.intent = intent
        self.again.clear()
        asked = {one.symbol: Protect(one.symbol, one.stop, one.take_profit, one.exits) for one in intent.orders}
        for ticket in compile_orders(intent, self.origin, self.profile):
            self.tickets[ticket.client_order_id] = ticket
            self._exits[ticket.client_order_id] = asked.get(ticket.symbol, Protect(ticket.symbol, None, None))
            self._decided[ticket.client_order_id] = instant(intent.decision.as_of)
        for key, wanted in protections(intent, self.origin).items():
            self._decided[key] = instant(intent.decision.as_of)
            self._protect(wanted, key)

    def take_fill(self, fill: BrokerFill) -> None:
        """Count a fill once. One that goes through zero without a ticket that asks for it is to be undone."""
        if fill.id in self.fills:
            return
        self.fills[fill.id] = fill
        before, ticket = self.shares.get(fill.symbol, 0.0), self.tickets.get(fill.client_order_id)
        after = before + fill.quantity
        asked = ticket is not None and (ticket.quantity is None or ticket.quantity > 0.0) == (fill.quantity > 0.0)
        guard = self.protection.get(fill.symbol)
        if guard is not None and not asked and before * fill.quantity < 0.0:
            take = next_price(guard.parts_left(before), price_or_nan(guard.take_profit))
            if (fill.price - take) * before >= 0.0:  # a target fills at its price or better
                taken = guard.taken + abs(fill.quantity) if fill.client_order_id else guard.taken
                self.protection[fill.symbol] = replace(guard, taken=taken if guard.exits else 0.0)
            elif guard.stop is not None:
                self.stopped[fill.id] = guard.stop
        self._hold(fill.symbol, after)
        if fill.symbol not in self.shares:
            return
        if asked and after * fill.quantity > 0.0 and before * after <= 0.0:
            none = Protect(fill.symbol, None, None)
            self._protect(self._exits.get(fill.client_order_id, none), fill.client_order_id)
            self.to_flatten.pop(fill.symbol, None)
        elif not asked and fill.client_order_id and before * after <= 0.0:
            self.protection.pop(fill.symbol, None)
            self.to_flatten[fill.symbol] = own_id(self.origin.run, self.origin.account, fill.id, fill.symbol)

    def _hold(self, symbol: str, shares: float) -> None:
        """Take over what is held; with nothing there is nothing to protect or to flatten."""
        self.shares[symbol] = shares
        if abs(shares) < LEAST_SHARES:
            self.shares.pop(symbol)
            self.protection.pop(symbol, None)
            self.to_flatten.pop(symbol, None)

    def _protect(self, wanted: Protect, key: str) -> None:
        symbol, stop, take_profit, exits = wanted
        if stop is None and take_profit is None and not exits:
            self.protection.pop(symbol, None)
        else:
            self.protection[symbol] = Protection(stop, take_profit, key, exits)
            self._protecting.add(key)

    def _take_order(self, payload: Mapping[str, Any]) -> None:
        key, state = str(payload["client_order_id"]), str(payload["state"])
        self.states[key] = state
        if "ticket" in payload:  # an order beside those of an intent
            ticket = payloads.read_ticket(payload["ticket"])
            self.tickets[key] = ticket
            if payload.get("cause"):
                self.to_flatten[ticket.symbol] = str(payload["cause"])
        if state in ("given up", "denied"):
            self.given_up[key] = str(payload.get("why", ""))
        if payload.get("again"):
            self.again.add(key)
        if state == "external":
            self.external.add(key)

    def _split(self, symbol: str, session: date, ratio: float) -> None:
        """Multiply what was held before `session`, and the exits that were decided by its close: on prices before it.
        It may arrive after fills of its session."""
        morning = datetime.combine(session, time(), NEW_YORK)
        new = sum(one.quantity for one in self.fills.values() if one.symbol == symbol and one.at >= instant(morning))
        self._hold(symbol, round((self.shares.get(symbol, 0.0) - new) * ratio + new, 9))
        guard = self.protection.get(symbol)
        if guard is not None and self._decided.get(guard.id, 0) < instant(session_hours(morning)[1]):
            self.protection[symbol] = self.protection[symbol].divide(ratio, self.shares.get(symbol, 0.0) > 0.0)
            self._protecting.add(self.protection[symbol].id)
