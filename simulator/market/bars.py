"""Bars, and the snapshot of them that is known at an instant.

    Bars (T bars × N symbols, whole history)
      └── snapshot(as_of) ──► Snapshot: the same arrays cut at the last bar that has closed by `as_of`

A bar is known at its close. Decision code gets a Snapshot and nothing else: bars after `as_of` are not forbidden but
absent.
"""

from __future__ import annotations

import hashlib
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from simulator.market.events import Event
    from simulator.market.news import News

FIELDS = ("open", "high", "low", "close", "volume")
NUMBERS = (*FIELDS, "dividend")
INSTANTS = ("session_of", "opens_at", "closes_at")

Floats = NDArray[np.float64]
Instants = NDArray[np.int64]


def _frozen(array: NDArray[Any], dtype: type) -> NDArray[Any]:
    kept: NDArray[Any] = np.ascontiguousarray(array, dtype=dtype)
    if kept is array and array.flags.writeable:
        kept = array.copy()
    kept.flags.writeable = False
    return kept


@dataclass(frozen=True, eq=False)
class Bars:
    """OHLCV bars of N symbols on one shared timeline of T bars, oldest first.

    Attributes
    ----------
    symbols : N names, unique
    opens_at, closes_at : (T,) int64, nanoseconds since the epoch, UTC; strictly increasing
    open, high, low, close, volume : (T, N) float64; NaN in all five where a symbol has no bar
    dividend : (T, N) cash per share going ex at the bar's open; 0 where none or where bars are adjusted
    session_of : (T,) int64, days since the epoch of the exchange session each bar belongs to
    cash_return : (T,) return of the cash instrument over the session that a bar ends; NaN where the session goes on
    sources : N strings, where each symbol's bars came from, e.g. ``sample`` or ``data/SPY.csv``
    frequency : ``1d``, ``1min``, ...
    """

    symbols: tuple[str, ...]
    opens_at: Instants
    closes_at: Instants
    open: Floats
    high: Floats
    low: Floats
    close: Floats
    volume: Floats
    dividend: Floats
    session_of: Instants
    sources: tuple[str, ...]
    frequency: str = "1d"
    cash_return: Floats = field(default_factory=lambda: np.empty(0))

    def __post_init__(self) -> None:
        shape = (len(self.opens_at), len(self.symbols))
        for name in INSTANTS:
            object.__setattr__(self, name, _frozen(getattr(self, name), np.int64))
        for name in NUMBERS:
            array = _frozen(getattr(self, name), np.float64)
            if array.shape != shape:
                raise ValueError(f"{name} has shape {array.shape}, expected {shape}")
            object.__setattr__(self, name, array)
        earned = self.cash_return if len(self.cash_return) else at_session_ends(self.session_of, 0.0)
        object.__setattr__(self, "cash_return", _frozen(earned, np.float64))
        if len(set(self.symbols)) != len(self.symbols):
            raise ValueError(f"symbols repeat: {self.symbols}")

    def __len__(self) -> int:
        return len(self.opens_at)

    def __repr__(self) -> str:
        if not len(self):
            return f"Bars({', '.join(self.symbols)}: empty)"
        return f"Bars({', '.join(self.symbols)}: {len(self)} × {self.frequency}, {self.dates[0]} to {self.dates[-1]})"

    @cached_property
    def dates(self) -> NDArray[np.datetime64]:
        """(T,) datetime64[D], the exchange session each bar belongs to."""
        return self.session_of.astype("datetime64[D]")

    @cached_property
    def fresh(self) -> NDArray[np.bool_]:
        """(T, N) True where the symbol has a bar of its own."""
        mask = ~np.isnan(self.close)
        mask.flags.writeable = False
        return mask

    @cached_property
    def digest(self) -> str:
        """sha256 (hex) over symbols, instants and every number: equal digests mean equal bars."""
        h = hashlib.sha256("|".join((self.frequency, *self.symbols)).encode())
        for array in (self.opens_at, self.closes_at, *(getattr(self, name) for name in NUMBERS)):
            h.update(array.tobytes())
        return h.hexdigest()

    def column(self, symbol: str) -> int:
        """Index of `symbol` on the second axis; KeyError if it is not here."""
        try:
            return self.symbols.index(symbol)
        except ValueError:
            raise KeyError(symbol) from None

    def select(self, symbols: Sequence[str]) -> Bars:
        """The same timeline with only `symbols`, in that order."""
        at = [self.column(s) for s in symbols]
        arrays = {name: getattr(self, name)[:, at] for name in NUMBERS}
        return replace(self, symbols=tuple(symbols), sources=tuple(self.sources[i] for i in at), **arrays)

    def rows(self, start: int, stop: int) -> Bars:
        """Bars `start` (included) to `stop` (excluded), by position."""
        columns = (*INSTANTS, *NUMBERS, "cash_return")
        return replace(self, **{name: getattr(self, name)[start:stop] for name in columns})

    def between(self, first: date, last: date) -> Bars:
        """Bars of the sessions `first` to `last`, both included."""
        lo = int(np.searchsorted(self.dates, np.datetime64(first), side="left"))
        hi = int(np.searchsorted(self.dates, np.datetime64(last), side="right"))
        return self.rows(lo, hi)

    def snapshot(
        self, as_of: datetime, events: Sequence[Event] = (), context: Bars | None = None, news: Sequence[News] = ()
    ) -> Snapshot:
        """Return what is known at `as_of` (aware): bars closed, events announced and news published at or before it.

        `events` may come in any order, `news` by time of publication. Raises ValueError for a naive `as_of`.
        """
        if as_of.tzinfo is None:
            raise ValueError(f"as_of {as_of} has no time zone")
        end = int(np.searchsorted(self.closes_at, instant(as_of), side="right"))
        published = news[: bisect_right(news, as_of, key=lambda one: one.published_at)]
        return Snapshot(
            self.rows(0, end),
            as_of,
            tuple(event for event in events if event.known_at <= as_of),
            context.snapshot(as_of) if context is not None else None,
            tuple(published),
        )


