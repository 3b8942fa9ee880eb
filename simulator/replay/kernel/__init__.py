"""The kernel: a tape replayed by compiled code, some hundred times faster than the event loop.

    tape ──► wishes ┐
    bars ──► market ┼──► compiled.play ──► equity, cash, positions; orders, fills, refusals ──► Ledger
    rules, cash ────┘

It shares sizing with the reference engine and nothing else, so that each audits the other.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple, cast

import numpy as np
from numpy.typing import NDArray

from simulator.errors import DataError
from simulator.market.bars import Bars, Floats
from simulator.replay import ledger
from simulator.replay.kernel.play import play
from simulator.replay.kernel.state import ACCOUNT, LINE, RULES, Curves, KernelState, Market, Wishes
from simulator.replay.ledger import Ledger
from simulator.replay.tape import Tape, due_at, years
from simulator.trading.execution import SESSIONS_A_YEAR, ExecutionRules


class Records(NamedTuple):
    """What compiled code writes its results to: the account's record and tables with room for every order."""

    account: np.void
    orders: NDArray[np.void]
    fills: NDArray[np.void]
    refusals: NDArray[np.void]


def replay_tape(
    bars: Bars, tape: Tape, rules: ExecutionRules, cash: float, opening_marks: Floats | None = None
) -> Ledger:
    """Play the recorded decisions of `tape`, whose symbols must be those of `bars`.

    Same arguments, timing, result and errors as :func:`simulator.replay.backtrader_engine.replay_tape`.
    """
    curves, records, marks = _run(bars, tape, rules, cash, opening_marks, whole=True)
    return Ledger(
        bars=bars,
        equity=curves.equity,
        cash=curves.cash,
        positions=curves.positions,
        order_rows=records.orders[: records.account["orders"]],
        fill_rows=records.fills[: records.account["fills"]],
        rejection_rows=records.refusals[: records.account["refusals"]],
        opening_marks=marks,
    )


def equity_curve(
    bars: Bars, tape: Tape, rules: ExecutionRules, cash: float, opening_marks: Floats | None = None
) -> Floats:
    """(T,) dollars at each close: :func:`replay_tape` without the books, for sweeps."""
    return _run(bars, tape, rules, cash, opening_marks, whole=False)[0].equity


def equity_curves(
    bars: Bars,
    runs: Iterable[tuple[Tape, ExecutionRules]],
    cash: float,
    opening_marks: Floats | None = None,
) -> Floats:
    """(R, T) one equity curve for each (tape, rules) of `runs`."""
    curves = [equity_curve(bars, tape, rules, cash, opening_marks) for tape, rules in runs]
    return np.array(curves).reshape(len(curves), len(bars))


def _run(
    bars: Bars, tape: Tape, rules: ExecutionRules, cash: float, opening_marks: Floats | None, whole: bool
) -> tuple[Curves, Records, Floats]:
    if not len(bars) or not bars.symbols:
        raise DataError("no bars to replay")
    shape = len(bars), len(bars.symbols)
    market = Market(
        opens_at=bars.opens_at,
        year=years(bars, SESSIONS_A_YEAR),
        tradable=ledger.tradable(bars),
        open=bars.open,
        high=bars.high,
        low=bars.low,
        close=bars.close,
        dividend=bars.dividend,
        pays=bool(bars.dividend.any()),
    )
    wishes = _wishes(bars, tape.aligned(bars.symbols))
    marks = np.zeros(shape[1]) if opening_marks is None else np.nan_to_num(opening_marks.astype(np.float64))
    room = 3 * len(wishes.symbol) if whole else 0
    while True:
        records = _records(len(wishes.symbol), room, cash)
        curves = Curves(np.empty(shape[0]), np.empty(shape[0]), np.zeros(shape if whole else (0, shape[1])))
        play(market, wishes, _desk(records, rules, marks), curves)
        if not whole or records.account["fills"] <= room:
            return curves, records, marks
        room = int(records.account["fills"])  # margin calls can make more fills than orders: again, with room for all


def _wishes(bars: Bars, tape: Tape) -> Wishes:
    at = np.flatnonzero(~np.isnan(tape.weight))
    decision, symbol = np.divmod(at, len(tape.symbols))
    return Wishes(
        due=due_at(bars, tape.instants).astype(np.int64),
        at=tape.instants,
        first=np.searchsorted(decision, np.arange(len(tape) + 1)).astype(np.int64),
        symbol=symbol,
        weight=np.take(tape.weight, at),
        limit=np.take(tape.limit, at),
        stop=np.take(tape.stop, at),
        take_profit=np.take(tape.take_profit, at),
    )


def _records(targets: int, room: int, cash: float) -> Records:
    account = np.zeros(1, dtype=ACCOUNT)[0]
    account["cash"] = account["equity"] = cash
    return Records(
        account=account,
        orders=np.zeros(targets, dtype=ledger.ORDER_COLUMNS),
        fills=np.zeros(room, dtype=ledger.FILL_COLUMNS),
        refusals=np.zeros(2 * targets, dtype=ledger.REJECTION_COLUMNS),
    )


def _desk(records: Records, rules: ExecutionRules, marks: Floats) -> KernelState:
    lines = np.zeros(len(marks), dtype=LINE)
    lines["mark"] = marks
    lines["stop"] = lines["take"] = np.nan
    lines["pending"] = lines["last_order"] = lines["seen"] = -1
    return KernelState(
        account=cast(Any, records.account),
        rules=cast(Any, _rules(rules)),
        lines=cast(Any, lines),
        active=np.zeros(len(marks), dtype=np.int64),
        orders=cast(Any, records.orders),
        fills=cast(Any, records.fills),
        refusals=cast(Any, records.refusals),
    )


def _rules(rules: ExecutionRules) -> np.void:
    row: np.void = np.zeros(1, dtype=RULES)[0]
    row["commission_per_share"] = rules.commission_per_share
    row["commission_rate"] = rules.commission_bps / 1e4
    row["commission_min"] = rules.commission_min
    row["slippage_rate"] = rules.slippage_bps / 1e4
    row["borrow_rate"] = rules.borrow_rate
    row["cash_interest"] = rules.cash_interest
    row["initial_long"] = rules.initial_margin_long
    row["initial_short"] = rules.initial_margin_short
    row["maintenance_long"] = rules.maintenance_long
    row["maintenance_short"] = rules.maintenance_short
    row["min_trade"] = rules.min_trade
    row["whole_shares"] = rules.whole_shares
    return row
