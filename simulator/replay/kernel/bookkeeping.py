"""Bookkeeping of the compiled fill rules: orders, fills, refusals and brackets, and the rows they leave."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from simulator.compiled import inner
from simulator.replay import ledger
from simulator.replay.kernel.arithmetic import commission_of, nine_digits
from simulator.replay.kernel.state import AccountState, KernelState, Member, PositionState
from simulator.replay.ledger import FillRow, OrderRow, RejectionRow


@inner
def _bracketed(position: PositionState) -> int:
    return 0 if np.isnan(position.stop) and np.isnan(position.take_profit) else 1


@inner
def set_bracket(a: AccountState, position: PositionState, stop: float, take: float, row: int, part: int) -> None:
    """Protect a position by the bracket of decision `row` from its `part` on, whose profit is taken at `take`."""
    a.brackets -= _bracketed(position)
    position.stop = stop
    position.take_profit = take
    position.row = row
    position.part = part
    a.brackets += _bracketed(position)


@inner
def fill(
    a: AccountState,
    rules: Member,
    position: PositionState,
    rows: Sequence[FillRow],
    n: int,
    trade: tuple[float, float, float],
    why: int,
) -> None:
    """Book `trade` = (shares, price, slippage) of the pending order, or of none where `why` is an exit."""
    shares, price, slippage = trade
    commission = commission_of(a, rules, shares, price)
    value = shares * price
    # One after the other, and free margin as two sums: other orders of addition round differently.
    a.cash = a.cash - value - slippage - commission
    a.traded += abs(value)
    a.costs += slippage + commission
    held = nine_digits(rules, position.held + shares)
    position.held = held
    ordered = why <= ledger.AT_LIMIT
    if ordered:
        position.last_order = position.pending
    elif why <= ledger.TAKE_PROFIT:
        a.decided = 1
    if held == 0.0:
        set_bracket(a, position, np.nan, np.nan, 0, 0)
    elif ordered and (held > 0.0) == (shares > 0.0):
        set_bracket(a, position, position.order_stop, position.order_first, position.order_row, 0)
    i = a.fills
    a.fills = i + 1
    if i < len(rows):
        row = rows[i]
        row.order_id = position.last_order
        row.symbol = n
        row.at = a.at
        row.quantity = shares
        row.price = price
        row.slippage = slippage
        row.commission = commission
        row.why = why


@inner
def refuse(
    a: AccountState, rows: Sequence[RejectionRow], n: int, order: int, at: int, wanted: float, got: float, why: int
) -> None:
    i = a.refusals
    a.refusals = i + 1
    if i < len(rows):
        row = rows[i]
        row.order_id = order
        row.symbol = n
        row.at = at
        row.wanted = wanted
        row.got = got
        row.why = why


@inner
def end_order(a: AccountState, position: PositionState, rows: Sequence[OrderRow], status: int) -> None:
    if position.pending < len(rows):
        rows[position.pending].status = status
    position.pending = -1
    a.pending -= 1


@inner
def cancel(a: AccountState, position: PositionState, rows: Sequence[OrderRow]) -> None:
    if position.pending >= 0:
        end_order(a, position, rows, ledger.CANCELLED)


@inner
def end_auctioned(s: KernelState, n: int, wanted: float, got: float, why: int) -> None:
    a, position = s.account[0], s.positions[n]
    if got == wanted:
        end_order(a, position, s.orders, ledger.FILLED)
        return
    # + 0.0: a cut to nothing may be -0.0
    refuse(a, s.refusals, n, position.pending, a.at, wanted, got + 0.0, why)
    end_order(a, position, s.orders, ledger.REJECTED if got == 0.0 else ledger.PARTLY_FILLED)


@inner
def send(a: AccountState, position: PositionState, rows: Sequence[OrderRow], n: int, at: int) -> None:
    order = a.orders
    a.orders = order + 1
    a.pending += 1
    position.pending = order
    if order < len(rows):
        row = rows[order]
        row.symbol = n
        row.submitted_at = at
        row.quantity = position.quantity
        row.notional = position.notional
        row.limit = position.limit
        row.stop = position.order_stop
        row.take_profit = position.order_take_profit
        row.status = ledger.OPEN
