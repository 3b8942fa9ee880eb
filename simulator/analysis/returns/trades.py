"""Trades beside returns: a file of closed trades or of fills, turned into the profit of each round trip."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from simulator.analysis.returns.column_file import ColumnFile, read_table
from simulator.analysis.returns.load import DATE_NAMES, find_dates, parse_dates, read_numbers
from simulator.errors import DataError, UsageError
from simulator.stats.series import Floats

Indices = NDArray[np.intp]

ENDS = (
    *("at", "filledat", "filltime", "executedat", "executiontime", "transactiontime", "exit", "exitdate", "exittime"),
    *("closedat", "closed", "closedate", "closetime", "tradedate", "filldate", "executiondate"),
)
"""Names of the moment a fill or a trade ended, looked for before those of any date."""
SPELLINGS: Mapping[str, tuple[str, ...]] = {
    "strategy": ("strategy",),
    "profit": ("net", "netpnl", "pnl", "profit", "p&l", "p/l", "realizedpnl", "realisedpnl", "profit/loss"),
    "symbol": ("symbol", "ticker", "instrument", "asset"),
    "quantity": ("quantity", "qty", "shares", "filledqty", "filledquantity", "size", "contracts"),
    "price": ("price", "fillprice", "avgprice", "averageprice", "filledavgprice", "executionprice"),
    "side": ("side", "action", "buy/sell", "b/s", "direction", "transactiontype", "type"),
}
CHARGES = ("costs", "cost", "slippage", "commission", "commissions", "fee", "fees")

SIDES = {
    **dict.fromkeys(("buy", "b", "bot", "bought", "cover", "btc", "bto", "buy to open", "buy to close"), 1.0),
    **dict.fromkeys(("buy to cover", "buycover"), 1.0),
    **dict.fromkeys(("sell", "s", "sld", "sold", "sto", "stc", "sell to open", "sell to close", "sell short"), -1.0),
    **dict.fromkeys(("sellshort", "short sell"), -1.0),
}
"""Words of a column `side`. "long" and "short" are none: they name a position, and its end is the other side."""


@dataclass(frozen=True)
class Trades:
    """Profits of closed trades per strategy, in order of their ends, and how the file was read."""

    profits: Mapping[str, Floats]
    warnings: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def read_trades(path: Path, strategies: Sequence[str]) -> Trades:
    """Return the closed trades of a file of closed trades or of fills, oldest first.

    Closed trades: a column `net`, `net_pnl`, `pnl` or `profit`. Fills: `symbol`, `quantity` (negative sells, or a
    column `side` says), `price`, and `costs` or `slippage` and `commission` where there are any; round trips are formed
    by average cost, from flat to flat, in order of their dates, or of the rows where there are none. A column
    `strategy` says whose they are when there are several strategies. Raises DataError, UsageError.
    """
    table = read_table(path)
    plain = {re.sub(r"[\s_]", "", name.lower()): name for name in table.names}
    named = {role: plain[s] for role, words in SPELLINGS.items() for s in reversed(words) if s in plain}
    owners = table.texts(named["strategy"]) if "strategy" in named else [strategies[0]] * len(table.lines)
    if "strategy" not in named and len(strategies) > 1:
        raise UsageError(
            f"{path} does not say to which of {len(strategies)} strategies its trades belong",
            mend="add a column strategy, or keep one strategy in the file of returns",
        )
    stranger = next((o for o in owners if o not in strategies), None)
    if stranger is not None:
        raise UsageError(f'{path} has trades of "{stranger}", which is no column of returns', mend="use the same names")
    if "profit" not in named and not {"symbol", "quantity", "price"} <= named.keys():
        raise DataError(
            f"has neither profits nor fills; its columns are {', '.join(table.names)}",
            where=str(path),
            mend="write a column net (one row a closed trade), or symbol, quantity and price (one row a fill)",
        )
    order, notes = _order(table, plain)
    mine = {name: order[[owners[row] == name for row in order]] for name in strategies}
    if "profit" in named:
        net = read_numbers(table, [named["profit"]], whole=True)[named["profit"]]
        return Trades({name: net[rows] for name, rows in mine.items()}, notes=notes)
    from simulator.stats.trades import closed_trades

    charges = [plain[word] for word in CHARGES if word in plain]
    read = read_numbers(table, [named["quantity"], named["price"], *charges], whole=True)
    quantity, warnings = _sign(table, read[named["quantity"]], named.get("side"))
    costs = sum((np.abs(read[name]) for name in charges), np.zeros(len(table.lines)))
    codes = np.unique(table.texts(named["symbol"]), return_inverse=True)[1]
    price = read[named["price"]]
    profits = {
        name: closed_trades(codes[m], np.arange(len(m)), quantity[m], price[m], costs[m]).round_trips()
        for name, m in mine.items()
    }
    return Trades(profits, warnings, notes)


def _order(table: ColumnFile, plain: Mapping[str, str]) -> tuple[Indices, tuple[str, ...]]:
    """Rows from the oldest to the newest: by date, within one as the file goes, which may be newest first."""
    rows = np.arange(len(table.lines))
    at = find_dates(list(plain), (*ENDS, *(name for name in DATE_NAMES if name)))
    if at is None or len(rows) < 2:
        return rows, ()
    _, instants = parse_dates(table, plain[at])
    steps = np.diff(instants).astype(np.int64)
    if (steps >= 0).all():
        return rows, ()
    if (steps <= 0).all():
        return rows[::-1], (f"Trades were newest first by {plain[at]}; they were turned round.",)
    note = f"Trades were not in order of {plain[at]}; they were sorted, those of one moment as they stand."
    return np.argsort(instants, kind="stable"), (note,)


def _sign(table: ColumnFile, quantity: Floats, side: str | None) -> tuple[Floats, tuple[str, ...]]:
    """Return signed quantities, negative sells, and a warning where nothing says that anything was sold."""
    if side is None:
        if len(quantity) > 1 and (quantity >= 0).all():
            return quantity, ("No fill sells: write sales with a negative quantity, or add a column side (buy, sell).",)
        return quantity, ()
    words = [re.sub(r"[\s_-]+", " ", word.strip().lower()) for word in table.texts(side)]
    if side.lower() == "type" and not any(word in SIDES for word in words):  # market, limit
        return _sign(table, quantity, None)
    for row, word in enumerate(words):
        if word not in SIDES:
            mend = "write buy or sell: long and short name a position, not a trade"
            raise DataError(f'column "{side}" holds "{word[:40]}"', where=table.where(row), mend=mend)
        if quantity[row] < 0 < SIDES[word]:
            mend = "write quantities without sign beside a column of sides"
            raise DataError(f"buys {quantity[row]:g}", where=table.where(row), mend=mend)
    return np.abs(quantity) * np.array([SIDES[word] for word in words]), ()
