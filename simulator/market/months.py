"""Digests of bars by calendar month: they tell that two runs saw the same market, whatever its symbol was called.

Of each month three: of its returns, of their order, and one run of returns out of it. The last one, the least of the
hashes of all runs in the month (Broder 1997), is found again where sessions were left out, or all dates were moved.
What none of them finds, prices rescaled and rounded again, or without every fifth session, the returns of every other
day tell, which are kept beside them: half of them stay close to what they were.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from functools import lru_cache
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from simulator.market.bars import Bars, Floats, at_session_ends

FOUR_DIGITS = 1e4
TIE = 1e-6
"""Added before rounding: a return that lies between two digits is rounded up whatever its last bit says."""

FEWEST, FEWEST_ORDERED = 5, 10
"""Returns of a month without which it, or the order of its returns, says nothing."""

RUN, FEWEST_BITS = 6, 30
"""Returns in a row that are hashed together, and bits of their absolute four digits without which they say nothing:
those of cash repeat themselves, and are anyone's."""

ALIKE, FEWEST_COMMON = 0.15, 30
"""Median difference of two symbols' returns, as a part of their median size, up to which they are one market, and days
both must have: of real bars the closest two come to 0.20 in any 30 such days, an index and the fund that holds it to
0.03, prices at a 77th and in cents to 0.08."""

MOVES = 5
"""Median of the absolute four digits of a month below which its returns are not kept: everybody's cash is alike."""

ABSENT = -2048
LETTERS = np.frombuffer(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_", dtype=np.uint8)
"""Two of them are a return in four digits, of 12 bits."""

NOTHING = np.uint64(2**64 - 1)
STEPS = (np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB), np.uint64(31))

BarMonths = Mapping[str, Sequence[str]]
"""{symbol: [first month, its digests, those of the next, …]}; empty where a month has too few returns."""


def month_digests(bars: Bars, first: date) -> dict[str, list[str]]:
    """Return the digests of every symbol of `bars` by month, from the month of `first` on, which may come before it.

    Two of eight hex digits a month: of its close-to-close returns at four digits, and of their order, which outlives
    prices that were rescaled and rounded again; then twelve, of RUN returns in a row, where there are any that move;
    behind a point the returns of its even weekdays, counted from 1970, as `returns_of` reads them.
    All are those of the symbol's own bars: neither its name, nor the scale of its prices, nor what comes before or
    after that month changes them. Kept with the bars.
    """
    key = "month digests", first
    if key not in bars.worked_out:
        bars.worked_out[key] = [_of_symbol(bars, column, first) for column in range(len(bars.symbols))]
    return dict(zip(bars.symbols, map(list, bars.worked_out[key]), strict=True))


def shared_keys(months: BarMonths) -> Iterator[tuple[str, tuple[str, int]]]:
    """Yield (key, (symbol, number of the month)): two symbols with a key in common have a month in common."""
    for symbol, (start, *digests) in months.items():
        for number, whole in enumerate(digests, _month(start)):
            all_of_it = whole.partition(".")[0]
            for kind, digest in enumerate((all_of_it[:8], all_of_it[8:16])):
                if digest:
                    yield f"{number}.{kind}.{digest}", (symbol, number)
            if run := all_of_it[16:]:
                yield run, (symbol, number)


def returns_of(series: Sequence[str]) -> tuple[NDArray[np.int64], Floats]:
    """Return (days, returns): of a symbol's [first month, its digests, …] the days whose returns it keeps, counted from
    1970, and these, in four digits."""
    kept = [
        (_even_weekdays(number), letters)
        for number, whole in enumerate(series[1:], _month(series[0]))
        if (letters := whole.partition(".")[2])
    ]
    if not kept:
        return np.empty(0, dtype=np.int64), np.empty(0)
    text = np.frombuffer("".join(letters for _, letters in kept).encode(), dtype=np.uint8)
    high, low = _code_of_letters()[text].reshape(-1, 2).T
    codes = 64 * high + low + ABSENT
    days = np.concatenate([days for days, _ in kept])
    return days[codes != ABSENT], codes[codes != ABSENT].astype(np.float64)


def days_alike(one: tuple[NDArray[np.int64], Floats], other: tuple[NDArray[np.int64], Floats]) -> int:
    """Return the number of days two symbols, as `returns_of` gives them, have in common, where they are one market on
    these; else 0. The median asks half of them to agree: of bars without every fifth session one in four spans two."""
    days, ours, theirs = np.intersect1d(one[0], other[0], assume_unique=True, return_indices=True)
    if len(days) < FEWEST_COMMON:
        return 0
    a, b = one[1][ours], other[1][theirs]
    size = max(float(np.median(np.abs(a))), float(np.median(np.abs(b))))
    return len(days) if float(np.median(np.abs(a - b))) <= ALIKE * size else 0


