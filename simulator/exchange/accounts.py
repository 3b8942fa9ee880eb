"""Paper accounts of the rehearsal exchange: what is held, what it is worth, what may be bought or sold."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field

from simulator.exchange.faults import About
from simulator.exchange.orders import FORBIDDEN, Order, Refusal, check_stop_side, unprocessable
from simulator.exchange.prices import MINUTE, Prices

COLLAR = 0.03
"""A market order to buy or to sell short is reckoned at that much above the ask."""

MARGIN_LONG, MARGIN_SHORT, MAINTENANCE_LONG, MAINTENANCE_SHORT = 0.5, 0.5, 0.25, 0.3
SHORT_EQUITY = 2_000.0
"""Dollars of equity from which on an account may sell short, and borrow."""

DIGEST = "sha256:"
WHOLE = 1e-9


@dataclass
class Holding:
    """Signed shares of a symbol and what they cost, dollars, signed alike."""

    shares: float = 0.0
    cost: float = 0.0

    @property
    def entry(self) -> float:
        """Average price of entry."""
        return self.cost / self.shares if self.shares else 0.0


@dataclass(frozen=True)
class Execution:
    """One fill: shares signed, price with what slippage took."""

    id: str
    order: str
    symbol: str
    at: int
    shares: float
    price: float


def digest_secret(secret: str) -> str:
    """Return what is kept of a secret; that of a digest is itself."""
    if not secret or secret.startswith(DIGEST):
        return secret
    return DIGEST + hashlib.sha256(secret.encode()).hexdigest()


@dataclass
class PaperAccount:
    """One account. `orders` are all there ever were, by id, in the order they came, `recent` those among them that
    may be open; `closes` {session: equity}."""

    key: str
    digest: str
    opened_at: int
    cash: float = 100_000.0
    holdings: dict[str, Holding] = field(default_factory=dict)
    orders: dict[str, Order] = field(default_factory=dict)
    recent: dict[str, Order] = field(default_factory=dict)
    ids: dict[str, str] = field(default_factory=dict)
    executions: list[Execution] = field(default_factory=list)
    closes: dict[int, float] = field(default_factory=dict)
    made: int = 0
    suspended: bool = False
    shorting: bool = True
    borrowing: bool = True
    times_reset: int = 0
    started_with: float = 0.0

    def __post_init__(self) -> None:
        self.started_with = self.cash

    @property
    def id(self) -> str:
        again = f":{self.times_reset}" if self.times_reset else ""
        return str(uuid.uuid5(uuid.NAMESPACE_URL, f"account:{self.key}{again}"))

    @property
    def number(self) -> str:
        return f"PA{uuid.UUID(self.id).int % 10**10:010d}"

    def name(self, known_as: str = "") -> str:
        """Return the id of what is known as that, else the next: the same in every rehearsal of the same requests."""
        if not known_as:
            self.made += 1
        return str(uuid.uuid5(uuid.NAMESPACE_URL, f"{self.key}:{known_as or self.made}"))

    def shares_of(self, symbol: str) -> float:
        """Return signed shares."""
        return self.holdings[symbol].shares if symbol in self.holdings else 0.0

    def open_orders(self, symbol: str | None = None) -> Iterator[Order]:
        """Yield orders that may still fill, legs that wait among them, oldest first."""
        for order in list(self.recent.values()):
            if order.is_open and symbol in (None, order.symbol):
                yield order

    def positions(self) -> Iterator[tuple[str, Holding]]:
        """Yield (symbol, holding) of all that is held, by symbol."""
        for symbol in sorted(self.holdings):
            if self.holdings[symbol].shares:
                yield symbol, self.holdings[symbol]

    def worth(self, prices: Prices, now: int) -> tuple[float, float]:
        """Return dollars held (long, short); the latter 0 or negative."""
        values = [one.shares * prices.price(symbol, now) for symbol, one in self.positions()]
        return sum(v for v in values if v > 0.0), sum(v for v in values if v < 0.0)

    def equity(self, prices: Prices, now: int) -> float:
        return self.cash + sum(self.worth(prices, now))

    def multiplier(self, prices: Prices, now: int) -> int:
        """Return 2, or 1 for an account that does not borrow or is too small to."""
        return 2 if self.borrowing and self.equity(prices, now) >= SHORT_EQUITY else 1

    def reserve(self, prices: Prices, now: int) -> float:
        """Return dollars that open orders may come to need."""
        total = 0.0
        for order in self.open_orders():
            held = self.shares_of(order.symbol)
            if order.is_live and order.parent is None and order.sign * held >= 0.0:
                total += estimate(order, prices, now) * (1.0 - (order.filled / order.qty if order.qty else 0.0))
        return total

    def buying_power(self, prices: Prices, now: int) -> float:
        long, short = self.worth(prices, now)
        equity, multiplier = self.cash + long + short, self.multiplier(prices, now)
        bound = (long - short) / multiplier if multiplier > 1 else long - short * 1.5
        return max(0.0, (equity - bound) * multiplier - self.reserve(prices, now))

    def available(self, symbol: str) -> float:
        """Return shares, of those held, that no open order is to close; siblings count once."""
        held, taken = self.shares_of(symbol), 0.0
        counted: set[str] = set()
        for order in self.open_orders(symbol):
            closes = order.sign * held < 0.0 and order.is_live
            if closes and not counted & {one.id for one in order.siblings}:
                taken += order.left
            counted.add(order.id)
        return abs(held) - taken

    def take(self, order: Order, prices: Prices, now: int) -> None:
        """Take `order` and its legs. Raises Refusal for what this account cannot ask for."""
        self.check(order, prices, now)
        order.closing = order.sign * self.shares_of(order.symbol) < 0.0
        for one in order.family():
            self.keep(one)
            one.expires_at = prices.expiry(one.time_in_force, now)
        if order.order_class == "oco":
            for leg in order.legs:
                leg.status = "new" if prices.is_open(now) else "accepted"
        order.status = "new" if prices.is_open(now) else "accepted"

    def keep(self, order: Order) -> None:
        """Put an order with those there ever were."""
        self.orders[order.id] = self.recent[order.id] = order
        self.ids[order.client_order_id] = order.id

    def end_session(self, session: int, prices: Prices, now: int) -> None:
        """Note the equity at a session's close; orders that have ended are recent no more."""
        self.closes[session] = self.equity(prices, now)
        self.recent = {one.id: one for one in self.open_orders()}

    def check(self, order: Order, prices: Prices, now: int) -> None:
        """Raise Refusal for an order that clashes with what is held, ordered or owned."""
        symbol, held = order.symbol, self.shares_of(order.symbol)
        if symbol not in prices.bars.columns:
            raise unprocessable(f'asset "{symbol}" not found')
        if order.client_order_id in self.ids:
            raise unprocessable("client_order_id must be unique")
        if prices.faults.rule("halt", About(symbol=symbol)):
            raise Refusal(403, f"trading of {symbol} is halted", FORBIDDEN)
        price = prices.price(symbol, now)
        if not price == price:
            raise Refusal(403, f"no price of {symbol} yet", FORBIDDEN)
        _check_time(order, prices, now)
        closes = order.sign * held < 0.0
        if order.order_class != "simple":
            up = -order.sign if order.order_class == "oco" else order.sign
            stop = next((leg.stop_price for leg in order.legs if leg.stop_price is not None), None)
            base = order.limit_price if order.order_class != "oco" else None
            check_stop_side(stop, price if base is None else base, up)
        if order.order_class == "oco" and not closes:
            raise unprocessable("oco orders close a position: there is none on that side")
        self._check_clash(order)
        if closes:
            wanted = order.qty if order.qty is not None else (order.notional or 0.0) / price
            free = self.available(symbol)
            if wanted > free + WHOLE:
                text = f"insufficient qty available for order (requested: {wanted:g}, available: {max(free, 0.0):g})"
                related = [one.id for one in self.open_orders(symbol) if one.sign * held < 0.0]
                raise Refusal(
                    403, text, FORBIDDEN, available=f"{max(free, 0.0):g}", existing_qty=f"{abs(held):g}",
                    held_for_orders=f"{abs(held) - free:g}", related_orders=related, symbol=symbol,
                )  # fmt: skip
            return
        self._check_power(order, prices, now)

    def _check_clash(self, order: Order) -> None:
        """Refuse what might trade with an open order of this same account, and a long beside a short on its way."""
        for other in self.open_orders(order.symbol):
            if other.side == order.side or not other.is_live:
                continue
            buy, sell = (order, other) if order.side == "buy" else (other, order)
            crosses = buy.limit_price is None or sell.limit_price is None or buy.limit_price >= sell.limit_price
            if self.shares_of(order.symbol) == 0.0 and other.parent is None:
                what = "long buy" if order.side == "buy" else "short sell"
                raise Refusal(403, f"cannot open a {what} while an opposite order is open", FORBIDDEN)
            if crosses and other not in order.siblings:
                raise Refusal(
                    403, "potential wash trade detected. use complex orders", FORBIDDEN,
                    reject_reason="opposite side market/stop order exists", existing_order_id=other.id,
                )  # fmt: skip

    def _check_power(self, order: Order, prices: Prices, now: int) -> None:
        if order.side == "sell":
            if not self.shorting or self.equity(prices, now) < SHORT_EQUITY:
                raise Refusal(403, "account is not allowed to short", FORBIDDEN)
            if prices.faults.rule("hard-to-borrow", About(symbol=order.symbol)):
                raise Refusal(403, f'asset "{order.symbol}" cannot be sold short', FORBIDDEN)
            if order.notional is not None or (order.qty or 0.0) % 1.0:
                raise Refusal(403, "fractional orders cannot be sold short", FORBIDDEN)
        needed, there = estimate(order, prices, now), self.buying_power(prices, now)
        if needed > there + 0.01:
            raise Refusal(
                403, "insufficient buying power", FORBIDDEN, buying_power=f"{there:.2f}", cost_basis=f"{needed:.2f}"
            )

    def book(self, order: Order, shares: float, price: float, at: int) -> Execution:
        """Book a fill of `shares` (signed) at `price`; the caller settles the order's status."""
        holding = self.holdings.setdefault(order.symbol, Holding())
        self.cash -= shares * price
        if holding.shares * shares >= 0.0:
            holding.cost += shares * price
        else:
            holding.cost -= (
                holding.entry * min(abs(shares), abs(holding.shares)) * (1.0 if holding.shares > 0 else -1.0)
            )
            rest = holding.shares + shares
            if rest * shares > 0.0:
                holding.cost = rest * price
        holding.shares += shares
        if abs(holding.shares) < WHOLE:
            holding.shares = holding.cost = 0.0
        order.filled += abs(shares)
        order.paid += abs(shares) * price
        made = Execution(self.name(f"{order.id} {order.filled!r}"), order.id, order.symbol, at, shares, price)
        self.executions.append(made)
        return made


def estimate(order: Order, prices: Prices, now: int) -> float:
    """Return the dollars an order that opens or adds is reckoned with."""
    if order.notional is not None:
        return order.notional
    quote = prices.quote(order.symbol, now)
    market = quote[2] * (1.0 + COLLAR) if quote is not None else 0.0
    price = order.limit_price or max(order.stop_price or 0.0, market)
    if order.side == "sell":
        price = max(price, market)
    return (order.qty or 0.0) * price


def _check_time(order: Order, prices: Prices, now: int) -> None:
    """Refuse opening and closing orders that come too late for the auction."""
    today = prices.today(now)
    if today is None or order.time_in_force not in ("opg", "cls"):
        return
    opens, closes, evening = today
    if order.time_in_force == "opg" and opens - 2 * MINUTE <= now < evening:
        raise unprocessable("opg orders are taken until 09:28, and from 19:00 on for the next session")
    if order.time_in_force == "cls" and closes - 10 * MINUTE <= now < evening:
        raise unprocessable("cls orders are taken until ten minutes before the close, and from 19:00 on for the next")
