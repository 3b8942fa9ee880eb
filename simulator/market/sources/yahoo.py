"""Daily bars from Yahoo Finance by way of yfinance (the extra ``yahoo``).

Prices come adjusted for splits and not for dividends; dividends come beside them (cash per share on the ex-date), so a
replay pays them out. For people's own use: Yahoo's terms do not allow passing the data on.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from datetime import date, timedelta
from typing import TYPE_CHECKING

import numpy as np

from simulator.errors import DataError, UsageError
from simulator.market.calendar import day_number
from simulator.market.table import PRICES, BarTable, daily_table

if TYPE_CHECKING:
    import pandas

SOURCE = "yahoo"
INDICES = {"VIX": "^VIX", "SPX": "^GSPC", "NDX": "^NDX", "DJI": "^DJI", "RUT": "^RUT", "TNX": "^TNX"}
"""Names people use → names Yahoo uses."""

COLUMNS = {"open": "Open", "high": "High", "low": "Low", "close": "Close", "volume": "Volume", "dividend": "Dividends"}


def fetch(symbols: Sequence[str], first: date, last: date, say: Callable[[str], None]) -> list[BarTable]:
    """Daily tables of `symbols` from `first` to `last`, both included; `say` gets a line per symbol.

    Raises UsageError without yfinance, DataError when Yahoo has nothing or cannot be reached.
    """
    try:
        import yfinance
    except ImportError:
        raise UsageError("yfinance is not installed", mend="pip install 'council-simulator[yahoo]'") from None
    logging.getLogger("yfinance").setLevel(logging.CRITICAL)
    yfinance.config.debug.hide_exceptions = False
    tables = []
    for symbol in symbols:
        say(f"{symbol} from Yahoo Finance")
        try:
            frame = yfinance.Ticker(INDICES.get(symbol, symbol)).history(
                start=first, end=last + timedelta(days=1), auto_adjust=False, actions=True, timeout=30
            )
        except Exception as error:  # yfinance lets through its own, curl's and pandas' errors alike
            raise DataError(f"Yahoo Finance gave no bars for {symbol}: {type(error).__name__}: {error}") from None
        tables.append(to_table(symbol, frame, first, last))
    return tables


def to_table(symbol: str, frame: pandas.DataFrame, first: date, last: date) -> BarTable:
    """Make the table of a frame of ``yfinance.Ticker.history``: index of New York midnights, capitalised columns.

    Rows without any price (sessions Yahoo has not filled in yet) are left out. Raises DataError when nothing remains.
    """
    none = DataError(f"Yahoo Finance gave no bars for {symbol} from {first} to {last}")
    if not len(frame) or {*COLUMNS.values()} - {*frame.columns, "Dividends"}:
        raise none
    days = np.array([day_number(stamp.date()) for stamp in frame.index], dtype=np.int64)
    columns = {role: frame[name].to_numpy(dtype=np.float64) for role, name in COLUMNS.items() if name in frame.columns}
    empty = np.all([np.isnan(columns[name]) for name in PRICES], axis=0)
    kept = ~empty & (days >= day_number(first)) & (days <= day_number(last))
    if not kept.any():
        raise none
    return daily_table(symbol, SOURCE, days[kept], {role: column[kept] for role, column in columns.items()})
