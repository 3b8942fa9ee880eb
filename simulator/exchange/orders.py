"""Orders in the broker's terms: what is asked for, whether it is taken, and how it stands.

body of POST /v2/orders ──read_order──► Order, with its legs ──► accounts: bought for, held, closed
                           └── Refusal: status, code and message as the broker words them
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, fields
from decimal import Decimal
from typing import Any, Literal, get_args

Side = Literal["buy", "sell"]
Kind = Literal["market", "limit", "stop", "stop_limit"]
TimeInForce = Literal["day", "gtc", "opg", "cls", "ioc", "fok"]
OrderClass = Literal["simple", "bracket", "oco", "oto"]

OPEN = ("accepted", "new", "held", "partially_filled", "pending_new", "pending_replace")
"""Statuses of an order that may still fill, or come to."""

LONGEST_ID = 128
SMALLEST_NOTIONAL = 1.0
DIGITS = 9
"""Of a fraction of a share."""

BAD_REQUEST, FORBIDDEN = 40010001, 40310000
"""Codes of public reports; bodies of 404 and 429 have none that is known."""


class Refusal(Exception):  # noqa: N818 - an answer, not a fault of the program
    """An answer that refuses: HTTP status, the broker's code, and its message."""

    def __init__(self, status: int, message: str, code: int | None = None, **more: object) -> None:
        super().__init__(message)
        self.status, self.message = status, message
        self.code = code if code is not None else {403: FORBIDDEN, 422: BAD_REQUEST}.get(status, status * 100_000)
        self.more = more


def unprocessable(message: str) -> Refusal:
    """Return the refusal of what no order can be."""
    return Refusal(422, message)


@dataclass
class Order:
    """One order; instants are nanoseconds since the epoch, 0 for never.

    Attributes
    ----------
    id, client_order_id : the exchange's and the client's
    qty, notional : shares, or dollars of a market order for the day
    legs : orders that wait for this one (``held``) and close what it opened
    siblings : orders of which only one may fill; the others are cancelled then
    filled, paid, commission : shares so far, what they cost or brought, and what is charged beside it, dollars
    triggered, closing : its stop was reached; it was to close a position when it came
    """

    id: str
    client_order_id: str
    symbol: str
    side: Side
    kind: Kind
    time_in_force: TimeInForce
    order_class: OrderClass
    qty: float | None
    notional: float | None
    limit_price: float | None
    stop_price: float | None
    extended_hours: bool
    created_at: int
    status: str = "accepted"
    legs: list[Order] = field(default_factory=list)
    siblings: list[Order] = field(default_factory=list)
    parent: str | None = None
    filled: float = 0.0
    paid: float = 0.0
    commission: float = 0.0
    updated_at: int = 0
    filled_at: int = 0
    canceled_at: int = 0
    expires_at: int = 0
    expired_at: int = 0
    failed_at: int = 0
    replaced_at: int = 0
    replaced_by: str | None = None
    replaces: str | None = None
    triggered: bool = False
    closing: bool = False

    @property
    def sign(self) -> float:
        return 1.0 if self.side == "buy" else -1.0

    @property
    def is_open(self) -> bool:
        return self.status in OPEN

    @property
    def is_live(self) -> bool:
        """Return True where it may fill now: it waits neither for its parent nor for the order it replaces."""
        return self.is_open and self.status not in ("held", "pending_new")

    @property
    def role(self) -> str:
        """Return entry, exit, take_profit or stop_loss."""
        if self.parent is None and self.order_class != "oco":
            return "exit" if self.closing else "entry"
        return "take_profit" if self.stop_price is None else "stop_loss"

    @property
    def left(self) -> float:
        """Shares still to fill; of an order in dollars those that were filled are all there are."""
        return 0.0 if self.qty is None else self.qty - self.filled

    def family(self) -> Iterator[Order]:
        """Yield this order and its legs."""
        yield self
        yield from self.legs


