"""Splits and dividends of a file of bars, held against its prices: a column is applied where the prices show it.

Vendors agree on names and not on meanings: a column of splits stands beside prices adjusted for them (yfinance) and
beside prices as traded (Tiingo), one of dividends beside prices that hold them already (yfinance's ``history()``).
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from simulator.errors import DataError
from simulator.market.bars import Floats, Instants
from simulator.market.calendar import day_of
from simulator.market.table import PRICES, BarTable
from simulator.numerics import log

IN_OTHER_SHARES = ("are adjusted for their splits already", "before its splits are adjusted for them")
"""Parts of the notes on prices that are in shares of another day."""
PLAIN = 0.15
"""Logarithm of a split from which on a night's move does not hide it."""
JUMP_WITHIN = 0.25
"""Logarithm by which the opening gap of a split's day may differ from the split, or from no change at all."""
CENT, NOISE = 0.01, 1.5e-7
"""Prices as traded are whole cents, apart from what single precision makes of them (relative)."""
SHARES = (*range(1, 31), 40, 56, 60)
"""New shares of later splits, by which cents are divided."""
BEFORE, TRADED, ADJUSTED = 40, 0.9, 0.4
"""Bars looked at before an ex-date; shares of them in cents above which prices are as traded, below which adjusted."""


def apply_splits(table: BarTable, factors: Floats, adjusted: Floats | None = None) -> BarTable:
    """Divide the bars before each split by its factor (new shares for an old one) where the price jumps by it that day.

    `factors` (n,) is 0, 1 or NaN on days without a split. Where prices are adjusted already they are left alone; a note
    says either. Dividends before a split are in old shares like the prices, unless `adjusted` closes show that they are
    in new ones. Raises DataError where some splits are in the prices and others not, or the price does neither.
    """
    factors = np.where(np.isnan(factors) | (factors == 0), 1.0, factors)
    wrong = np.flatnonzero(~np.isfinite(factors) | (factors < 0))
    if len(wrong):
        row = int(wrong[0])
        raise DataError(f"split is {factors[row]:g}", where=f"{table.where(row)}: {table.symbol} {_day(table, row)}")
    days = np.flatnonzero(factors != 1)
    days = days[days > 0]
    plain = days[np.abs(log(factors[days])) >= PLAIN]
    jumped = [row for row in (plain if len(plain) else days).tolist() if _jumps(table, row, factors[row])]
    still = [row for row in (plain if len(plain) else days).tolist() if row not in jumped]
    if len(plain):  # stock dividends of a few per cent are lost in the moves of a night: they are like the others
        (jumped if jumped else still).extend(np.setdiff1d(days, plain).tolist())
    if jumped and still:
        raise _half(table, factors, jumped[0], still[0])
    if not jumped:
        said = ", ".join(_name_factor(factors[row], _day(table, row)) for row in still)
        note = f"prices {IN_OTHER_SHARES[0]} and are left alone ({said})"
        return replace(table, notes=(*table.notes, note)) if still else table
    ratio = np.ones(len(table))
    for row in jumped:
        # Some vendors give the factor of prices, 0.25 for four new shares: the price says which is meant.
        new_shares = abs(log(table.open[row] / table.close[row - 1] * factors[row])) <= JUMP_WITHIN
        ratio[:row] *= factors[row] if new_shares else 1 / factors[row]
    said = ", ".join(_name_factor(factors[row], _day(table, row)) for row in jumped)
    arrays = {name: getattr(table, name) / ratio for name in PRICES}
    if adjusted is None or not _in_new_shares(table, ratio, adjusted):
        arrays["dividend"] = table.dividend / ratio
    note = f"bars {IN_OTHER_SHARES[1]} ({said})"
    return replace(table, **arrays, volume=table.volume * ratio, notes=(*table.notes, note))


