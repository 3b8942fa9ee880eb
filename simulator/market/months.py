"""Digests of bars by calendar month: they tell that two runs saw the same market, whatever its symbol was called.

Of each month three: of its returns, of their order, and one run of returns out of it. The last one, the least of the
hashes of all runs in the month (Broder 1997), is found again where sessions were left out, or all dates were moved.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from datetime import date
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

NOTHING = np.uint64(2**64 - 1)
STEPS = (np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB), np.uint64(31))

BarMonths = Mapping[str, Sequence[str]]
"""{symbol: [first month, its digests, those of the next, …]}; empty where a month has too few returns."""


def month_digests(bars: Bars, first: date) -> dict[str, list[str]]:
    """Return the digests of every symbol of `bars` by month, from the month of `first` on, which may come before it.

    Two of eight hex digits a month: of its close-to-close returns at four digits, and of their order, which outlives
    prices that were rescaled and rounded again; then twelve, of RUN returns in a row, where there are any that move.
    All are those of the symbol's own bars: neither its name, nor the scale of its prices, nor what comes before or
    after that month changes them.
    """
    return {symbol: _of_symbol(bars, column, first) for column, symbol in enumerate(bars.symbols)}


def shared_keys(months: BarMonths) -> Iterator[tuple[str, tuple[str, int]]]:
    """Yield (key, (symbol, number of the month)): two symbols with a key in common have a month in common."""
    for symbol, (start, *digests) in months.items():
        begin = int(np.datetime64(start, "M").astype(int))
        for number, all_of_it in enumerate(digests, begin):
            for kind, digest in enumerate((all_of_it[:8], all_of_it[8:16])):
                if digest:
                    yield f"{number}.{kind}.{digest}", (symbol, number)
            if run := all_of_it[16:]:
                yield run, (symbol, number)


def _of_symbol(bars: Bars, column: int, first: date) -> list[str]:
    there = bars.fresh[:, column]
    closes, sessions = bars.close[there, column], bars.session_of[there]
    ends = ~np.isnan(at_session_ends(sessions, 0.0))
    returns, days = _returns(closes[ends]), sessions[ends][1:].astype("datetime64[D]")
    months = days.astype("datetime64[M]").astype(int)
    begin = int(np.datetime64(first, "M").astype(int))
    end = int(months[-1]) if len(months) else begin - 1
    cuts = np.searchsorted(months, np.arange(begin, end + 2))
    digits = np.floor(returns * FOUR_DIGITS + 0.5 + TIE).astype("<i8")
    # Bits that differ from one scale to another must not decide which of two equal returns comes first.
    rounded = np.round(returns, 9)
    runs = _hashes(digits)
    digests = [_digest(digits[low:high], rounded[low:high], runs[low:high]) for low, high in pairwise(cuts.tolist())]
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
