"""A recorded run of decisions as arrays: what both engines replay.

A cell is one target: decision k on symbol n. NaN weight = leave the symbol alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simulator.errors import UsageError
from simulator.market.bars import Bars, Floats, Instants, instant, moment
from simulator.replay.ledger import record
from simulator.trading.conditional import Terms
from simulator.trading.fills import price_or_nan, price_or_none
from simulator.trading.model import Decision, OrderKind, Target
from simulator.trading.sizing import check

TERMS = record(Terms)

PRICES = ("limit", "stop", "take_profit")


@dataclass(frozen=True, eq=False)
class Tape:
    """K decisions on N symbols, oldest first.

    Attributes
    ----------
    instants : (K,) int64, nanoseconds since the epoch, UTC, cut to whole microseconds; never falling
    symbols : N names
    weight : (K, N) signed fraction of equity; NaN = leave alone
    limit, stop, take_profit : (K, N) prices; NaN = market order, no stop, no take-profit
    exits : (K, N, P, 2) share of the position and price of each part that leaves before the rest, NaN for none, as
        `Target.exits` has them; None where nothing leaves in parts
    terms : (K, N) records of :class:`simulator.trading.conditional.Terms` where weights and limits wait for the
        account, which only the kernel can play; else None

    Raises UsageError for wrong shapes, falling instants, infinite weights and prices that are not positive.
    """

    instants: Instants
    symbols: tuple[str, ...]
    weight: Floats
    limit: Floats
    stop: Floats
    take_profit: Floats
    terms: NDArray[Any] | None = None
    exits: Floats | None = None

    def __post_init__(self) -> None:
        instants = np.asarray(self.instants, dtype=np.int64)
        object.__setattr__(self, "instants", instants - instants % 1_000)  # a datetime holds no nanoseconds
        if (np.diff(self.instants) < 0).any():
            raise UsageError("the decisions of a tape are not in order of time")
        shape = (len(self.instants), len(self.symbols))
        for name in ("weight", *PRICES):
            array = np.asarray(getattr(self, name), dtype=np.float64)
            if array.shape != shape:
                raise UsageError(f"{name} of a tape has shape {array.shape}, expected {shape}")
            if np.isinf(array).any() or (name in PRICES and (array <= 0).any()):
                raise UsageError(f"{name} of a tape holds {'zero, negative or ' * (name in PRICES)}infinite numbers")
            object.__setattr__(self, name, array)
        if self.exits is not None and self.exits.shape != (*shape, self.exits.shape[2], 2):
            raise UsageError(f"exits of a tape have shape {self.exits.shape}, expected {shape} × parts × 2")

    def __len__(self) -> int:
        return len(self.instants)

    @cached_property
    def priced(self) -> bool:
        """True where a target has a limit, a stop, a take-profit or exits in parts."""
        waits = self.terms is not None or self.exits is not None
        return waits or not all(np.isnan(getattr(self, name)).all() for name in PRICES)

    @classmethod
    def from_decisions(cls, decisions: Sequence[Decision], symbols: Sequence[str]) -> Tape:
        """The tape of `decisions`, oldest first. Raises UsageError for a target on a symbol not among `symbols`."""
        column = {symbol: n for n, symbol in enumerate(symbols)}
        cells = {name: np.full((len(decisions), len(symbols)), np.nan) for name in ("weight", *PRICES)}
        weights, priced = cells["weight"], [(name, cells[name]) for name in PRICES]
        parts = max((len(target.exits) for decision in decisions for target in decision.targets), default=0)
        exits = np.full((*weights.shape, parts, 2), np.nan) if parts else None
        for k, decision in enumerate(decisions):
            for target in decision.targets:
                check(target)
                n = column.get(target.symbol)
                if n is None:
                    raise UsageError(f'no bars for "{target.symbol}"', where=f"decision of {decision.as_of}")
                weights[k, n] = target.weight
                if target.limit is not None or target.stop is not None or target.take_profit is not None:
                    for name, prices in priced:
                        prices[k, n] = price_or_nan(getattr(target, name))
                if exits is not None:
                    exits[k, n] = np.nan
                    exits[k, n, : len(target.exits)] = target.exits or np.empty((0, 2))
        at = np.array([instant(d.as_of) for d in decisions], dtype=np.int64)
        return cls(at, tuple(symbols), **cells, exits=exits)

    def align(self, symbols: Sequence[str]) -> Tape:
        """This tape; raises UsageError when its symbols are not exactly `symbols`."""
        if self.symbols != tuple(symbols):
            raise UsageError(f"the tape is for {', '.join(self.symbols)}, the bars for {', '.join(symbols)}")
        return self

    def between(self, due: NDArray[np.intp], first: int, end: int) -> Tape:
        """The decisions whose bar, of `due` (K,), is `first` or a later one before `end`."""
        kept = (due >= first) & (due < end)
        return self.select(kept, self.instants[kept])

    def shift(self, bars: Bars, steps: int) -> Tape:
        """The same targets carried out `steps` bars later (earlier if negative) than they would be on `bars`.

        How the execution toggles are made: -1 fills at the open of the very bar a decision knew the close of, which
        looks ahead on purpose. Decisions that would fall outside `bars` are left out.
        """
        due = due_at(bars, self.instants) + steps
        kept = (due >= 0) & (due < len(bars)) & (due - steps < len(bars))
        return self.select(kept, bars.opens_at[due[kept]])

    def select(self, which: NDArray[np.bool_], instants: Instants) -> Tape:
        """Return the decisions for which `which` (K,) is True, made at `instants`, none of which waits."""
        cells = {name: getattr(self, name)[which] for name in ("weight", *PRICES)}
        return Tape(instants, self.symbols, **cells, exits=None if self.exits is None else self.exits[which])

    def decision(self, k: int) -> Decision:
        """Return the k-th decision as a `Decision`."""
        targets = []
        for n in np.flatnonzero(~np.isnan(self.weight[k])):
            limit, stop, take_profit = (price_or_none(float(getattr(self, name)[k, n])) for name in PRICES)
            kind: OrderKind = "market" if limit is None else "limit"
            weight = float(self.weight[k, n])
            given = [] if self.exits is None else self.exits[k, n][~np.isnan(self.exits[k, n, :, 0])].tolist()
            exits = tuple((share, price) for share, price in given)
            targets.append(Target(self.symbols[n], weight, kind, limit, stop, take_profit, exits=exits))
        return Decision(moment(int(self.instants[k])), tuple(targets))


def due_at(bars: Bars, instants: Instants) -> NDArray[np.intp]:
    """(K,) the bar each decision is carried out at: the first that opens at or after it; T where none does."""
    return np.searchsorted(bars.opens_at, instants, side="left")


def years(bars: Bars, sessions_a_year: int) -> Floats:
    """(T,) part of a year that interest accrues for at each bar: one session at a session's first bar, else 0.

    Nothing was held before the first bar, so it counts 0.
    """
    starts = np.zeros(len(bars), dtype=bool)
    starts[1:] = bars.session_of[1:] != bars.session_of[:-1]
    return np.where(starts, 1.0 / sessions_a_year, 0.0)
