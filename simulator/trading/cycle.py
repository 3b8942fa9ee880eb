"""One decision, the same in replay and in forward trading: all asking, then a plan, then its execution.

    Snapshot ──► opine ──► consult ──► plan: decide ──► risk.limit ──► sizing ──► Intent ──► carry_out   (replay)
                (market)   (+ book)    (asks nobody)                                    └──► execute     (a broker)
                                                                                fills no earlier than the next open

What is impure is handed in: the clock (`Snapshot.as_of`), the broker, and whatever the strategy asks its models
through. For equal arguments `plan` returns equal intents.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from math import isclose
from typing import TypeVar

from simulator.config import Config
from simulator.errors import BrokerError
from simulator.market.bars import Snapshot
from simulator.trading import risk
from simulator.trading.broker import Broker, DeniedError, HoldsOrders, RejectedError, UnansweredError
from simulator.trading.execution import ExecutionRules, Profile
from simulator.trading.model import Book, Decision, OrderReport, Protect
from simulator.trading.orders import Origin, Ticket, as_sent, compile_orders, protections, session_hours
from simulator.trading.sizing import Instructions, orders_for
from simulator.trading.strategy import Strategy

Opinion = TypeVar("Opinion")

PASSES = 20
"""Readings of an account before execution gives up: each is followed by one step, and most intents need one to three.
"""


@dataclass(frozen=True)
class TradingRules:
    """Agreed before trading starts: limits on targets, and how orders are sized, filled and charged."""

    limits: risk.Limits
    execution: ExecutionRules

    @classmethod
    def from_config(cls, config: Config) -> TradingRules:
        return cls(
            risk.Limits.from_config(config.risk, config.assets), ExecutionRules.from_config(config.risk, config.costs)
        )


@dataclass(frozen=True)
class CycleResult:
    """One decision: as the strategy made it, as the limits allow it, and the cuts between the two."""

    decision: Decision
    allowed: Decision
    cuts: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Intent(Instructions, CycleResult):
    """A decision and all it asks of a broker, before anything is sent.

    `book` is the account it was planned on. `revision` is 0 for the first intent of a decision and one more for each
    that is recorded in its place.
    """

    book: Book
    revision: int = 0


def plan(
    snapshot: Snapshot,
    strategy: Strategy[Opinion],
    book: Book,
    journal: Sequence[Decision],
    rules: TradingRules,
    opinion: Opinion,
    first_id: int = 0,
    revision: int = 0,
) -> Intent:
    """Decide as of `snapshot.as_of` on an account as it stands in `book`. Pure: nobody is asked, nothing is sent.

    `journal` holds the account's own earlier decisions, oldest first; `opinion` is what was asked before, on the market
    and, by a strategy that consults, on this very `book`. Ids of orders count up from `first_id`.
    """
    decision = strategy.decide(snapshot, opinion, book, journal)
    allowed, cuts = risk.limit(decision, book, rules.limits)
    instructions = orders_for(allowed, book, rules.execution, first_id)
    book = replace(book, past=None)  # it is read, not carried out: an intent on record stays small
    return Intent(decision, allowed, cuts, **vars(instructions), book=book, revision=revision)


@dataclass(frozen=True)
class Execution:
    """State of an intent that is carried out.

    Attributes
    ----------
    intent : the one that was carried out in the end
    orders : {client_order_id: its order} as the broker took it
    waiting : tickets whose turn has not come: for a fill of another, or for the open
    unprotected : symbols whose new exits wait until their order has ended
    again_at : the opening, where something waits for it
    given_up : {client_order_id: reason} of tickets that are not sent any more, and of exits that were refused
    """

    intent: Intent
    orders: Mapping[str, OrderReport]
    waiting: tuple[Ticket, ...] = ()
    unprotected: tuple[str, ...] = ()
    again_at: datetime | None = None
    given_up: Mapping[str, str] = field(default_factory=dict)

    @property
    def done(self) -> bool:
        """True where nothing waits."""
        return not self.waiting and not self.unprotected


Clock = Callable[[], datetime]
"""The broker's."""


