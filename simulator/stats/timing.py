"""Tests of timing: they keep positions and returns and change how the two meet.

Shuffling a strategy's trades or its daily returns changes neither their mean nor their spread and so says nothing.
Positions (n,) or (n, N) are those held over the session whose return stands in the same row.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from simulator.errors import DataError
from simulator.stats.series import Floats, Undefined, as_matrix


@dataclass(frozen=True)
class Timing:
    """A mean return per session against what the same positions earn at other times.

    Attributes
    ----------
    observed : mean over sessions of Σ position · return
    p : one-sided, (1 + #{null ≥ observed}) / (number in the null + 1)
    percentile : share of the null below the observed, 0 … 1
    null_mean, null_sd : of the null distribution, sd with ddof 0
    size : how many the null consists of
    """

    observed: float
    p: float
    percentile: float
    null_mean: float
    null_sd: float
    size: int


def circular_shifts(positions: ArrayLike, returns: ArrayLike) -> Timing | Undefined:
    """Test against all n − 1 circular shifts of the positions against the returns: exact, no random numbers.

    Keeps exposure, turnover, holding times and the dependence within both series. Undefined when positions never
    change.
    """
    held, r = _pair(positions, returns)
    if len(held) < 2 or np.all(held == held[0]):
        return Undefined("positions never change, so no shift differs")
    # Row k of the circular cross-correlation is the total earned with positions moved by k sessions.
    # Its products are written out: numpy's of complex numbers are fused with sums where the processor can.
    a, b = np.fft.rfft(r, axis=0), np.fft.rfft(held, axis=0)
    real, imaginary = a.real * b.real + a.imag * b.imag, a.imag * b.real - a.real * b.imag
    every = np.fft.irfft(real.sum(axis=1) + 1j * imaginary.sum(axis=1), n=len(held)) / len(held)
    return _against(float(np.sum(held * r)) / len(held), every[1:])


def _pair(positions: ArrayLike, returns: ArrayLike) -> tuple[Floats, Floats]:
    held, r = as_matrix(positions, "positions"), as_matrix(returns)
    if held.shape != r.shape:
        raise DataError(f"positions have shape {held.shape}, returns {r.shape}", mend="align both by date and symbol")
    return held, r


def _against(observed: float, null: Floats) -> Timing:
    # The transform leaves rounding of about 1e-16: equal arrangements must count as equal.
    tolerance = 1e-12 * max(float(np.max(np.abs(null))), abs(observed), 1e-300)
    return Timing(
        observed=observed,
        p=(1.0 + float(np.sum(null >= observed - tolerance))) / (null.size + 1.0),
        percentile=float(np.mean(null < observed - tolerance)),
        null_mean=float(null.mean()),
        null_sd=float(null.std()),
        size=null.size,
    )
