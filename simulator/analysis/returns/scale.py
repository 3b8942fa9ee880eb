"""Recognition of what a column holds: returns as fractions, or percentages, prices, cumulative returns, money.

What a column cannot be is refused with the option that reads it; `Values` says what the user states it is.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

import numpy as np

from simulator.analysis.returns.load import Returns
from simulator.errors import DataError
from simulator.stats.series import Floats, is_constant

Values = Literal["", "returns", "prices", "cumulative"]
"""What the columns hold: nothing said, returns whatever they look like, levels of prices or of an account, returns
since the first row."""

LIKE_CASH = ("rf", "riskfree", "risk_free", "risk free", "cash", "tbill", "t-bill")

FEWEST_TO_JUDGE = 20
"""Observations below which a scale is not held against a column."""

FEWEST_OF_LEVELS = 30
"""Observations from which the von Neumann ratio tells levels, which hang together, from returns, which do not."""

LEVEL = 0.3
"""Von Neumann ratio below which values are levels; about 2 of returns, and 2(1 − ρ) of smoothed ones."""

IMPOSSIBLE, UNUSUAL, UNMOVED = 3.0, 1.5, 0.01
"""Annual volatility (3 is 300 %) that only percentages read as fractions have, that should be looked at, and below
which a value that --percent divided was perhaps a fraction."""

LARGEST = 1e6
"""No return is above 100,000,000 %."""

MONEY = 100.0
"""Half of the moves above 100, and losses above it, are no returns in per cent: they are money."""


def returns_of(read: Returns, values: Values, risk_free: str | None = None) -> Returns:
    """Return `read` with its columns turned into returns per row, the one called `risk_free` apart.

    Of prices the first row has none and is left out. Raises DataError where a level is not above 0, or a cumulative
    return is a loss of more than everything.
    """
    if values not in ("prices", "cumulative"):
        return read
    columns = {n: v if n == risk_free else _changes(read, n, v, values) for n, v in read.columns.items()}
    what = "prices or account values" if values == "prices" else "cumulative returns"
    note = f"Values were read as {what}; figures are of their changes from row to row."
    changed = replace(read, columns=columns, notes=(*read.notes, note))
    return changed.rows(slice(1, None)) if values == "prices" else changed


def _changes(read: Returns, name: str, values: Floats, kind: Values) -> Floats:
    levels = values if kind == "prices" else 1.0 + values
    if (levels <= 0.0).any():
        row = int(np.argmax(levels <= 0.0))
        what = "prices are above 0" if kind == "prices" else "a cumulative return is above −1"
        raise DataError(
            f'column "{name}" holds {values[row]:g}: {what}',
            where=f"{read.source}:{read.lines[row]}",
            mend=f"leave out --{kind} where it holds returns, and the row where it holds nothing",
        )
    known = values[np.isfinite(values)]
    if name.lower() in LIKE_CASH and known.size and float(np.median(np.abs(known))) < 0.01:
        found = f'column "{name}" looks like a rate'
        raise DataError(found, where=read.source, mend=f"say --rf {name}, which is never converted, or leave it out")
    if known.size >= FEWEST_OF_LEVELS and not is_constant(known) and _von_neumann(known) > 1.0:
        found = f'column "{name}" does not hang together from row to row as --{kind} would'
        raise DataError(found, where=read.source, mend=f"leave out --{kind} where it holds returns")
    start = np.nan if kind == "prices" else 1.0
    before = np.r_[start, levels[:-1]]
    if kind == "cumulative":  # a strategy that starts late has earned nothing before
        before[np.isnan(before)] = 1.0
        first = values[np.isfinite(values)][:1]
        if (first > 1.0).any():
            found = f'column "{name}" begins at {first[0]:g}: cumulative returns begin near 0'
            raise DataError(found, where=read.source, mend="say --prices for the value of an account")
    with np.errstate(over="ignore"):  # what is infinite then is refused as too large
        return np.asarray(levels / before - 1.0)


def check_scale(
    read: Returns, names: Sequence[str], periods: float, percent: bool = False, values: Values = ""
) -> tuple[str, ...]:
    """Return warnings on columns that may not be fractions per session. Raises DataError where they cannot be.

    Levels hang together from row to row, returns do not. Percentages: the middle of the moves amounts to an annual
    volatility above 300 % (refused) or 150 % (warned of).
    """
    warnings: list[str] = []
    if values == "returns":
        for name in names:
            _refuse_beyond(read, name, read.columns[name])
        return ()
    bars = {"open", "high", "low", "close"}
    if bars <= {name.lower() for name in read.columns}:
        mend = "keep the dates and one column of prices, and say --prices"
        raise DataError("is a file of bars", where=read.source, mend=mend)
    for name in names:
        if name.lower() in ("volume", "vol"):
            raise DataError(f'column "{name}" holds no returns', where=read.source, mend="leave it out")
        column = read.columns[name]
        column = column[np.isfinite(column)]
        moves = np.abs(column[column != 0.0])
        if column.size < 5 or not moves.size:
            _refuse_beyond(read, name, column)
            continue
        if np.array_equal(column, np.arange(column.size) + column[0]):
            raise DataError(f'column "{name}" counts the rows', where=read.source, mend="leave it out")
        if not values and name.lower() not in LIKE_CASH:
            _refuse_levels(read, name, column, 100.0 if percent else 1.0)
        if column.size >= FEWEST_TO_JUDGE:
            middle = float(np.median(moves))
            volatility = middle / 0.6745 * math.sqrt(periods)
            if values and volatility > IMPOSSIBLE:
                found = f'column "{name}" changes by {middle:.0%} from row to row'
                raise DataError(found, where=read.source, mend=f"leave out --{values} where it holds returns")
            if not values:
                warnings += _check_volatility(read, name, middle, volatility, percent, column)
        _refuse_beyond(read, name, column)
    return tuple(warnings)


def _refuse_beyond(read: Returns, name: str, values: Floats) -> None:
    beyond = np.abs(values) > LARGEST
    if beyond.any():
        row = int(np.argmax(beyond))
        found = f'column "{name}" holds {values[row]:.4g}: no return is so large'
        raise DataError(found, where=read.source, mend="write returns such as 0.0012")


def _check_volatility(
    read: Returns, name: str, middle: float, volatility: float, percent: bool, column: Floats
) -> list[str]:
    written = middle * (100.0 if percent else 1.0)
    if written > MONEY or column.min() < -100.0:
        raise DataError(
            f'column "{name}" looks like profits in money: half of its moves are above {written:.4g}',
            where=read.source,
            mend="divide them by the capital, or write capital plus profits so far and say --prices",
        )
    if volatility > IMPOSSIBLE or (volatility > UNUSUAL and column.min() < -1.0):
        raise DataError(
            f'column "{name}" looks like percentages: half of its moves are above {middle:.3g}, or {middle:.0%}',
            where=read.source,
            mend="say --percent, divide profits in money by the capital, or say --returns if these are fractions"
            if not percent
            else "leave out --percent, or say --returns if these are percentages",
        )
    if volatility > UNUSUAL:
        return [f'Column "{name}" moves like {volatility:.0%} a year: if 0.5 in it means 0.5 %, say --percent.']
    if percent and volatility < UNMOVED:
        return [f'Column "{name}" moves like {volatility:.2%} a year: if 0.005 in it means 0.5 %, leave out --percent.']
    return []


def _refuse_levels(read: Returns, name: str, values: Floats, written: float) -> None:
    """Raise DataError where `values`, printed `written` times as high, are prices, an account or sums of returns."""
    if is_constant(values):
        return
    steps = np.abs(np.diff(values))
    hang_together = values.size >= FEWEST_OF_LEVELS and _von_neumann(values) < LEVEL
    positive = bool((values > 0.0).all())
    closely = positive and bool(np.median(steps / values[:-1]) < (0.25 if np.median(values) >= 0.3 else 0.1))
    if not hang_together and not closely:
        return
    if not hang_together and values.size >= FEWEST_OF_LEVELS and 0.9 < np.median(values) < 1.1:
        found = f'column "{name}" looks like gross returns, 1 + r (around {np.median(values):.4g})'
        raise DataError(found, where=read.source, mend="subtract 1 from each")
    if hang_together and values.max() <= 0.0:
        found = (
            f'column "{name}" looks like drawdowns (from {values.min() * written:.4g} to {values.max() * written:.4g})'
        )
        raise DataError(found, where=read.source, mend="write returns, or the value of the account with --prices")
    from_zero = hang_together and abs(values[0]) <= 5.0 * float(np.median(steps))
    around = f"{np.median(values) * written:.4g}"
    if positive and not from_zero:
        raise DataError(
            f'column "{name}" holds prices or the value of an account (around {around}), not returns',
            where=read.source,
            mend="say --prices; --returns reads it as returns all the same",
        )
    if float(np.median(steps)) * written > MONEY or values.min() < -100.0:
        raise DataError(
            f'column "{name}" looks like profits in money so far (around {around})',
            where=read.source,
            mend="add the capital it began with and say --prices",
        )
    whole = " with --percent" if values.min() < -1.0 or np.median(steps) > 0.2 else ""
    raise DataError(
        f'column "{name}" looks like cumulative returns (from {values[0] * written:.4g} to {values[-1] * written:.4g})',
        where=read.source,
        mend=f"say --cumulative{whole}; --returns reads it as returns all the same",
    )


def _von_neumann(values: Floats) -> float:
    """Mean squared successive difference over the variance. Source: von Neumann (1941)."""
    centred = values / np.abs(values).max()
    centred -= centred.mean()
    return math.fsum(np.diff(centred) ** 2) / math.fsum(centred**2)
