"""The fill rules of docs/decisions/0001-fill-rules.md, one account and one bar at a time, in plain Python.

    submit, cancel, protect ──► Account ──► on_bar: accruals (B), open auction (C), protection (D),
                                   ▲        limit orders within the bar (E), close with interest (F) ──► Events
                                   └─────── changed in place ──┘

Written to be read beside that page; the numba kernel computes the same numbers by other means and audits these. The two
agree to the last bit, so the order of every sum and product here is part of the rules: symbol by symbol in the order of
`Account.positions`, products from left to right as written.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import isnan, nan, trunc
from typing import Literal, get_args

from simulator.errors import BrokerError
from simulator.trading.execution import SESSIONS_A_YEAR, ExecutionRules
from simulator.trading.model import Book, BrokerFill, Fill, Order, OrderStatus, Rejection
from simulator.trading.parts import Parts, next_price, part_shares
from simulator.trading.sizes import APART

FillWhy = Literal["open", "limit", "stop", "take_profit", "margin_call"]
RejectionWhy = Literal[
    "no price yet",
    "margin call",
    "buying power",
    "buying power, pro rata",
    "less than one share",
    "too small",
    "stop or take-profit",
    "no short sale",
]

STATUSES: tuple[OrderStatus, ...] = get_args(OrderStatus)
FILL_WHYS: tuple[str, ...] = get_args(FillWhy)
REJECTION_WHYS: tuple[str, ...] = get_args(RejectionWhy)
"""Positions in these three are the codes that stand in a ledger's rows."""

TOLERANCE = 1 + 1e-12
"""How far a need may exceed free margin before it is cut: rounding is not a reason to trim."""

LEAST_SHARES = 5e-10
"""Shares below which nothing is held: brokers count to nine decimals, and sums of them round."""

Bar = tuple[float, float, float, float, float]
"""open, high, low, close: positive and finite; dividend going ex at the open: dollars a share, NaN or 0 for none."""


@dataclass(slots=True)
class Position:
    """One symbol of an account: signed shares, last known price, bracket, pending order, the order that filled last.

    A mark of 0.0 means no price yet, a NaN bracket price none, an order of -1 none. `exits` are the parts that leave
    before the rest does at `take_profit`.
    """

    symbol: str
    mark: float = 0.0
    shares: float = 0.0
    stop: float = nan
    take_profit: float = nan
    pending: Order | None = None
    last_order: int = -1
    exits: Parts = ()

    def protect(self, stop: float | None, take_profit: float | None, exits: Parts) -> None:
        """Take a bracket in the place of the one before."""
        self.stop, self.take_profit, self.exits = price_or_nan(stop), price_or_nan(take_profit), exits


@dataclass
class Account:
    """One account between two bars. The functions of this module change it in place; nothing else should.

    Attributes
    ----------
    cash, equity : dollars; `equity` as of the newest close
    carried : dollars that interest is booked on at the next session's close: the cash at the one before, without what
        short sales brought in where that earns nothing
    positions : {symbol: Position} of every symbol that may be traded, in the order they are computed in
    margin_call : True while a call stands: positions are cut to `kept_share` at the next open, new orders refused
    """

    cash: float
    equity: float
    carried: float
    positions: dict[str, Position]
    margin_call: bool = False
    kept_share: float = 0.0

    @classmethod
    def open(cls, cash: float, marks: dict[str, float]) -> Account:
        """Return an account with nothing but `cash`; `marks` are the last prices before the first bar, 0.0 for none."""
        dollars = float(cash)
        return cls(dollars, dollars, dollars, {symbol: Position(symbol, mark) for symbol, mark in marks.items()})

    def position(self, symbol: str) -> Position:
        """Return the position in `symbol`. Raises BrokerError for a symbol that is not traded here."""
        if symbol not in self.positions:
            raise BrokerError(f'no bars for "{symbol}"', mend="give the strategy only symbols that are replayed")
        return self.positions[symbol]

    def book(self) -> Book:
        """Return the account as of the newest close."""
        positions = {symbol: p.shares for symbol, p in self.positions.items() if p.shares != 0.0}
        return Book(self.cash, positions, {symbol: p.mark for symbol, p in self.positions.items()}, self.equity)


