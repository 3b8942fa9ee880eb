"""The reference broker: `trading.fills` behind the questions that Cerebro asks.

decisions ──submit, cancel, protect──► ReplayBroker ──► trading.fills.Account
Cerebro ──next, once per bar────────►      │       ◄──Events── trading.fills.on_bar
                                           └──► Ledger
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np

from simulator.errors import BrokerError
from simulator.market.bars import Bars, Floats
from simulator.replay import ledger
from simulator.replay.backtrader_feed import ArrayFeed, bt
from simulator.replay.ledger import Ledger
from simulator.trading import fills
from simulator.trading.execution import SESSIONS_A_YEAR, ExecutionRules
from simulator.trading.fills import FILL_WHYS, REJECTION_WHYS, STATUSES, Account, Events, price_or_nan, price_or_none
from simulator.trading.model import Book, Fill, Order, OrderStatus, Past, Rejection
from simulator.trading.parts import Parts
from simulator.trading.past import History


@dataclass(frozen=True)
class Entry:
    """An account in the middle of a run: its state after a bar, the number of orders so far, and that bar's session."""

    account: Account
    orders: int
    session: int


class ReplayBroker(bt.broker.BrokerBase):  # type: ignore[misc]
    """One account over historical bars; also the `Broker` that decision code is handed.

    Cerebro calls `next` once per bar, after the decisions due at the bar's open were submitted.
    """

    def __init__(
        self,
        bars: Bars,
        clock: ArrayFeed,
        feeds: Sequence[ArrayFeed],
        rules: ExecutionRules,
        cash: float,
        opening_marks: Floats,
        entry: Entry | None = None,
    ) -> None:
        super().__init__()
        self.bars, self.clock, self.feeds, self.rules, self.opening_marks = bars, clock, feeds, rules, opening_marks
        opened = Account.open(cash, dict(zip(bars.symbols, opening_marks.tolist(), strict=True)))
        self.account = opened if entry is None else entry.account
        self.first_id = 0 if entry is None else entry.orders
        self.session_before = None if entry is None else entry.session
        self.startingcash = self.account.cash
        self.sessions, self.opens_at = bars.session_of.tolist(), bars.opens_at.tolist()
        self.cash_return = bars.cash_return.tolist()
        self.orders: list[Order] = []
        self.status: list[OrderStatus] = []
        self.earlier: dict[int, OrderStatus] = {}
        self.fills: list[Fill] = []
        self.rejections: list[Rejection] = []
        self.equity: list[float] = []
        self.cash: list[float] = []
        self.positions: list[list[float]] = []
        self.history: History | None = None

    # What decision code may ask and do.

    def book(self) -> Book:
        """Return the account at the newest close."""
        return self.account.book()

    def past(self, as_of: datetime) -> Past:
        """Return what the account has been through by `as_of`."""
        self.history = self.history or History(self.bars, self.startingcash)
        return self.history.past(self.fills, self.equity, self.account.book().marks, as_of)

    @property
    def next_id(self) -> int:
        return self.first_id + len(self.orders)

    def submit(self, orders: Iterable[Order], refused: Iterable[Rejection] = ()) -> None:
        """Take the orders of one decision; during a margin call refuse them."""
        for rejection in refused:
            self.account.position(rejection.symbol)
            self.rejections.append(rejection)
        for order in orders:
            if order.id != self.next_id:
                raise BrokerError(f"order {order.id} on {order.symbol} came where {self.next_id} was next")
            events = fills.submit(self.account, order)
            self.orders.append(order)
            self.status.append("open")
            self._record(events)

    def cancel(self, symbols: Iterable[str]) -> None:
        """Withdraw the pending orders of `symbols`."""
        for symbol in symbols:
            self._record(fills.cancel(self.account, symbol))

    def protect(self, symbol: str, stop: float | None, take_profit: float | None, exits: Parts = ()) -> None:
        """Replace the bracket of a position held now."""
        fills.protect(self.account, symbol, stop, take_profit, exits)

    # What Cerebro asks.

    def getcash(self) -> float:
        return self.account.cash

    def getvalue(self, datas: object = None) -> float:  # noqa: ARG002
        return self.account.equity

    def get_notification(self) -> None:
        return None

    def next(self) -> None:
        """Step the account through the bar that has come."""
        t, now, sessions = len(self.equity), self.clock.now(), self.sessions
        before = sessions[t - 1] if t else self.session_before
        year = 1.0 / SESSIONS_A_YEAR if before is not None and sessions[t] != before else 0.0
        bars = [feed.bar(now) for feed in self.feeds]
        earned = price_or_none(self.cash_return[t])
        self._record(fills.on_bar(self.account, bars, self.opens_at[t], year, self.rules, earned))
        self.equity.append(self.account.equity)
        self.cash.append(self.account.cash)
        self.positions.append([position.shares for position in self.account.positions.values()])

    def _record(self, events: Events) -> None:
        self.fills += events.fills
        self.rejections += events.rejections
        for order, status in events.ended:
            if order.id < self.first_id:
                self.earlier[order.id] = status
            else:
                self.status[order.id - self.first_id] = status

    def ledger(self) -> Ledger:
        """Return the books so far."""
        column = {symbol: n for n, symbol in enumerate(self.bars.symbols)}
        orders = [
            (
                column[o.symbol],
                o.submitted_at,
                *map(price_or_nan, (o.quantity, o.notional, o.limit, o.stop, o.take_profit)),
                STATUSES.index(status),
            )
            for o, status in zip(self.orders, self.status, strict=True)
        ]
        filled = [
            (f.order_id, column[f.symbol], f.at, f.quantity, f.price, f.slippage, f.commission, FILL_WHYS.index(f.why))
            for f in self.fills
        ]
        rejected = [
            (r.order_id, column[r.symbol], r.at, r.wanted, r.got, REJECTION_WHYS.index(r.why)) for r in self.rejections
        ]
        return Ledger(
            bars=self.bars,
            equity=np.array(self.equity),
            cash=np.array(self.cash),
            positions=np.array(self.positions).reshape(len(self.equity), len(column)),
            order_rows=np.array(orders, dtype=ledger.ORDER_COLUMNS),
            fill_rows=np.array(filled, dtype=ledger.FILL_COLUMNS),
            rejection_rows=np.array(rejected, dtype=ledger.REJECTION_COLUMNS),
            opening_marks=self.opening_marks,
        )