def read_order(body: Mapping[str, Any], name: Callable[..., str], now: int) -> Order:
    """Return the order that `body` (JSON) asks for, its legs held. Raises Refusal.

    `name()` gives a new id, `name(text)` that of `text`: ids of orders that clients named do not depend on what came
    before them.
    """
    given = {key: value for key, value in body.items() if value is not None}
    symbol = given.get("symbol")
    if not isinstance(symbol, str) or not symbol:
        raise unprocessable("symbol is required")
    order_class: OrderClass = _choose(given.get("order_class") or "simple", OrderClass, "order_class")
    kind: Kind = _choose(given.get("type") or ("limit" if order_class == "oco" else None), Kind, "type")
    client_order_id = str(given.get("client_order_id") or name())
    if len(client_order_id) > LONGEST_ID:
        raise unprocessable(f"client_order_id must be no more than {LONGEST_ID} characters")
    order = Order(
        name(client_order_id),
        client_order_id,
        symbol.upper(),
        _choose(given.get("side"), Side, "side"),
        kind,
        _choose(given.get("time_in_force"), TimeInForce, "time_in_force"),
        order_class,
        read_number(given, "qty", DIGITS),
        read_number(given, "notional", 2),
        _price(given, "limit_price"),
        _price(given, "stop_price"),
        bool(given.get("extended_hours", False)),
        now,
        updated_at=now,
    )
    _attach_legs(order, given, name)
    check_order(order)
    return order


def check_order(order: Order) -> None:
    """Raise Refusal for what the broker takes from nobody."""
    if (order.qty is None) == (order.notional is None):
        raise unprocessable("qty or notional is required, one of them")
    if order.qty is not None and order.qty <= 0.0:
        raise unprocessable("qty must be > 0")
    if order.notional is not None and order.notional < SMALLEST_NOTIONAL:
        raise unprocessable(f"notional amount must be >= {SMALLEST_NOTIONAL:.2f}")
    needed = {"limit": ("limit_price",), "stop": ("stop_price",), "stop_limit": ("limit_price", "stop_price")}
    for price in needed.get(order.kind, ()):
        if getattr(order, price) is None:
            raise unprocessable(f"{order.kind} orders require {price.replace('_', ' ')}")
    fractional = order.notional is not None or (order.qty or 0.0) % 1.0 != 0.0
    if fractional and order.time_in_force != "day":
        raise unprocessable("fractional orders must be DAY orders")
    if fractional and order.order_class != "simple":
        raise unprocessable("fractional orders must be simple orders")
    if order.notional is not None and order.kind != "market":
        raise unprocessable("notional orders must be market orders")
    if order.extended_hours and (order.kind != "limit" or order.time_in_force != "day"):
        raise unprocessable("extended hours order must be DAY limit orders")
    if order.order_class != "simple" and order.time_in_force not in ("day", "gtc"):
        raise unprocessable(f"{order.order_class} orders must be DAY or GTC orders")
    if order.order_class != "simple" and order.extended_hours:
        raise unprocessable(f"{order.order_class} orders are not allowed in extended hours")


def _attach_legs(order: Order, given: Mapping[str, Any], name: Callable[..., str]) -> None:
    take, stop = (_leg(given, leg) for leg in ("take_profit", "stop_loss"))
    wanted = {"simple": (False, False), "bracket": (True, True), "oco": (True, True)}.get(order.order_class)
    if order.order_class == "simple" and (take or stop):
        raise unprocessable("simple orders have no take_profit or stop_loss: set order_class")
    if order.order_class == "oto" and bool(take) == bool(stop):
        raise unprocessable("oto orders require take_profit or stop_loss, one of them")
    if wanted == (True, True) and (take is None or take.get("limit_price") is None):
        raise unprocessable(f"{order.order_class} orders require take_profit.limit_price")
    if wanted == (True, True) and (stop is None or stop.get("stop_price") is None):
        raise unprocessable(f"{order.order_class} orders require stop_loss.stop_price")
    if order.order_class == "oco":
        if order.kind != "limit":
            raise unprocessable("oco orders must be limit orders")
        assert take is not None
        order.limit_price = _price(take, "limit_price")
    for kind, leg in (("limit", take if order.order_class != "oco" else None), ("stop", stop)):
        if leg:
            order.legs.append(_make_leg(order, kind, leg, name(f"{order.id} {kind}")))
    exits = [*order.legs, *([order] if order.order_class == "oco" else [])]
    for one in exits:
        one.siblings = [other for other in exits if other is not one]
    _check_exits(order, exits)


def _make_leg(order: Order, kind: str, leg: Mapping[str, Any], own: str) -> Order:
    limit, stop = _price(leg, "limit_price"), _price(leg, "stop_price")
    if kind == "limit" and limit is None:
        raise unprocessable("take_profit.limit_price is required")
    if kind == "stop" and stop is None:
        raise unprocessable("stop_loss.stop_price is required")
    exact: Kind = "limit" if kind == "limit" else "stop" if limit is None else "stop_limit"
    side: Side = order.side if order.order_class == "oco" else "sell" if order.side == "buy" else "buy"
    return Order(
        own, own, order.symbol, side, exact, order.time_in_force, order.order_class, order.qty, None, limit,
        stop if kind == "stop" else None, False, order.created_at, "held", parent=order.id, updated_at=order.created_at,
    )  # fmt: skip