@dataclass(slots=True)
class Events:
    """Events of one bar or one instruction, in order: executions, refusals or cuts, and orders no longer pending.

    `at` is the opening instant of the bar in nanoseconds since the epoch; `ended` holds (order, status).
    """

    at: int
    fills: list[Fill] = field(default_factory=list)
    rejections: list[Rejection] = field(default_factory=list)
    ended: list[tuple[Order, OrderStatus]] = field(default_factory=list)


def submit(account: Account, order: Order) -> Events:
    """Make `order` the pending one of its symbol, in place of an earlier one; refuse it while a margin call stands.

    It fills no earlier than the next bar given to `on_bar`. Raises BrokerError for a symbol that is not traded here.
    """
    position, events = account.position(order.symbol), Events(order.submitted_at)
    if account.margin_call:
        wanted = _shares(order, position.mark, 0.0)
        events.rejections.append(Rejection(order.id, order.symbol, events.at, wanted, 0.0, "margin call"))
        events.ended.append((order, "rejected"))
    else:
        _withdraw(position, events)
        position.pending = order
    return events


def cancel(account: Account, symbol: str) -> Events:
    """Withdraw the pending order of `symbol`; nothing happens where there is none."""
    events = Events(0)
    if symbol in account.positions:
        _withdraw(account.positions[symbol], events)
    return events


def protect(account: Account, symbol: str, stop: float | None, take_profit: float | None, exits: Parts = ()) -> None:
    """Replace the bracket of a position that is held; None removes a leg. Nothing happens where nothing is held."""
    position = account.position(symbol)
    if position.shares != 0.0:
        position.protect(stop, take_profit, exits)


def on_bar(
    account: Account,
    bars: Sequence[Bar | None],
    at: int,
    year: float,
    rules: ExecutionRules,
    session_return: float | None = None,
) -> Events:
    """Carry `account` through one bar, sections B to F, and return what happened.

    Symbols may also come one at a time, the others None: then each is an auction of its own, and `year` counts once.

    Parameters
    ----------
    bars : one for each of ``account.positions``; None where a symbol has none, or a damaged one
    at : the opening instant, nanoseconds since the epoch; fills and cuts carry it
    year : part of a year that borrow accrues for: 1/252 on the first bar of a session, else 0
    session_return : the cash instrument's return over the session that ends with this bar; None where it goes on
    """
    fresh = [(p, bar) for p, bar in zip(account.positions.values(), bars, strict=True) if bar is not None]
    step = _BarStep(account, rules, fresh, Events(at))
    _accrue(step, year)
    for position, bar in fresh:
        position.mark = bar[0]
    if account.margin_call:
        _sell_down(step)
    else:
        _open_auction(step)
    # Taken before protection: what stops and targets bring in within the bar is not spent in it (see E).
    waiting = any(position.pending is not None for position, _ in fresh)
    free_after_open = _free_margin(step) if waiting else 0.0
    _close_protected(step)
    if waiting:
        _fill_limits(step, free_after_open)
    _close(step, session_return)
    return step.events


def book_bar(
    account: Account,
    bars: Sequence[Bar | None],
    at: int,
    year: float,
    rules: ExecutionRules,
    session_return: float | None,
    executions: Sequence[BrokerFill],
) -> None:
    """Carry `account` through one bar in which a broker filled: `executions` stand in the place of sections C to E.

    All else is as in :func:`on_bar`, whose parameters these are.
    """
    fresh = [(p, bar) for p, bar in zip(account.positions.values(), bars, strict=True) if bar is not None]
    step = _BarStep(account, rules, fresh, Events(at))
    _accrue(step, year)
    for execution in executions:
        book_execution(account, execution)
    _close(step, session_return)
    account.margin_call = False  # the broker's to call


def book_execution(account: Account, execution: BrokerFill) -> None:
    """Add what a broker filled to cash and shares. Raises BrokerError for a symbol that is not traded here."""
    account.cash -= execution.quantity * execution.price
    position = account.position(execution.symbol)
    position.shares += execution.quantity
    if abs(position.shares) < LEAST_SHARES:
        position.shares = 0.0


