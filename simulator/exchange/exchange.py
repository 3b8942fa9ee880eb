"""The exchange itself: accounts, a clock that is advanced from outside, and everybody who listens.

advance(to) ──► bar after bar: open (fills), close (fills, marks), end of a session (orders of the day expire)
                  └──► events: to the trading stream of the account, bars to the data stream
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from simulator.exchange.accounts import Execution, PaperAccount
from simulator.exchange.matching import Auction
from simulator.exchange.orders import Order, Refusal, read_order, replace_order
from simulator.exchange.prices import Prices
from simulator.market.bars import Bars

SLIPPAGE_BPS = 2.0


class Update(NamedTuple):
    """An event of an order: ``new``, ``fill``, ``canceled`` …; `execution` where something was traded."""

    event: str
    account: PaperAccount
    order: Order
    at: int
    execution: Execution | None = None


Listener = Callable[[Update], None]
BarListener = Callable[[int], None]
"""Called with the row of a bar that has closed."""


@dataclass(eq=False)
class Exchange:
    """Rehearsal exchange over `bars`, whose clock stands at `now` (nanoseconds since the epoch).

    Attributes
    ----------
    cash : dollars a new account starts with
    slippage_bps : basis points of the price that a market order pays, or gets less
    accounts : by key id; any key opens one
    told : events of orders so far
    in_parts : called before an order fills; True fills half of its shares now, the rest in a later bar
    """

    bars: Bars
    now: int
    cash: float = 100_000.0
    slippage_bps: float = SLIPPAGE_BPS
    accounts: dict[str, PaperAccount] = field(default_factory=dict)
    in_parts: Callable[[], bool] = bool
    listeners: list[Listener] = field(default_factory=list)
    bar_listeners: list[BarListener] = field(default_factory=list)
    told: int = 0

    def __post_init__(self) -> None:
        self.prices = Prices(self.bars)
        # What opened before the clock began was never traded here.
        self._opened = int(np.searchsorted(self.bars.opens_at, self.now, side="right"))
        self._closed = int(np.searchsorted(self.bars.closes_at, self.now, side="right"))

    def account(self, key: str, secret: str) -> PaperAccount:
        """Return the account of `key`, opened where there is none. Raises Refusal for another secret than its first."""
        if not key or not secret:
            raise Refusal(401, "unauthorized.")
        account = self.accounts.get(key)
        if account is None:
            account = self.accounts[key] = PaperAccount(key, secret, self.now, self.cash)
        if account.secret != secret:
            raise Refusal(401, "unauthorized.")
        return account

    def submit(self, account: PaperAccount, body: Mapping[str, Any]) -> Order:
        """Take an order. Raises Refusal."""
        order = read_order(body, account.name, self.now)
        account.take(order, self.prices, self.now)
        self._tell("new" if order.status == "new" else "accepted", account, order)
        if order.time_in_force in ("ioc", "fok"):
            # There is no moment at which it could fill at once: prices are known at the open and close of bars.
            self._end(account, order, "canceled")
        elif self._opened and self._closed < self._opened and self.bars.opens_at[self._opened - 1] == self.now:
            self._auction(self._opened - 1, account).open()  # it came at the very instant of the open
        return order

    def find(self, account: PaperAccount, order_id: str) -> Order:
        """Return an order by the exchange's id. Raises Refusal."""
        order = account.orders.get(order_id)
        if order is None:
            raise Refusal(404, f"order not found for {order_id}")
        return order

    def cancel(self, account: PaperAccount, order: Order) -> None:
        """Cancel an order, its legs with it; one of a group leaves the rest as they are. Raises Refusal."""
        if not order.is_open:
            raise Refusal(422, f'order is already in "{order.status}" state', 42210000)
        self._end(account, order, "canceled")

    def replace(self, account: PaperAccount, order: Order, body: Mapping[str, Any]) -> Order:
        """Put another order in the place of `order`. Raises Refusal."""
        if not order.is_open or order.status == "held":
            raise Refusal(422, f'order is already in "{order.status}" state', 42210000)
        changed = replace_order(order, body, account.name, self.now)
        if changed.client_order_id in account.ids:
            raise Refusal(422, "client_order_id must be unique")
        before = order.status
        order.status, order.replaced_at, order.replaced_by, order.updated_at = (
            "replaced",
            self.now,
            changed.id,
            self.now,
        )
        try:
            account.check(changed, self.prices, self.now)
        except Refusal:
            order.status, order.replaced_at, order.replaced_by = before, 0, None
            raise
        account.orders[changed.id], account.ids[changed.client_order_id] = changed, changed.id
        for sibling in changed.siblings:
            sibling.siblings = [changed if one is order else one for one in sibling.siblings]
        for leg in changed.legs:
            leg.parent = changed.id
        self._tell("replaced", account, order)
        self._tell("new", account, changed)
        return changed

    def close_position(self, account: PaperAccount, symbol: str, shares: float | None, part: float | None) -> Order:
        """Order the close of a position, of `shares` or of `part` (a fraction) of it. Raises Refusal."""
        held = account.held(symbol)
        if not held:
            raise Refusal(404, f"position does not exist: {symbol}", 40410000)
        wanted = abs(held) if shares is None else shares
        wanted *= 1.0 if part is None else part
        side = "sell" if held > 0 else "buy"
        body = {"symbol": symbol, "side": side, "type": "market", "time_in_force": "day", "qty": round(wanted, 9)}
        return self.submit(account, body)

    def due(self) -> int | None:
        """Return the next instant at which a bar opens or closes, None after the last."""
        opens = [self.bars.opens_at[self._opened]] if self._opened < len(self.bars) else []
        closes = [self.bars.closes_at[self._closed]] if self._closed < self._opened else []
        return min((int(at) for at in (*opens, *closes)), default=None)

    def advance(self, to: int) -> None:
        """Let time pass until `to`, nanoseconds since the epoch. Time that has passed stays passed."""
        while (due := self.due()) is not None and due <= to:
            self.now = max(self.now, due)
            # A bar closes before the next one opens at the same instant.
            if self._closed < self._opened and int(self.bars.closes_at[self._closed]) == due:
                self._close_bar()
            else:
                self._open_bar()
        self.now = max(self.now, to)

    def _open_bar(self) -> None:
        t, self._opened = self._opened, self._opened + 1
        starts = t == 0 or self.bars.session_of[t] != self.bars.session_of[t - 1]
        for account in list(self.accounts.values()):
            for order in account.open_orders():
                if order.status == "accepted":
                    order.status = "new"
            self._auction(t, account).open()
            if starts:
                self._expire(account, ("opg",))

    def _close_bar(self) -> None:
        t, self._closed = self._closed, self._closed + 1
        ends = t + 1 == len(self.bars) or self.bars.session_of[t + 1] != self.bars.session_of[t]
        for account in list(self.accounts.values()):
            auction = self._auction(t, account)
            auction.within()
            if ends:
                auction.close()
                self._expire(account, ("day", "cls"))
                account.closes[int(self.bars.session_of[t])] = account.equity(self.prices, self.now)
        for listen in list(self.bar_listeners):
            listen(t)

    def _auction(self, t: int, account: PaperAccount) -> Auction:
        def fill(order: Order, price: float) -> None:
            half = math.floor(order.left / 2)
            self.fill(account, order, price, half if half >= 1 and not order.filled and self.in_parts() else None)

        return Auction(self.bars, t, account, self.slippage_bps / 1e4, fill)

    def fill(self, account: PaperAccount, order: Order, price: float, shares: float | None = None) -> None:
        """Fill `order` at `price`, all that is left of it or `shares`; then its legs live and its siblings end."""
        if order.qty is None:
            order.qty = round((order.notional or 0.0) / price, 9)
        part = order.left if shares is None else min(shares, order.left)
        execution = account.book(order, order.sign * part, price, self.now)
        whole = order.left <= 1e-9
        order.status, order.updated_at = "filled" if whole else "partially_filled", self.now
        order.filled_at = self.now if whole else 0
        self._tell("fill" if whole else "partial_fill", account, order, execution)
        if whole:
            for leg in order.legs:
                if leg.status == "held":
                    leg.status = "new"
                    self._tell("new", account, leg)
        for sibling in order.siblings:
            if sibling.is_open:
                self._end(account, sibling, "canceled")

    def _expire(self, account: PaperAccount, kinds: tuple[str, ...]) -> None:
        for order in account.open_orders():
            # Legs that wait live and die with their parent; those that protect a position last as they were ordered.
            if order.time_in_force in kinds and order.status != "held" and order.created_at < self.now:
                self._end(account, order, "expired")

    def _end(self, account: PaperAccount, order: Order, status: str) -> None:
        order.status, order.updated_at = status, self.now
        if status == "expired":
            order.expired_at = self.now
        else:
            order.canceled_at = self.now
        self._tell(status, account, order)
        for leg in order.legs:
            if leg.status == "held":
                self._end(account, leg, status)

    def _tell(self, event: str, account: PaperAccount, order: Order, execution: Execution | None = None) -> None:
        self.told += 1
        update = Update(event, account, order, self.now, execution)
        for listen in list(self.listeners):
            listen(update)
