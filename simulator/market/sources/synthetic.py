"""Bars of no market: geometric Brownian motion whose drift and volatility switch between three regimes.

For tests and null models. `source` always begins with "synthetic". The same seed gives the same bars in every process
and on every platform (PCG64; `numerics`; prices have 4 decimals), a symbol's bars
do not depend on which others are asked for, and a later `last` leaves earlier bars as they were.

J. D. Hamilton, A new approach to the economic analysis of nonstationary time series (1989): regime switching.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import date

import numpy as np
from numpy.typing import NDArray

from simulator.market.bars import Bars, Floats
from simulator.market.calendar import sessions
from simulator.market.table import BarTable, daily_table, to_bars
from simulator.numerics import exp

SOURCE = "synthetic"
STEPS = 8
"""Price moves within a session; the first is the gap from the close before."""

DRIFT = np.array([0.12, 0.04, -0.35])
"""Yearly drift in a calm, a nervous and a falling market."""
VOLATILITY = np.array([0.10, 0.20, 0.40])
"""Yearly volatility of the market in each."""
STAY = np.array([0.99, 0.97, 0.95])
"""Chance that tomorrow is like today; each of the other regimes is equally likely otherwise."""

MARKET, SYMBOL = 0, 1


def fetch(symbols: Sequence[str], first: date, last: date, seed: int) -> list[BarTable]:
    """Daily tables of `symbols` for the sessions from `first` to `last`, both included."""
    days = sessions(first, last).session_of
    regime = _regimes(len(days), _generator(seed, MARKET, "regime"))
    market = _generator(seed, MARKET, "moves").standard_normal((len(days), STEPS))
    source = f"{SOURCE}, seed {seed}"
    return [daily_table(s, source, days, _columns(s, seed, regime, market)) for s in symbols]


def synthetic_bars(symbols: Sequence[str], first: date, last: date, seed: int) -> Bars:
    """The same as Bars on the timeline of the exchange; `sources` says synthetic."""
    return to_bars(fetch(symbols, first, last, seed), sessions(first, last))


def _generator(seed: int, kind: int, name: str) -> np.random.Generator:
    words = np.frombuffer(hashlib.sha256(name.encode()).digest()[:8], dtype="<u4")
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence([seed, kind, *words.tolist()])))


def _regimes(count: int, generator: np.random.Generator) -> NDArray[np.int64]:
    draws = generator.random((count, 2)).tolist()
    state, states = 0, []
    for stay, where in draws:
        if stay >= STAY[state]:
            state = [s for s in range(len(STAY)) if s != state][int(where * (len(STAY) - 1))]
        states.append(state)
    return np.array(states, dtype=np.int64)


def _columns(symbol: str, seed: int, regime: NDArray[np.int64], market: Floats) -> dict[str, Floats]:
    nature = _generator(seed, SYMBOL, f"{symbol} nature")
    beta, own, price = nature.uniform(0.6, 1.5), nature.uniform(0.08, 0.25), nature.uniform(20.0, 400.0)
    noise = _generator(seed, SYMBOL, f"{symbol} moves").standard_normal(market.shape)
    year = 252 * STEPS
    sigma = VOLATILITY[regime][:, None]
    variance = (beta * sigma) ** 2 + own**2
    drift = (beta * DRIFT[regime][:, None] - variance / 2) / year
    moves = drift + (beta * sigma * market + own * noise) / np.sqrt(year)
    path = np.maximum(np.round(price * exp(np.cumsum(moves.ravel()).reshape(moves.shape)), 4), 0.0001)
    busy = _generator(seed, SYMBOL, f"{symbol} volume").standard_normal(len(path))
    volume = np.round(1e6 * exp(0.4 * busy + 2 * (VOLATILITY[regime] - VOLATILITY[0])))
    return {"open": path[:, 0], "high": path.max(1), "low": path.min(1), "close": path[:, -1], "volume": volume}
