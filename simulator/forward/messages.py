"""Alpaca's JSON as values, and tickets as its requests. Numbers come as texts or as numbers: both are read."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import ROUND_DOWN, Decimal
from typing import TYPE_CHECKING, Any
from uuid import UUID

from simulator.errors import BrokerError
from simulator.market.bars import instant as as_nanoseconds
from simulator.trading.broker import DeniedError
from simulator.trading.model import BrokerFill, OrderReport, OrderStatus
from simulator.trading.orders import Ticket

if TYPE_CHECKING:
    from alpaca.trading.requests import OrderRequest

Json = Mapping[str, Any]

ENDED = ("filled", "canceled", "expired", "rejected", "replaced")
"""Statuses of an order of which no more will fill. Any other, a new one too, may still fill."""
SMALLEST_NOTIONAL = 1.0
DIGITS = Decimal("1e-9")
"""Of a fraction of a share."""
RESTRICTIONS = ("account_blocked", "trading_blocked", "trade_suspended_by_user")
SIDES = {"buy": 1.0, "sell": -1.0, "sell_short": -1.0}
POSITIONS = {"long": 1.0, "short": -1.0}
YEARS = range(1900, 2200)
"""In which anything at a broker happens."""
UNREADABLE = (KeyError, TypeError, ValueError, AttributeError, OverflowError)
"""What is raised while an odd answer is read; a number of four hundred digits overflows."""


@dataclass(frozen=True)
class PlacedOrder:
    """An order as the broker has it.

    Attributes
    ----------
    id : the broker's own
    sign : 1.0 to buy, -1.0 to sell; `quantity` and `filled` are without sign
    price : average of what has filled
    status : the broker's word
    replaces, replaced_by : ids of the order it took the place of, and of the one that took its place
    legs : exits that were sent with it
    is_leg : sent with another order, and not itself
    """

    id: str
    client_order_id: str
    symbol: str
    sign: float
    kind: str
    order_class: str
    time_in_force: str
    quantity: float | None
    notional: float | None
    limit: float | None
    stop: float | None
    status: str
    filled: float
    price: float
    created_at: datetime | None
    replaces: str | None
    replaced_by: str | None
    legs: tuple[PlacedOrder, ...] = ()
    is_leg: bool = False

    @property
    def is_open(self) -> bool:
        return self.status not in ENDED and not (self.status == "done_for_day" and self.time_in_force != "gtc")

    @property
    def left(self) -> float:
        """Shares that may still fill; NaN of an order in dollars."""
        return math.nan if self.quantity is None else self.quantity - self.filled

    def family(self) -> Iterator[PlacedOrder]:
        """Yield this order and its legs."""
        yield self
        yield from self.legs

    def report(self, external: bool = False) -> OrderReport:
        """Return it in the words of `trading`."""
        if self.is_open:
            status: OrderStatus = "open"
        elif self.status == "filled":
            status = "filled"
        else:
            ended: OrderStatus = "rejected" if self.status == "rejected" else "cancelled"
            status = "partly_filled" if self.filled else ended
        return OrderReport(self.client_order_id, self.symbol, status, self.sign * self.filled, self.price, external)


@dataclass(frozen=True)
class AccountState:
    """An account as the broker has it, dollars; `restrictions` are the flags that forbid it to trade."""

    number: str
    cash: float
    equity: float
    buying_power: float
    shorting: bool
    restrictions: tuple[str, ...]


@dataclass(frozen=True)
class Clock:
    """The broker's clock; all instants timezone-aware."""

    now: datetime
    is_open: bool
    next_open: datetime
    next_close: datetime


def read_order(body: Any, is_leg: bool = False) -> PlacedOrder:
    """Return the order of a JSON object. Raises BrokerError for what is none."""
    try:
        legs = tuple(read_order(leg, True) for leg in body.get("legs") or ())
        return PlacedOrder(
            text(body, "id"), text(body, "client_order_id"), str(body.get("symbol") or ""),
            1.0 if body.get("order_class") == "mleg" else SIDES[body["side"]],  # the sides of options are their legs'
            str(body.get("type") or body.get("order_type") or ""), str(body.get("order_class") or "simple"),
            text(body, "time_in_force"), number(body, "qty"), number(body, "notional"), number(body, "limit_price"),
            number(body, "stop_price"), text(body, "status"),
            number(body, "filled_qty") or 0.0, number(body, "filled_avg_price") or 0.0,
            instant(body["created_at"]) if body.get("created_at") else None,
            _order_id(body, "replaces"), _order_id(body, "replaced_by"), legs, is_leg,
        )  # fmt: skip
    except UNREADABLE as error:
        raise _strange("an order", error) from None


def read_orders(body: Any) -> tuple[PlacedOrder, ...]:
    """Return the orders of a JSON list. Raises BrokerError."""
    return tuple(read_order(one) for one in items(body, "orders"))


