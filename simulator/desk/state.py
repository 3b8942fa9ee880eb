"""State of a desk at one instant: all that its tools can see. In replay nothing in it is later than simulated now."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from functools import cached_property

from simulator.desk.backtests import Backtester, Report, unheard
from simulator.desk.formulas import Caps
from simulator.market.bars import Snapshot
from simulator.market.calendar import NEW_YORK
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
        """Dollars the day began with: those of the last close before today. None on the first day."""
        return next((dollars for day, dollars in reversed(self.equity) if day < self.today), None)

    @property
    def gross(self) -> float:
        """Sum of |weights|, a fraction of equity."""
        return sum(abs(self.book.weight(symbol)) for symbol in self.book.positions)

    @property
    def drawdown(self) -> float:
        """Fraction of equity below its highest close so far, 0 at a peak."""
        peak = max((dollars for _, dollars in self.equity), default=self.book.equity)
        return max(0.0, 1.0 - self.book.equity / peak) if peak > 0.0 else 0.0

    def sector_weight(self, sector: str) -> float:
        """Sum of |weights| held in `sector`."""
        held = (symbol for symbol in self.book.positions if self.sector(symbol) == sector)
        return sum(abs(self.book.weight(symbol)) for symbol in held)
