"""Round trips of an account: each position from flat to flat, what it earned, and how far it went either way meanwhile.

fills, bars ─► per symbol: fills in order ─► positions between them ─► RoundTrip (trades.csv)
                                             └─ lowest and highest price of each
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from simulator.market.bars import Bars, Floats
from simulator.stats.trades import FLAT
from simulator.trading.fills import FILL_WHYS
from simulator.trading.model import RoundTrip

STILL_HELD = "still held"


class Filled(Protocol):
    """The books of a replay, as far as round trips are made of them."""

    @property
    def bars(self) -> Bars: ...
    @property
    def fill_rows(self) -> NDArray[np.void]: ...
    @property
    def marks(self) -> Floats: ...


Rows = Mapping[str, NDArray[Any]] | NDArray[np.void]
"""Columns of fills by name: `order_id`, `at`, `quantity`, `price`, `slippage`, `commission`, `why` (a code)."""


def round_trips(ledger: Filled) -> tuple[RoundTrip, ...]:
    """Return the round trips of all symbols by entry, those that are still open among them: see :class:`RoundTrip`."""
    rows = ledger.fill_rows
    trips = [
        trip
        for n in np.unique(rows["symbol"]).tolist()
        for trip in walk_fills(ledger.bars, int(n), rows[rows["symbol"] == n], float(ledger.marks[-1, n]))
    ]
    return tuple(sorted(trips, key=lambda trip: trip.entry_at))


def walk_fills(bars: Bars, column: int, rows: Rows, mark: float) -> Iterator[RoundTrip]:
    """Yield the round trips of one symbol by the `rows` of its fills, oldest first; what is held is worth `mark`.

    The instant of a fill is the opening of one of `bars`.
    """
    return _Walk(bars, column, rows, mark).trips()


class _Fill(NamedTuple):
    """A fill of one symbol: its bar, the lowest and highest price of the bars after it that its position saw whole."""

    order: int
    at: int
    bar: int
    quantity: float
    price: float
    cost: float
    why: int
    low: float
    high: float


@dataclass
class _Position:
    """A position, with all that has to be known of it when it ends."""

    first: _Fill
    side: float
    quantity: float = 0.0
    entered: float = 0.0
    paid: float = 0.0
    left: float = 0.0
    received: float = 0.0
    costs: float = 0.0
    low: float = math.inf
    high: float = -math.inf
    mae_usd: float = 0.0
    mfe_usd: float = 0.0

    def add(self, quantity: float, price: float, cost: float) -> None:
        """Book shares bought of a long position, sold of a short one; `quantity` is positive here."""
        self.quantity += quantity
        self.entered, self.paid, self.costs = self.entered + quantity, self.paid + quantity * price, self.costs + cost

    def close(self, quantity: float, price: float, cost: float) -> None:
        """Book shares of it that were closed."""
        self.quantity = max(0.0, self.quantity - quantity)
        self.left, self.received, self.costs = self.left + quantity, self.received + quantity * price, self.costs + cost

    def see(self, low: float, high: float) -> None:
        """Take note of the prices that what is held has been through; NaN where there were none."""
        if not low <= high:
            return
        self.low, self.high = min(self.low, low), max(self.high, high)
        earned = [self.side * (self.received - self.paid + self.quantity * price) for price in (low, high)]
        self.mae_usd, self.mfe_usd = min(self.mae_usd, *earned), max(self.mfe_usd, *earned)


class _Walk:
    """The fills of one symbol in order, from position to position."""

    def __init__(self, bars: Bars, column: int, rows: Rows, mark: float) -> None:
        self.bars, self.column, self.rows, self.mark = bars, column, rows, mark
        self.opens = self.bars.open[:, column]
        self.session = np.cumsum(np.diff(self.bars.session_of, prepend=self.bars.session_of[:1]) != 0)

    def trips(self) -> Iterator[RoundTrip]:
        held: _Position | None = None
        fills = list(self._fills())
        for fill in fills:
            if held is not None:
                self._see_until(held, fill)
            quantity, cost = fill.quantity, fill.cost
            if held is not None and held.side * quantity < 0:
                closed = min(abs(quantity), held.quantity)
                before = held.quantity
                held.close(closed, fill.price, cost * closed / abs(quantity))
                rest = abs(quantity) - closed
                if held.quantity <= FLAT * max(before, abs(quantity)):
                    yield self._trip(held, fill)
                    held = None
                if rest <= FLAT * max(before, abs(quantity)):
                    quantity = 0.0
                else:
                    cost, quantity = cost * rest / abs(quantity), math.copysign(rest, quantity)
            if quantity:
                held = held or _Position(fill, math.copysign(1.0, quantity))
                held.add(abs(quantity), fill.price, cost)
            if held is not None:
                held.see(fill.low, fill.high)
        if held is not None:
            yield self._trip(held, None)

    def _see_until(self, held: _Position, fill: _Fill) -> None:
        """Let `held` see the bar of the next fill: up to its price where it ends there, the whole bar else."""
        entered_here = fill.bar == held.first.bar and held.entered == held.quantity
        opened = self.opens[fill.bar]
        ends = held.side * fill.quantity < 0 and abs(fill.quantity) >= held.quantity * (1 - FLAT)
        if ends or fill.price == opened:
            start = fill.price if entered_here and held.first.price != opened else float(opened)
            held.see(min(start, fill.price), max(start, fill.price))
        elif not entered_here or held.first.price == opened:
            low, high = self.bars.low[fill.bar, self.column], self.bars.high[fill.bar, self.column]
            held.see(float(low), float(high))

    def _fills(self) -> Iterator[_Fill]:
        """Yield the fills with the extremes of the bars from each to the next, both their own bars apart.

        The bar of a fill at its open belongs to the position after it, unless the next fill is in the same bar.
        """
        bar = np.searchsorted(self.bars.opens_at, self.rows["at"])
        begin = bar + (self.rows["price"] != self.opens[bar])
        end = np.append(bar[1:], len(self.bars))
        begin = np.minimum(begin, end)
        lows = _reduce(np.fmin, self.bars.low[:, self.column], begin, end)
        highs = _reduce(np.fmax, self.bars.high[:, self.column], begin, end)
        columns = (self.rows[name].tolist() for name in ("order_id", "at", "quantity", "price"))
        order, at, quantity, price = columns
        cost = (self.rows["slippage"] + self.rows["commission"]).tolist()
        rows = (
            order,
            at,
            bar.tolist(),
            quantity,
            price,
            cost,
            self.rows["why"].tolist(),
            lows.tolist(),
            highs.tolist(),
        )
        return map(_Fill, *rows)

    def _trip(self, held: _Position, last: _Fill | None) -> RoundTrip:
        worth = held.quantity * self.mark if last is None else 0.0
        pnl = held.side * (held.received + worth - held.paid) - held.costs
        end = len(self.bars) - 1 if last is None else last.bar
        entry = held.paid / held.entered
        seen = (held.low, held.high) if held.low <= held.high else ()
        moves = [0.0, *(held.side * (price - entry) / entry for price in seen)]
        return RoundTrip(
            symbol=self.bars.symbols[self.column],
            side="long" if held.side > 0 else "short",
            entry_at=held.first.at,
            exit_at=None if last is None else last.at,
            quantity=held.entered,
            entry_price=entry,
            exit_price=held.received / held.left if held.left else None,
            costs=held.costs,
            pnl=pnl,
            pnl_fraction=pnl / held.paid,
            sessions=int(self.session[end] - self.session[held.first.bar]),
            mae=min(moves),
            mfe=max(moves),
            mae_usd=held.mae_usd,
            mfe_usd=held.mfe_usd,
            entry_order=held.first.order,
            exit_order=None if last is None else last.order,
            ended=STILL_HELD if last is None else FILL_WHYS[last.why],
        )


def _reduce(extreme: np.ufunc, values: Floats, begin: NDArray[np.int64], end: NDArray[np.int64]) -> Floats:
    """Return (K,) the extreme of each ``values[begin:end]``, NaN of none and of bars that are not there."""
    padded = np.append(values, np.nan)
    found: Floats = extreme.reduceat(padded, np.column_stack((begin, end)).ravel())[::2]
    return np.where(begin < end, found, np.nan)