@dataclass(slots=True)
class _BarStep:
    """One bar of one account while it is computed; `fresh` holds the symbols that have a bar."""

    account: Account
    rules: ExecutionRules
    fresh: Sequence[tuple[Position, Bar]]
    events: Events


def _accrue(step: _BarStep, year: float) -> None:
    account, rules = step.account, step.rules
    for position in account.positions.values():
        if position.shares < 0.0:
            account.cash -= abs(position.shares) * position.mark * rules.borrow_rate * year
    for position, bar in step.fresh:
        if position.shares != 0.0 and not isnan(bar[4]):
            account.cash += position.shares * bar[4]


def _sell_down(step: _BarStep) -> None:
    # No auction: the call has cancelled every order, and orders sent since were refused.
    step.account.margin_call = False
    for position, bar in step.fresh:
        change = _whole(step.rules, position.shares * step.account.kept_share) - position.shares
        if change != 0.0:
            slippage = abs(change) * bar[0] * (step.rules.slippage_bps / 1e4)
            _fill(step, position, None, (change, bar[0], slippage), "margin_call")


def _open_auction(step: _BarStep) -> None:
    """Fill all reducing parts first, for what they free may be spent; then the increasing parts, cut together."""
    rules, auction = step.rules, []
    for position, bar in step.fresh:
        order, price = position.pending, bar[0]
        if order is None or not _reaches(order, price, price):
            continue
        shares = _shares(order, price, rules.slippage_bps / 1e4)
        if order.notional is not None:
            shares = _nine_digits(rules, shares)
        reducing = _reducing_part(position, shares)
        if reducing != 0.0:
            _fill(step, position, order, (reducing, price, _slippage(rules, order, reducing, price)), "open")
        auction.append((position, order, shares, reducing, shares - reducing, price))
    if not auction:
        return
    asked = [0.0 if rules.alpaca and _stop_passed(p, o, part, price) else part for p, o, _, _, part, price in auction]
    sizes = [(order, size, price) for (_, order, _, _, _, price), size in zip(auction, asked, strict=True)]
    got, why = _share_out(step, sizes)
    for (position, order, shares, reducing, part, price), size, increasing in zip(auction, asked, got, strict=True):
        if increasing != 0.0:
            _fill(step, position, order, (increasing, price, _slippage(rules, order, increasing, price)), "open")
        # Not reducing + increasing where nothing was cut: that sum may differ from `shares` in the last bit.
        ended = shares, shares if increasing == part else reducing + increasing
        _end(step, position, order, ended, why if size == part else "stop or take-profit")


def _stop_passed(position: Position, order: Order, part: float, price: float) -> bool:
    """Return True where `part` would open a position at the market that the open has carried to its stop already."""
    if order.stop is None or order.limit is not None or position.shares != 0.0 or part == 0.0:
        return False
    return (price - order.stop if part > 0.0 else order.stop - price) < APART


def _share_out(step: _BarStep, parts: Sequence[tuple[Order, float, float]]) -> tuple[list[float], RejectionWhy]:
    """Return the shares each increasing (order, part, price) gets, and the reason that cuts are logged with."""
    rules, free = step.rules, _free_margin(step)
    shares = []
    for order, part, price in parts:
        gross, commission = _need(rules, order, part, price)
        # First each by itself: one oversized order must not take the others' share of the scaling below.
        cut = part != 0.0 and gross + commission > free * TOLERANCE
        shares.append(part * (max(0.0, free - commission) / gross) if cut else part)
    total = gross_all = commission_all = 0.0
    for (order, _, price), size in zip(parts, shares, strict=True):
        gross, commission = _need(rules, order, size, price)
        # `total` is a sum of its own, as in the kernel: gross_all + commission_all would round differently.
        total += gross + commission
        gross_all += gross
        commission_all += commission
    together = total > free * TOLERANCE and gross_all > 0.0
    if together:
        scale = max(0.0, free - commission_all) / gross_all
        shares = [size * scale for size in shares]
    got = [_after_cut(step, part, size, price) for (_, part, price), size in zip(parts, shares, strict=True)]
    return got, "buying power, pro rata" if together else "buying power"