@dataclass(frozen=True, eq=False)
class Snapshot:
    """The market as known at `as_of`: bars that have closed, events announced, news published. Read-only.

    Every array has shape (t, N) with t bars up to and including the last one closed by `as_of`; NaN = no bar.
    `context` holds series that inform but are not traded (VIX, the cash instrument), cut at the same instant.
    """

    bars: Bars
    as_of: datetime
    events: tuple[Event, ...] = ()
    context: Snapshot | None = None
    news: tuple[News, ...] = ()

    @property
    def symbols(self) -> tuple[str, ...]:
        return self.bars.symbols

    def __len__(self) -> int:
        return len(self.bars)

    @property
    def session(self) -> date:
        """The session of the newest bar known."""
        return self.bars.dates[-1].astype(date)  # type: ignore[no-any-return]

    def has(self, symbol: str) -> bool:
        """True where `symbol` has had at least one bar by `as_of`."""
        return symbol in self.symbols and len(self.history(symbol)) > 0

    def history(self, symbol: str, what: str = "close", last: int | None = None) -> Floats:
        """(k,) newest `last` values of one field (all where None), oldest first, missing bars left out; k ≤ `last`.

        Raises KeyError for an unknown symbol.
        """
        values: Floats = getattr(self.bars, what)[:, self.bars.column(symbol)]
        values = values[~np.isnan(values)]
        return values if last is None else values[max(0, len(values) - last) :]

    def last(self, symbol: str, what: str = "close") -> float:
        """Newest value of one field, NaN where the symbol has had no bar yet."""
        values = self.history(symbol, what, 1)
        return float(values[-1]) if len(values) else float("nan")


def at_session_ends(session_of: Instants, values: Floats | float) -> Floats:
    """Return (T,) `values` on the last bar of each session, NaN on the others."""
    ends = np.append(np.diff(session_of) != 0, True)[: len(session_of)]
    spread = np.full(len(session_of), np.nan)
    spread[ends] = values
    return spread


def instant(moment: datetime) -> int:
    """Nanoseconds since the epoch (UTC) of an aware datetime, exact to the microsecond."""
    since = moment.astimezone(UTC) - datetime(1970, 1, 1, tzinfo=UTC)
    return (since.days * 86_400_000_000 + since.seconds * 1_000_000 + since.microseconds) * 1_000


def moment(at: int) -> datetime:
    """The aware UTC datetime of `at` nanoseconds since the epoch; the inverse of :func:`instant`."""
    return datetime.fromtimestamp(at // 1_000_000_000, UTC).replace(microsecond=at % 1_000_000_000 // 1_000)
