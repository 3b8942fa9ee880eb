"""State of a desk at one instant: all that its tools can see. In replay nothing in it is later than simulated now."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from functools import cached_property

import numpy as np

from simulator.desk.backtests import Backtester, Report, unheard
from simulator.desk.formulas import Caps
from simulator.market.bars import Floats, Snapshot
from simulator.market.calendar import NEW_YORK, day_number
from simulator.trading.model import Book, RoundTrip


@dataclass(frozen=True)
class DeskState:
    """Market, account and rules as of ``snapshot.as_of``.

    Attributes
    ----------
    sectors : {symbol: sector or class}; a symbol without one is a sector of its own
    trips : positions from flat to flat that have ended by now, and those still open, in order of entry
    equity : (session, dollars at its close) of every session so far
    stops, targets : {symbol: price} that protect what is held
    entries_today : positions opened in this session
    benchmark : symbol that strength is measured against
    as_traded : True where prices and volumes are those of the day, not adjusted for later splits
    backtester : who makes backtests; None where nobody does
    report : hears how far long work has come; what it raises ends it
    began : dollars the account began with, None where not known
    """

    snapshot: Snapshot
    book: Book
    sectors: Mapping[str, str] = field(default_factory=dict)
    caps: Caps = field(default_factory=Caps)
    trips: Sequence[RoundTrip] = ()
    equity: Sequence[tuple[date, float]] = ()
    stops: Mapping[str, float] = field(default_factory=dict)
    targets: Mapping[str, float] = field(default_factory=dict)
    entries_today: int = 0
    benchmark: str = "SPY"
    as_traded: bool = False
    backtester: Backtester | None = None
    report: Report = unheard
    began: float | None = None

    def sector(self, symbol: str) -> str:
        """Sector of `symbol`, its own name where none is stated."""
        return self.sectors.get(symbol, symbol)

    @cached_property
    def today(self) -> date:
        """The date in New York."""
        return self.snapshot.as_of.astimezone(NEW_YORK).date()

    @property
    def held(self) -> tuple[str, ...]:
        """Symbols of which anything is held."""
        return tuple(symbol for symbol, shares in self.book.positions.items() if shares)

    @property
    def first_equity(self) -> float | None:
        """Dollars the day began with: those of the last close before today, on the first day of the account."""
        return self.equity_before(self.today)

    def equity_before(self, session: date) -> float | None:
        """Return dollars at the last close before `session`, before the first those the account began with."""
        return next((dollars for day, dollars in reversed(self.equity) if day < session), self.began)

    @cached_property
    def path(self) -> Floats:
        """Dollars the account began with, where known, and those of each close: one return for each step."""
        began = () if self.began is None else (self.began,)
        return np.array([*began, *(dollars for _, dollars in self.equity)])

    @cached_property
    def returns(self) -> tuple[Floats, Floats]:
        """Return of the account and of cash in each session; the first session where the start is known. Nothing where
        nothing was left."""
        dollars = self.path
        if len(dollars) < 2 or not (dollars > 0.0).all():
            return np.empty(0), np.empty(0)
        bars = self.snapshot.bars
        last = np.flatnonzero(np.diff(bars.session_of, append=-1))
        earned = dict(zip(bars.session_of[last].tolist(), np.nan_to_num(bars.cash_return[last]).tolist(), strict=True))
        free = [earned.get(day_number(day), 0.0) for day, _ in self.equity]
        return dollars[1:] / dollars[:-1] - 1.0, np.array(free[-(len(dollars) - 1) :])

    @property
    def gross(self) -> float:
        """Sum of |weights|, a fraction of equity."""
        return sum(abs(self.book.weight(symbol)) for symbol in self.book.positions)

    @property
    def drawdown(self) -> float:
        """Fraction of equity below the highest of its start and its closes so far, 0 at a peak."""
        peak = max(self.path.tolist(), default=self.book.equity)
        return max(0.0, 1.0 - self.book.equity / peak) if peak > 0.0 else 0.0

    def sector_weight(self, sector: str) -> float:
        """Sum of |weights| held in `sector`."""
        held = (symbol for symbol in self.book.positions if self.sector(symbol) == sector)
        return sum(abs(self.book.weight(symbol)) for symbol in held)


def fallen(dollars: Floats) -> Floats:
    """Return the fraction below the highest so far (≥ 0) at each of `dollars`; 0 where nothing was ever there."""
    peaks = np.maximum.accumulate(dollars)
    return np.where(peaks > 0.0, 1.0 - dollars / np.where(peaks > 0.0, peaks, 1.0), 0.0)