def read_execution(body: Any, client_order_id: str) -> BrokerFill:
    """Return the fill of a JSON object of /v2/account/activities. Raises BrokerError."""
    try:
        sign, at = SIDES[body["side"]], as_nanoseconds(instant(body["transaction_time"]))
        shares, price = sign * float(body["qty"]), float(body["price"])
        if not (math.isfinite(shares) and 0.0 < price < math.inf and sign * shares > 0.0):
            raise ValueError(f"{shares} shares at {price}")
        return BrokerFill(text(body, "id"), client_order_id, text(body, "symbol"), at, shares, price)
    except UNREADABLE as error:
        raise _strange("a fill", error) from None


def read_order_id(body: Any) -> str:
    """Return the id of the order that a fill is of. Raises BrokerError."""
    try:
        return _order_id(body, "order_id") or text(body, "order_id")
    except UNREADABLE as error:
        raise _strange("a fill", error) from None


def _order_id(body: Json, field: str) -> str | None:
    """Return an order's id, None where there is none. Raises ValueError for what alpaca-py would not ask after."""
    return str(UUID(text(body, field))) if body.get(field) else None


def read_positions(body: Any) -> dict[str, tuple[float, float]]:
    """Return {symbol: (signed shares, newest price)}. Raises BrokerError: what cannot be read is not flat."""
    found = {}
    try:
        for one in items(body, "positions"):
            shares = float(one["qty"])
            shares = shares if "side" not in one else abs(shares) * POSITIONS[one["side"]]
            if not math.isfinite(shares) or str(one["symbol"]) in found:
                raise ValueError(f"qty of {one['symbol']} is {shares}")
            found[str(one["symbol"])] = shares, number(one, "current_price") or number(one, "lastday_price") or math.nan
    except UNREADABLE as error:
        raise _strange("positions", error) from None
    return found


def read_account(body: Any) -> AccountState:
    """Return the account of a JSON object; fields of earlier rules on day trading may be there or not."""
    try:
        wrong = [name for name in RESTRICTIONS if body.get(name)]
        if not (math.isfinite(float(body["cash"])) and math.isfinite(float(body["equity"]))):
            raise ValueError(f"cash {body['cash']}, equity {body['equity']}")
        if not body["account_number"]:
            raise ValueError("it has no number")
        wrong += [f"status {body['status']}"] if body.get("status", "ACTIVE") != "ACTIVE" else []
        return AccountState(
            str(body["account_number"]), float(body["cash"]), float(body["equity"]),
            number(body, "buying_power") or 0.0, body.get("shorting_enabled") is True, tuple(wrong),
        )  # fmt: skip
    except UNREADABLE as error:
        raise _strange("an account", error) from None


def read_clock(body: Any) -> Clock:
    """Return the clock of a JSON object. Raises BrokerError."""
    try:
        now, opens, closes = (instant(body[name]) for name in ("timestamp", "next_open", "next_close"))
        if not isinstance(body["is_open"], bool):
            raise ValueError(f"is_open is {body['is_open']!r}")
        return Clock(now, body["is_open"], opens, closes)
    except UNREADABLE as error:
        raise _strange("a clock", error) from None


def text(body: Json, field: str) -> str:
    """Return a text that is there. Raises ValueError for anything else."""
    value = body[field]
    if not (isinstance(value, str) and value):
        raise ValueError(f"{field} is {value!r}")
    return value


def number(body: Json, field: str) -> float | None:
    """Return a finite number that was sent as one or as text; None where there is none. Raises ValueError."""
    value = body.get(field)
    found = None if value in (None, "") else float(value)
    if found is not None and not math.isfinite(found):
        raise ValueError(f"{field} is {value}")
    return found


def instant(given: str) -> datetime:
    """Return a timezone-aware instant; nanoseconds are cut to microseconds. Raises ValueError."""
    found = datetime.fromisoformat(given)
    if found.tzinfo is None:
        raise ValueError(f"{given} has no time zone")
    if found.year not in YEARS:
        raise ValueError(f"{given} is no time of a market")
    return found


def items(body: Any, what: str) -> Sequence[Any]:
    """Return the items of a JSON list of `what`. Raises BrokerError for anything else."""
    if not isinstance(body, list):
        raise BrokerError(f"the broker's list of {what} is {type(body).__name__}")
    return body


def _strange(what: str, error: Exception) -> BrokerError:
    return BrokerError(f"the broker's answer is not {what}: {type(error).__name__}: {error}")


def check_ticket(ticket: Ticket) -> None:
    """Raise DeniedError for what no broker takes: alpaca-py itself sends it."""
    given = {name: getattr(ticket, name) for name in ("quantity", "notional", "limit", "stop", "take_profit")}
    bad = next((name for name, value in given.items() if value is not None and not math.isfinite(value)), None)
    wrong = ""
    if bad is not None:
        wrong = f"{bad} is {given[bad]}"
    elif (ticket.quantity is None) == (ticket.notional is None):
        wrong = "it names shares and dollars, or neither"
    elif ticket.quantity is not None and not _shares(ticket.quantity):
        wrong = f"quantity is {ticket.quantity}"
    elif ticket.notional is not None and ticket.notional < SMALLEST_NOTIONAL:
        wrong = f"notional is {ticket.notional}, less than {SMALLEST_NOTIONAL:.2f}"
    elif (ticket.kind == "limit") != (ticket.limit is not None) and ticket.order_class != "oco":
        wrong = f"a {ticket.kind} order with limit {ticket.limit}"
    elif (name := next((name for name in ("limit", "stop", "take_profit") if not on_tick(given[name])), "")) != "":
        wrong = f"{name} {given[name]} is no price in cents"
    else:
        wrong = _wrong_class(ticket)
    if wrong:
        raise DeniedError(f"order {ticket.client_order_id} for {ticket.symbol} was not sent: {wrong}")


