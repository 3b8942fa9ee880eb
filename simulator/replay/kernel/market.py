"""Bars and tapes as the arrays that compiled code reads: made once, then played again and again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from simulator.errors import DataError
from simulator.market.bars import Bars, Floats, Instants
from simulator.replay import ledger
from simulator.replay.tape import Tape, due_at, years
from simulator.trading.execution import SESSIONS_A_YEAR


class MarketArrays(NamedTuple):
    """(T,) opening instants, part of a year each bar accrues, what cash earns with the session that ends (NaN within);
    (T, N) which bars count, prices and dividends.

    `pays` tells if there is any dividend; `opening_marks` (N,) are the last closes before the first bar, 0 for none.
    """

    opens_at: Instants
    year: Floats
    cash_return: Floats
    tradable: NDArray[np.bool_]
    open: Floats
    high: Floats
    low: Floats
    close: Floats
    dividend: Floats
    pays: bool
    opening_marks: Floats


@dataclass(frozen=True, eq=False)
class PreparedMarket:
    """Bars made ready for the kernel; hold it to play many tapes, rules or limits over the same bars."""

    bars: Bars
    arrays: MarketArrays

    @classmethod
    def of(cls, bars: Bars, opening_marks: Floats | None = None) -> PreparedMarket:
        """Prepare `bars`; `opening_marks` (N,) are 0 or NaN where there is no close before them, all 0 if None.

        Raises DataError when there are no bars.
        """
        if not len(bars) or not bars.symbols:
            raise DataError("no bars to replay")
        marks = np.zeros(len(bars.symbols)) if opening_marks is None else opening_marks.astype(np.float64)
        arrays = MarketArrays(
            opens_at=bars.opens_at,
            year=years(bars, SESSIONS_A_YEAR),
            cash_return=bars.cash_return,
            tradable=ledger.tradable(bars),
            open=bars.open,
            high=bars.high,
            low=bars.low,
            close=bars.close,
            dividend=ledger.paid_dividends(bars),
            pays=bool(bars.dividend.any()),
            opening_marks=np.nan_to_num(marks),
        )
        return cls(bars, arrays)


class Targets(NamedTuple):
    """Targets one after the other: those of decision k are rows ``first[k]`` to ``first[k + 1]``, in symbol order.

    `due` (K,) are the bars that decisions are carried out at, `at` (K,) the instants they were made at.
    """

    due: Instants
    at: Instants
    first: Instants
    symbol: Instants
    weight: Floats
    limit: Floats
    stop: Floats
    take_profit: Floats


def targets_of(bars: Bars, tapes: Sequence[Tape]) -> Targets:
    """Return the targets of `tapes`, one tape after the other. Raises UsageError when one is for other symbols."""
    cells = [np.flatnonzero(~np.isnan(tape.aligned(bars.symbols).weight)) for tape in tapes]
    counts = [
        np.bincount(cell // len(bars.symbols), minlength=len(tape)) for tape, cell in zip(tapes, cells, strict=True)
    ]
    at = np.concatenate([tape.instants for tape in tapes])
    return Targets(
        due_at(bars, at).astype(np.int64),
        at,
        np.cumsum(np.concatenate([[0], *counts]), dtype=np.int64),
        np.concatenate([cell % len(bars.symbols) for cell in cells]),
        *(
            np.concatenate([np.take(getattr(tape, name), cell) for tape, cell in zip(tapes, cells, strict=True)])
            for name in ("weight", "limit", "stop", "take_profit")
        ),
    )
