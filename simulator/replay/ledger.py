"""The books of one replay: holdings and equity at every close, and every order, fill and refusal on the way.

Both engines write the same columns, so two ledgers are compared array by array (:mod:`simulator.replay.audit`).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, get_type_hints
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from simulator.market.bars import Bars, Floats
from simulator.trading.fills import FILL_WHYS, REJECTION_WHYS, STATUSES, price_or_none
from simulator.trading.model import Fill, OrderRecord, Rejection

OPEN, FILLED, PARTLY_FILLED, CANCELLED, REJECTED = range(5)
AT_OPEN, AT_LIMIT, STOP, TAKE_PROFIT, MARGIN_CALL = range(5)
NO_PRICE_REASON, IN_MARGIN_CALL, BUYING_POWER, PRO_RATA, NO_SHARE_REASON, TOO_SMALL_REASON = range(6)
EXITS_REASON, NO_SHORT_REASON = range(6, 8)


class OrderRow:
    """An order as a row of numbers: `symbol` is the column in `Bars.symbols`, NaN is none, `status` a code."""

    symbol: int
    submitted_at: int
    quantity: float
    notional: float
    limit: float
    stop: float
    take_profit: float
    status: int


class FillRow:
    """A fill as a row of numbers; `at` in nanoseconds, `why` a code."""

    order_id: int
    symbol: int
    at: int
    quantity: float
    price: float
    slippage: float
    commission: float
    why: int


class RejectionRow:
    """A rejection as a row of numbers; `at` in nanoseconds, `why` a code."""

    order_id: int
    symbol: int
    at: int
    wanted: float
    got: float
    why: int


def record(fields: type) -> np.dtype[np.void]:
    """Return the dtype with the fields that `fields` annotates as float, int or bool, eight bytes each.

    Its rows are `np.record`, so that fields are attributes also where numba is switched off.
    """
    kinds = {float: np.float64, int: np.int64, bool: np.int64}
    columns = np.dtype([(name, kinds[kind]) for name, kind in get_type_hints(fields).items()], align=True)
    return np.dtype((np.record, columns))


ORDER_COLUMNS, FILL_COLUMNS, REJECTION_COLUMNS = record(OrderRow), record(FillRow), record(RejectionRow)


@dataclass(frozen=True, eq=False)
class Ledger:
    """The books of one account over T bars of N symbols.

    Attributes
    ----------
    bars : what was traded
    equity, cash : (T,) dollars at each close
    positions : (T, N) signed shares at each close
    order_rows, fill_rows, rejection_rows : record arrays in order of time; the properties without ``_rows`` give values
    opening_marks : (N,) last price of each symbol before the first bar, 0 where it has none
    """

    bars: Bars
    equity: Floats
    cash: Floats
    positions: Floats
    order_rows: NDArray[np.void]
    fill_rows: NDArray[np.void]
    rejection_rows: NDArray[np.void]
    opening_marks: Floats

    @cached_property
    def orders(self) -> tuple[OrderRecord, ...]:
        """Every order in order of id."""
        return tuple(self._order(number, row) for number, row in enumerate(self.order_rows.tolist()))

    def order(self, number: int) -> OrderRecord:
        """Return one order."""
        return self._order(number, self.order_rows[number].item())

    def _order(self, number: int, row: tuple[Any, ...]) -> OrderRecord:
        n, submitted_at, quantity, notional, limit, stop, take_profit, status = row
        return OrderRecord(
            id=number,
            symbol=self.bars.symbols[n],
            submitted_at=submitted_at,
            quantity=price_or_none(quantity),
            notional=price_or_none(notional),
            kind="market" if np.isnan(limit) else "limit",
            limit=price_or_none(limit),
            stop=price_or_none(stop),
            take_profit=price_or_none(take_profit),
            status=STATUSES[status],
        )

    @cached_property
    def fills(self) -> tuple[Fill, ...]:
        """Every execution in order of time."""
        names = self.bars.symbols
        return tuple(
            Fill(order_id, names[n], at, quantity, price, slippage, commission, FILL_WHYS[why])
            for order_id, n, at, quantity, price, slippage, commission, why in self.fill_rows.tolist()
        )

    @cached_property
    def rejections(self) -> tuple[Rejection, ...]:
        """Every order, or part of one, that was not carried out, in order of time."""
        names = self.bars.symbols
        return tuple(
            Rejection(order_id, names[n], at, wanted, got, REJECTION_WHYS[why])
            for order_id, n, at, wanted, got, why in self.rejection_rows.tolist()
        )

    @cached_property
    def marks(self) -> Floats:
        """(T, N) the price each position is valued at: the newest close, 0 before the first."""
        return newest_marks(self.bars, self.opening_marks)

    @property
    def weights(self) -> Floats:
        """(T, N) signed fraction of equity at each close; 0 where flat and where no equity is left."""
        return self.weights_at(slice(None))

    def weights_at(self, rows: slice | NDArray[np.intp]) -> Floats:
        """Return :attr:`weights` at the closes of the bars `rows`, such as the ends of sessions."""
        equity, positions = self.equity[rows], self.positions[rows]
        worth = np.where(equity > 0, equity, np.inf)[:, None]
        return np.where(positions != 0, positions * self.marks[rows] / worth, 0.0)

    @property
    def gross(self) -> Floats:
        """(T,) sum of |weights|."""
        return np.asarray(np.abs(self.weights).sum(axis=1))

    @property
    def net(self) -> Floats:
        """(T,) sum of weights."""
        return np.asarray(self.weights.sum(axis=1))


_TRADABLE: WeakKeyDictionary[Bars, NDArray[np.bool_]] = WeakKeyDictionary()


def tradable(bars: Bars) -> NDArray[np.bool_]:
    """Return (T, N), read-only: True where open, high, low and close are all positive finite numbers.

    Stricter than `Bars.fresh`, so that not even a damaged bar brings NaN, zero or infinite prices into the books.
    Bars never change, so it is worked out once for each.
    """
    if bars not in _TRADABLE:
        kept = np.ones(bars.close.shape, dtype=bool)
        for prices in (bars.open, bars.high, bars.low, bars.close):
            kept &= (prices > 0) & (prices < np.inf)
        kept.flags.writeable = False
        _TRADABLE[bars] = kept
    return _TRADABLE[bars]


def newest_marks(bars: Bars, opening_marks: Floats) -> Floats:
    """Return (T, N) the newest close of each symbol, of `opening_marks` (N,) before its first bar."""
    traded = tradable(bars)
    if traded.all():
        return bars.close
    newest = np.maximum.accumulate(np.where(traded, np.arange(len(bars))[:, None], -1), axis=0)
    closes = np.take_along_axis(bars.close, np.maximum(newest, 0), axis=0)
    return np.where(newest >= 0, closes, opening_marks)


def paid_dividends(bars: Bars) -> Floats:
    """Return (T, N) dividends a share, read-only.

    One that goes ex on a bar which does not count is paid on the symbol's next that does.
    """
    if not bars.dividend.any():  # NaN counts as something
        return bars.dividend
    there = tradable(bars)
    paid = np.where(np.isnan(bars.dividend), 0.0, bars.dividend)
    if paid.any():
        for t in np.flatnonzero(~there[:-1].all(axis=1)).tolist():
            paid[t + 1] += np.where(there[t], 0.0, paid[t])
        paid = np.where(there, paid, 0.0)
    paid.flags.writeable = False  # as the arrays of bars are: another kind of array would compile the kernel anew
    return paid
