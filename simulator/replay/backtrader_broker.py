"""The reference broker: fill rules of docs/decisions/0001-fill-rules.md on a backtrader broker, one bar at a time.

Written to be read beside that page; the numba kernel is written to be fast. They share sizing and nothing else.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import isnan, nan, trunc

import numpy as np

from simulator.errors import BrokerError
from simulator.market.bars import Bars, Floats
from simulator.replay import ledger
from simulator.replay.backtrader_feed import ArrayFeed, Bar, bt
from simulator.replay.ledger import Ledger
from simulator.trading.execution import SESSIONS_A_YEAR, ExecutionRules
from simulator.trading.model import Book, Order, Rejection
from simulator.trading.sizing import price_or_nan

TOLERANCE = 1 + 1e-12
"""How far a need may exceed free margin before it is cut: rounding is not a reason to trim."""


class ReplayBroker(bt.broker.BrokerBase):  # type: ignore[misc]
    """One account over historical bars; also the `Broker` that decision code is handed.

    It keeps one pending order and one bracket per symbol, not a child order per leg. Cerebro calls `next` once per
    bar, after decisions due at the bar's open were submitted.
    """

    def __init__(
        self,
        bars: Bars,
        clock: ArrayFeed,
        feeds: Sequence[ArrayFeed],
        rules: ExecutionRules,
        cash: float,
        opening_marks: Floats,
    ) -> None:
        super().__init__()
        count = len(bars.symbols)
        self.bars, self.clock, self.feeds, self.rules = bars, clock, feeds, rules
        self.column = {symbol: n for n, symbol in enumerate(bars.symbols)}
        self.slippage_rate = rules.slippage_bps / 1e4
        self.commission_rate = rules.commission_bps / 1e4
        self.session_of = bars.session_of.tolist()
        self.opened_at = bars.opens_at.tolist()

        self.t = -1
        self.cash = self.equity = self.startingcash = float(cash)
        self.held = [0.0] * count
        self.mark = opening_marks.tolist()
        self.opening_marks = opening_marks
        self.stop_price = [nan] * count
        self.take_price = [nan] * count
        self.last_order = [-1] * count
        self.pending: list[Order | None] = [None] * count
        self.margin_call = False
        self.kept_share = 0.0

        self.orders: list[Order] = []
        self.status: list[int] = []
        self.fills: list[tuple[int, int, int, float, float, float, float, int]] = []
        self.refusals: list[tuple[int, int, int, float, float, int]] = []
        self.equity_curve: list[float] = []
        self.cash_curve: list[float] = []
        self.position_rows: list[list[float]] = []

    # What decision code may ask and do.

    def book(self) -> Book:
        """The account at the newest close."""
        names = self.bars.symbols
        positions = {names[n]: held for n, held in enumerate(self.held) if held != 0.0}
        return Book(self.cash, positions, dict(zip(names, self.mark, strict=True)), self.equity)

    @property
    def next_id(self) -> int:
        return len(self.orders)

    def submit(self, orders: Iterable[Order], refused: Iterable[Rejection] = ()) -> None:
        """Take the orders of one decision; during a margin call refuse them."""
        for rejection in refused:
            why = ledger.REJECTION_WHYS.index(rejection.why)
            row = (rejection.order_id, self._column(rejection.symbol), rejection.at, rejection.wanted, rejection.got)
            self.refusals.append((*row, why))
        for order in orders:
            n = self._column(order.symbol)
            if order.id != len(self.orders):
                raise BrokerError(f"order {order.id} on {order.symbol} came where {len(self.orders)} was next")
            self.orders.append(order)
            self.status.append(ledger.OPEN)
            if self.margin_call:
                wanted = order.quantity if order.quantity is not None else _dollars(order) / self.mark[n]
                self.status[order.id] = ledger.REJECTED
                self.refusals.append((order.id, n, order.submitted_at, wanted, 0.0, ledger.IN_MARGIN_CALL))
            else:
                self._cancel(n)
                self.pending[n] = order

    def cancel(self, symbols: Iterable[str]) -> None:
        """Withdraw the pending orders of `symbols`."""
        for symbol in symbols:
            if symbol in self.column:
                self._cancel(self.column[symbol])

    def protect(self, symbol: str, stop: float | None, take_profit: float | None) -> None:
        """Replace the bracket of a position held now."""
        n = self._column(symbol)
        if self.held[n] != 0.0:
            self.stop_price[n], self.take_price[n] = price_or_nan(stop), price_or_nan(take_profit)

    # What Cerebro asks.

    def getcash(self) -> float:
        return self.cash

    def getvalue(self, datas: object = None) -> float:  # noqa: ARG002
        return self.equity

    def getposition(self, data: ArrayFeed) -> bt.Position:
        n = self.column[data._name]
        return bt.Position(self.held[n], self.mark[n])

    def get_notification(self) -> None:
        return None

    def next(self) -> None:
        """One bar: sections B to F."""
        self.t += 1
        now = self.clock.now()
        fresh = [(n, bar) for n, feed in enumerate(self.feeds) if (bar := feed.bar(now)) is not None]
        self._accrue(fresh)
        for n, bar in fresh:
            self.mark[n] = bar[0]
        self._open_auction(fresh)
        free_after_open = self._free_margin()
        self._protection(fresh)
        self._limits_within(fresh, min(free_after_open, self._free_margin()))
        self._close(fresh)

    # The rules, in order.

    def _accrue(self, fresh: Sequence[tuple[int, Bar]]) -> None:
        new_session = self.t > 0 and self.session_of[self.t] != self.session_of[self.t - 1]
        year = 1.0 / SESSIONS_A_YEAR if new_session else 0.0
        self.cash += max(self.cash, 0.0) * self.rules.cash_interest * year
        for n, held in enumerate(self.held):
            if held < 0.0:
                self.cash -= abs(held) * self.mark[n] * self.rules.borrow_rate * year
        for n, (_, _, _, _, dividend) in fresh:
            if self.held[n] != 0.0 and not isnan(dividend):
                self.cash += self.held[n] * dividend

    def _open_auction(self, fresh: Sequence[tuple[int, Bar]]) -> None:
        if self.margin_call:
            self._reduce_all(fresh)
            return  # a margin call has cancelled every order, and refused those that came since
        auction = []
        for n, bar in fresh:
            order = self.pending[n]
            if order is None or not _marketable(order, bar[0]):
                continue
            shares = self._shares(order, bar[0])
            reducing = self._reducing_part(n, shares)
            if reducing != 0.0:
                self._fill(n, order, reducing, bar[0], self._slippage(order, reducing, bar[0]), ledger.AT_OPEN)
            auction.append((n, order, shares, reducing, shares - reducing, bar[0]))
        got, reason = self._share_out([(n, order, part, price) for n, order, _, _, part, price in auction])
        for (n, order, shares, reducing, part, price), increasing in zip(auction, got, strict=True):
            if increasing != 0.0:
                self._fill(n, order, increasing, price, self._slippage(order, increasing, price), ledger.AT_OPEN)
            why = reason if reason == ledger.PRO_RATA else ledger.BUYING_POWER
            self._done(n, order, shares, shares if increasing == part else reducing + increasing, why)

    def _reduce_all(self, fresh: Sequence[tuple[int, Bar]]) -> None:
        self.margin_call = False
        for n, bar in fresh:
            if self.held[n] != 0.0:
                kept = self._whole(self.held[n] * self.kept_share)
                change = kept - self.held[n]
                if change != 0.0:
                    slippage = abs(change) * bar[0] * self.slippage_rate
                    self._fill(n, None, change, bar[0], slippage, ledger.MARGIN_CALL)

    def _share_out(self, parts: Sequence[tuple[int, Order, float, float]]) -> tuple[list[float], int]:
        """Shares each increasing part gets, and the code PRO_RATA if they had to share."""
        free = self._free_margin()
        shares = []
        for _, order, part, price in parts:
            gross = self._gross(order, part, price)
            commission = self._commission(part, price)
            cut = gross + commission > free * TOLERANCE and part != 0.0
            shares.append(part * (max(0.0, free - commission) / gross) if cut else part)
        gross_each = [self._gross(o, s, price) for (_, o, _, price), s in zip(parts, shares, strict=True)]
        commission_each = [self._commission(s, price) for (_, _, _, price), s in zip(parts, shares, strict=True)]
        total = gross_all = commission_all = 0.0
        for gross, commission in zip(gross_each, commission_each, strict=True):
            total += gross + commission
            gross_all += gross
            commission_all += commission
        together = total > free * TOLERANCE and gross_all > 0.0
        if together:
            scale = max(0.0, free - commission_all) / gross_all
            shares = [s * scale for s in shares]
        got = [self._after_cut(part, s, price) for (_, _, part, price), s in zip(parts, shares, strict=True)]
        return got, ledger.PRO_RATA if together else ledger.BUYING_POWER

    def _protection(self, fresh: Sequence[tuple[int, Bar]]) -> None:
        for n, bar in fresh:
            held, stop, take = self.held[n], self.stop_price[n], self.take_price[n]
            if held == 0.0:
                continue
            exit_at = _exit(held, stop, take, bar)
            if exit_at is None:
                continue
            price, why = exit_at
            slippage = abs(held) * price * self.slippage_rate
            if why == ledger.TAKE_PROFIT:
                slippage = min(slippage, abs(held) * abs(price - take))
            self._fill(n, None, -held, price, slippage, why)
            self._cancel(n)

    def _limits_within(self, fresh: Sequence[tuple[int, Bar]], free: float) -> None:
        reached = []
        for n, bar in fresh:
            order = self.pending[n]
            if order is not None and order.limit is not None and _reached(order, bar):
                reached.append((n, order, order.limit, _quantity(order)))
        adding = [r for r in reached if self._reducing_part(r[0], r[3]) == 0.0]
        others = [r for r in reached if self._reducing_part(r[0], r[3]) != 0.0]
        for n, order, price, shares in adding:
            got = self._alone(shares, price, free)
            if got != 0.0:
                self._fill(n, order, got, price, 0.0, ledger.AT_LIMIT)
                free -= self._margin(got) * abs(got) * price + self._commission(got, price)
            self._done(n, order, shares, got, ledger.BUYING_POWER)
        for n, order, price, shares in others:
            reducing = self._reducing_part(n, shares)
            self._fill(n, order, reducing, price, 0.0, ledger.AT_LIMIT)
            part = shares - reducing
            got = self._alone(part, price, self._free_margin()) if part != 0.0 else 0.0
            if got != 0.0:
                self._fill(n, order, got, price, 0.0, ledger.AT_LIMIT)
            self._done(n, order, shares, shares if got == part else reducing + got, ledger.BUYING_POWER)

    def _close(self, fresh: Sequence[tuple[int, Bar]]) -> None:
        for n, bar in fresh:
            self.mark[n] = bar[3]
        self.equity = self._worth()
        rules = self.rules
        maintenance = initial = 0.0
        for n, held in enumerate(self.held):
            maintenance += (
                (rules.maintenance_long if held > 0.0 else rules.maintenance_short) * abs(held) * self.mark[n]
            )
            initial += self._margin(held) * abs(held) * self.mark[n]
        if any(held != 0.0 for held in self.held) and self.equity < maintenance:
            self.margin_call = True
            self.kept_share = min(1.0, max(0.0, self.equity / initial))
            for n in range(len(self.held)):
                self._cancel(n)
        self.equity_curve.append(self.equity)
        self.cash_curve.append(self.cash)
        self.position_rows.append(self.held.copy())

    # Arithmetic.

    def _worth(self) -> float:
        worth = self.cash
        for held, mark in zip(self.held, self.mark, strict=True):
            worth += held * mark
        return worth

    def _free_margin(self) -> float:
        bound = 0.0
        for held, mark in zip(self.held, self.mark, strict=True):
            bound += self._margin(held) * abs(held) * mark
        return self._worth() - bound

    def _margin(self, shares: float) -> float:
        return self.rules.initial_margin_long if shares > 0.0 else self.rules.initial_margin_short

    def _commission(self, shares: float, price: float) -> float:
        if shares == 0.0:
            return 0.0
        by_size = abs(shares) * self.rules.commission_per_share + abs(shares) * price * self.commission_rate
        return max(self.rules.commission_min, by_size)

    def _slippage(self, order: Order, shares: float, price: float) -> float:
        """Of a fill at the open: a limit order never pays beyond its limit."""
        paid = abs(shares) * price * self.slippage_rate
        return paid if order.limit is None else min(paid, abs(shares) * abs(order.limit - price))

    def _gross(self, order: Order, shares: float, price: float) -> float:
        return self._margin(shares) * abs(shares) * price + self._slippage(order, shares, price)

    def _shares(self, order: Order, price: float) -> float:
        if order.notional is not None:
            return order.notional / (price * (1.0 + self.slippage_rate))
        return _quantity(order)

    def _reducing_part(self, n: int, shares: float) -> float:
        held = self.held[n]
        if held * shares >= 0.0:
            return 0.0
        return shares if abs(shares) <= abs(held) else -held

    def _alone(self, shares: float, price: float, free: float) -> float:
        """What one limit order within the bar gets of `free` margin."""
        gross = self._margin(shares) * abs(shares) * price
        commission = self._commission(shares, price)
        if gross + commission <= free * TOLERANCE:
            return shares
        return self._after_cut(shares, shares * (max(0.0, free - commission) / gross), price)

    def _after_cut(self, wanted: float, left: float, price: float) -> float:
        """`left` in whole shares where those are asked for; nothing when it is not worth an order."""
        if left == wanted:
            return wanted
        left = self._whole(left)
        return 0.0 if abs(left) * price < self.rules.min_trade else left

    def _whole(self, shares: float) -> float:
        return float(trunc(shares)) if self.rules.whole_shares else shares

    # Bookkeeping.

    def _fill(self, n: int, order: Order | None, shares: float, price: float, slippage: float, why: int) -> None:
        commission = self._commission(shares, price)
        self.cash -= shares * price
        self.cash -= slippage
        self.cash -= commission
        self.held[n] += shares
        if order is not None:
            self.last_order[n] = order.id
        if self.held[n] == 0.0:
            self.stop_price[n] = self.take_price[n] = nan
        elif order is not None and self.held[n] * shares > 0.0:
            self.stop_price[n], self.take_price[n] = price_or_nan(order.stop), price_or_nan(order.take_profit)
        self.fills.append((self.last_order[n], n, self.opened_at[self.t], shares, price, slippage, commission, why))

    def _done(self, n: int, order: Order, wanted: float, got: float, why: int) -> None:
        self.pending[n] = None
        if got == wanted:
            self.status[order.id] = ledger.FILLED
            return
        self.status[order.id] = ledger.REJECTED if got == 0.0 else ledger.PARTLY_FILLED
        # + 0.0: a sale cut to nothing may be -0.0
        self.refusals.append((order.id, n, self.opened_at[self.t], wanted, got + 0.0, why))

    def _cancel(self, n: int) -> None:
        order = self.pending[n]
        if order is not None:
            self.status[order.id] = ledger.CANCELLED
            self.pending[n] = None

    def _column(self, symbol: str) -> int:
        if symbol not in self.column:
            raise BrokerError(f'no bars for "{symbol}"', mend="give the strategy only symbols that are replayed")
        return self.column[symbol]

    def ledger(self) -> Ledger:
        """The books so far."""
        sent = [
            (
                self.column[o.symbol],
                o.submitted_at,
                price_or_nan(o.quantity),
                price_or_nan(o.notional),
                price_or_nan(o.limit),
                price_or_nan(o.stop),
                price_or_nan(o.take_profit),
                status,
            )
            for o, status in zip(self.orders, self.status, strict=True)
        ]
        return Ledger(
            bars=self.bars,
            equity=np.array(self.equity_curve),
            cash=np.array(self.cash_curve),
            positions=np.array(self.position_rows).reshape(len(self.equity_curve), len(self.held)),
            order_rows=np.array(sent, dtype=ledger.ORDER_COLUMNS),
            fill_rows=np.array(self.fills, dtype=ledger.FILL_COLUMNS),
            rejection_rows=np.array(self.refusals, dtype=ledger.REJECTION_COLUMNS),
            opening_marks=self.opening_marks,
        )


def _quantity(order: Order) -> float:
    if order.quantity is None:
        raise BrokerError(
            f"order {order.id} on {order.symbol} has no quantity", mend="only market buys may be in dollars"
        )
    return order.quantity


def _dollars(order: Order) -> float:
    if order.notional is None:
        raise BrokerError(f"order {order.id} on {order.symbol} has neither quantity nor notional")
    return order.notional


def _marketable(order: Order, opened: float) -> bool:
    if order.limit is None:
        return True
    return opened <= order.limit if _quantity(order) > 0.0 else opened >= order.limit


def _reached(order: Order, bar: Bar) -> bool:
    if order.limit is None:
        return False
    _, high, low, _, _ = bar
    return low <= order.limit if _quantity(order) > 0.0 else high >= order.limit


def _exit(held: float, stop: float, take: float, bar: Bar) -> tuple[float, int] | None:
    """Price and reason at which a bracket closes a position within `bar`; NaN legs never do."""
    opened, high, low, _, _ = bar
    if held > 0.0:
        stopped, taken = opened <= stop, opened >= take
        stop_touched, take_touched = low <= stop, high >= take
    else:
        stopped, taken = opened >= stop, opened <= take
        stop_touched, take_touched = high >= stop, low <= take
    if stopped:
        return opened, ledger.STOP
    if taken:
        return opened, ledger.TAKE_PROFIT
    if stop_touched:
        return stop, ledger.STOP
    if take_touched:
        return take, ledger.TAKE_PROFIT
    return None
