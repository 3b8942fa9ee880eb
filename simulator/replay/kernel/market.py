"""Bars and tapes as the arrays that compiled code reads: made once, then played again and again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from simulator.errors import DataError, UsageError
from simulator.market.bars import Bars, Floats, Instants
from simulator.replay import ledger
from simulator.replay.tape import PRICES, TERMS, Tape, due_at, years
from simulator.stats.skill import mean_moves
from simulator.trading.execution import SESSIONS_A_YEAR
from simulator.trading.parts import parts_of_many, stack_exits


class MarketArrays(NamedTuple):
    """(T,) opening instants, part of a year each bar accrues, what cash earns with the session that ends (NaN within);
    (T, N) which bars count, prices and dividends.

    `mark` is what a position is worth at a bar's close, `mark_at_open` at its open: the last price where the symbol has
    no bar; `marks` (N, T) are the former, symbol by symbol. `pays` (T,) is 1 where there is a dividend, with no rows
    where there is none at all; `opening_marks` (N,) are the last closes before the first bar, 0
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
    marks: Floats
    dividend: Floats
    pays: Instants
    opening_marks: Floats


@dataclass(frozen=True, eq=False)
class PreparedMarket:
    """Bars made ready for the kernel; hold it to play many tapes, rules or limits over the same bars."""

    bars: Bars
    arrays: MarketArrays
    free: Floats
    cash_instrument: str = ""

    @classmethod
    def of(
        cls, bars: Bars, opening_marks: Floats | None = None, free: Floats | None = None, cash_instrument: str = ""
    ) -> PreparedMarket:
        """Prepare `bars`; `opening_marks` (N,) are 0 or NaN where there is no close before them, all 0 if None.

        Excess returns are those over `free` (S,), the risk-free return of each session, what cash earns if None; who
        holds the `cash_instrument` alone holds nothing. What was prepared last for these bars is kept with them. Raises
        DataError when there are no bars, or `free` is for other sessions.
        """
        if not len(bars) or not bars.symbols:
            raise DataError("no bars to replay")
        marks = (
            np.zeros(len(bars.symbols)) if opening_marks is None else np.nan_to_num(opening_marks.astype(np.float64))
        )
        kept = _PREPARED.get(bars)
        if kept is None or kept.opening_marks.tobytes() != marks.tobytes():
            kept = _PREPARED[bars] = _arrays(bars, marks)
        count = len(_session_ends(bars))
        if free is None:
            free = np.nan_to_num(bars.cash_return[_session_ends(bars)])
        if free.shape != (count,):
            raise DataError(f"risk-free returns of {free.size} sessions, bars of {count}")
        return cls(bars, kept, free, cash_instrument)

    @cached_property
    def excess(self) -> ExcessReturns:
        """Excess returns of the symbols, for measures beyond a member's usual exposure."""
        return _excess_returns(self, self.arrays.mark)

    @cached_property
    def no_excess(self) -> ExcessReturns:
        """The risk-free return alone."""
        return _excess_returns(self, self.arrays.mark[:0])


class ExcessReturns(NamedTuple):
    """`free` (T,), the risk-free return of the session that a bar ends, NaN within; `session` (T,), the number of that
    session, and `portion`, one over its bars. Excess returns of the symbols by bar (T, N), the risk-free return taken
    off a session's last bar, and of a bar's session times `portion`, no rows where nobody asks for them; `rewards`
    (N,) are their means by session; `risky` (N,) is 0 for the cash instrument, else 1. `since` (N,) is the first bar at
    which a symbol could be held; `part` (T,) is 1, 1/2, 1/3 …"""

    free: Floats
    session: Instants
    portion: Floats
    by_bar: Floats
    of_session: Floats
    rewards: Floats
    risky: Instants
    since: Instants
    part: Floats


def _session_ends(bars: Bars) -> NDArray[np.intp]:
    return np.flatnonzero(np.r_[bars.session_of[1:] != bars.session_of[:-1], True])


def _excess_returns(market: PreparedMarket, marks: Floats) -> ExcessReturns:
    bars, ends = market.bars, _session_ends(market.bars)
    free = np.full(len(bars), np.nan)
    free[ends] = market.free
    moves = of_session = marks
    session = np.searchsorted(ends, np.arange(len(bars)))
    portion = 1.0 / np.bincount(session)[session]
    if len(marks):
        before = np.vstack([market.arrays.opening_marks, marks[:-1]])
        there = before > 0
        moves = np.where(there, (marks + market.arrays.dividend) / np.where(there, before, 1.0) - 1.0, 0.0)
        moves[ends] -= np.where(there[ends], market.free[:, None], 0.0)
        sessions = np.add.reduceat(moves, np.r_[0, ends[:-1] + 1])
        # Where a bar is a session both are the same numbers: once in memory, which many symbols wait for.
        of_session = moves if len(ends) == len(bars) else sessions[session] * portion[:, None]
    risky = np.array([symbol != market.cash_instrument for symbol in bars.symbols], dtype=np.int64)
    since, rewards = np.zeros(len(bars.symbols), dtype=np.int64), np.zeros(len(bars.symbols))
    if len(marks):
        since, rewards = np.where(there.any(axis=0), there.argmax(axis=0), len(bars)), mean_moves(sessions)
    part = 1.0 / np.arange(1, len(bars) + 1)
    return ExcessReturns(*map(read_only, (free, session, portion, moves, of_session, rewards, risky, since, part)))


