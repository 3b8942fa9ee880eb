"""What the compiled fill rules work on: records of numpy, declared once for numba (dtypes) and for readers (types)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from simulator.market.bars import Floats
from simulator.replay import ledger
from simulator.replay.ledger import FillRow, OrderRow, RejectionRow

Ints = NDArray[np.int64]


class Line:
    """One symbol: its position, the bar of this turn (`fresh` = it has one), its order's parts in an auction.

    `pending` is the order waiting and `last_order` the one that filled last (-1 = none); `seen` is the bar the mark is
    up to date with while the symbol is not active.
    """

    held: float
    mark: float
    stop: float
    take: float
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


class Account:
    """Dollars, when the bar opened, and counts; `call` is 1 while a margin call stands."""

    cash: float
    equity: float
    kept_share: float
    at: int
    active: int
    pending: int
    brackets: int
    call: int
    orders: int
    fills: int
    refusals: int


class Rules:
    """The numbers of ExecutionRules, basis points turned into fractions."""

    commission_per_share: float
    commission_rate: float
    commission_min: float
    slippage_rate: float
    borrow_rate: float
    cash_interest: float
    initial_long: float
    initial_short: float
    maintenance_long: float
    maintenance_short: float
    min_trade: float
    whole_shares: int


LINE, ACCOUNT, RULES = ledger.record(Line), ledger.record(Account), ledger.record(Rules)


class Market(NamedTuple):
    """(T,) opening instants and part of a year each bar accrues; (T, N) which bars count, prices and dividends.

    `pays` tells if there is any dividend.
    """

    opens_at: Ints
    year: Floats
    tradable: NDArray[np.bool_]
    open: Floats
    high: Floats
    low: Floats
    close: Floats
    dividend: Floats
    pays: bool


class Wishes(NamedTuple):
    """Targets one after the other: those of decision k are rows ``first[k]`` to ``first[k + 1]``, in symbol order."""

    due: Ints
    at: Ints
    first: Ints
    symbol: Ints
    weight: Floats
    limit: Floats
    stop: Floats
    take_profit: Floats


class KernelState(NamedTuple):
    """Everything that changes, and the rules: records of numpy, typed here by the fields they have.

    `active` lists the symbols with a position or a pending order, ascending.
    """

    account: Account
    rules: Rules
    lines: Sequence[Line]
    active: Ints
    orders: Sequence[OrderRow]
    fills: Sequence[FillRow]
    refusals: Sequence[RejectionRow]


class Curves(NamedTuple):
    """What is written at every close; `positions` has no rows when only the curve is wanted."""

    equity: Floats
    cash: Floats
    positions: Floats
