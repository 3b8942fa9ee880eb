"""Digests of bars by calendar month: they tell that two runs saw the same market, whatever its symbol was called."""

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

BarMonths = Mapping[str, Sequence[str]]
"""{symbol: [first month, its digests, those of the next, …]}; empty where a month has too few returns."""


def month_digests(bars: Bars, first: date) -> dict[str, list[str]]:
    """Return the digests of every symbol of `bars` by month, from the month of `first` on, which may come before it.

    Two of eight hex digits a month: of its close-to-close returns at four digits, and of their order, which outlives
    prices that were rescaled and rounded again. Both are those of the symbol's own bars: neither its name, nor the
    scale of its prices, nor what comes before or after that month changes them.
    """
    return {symbol: _of_symbol(bars, column, first) for column, symbol in enumerate(bars.symbols)}


def shared_keys(months: BarMonths) -> Iterator[tuple[str, str]]:
    """Yield (key, symbol): two symbols with a key in common have a month in common."""
    for symbol, (start, *digests) in months.items():
        begin = np.datetime64(start, "M").astype(int)
        for number, both in enumerate(digests, begin):
            for kind, digest in enumerate((both[:8], both[8:])):
                if digest:
                    yield f"{number}.{kind}.{digest}", symbol


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
    digests = [_digest(digits[low:high], rounded[low:high]) for low, high in pairwise(cuts.tolist())]
    return [str(np.datetime64(first, "M")), *digests]


def _returns(closes: Floats) -> Floats:
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.nan_to_num(closes[1:] / closes[:-1] - 1.0, posinf=0.0, neginf=0.0)


def _digest(digits: NDArray[np.int64], rounded: Floats) -> str:
    if len(digits) < FEWEST or (digits == digits[0]).all():
        return ""
    if len(digits) < FEWEST_ORDERED:
        return _short(digits)
    return _short(digits) + _short(rounded.argsort(kind="stable").astype("<i8", copy=False))


def _short(numbers: NDArray[np.int64]) -> str:
    return hashlib.sha256(numbers.tobytes()).hexdigest()[:8]
