"""Closed trades out of fills, and what they earned.

A trade here is one *closing* fill, or the closing part of a fill that flips the position. Its entry price is the
average cost of what was held, so how an entry or an exit was split into orders changes neither the entry price nor the
profit of what is closed; matching first in, first out would turn one exit into as many trades as there were entries and
let the hit rate depend on that split. Brokers show the same average entry price. Costs of the entry are carried
with the shares and charged in proportion to what is closed; the costs of a flip are shared by quantity.

A *round trip* is all of that from flat to flat. A strategy that restores its weights every week closes a sliver of a
winning position almost every time: counted by closing fills its hit rate says nothing but that. Runs are therefore
judged by round trips.

Dividends, borrow cost and interest are not part of a trade.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from simulator.errors import DataError
from simulator.stats.series import Floats, Integers, Measure, Undefined, as_series, finite_or

SCRATCH = 1e-9
"""A trade whose profit or loss is within this of 0 is neither won nor lost."""

FLAT = 1e-9
"""A position below this fraction of the fill that reduced it is closed: 0.1 + 0.2 − 0.3 is not 0 in floating point."""


@dataclass(frozen=True, eq=False)
class ClosedTrades:
    """K closed trades in the order in which they were closed, each array (K,).

    Attributes
    ----------
    symbol : the codes given
    side : +1 long, -1 short
    quantity : shares closed, positive
    entry_price, exit_price : average cost and price of the closing fill, without costs
    opened_at, closed_at : time of the fill that opened the position from flat, and of the closing fill
    costs : dollars, entry share and exit
    net : side · quantity · (exit − entry) − costs, dollars
    flat : whether nothing of the position was left, that is, a round trip ended here
    """

    symbol: Integers
    side: Integers
    quantity: Floats
    entry_price: Floats
    exit_price: Floats
    opened_at: Integers
    closed_at: Integers
    costs: Floats
    net: Floats
    flat: NDArray[np.bool_]

    def round_trips(self) -> Floats:
        """Return (R,) dollars earned from flat to flat, net of costs, in the order in which positions were closed out.

        Closings of a position that is still open are left out.
        """
        running: dict[int, float] = {}
        ended: list[float] = []
        for code, net, flat in zip(self.symbol.tolist(), self.net.tolist(), self.flat.tolist(), strict=True):
            running[code] = running.get(code, 0.0) + net
            if flat:
                ended.append(running.pop(code))
        return np.array(ended, dtype=np.float64)


@dataclass(slots=True)
class _Position:
    quantity: float = 0.0
    price: float = 0.0
    costs: float = 0.0
    opened_at: int = 0


def closed_trades(
    symbols: ArrayLike, times: ArrayLike, quantities: ArrayLike, prices: ArrayLike, costs: ArrayLike
) -> ClosedTrades:
    """Return the trades closed by M fills in order of execution, by average cost.

    Parameters
    ----------
    symbols : (M,) integer codes, one per instrument
    times : (M,) int64 of any unit, not decreasing within a symbol
    quantities : (M,) signed shares, positive buys
    prices : (M,) dollars per share, without costs
    costs : (M,) dollars of commission and slippage of each fill

    What is still open at the end is not a trade. Errors: `DataError` for lengths that differ, a quantity of 0, a price
    that is not positive, a value that is not finite, and times that run backwards.
    """
    codes, at = np.asarray(symbols, dtype=np.int64), np.asarray(times, dtype=np.int64)
    if codes.size == 0:
        return _as_columns([])
    q, p, c = as_series(quantities, "quantities"), as_series(prices, "prices"), as_series(costs, "costs")
    order = np.argsort(codes, kind="stable")
    _check(codes, at, q, p, c, order)
    position, last = _Position(), None
    rows: list[tuple[int, tuple[float, ...]]] = []
    columns = (values[order].tolist() for values in (codes, at, q, p, c))
    for place, code, time, quantity, price, cost in zip(order.tolist(), *columns, strict=True):
        if code != last:
            position, last = _Position(), code
        row = _apply(position, time, quantity, price, cost)
        if row is not None:
            rows.append((place, (code, *row)))
    return _as_columns([row for _, row in sorted(rows)])


def trade_statistics(net: ArrayLike, scratch: float = SCRATCH) -> dict[str, Measure]:
    """Statistics of the profits and losses (K,) of closed trades, net of costs; K may be 0.

    hit_rate = wins / (wins + losses), profit_factor = Σ gains / |Σ losses|, payoff = mean gain / |mean loss|,
    expectancy = mean over all trades, scratches included. A scratch (|net| ≤ `scratch`) is neither a win nor a loss.
    gross_loss is negative.
    """
    profits = np.asarray(net, dtype=np.float64)
    if profits.size:
        profits = as_series(profits, "trades")
    won, lost = profits[profits > scratch], profits[profits < -scratch]
    gain, loss = float(won.sum()), float(lost.sum())
    none = Undefined("no trade was closed")
    no_loss: Measure = Undefined("no trade lost") if profits.size else none
    decided = won.size + lost.size
    return {
        "trades": float(profits.size),
        "wins": float(won.size),
        "losses": float(lost.size),
        "scratches": float(profits.size - decided),
        "hit_rate": won.size / decided
        if decided
        else (Undefined("every trade was a scratch") if profits.size else none),
        "profit_factor": finite_or(gain / -loss, "losses are too small to divide by") if lost.size else no_loss,
        "payoff": _payoff(won, lost) if profits.size else none,
        "expectancy": float(profits.mean()) if profits.size else none,
        "gross_profit": gain,
        "gross_loss": loss,
        "max_consecutive_losses": float(_longest_run(profits < -scratch)),
    }


def _payoff(won: Floats, lost: Floats) -> Measure:
    if not won.size or not lost.size:
        return Undefined("no trade lost" if won.size else "no trade won")
    return finite_or(float(won.mean() / -lost.mean()), "losses are too small to divide by")


def _longest_run(flags: np.ndarray) -> int:
    edges = np.flatnonzero(np.diff(np.concatenate(([False], flags, [False])).astype(np.int8)))
    return int((edges[1::2] - edges[::2]).max()) if edges.size else 0


def _apply(position: _Position, time: int, quantity: float, price: float, cost: float) -> tuple[float, ...] | None:
    """Book one fill; the closed trade as a row of `ClosedTrades` without its symbol, or None."""
    held = position.quantity
    if held == 0.0 or held * quantity > 0.0:
        _add(position, time, quantity, price, cost)
        return None
    closed = min(abs(quantity), abs(held))
    side = 1.0 if held > 0.0 else -1.0
    carried = position.costs * closed / abs(held)
    total = carried + cost * closed / abs(quantity)
    trade = (side, closed, position.price, price, position.opened_at, time, total)
    net = side * closed * (price - position.price) - total
    left = held + quantity
    flat = True
    if abs(left) <= FLAT * max(abs(quantity), abs(held)):
        position.quantity = position.costs = 0.0
    elif left * held > 0.0:
        flat = False
        position.quantity, position.costs = left, position.costs - carried
    else:
        position.quantity = position.costs = 0.0
        _add(position, time, left, price, cost * abs(left) / abs(quantity))
    return (*trade, net, flat)


def _add(position: _Position, time: int, quantity: float, price: float, cost: float) -> None:
    if position.quantity == 0.0:
        position.opened_at, position.price = time, price
    else:
        share = quantity / (position.quantity + quantity)
        position.price += share * (price - position.price)
    position.quantity += quantity
    position.costs += cost


def _check(codes: Integers, at: Integers, q: Floats, p: Floats, c: Floats, order: Integers) -> None:
    if not codes.size == at.size == q.size == p.size == c.size:
        raise DataError(
            f"fills have {codes.size} symbols, {at.size} times, {q.size} quantities, {p.size} prices, {c.size} costs",
            mend="pass columns of one table",
        )
    if (q == 0.0).any():
        raise DataError(f"fill {int(np.argmax(q == 0.0))} has quantity 0", mend="leave it out")
    if (p <= 0.0).any():
        at_fill = int(np.argmax(p <= 0.0))
        raise DataError(f"fill {at_fill} has price {p[at_fill]}", mend="prices are positive dollars per share")
    back = np.flatnonzero((np.diff(at[order]) < 0) & (np.diff(codes[order]) == 0))
    if back.size:
        raise DataError(
            f"fill {order[back[0] + 1]} is earlier than the fill before it of the same symbol",
            mend="sort fills by time",
        )


def _as_columns(rows: list[tuple[float, ...]]) -> ClosedTrades:
    columns = list(zip(*rows, strict=True)) if rows else [()] * 10
    symbol, side, quantity, entry, exit_, opened, closed, costs, net, flat = columns
    return ClosedTrades(
        symbol=np.array(symbol, dtype=np.int64),
        side=np.array(side, dtype=np.int64),
        quantity=np.array(quantity, dtype=np.float64),
        entry_price=np.array(entry, dtype=np.float64),
        exit_price=np.array(exit_, dtype=np.float64),
        opened_at=np.array(opened, dtype=np.int64),
        closed_at=np.array(closed, dtype=np.int64),
        costs=np.array(costs, dtype=np.float64),
        net=np.array(net, dtype=np.float64),
        flat=np.array(flat, dtype=np.bool_),
    )


TRADE_STATISTICS = tuple(trade_statistics(()))
"""Names of the statistics of closed trades."""