def _close_protected(step: _BarStep) -> None:
    """Close what the bar carried to its stop or take-profit.

    The stop counts first: which of the two was touched first is unknown, so the worse is assumed; but profit taken at
    the open was taken before. Every comparison with NaN is false, so a leg that is not there never closes anything.
    """
    for position, (opened, high, low, _, _) in step.fresh:
        if position.shares == 0.0 or not (position.exits or position.stop > 0.0 or position.take_profit > 0.0):
            continue
        before, up, stop = position.shares, 1.0 if position.shares > 0.0 else -1.0, position.stop
        best, worst = (high, low) if up > 0.0 else (low, high)
        if up * opened <= up * stop:
            _leave(step, position, opened, "stop")
        while up * opened >= up * next_price(position.exits, position.take_profit):
            _take_profit(step, position, opened)
        if up * worst <= up * position.stop:
            _leave(step, position, stop, "stop")
        while _passes(step.rules, position, up, best):
            _take_profit(step, position, next_price(position.exits, position.take_profit))
        if position.shares != before:  # also where only a part left: an order of the whole would lead beyond zero
            _withdraw(position, step.events)


def _passes(rules: ExecutionRules, position: Position, up: float, price: float) -> bool:
    """Return True where `price` lies beyond the next profit, which a touch does not take."""
    profit = next_price(position.exits, position.take_profit)
    beyond = _clearance(rules, profit)
    return price >= profit + beyond if up > 0.0 else price <= profit - beyond


def _leave(step: _BarStep, position: Position, price: float, why: FillWhy) -> None:
    slippage = abs(position.shares) * price * (step.rules.slippage_bps / 1e4)
    _fill(step, position, None, (-position.shares, price, slippage), why)


def _take_profit(step: _BarStep, position: Position, price: float) -> None:
    """Close the next part of a position at `price`, and all that is left where no part is left before it."""
    rules, held, profit = step.rules, position.shares, next_price(position.exits, position.take_profit)
    size = abs(held)
    if position.exits:
        size = part_shares(position.exits[0][0], held, rules.whole_shares or rules.alpaca)
        position.exits = position.exits[1:]
    if size != 0.0:
        slippage = min(size * price * (rules.slippage_bps / 1e4), size * abs(price - profit))
        _fill(step, position, None, (-size if held > 0.0 else size, price, slippage), "take_profit")


def _leave_after_entry(step: _BarStep, position: Position, bar: Bar, entry: float) -> None:
    """Close what was entered within `bar`, at the limit `entry`, where the bar closes it.

    On its way from the open to a stop behind the limit the price has passed the limit, so the stop is certain; that the
    take-profit came after the entry is certain only where the close lies beyond it.
    """
    _, high, low, close, _ = bar
    up = 1.0 if position.shares > 0.0 else -1.0
    if up * (low if up > 0.0 else high) <= up * position.stop:
        _leave(step, position, up * min(up * position.stop, up * entry), "stop")
    while _passes(step.rules, position, up, close):
        profit = next_price(position.exits, position.take_profit)
        _take_profit(step, position, up * max(up * profit, up * entry))


def _fill_limits(step: _BarStep, free_after_open: float) -> None:
    """Fill limit orders the bar reaches: those that only increase first, then those that reduce or cross zero.

    What was entered so is closed again where the bar went on to its stop, or closed beyond its take-profit.
    """
    reached, rules, entries = [], step.rules, {}
    for position, (_, high, low, _, _) in step.fresh:
        order = position.pending
        if order is None or order.limit is None:
            continue
        if _reaches(order, low, high, _clearance(rules, order.limit)):
            shares = _quantity(order)
            reached.append((position, order, order.limit, shares, _reducing_part(position, shares)))
    if not reached:
        return
    free = min(free_after_open, _free_margin(step))
    for position, order, price, shares, reducing in reached:
        if reducing == 0.0:
            got = _affordable(step, shares, price, free)
            if got != 0.0:
                _fill(step, position, order, (got, price, 0.0), "limit")
                free -= _margin(rules, got) * abs(got) * price + commission_of(rules, got, price)
                entries[position.symbol] = price
            _end(step, position, order, (shares, got), "buying power")
    for position, order, price, shares, reducing in reached:
        if reducing != 0.0:
            _fill(step, position, order, (reducing, price, 0.0), "limit")
            part = shares - reducing
            got = _affordable(step, part, price, _free_margin(step)) if part != 0.0 else 0.0
            if got != 0.0:
                _fill(step, position, order, (got, price, 0.0), "limit")
                entries[position.symbol] = price
            _end(step, position, order, (shares, shares if got == part else reducing + got), "buying power")
    for position, bar in step.fresh:
        if position.symbol in entries and position.shares != 0.0:
            _leave_after_entry(step, position, bar, entries[position.symbol])


