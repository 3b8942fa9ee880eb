"""Orders, fills and rejections as rows: what their columns hold, and what fills earned from flat to flat."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import fields
from datetime import datetime

import numpy as np
from numpy.typing import NDArray

from simulator.evidence.records import DecisionRow
from simulator.evidence.row_table import RowTable
from simulator.market.bars import instant, moment
from simulator.market.calendar import NEW_YORK
from simulator.replay.ledger import Ledger
from simulator.stats.series import Floats
from simulator.trading.fills import FILL_WHYS, REJECTION_WHYS, STATUSES
from simulator.trading.model import Fill, OrderRecord, Rejection, RoundTrip

FILL_COLUMNS = ("order_id", "symbol", "at", "session", "quantity", "price", "slippage", "commission", "why")
REJECTION_COLUMNS = ("order_id", "symbol", "at", "session", "wanted", "got", "why")
ORDER_COLUMNS = (
    *("id", "symbol", "submitted_at", "kind", "quantity", "notional", "limit", "stop", "take_profit", "status"),
)


TRADE_COLUMNS = tuple(field.name for field in fields(RoundTrip))


def exchange_time(at: int | datetime) -> str:
    """Return an instant in New York time, ISO 8601 with offset; `at` in nanoseconds since the epoch or aware."""
    return (moment(at) if isinstance(at, int) else at).astimezone(NEW_YORK).isoformat()


def exchange_times(at: NDArray[np.int64]) -> list[str]:
    """Return instants (M,), nanoseconds since the epoch, in New York time: each that recurs is written once."""
    distinct, where = np.unique(at, return_inverse=True)
    texts = [exchange_time(moment) for moment in distinct.tolist()]
    return [texts[n] for n in where.tolist()]


def order_rows(ledger: Ledger) -> Iterator[Sequence[object]]:
    """Yield the rows of orders.csv."""
    rows = ledger.order_rows
    kinds = np.where(np.isnan(rows["limit"]), "market", "limit").tolist()
    numbers = ([None if x != x else x for x in rows[name].tolist()] for name in ORDER_COLUMNS[4:9])
    status = [STATUSES[code] for code in rows["status"].tolist()]
    yield from zip(
        range(len(rows)),
        _symbols(ledger, rows),
        exchange_times(rows["submitted_at"]),
        kinds,
        *numbers,
        status,
        strict=True,
    )


def fill_rows(ledger: Ledger) -> Iterator[Sequence[object]]:
    """Yield the rows of fills.csv."""
    return _event_rows(ledger, ledger.fill_rows, FILL_COLUMNS, FILL_WHYS)


def rejection_rows(ledger: Ledger) -> Iterator[Sequence[object]]:
    """Yield the rows of rejected.csv."""
    return _event_rows(ledger, ledger.rejection_rows, REJECTION_COLUMNS, REJECTION_WHYS)


def _event_rows(
    ledger: Ledger, rows: NDArray[np.void], names: Sequence[str], whys: Sequence[str]
) -> Iterator[Sequence[object]]:
    at = exchange_times(rows["at"])
    numbers = (rows[name].tolist() for name in names[4:-1])
    why = [whys[code] for code in rows["why"].tolist()]
    sessions = (time[:10] for time in at)
    yield from zip(rows["order_id"].tolist(), _symbols(ledger, rows), at, sessions, *numbers, why, strict=True)


def _symbols(ledger: Ledger, rows: NDArray[np.void]) -> list[str]:
    return [ledger.bars.symbols[n] for n in rows["symbol"].tolist()]


def as_row(one: OrderRecord | Fill | Rejection | RoundTrip) -> dict[str, object]:
    """Return the columns of an order, a fill, a rejection or a round trip by name."""
    if isinstance(one, RoundTrip):
        times = {"entry_at": one.entry_at, "exit_at": one.exit_at}
        return {**vars(one), **{name: None if at is None else exchange_time(at) for name, at in times.items()}}
    if isinstance(one, OrderRecord):
        values = {**vars(one), "submitted_at": exchange_time(one.submitted_at)}
        return {name: values[name] for name in ORDER_COLUMNS}
    at = exchange_time(one.at)
    values = {**vars(one), "at": at, "session": at[:10]}
    return {name: values[name] for name in (FILL_COLUMNS if isinstance(one, Fill) else REJECTION_COLUMNS)}


def decided_by(decisions: Sequence[DecisionRow], orders: Sequence[OrderRecord]) -> dict[int, int]:
    """Return {order id: position of the decision that submitted it}, the last one made no later than that."""
    made = [instant(datetime.fromisoformat(decision["as_of"])) for decision in decisions]
    if isinstance(orders, RowTable):
        sent = np.searchsorted(made, np.array(orders.column("submitted_at"), dtype=np.int64), side="right") - 1
        found = dict(zip(orders.column("id"), sent.tolist(), strict=True))
    else:
        found = {order.id: bisect_right(made, order.submitted_at) - 1 for order in orders}
    return {number: at for number, at in found.items() if at >= 0}


def trip_profits(fills: Sequence[Fill]) -> Floats:
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