_PREPARED: WeakKeyDictionary[Bars, MarketArrays] = WeakKeyDictionary()


def _arrays(bars: Bars, opening_marks: Floats) -> MarketArrays:
    there, mark, mark_at_open = ledger.tradable(bars), bars.close, bars.open
    if not there.all():
        mark = ledger.newest_marks(bars, opening_marks)
        mark_at_open = np.where(there, bars.open, np.vstack([opening_marks, mark[:-1]]))
    dividend = ledger.paid_dividends(bars)
    pays = np.asarray(dividend.any(axis=1), dtype=np.int64)  # NaN counts as something
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
        marks=read_only(np.ascontiguousarray(mark.T)),
        dividend=dividend,
        pays=read_only(pays[: len(pays) if pays.any() else 0]),
        opening_marks=opening_marks,
    )


class Targets(NamedTuple):
    """Decisions of all tapes, one tape after the other.

    `due` (K,) are the bars that decisions are carried out at, `at` (K,) the instants they were made at; `weight` (K,
    N) is NaN where a symbol is left alone, `in_row` (KN,) the same in one row. The prices (K, N) have no rows where no
    decision names any. `exits` (K, N, P, 2) are the share of what is left and the price of each part, as
    `trading.parts` has them, with no rows where nothing leaves in parts; `take_profit` is that of the rest. `terms` (K,
    N) have rows where weights and limits wait for the account: each member settles them in `settled` (2, K, N), which
    is the memory of `weight` and `limit`.
    """

    due: Instants
    at: Instants
    weight: Floats
    limit: Floats
    stop: Floats
    take_profit: Floats
    exits: Floats
    terms: NDArray[Any]
    settled: Floats
    in_row: Floats

    @classmethod
    def stated(
        cls, due: Instants, at: Instants, weight: Floats, prices: Sequence[Floats], exits: Floats | None = None
    ) -> Targets:
        """Return targets that do not wait for anything, of which `exits` (K, N, P, 2) leave in parts."""
        none = np.empty((2, 0, weight.shape[1]))
        limit, stop, take_profit = prices
        parts = np.empty((0, weight.shape[1], 0, 2))
        if exits is not None:
            parts, take_profit = parts_of_many(exits, take_profit)
        terms, take_profit, parts = map(read_only, (np.empty(none.shape[1:], dtype=TERMS), take_profit, parts))
        return cls(due, at, weight, limit, stop, take_profit, parts, terms, none, weight.reshape(-1))

    def unsettled(self) -> Targets:
        """Return the same targets with weights and limits of their own, all to be settled."""
        if not len(self.terms):
            return self
        settled = np.full((2, *self.terms.shape), np.nan)
        weight, limit = map(read_only, settled)
        return self._replace(weight=weight, limit=limit, settled=settled, in_row=weight.reshape(-1))


def exits_of(tapes: Sequence[Tape]) -> Floats | None:
    """Return (K, N, P, 2) exits of `tapes`, one tape after the other, as they were decided; None without any."""
    if all(tape.exits is None for tape in tapes):
        return None
    return stack_exits(np.empty((*tape.weight.shape, 0, 2)) if tape.exits is None else tape.exits for tape in tapes)


def targets_of(bars: Bars, tapes: Sequence[Tape], exits: Floats | None = None) -> Targets:
    """Return the targets of `tapes`, one tape after the other, and of their `exits`. Raises UsageError when one is for
    other symbols."""
    at = _stacked([tape.align(bars.symbols).instants for tape in tapes])
    priced = any(tape.priced for tape in tapes)
    prices = [_stacked([getattr(tape, name)[: None if priced else 0] for tape in tapes]) for name in PRICES]
    due, weight = due_at(bars, at).astype(np.int64), _stacked([tape.weight for tape in tapes])
    targets = Targets.stated(due, at, weight, prices, exits)
    waiting = [tape.terms for tape in tapes if tape.terms is not None]
    if not waiting:
        return targets
    if len(waiting) < len(tapes):
        raise UsageError("of the tapes of a batch some wait for the account and some do not")
    return targets._replace(terms=_stacked(waiting)).unsettled()


def _stacked(arrays: Sequence[NDArray[Any]]) -> NDArray[Any]:
    return read_only(np.ascontiguousarray(arrays[0] if len(arrays) == 1 else np.concatenate(arrays)))


def read_only(array: NDArray[Any]) -> NDArray[Any]:
    """Return a view as the arrays of bars are: to numba another kind of array is another kernel to compile."""
    view = array.view()
    view.flags.writeable = False
    return view
