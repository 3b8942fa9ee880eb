"""State of the compiled fill rules: records of numpy, declared once for numba (dtypes) and for readers (types)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from simulator.market.bars import Floats, Instants
from simulator.replay import ledger
from simulator.replay.ledger import FillRow, OrderRow, RejectionRow
from simulator.trading.execution import ExecutionRules


class PositionState:
    """One symbol: its position, the order it waits for, and that order's parts in an auction.

    `pending` is the order that waits and `last_order` the one that filled last (-1 = none); of `quantity` and
    `notional` one is NaN. `take_profit` is where profit is taken next: at part `part` of decision `row`, or where the
    rest leaves. `order_first` is that of the order, of decision `order_row`.
    """

    held: float
    stop: float
    take_profit: float
    quantity: float
    notional: float
    limit: float
    order_stop: float
    order_take_profit: float
    order_first: float
    wanted: float
    reducing: float
    got: float
    pending: int
    last_order: int
    part: int
    row: int
    order_row: int


class AccountState:
    """Dollars, rates of slippage and commission, the opening instant of the bar, and counts.

    `call` is 1 while a margin call stands; `carried` earns interest. `traded` are dollars that changed hands in this
    session; over all sessions so far, `costs` of that, and the sum of `turnover` as a fraction of equity. `interest` is
    what cash earns a session, NaN for what the cash instrument earns; `shorts` is 1 while there are any. `decided` is 1
    where a target changed in this session or a bracket closed a position; `decisions` counts these. Before bar `noted`
    the usual exposure is summed up.
    """

    cash: float
    equity: float
    carried: float
    kept_share: float
    slippage: float
    commission: float
    traded: float
    costs: float
    interest: float
    turnover: float
    at: int
    active: int
    waiting: int
    pending: int
    brackets: int
    call: int
    orders: int
    fills: int
    refusals: int
    decided: int
    decisions: int
    shorts: int
    noted: int


class Member(ExecutionRules):
    """One parameter set of a batch: the rules, starting cash, caps (see `trading.risk.Limits`), and its decisions.

    Its decisions are those from `first` to before `end`, their instants `shift` rows before; `grouping` is the row of
    its symbols' groups, -1 for no caps.
    """

    cash: float
    max_weight: float
    max_group: float
    max_gross: float
    grouping: int
    first: int
    end: int
    shift: int


Indices = NDArray[np.uint64]
"""Columns of symbols. Unsigned: for a signed one every look-up would first ask if it counts from the end."""

POSITION, ACCOUNT, MEMBER = ledger.record(PositionState), ledger.record(AccountState), ledger.record(Member)


class LimitScratch(NamedTuple):
    """Room in which one decision is cut to its limits: see `trading.risk.make_limiter`. All hold N or N + 1 cells."""

    weights: Floats
    groups: Instants
    others: Floats
    groups_of_others: Instants
    asked: Floats
    room: Floats
    partials: Floats


class UsualExposure(NamedTuple):
    """Of one member, (N,) each: the sum of the weights it opened bars with; these less their mean so far, summed over
    sessions, `levels`; the targets that last counted as a change. `sums` (1,) is Σ of those means times excess returns.
    """

    summed: Floats
    levels: Floats
    targets: Floats
    sums: Floats


class KernelState(NamedTuple):
    """Everything that changes while one member is played, and its rules; the tables are used again for the next one.

    `account` has one row. Lists of symbols, all ascending: `active` have a position or a pending order, `waiting` had a
    pending order when they were last listed; `auction` (3, N) take part in the open auction, with what reduces and with
    what increases. `orders`, `fills` and `refusals` may have no rows: then they are counted and not kept.
    """

    account: Sequence[AccountState]
    rules: Member
    positions: Sequence[PositionState]
    active: Indices
    waiting: Indices
    auction: Indices
    orders: Sequence[OrderRow]
    fills: Sequence[FillRow]
    refusals: Sequence[RejectionRow]
    limits: LimitScratch
    usual: UsualExposure


class Room(NamedTuple):
    """A `KernelState` of no member yet."""

    account: Sequence[AccountState]
    positions: Sequence[PositionState]
    active: Indices
    waiting: Indices
    auction: Indices
    orders: Sequence[OrderRow]
    fills: Sequence[FillRow]
    refusals: Sequence[RejectionRow]
    limits: LimitScratch
    usual: UsualExposure

    @classmethod
    def of(cls, symbols: int, orders: int, fills: int, refusals: int) -> Room:
        """Return room for so many orders and so many rows of fills and refusals."""
        empty: Any = np.empty  # records, typed here by the fields they have
        floats, codes = np.empty((8, symbols + 1)), np.empty((2, symbols + 1), dtype=np.int64)
        return cls(
            account=empty(1, dtype=ACCOUNT),
            positions=empty(symbols, dtype=POSITION),
            active=np.empty(symbols, dtype=np.uint64),
            waiting=np.empty(symbols, dtype=np.uint64),
            auction=np.empty((3, symbols), dtype=np.uint64),
            orders=empty(orders, dtype=ledger.ORDER_COLUMNS),
            fills=empty(fills, dtype=ledger.FILL_COLUMNS),
            refusals=empty(refusals, dtype=ledger.REJECTION_COLUMNS),
            limits=LimitScratch(floats[0], codes[0], floats[1], codes[1], *floats[2:5]),
            usual=UsualExposure(floats[5], floats[6], floats[7], np.empty(1)),
        )


class Curves(NamedTuple):
    """Dollars at every close, `equity` (R, T), or (1, T) where each member may write over the one before; `cash`,
    `gross`, what positions are worth, and `inverse`, one over equity (T,), of the member played; `positions` (T, N)
    where books are kept; `measures` (R, 11) in the order of `batch.Results`, or (0, 0); `excess` and `beyond` (R, S) by
    session, or (0, 0)."""

    equity: Floats
    cash: Floats
    gross: Floats
    inverse: Floats
    positions: Floats
    measures: Floats
    excess: Floats
    beyond: Floats

    @classmethod
    def of_books(cls, bars: int, symbols: int) -> Curves:
        """Return curves for the books of one member."""
        none, (cash, gross, inverse) = np.empty((0, 0)), np.empty((3, bars))
        return cls(np.empty((1, bars)), cash, gross, inverse, np.empty((bars, symbols)), none, none, none)