def _jumps(table: BarTable, row: int, factor: float) -> bool:
    gap = table.open[row] / table.close[row - 1]
    away = min(abs(log(gap * factor)), abs(log(gap / factor)))
    stays = abs(log(gap))
    if min(away, stays) > JUMP_WITHIN:
        what = f"the split column says {factor:g} and the price opens at {gap:.4g} times the close before"
        raise DataError(what, where=f"{table.where(row)}: {table.symbol} {_day(table, row)}", mend="mend the column")
    return bool(away < stays)


def _in_new_shares(table: BarTable, ratio: Floats, adjusted: Floats) -> bool:
    """Return True where adjusted closes step on ex-dates before a split by the dividend times the split's ratio."""
    days = np.flatnonzero((table.dividend[1:] > 0) & (ratio[1:] != 1) & (ratio[1:] == ratio[:-1])) + 1
    share = adjusted / table.close
    step, paid = 1 - share[days - 1] / share[days], table.dividend[days] / table.close[days - 1]
    return bool(len(days) and np.median(np.abs(step - paid * ratio[days])) < np.median(np.abs(step - paid)))


def _half(table: BarTable, factors: Floats, jumped: int, still: int) -> DataError:
    what = (
        f"prices jump by the split {_name_factor(factors[jumped], _day(table, jumped))} and not by "
        f"{_name_factor(factors[still], _day(table, still))}: they are adjusted in part"
    )
    mend = "fetch bars that are adjusted for all splits or for none"
    return DataError(what, where=f"{table.where(still)}: {table.symbol}", mend=mend)


def _name_factor(factor: float, day: str) -> str:
    return f"{factor:g} on {day}"


def _day(table: BarTable, row: int) -> str:
    return str(day_of(table.session_of[row]))


def settle_dividends(table: BarTable, adjusted: Floats | None, actions: bool) -> BarTable:
    """Leave out the dividends that the prices of a table hold already, with a note. Each is judged by the bars before
    it alone: what comes later changes nothing that was paid.

    Before an ex-date prices as traded are whole cents, or fractions of them after splits, and adjusted ones are not.
    Where few bars say either the columns do: `adjusted` closes that equal the closes, or dividends and splits
    (`actions`) without adjusted closes, are yfinance's adjusted prices.
    """
    paid = np.flatnonzero(table.dividend > 0)
    paid = paid[paid > 0]
    if not len(paid):
        return table
    if adjusted is None:
        alike = np.zeros(len(paid), dtype=bool)
    else:
        alike = np.fmax.accumulate(np.nan_to_num(np.abs(adjusted / table.close - 1)))[paid - 1] < NOISE
        if not alike.any():
            return table
    before = _share_in_cents(table.close, paid)
    told = actions if adjusted is None else alike
    plain = (before <= ADJUSTED) & (paid >= BEFORE // 2) & (adjusted is None)
    held = paid[(before < TRADED) & (told | plain)]
    if not len(held):
        return table
    dividend = table.dividend.copy()
    dividend[held] = 0.0
    some = f"{len(held)} of the " if len(held) < len(paid) else "the "
    note = f"its prices hold dividends already: {some}{len(paid)} of its dividend column are not paid again"
    return replace(table, dividend=dividend, notes=(*table.notes, note))


def _share_in_cents(prices: Floats, ends: Instants) -> Floats:
    """(D,) share of the BEFORE prices before each row of `ends` that are whole cents, or one fraction of them."""
    begins, best = np.maximum(0, ends - BEFORE), np.zeros(len(ends))
    for shares in SHARES:
        units = prices / CENT * shares
        within = np.maximum(units * NOISE, 1e-6)
        fits = np.abs(units - np.round(units)) <= within
        if shares > 1:
            fits &= within <= 0.1  # of prices this high any would be a fraction of a cent
        count = np.append(0, np.cumsum(fits))
        best = np.maximum(best, (count[ends] - count[begins]) / (ends - begins))
        if (best >= TRADED).all():
            break
    return best