def _close(step: _BarStep, session_return: float | None) -> None:
    account, rules = step.account, step.rules
    for position, bar in step.fresh:
        position.mark = bar[3]
    if session_return is not None:
        _book_interest(account, rules, session_return)
    held = [p for p in account.positions.values() if p.shares != 0.0]
    worth, maintenance, initial = account.cash, 0.0, 0.0
    for position in held:
        shares, mark = position.shares, position.mark
        worth += shares * mark
        maintenance += (rules.maintenance_long if shares > 0.0 else rules.maintenance_short) * abs(shares) * mark
        initial += _margin(rules, shares) * abs(shares) * mark
    account.equity = worth
    if held and worth < maintenance:
        account.margin_call = True
        account.kept_share = min(1.0, max(0.0, worth / initial))
        for position in account.positions.values():
            _withdraw(position, step.events)


def _book_interest(account: Account, rules: ExecutionRules, session_return: float) -> None:
    """Book the session's interest on the cash carried into it: earned, or paid with the spread where it is a debit."""
    rate = session_return if isnan(rules.cash_interest) else rules.cash_interest / SESSIONS_A_YEAR
    if account.carried < 0.0:
        rate += rules.margin_spread / SESSIONS_A_YEAR
    account.cash += account.carried * rate
    account.carried = account.cash
    if not rules.short_proceeds_earn:
        for position in account.positions.values():
            if position.shares < 0.0:
                account.carried -= abs(position.shares) * position.mark


def _free_margin(step: _BarStep) -> float:
    """Return the dollars of equity that no position binds, at the marks of this moment."""
    worth, bound = step.account.cash, 0.0
    for position in step.account.positions.values():
        shares = position.shares
        if shares != 0.0:  # adding 0.0 would leave both sums as they are
            worth += shares * position.mark
            bound += _margin(step.rules, shares) * abs(shares) * position.mark
    # Two sums and one difference: taking each margin from `worth` as it comes would round differently.
    return worth - bound


def _margin(rules: ExecutionRules, shares: float) -> float:
    return rules.initial_margin_long if shares > 0.0 else rules.initial_margin_short


def commission_of(rules: ExecutionRules, shares: float, price: float) -> float:
    if shares == 0.0:
        return 0.0
    by_size = abs(shares) * rules.commission_per_share + abs(shares) * price * (rules.commission_bps / 1e4)
    return max(rules.commission_min, by_size)


def _slippage(rules: ExecutionRules, order: Order, shares: float, price: float) -> float:
    """Return the dollars of slippage at the open, where a limit order never pays beyond its limit."""
    paid = abs(shares) * price * (rules.slippage_bps / 1e4)
    return paid if order.limit is None else min(paid, abs(shares) * abs(order.limit - price))


def _need(rules: ExecutionRules, order: Order, shares: float, price: float) -> tuple[float, float]:
    """Return margin with slippage, and commission, of an increase by `shares` at the open."""
    gross = _margin(rules, shares) * abs(shares) * price + _slippage(rules, order, shares, price)
    return gross, commission_of(rules, shares, price)


def _shares(order: Order, price: float, slippage_rate: float) -> float:
    return _quantity(order) if order.notional is None else order.notional / (price * (1.0 + slippage_rate))


def _quantity(order: Order) -> float:
    if order.quantity is None:
        mend = "give signed shares; only market buys may be in dollars instead"
        raise BrokerError(f"order {order.id} on {order.symbol} has no quantity", mend=mend)
    return order.quantity


