"""The exchange itself: accounts, a clock that is advanced from outside, and everybody who listens.

advance(to) ──► bar after bar: open (fills), close (fills, marks), end of a session (orders of the day expire)
                  └──► events: to the trading stream of the account, bars to the data stream
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from heapq import heappop, heappush
from itertools import count
from typing import Any, NamedTuple

import numpy as np

from simulator.exchange.accounts import Execution, PaperAccount, digest_secret
from simulator.exchange.faults import BLOCKS, About, Faults
from simulator.exchange.matching import Auction
from simulator.exchange.orders import Order, Refusal, read_order, replace_order
from simulator.exchange.prices import Prices, Split
from simulator.market.bars import Bars
from simulator.market.calendar import DAY
from simulator.market.news import News
from simulator.trading.execution import ExecutionRules
from simulator.trading.fills import commission_of

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
    bars : prices as traded; a split shows in them
    cash : dollars a new account starts with
    slippage_bps : basis points of the price that a market order pays, or gets less
    faults : what goes wrong
    splits : new shares for old ones; holdings are multiplied at their instants, open orders stay as they are
    rules : costs and rules of fills in place of `slippage_bps`: slippage is in the price, commission beside it
    accounts : by key id; any key opens one
    news : headlines, each served from its publication on
    told : events of orders so far
    refused : deeds of a script that could not be done at their instants: at, deed, why
    """

    bars: Bars
    now: int
    cash: float = 100_000.0
    slippage_bps: float = SLIPPAGE_BPS
    faults: Faults = field(default_factory=Faults)
    splits: tuple[Split, ...] = ()
    rules: ExecutionRules | None = None
    accounts: dict[str, PaperAccount] = field(default_factory=dict)
    listeners: list[Listener] = field(default_factory=list)
    bar_listeners: list[BarListener] = field(default_factory=list)
    cutters: list[Callable[[PaperAccount | None], None]] = field(default_factory=list)
    news: Sequence[News] = ()
    told: int = 0
    refused: list[dict[str, Any]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.costs = self.rules or ExecutionRules(slippage_bps=self.slippage_bps, limit_through=True)
        self._agenda: list[tuple[int, int, Callable[[], None]]] = []
        self._numbers = count()
        self._soon: list[Callable[[], None]] = []
        self.show(self.bars, *self.splits)
        for split in self.splits:
            if split.at > self.now:
                self.at(split.at, partial(self.divide, split))
        # What opened before the clock began was never traded here.
        self._opened = int(np.searchsorted(self.bars.opens_at, self.now, side="right"))
        self._closed = int(np.searchsorted(self.bars.closes_at, self.now, side="right"))

    def show(self, bars: Bars, *splits: Split) -> None:
        """Put other prices in the place of those of now; `splits` are all that show in them."""
        self.bars, self.splits = bars, splits
        self.faults.clock = lambda: self.now
        self.prices = Prices(bars, self.faults, splits, lambda: self._opened)

    def at(self, instant: int, do: Callable[[], None]) -> None:
        """Do something when the clock comes to `instant`, before what opens or closes then; at once where it has."""
        if instant <= self.now:
            do()
        else:
            heappush(self._agenda, (instant, next(self._numbers), do))

    def account(self, key: str, secret: str, on: str = "") -> PaperAccount:
        """Return the account of `key`, opened where there is none, to a request `on` something. Raises Refusal for
        another secret than its first."""
        if not key or not secret or self.faults.rule("key-revoked", About(key, on=on)):
            raise Refusal(401, "unauthorized.")
        account, digest = self.accounts.get(key), digest_secret(secret)
        if account is None:
            account = self.accounts[key] = PaperAccount(key, digest, self.now, self.cash)
        if account.digest != digest:
            raise Refusal(401, "unauthorized.")
        return account

    def blocks(self, account: PaperAccount) -> list[str]:
        """Return the names of what keeps an account from trading."""
        about = About(account.key)
        held = [name for name in BLOCKS if self.faults.rule(name, about)]
        return [*held, *(["suspend-trade"] if account.suspended and "suspend-trade" not in held else [])]

    def submit(self, account: PaperAccount, body: Mapping[str, Any]) -> Order:
        """Take an order. Raises Refusal."""
        order = read_order(body, account.name, self.now)
        if self.blocks(account):
            raise Refusal(403, "account is not authorized to trade")
        account.take(order, self.prices, self.now)
        self._tell("new" if order.status == "new" else "accepted", account, order)
        about = About(account.key, order.symbol, order.role, order.client_order_id)
        if order.time_in_force in ("ioc", "fok"):
            # There is no moment at which it could fill at once: prices are known at the open and close of bars.
            self.end(account, order, "canceled")
        elif self.faults.strikes(["order-rejected"], about):
            self._soon.append(partial(self.end, account, order, "rejected"))
        elif self.faults.strikes(["fill-first"], about) and self.prices.is_open(self.now):
            self.fill_now(account, order)
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
        """Cancel an order, and the others of its group with it. Raises Refusal."""
        about = self._about(account, order)
        if order.is_live and self.faults.strikes(["fill-wins"], about):
            self.fill_now(account, order)
        if not order.is_open or order.status == "pending_replace":
            raise Refusal(422, f'order is already in "{order.status}" state', 42210000)
        if order.is_live and self.faults.strikes(["cancel-late"], about):
            self._soon.append(lambda: self.fill_now(account, order))
        else:
            self.end(account, order, "canceled")

    def _about(self, account: PaperAccount, order: Order) -> About:
        return About(account.key, order.symbol, order.role, order.id)

    def fill_now(self, account: PaperAccount, order: Order, shares: float | None = None) -> None:
        """Fill an order that no bar fills, where it may still fill: at its limit or stop, else at the newest price."""
        paid = self.prices.price(order.symbol, self.now) * (1.0 + order.sign * self.costs.slippage_bps / 1e4)
        if order.is_live:
            self.fill(account, order, order.limit_price or order.stop_price or paid, shares)

    def replace(self, account: PaperAccount, order: Order, body: Mapping[str, Any]) -> Order:
        """Put another order in the place of `order`. Raises Refusal."""
        if order.is_live and self.faults.strikes(["fill-wins"], self._about(account, order)):
            self.fill_now(account, order)
        if not order.is_live or order.status == "pending_replace":
            raise Refusal(422, f'order is already in "{order.status}" state', 42210000)
        changed = replace_order(order, body, account.name, self.now)
        if changed.client_order_id in account.ids:
            raise Refusal(422, "client_order_id must be unique")
        if self.blocks(account):
            raise Refusal(403, "account is not authorized to trade")
        before, order.status = order.status, "replaced"
        try:
            account.check(changed, self.prices, self.now)
        except Refusal:
            order.status = before
            raise
        account.keep(changed)
        if self.faults.strikes(["replace-pending"], self._about(account, order)):
            order.status, changed.status = "pending_replace", "pending_new"
            self._tell("pending_replace", account, order)
            self._soon.append(partial(self._put_in_place, account, order, changed, before))
        else:
            self._put_in_place(account, order, changed, before)
        return changed

    def _put_in_place(self, account: PaperAccount, order: Order, changed: Order, status: str) -> None:
        changed.status = status
        if not (order.is_open or order.status == "replaced"):
            self.end(account, changed, "rejected", alone=True)
            return
        changed.filled, changed.paid = order.filled, order.paid
        order.status, order.replaced_at, order.replaced_by = "replaced", self.now, changed.id
        order.updated_at = self.now
        for sibling in changed.siblings:
            sibling.siblings = [changed if one is order else one for one in sibling.siblings]
        for leg in changed.legs:
            leg.parent = changed.id
        self._tell("replaced", account, order)
        self._tell("new", account, changed)

    def close_position(self, account: PaperAccount, symbol: str, shares: float | None, part: float | None) -> Order:
        """Order the close of a position, of `shares` or of `part` (a fraction) of it. Raises Refusal."""
        held = account.shares_of(symbol)
        if not held:
            raise Refusal(404, f"position does not exist: {symbol}", 40410000)
        wanted = abs(held) if shares is None else shares
        wanted *= 1.0 if part is None else part
        side = "sell" if held > 0 else "buy"
        body = {"symbol": symbol, "side": side, "type": "market", "time_in_force": "day", "qty": round(wanted, 9)}
        return self.submit(account, body)

    def due(self) -> int | None:
        """Return the next instant at which a bar opens or closes or something was put down for, None without."""
        opens = [self.bars.opens_at[self._opened]] if self._opened < len(self.bars) else []
        closes = [self.bars.closes_at[self._closed]] if self._closed < self._opened else []
        noted = [self._agenda[0][0]] if self._agenda else []
        return min((int(at) for at in (*opens, *closes, *noted)), default=None)

    def advance(self, to: int, before_open: bool = False) -> None:
        """Let time pass until `to`, nanoseconds since the epoch; where `before_open`, bars that open at `to` itself
        are still to open. Time that has passed stays passed."""
        while (due := self.due()) is not None and due <= to:
            self.now = max(self.now, due)
            self._settle()
            if self._agenda and self._agenda[0][0] == due:
                heappop(self._agenda)[2]()
            # A bar closes before the next one opens at the same instant.
            elif self._closed < self._opened and int(self.bars.closes_at[self._closed]) == due:
                self._close_bar()
            elif before_open and due == to:
                break
            else:
                self._open_bar()
        if to > self.now:
            self.now = to
            self._settle()

    def _settle(self) -> None:
        """Let happen what waited only for time to go on."""
        waiting, self._soon = self._soon, []
        for do in waiting:
            do()

    def _open_bar(self) -> None:
        t, self._opened = self._opened, self._opened + 1
        starts = t == 0 or self.bars.session_of[t] != self.bars.session_of[t - 1]
        for account in list(self.accounts.values()):
            for order in account.open_orders():
                if order.status == "accepted":
                    order.status = "new"
                opens = order.side == "sell" and order.role == "entry" and account.shares_of(order.symbol) <= 0.0
                if starts and opens and self.faults.rule("hard-to-borrow", About(symbol=order.symbol)):
                    self.end(account, order, "canceled")
            self._auction(t, account).open()
            if starts:
                self._expire(account, ("opg",))

    def _close_bar(self) -> None:
        t, self._closed = self._closed, self._closed + 1
        ends, closed = t + 1 == len(self.bars) or self.bars.session_of[t + 1] != self.bars.session_of[t], self.now
        for account in list(self.accounts.values()):
            auction = self._auction(t, account)
            # What fills within a bar does not fill in the next, which may open at the instant this one closes.
            self.now = closed if ends else closed - 1_000_000
            auction.within()
            self.now = closed
            if ends:
                auction.close()
                self._expire(account, ("day", "cls"))
                self._expire(account, ("gtc",))
                account.end_session(int(self.bars.session_of[t]), self.prices, self.now)
        for listen in list(self.bar_listeners):
            listen(t)

    def _auction(self, t: int, account: PaperAccount) -> Auction:
        def fill(order: Order, price: float, plain: float) -> None:
            half = math.floor(order.left / 2)
            parts = half >= 1 and not order.filled and self.faults.strikes(["partial"], self._about(account, order))
            self.fill(account, order, price, half if parts else None, plain)

        def find_halt(symbol: str) -> object:
            return self.faults.rule("halt", About(symbol=symbol))

        return Auction(self.bars, t, account, self.costs, fill, find_halt)

    def fill(
        self,
        account: PaperAccount,
        order: Order,
        price: float,
        shares: float | None = None,
        plain: float | None = None,
    ) -> None:
        """Fill `order` at `price`, all that is left of it or `shares`; then its legs live, and its siblings end or are
        cut to what is left. Commission is on the `plain` price, without slippage."""
        if order.qty is None:
            order.qty = round((order.notional or 0.0) / price, 9)
        part = order.left if shares is None else min(shares, order.left)
        execution = account.book(order, order.sign * part, price, self.now)
        charged = commission_of(self.costs, part, plain or price)
        account.cash -= charged
        order.commission += charged
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
                self._follow(account, order, sibling, whole)

    def _follow(self, account: PaperAccount, order: Order, sibling: Order, whole: bool) -> None:
        """Let `sibling` follow a fill of `order`, with which it shares a position."""
        about = self._about(account, order)
        if not whole:
            if not self.faults.strikes(["stop-uncut"], about):
                sibling.qty, sibling.updated_at = sibling.filled + order.left, self.now
        elif sibling.is_live and self.faults.strikes(["both-legs"], about):
            self.fill_now(account, sibling)
        else:
            self.end(account, sibling, "canceled", alone=True)

    def _expire(self, account: PaperAccount, kinds: tuple[str, ...]) -> None:
        for order in account.open_orders():
            # Legs that wait live and die with their parent; those that protect a position last as they were ordered.
            good = order.time_in_force == "gtc"
            due = order.created_at < self.now and (not good or order.expires_at // DAY <= self.now // DAY)
            if due and order.time_in_force in kinds and order.status != "held":
                self.end(account, order, "canceled" if good else "expired", alone=True)

    def end(self, account: PaperAccount, order: Order, status: str, alone: bool = False) -> None:
        """End an open order: ``canceled``, ``expired``, ``rejected`` or ``done_for_day``; its legs with it, and the
        others of its group unless `alone`."""
        if not order.is_open:
            return
        order.status, order.updated_at = status, self.now
        if status == "expired":
            order.expired_at = self.now
        elif status == "rejected":
            order.failed_at = self.now
        else:
            order.canceled_at = self.now
        self._tell(status, account, order)
        for leg in order.legs:
            if leg.status == "held":
                self.end(account, leg, status, alone=True)
        if not alone and not (order.siblings and self.faults.strikes(["group-left"], self._about(account, order))):
            for other in [*order.siblings, *order.legs, *(o for o in account.open_orders() if o.id == order.parent)]:
                self.end(account, other, status, alone=True)

    def divide(self, split: Split) -> None:
        """Give every account the new shares of a split; what they cost stays, open orders stay as they are."""
        for account in self.accounts.values():
            holding = account.holdings.get(split.symbol)
            if holding is not None:
                holding.shares = round(holding.shares * split.ratio, 9)

    def cut(self, account: PaperAccount | None = None) -> None:
        """Break the streams of an account, or all."""
        for cutter in self.cutters:
            cutter(account)

    def _tell(self, event: str, account: PaperAccount, order: Order, execution: Execution | None = None) -> None:
        self.told += 1
        update = Update(event, account, order, self.now, execution)
        for listen in list(self.listeners):
            listen(update)
