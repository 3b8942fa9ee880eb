"""Quality checks of bars. Problems are data: a symbol, a date and a sentence each.

Two kinds: *refused* ones (the bars cannot be what the market did: loading stops) and *suspicious* ones (they may be
right, a person should look): missing sessions and jumps that look like unadjusted splits.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simulator.market.bars import NUMBERS, Bars
from simulator.market.calendar import Sessions, day_of, sessions
from simulator.market.table import DAILY, PRICES, BarTable, in_hours, step_of

SPLITS = {ratio: f"{ratio}-for-1" for ratio in (2, 3, 4, 5, 10, 20)} | {1.5: "3-for-2"}
"""Prices before against after a split → its name."""
OPEN_WITHIN, CLOSE_WITHIN = 0.03, 0.10
"""How near a split ratio the opening gap and the session's close-to-close move must both be."""

Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Problem:
    """One thing wrong with one symbol's bars.

    Attributes
    ----------
    date : the session; None where the whole file is meant
    what : a sentence about it
    where : ``file:line`` or file, as far as known
    refused : True where loading refuses the bars
    """

    symbol: str
    date: dt.date | None
    what: str
    where: str = ""
    refused: bool = False

    def __str__(self) -> str:
        head = f"{self.symbol} {self.date}" if self.date else self.symbol
        return f"{head}: {self.what}" + (f" ({self.where})" if self.where else "")


def check(subject: Bars | BarTable) -> list[Problem]:
    """Every problem of `subject`, by symbol and date; an empty list when there is none.

    Checked: order and duplicates, days that are no session, NaN, zero and negative prices, open or close outside
    [low, high], volume and dividends, missing sessions, jumps that look like unadjusted splits.
    """
    if isinstance(subject, Bars):
        return [problem for table in _tables(subject) for problem in check(table)]
    problems = refusals(subject)
    if not any(p.what.startswith(("is dated", "comes after")) for p in problems):
        problems += [*_gaps(subject), *_jumps(subject)]
    return sorted(problems, key=lambda p: p.date or dt.date.min)


def refusals(table: BarTable) -> list[Problem]:
    """Only the problems for which bars are refused, in order of the rows."""
    if not len(table):
        return [Problem(table.symbol, None, "has no bars", table.path or table.source, refused=True)]
    found = [(row, what) for mask, what in _rules(table) for row in np.flatnonzero(mask).tolist()]
    return [
        Problem(table.symbol, day_of(table.session_of[row]), _phrase(what, table, row), table.where(row), refused=True)
        for row, what in sorted(found, key=lambda pair: pair[0])
    ]


def _tables(bars: Bars) -> Iterator[BarTable]:
    for column, symbol in enumerate(bars.symbols):
        fresh = bars.fresh[:, column]
        arrays: dict[str, Any] = {name: getattr(bars, name)[fresh, column] for name in NUMBERS}
        at = (bars.session_of[fresh], bars.opens_at[fresh])
        yield BarTable(symbol, bars.sources[column], bars.frequency, *at, **arrays)


def _phrase(what: str, table: BarTable, row: int) -> str:
    numbers = {name: f"{getattr(table, name)[row]:.10g}".replace("nan", "NaN") for name in NUMBERS}
    day = day_of(table.session_of[row])
    before = day_of(table.session_of[row - 1]) if row else day
    return what.format(**numbers, weekday=f"{day:%A}", before=before)


def _rules(table: BarTable) -> Iterator[tuple[Mask, str]]:
    """(n,) True for the rows at fault, and the sentence about one of them."""
    steps = np.diff(table.key, prepend=table.key[0] - 1)
    yield steps == 0, "is dated like the bar before it: a duplicate"
    yield steps < 0, "comes after {before}: dates must ascend"
    calendar = sessions(day_of(table.session_of.min()), day_of(table.session_of.max()))
    closed = ~np.isin(table.session_of, calendar.session_of)
    yield closed, "{weekday} is not a session of the New York Stock Exchange"
    missing = np.zeros(len(table), dtype=np.bool_)
    for name in PRICES:
        price = getattr(table, name)
        unknown = ~np.isfinite(price)
        yield unknown, f"{name} is {{{name}}}"
        yield ~unknown & (price <= 0), f"{name} is {{{name}}}, not above zero"
        missing |= unknown
    yield ~missing & (table.high < table.low), "high {high} is below low {low}"
    ordered = ~missing & (table.high >= table.low)
    for name in ("open", "close"):
        price = getattr(table, name)
        outside = ordered & ((price > table.high) | (price < table.low))
        yield outside, f"{name} {{{name}}} lies outside [low {{low}}, high {{high}}]"
    yield ~(np.isfinite(table.volume) & (table.volume >= 0)), "volume is {volume}"
    yield ~(np.isfinite(table.dividend) & (table.dividend >= 0)), "dividend is {dividend}"


def _gaps(table: BarTable) -> Iterator[Problem]:
    if not len(table):
        return
    calendar = sessions(day_of(table.session_of.min()), day_of(table.session_of.max()))
    for day in calendar.session_of[~np.isin(calendar.session_of, table.session_of)].tolist():
        yield Problem(table.symbol, day_of(day), "the session is missing", table.path or table.source)
    if table.frequency != DAILY:
        yield from _thin_sessions(table, calendar)


def _thin_sessions(table: BarTable, calendar: Sessions) -> Iterator[Problem]:
    regular = table.session_of[in_hours(table, calendar)]
    days, counts = np.unique(regular, return_counts=True)
    rows = np.searchsorted(calendar.session_of, days)
    lengths = calendar.closes_at[rows] - calendar.opens_at[rows]
    expected = -(-lengths // step_of(table.frequency))
    for day, count, full in zip(days.tolist(), counts.tolist(), expected.tolist(), strict=True):
        if count < full:
            what = f"{full - count} of {full} bars of {table.frequency} are missing"
            yield Problem(table.symbol, day_of(day), what, table.path or table.source)


def _jumps(table: BarTable) -> Iterator[Problem]:
    if len(table) < 2:
        return
    with np.errstate(divide="ignore", invalid="ignore"):
        gap = table.open[1:] / table.close[:-1]
        move = table.close[1:] / table.close[:-1]
    overnight = table.session_of[1:] != table.session_of[:-1]
    names = {1 / ratio: f"{name} split" for ratio, name in SPLITS.items()}
    names |= {ratio: "-for-".join(reversed(name.split("-for-"))) + " reverse split" for ratio, name in SPLITS.items()}
    for factor, name in names.items():
        near = (np.abs(gap / factor - 1) <= OPEN_WITHIN) & (np.abs(move / factor - 1) <= CLOSE_WITHIN)
        for row in (np.flatnonzero(near & overnight) + 1).tolist():
            what = (
                f"opens at {table.open[row]:.10g} after a close of {table.close[row - 1]:.10g}: "
                f"looks like an unadjusted {name}"
            )
            yield Problem(table.symbol, day_of(table.session_of[row]), what, table.where(row))
