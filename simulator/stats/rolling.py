"""Statistics over a window that moves with the sessions; each value stands at the last session of its window."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import ArrayLike, NDArray

from simulator.stats.metrics import PERIODS
from simulator.stats.series import Floats, align, as_series


@dataclass(frozen=True, eq=False)
class Rolling:
    """Figures of `window` sessions, each (n,): NaN until the first window is full and where one is undefined.

    Attributes
    ----------
    sharpe, volatility : a year, as `simulator.stats.metrics.sharpe` and `volatility` of the same sessions
    beta : slope of the excess returns on those of the benchmark, as in `alpha_beta`; NaN without a benchmark
    """

    window: int
    sharpe: Floats
    volatility: Floats
    beta: Floats


def roll(
    returns: ArrayLike,
    window: int,
    risk_free: ArrayLike | float = 0.0,
    benchmark: ArrayLike | None = None,
    periods: float = PERIODS,
) -> Rolling:
    """Return Sharpe ratio, volatility and beta of every `window` sessions in a row.

    Parameters
    ----------
    returns : (n,) simple net returns per session
    window : sessions, 3 or more; longer than n leaves nothing but NaN
    risk_free : return per session, one number or (n,)
    benchmark : (n,) returns of the same sessions

    Errors: `DataError` for values that are NaN or infinite, or lengths that differ.
    """
    r = as_series(returns)
    free = align(risk_free, r.size, "risk_free")
    sharpe, volatility, beta = (np.full(r.size, np.nan) for _ in range(3))
    if r.size < window:
        return Rolling(window, sharpe, volatility, beta)
    excess, own = sliding_window_view(r - free, window), sliding_window_view(r, window)
    # Of returns that do not vary only cash does, and a ratio to that judges nobody (as in `excess_over`).
    flat = _constant(own)
    volatility[window - 1 :] = np.where(flat, 0.0, own.std(axis=1, ddof=1)) * np.sqrt(periods)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = excess.mean(axis=1) / excess.std(axis=1, ddof=1) * np.sqrt(periods)
    sharpe[window - 1 :] = np.where(flat | _constant(excess), np.nan, ratio)
    if benchmark is not None:
        market = sliding_window_view(align(benchmark, r.size, "benchmark") - free, window)
        centred = market - market.mean(axis=1, keepdims=True)
        with np.errstate(divide="ignore", invalid="ignore"):
            slope = (centred * excess).sum(axis=1) / (centred * centred).sum(axis=1)
        beta[window - 1 :] = np.where(_constant(market), np.nan, np.where(flat, 0.0, slope))
    return Rolling(window, sharpe, volatility, beta)


def _constant(windows: Floats) -> NDArray[np.bool_]:
    """(m,) True where the spread of a window is nothing but rounding, as `is_constant` has it."""
    spread = np.ptp(windows, axis=1)
    return np.asarray(spread <= 1e-13 + 1e-12 * np.abs(windows).max(axis=1))