async def execute(
    intent: Intent,
    broker: Broker,
    origin: Origin,
    replan: Callable[[Book, int], Awaitable[Intent]],
    record: Callable[[Intent], Awaitable[None]],
    profile: Profile = "ideal",
    clock: Clock | None = None,
    given_up: Mapping[str, str] | None = None,
) -> Execution:
    """Carry out of `intent`, which is recorded already, what can be now; called again it goes on where it was, after a
    crash too. It is to be called until nothing waits: at every update of an order, and at `again_at`.

    Every pass asks which of the intent's orders the broker has, then reads the account, then takes one step:

    1. all are there, and exits in place: done, whatever has filled since;
    2. positions or open orders are not those the intent read: `replan` on this account with the next revision, `record`
       it, go on with that one. Under `alpaca` what was sent stands: only symbols that still wait are planned anew;
    3. open orders the intent withdraws are cancelled; each may fill first, which the next reading shows;
    4. protective prices are replaced; under `alpaca` those of a symbol that is traded once its order has ended;
    5. under `alpaca` the exits of positions that are about to be traded are released: each may fill first, too;
    6. the orders whose turn has come are sent.

    A step whose answer never came is followed by the next pass: an order is looked up before it is sent again, under
    the id it had. `clock` is the time of the decision where none is given; `given_up` is what earlier calls returned.
    Raises BrokerError where the account does not hold still.
    """
    made: set[str] = set()
    refused = dict(given_up or {})
    for _ in range(PASSES):
        tickets = compile_orders(intent, origin, profile)
        try:
            sent = {one.client_order_id: found for one in tickets if (found := await broker.find(one.client_order_id))}
            now = intent.decision.as_of if clock is None else clock()
            held = broker.find_held_back(intent, tickets) if isinstance(broker, HoldsOrders) else frozenset[str]()
            turns = _take_turns(intent, tickets, sent, refused, now, profile, held)
            exits = turns.exits(origin, made)
            if tickets and not turns.symbols and (profile == "ideal" or not exits):
                return turns.execution(sent)
            account = await broker.account()
            open_orders = [one for one in account.open_orders if one.client_order_id not in sent]
            left = turns.symbols if sent and profile == "alpaca" else None
            if _has_changed(intent, account.positions, open_orders, sent.values(), left):
                if left is not None and turns.unprotected:
                    return turns.execution(sent)  # not before what was sent has ended and is protected
                anew = narrow(await replan(account, intent.revision + 1), left)
                await record(anew)  # before it counts: what is not on record is never sent
                intent, made = anew, set()
                continue
            withdrawn = [one for one in open_orders if one.symbol in intent.cancels and _is_in(one.symbol, left)]
            traded = turns.to_release(account.positions) - made
            if not await _make_ready(broker, withdrawn, exits, traded, made, refused):
                # Nothing may be awaited between the reading and the first order: it would be sent against an account
                # nobody planned on. What fills while the others are sent is for reconciling to find, not for an order.
                await _send(broker, turns.ready, now, sent, refused)
                return _take_turns(intent, tickets, sent, refused, now, profile, held).execution(sent)
        except UnansweredError:
            continue
    raise BrokerError(f"the account did not hold still over {PASSES} readings", mend="the same command continues")


async def _make_ready(
    broker: Broker,
    withdrawn: Sequence[OrderReport],
    exits: Mapping[str, Protect],
    traded: set[str],
    made: set[str],
    refused: dict[str, str],
) -> bool:
    """Withdraw, protect or release, whichever is first to be done; return False where nothing is. Ids and symbols that
    were seen to go into `made`."""
    if own := [one for one in withdrawn if not one.external]:
        for one in own:
            await broker.cancel(one.client_order_id)
    elif exits:
        for key, (symbol, stop, take_profit, parts) in exits.items():
            try:
                await broker.protect(symbol, stop, take_profit, key, parts)
            except (DeniedError, RejectedError) as error:
                refused[key] = error.found
            made.add(key)
    elif traded:
        for symbol in sorted(traded):
            await broker.release(symbol)
            made.add(symbol)
    else:
        return False
    return True


async def _send(
    broker: Broker, tickets: Sequence[Ticket], now: datetime, sent: dict[str, OrderReport], refused: dict[str, str]
) -> None:
    for ticket in tickets:
        try:
            sent[ticket.client_order_id] = await broker.submit(as_sent(ticket, now))
        except (DeniedError, RejectedError) as error:
            # An account may have less buying power than it has here: what is at work may bring some, and it is tried
            # again then. For all else one refusal is enough, and the other tickets are none the worse for it.
            at_work = any(order.status == "open" for order in sent.values())
            if not (at_work and "buying power" in error.found):
                refused[ticket.client_order_id] = error.found


