"""Orders, fills and rejections as rows: what their columns hold, and what fills earned from flat to flat."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from datetime import datetime

from simulator.evidence.records import DecisionRow
from simulator.market.bars import instant, moment
from simulator.market.calendar import NEW_YORK
from simulator.stats.series import Floats
from simulator.trading.model import Fill, OrderRecord, Rejection

FILL_COLUMNS = ("order_id", "symbol", "at", "session", "quantity", "price", "slippage", "commission", "why")
REJECTION_COLUMNS = ("order_id", "symbol", "at", "session", "wanted", "got", "why")
ORDER_COLUMNS = (
    *("id", "symbol", "submitted_at", "kind", "quantity", "notional", "limit", "stop", "take_profit", "status"),
)


def exchange_time(at: int | datetime) -> str:
    """Return an instant in New York time, ISO 8601 with offset; `at` in nanoseconds since the epoch or aware."""
    return (moment(at) if isinstance(at, int) else at).astimezone(NEW_YORK).isoformat()


def as_row(one: OrderRecord | Fill | Rejection) -> dict[str, object]:
    """Return the columns of an order, a fill or a rejection by name."""
    if isinstance(one, OrderRecord):
        values = {**vars(one), "submitted_at": exchange_time(one.submitted_at)}
        return {name: values[name] for name in ORDER_COLUMNS}
    at = exchange_time(one.at)
    values = {**vars(one), "at": at, "session": at[:10]}
    return {name: values[name] for name in (FILL_COLUMNS if isinstance(one, Fill) else REJECTION_COLUMNS)}


def decided_by(decisions: Sequence[DecisionRow], orders: Sequence[OrderRecord]) -> dict[int, int]:
    """Return {order id: position of the decision that submitted it}, the last one made no later than that."""
    made = [instant(datetime.fromisoformat(decision["as_of"])) for decision in decisions]
    found = {order.id: bisect_right(made, order.submitted_at) - 1 for order in orders}
    return {number: at for number, at in found.items() if at >= 0}


def round_trips(fills: Sequence[Fill]) -> Floats:
    """(R,) dollars earned by each round trip, from flat to flat, net of its slippage and commissions."""
    from simulator.stats.trades import closed_trades

    codes = {symbol: n for n, symbol in enumerate(dict.fromkeys(fill.symbol for fill in fills))}
    return closed_trades(
        [codes[fill.symbol] for fill in fills],
        [fill.at for fill in fills],
        [fill.quantity for fill in fills],
        [fill.price for fill in fills],
        [fill.slippage + fill.commission for fill in fills],
    ).round_trips()