def tick_beyond(limit: float) -> float:
    """Return the dollars by which a price goes through `limit`: a cent, or a ten-thousandth of it where that is more.

    Below a dollar always a ten-thousandth. A mere touch fills the front of the queue, and nobody knows who stood there.
    """
    return max(0.01, 1e-4 * limit) if limit >= 1.0 else 1e-4 * limit


def _clearance(rules: ExecutionRules, limit: float) -> float:
    return tick_beyond(limit) if rules.limit_through else 0.0


def _reaches(order: Order, low: float, high: float, beyond: float = 0.0) -> bool:
    if order.limit is None:
        return True
    return low <= order.limit - beyond if _quantity(order) > 0.0 else high >= order.limit + beyond


def _reducing_part(position: Position, shares: float) -> float:
    """Return how much of `shares` leads toward zero."""
    if position.shares * shares >= 0.0:
        return 0.0
    return shares if abs(shares) <= abs(position.shares) else -position.shares


def _affordable(step: _BarStep, shares: float, price: float, free: float) -> float:
    """Return what one limit order within the bar gets of `free` margin."""
    rules = step.rules
    gross = _margin(rules, shares) * abs(shares) * price
    commission = commission_of(rules, shares, price)
    if gross + commission <= free * TOLERANCE:
        return shares
    return _after_cut(step, shares, shares * (max(0.0, free - commission) / gross), price)


def _after_cut(step: _BarStep, wanted: float, left: float, price: float) -> float:
    """Return `left` in whole shares where those are asked for, and 0.0 when it is not worth an order."""
    if left == wanted:  # not cut: an order that sizing allowed is not dropped for its size here
        return wanted
    left = _whole(step.rules, left)
    return 0.0 if abs(left) * price < step.rules.least_worth(step.account.equity) else left


def _whole(rules: ExecutionRules, shares: float) -> float:
    return float(trunc(shares)) if rules.whole_shares or rules.alpaca else shares


def _nine_digits(rules: ExecutionRules, shares: float) -> float:
    """Return `shares` to nine decimals where orders are Alpaca's: sums of them would not come to nothing else."""
    return round(shares * 1e9) / 1e9 if rules.alpaca else shares


def _fill(
    step: _BarStep, position: Position, order: Order | None, trade: tuple[float, float, float], why: FillWhy
) -> None:
    """Book `trade` = (shares, price, slippage); `order` is None for exits and margin calls."""
    shares, price, slippage = trade
    account, commission = step.account, commission_of(step.rules, shares, price)
    # One after the other: taking their sum away would round differently.
    account.cash -= shares * price
    account.cash -= slippage
    account.cash -= commission
    position.shares = _nine_digits(step.rules, position.shares + shares)
    if order is not None:
        position.last_order = order.id
    if position.shares == 0.0:
        position.protect(None, None, ())
    elif order is not None and position.shares * shares > 0.0:
        position.protect(order.stop, order.take_profit, order.exits)
    at, symbol = step.events.at, position.symbol
    step.events.fills.append(Fill(position.last_order, symbol, at, shares, price, slippage, commission, why))


def _end(step: _BarStep, position: Position, order: Order, shares: tuple[float, float], why: RejectionWhy) -> None:
    """Close the pending `order` that `shares` = (wanted, got) came of."""
    wanted, got = shares
    position.pending = None
    if got == wanted:
        step.events.ended.append((order, "filled"))
        return
    step.events.ended.append((order, "rejected" if got == 0.0 else "partly_filled"))
    # + 0.0: a sale cut to nothing may be -0.0
    step.events.rejections.append(Rejection(order.id, order.symbol, step.events.at, wanted, got + 0.0, why))


def _withdraw(position: Position, events: Events) -> None:
    if position.pending is not None:
        events.ended.append((position.pending, "cancelled"))
        position.pending = None


def price_or_nan(price: float | None) -> float:
    """Return None as NaN, the sign for "none" in arrays."""
    return nan if price is None else float(price)


def price_or_none(price: float) -> float | None:
    """Return NaN as None: the inverse of :func:`price_or_nan`."""
    return None if isnan(price) else price
