"""The order compiler: an intent as what is sent, each part under an id of its own.

Intent ──entry_orders──► {client_order_id: Order}         one a symbol
       └─protections───► {client_order_id: Protect}       one a position that stays on its side
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Literal

from simulator.market.bars import instant
from simulator.trading.model import Order, OrderKind, Protect

if TYPE_CHECKING:
    from simulator.trading.cycle import Intent

Leg = Literal["entry", "protect"]
TimeInForce = Literal["day", "opg", "gtc"]
OrderClass = Literal["simple", "bracket", "oto", "oco"]


@dataclass(frozen=True)
class Origin:
    """Sender of orders: the run and its account. Part of every id, so that two runs never take each other's orders for
    their own."""

    run: str
    account: str


@dataclass(frozen=True)
class Ticket:
    """One request as it is sent to a broker.

    Attributes
    ----------
    quantity, notional : signed shares, or dollars (buys only); exactly one of the two
    stop, take_profit : prices of the exits of an `order_class` other than ``simple``
    after : ids of tickets that must have filled completely before this one is sent
    at_open : not before the session's open
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


def entry_orders(intent: Intent, origin: Origin) -> dict[str, Order]:
    """Return {client_order_id: order} of `intent`, in the order they are sent."""
    return {_id(intent, origin, order.symbol, "entry"): order for order in intent.orders}


def protections(intent: Intent, origin: Origin) -> dict[str, Protect]:
    """Return {client_order_id: (symbol, stop, take-profit)} of `intent`."""
    return {_id(intent, origin, one[0], "protect"): one for one in intent.protects}


def _id(intent: Intent, origin: Origin, symbol: str, leg: Leg) -> str:
    return client_order_id(origin, intent.decision.as_of, symbol, leg, intent.revision)
