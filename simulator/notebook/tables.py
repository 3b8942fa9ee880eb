"""Files of a run folder as pandas objects. Sessions are a DatetimeIndex called ``session``, without time zone; instants
are columns in New York time. Nothing is rounded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any, get_type_hints

import numpy as np
import pandas as pd

from simulator.evidence.records import CallRow, DecisionRow
from simulator.evidence.rows import (
    FILL_COLUMNS,
    ORDER_COLUMNS,
    REJECTION_COLUMNS,
    TRADE_COLUMNS,
    decided_by,
)
from simulator.market.calendar import NEW_YORK
from simulator.stats import drawdowns as stats
from simulator.stats.series import Floats, Undefined
from simulator.trading.model import Fill, OrderRecord, Rejection, RoundTrip

TIMES = ("at", "submitted_at", "entry_at", "exit_at", "as_of")
TEXTS = ("symbol", "why", "kind", "status", "side", "ended", "order", "reason")
WHOLE = ("order_id", "id", "entry_order", "sessions")

DECISION_COLUMNS = (
    *("as_of", "session", "symbol", "weight", "allowed", "order", "limit", "stop", "take_profit", "conviction"),
    "reason",
)
DRAWDOWN_COLUMNS = ("depth", "peak", "trough", "recovery", "sessions")


def tabulate_series(sessions: Sequence[date], columns: Mapping[str, Floats]) -> pd.DataFrame:
    """Return (T, N) float64 by session; NaN where a value is missing."""
    return pd.DataFrame(dict(columns), index=index_sessions(sessions))


def index_sessions(sessions: Sequence[date]) -> pd.DatetimeIndex:
    """Return T sessions as an index called ``session``."""
    return pd.DatetimeIndex(np.array(sessions, dtype="datetime64[ns]"), name="session")


def tabulate_fills(fills: Sequence[Fill]) -> pd.DataFrame:
    """Columns: order_id, symbol, at, session, quantity (signed shares), price, slippage and commission ($), why."""
    return _tabulate([{**vars(one), "session": one.session} for one in fills], FILL_COLUMNS)


def tabulate_orders(orders: Sequence[OrderRecord]) -> pd.DataFrame:
    """Columns: id, symbol, submitted_at, kind, quantity (signed shares) or notional ($), limit, stop, take_profit,
    status."""
    return _tabulate([vars(one) for one in orders], ORDER_COLUMNS)


def tabulate_rejections(rejected: Sequence[Rejection]) -> pd.DataFrame:
    """Columns: order_id (-1 where there was none), symbol, at, session, wanted and got (shares), why."""
    return _tabulate([{**vars(one), "session": one.session} for one in rejected], REJECTION_COLUMNS)


def tabulate_trades(
    trips: Sequence[RoundTrip], decisions: Sequence[DecisionRow], orders: Sequence[OrderRecord]
) -> pd.DataFrame:
    """Columns: those of :class:`RoundTrip`, and ``decision``: the instant of the decision behind the entry."""
    behind = decided_by(decisions, orders)
    rows = []
    for trip in trips:
        at = behind.get(trip.entry_order)
        rows.append({**vars(trip), "decision": None if at is None else decisions[at]["as_of"]})
    table = _tabulate(rows, (*TRADE_COLUMNS, "decision"))
    table["decision"] = _as_times(table["decision"])
    table["exit_order"] = table["exit_order"].astype("Int64")
    return table


def tabulate_decisions(decisions: Sequence[DecisionRow]) -> pd.DataFrame:
    """One row per decision and target: as_of, session, symbol, weight wanted, weight allowed by the risk limits, order,
    limit, stop, take_profit, conviction, reason."""
    rows = [
        {"as_of": one["as_of"], "session": one["session"], "allowed": one["allowed"].get(target["symbol"]), **target}
        for one in decisions
        for target in one["targets"]
    ]
    return _tabulate(rows, DECISION_COLUMNS)


def tabulate_calls(calls: Sequence[CallRow]) -> pd.DataFrame:
    """One row per question: the columns of llm_calls.jsonl, cost_usd in dollars, session a timestamp, tokens int64."""
    table = pd.DataFrame(list(calls), columns=list(CallRow.__annotations__))
    table["session"] = pd.to_datetime(table["session"], errors="coerce").dt.as_unit("ns")
    kinds = get_type_hints(CallRow)
    whole = [name for name in kinds if name == "replicate" or name.endswith("_tokens")]
    for name in whole:
        table[name] = table[name].astype("float64").fillna(0).astype("int64")
    texts = [name for name, kind in kinds.items() if kind is str and name != "session"]
    return table.astype({**dict.fromkeys(texts, "object"), "cost_usd": "float64"})


def tabulate_drawdowns(returns: pd.Series) -> pd.DataFrame:
    """Every loss from a peak, the deepest first: depth (negative fraction), sessions of peak, trough and recovery (NaT
    while open), and sessions from the peak to the recovery. The peak is NaT where it is the start."""
    found = stats.deepest_drawdowns(returns.to_numpy())
    falls = () if isinstance(found, Undefined) else found
    day = [pd.NaT, *returns.index]
    rows = [
        (one.depth, day[one.peak], day[one.trough], pd.NaT if one.recovery is None else day[one.recovery], one.sessions)
        for one in falls
    ]
    table = pd.DataFrame(rows, columns=list(DRAWDOWN_COLUMNS))
    times = dict.fromkeys(("peak", "trough", "recovery"), "datetime64[ns]")
    return table.astype({"depth": "float64", "sessions": "int64", **times})


def tabulate_positions(fills: Sequence[Fill], sessions: Sequence[date], symbols: Sequence[str]) -> pd.DataFrame:
    """Signed shares (T, N) held at each close."""
    table = pd.DataFrame(0.0, index=index_sessions(sessions), columns=list(symbols))
    held = table.to_numpy(copy=True)
    row = {day: n for n, day in enumerate(sessions)}
    column = {symbol: n for n, symbol in enumerate(symbols)}
    for fill in fills:
        now = held[row[fill.session], column[fill.symbol]] + fill.quantity
        held[row[fill.session] :, column[fill.symbol]] += fill.quantity
        # 0.1 + 0.2 − 0.3 is nothing held, though not 0 in floating point.
        if abs(now) <= 1e-9 * abs(fill.quantity):
            held[row[fill.session] :, column[fill.symbol]] = 0.0
    return pd.DataFrame(held, index=table.index, columns=table.columns)


def _tabulate(rows: Sequence[Mapping[str, Any]], columns: Sequence[str]) -> pd.DataFrame:
    """Return rows as a table with a dtype for each column, also where there is no row: times are New York's, texts are
    objects, whole numbers int64, all others float64."""
    table = pd.DataFrame(list(rows), columns=list(columns))
    for name in columns:
        if name in TIMES:
            table[name] = _as_times(table[name])
        elif name == "session":
            table[name] = pd.to_datetime(table[name]).dt.as_unit("ns")
        elif name in WHOLE:
            table[name] = table[name].astype("int64")
        elif name in TEXTS or name in ("decision", "exit_order"):
            table[name] = table[name].astype("object")
        else:
            table[name] = table[name].astype("float64")
    return table


def _as_times(column: pd.Series) -> pd.Series:
    """Instants in nanoseconds or ISO texts as times of New York."""
    return pd.to_datetime(column, utc=True).dt.tz_convert(NEW_YORK).dt.as_unit("ns")
