"""Own books of a forward account: what its broker filled, and what a paper account does not book.

fills, bars, splits ──► cash, shares by replay's rules (interest, dividends, borrow) ──► Book at the last closes
                              └── less the broker's own cash: one reconciling line
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime, time
from math import prod
from typing import Any, TypeVar

import numpy as np

from simulator.market.bars import Bars, instant
from simulator.market.calendar import NEW_YORK, day_number
from simulator.market.table import PRICES
from simulator.trading.execution import SESSIONS_A_YEAR, ExecutionRules
from simulator.trading.fills import LEAST_SHARES, Account, Bar, book_bar, book_execution, commission_of, price_or_none
from simulator.trading.model import Book, BrokerFill, Fill, OrderReport, Past
from simulator.trading.past import History

MOST_SPLIT = 10_000.0
"""Shares that one becomes, or that become one: more is a broken answer."""
PART_SHARES = 1e-6
"""By how much a part of a share may differ from what the broker paid out."""
AT_OPEN_NS = 60 * 10**9
"""A broker fills what waited for the open within the first minute, not at its first instant."""


@dataclass(frozen=True)
class Split:
    """`ratio` new shares for each old one from the morning of `session` on. Raises ValueError for one that is none."""

    symbol: str
    session: date
    ratio: float

    def __post_init__(self) -> None:
        if not (self.symbol and 1.0 / MOST_SPLIT <= self.ratio <= MOST_SPLIT):
            raise ValueError(f"{self.ratio:g} shares of {self.symbol or 'nothing'} for one")


@dataclass(frozen=True)
class Step:
    """An account after one bar, and the dollars that replay's rules booked in it beside the fills."""

    account: Account
    interest: float = 0.0
    dividends: float = 0.0
    borrow: float = 0.0
    commission: float = 0.0

    def book(self) -> Book:
        """Return the account with its equity as of now, fills since the last close in it."""
        book = self.account.book()
        worth = sum(shares * book.marks[symbol] for symbol, shares in book.positions.items())
        return replace(book, equity=book.cash + worth)