def _wrong_class(ticket: Ticket) -> str:
    exits = (ticket.stop is not None) + (ticket.take_profit is not None)
    if exits != {"simple": 0, "oto": 1}.get(ticket.order_class, 2):
        return f"{ticket.order_class} with {exits} exits"
    fraction = ticket.notional is not None or _shares(ticket.quantity or 0.0) % 1 != 0
    if fraction and (ticket.order_class != "simple" or ticket.time_in_force != "day"):
        return f"a fraction of a share as {ticket.order_class}, {ticket.time_in_force}"
    if ticket.time_in_force == "opg" and ticket.order_class != "simple":
        return f"{ticket.order_class} in the opening auction"
    return ""


def on_tick(price: float | None) -> bool:
    """Return True for a price in cents, below a dollar in hundredths of a cent; and for None."""
    return price is None or (price > 0.0 and math.isclose(price, round(price, 2 if price >= 1.0 else 4), abs_tol=1e-9))


def _shares(quantity: float) -> Decimal:
    """Return shares without sign, cut to nine decimals."""
    return Decimal(repr(abs(quantity))).quantize(DIGITS, ROUND_DOWN)


def to_request(ticket: Ticket) -> OrderRequest:
    """Return alpaca-py's request of a ticket that `check_ticket` has passed."""
    words = _words(ticket.symbol, ticket.quantity, ticket.time_in_force, ticket.client_order_id)
    if ticket.quantity is None:
        words |= {"notional": round(ticket.notional or 0.0, 2)}
    if ticket.order_class == "oco":
        return _exits(words, ticket.stop, ticket.take_profit)
    from alpaca.trading import requests as asking

    if ticket.order_class != "simple":
        words |= {"order_class": ticket.order_class, **_legs(ticket.stop, ticket.take_profit)}
    if ticket.limit is not None:
        return asking.LimitOrderRequest(limit_price=ticket.limit, **words)
    return asking.MarketOrderRequest(**words)


def exit_request(
    symbol: str, held: float, stop: float | None, take_profit: float | None, client_order_id: str
) -> OrderRequest:
    """Return the request that protects `held` whole shares by one or two prices until it is withdrawn."""
    return _exits(_words(symbol, -held, "gtc", client_order_id), stop, take_profit)


def _exits(words: dict[str, Any], stop: float | None, take_profit: float | None) -> OrderRequest:
    from alpaca.trading import requests as asking

    if take_profit is None:
        return asking.StopOrderRequest(stop_price=stop, **words)
    if stop is not None:
        words |= {"order_class": "oco", **_legs(stop, take_profit)}
    return asking.LimitOrderRequest(limit_price=take_profit, **words)


def _legs(stop: float | None, take_profit: float | None) -> dict[str, Any]:
    from alpaca.trading import requests as asking

    taken = {} if take_profit is None else {"take_profit": asking.TakeProfitRequest(limit_price=take_profit)}
    return taken if stop is None else {**taken, "stop_loss": asking.StopLossRequest(stop_price=stop)}


def _words(symbol: str, quantity: float | None, time_in_force: str, client_order_id: str) -> dict[str, Any]:
    """Return what every request has; no quantity is an order in dollars, to buy."""
    side = "sell" if quantity is not None and quantity < 0.0 else "buy"
    shares = {} if quantity is None else {"qty": float(_shares(quantity))}
    found = {"symbol": symbol, "side": side, "time_in_force": time_in_force, "client_order_id": client_order_id}
    return {**found, **shares}


def is_same(request: OrderRequest, placed: PlacedOrder, exits_too: bool = True) -> bool:
    """Return True where `placed` is what `request` asks for: what was found under its id is it, and no other order.

    Its exits may have been replaced since, where not `exits_too`.
    """
    asked = request.to_request_fields()
    kind = asked.get("order_class", "simple")
    stop = asked.get("stop_price", asked.get("stop_loss", {}).get("stop_price"))
    exits = [one.stop for one in placed.family() if one.stop is not None] if exits_too else []
    return (
        (placed.client_order_id, placed.symbol) == (asked["client_order_id"], asked["symbol"])
        and (placed.sign > 0.0) == (asked["side"] == "buy")
        and placed.order_class == kind
        and all(
            math.isclose(mine, theirs, abs_tol=1e-9)
            for mine, theirs in (
                (asked.get("qty", asked.get("notional")), placed.quantity or placed.notional or 0.0),
                (asked.get("limit_price", 0.0), placed.limit or 0.0),
                *([(stop, exits[0])] if stop is not None and exits else []),
            )
        )
    )
