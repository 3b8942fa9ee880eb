"""Own books of a forward account: what its broker filled, and what a paper account does not book.

fills, bars ──► cash, shares by replay's rules (interest, dividends, borrow) ──► Book at the last closes
                        └── less the broker's own cash: one reconciling line
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from simulator.market.bars import Bars
from simulator.trading.execution import SESSIONS_A_YEAR, ExecutionRules
from simulator.trading.fills import Account, book_bar, book_execution, price_or_none
from simulator.trading.model import Book, BrokerFill, OrderReport


@dataclass(frozen=True)
class Books:
    """Books that an account began with: `cash` dollars, nothing held, and the last closes before its first bar."""

    cash: float
    opening_marks: dict[str, float]
    rules: ExecutionRules

    def at(self, bars: Bars, fills: Sequence[BrokerFill], open_orders: Sequence[OrderReport] = ()) -> Book:
        """Return the account after `bars` (T, N), those of the run that have closed, and all `fills`, oldest first.

        Marks are the last closes; fills since the last bar count in cash and shares.
        """
        *_, account = self.by_bar(bars, fills)
        book = account.book()
        equity = book.cash + sum(shares * book.marks[symbol] for symbol, shares in book.positions.items())
        return Book(book.cash, book.positions, book.marks, equity, tuple(open_orders))

    def by_bar(self, bars: Bars, fills: Sequence[BrokerFill]) -> Iterator[Account]:
        """Yield the same account after each of `bars`, and once more with the fills since."""
        account = Account.opened(self.cash, {symbol: self.opening_marks.get(symbol, 0.0) for symbol in bars.symbols})
        times = [fill.at for fill in fills]
        done = 0
        prices = np.stack([bars.open, bars.high, bars.low, bars.close, np.nan_to_num(bars.dividend)], axis=2)
        for t, row in enumerate(prices.tolist()):
            # A fill belongs to the last bar that had opened; one before the first bar to that.
            following = bars.opens_at[t + 1] if t + 1 < len(bars) else bars.closes_at[t] + 1
            upto = max(done, bisect_left(times, int(following)))
            starts = t == 0 or bars.session_of[t] != bars.session_of[t - 1]
            earned = price_or_none(float(bars.cash_return[t]))
            year = 1 / SESSIONS_A_YEAR if starts else 0.0
            whole = [tuple(bar) if bar[0] == bar[0] else None for bar in row]  # a missing bar is NaN
            book_bar(account, whole, int(bars.opens_at[t]), year, self.rules, earned, fills[done:upto])
            done = upto
            yield account
        for fill in fills[done:]:
            book_execution(account, fill)
        yield account
