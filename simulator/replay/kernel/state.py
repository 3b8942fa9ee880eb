"""State of the compiled fill rules: records of numpy, declared once for numba (dtypes) and for readers (types)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from simulator.market.bars import Floats, Instants
from simulator.replay import ledger
from simulator.replay.ledger import FillRow, OrderRow, RejectionRow
from simulator.trading.execution import ExecutionRules


class PositionState:
    """One symbol: its position, the bar of this turn (`fresh` = it has one), its order's parts in an auction.

    `pending` is the order waiting and `last_order` the one that filled last (-1 = none); `seen` is the bar the mark is
    up to date with while the symbol is not active; `targeted` is 1 while a decision on it is cut to limits.
    """

    held: float
    mark: float
    stop: float
    take_profit: float
    open: float
    high: float
    low: float
    wanted: float
    reducing: float
    increasing: float
    got: float
    fresh: int
    pending: int
    last_order: int
    seen: int
    targeted: int


class AccountState:
    """Dollars, when the bar opened, and counts; `call` is 1 while a margin call stands, `carried` earns interest."""

    cash: float
    equity: float
    carried: float
    kept_share: float
    at: int
    active: int
    pending: int
    brackets: int
    call: int
    orders: int
    fills: int
    refusals: int


class Member(ExecutionRules):
    """One parameter set of a batch: the rules, starting cash, caps (see `trading.risk.Limits`), and its decisions.

    Its decisions are those from `first` to before `end`; `grouping` is the row of its symbols' groups, -1 for no caps.
    """

    cash: float
    max_weight: float
    max_group: float
    max_gross: float
    grouping: int
    first: int
    end: int


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


class KernelState(NamedTuple):
    """Everything that changes while one member is played, and its rules; the tables are used again for the next one.

    `active` lists the symbols with a position or a pending order, ascending. `fills` and
    `refusals` may have no rows: then they are counted and not kept.
    """

    account: AccountState
    rules: Member
    positions: Sequence[PositionState]
    active: Instants
    orders: Sequence[OrderRow]
    fills: Sequence[FillRow]
    refusals: Sequence[RejectionRow]
    limits: LimitScratch

    @classmethod
    def with_room(cls, symbols: int, orders: int, fills: int, refusals: int) -> KernelState:
        """Return a state of no member yet, with room for so many orders and so many rows of fills and refusals."""
        zeros: Any = np.zeros  # records, typed here by the fields they have
        floats, codes = np.empty((5, symbols + 1)), np.empty((2, symbols + 1), dtype=np.int64)
        return cls(
            account=zeros(1, dtype=ACCOUNT)[0],
            rules=zeros(1, dtype=MEMBER)[0],
            positions=zeros(symbols, dtype=POSITION),
            active=np.zeros(symbols, dtype=np.int64),
            orders=zeros(orders, dtype=ledger.ORDER_COLUMNS),
            fills=zeros(fills, dtype=ledger.FILL_COLUMNS),
            refusals=zeros(refusals, dtype=ledger.REJECTION_COLUMNS),
            limits=LimitScratch(floats[0], codes[0], floats[1], codes[1], *floats[2:]),
        )


class Curves(NamedTuple):
    """Dollars at every close: `equity` (R, T); `cash` (T,) and `positions` (T, N) where R is 1 and books are kept."""

    equity: Floats
    cash: Floats
    positions: Floats
