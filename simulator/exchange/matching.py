"""Matching: which open orders a bar fills, and at what price, by the rules of `trading.fills`.

    open of a bar    what closes a position, then what opens one, at the open; then exits that the open has passed
    within the bar   exits, the stop first; limits that are passed by a tick; then exits of what was just entered

A bar tells neither when nor in which order its prices came: what is uncertain is assumed to have gone badly. An order
fills in no bar that had opened before it came.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from math import isfinite

from simulator.exchange.accounts import PaperAccount
from simulator.exchange.orders import Order
from simulator.market.bars import Bars
from simulator.trading.execution import ExecutionRules
from simulator.trading.fills import tick_beyond

Fill = tuple[Order, float]
"""An order and the price it fills at, slippage included."""


@dataclass(frozen=True)
class Auction:
    """One bar (row `t` of `bars`) of one account; `fill` takes an order, the price paid, and that without slippage;
    symbols that are `halted` do not trade."""

    bars: Bars
    t: int
    account: PaperAccount
    rules: ExecutionRules
    fill: Callable[[Order, float, float], None]
    halted: Callable[[str], object] = bool

    def waiting(self) -> Iterator[tuple[Order, int]]:
        """Yield (order, column) of what may fill in this bar, what closes a position first."""
        orders = [one for one in self.account.open_orders() if one.is_live and not self.halted(one.symbol)]
        orders.sort(key=lambda one: one.sign * self.account.shares_of(one.symbol) >= 0.0)
        for order in orders:
            n = self.bars.columns[order.symbol]
            fresh = isfinite(self.bars.close[self.t, n])
            if fresh and order.is_live and order.created_at <= self.bars.opens_at[self.t]:
                yield order, n

    def open(self) -> None:
        """Fill what fills at the open. Exits of what was just entered come again: the open may lie beyond them."""
        seen: set[str] = set()
        while True:
            batch = [(order, n) for order, n in self.waiting() if order.id not in seen]
            if not batch:
                return
            for order, n in batch:
                seen.add(order.id)
                price = float(self.bars.open[self.t, n])
                if order.is_open and order.time_in_force != "cls" and _reached_at_open(order, price):
                    self.fill(order, self._with_slippage(order, price), price)

    def within(self) -> None:
        """Fill what lies within the bar."""
        entered: dict[str, float] = {}
        for order, n in self._stops_first():
            closing = order.sign * self.account.shares_of(order.symbol) < 0.0
            if not order.is_open or order.time_in_force in ("opg", "cls") or not closing:
                continue
            self._touch(order, n)
        for order, n in list(self.waiting()):
            closing = order.sign * self.account.shares_of(order.symbol) < 0.0
            if order.is_open and order.time_in_force not in ("opg", "cls") and not closing:
                before = order.filled
                self._touch(order, n)
                if order.filled > before and order.limit_price is not None:
                    entered[order.id] = order.limit_price
        for order, n in self._stops_first():
            if order.parent in entered and order.is_open:
                self._leave_after_entry(order, n, entered[order.parent or ""])

    def close(self) -> None:
        """Fill what waits for the closing auction of a session that ends with this bar."""
        for order, n in list(self.waiting()):
            price = float(self.bars.close[self.t, n])
            if order.is_open and order.time_in_force == "cls" and _reached_at_open(order, price):
                self.fill(order, self._with_slippage(order, price), price)

    def _stops_first(self) -> list[tuple[Order, int]]:
        return sorted(self.waiting(), key=lambda one: one[0].stop_price is None)

    def _touch(self, order: Order, n: int) -> None:
        low, high = float(self.bars.low[self.t, n]), float(self.bars.high[self.t, n])
        up = order.sign
        stop, limit = order.stop_price, order.limit_price
        if stop is not None and not order.triggered:
            if not (high >= stop if up > 0 else low <= stop):
                return
            order.triggered = True
            if limit is None or up * limit >= up * stop:
                self.fill(order, self._with_slippage(order, stop), stop)
            return
        if limit is not None:
            beyond = self._beyond(limit)
            if low <= limit - beyond if up > 0 else high >= limit + beyond:
                self.fill(order, limit, limit)

    def _leave_after_entry(self, order: Order, n: int, entry: float) -> None:
        """Close what a limit order entered within the bar: on its way from the open to a stop behind the limit the
        price passed the limit, so the stop is certain; the target only where the close lies beyond it."""
        up = order.sign
        low, high, close = (float(a[self.t, n]) for a in (self.bars.low, self.bars.high, self.bars.close))
        if order.stop_price is not None:
            if high >= order.stop_price if up > 0 else low <= order.stop_price:
                worst = max(order.stop_price, entry) if up > 0 else min(order.stop_price, entry)
                self.fill(order, self._with_slippage(order, worst), worst)
        elif order.limit_price is not None:
            beyond = self._beyond(order.limit_price)
            if close <= order.limit_price - beyond if up > 0 else close >= order.limit_price + beyond:
                self.fill(order, order.limit_price, order.limit_price)

    def _beyond(self, limit: float) -> float:
        return tick_beyond(limit) if self.rules.limit_through else 0.0

    def _with_slippage(self, order: Order, price: float) -> float:
        """Return what is paid or got: never beyond a limit."""
        paid = price * (1.0 + order.sign * self.rules.slippage_bps / 1e4)
        if order.limit_price is None:
            return paid
        return min(paid, order.limit_price) if order.sign > 0 else max(paid, order.limit_price)


def _reached_at_open(order: Order, price: float) -> bool:
    up = order.sign
    if order.stop_price is not None and not order.triggered:
        if up * price < up * order.stop_price:
            return False
        order.triggered = True
    return order.limit_price is None or up * price <= up * order.limit_price