@dataclass(frozen=True)
class Books:
    """Books that an account began with: `cash` dollars, `shares` held, the last closes before its first bar.

    `stopped` is {id of a fill: stop it was to fill at}, as the account's state comes to know them."""

    cash: float
    opening_marks: Mapping[str, float]
    rules: ExecutionRules
    shares: Mapping[str, float] = field(default_factory=dict)
    stopped: Mapping[str, float] = field(default_factory=dict)

    @property
    def equity(self) -> float:
        """Dollars they began with, shares at the last closes."""
        return self.cash + sum(shares * self.opening_marks.get(symbol, 0.0) for symbol, shares in self.shares.items())

    def at(
        self,
        bars: Bars,
        fills: Sequence[BrokerFill],
        open_orders: Sequence[OrderReport] = (),
        splits: Sequence[Split] = (),
        as_of: date | None = None,
    ) -> Book:
        """Return the account after `bars` (T, N), those of the run that have closed, as traded, and all `fills`,
        oldest first.

        Marks are the last closes; fills since the last bar count in cash and shares, `splits` up to the session
        `as_of` in shares and marks.
        """
        *_, last = self.by_bar(bars, fills, splits, as_of)
        return replace(last.book(), open_orders=tuple(open_orders))

    def at_each(
        self, bars: Bars, known: Sequence[tuple[int, Sequence[BrokerFill], date]], splits: Sequence[Split] = ()
    ) -> Iterator[Book]:
        """Yield `at` for each of `known`, (bars that have closed, fills, day), oldest first and each with the fills of
        those before: in one pass over `bars`, but for what came before a fill that was told late."""
        fills = known[-1][1] if known else ()
        foreign, times = any(one.symbol not in bars.symbols for one in fills), [one.at for one in fills]
        steps, t, step = self.by_bar(bars, fills, splits), 0, Step(Account.open(self.cash, {}))
        for count, so_far, day in known:
            while t < count:
                step, t = next(steps), t + 1
            done = bisect_left(times, int(bars.opens_at[t] if t < len(bars) else bars.closes_at[-1] + 1)) if t else 0
            if foreign or not count or t != count or list(fills[:done]) != list(so_far[:done]):
                yield self.at(bars.rows(0, count), so_far, (), splits, day)
                continue
            account = replace(step.account, positions={s: replace(one) for s, one in step.account.positions.items()})
            last, number = int(bars.session_of[count - 1]), day_number(day)
            ahead = sorted((on, one.symbol, one.ratio) for one in splits if (on := day_number(one.session)) > last)
            _divide(account, ahead, number)
            yield self._book_since(account, bars, so_far[done:]).book()

    def past(
        self,
        bars: Bars,
        fills: Sequence[BrokerFill],
        as_of: datetime,
        splits: Sequence[Split] = (),
        theirs: Mapping[str, float] | None = None,
    ) -> Past:
        """Return what the account has been through by `as_of`, as a replay over `bars` has it: fills since the last of
        them are still to come. What was traded before one of `splits` is told in the shares after it.
        `theirs` are shares at the broker: a part of one that is there no longer was paid out after a split."""
        day = as_of.astimezone(NEW_YORK).date()
        equity = [step.account.equity for step in self.by_bar(bars, fills, splits, day)][: len(bars)]
        marks = self.at(bars, fills, (), splits, day).marks
        rows = [int(np.searchsorted(bars.opens_at, one.at, side="right")) - 1 for one in fills]
        last = int(bars.closes_at[-1]) if len(bars) else 0
        charged = {one.id: self._commission([one], bars, max(row, 0)) for one, row in zip(fills, rows, strict=True)}
        shown, told = adjust_for_splits(bars, splits), in_new_shares(fills, splits)
        done = [
            Fill(
                -1, one.symbol, int(bars.opens_at[max(row, 0)]), one.quantity, one.price, 0.0, charged[one.id], one.why
            )
            for one, row in zip(told, rows, strict=True)
            if one.at <= last and one.symbol in bars.symbols
        ]
        if paid := [] if theirs is None else [*_paid_out(shown, told, splits, theirs)]:
            done = sorted((*done, *paid), key=lambda one: one.at)
        past = History(shown, self.equity).past(done, equity, marks, as_of)
        return replace(past, splits=ratios_of(splits))

    def by_bar(
        self, bars: Bars, fills: Sequence[BrokerFill], splits: Sequence[Split] = (), as_of: date | None = None
    ) -> Iterator[Step]:
        """Yield the same account after each of `bars`, and once more with the fills since."""
        foreign = {fill.symbol: fill.price for fill in fills if fill.symbol not in bars.symbols}
        foreign |= dict.fromkeys(set(self.shares) - set(bars.symbols) - set(foreign), 0.0)
        marks = {symbol: self.opening_marks.get(symbol, 0.0) for symbol in bars.symbols}
        account = Account.open(self.cash, {**marks, **foreign})
        for symbol, shares in self.shares.items():
            account.positions[symbol].shares = shares
        ahead = sorted((day_number(one.session), one.symbol, one.ratio) for one in splits)
        times = [fill.at for fill in fills]
        done = 0
        prices = np.stack([bars.open, bars.high, bars.low, bars.close, np.nan_to_num(bars.dividend)], axis=2)
        for t, row in enumerate(prices.tolist()):
            # A fill belongs to the last bar that had opened; one before the first bar to that.
            following = bars.opens_at[t + 1] if t + 1 < len(bars) else bars.closes_at[t] + 1
            upto = max(done, bisect_left(times, int(following)))
            starts = t == 0 or bars.session_of[t] != bars.session_of[t - 1]
            _divide(account, ahead, int(bars.session_of[t]))
            whole: list[Bar | None] = [tuple(bar) if bar[0] == bar[0] else None for bar in row]  # missing is NaN
            yield self._book(account, bars, t, [*whole, *[None] * len(foreign)], starts, fills[done:upto])
            done = upto
        if as_of is not None:
            _divide(account, ahead, day_number(as_of))
        yield self._book_since(account, bars, fills[done:])

    def _book_since(self, account: Account, bars: Bars, fills: Sequence[BrokerFill]) -> Step:
        """Book what has filled since the last bar."""
        for fill in fills:
            book_execution(account, fill)
        charged = self._commission(fills, bars, len(bars))
        account.cash -= charged
        return Step(account, commission=-charged)

    def _book(
        self, account: Account, bars: Bars, t: int, row: list[Bar | None], starts: bool, fills: Sequence[BrokerFill]
    ) -> Step:
        year = 1 / SESSIONS_A_YEAR if starts else 0.0
        held = [(one, bar) for one, bar in zip(account.positions.values(), row, strict=True) if one.shares]
        borrow = -sum(abs(one.shares) * one.mark * self.rules.borrow_rate * year for one, _ in held if one.shares < 0.0)
        dividends = sum(one.shares * bar[4] for one, bar in held if bar is not None)
        charged = self._commission(fills, bars, t)
        account.cash -= charged
        before = account.cash
        book_bar(
            account, row, int(bars.opens_at[t]), year, self.rules, price_or_none(float(bars.cash_return[t])), fills
        )
        paid = sum(fill.quantity * fill.price for fill in fills)
        return Step(account, account.cash - before - borrow - dividends + paid, dividends, borrow, -charged)

    def _commission(self, fills: Sequence[BrokerFill], bars: Bars, t: int) -> float:
        """Return the dollars that replay's rules charge for what filled in bar `t`: parts of an order are one fill."""
        orders: dict[tuple[str, str, bool], tuple[float, float]] = {}
        for one in fills:
            key = one.client_order_id or one.id, one.symbol, one.quantity > 0.0
            shares, value = orders.get(key, (0.0, 0.0))
            price = plain_price(bars, t, one, self.stopped.get(one.id)) or one.price
            orders[key] = shares + one.quantity, value + one.quantity * price
        return sum(commission_of(self.rules, shares, value / shares) for shares, value in orders.values() if shares)


