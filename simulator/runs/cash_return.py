"""Return of idle cash, session by session: the number that `cash_interest` states, else the cash instrument's, else the
stated rate where that has no bars.

It stands on the bars, at the sessions' ends, because both sides take it from there: the engines, which book it on an
account's cash, and the risk-free return that excess returns subtract.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from simulator.config import Config
from simulator.evidence.members import STATED
from simulator.evidence.writer import session_ends
from simulator.market.bars import Bars, at_session_ends
from simulator.number_format import counted
from simulator.trading.execution import SESSIONS_A_YEAR


def with_cash_return(bars: Bars, context: Bars, config: Config, start: int) -> tuple[Bars, str, tuple[str, ...]]:
    """Return `bars` with their cash return, a sentence on its source in the run that starts at row `start`, and notes
    where that is not the instrument."""
    assets, stated = config.assets, config.costs.cash_interest
    ends, name = session_ends(bars), assets.cash_instrument
    rate = f"{STATED} of {assets.risk_free_rate:.2%} a year"
    earned = np.full(len(ends), (1 + assets.risk_free_rate) ** (1 / SESSIONS_A_YEAR) - 1)
    if stated != "cash":  # as the engines book it, to the last bit
        earned = np.full(len(ends), stated / SESSIONS_A_YEAR)
        source = f"{STATED} of {stated:.2%} a year (cash_interest)"
    elif name not in context.symbols:
        source = f"{rate} ({name} has no bars)"
    else:
        close = context.close[ends, context.column(name)]
        paid = np.nan_to_num(context.dividend[ends, context.column(name)])  # of bars as traded
        moved = np.append(np.nan, (close[1:] + paid[1:]) / close[:-1] - 1)
        missing = np.isnan(moved)
        earned = np.where(missing, earned, moved)
        source, during = f"{name}, {context.sources[context.column(name)]}", ends >= start
        if (missing & during).any():
            without = counted(int((missing & during).sum()), "session")
            source += f"; {rate} for {without} of {during.sum()} without bars of it"
    notes = (f"risk-free return: {source}",) if STATED in source else ()
    return replace(bars, cash_return=at_session_ends(bars.session_of, earned)), source, notes
