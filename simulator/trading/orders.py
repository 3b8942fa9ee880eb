"""The order compiler: an intent as the requests that are sent, each under an id of its own.

    Intent ──compile_orders──► Tickets      `ideal`: one an order
           │                                `alpaca`: what a broker takes, and what waits for what
           └─protections─────► {client_order_id: Protect}       one a position that stays on its side

An order holds what is wanted, in the books of a replay and at a broker alike: sizing has quantised it already. A ticket
holds how it is asked for. Under `alpaca` a flip is two tickets, the second after the first has filled; what sells goes
before what buys, and buys beyond the buying power wait until the sales have filled; entries with exits are brackets
(two) or `oto` (one) at the open, of the whole where it leaves in parts; whole shares at the market take part in the
opening auction.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import date, datetime, time, timedelta
from functools import lru_cache
from typing import TYPE_CHECKING, Literal

from simulator.errors import BrokerError
from simulator.market.bars import instant, moment
from simulator.market.calendar import NEW_YORK, sessions
from simulator.trading.broker import DeniedError
from simulator.trading.execution import Profile
from simulator.trading.model import Book, Order, OrderKind, Protect
from simulator.trading.sizes import BORROWING_EQUITY

if TYPE_CHECKING:
    from simulator.trading.cycle import Intent

Leg = Literal["entry", "protect", "close"]
TimeInForce = Literal["day", "opg", "cls", "gtc"]
OrderClass = Literal["simple", "bracket", "oto", "oco"]

COLLAR = 0.05
"""Above the last price at which a market order is reckoned: brokers take some per cent."""

LAST_TO_OPEN, LAST_TO_CLOSE = timedelta(minutes=2), timedelta(minutes=10)
"""Before the opening and the close: later orders take no part in the auction."""

EVENING = time(19)
"""In New York, from when on brokers take orders for the next opening auction."""

MULTIPLIER = 2.0
"""Dollars that an account holds for one of its own, from `BORROWING_EQUITY` on."""


@dataclass(frozen=True)
class Origin:
    """Sender of orders: the run and its account. Part of every id, so that two runs never take each other's orders for
    their own."""

    run: str
    account: str


@dataclass(frozen=True)
class Ticket:
    """One request as it is sent.

    Attributes
    ----------
    quantity, notional : signed shares, or dollars to buy for; one of the two
    order_class : ``bracket`` with stop and take-profit, ``oto`` with one of them, ``oco`` for two exits of a position
    after : ids that must have filled completely before this one is sent
    at_open : not sent before the opening of the session
    """

    client_order_id: str
    symbol: str
    quantity: float | None = None
    notional: float | None = None
    kind: OrderKind = "market"
    time_in_force: TimeInForce = "day"
    order_class: OrderClass = "simple"
    limit: float | None = None
    stop: float | None = None
    take_profit: float | None = None
    after: tuple[str, ...] = ()
    at_open: bool = False


def client_order_id(origin: Origin, decided_at: datetime, symbol: str, leg: Leg, revision: int) -> str:
    """Return 40 hex digits that name one leg of one recorded intent; brokers take up to 128 characters.

    The same leg has the same id however often it is sent, so a retry cannot become a second order.
    """
    parts = [origin.run, origin.account, instant(decided_at), symbol, leg, revision]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:40]


def protections(intent: Intent, origin: Origin) -> dict[str, Protect]:
    """Return {client_order_id: (symbol, stop, take-profit)} of `intent`."""
    return {_id(intent, origin, one.symbol, "protect"): one for one in intent.protects}


def compile_orders(intent: Intent, origin: Origin, profile: Profile) -> tuple[Ticket, ...]:
    """Return the tickets of `intent`, in the order they are sent. Pure: equal arguments give equal tickets."""
    if profile == "ideal":
        return tuple(_as_it_is(intent, origin, order) for order in intent.orders)
    tickets = [ticket for order in intent.orders for ticket in _steps(intent, origin, order)]
    held = intent.book.positions
    # What reduces is sent first: the money it brings in may be what the others are paid with.
    first = [one for one in tickets if not one.after and (one.quantity or 0.0) * held.get(one.symbol, 0.0) < 0.0]
    others = [one for one in tickets if one not in first]
    return (*first, *_wait_for_sales(intent.book, first, others))


def buying_power(equity: float, gross: float) -> float:
    """Return the dollars an account of margin may still buy or sell short for; `gross` is held, long and short."""
    return (MULTIPLIER if equity >= BORROWING_EQUITY else 1.0) * equity - gross


def session_hours(at: datetime) -> tuple[datetime, datetime]:
    """Return opening and close of the session that is open at `at`, else of the next one."""
    for opens, closes in sessions_from(at.astimezone(NEW_YORK).date()):
        if at < closes:
            return opens, closes
    raise BrokerError(f"no session within two weeks of {at}")


@lru_cache(64)
def sessions_from(day: date) -> tuple[tuple[datetime, datetime], ...]:
    """Return (opening, close) of the sessions of two weeks from `day` on: a loop asks many times a day."""
    on = sessions(day, day + timedelta(days=14))
    return tuple(
        (moment(opens), moment(closes))
        for opens, closes in zip(on.opens_at.tolist(), on.closes_at.tolist(), strict=True)
    )


def as_sent(ticket: Ticket, now: datetime) -> Ticket:
    """Return `ticket` as it is sent at `now`: where no order for the opening auction is taken, within a session and
    from its close to the evening, it is an order of the day; after the close the broker holds that until the next
    opening auction takes it.

    Raises DeniedError where it is too late for the closing auction.
    """
    opens, closes = session_hours(now)
    if ticket.time_in_force == "cls" and now >= closes - LAST_TO_CLOSE:
        until = (closes - LAST_TO_CLOSE).astimezone(NEW_YORK)
        raise DeniedError(f"{ticket.symbol}: orders for the closing auction are taken until {until:%H:%M}")
    today = now.astimezone(NEW_YORK)
    closed = sessions_from(today.date())[0][1] <= now and today.time() < EVENING
    late = ticket.time_in_force == "opg" and (now >= opens - LAST_TO_OPEN or closed)
    return replace(ticket, time_in_force="day") if late else ticket


def _id(intent: Intent, origin: Origin, symbol: str, leg: Leg) -> str:
    return client_order_id(origin, intent.decision.as_of, symbol, leg, intent.revision)


def _as_it_is(intent: Intent, origin: Origin, order: Order) -> Ticket:
    return Ticket(
        _id(intent, origin, order.symbol, "entry"),
        order.symbol,
        order.quantity,
        order.notional,
        order.kind,
        limit=order.limit,
        stop=order.stop,
        take_profit=order.take_profit,
    )


def _steps(intent: Intent, origin: Origin, order: Order) -> Iterator[Ticket]:
    """Yield the ticket of `order`, or the two of one that crosses zero."""
    held, ticket = round(intent.book.positions.get(order.symbol, 0.0), 9), _as_it_is(intent, origin, order)
    left = round(held + (order.quantity or 0.0), 9)  # sums of fractions are off in the last bit
    if held * left < 0.0:
        close = replace(ticket, client_order_id=_id(intent, origin, order.symbol, "close"), quantity=-held)
        yield _simple(close)
        yield _entry(replace(ticket, quantity=left, after=(close.client_order_id,), at_open=True))
    elif held != 0.0:
        yield _simple(ticket)  # its exits are those of the position, which is protected anew
    else:
        yield _entry(ticket)


def _entry(ticket: Ticket) -> Ticket:
    """Return the entry with the stop and the last take-profit of the whole: it is divided once it has filled. A bracket
    for each part would be refused, for the exits of the first to fill are live beside the entry of the second."""
    exits = (ticket.stop is not None) + (ticket.take_profit is not None)
    if not exits:
        return _simple(ticket)
    order_class: OrderClass = "bracket" if exits == 2 else "oto"
    return replace(ticket, order_class=order_class, time_in_force="gtc", at_open=True)


def _simple(ticket: Ticket) -> Ticket:
    fractional = ticket.quantity is None or ticket.quantity % 1.0 != 0.0
    in_force: TimeInForce = "gtc" if ticket.kind == "limit" else "day" if fractional or ticket.after else "opg"
    return replace(ticket, stop=None, take_profit=None, time_in_force=in_force)


def _wait_for_sales(book: Book, first: list[Ticket], others: list[Ticket]) -> Iterator[Ticket]:
    """Yield `others`, those that need more than the buying power left after the sales at the market among `first`."""
    gross = sum(abs(shares) * book.marks[symbol] for symbol, shares in book.positions.items())
    power = buying_power(book.equity, gross)
    sales = tuple(one.client_order_id for one in first if one.kind == "market")
    # Only those that do not fit wait: an entry that has its money should not miss the open for a sale it does not need.
    for ticket in others:
        price = ticket.limit or book.marks[ticket.symbol] * (1.0 + COLLAR)
        need = ticket.notional if ticket.quantity is None else abs(ticket.quantity) * price
        power -= need or 0.0
        if power < 0.0 and sales:
            after = tuple(dict.fromkeys((*ticket.after, *sales)))
            in_force = "day" if ticket.time_in_force == "opg" else ticket.time_in_force
            ticket = replace(ticket, after=after, at_open=True, time_in_force=in_force)
        yield ticket
