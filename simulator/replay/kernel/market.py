"""Bars and tapes as the arrays that compiled code reads: made once, then played again and again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from simulator.errors import DataError
from simulator.market.bars import Bars, Floats, Instants
from simulator.replay import ledger
from simulator.replay.tape import PRICES, Tape, due_at, years
from simulator.trading.execution import SESSIONS_A_YEAR


class MarketArrays(NamedTuple):
    """(T,) opening instants, part of a year each bar accrues, what cash earns with the session that ends (NaN within);
    (T, N) which bars count, prices and dividends.

    `mark` is what a position is worth at a bar's close, `mark_at_open` at its open: the last price where the symbol has
    no bar. `pays` (1,) is 1 if there is any dividend; `opening_marks` (N,) are the last closes before the first bar, 0
    for none.
    """

    opens_at: Instants
    year: Floats
    cash_return: Floats
    tradable: NDArray[np.bool_]
    open: Floats
    high: Floats
    low: Floats
    close: Floats
    mark: Floats
    mark_at_open: Floats
    dividend: Floats
    pays: Instants
    opening_marks: Floats


@dataclass(frozen=True, eq=False)
class PreparedMarket:
    """Bars made ready for the kernel; hold it to play many tapes, rules or limits over the same bars."""

    bars: Bars
    arrays: MarketArrays

    @classmethod
    def of(cls, bars: Bars, opening_marks: Floats | None = None) -> PreparedMarket:
        """Prepare `bars`; `opening_marks` (N,) are 0 or NaN where there is no close before them, all 0 if None.

        What was prepared last for these bars is kept with them. Raises DataError when there are no bars.
        """
        if not len(bars) or not bars.symbols:
            raise DataError("no bars to replay")
        marks = (
            np.zeros(len(bars.symbols)) if opening_marks is None else np.nan_to_num(opening_marks.astype(np.float64))
        )
        kept = _PREPARED.get(bars)
        if kept is None or kept.opening_marks.tobytes() != marks.tobytes():
            kept = _PREPARED[bars] = _arrays(bars, marks)
        return cls(bars, kept)


_PREPARED: WeakKeyDictionary[Bars, MarketArrays] = WeakKeyDictionary()


def _arrays(bars: Bars, opening_marks: Floats) -> MarketArrays:
    there, mark, mark_at_open = ledger.tradable(bars), bars.close, bars.open
    if not there.all():
        mark = ledger.newest_marks(bars, opening_marks)
        mark_at_open = np.where(there, bars.open, np.vstack([opening_marks, mark[:-1]]))
    return MarketArrays(
        opens_at=bars.opens_at,
        year=years(bars, SESSIONS_A_YEAR),
        cash_return=bars.cash_return,
        tradable=there,
        open=bars.open,
        high=bars.high,
        low=bars.low,
        close=bars.close,
        mark=read_only(mark),
        mark_at_open=read_only(mark_at_open),
        dividend=ledger.paid_dividends(bars),
        pays=np.array([bars.dividend.any()], dtype=np.int64),
        opening_marks=opening_marks,
    )


class Targets(NamedTuple):
    """Decisions of all tapes, one tape after the other.

    `due` (K,) are the bars that decisions are carried out at, `at` (K,) the instants they were made at; `weight` (K, N)
    is NaN where a symbol is left alone. The prices (K, N) have no rows where no decision names any.
    """

    due: Instants
    at: Instants
    weight: Floats
    limit: Floats
    stop: Floats
    take_profit: Floats


def targets_of(bars: Bars, tapes: Sequence[Tape]) -> Targets:
    """Return the targets of `tapes`, one tape after the other. Raises UsageError when one is for other symbols."""
    at = _stacked([tape.aligned(bars.symbols).instants for tape in tapes])
    priced = any(tape.priced for tape in tapes)
    prices = [_stacked([getattr(tape, name)[: None if priced else 0] for tape in tapes]) for name in PRICES]
    return Targets(due_at(bars, at).astype(np.int64), at, _stacked([tape.weight for tape in tapes]), *prices)


def _stacked(arrays: Sequence[NDArray[Any]]) -> NDArray[Any]:
    return read_only(np.ascontiguousarray(arrays[0] if len(arrays) == 1 else np.concatenate(arrays)))


def read_only(array: NDArray[Any]) -> NDArray[Any]:
    """Return a view as the arrays of bars are: to numba another kind of array is another kernel to compile."""
    view = array.view()
    view.flags.writeable = False
    return view