def _month(text: str) -> int:
    return int(np.datetime64(text, "M").astype(int))


@lru_cache(maxsize=4_096)
def _even_weekdays(month: int) -> NDArray[np.int64]:
    first, end = np.array([month, month + 1]).astype("datetime64[M]").astype("datetime64[D]").astype(np.int64)
    days = np.arange(first + first % 2, end, 2)
    return days[(days + 3) % 7 < 5]  # the first of 1970 was a Thursday


@lru_cache(maxsize=1)
def _code_of_letters() -> NDArray[np.int64]:
    codes = np.zeros(256, dtype=np.int64)
    codes[LETTERS] = np.arange(64)
    return codes


def _letters(digits: NDArray[np.int64], days: NDArray[np.int64], month: int) -> str:
    """The returns of a month's even weekdays in letters, with a point before; empty where they hardly move."""
    if np.median(np.abs(digits)) < MOVES:
        return ""
    even = _even_weekdays(month)
    at = np.searchsorted(even, days)
    there = (at < len(even)) & (even[np.minimum(at, len(even) - 1)] == days)
    codes = np.zeros(len(even), dtype=np.int64)
    codes[at[there]] = np.clip(digits[there], ABSENT + 1, -ABSENT - 1) - ABSENT
    return "." + LETTERS[np.column_stack((codes // 64, codes % 64))].tobytes().decode()


def _of_symbol(bars: Bars, column: int, first: date) -> list[str]:
    there = bars.fresh[:, column]
    closes, sessions = bars.close[there, column], bars.session_of[there]
    ends = ~np.isnan(at_session_ends(sessions, 0.0))
    returns, days = _returns(closes[ends]), sessions[ends][1:].astype("datetime64[D]")
    months = days.astype("datetime64[M]").astype(int)
    begin = _month(str(first)[:7])
    end = int(months[-1]) if len(months) else begin - 1
    cuts = np.searchsorted(months, np.arange(begin, end + 2))
    digits = np.floor(returns * FOUR_DIGITS + 0.5 + TIE).astype("<i8")
    # Bits that differ from one scale to another must not decide which of two equal returns comes first.
    rounded = np.round(returns, 9)
    runs = _hashes(digits)
    numbers = days.astype(np.int64)
    digests = []
    for month, (low, high) in enumerate(pairwise(cuts.tolist()), begin):
        digest = _digest(digits[low:high], rounded[low:high], runs[low:high])
        enough = digest and high - low >= FEWEST_ORDERED
        digests.append(digest + (_letters(digits[low:high], numbers[low:high], month) if enough else ""))
    return [str(np.datetime64(first, "M")), *digests]


def _returns(closes: Floats) -> Floats:
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.nan_to_num(closes[1:] / closes[:-1] - 1.0, posinf=0.0, neginf=0.0)


def _hashes(digits: NDArray[np.int64]) -> NDArray[np.uint64]:
    """(T,) 48-bit hash of the run that begins at each return; NOTHING where it says too little, or the returns end."""
    found = np.full(len(digits), NOTHING)
    count = len(digits) - RUN + 1
    if count > 0:
        state, bits = np.zeros(count, dtype=np.uint64), np.zeros(count, dtype=np.int64)
        lengths = np.frexp(np.abs(digits).astype(float))[1]
        for at in range(RUN):
            state = (state ^ digits[at : at + count].astype(np.uint64)) * STEPS[0]
            state = (state ^ (state >> STEPS[2])) * STEPS[1]
            bits += lengths[at : at + count]
        found[:count] = np.where(bits >= FEWEST_BITS, state >> np.uint64(16), NOTHING)
    return found


def _digest(digits: NDArray[np.int64], rounded: Floats, runs: NDArray[np.uint64]) -> str:
    if len(digits) < FEWEST or (digits == digits[0]).all():
        return ""
    if len(digits) < FEWEST_ORDERED:
        return _short(digits)
    least = runs[: len(runs) - RUN + 1].min()
    run = "" if least == NOTHING else f"{least:012x}"
    return _short(digits) + _short(rounded.argsort(kind="stable").astype("<i8", copy=False)) + run


def _short(numbers: NDArray[np.int64]) -> str:
    return hashlib.sha256(numbers.tobytes()).hexdigest()[:8]
