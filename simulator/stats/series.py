"""The ground of every statistic: a checked array in, a number or a stated reason out.

A statistic that does not exist for a sample (the Sharpe ratio of constant returns, the profit factor without a loss)
is `Undefined` with its reason. It is never 0, infinity or NaN, because each of those is read as a result.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from simulator.errors import DataError

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]


@dataclass(frozen=True)
class Undefined:
    """A statistic that does not exist for this sample, and why."""

    reason: str

    def __str__(self) -> str:
        return f"n/a ({self.reason})"


Measure = float | Undefined


def finite_or(value: float, otherwise: str) -> Measure:
    """Return `value` as a plain float, or `Undefined` with the reason `otherwise` where it is not finite."""
    return float(value) if math.isfinite(value) else Undefined(otherwise)


def split(measures: Mapping[str, Measure]) -> tuple[dict[str, float | None], dict[str, str]]:
    """Return the same names twice: values (None where undefined) and the reasons of those that are None."""
    values = {name: None if isinstance(m, Undefined) else float(m) for name, m in measures.items()}
    reasons = {name: m.reason for name, m in measures.items() if isinstance(m, Undefined)}
    return values, reasons


def as_series(values: ArrayLike, name: str = "returns") -> Floats:
    """Return (n,) float64 with n ≥ 1, every value finite.

    Errors: `DataError` naming the first position that is NaN or infinite; empty input; more than one dimension.
    Nothing is dropped or filled here: a gap is the caller's to explain.
    """
    series = _floats(values, name)
    if series.ndim != 1:
        raise DataError(f"{name} has {series.ndim} dimensions, one is needed", mend="pass one column")
    if series.size == 0:
        raise DataError(f"{name} is empty", mend="pass at least one observation")
    bad = ~np.isfinite(series)
    if bad.any():
        at = int(np.argmax(bad))
        raise DataError(
            f"{name} holds {series[at]} at position {at} of {series.size}", mend="fill or drop that session first"
        )
    return series


def as_matrix(values: ArrayLike, name: str = "returns") -> Floats:
    """Return (T, N) float64, T sessions by N strategies, every value finite; a single series becomes (T, 1).

    Errors: `DataError` naming row and column of the first value that is NaN or infinite.
    """
    matrix = _floats(values, name)
    if matrix.ndim == 1:
        matrix = matrix[:, None]
    if matrix.ndim != 2 or matrix.size == 0:
        raise DataError(f"{name} has shape {matrix.shape}, sessions × strategies is needed", mend="pass a 2-d array")
    bad = ~np.isfinite(matrix)
    if bad.any():
        row, column = (int(i) for i in np.argwhere(bad)[0])
        raise DataError(
            f"{name} holds {matrix[row, column]} at row {row}, column {column}", mend="fill or drop that session first"
        )
    return matrix


def align(values: ArrayLike | float, length: int, name: str) -> Floats:
    """Return (length,) float64: a number is repeated, a series must have exactly `length` values.

    Errors: `DataError` when the lengths differ or a value is not finite.
    """
    if np.ndim(values) == 0:
        return np.full(length, as_series([float(np.asarray(values))], name)[0])
    series = as_series(values, name)
    if series.size != length:
        raise DataError(f"{name} has {series.size} values, returns has {length}", mend="align both by date")
    return series


def excess_over(returns: ArrayLike, risk_free: ArrayLike | float) -> Floats:
    """Return (n,) e = r − rf per session. `risk_free` is a return per session, not a year: one number or one each.

    Of returns that do not vary (nothing was held) the mean excess each session: what varies then is cash alone, and a
    Sharpe ratio of −17 would judge the central bank.
    """
    r = as_series(returns)
    e = r - align(risk_free, r.size, "risk_free")
    return np.full(r.size, e.mean()) if is_constant(r) else e


def is_constant(series: Floats) -> bool:
    """Return whether the spread is nothing but floating-point rounding.

    The standard deviation of 252 times 0.001 is 6.5e-19, not 0, and returns computed from prices carry about 1e-16
    each; dividing by that gives a Sharpe ratio of 1e16.
    """
    return bool(np.ptp(series) <= 1e-13 + 1e-12 * float(np.max(np.abs(series))))


def standard_deviation(series: Floats) -> Measure:
    """Sample standard deviation (ddof 1), exactly 0.0 for a constant series; undefined below two observations."""
    if series.size < 2:
        return Undefined("one observation has no spread")
    return 0.0 if is_constant(series) else float(np.std(series, ddof=1))


def _floats(values: Any, name: str) -> Floats:
    try:
        return np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError) as problem:
        raise DataError(f"{name} is not numeric: {problem}", mend="pass numbers") from None
