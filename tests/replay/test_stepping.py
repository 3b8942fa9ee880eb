"""Stepping the fill rules by hand, bar by bar, gives the books that the reference engine writes."""

from __future__ import annotations

import numpy as np
import pytest

from simulator.replay import backtrader_engine
from simulator.replay.ledger import tradable
from simulator.replay.tape import due_at
from simulator.trading import fills
from simulator.trading.execution import SESSIONS_A_YEAR
from simulator.trading.fills import price_or_none
from simulator.trading.sizing import orders_for


@pytest.mark.parametrize("seed", range(25))
def test_accounts_stepped_by_hand_are_those_of_the_engine(scenario_of, seed):
    bars, tape, rules, cash, marks = scenario_of(seed)
    opening = np.zeros(len(bars.symbols)) if marks is None else marks
    account = fills.Account.open(cash, dict(zip(bars.symbols, opening.tolist(), strict=True)))
    due, whole = due_at(bars, tape.instants), tradable(bars)
    prices = np.stack([bars.open, bars.high, bars.low, bars.close, bars.dividend], axis=2)
    for t in range(len(bars) - 1):  # who holds through a bar that is not there is paid on the next
        prices[t + 1, ~whole[t], 4] += prices[t, ~whole[t], 4]
    happened, status, rejections, equity = [], {}, [], []
    for t in range(len(bars)):
        events = []
        for k in np.flatnonzero(due == t):
            sizing = orders_for(tape.decision(k), account.book(), rules, len(status))
            rejections += sizing.refused
            events += [fills.cancel(account, symbol) for symbol in sizing.cancels]
            for bracket in sizing.protects:
                fills.protect(account, *bracket)
            for order in sizing.orders:
                status[order.id] = "open"
                events.append(fills.submit(account, order))
        row = [tuple(prices[t, n].tolist()) if whole[t, n] else None for n in range(len(bars.symbols))]
        year = 1 / SESSIONS_A_YEAR if t and bars.session_of[t] != bars.session_of[t - 1] else 0.0
        events.append(
            fills.on_bar(account, row, int(bars.opens_at[t]), year, rules, price_or_none(bars.cash_return[t]))
        )
        for each in events:
            happened += each.fills
            rejections += each.rejections
            status |= {order.id: ended for order, ended in each.ended}
        equity.append(account.equity)
    ledger = backtrader_engine.replay_tape(bars, tape, rules, cash, marks)
    assert equity == ledger.equity.tolist()
    assert tuple(happened) == ledger.fills
    assert tuple(rejections) == ledger.rejections
    assert list(status.values()) == [order.status for order in ledger.orders]