def _check_exits(order: Order, exits: list[Order]) -> None:
    """Refuse a take-profit that does not lie beyond the stop, and a stop on the wrong side of the entry."""
    take = next((one.limit_price for one in exits if one.kind == "limit"), None)
    stop = next((one.stop_price for one in exits if one.stop_price is not None), None)
    up = 1.0 if (order.side == "buy") != (order.order_class == "oco") else -1.0
    if take is not None and stop is not None and up * take <= up * stop + 0.01 - 1e-9:
        raise unprocessable("take_profit.limit_price must lie beyond stop_loss.stop_price by 0.01 or more")
    base = order.limit_price if order.order_class in ("bracket", "oto") else None
    check_stop_side(stop, base, up)


def check_stop_side(stop: float | None, base: float | None, up: float) -> None:
    """Raise Refusal for a stop within a cent of `base`, or on its wrong side; `up` is 1.0 where a long is protected."""
    if stop is not None and base is not None and up * stop > up * base - 0.01 + 1e-9:
        side = "<=" if up > 0 else ">="
        raise unprocessable(f"stop price must be {side} base_price {'-' if up > 0 else '+'} 0.01")


def _leg(given: Mapping[str, Any], name: str) -> Mapping[str, Any] | None:
    leg = given.get(name)
    if leg is not None and not isinstance(leg, Mapping):
        raise unprocessable(f"{name} is no object")
    return leg


def _choose(value: object, kind: Any, name: str) -> Any:
    if value not in get_args(kind):
        raise unprocessable(f"invalid {name}: {value}" if value is not None else f"{name} is required")
    return value


def read_number(given: Mapping[str, Any], name: str, digits: int) -> float | None:
    """Return a number sent as one or as text. Raises Refusal for what is none, or has too many digits."""
    value = given.get(name)
    if value is None:
        return None
    try:
        exact = Decimal(str(value))
    except ArithmeticError:
        raise unprocessable(f"{name} is no number: {value}") from None
    if isinstance(value, bool) or not exact.is_finite() or abs(exact) > 10**12:
        raise unprocessable(f"{name} is no number: {value}")
    if exact != round(exact, digits):
        raise unprocessable(f"{name} has more than {digits} decimals: {value}")
    return float(exact)


def _price(given: Mapping[str, Any], name: str) -> float | None:
    price = read_number(given, name, 20)
    if price is None:
        return None
    if price <= 0.0:
        raise unprocessable(f"{name} must be > 0")
    decimals = 2 if price >= 1.0 else 4
    if not math.isclose(price, round(price, decimals), abs_tol=1e-9):
        raise unprocessable(f"invalid {name} {price}. sub-penny increment does not fulfill minimum pricing criteria")
    return price


def replace_order(order: Order, body: Mapping[str, Any], name: Callable[..., str], now: int) -> Order:
    """Return the order that takes the place of `order`, with what `body` (JSON) changes. Raises Refusal."""
    given = {key: value for key, value in body.items() if value is not None}
    unknown = set(given) - {"qty", "time_in_force", "limit_price", "stop_price", "client_order_id", "trail"}
    if unknown:
        raise unprocessable(f"{sorted(unknown)[0]} cannot be replaced")
    if order.notional is not None:
        raise unprocessable("notional orders cannot be replaced")
    changed = Order(**{one.name: getattr(order, one.name) for one in fields(Order)})
    changed.client_order_id = str(given.get("client_order_id") or name())
    changed.id = name(changed.client_order_id)
    if "qty" in given:
        changed.qty = read_number(given, "qty", DIGITS)
    if "time_in_force" in given:
        changed.time_in_force = _choose(given["time_in_force"], TimeInForce, "time_in_force")
    changed.limit_price = _price(given, "limit_price") or order.limit_price
    changed.stop_price = _price(given, "stop_price") or order.stop_price
    changed.replaces, changed.created_at, changed.updated_at = order.id, now, now
    check_order(changed)
    if changed.left <= 0.0:
        raise unprocessable("qty must be more than what has filled")
    return changed
