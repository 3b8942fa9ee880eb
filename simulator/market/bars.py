"""Bars, and the snapshot of them that is known at an instant.

    Bars (T bars × N symbols, whole history)
      └── snapshot(as_of) ──► Snapshot: the same arrays cut at the last bar that has closed by `as_of`

A bar is known at its close. Decision code gets a Snapshot and nothing else: bars after `as_of` are not forbidden but
absent.
"""

from __future__ import annotations

import hashlib
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar, overload

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

T = TypeVar("T")


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
    cut_from: tuple[Bars, int] | None = field(default=None, init=False, repr=False)
    """The bars these are rows of, and the first of the rows; None where they are no part of others, or were changed."""

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

    @property
    def fresh_within(self) -> NDArray[np.bool_]:
        """(N,) True where a symbol has a bar of its own in these rows."""
        start = 0 if self.cut_from is None else self.cut_from[1]
        if start:
            return np.asarray(self.fresh.any(axis=0))
        if "first" not in self.whole.worked_out:
            fresh = self.whole.fresh
            self.whole.worked_out["first"] = np.where(fresh.any(axis=0), fresh.argmax(axis=0), len(fresh))
        first: Instants = self.whole.worked_out["first"]
        return first < len(self)

    @cached_property
    def digest(self) -> str:
        """sha256 (hex) over symbols, instants and every number: equal digests mean equal bars."""
        h = hashlib.sha256("|".join((self.frequency, *self.symbols)).encode())
        for array in (self.opens_at, self.closes_at, *(getattr(self, name) for name in NUMBERS)):
            h.update(array.tobytes())
        return h.hexdigest()

    @cached_property
    def whole(self) -> Bars:
        """The bars these are rows of, themselves where they are no part of others."""
        return self if self.cut_from is None else self.cut_from[0]

    @cached_property
    def columns(self) -> dict[str, int]:
        """{symbol: its index on the second axis}."""
        return {symbol: n for n, symbol in enumerate(self.symbols)} if self.cut_from is None else self.whole.columns

    @cached_property
    def worked_out(self) -> dict[Any, Any]:
        """Room for what rests on these bars alone and is worked out once: they never change."""
        return {}

    def column(self, symbol: str) -> int:
        """Index of `symbol` on the second axis; KeyError if it is not here."""
        return self.columns[symbol]

    def series(self, what: str, column: int) -> tuple[Instants | None, Floats]:
        """(k,) the values of one field of one symbol without the missing ones, read-only, and the rows they stand in;
        None for the rows where none is missing."""
        key = ("series", what, column)
        if key not in self.worked_out:
            values: Floats = np.ascontiguousarray(getattr(self, what)[:, column])
            rows = np.flatnonzero(~np.isnan(values))
            values = values[rows]
            values.flags.writeable = False
            self.worked_out[key] = (rows if len(rows) < len(self) else None, values)
        found: tuple[Instants | None, Floats] = self.worked_out[key]
        return found

    def locate(self, what: str, column: int) -> tuple[Floats, int, int]:
        """Return the `series` of the whole bars, and from where to where in it the rows of these bars stand."""
        start = 0 if self.cut_from is None else self.cut_from[1]
        rows, values = self.whole.series(what, column)
        first, end = (start, start + len(self)) if rows is None else np.searchsorted(rows, (start, start + len(self)))
        return values, int(first), int(end)

    def select(self, symbols: Sequence[str]) -> Bars:
        """The same timeline with only `symbols`, in that order."""
        at = [self.column(s) for s in symbols]
        arrays = {name: getattr(self, name)[:, at] for name in NUMBERS}
        return replace(self, symbols=tuple(symbols), sources=tuple(self.sources[i] for i in at), **arrays)

    def rows(self, start: int, stop: int) -> Bars:
        """Bars `start` (included) to `stop` (excluded), by position."""
        columns = (*INSTANTS, *NUMBERS, "cash_return")
        cut = replace(self, **{name: getattr(self, name)[start:stop] for name in columns})
        first = range(len(self))[start:stop].start + (0 if self.cut_from is None else self.cut_from[1])
        object.__setattr__(cut, "cut_from", (self.whole, first))
        return cut

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
        known = tuple(event for event in events if event.known_at <= as_of)
        return self.snapshot_with(as_of, known, context, news)

    def snapshot_with(
        self, as_of: datetime, known: tuple[Event, ...], context: Bars | None, news: Sequence[News]
    ) -> Snapshot:
        """Return the `snapshot` at `as_of`, whose events were chosen before."""
        end = int(np.searchsorted(self.closes_at, instant(as_of), side="right"))
        return Snapshot(
            self.rows(0, end),
            as_of,
            known,
            context.snapshot_with(as_of, (), None, ()) if context is not None else None,
            Beginning(news, bisect_right(news, as_of, key=lambda one: one.published_at)),
        )


class Beginning(Sequence[T]):
    """The first `end` of `items`, which are shared and not copied: what was published by one instant of many."""

    __slots__ = ("_end", "_items")

    def __init__(self, items: Sequence[T], end: int) -> None:
        self._items, self._end = items, end

    def __len__(self) -> int:
        return self._end

    @overload
    def __getitem__(self, at: int) -> T: ...
    @overload
    def __getitem__(self, at: slice) -> Sequence[T]: ...
    def __getitem__(self, at: int | slice) -> T | Sequence[T]:
        if isinstance(at, slice):
            return [self._items[n] for n in range(self._end)[at]]
        return self._items[range(self._end)[at]]

    def __iter__(self) -> Iterator[T]:
        return (self._items[n] for n in range(self._end))

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, Sequence)
            and len(self) == len(other)
            and all(a == b for a, b in zip(self, other, strict=True))
        )

    __hash__ = None  # type: ignore[assignment]  # as that of a list


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
    news: Sequence[News] = ()

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
        return symbol in self.bars.columns and len(self.history(symbol, last=1)) > 0

    def is_traded(self, symbol: str) -> bool:
        """True where `symbol` has had a bar in the newest session known."""
        first = int(np.searchsorted(self.bars.session_of, self.bars.session_of[-1]))
        column = self.bars.columns.get(symbol)
        return column is not None and not bool(np.isnan(self.bars.close[first:, column]).all())

    @property
    def listed(self) -> NDArray[np.bool_]:
        """(N,) True where a symbol has had at least one bar by `as_of`."""
        return self.bars.fresh_within

    def history(self, symbol: str, what: str = "close", last: int | None = None) -> Floats:
        """(k,) newest `last` values of one field (all where None), oldest first, missing bars left out; k ≤ `last`.

        A read-only view: copy it to change it. Raises KeyError for an unknown symbol.
        """
        values, first, end = self.bars.locate(what, self.bars.column(symbol))
        return values[first if last is None else max(first, end - last) : end]

    def last(self, symbol: str, what: str = "close") -> float:
        """Newest value of one field, NaN where the symbol has had no bar yet."""
        values = self.history(symbol, what, 1)
        return float(values[-1]) if len(values) else float("nan")

    def indicator(self, name: str, symbol: str, *windows: int) -> Any:
        """(k,) values of an indicator of :mod:`simulator.market.indicators` at each bar of `symbol`, as that function
        gives them of :meth:`history`, read-only; ``macd`` gives three.

        It is worked out once for all dates of a run, over all of its bars, and cut at `as_of`: no value of an indicator
        depends on bars after its own. Raises UsageError for an unknown indicator, KeyError for an unknown symbol.
        """
        from simulator.market.indicators import along

        return along(self.bars, name, self.bars.column(symbol), windows)


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
