"""Quality checks of bars. Problems are data: a symbol, a date and a sentence each.

Two kinds: *refused* ones (the bars cannot be what the market did: loading stops) and *suspicious* ones (they may be
right, a person should look): missing sessions and jumps that look like unadjusted splits.
"""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simulator.market.bars import NUMBERS, Bars, Floats
from simulator.market.calendar import TABLE_FROM, Sessions, day_of, sessions
from simulator.market.table import DAILY, PRICES, BarTable, in_hours, step_of
from simulator.numerics import log

SPLITS = {new / old: f"{new}-for-{old}" for old, most in ((5, 9), (4, 9), (3, 10), (2, 15), (1, 200))
          for new in range(old + 1, most + 1) if math.gcd(new, old) == 1}  # fmt: skip
"""Prices before against after a split → its name; small ratios, those with fewer old shares last."""
OPEN_WITHIN, CLOSE_WITHIN = 0.03, 0.10
"""How near a split ratio the opening gap and the session's close-to-close move must both be."""
PLAIN = {3 / 2, 5 / 2, 7 / 2}
"""Ratios that are taken for a split whatever the session was like, as whole ones are. By others prices fall on bad news
too: they count where range and volume of that session were ordinary."""
USUAL, RANGE_WITHIN, VOLUME_WITHIN, MOVES = 20, 2.0, 2.5, 8
"""Bars before whose median is ordinary; how many times of it a session's range and volume (times ratio) may be; how
many of their daily moves a gap must be worth."""
WILD = 5.0
"""Factor within a session by which no price of a security moves unnoticed, whether a split has it or not."""
COARSE, IN_A_ROW = 4, 8
"""Typical spacing in sessions from which on bars are no daily ones: those of a week are 5 apart, 4 at holidays. So many
in a row are no halts either."""
LEAST, MOST = 1e-9, 1e12
"""Bounds of prices, in dollars."""
MOST_SHARES = 1e15

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

    Checked: spacing, order and duplicates, days that are no session, NaN, zero and negative prices, open or close
    outside [low, high], volume and dividends, missing sessions, jumps that look like unadjusted splits.
    """
    if isinstance(subject, Bars):
        return [problem for table in _tables(subject) for problem in check(table)]
    problems = refusals(subject)
    if not any(p.date is None or p.what.startswith(("is dated", "comes after")) for p in problems):
        problems += [*_gaps(subject), *jumps(subject)]
    return sorted(problems, key=lambda p: p.date or dt.date.min)


def refusals(table: BarTable) -> list[Problem]:
    """Only the problems for which bars are refused, in order of the rows."""
    if not len(table):
        return [Problem(table.symbol, None, "has no bars", table.path or table.source, refused=True)]
    if whole := _calendar_fault(table):
        return [Problem(table.symbol, None, whole, table.path or table.source, refused=True)]
    found = [(row, what) for mask, what in _rules(table) for row in np.flatnonzero(mask).tolist()]
    return [
        Problem(table.symbol, day_of(table.session_of[row]), _phrase(what, table, row), table.where(row), refused=True)
        for row, what in sorted(found, key=lambda pair: pair[0])
    ]


def _calendar_fault(table: BarTable) -> str:
    """Return what makes a whole file no series of daily bars of the exchange; empty where it can be one."""
    first, last = day_of(table.session_of.min()), day_of(table.session_of.max())
    if first < TABLE_FROM:
        cut = (
            f"cut them off with `sim data fetch --source files --path DIR --symbols {table.symbol} --from {TABLE_FROM}`"
        )
        return f"begins on {first}; sessions are known from {TABLE_FROM} on: {cut}"
    if not table.daily or len(table) < 3:
        return ""
    calendar = sessions(first, last).session_of
    spacing = np.abs(np.diff(np.searchsorted(calendar, table.session_of)))
    coarse = np.convolve(spacing >= COARSE, np.ones(IN_A_ROW), "valid") == IN_A_ROW
    since = ""
    if len(spacing) >= IN_A_ROW and coarse.any() and np.median(spacing) < COARSE:  # weekly bars in a part of the file
        since, spacing = f" from {day_of(table.session_of[np.argmax(coarse)])} on", spacing[coarse.nonzero()[0]]
    if np.median(spacing) >= COARSE:
        apart = f"bars stand {np.median(spacing):g} sessions apart{since}"
        return f"{apart}: read as daily ones they look ahead; fetch daily bars"
    if len(table) >= 14 and np.mean((table.session_of + 3) % 7 >= 5) >= 0.2:
        return "has bars on weekends: they end at another hour than the sessions of the exchange and would look ahead"
    return ""


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
    first = (
        np.isin(np.arange(len(table)), np.unique(table.key, return_index=True)[1]) if (steps < 0).any() else steps > 0
    )
    yield (steps < 0) & first, "comes after {before}: dates must ascend"
    yield (steps < 0) & ~first, "comes after {before}: dates must ascend, and this one repeats a bar further up"
    calendar = sessions(day_of(table.session_of.min()), day_of(table.session_of.max()))
    # Minutes of other days are left out like those outside of regular hours: when they were known is clear.
    closed = ~np.isin(table.session_of, calendar.session_of) & table.daily
    yield closed, "{weekday} is not a session of the New York Stock Exchange"
    missing = np.zeros(len(table), dtype=np.bool_)
    for name in PRICES:
        price = getattr(table, name)
        unknown = ~np.isfinite(price)
        yield unknown, f"{name} is {{{name}}}"
        yield ~unknown & (price <= 0), f"{name} is {{{name}}}, not above zero"
        yield ~unknown & (price > 0) & ((price < LEAST) | (price > MOST)), f"{name} is {{{name}}}, beyond any price"
        missing |= unknown
    yield ~missing & (table.high < table.low), "high {high} is below low {low}"
    ordered = ~missing & (table.high >= table.low)
    for name in ("open", "close"):
        price = getattr(table, name)
        outside = ordered & ((price > table.high) | (price < table.low))
        yield outside, f"{name} {{{name}}} lies outside [low {{low}}, high {{high}}]"
    yield ~((table.volume >= 0) & (table.volume <= MOST_SHARES)), "volume is {volume}"
    yield ~(np.isfinite(table.dividend) & (table.dividend >= 0)), "dividend is {dividend}"
    close = np.concatenate([table.close[:1], table.close[:-1]])
    yield np.isfinite(table.dividend) & (close > 0) & (table.dividend >= close), "dividend {dividend} is a whole price"


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


def labels_ends(table: BarTable) -> bool:
    """Return True where intraday labels look like the ends of bars: one at most closes, none at the opens."""
    calendar = sessions(table.first, table.last)
    opens, closes = np.isin(calendar.opens_at, table.starts), np.isin(calendar.closes_at, table.starts)
    return bool(len(calendar) and np.mean(closes & ~opens) >= 0.9)


UNADJUSTED = "looks like an unadjusted"
"""Words by which a jump that may be a split is told."""


def jumps(table: BarTable) -> Iterator[Problem]:
    """Openings far from the close before by a ratio that splits have, and prices WILD times what they were, or less."""
    if len(table) < 2:
        return
    overnight = table.session_of[1:] != table.session_of[:-1]
    opened, closed = _times(table.open[1:], table.close[:-1]), _times(table.close[1:], table.close[:-1])
    far = (opened >= min(SPLITS) * (1 - OPEN_WITHIN)) & overnight
    for row in (np.flatnonzero(far | (opened >= WILD) | (closed >= WILD)) + 1).tolist():
        name = _split_of(table, row) if far[row - 1] else ""
        times, verb, price = max(
            (opened[row - 1], "opens", table.open[row]), (closed[row - 1], "closes", table.close[row])
        )
        if name:
            verb, price, why = "opens", table.open[row], f"looks like an unadjusted {name}"
        elif times >= WILD:
            why = f"a factor of {times:,.4g}, as of an unadjusted split or another unit of price"
        else:
            continue
        what = f"{verb} at {price:.10g} after a close of {table.close[row - 1]:.10g}: {why}"
        yield Problem(table.symbol, day_of(table.session_of[row]), what, table.where(row))


def _times(prices: Floats, before: Floats) -> Floats:
    """Return by how many times `prices` are more or less than `before`, 0 where that is not known."""
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        ratio = np.maximum(prices / before, before / prices)
    return np.where(np.isfinite(ratio), ratio, 0.0)


def _split_of(table: BarTable, row: int) -> str:
    """Return the split that the opening of bar `row` looks like, the plainest of those near it; empty for none."""
    before, opens, closes = table.close[row - 1], table.open[row], table.close[row]
    down = opens < before
    opened, moved = (before / opens, before / closes) if down else (opens / before, closes / before)
    near = [r for r in SPLITS if abs(opened / r - 1) <= OPEN_WITHIN and abs(moved / r - 1) <= CLOSE_WITHIN]
    plain = [ratio for ratio in near if ratio in PLAIN or ratio.is_integer()]
    if not near or not (plain or _ordinary(table, row, near[-1] if down else 1 / near[-1])):
        return ""
    new, old = SPLITS[
        min(plain or near[-1:], key=lambda ratio: (ratio > 20 and ratio % 5 > 0, abs(opened / ratio - 1)))
    ].split("-for-")
    return f"{new}-for-{old} split" if down else f"{old}-for-{new} reverse split"


def _ordinary(table: BarTable, row: int, ratio: float) -> bool:
    """Return True where range and volume of a session are those of the weeks before it, in shares before a split."""
    usual = slice(row - USUAL, row)
    if row < USUAL or table.frequency != DAILY:
        return False
    spread = (table.high - table.low) / table.close
    moves = np.median(np.abs(np.diff(log(table.close[usual]))))
    calm = spread[row] <= np.median(spread[usual]) * RANGE_WITHIN and abs(math.log(ratio)) >= moves * MOVES
    return bool(calm and 0 < table.volume[row] <= np.median(table.volume[usual]) * ratio * VOLUME_WITHIN)