def plain_price(bars: Bars, t: int, fill: BrokerFill, stop: float | None, limited: bool = False) -> float | None:
    """Return the price of `fill` in bar `t` before slippage: the open for what filled as the bar began, the `stop` for
    what that closed; all else fills at its own price. None where no bar tells."""
    if not 0 <= t < len(bars) or fill.symbol not in bars.symbols:
        return None
    opened, late = float(bars.open[t, bars.column(fill.symbol)]), fill.at - int(bars.opens_at[t])
    if late == 0 or (late <= AT_OPEN_NS and stop is None and not limited):
        return None if opened != opened else opened
    return fill.price if stop is None else stop


def _divide(account: Account, ahead: list[tuple[int, str, float]], session: int) -> None:
    """Apply the splits up to the morning of `session`, and strike them off."""
    while ahead and ahead[0][0] <= session:
        _, symbol, ratio = ahead.pop(0)
        position = account.positions.get(symbol)
        if position is not None:
            position.shares = round(position.shares * ratio, 9)
            position.mark /= ratio


def adjust_for_splits(bars: Bars, splits: Sequence[Split]) -> Bars:
    """Return `bars` as if `splits` had always held: what was traded before each in the new shares."""
    if not any(one.symbol in bars.symbols for one in splits):
        return bars
    columns: dict[str, Any] = {name: np.array(getattr(bars, name)) for name in (*PRICES, "volume", "dividend")}
    for one in splits:
        if one.symbol in bars.symbols:
            before, n = bars.session_of < day_number(one.session), bars.column(one.symbol)
            for name, values in columns.items():
                values[before, n] *= one.ratio if name == "volume" else 1.0 / one.ratio
    return replace(bars, **columns)


F = TypeVar("F", Fill, BrokerFill)


def in_new_shares(fills: Sequence[F], splits: Sequence[Split]) -> list[F]:
    """Return `fills` as if `splits` had always held, as `adjust_for_splits` tells their bars."""
    told = list(fills)
    for split in splits:
        morning = instant(datetime.combine(split.session, time(), NEW_YORK))
        told = [
            replace(one, quantity=one.quantity * split.ratio, price=one.price * (1.0 / split.ratio))
            if one.symbol == split.symbol and one.at < morning
            else one
            for one in told
        ]
    return told


def _paid_out(
    bars: Bars, fills: Sequence[BrokerFill], splits: Sequence[Split], theirs: Mapping[str, float]
) -> Iterator[Fill]:
    """Yield sales of the parts of a share that splits left and the broker paid out, at the open of that session: a trip
    ends with its last share. `bars` and `fills` are told in new shares."""
    for split in splits:
        rows = np.flatnonzero(bars.session_of == day_number(split.session))
        if split.symbol not in bars.symbols or not len(rows):
            continue
        at, price = int(bars.opens_at[rows[0]]), float(bars.open[rows[0], bars.column(split.symbol)])
        own = [one for one in fills if one.symbol == split.symbol]
        later = prod(one.ratio for one in splits if one.symbol == split.symbol and one.session > split.session)
        part = sum(one.quantity for one in own if one.at < at) / later % 1.0 * later
        short = sum(one.quantity for one in own) - theirs.get(split.symbol, 0.0) - part
        if part > LEAST_SHARES and abs(short) < PART_SHARES and price == price:
            yield Fill(-1, split.symbol, at, -part, price, 0.0, 0.0, "open")


def ratios_of(splits: Sequence[Split]) -> dict[str, float]:
    """Return {symbol: shares that one from before all `splits` has become}."""
    return {
        symbol: prod(one.ratio for one in splits if one.symbol == symbol) for symbol in {one.symbol for one in splits}
    }
