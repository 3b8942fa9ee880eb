"""Profit and loss of an account in parts: by symbol, by reason of exit, by time held. All out of its round trips."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from math import fsum, inf
from statistics import median

from simulator.stats.trades import SCRATCH
from simulator.trading.model import RoundTrip

ENDS = ("open", "limit", "take_profit", "stop", "margin_call", "still held")
"""How a position ends, as in `RoundTrip.ended`."""

HELD = (0, 1, 5, 21, 63, 252)
"""Longest of each class of holding times, in sessions; a last class has all that were held longer."""


@dataclass(frozen=True)
class Part:
    """Positions of one kind, and what they earned.

    Attributes
    ----------
    key : symbol, reason of exit, or longest time held of its class (infinite for the last)
    positions : from flat to flat, and those still held
    closed, won, lost : those that ended, and of these those that gained and lost; a scratch did neither
    pnl : dollars after costs; what is still held at its newest close, without dividends, interest and borrow cost
    mean : mean P&L of a position as a fraction of what was paid for it
    sessions : median sessions held of those that ended; None without one
    """

    key: str | float
    positions: int
    closed: int
    won: int
    lost: int
    pnl: float
    mean: float
    sessions: float | None

    @property
    def hit_rate(self) -> float | None:
        """Those that gained as a fraction of those that gained or lost; None without one."""
        return self.won / (self.won + self.lost) if self.won + self.lost else None


def by_symbol(trips: Iterable[RoundTrip]) -> tuple[Part, ...]:
    """Return a part per symbol, the one that earned most first."""
    return tuple(sorted(_parts(trips, lambda trip: trip.symbol), key=lambda one: (-one.pnl, str(one.key))))


def by_reason(trips: Iterable[RoundTrip]) -> tuple[Part, ...]:
    """Return a part per reason of exit, in the order of `ENDS`."""
    found = {str(one.key): one for one in _parts(trips, lambda trip: trip.ended)}
    return tuple(found[name] for name in (*ENDS, *sorted({*found} - {*ENDS})) if name in found)


def by_holding_time(trips: Iterable[RoundTrip]) -> tuple[Part, ...]:
    """Return a part per class of `HELD` that has a position, the shortest first; those still held are left out."""
    ended = [trip for trip in trips if trip.exit_at is not None]
    parts = _parts(ended, lambda trip: next((float(most) for most in HELD if trip.sessions <= most), inf))
    return tuple(sorted(parts, key=lambda one: float(one.key)))


def total(trips: Sequence[RoundTrip], key: str = "") -> Part:
    """Return all positions as one part; `mean` is 0 where there is none."""
    return _part(key, trips)


def _parts(trips: Iterable[RoundTrip], key: Callable[[RoundTrip], str | float]) -> list[Part]:
    kinds: dict[str | float, list[RoundTrip]] = {}
    for trip in trips:
        kinds.setdefault(key(trip), []).append(trip)
    return [_part(kind, members) for kind, members in kinds.items()]


def _part(key: str | float, trips: Sequence[RoundTrip]) -> Part:
    ended = [trip for trip in trips if trip.exit_at is not None]
    return Part(
        key=key,
        positions=len(trips),
        closed=len(ended),
        won=sum(trip.pnl > SCRATCH for trip in ended),
        lost=sum(trip.pnl < -SCRATCH for trip in ended),
        pnl=fsum(trip.pnl for trip in trips),
        mean=fsum(trip.pnl_fraction for trip in trips) / max(1, len(trips)),
        sessions=median([trip.sessions for trip in ended]) if ended else None,
    )