@dataclass(frozen=True)
class _Turns:
    """Tickets of an intent that are not sent: `ready` now, `waiting`, or given up; symbols not to be protected yet."""

    intent: Intent
    profile: Profile
    ready: tuple[Ticket, ...]
    waiting: tuple[Ticket, ...]
    given_up: Mapping[str, str]
    unprotected: tuple[str, ...]
    again_at: datetime | None

    @property
    def symbols(self) -> frozenset[str]:
        return frozenset(one.symbol for one in (*self.ready, *self.waiting))

    def exits(self, origin: Origin, made: set[str]) -> dict[str, Protect]:
        ready = {key: one for key, one in protections(self.intent, origin).items() if key not in made}
        return {key: one for key, one in ready.items() if one[0] not in self.unprotected}

    def to_release(self, positions: Mapping[str, float]) -> set[str]:
        if self.profile == "ideal":
            return set()
        return {one.symbol for one in self.ready if positions.get(one.symbol, 0.0) != 0.0}

    def execution(self, sent: Mapping[str, OrderReport]) -> Execution:
        waiting = (*self.ready, *self.waiting)
        return Execution(self.intent, sent, waiting, self.unprotected, self.again_at, self.given_up)


def _take_turns(
    intent: Intent,
    tickets: Sequence[Ticket],
    sent: Mapping[str, OrderReport],
    refused: Mapping[str, str],
    now: datetime,
    profile: Profile,
    held: frozenset[str] = frozenset(),
) -> _Turns:
    """Sort out whose turn it is. One that is `held` waits, but the exits of its symbol do not."""
    missing = [one for one in tickets if one.client_order_id not in sent and one.client_order_id not in refused]
    given_up = dict(refused)
    if profile == "ideal":
        return _Turns(intent, profile, tuple(missing), (), given_up, (), None)
    opens, closes = session_hours(intent.decision.as_of)
    ready: list[Ticket] = []
    waiting: list[Ticket] = []
    for ticket in missing:
        before = [(key, sent[key].status if key in sent else "") for key in ticket.after]
        ended = [status for key, status in before if key in given_up or status not in ("open", "filled", "")]
        if now >= closes:
            given_up[ticket.client_order_id] = "its session has closed"
        elif ended:
            given_up[ticket.client_order_id] = f"the order before it was {ended[0] or 'given up'}"
        else:
            waits = ticket.client_order_id in held or (ticket.at_open and now < opens)
            (waiting if waits or any(status != "filled" for _, status in before) else ready).append(ticket)
    traded = {one.symbol for one in (*ready, *waiting) if one.client_order_id not in held}
    at_work = {key for key, order in sent.items() if order.status == "open"}
    traded |= {one.symbol for one in tickets if one.kind == "market" and one.client_order_id in at_work}
    unprotected = tuple(symbol for symbol, _, _, _ in intent.protects if symbol in traded)
    again_at = opens if now < opens and any(one.at_open for one in waiting) else None
    return _Turns(intent, profile, tuple(ready), tuple(waiting), given_up, unprotected, again_at)


def _is_in(symbol: str, symbols: frozenset[str] | None) -> bool:
    return symbols is None or symbol in symbols


def narrow(intent: Intent, symbols: frozenset[str] | None) -> Intent:
    """Return `intent` with what it asks for on `symbols` alone; None for all."""
    if symbols is None:
        return intent
    return replace(
        intent,
        cancels=tuple(one for one in intent.cancels if one in symbols),
        protects=tuple(one for one in intent.protects if one[0] in symbols),
        orders=tuple(one for one in intent.orders if one.symbol in symbols),
        refused=tuple(one for one in intent.refused if one.symbol in symbols),
    )


def _has_changed(
    intent: Intent,
    positions: Mapping[str, float],
    open_orders: Sequence[OrderReport],
    sent: Iterable[OrderReport],
    symbols: frozenset[str] | None,
) -> bool:
    """Return True where `positions` or `open_orders` (of `symbols`; None for all), those of `intent` left out, are not
    what it read: its own fills are expected, and so is the end of an order it withdraws."""
    expected = dict(intent.book.positions)
    for one in sent:
        expected[one.symbol] = expected.get(one.symbol, 0.0) + one.filled
    for symbol in {*expected, *positions} if symbols is None else symbols:
        if not isclose(positions.get(symbol, 0.0), expected.get(symbol, 0.0), rel_tol=1e-9, abs_tol=1e-9):
            return True
    left = [one for one in intent.book.open_orders if one not in open_orders]
    return any(one not in intent.book.open_orders and _is_in(one.symbol, symbols) for one in open_orders) or any(
        one.symbol not in intent.cancels and _is_in(one.symbol, symbols) for one in left
    )
