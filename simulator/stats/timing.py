"""Tests of timing: they keep positions and returns and change how the two meet.

Shuffling a strategy's trades or its daily returns changes neither their mean nor their spread and so says nothing.
Positions (n,) or (n, N) are those held over the session whose return stands in the same row.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from simulator.errors import DataError
from simulator.numerics import dot
from simulator.stats.series import Floats, Undefined, as_matrix

DRAWS = 2000


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


def random_entries(
    positions: ArrayLike, returns: ArrayLike, *, draws: int = DRAWS, seed: int = 0
) -> Timing | Undefined:
    """Test against the same spells in the market, in random order and with random gaps between them.

    Every replicate has the exposure, the holding times and the number of entries of the strategy. One column of
    positions only. Undefined when the strategy is always or never in the market.
    """
    held, r = _pair(positions, returns)
    if held.shape[1] != 1:
        raise DataError(f"{held.shape[1]} columns of positions, one is needed", mend="test one symbol at a time")
    path = held[:, 0]
    spells = _spells(path)
    flat = int(np.sum(path == 0.0))
    slack = flat - (len(spells) - 1)
    if not spells or slack <= 0:
        return Undefined(
            "the strategy was never in the market" if not spells else "there is no room to enter elsewhere"
        )
    rng = np.random.default_rng(seed)
    null = np.empty(draws)
    for draw in range(draws):
        null[draw] = dot(_lay_out([spells[i] for i in rng.permutation(len(spells))], slack, rng, len(path)), r[:, 0])
    return _against(dot(path, r[:, 0]) / len(path), null / len(path))


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


def _spells(path: Floats) -> list[Floats]:
    inside = np.concatenate(([False], path != 0.0, [False])).astype(np.int8)
    edges = np.flatnonzero(np.diff(inside))
    return [path[start:end] for start, end in zip(edges[::2], edges[1::2], strict=True)]


def _lay_out(spells: list[Floats], slack: int, rng: np.random.Generator, sessions: int) -> Floats:
    """Spells laid out with at least one flat session between them, the remaining ones spread evenly at random."""
    bars = np.sort(rng.choice(slack + len(spells), size=len(spells), replace=False)) - np.arange(len(spells))
    path = np.zeros(sessions)
    used = 0
    for index, (spell, gap) in enumerate(zip(spells, bars, strict=True)):
        start = used + index + int(gap)
        path[start : start + len(spell)] = spell
        used += len(spell)
    return path
