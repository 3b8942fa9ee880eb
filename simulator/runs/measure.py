"""Numbers of a run: returns of sessions, the risk-free return, metrics of every account, sensitivity to costs."""

from __future__ import annotations

from math import fsum

import numpy as np
from numpy.typing import NDArray

from simulator.evidence.records import CostRow
from simulator.evidence.writer import session_ends
from simulator.replay import kernel
from simulator.replay.inputs import ReplayInputs
from simulator.replay.ledger import Ledger
from simulator.replay.tape import Tape
from simulator.stats.bootstrap import sharpe_interval
from simulator.stats.metrics import Summary, summary
from simulator.stats.series import Measure, Undefined
from simulator.stats.timing import circular_shifts
from simulator.trading.execution import SESSIONS_A_YEAR, ExecutionRules

Floats = NDArray[np.float64]

COST_MULTIPLES = (0.0, 1.0, 2.0, 5.0)


def risk_free(inputs: ReplayInputs, cash: float) -> Floats:
    """(S,) risk-free return of each session: that of an account which holds `cash` and nothing else.

    Its equity is what the engines book for it, bit for bit, so that an idle run has an excess return of exactly 0.
    """
    traded = inputs.traded
    equity = [cash]
    for rate in np.nan_to_num(traded.cash_return[session_ends(traded)]).tolist():
        equity.append(equity[-1] + equity[-1] * rate)
    worth = np.array(equity)
    returns: Floats = worth[1:] / worth[:-1] - 1
    return returns


def session_returns(ledger: Ledger, cash: float) -> Floats:
    """(S,) simple return of each session, the first one against the starting cash."""
    closes = ledger.equity[session_ends(ledger.bars)]
    before: Floats = np.r_[cash, closes[:-1]]
    return closes / before - 1


def account_part(ledger: Ledger, cash: float, free: Floats, kept: NDArray[np.bool_]) -> Summary:
    """Return the metrics of one account on the sessions `kept` (S,); none of its trades, which end on either side."""
    weights, traded = ledger.weights_at(session_ends(ledger.bars)), traded_share(ledger)
    returns = session_returns(ledger, cash)[kept]
    return summary(returns, free[kept], None, SESSIONS_A_YEAR, weights=weights[kept], traded=traded[kept])


def account(ledger: Ledger, cash: float, free: Floats, benchmark: Floats | None = None) -> Summary:
    """Return every metric of one account; alpha, beta and information ratio against `benchmark` returns where given."""
    from simulator.stats.trades import closed_trades

    ends, fills = session_ends(ledger.bars), ledger.fill_rows
    costs = fills["slippage"] + fills["commission"]
    return summary(
        session_returns(ledger, cash),
        free,
        benchmark,
        SESSIONS_A_YEAR,
        weights=ledger.weights_at(ends),
        traded=traded_share(ledger),
        trades=closed_trades(fills["symbol"], fills["at"], fills["quantity"], fills["price"], costs).round_trips(),
    )


def sharpe_ends(returns: Floats, free: Floats, seed: int = 0) -> dict[str, Measure]:
    """``sharpe_ci_low`` and ``sharpe_ci_high``: 95 % interval of the annual Sharpe ratio, stationary bootstrap."""
    found = sharpe_interval(returns, free, SESSIONS_A_YEAR, seed=seed)
    if isinstance(found, Undefined):
        return dict.fromkeys(("sharpe_ci_low", "sharpe_ci_high"), found)
    return {"sharpe_ci_low": found.low, "sharpe_ci_high": found.high}


def traded_share(ledger: Ledger) -> Floats:
    """(S,) dollars that changed hands in each session over the equity at its close; 0 where none is left."""
    ends = session_ends(ledger.bars)
    volume = np.zeros(len(ledger.bars))
    fills = ledger.fill_rows
    rows = np.searchsorted(ledger.bars.opens_at, fills["at"], side="right") - 1
    np.add.at(volume, rows, np.abs(fills["quantity"]) * fills["price"])
    per_session = np.add.reduceat(volume, np.r_[0, ends[:-1] + 1])
    equity = ledger.equity[ends]
    return np.where(equity > 0, per_session / np.where(equity > 0, equity, 1.0), 0.0)


def timing(ledger: Ledger) -> tuple[dict[str, float | None], dict[str, str]]:
    """Test of when the account was invested: its weights against the returns of the symbols, among all
    circular shifts of the one against the other.

    Trades fill at the open, so the night before a session is earned by the weights at the last close and the day by
    those at its own. Returns ``timing_percentile`` (share of the shifts that earn less), ``timing_p`` (one-sided), and
    reasons where they are undefined. A symbol without a bar earns nothing that session.
    """
    ends = session_ends(ledger.bars)
    names = ("timing_percentile", "timing_p")
    if len(ends) < 2:
        return dict.fromkeys(names), dict.fromkeys(names, "there is but one session")
    opens = np.r_[0, ends[:-1] + 1]
    weights, close, opened = ledger.weights_at(ends), ledger.bars.close[ends], ledger.bars.open[opens]
    with np.errstate(invalid="ignore"):
        night, day = np.nan_to_num(opened[1:] / close[:-1] - 1), np.nan_to_num(close[1:] / opened[1:] - 1)
    found = circular_shifts(np.hstack([weights[:-1], weights[1:]]), np.hstack([night, day]))
    if isinstance(found, Undefined):
        return dict.fromkeys(names), dict.fromkeys(names, found.reason)
    return {"timing_percentile": found.percentile, "timing_p": found.p}, {}


def cost_sensitivity(
    inputs: ReplayInputs, tape: Tape, rules: ExecutionRules, cash: float, free: Floats
) -> list[CostRow]:
    """Return the same decisions filled at 0, 1, 2 and 5 times the costs."""
    rows: list[CostRow] = []
    for multiple in COST_MULTIPLES:
        ledger = kernel.replay_tape(inputs.traded, tape, rules.scale(multiple), cash, inputs.opening_marks)
        paid = fsum((ledger.fill_rows["slippage"] + ledger.fill_rows["commission"]).tolist())
        rows.append({"multiple": multiple, "costs_paid": paid, "metrics": dict(account(ledger, cash, free).values)})
    return rows
