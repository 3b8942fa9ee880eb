"""Bars of no market: geometric Brownian motion whose drift and volatility switch between three regimes.

For tests and null models. `source` always begins with "synthetic". The same seed gives the same bars in every process
and on every platform (PCG64; `numerics`; prices have 4 decimals), a symbol's bars
do not depend on which others are asked for, and a later `last` leaves earlier bars as they were.

A small universe has names of its own, which no exchange lists: UNIVERSE, 24 symbols in 8 sectors, of which those of one
sector move together. Intraday bars open and close their sessions where the daily bars of the seed do.

J. D. Hamilton, A new approach to the economic analysis of nonstationary time series (1989): regime switching.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import date

import numpy as np
from numpy.typing import NDArray

from simulator.market.bars import Bars, Floats
from simulator.market.calendar import MINUTE, Sessions, sessions
from simulator.market.table import DAILY, BarTable, daily_table, step_of, to_bars
from simulator.numerics import exp, log

SOURCE = "synthetic"
STEPS = 8
"""Price moves within a session; the first is the gap from the close before."""

DRIFT = np.array([0.12, 0.04, -0.35])
"""Yearly drift in a calm, a nervous and a falling market."""
VOLATILITY = np.array([0.10, 0.20, 0.40])
"""Yearly volatility of the market in each."""
STAY = np.array([0.99, 0.97, 0.95])
"""Chance that tomorrow is like today; each of the other regimes is equally likely otherwise."""

SECTORS = ("technology", "health", "finance", "energy", "industry", "consumer", "utilities", "materials")
UNIVERSE = {f"SYN-{sector[:4].upper()}-{n}": sector for sector in SECTORS for n in (1, 2, 3)}
"""{symbol: sector} of the universe that is fetched where none is named."""
SHARED = 0.5
"""Part of the variance of a symbol's own moves that is its sector's."""

MARKET, SYMBOL, SECTOR = 0, 1, 2
EVERY = (DAILY, "30min", "5min")
"""Spacings of bars."""


def fetch(symbols: Sequence[str], first: date, last: date, seed: int, every: str = DAILY) -> list[BarTable]:
    """Tables of `symbols` for the sessions from `first` to `last`, both included, of bars as in EVERY."""
    on = sessions(first, last)
    regime = _regimes(len(on), _generator(seed, MARKET, "regime"))
    market = _generator(seed, MARKET, "moves").standard_normal((len(on), STEPS))
    source = f"{SOURCE}, seed {seed}"
    daily = [daily_table(s, source, on.session_of, _columns(s, seed, regime, market)) for s in symbols]
    return daily if every == DAILY else [_intraday(table, on, VOLATILITY[regime], seed, every) for table in daily]


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
    if sector := UNIVERSE.get(symbol):
        common = _generator(seed, SECTOR, sector).standard_normal(market.shape)
        noise = np.sqrt(1.0 - SHARED) * noise + np.sqrt(SHARED) * common
    year = 252 * STEPS
    sigma = VOLATILITY[regime][:, None]
    variance = (beta * sigma) ** 2 + own**2
    drift = (beta * DRIFT[regime][:, None] - variance / 2) / year
    moves = drift + (beta * sigma * market + own * noise) / np.sqrt(year)
    path = np.maximum(np.round(price * exp(np.cumsum(moves.ravel()).reshape(moves.shape)), 4), 0.0001)
    busy = _generator(seed, SYMBOL, f"{symbol} volume").standard_normal(len(path))
    volume = np.round(1e6 * exp(0.4 * busy + 2 * (VOLATILITY[regime] - VOLATILITY[0])))
    return {"open": path[:, 0], "high": path.max(1), "low": path.min(1), "close": path[:, -1], "volume": volume}


def _intraday(daily: BarTable, on: Sessions, volatility: Floats, seed: int, every: str) -> BarTable:
    """Return bars of `every` spacing from the open to the close of each daily bar: Brownian bridges between the two, of
    the market's yearly `volatility` in each session, with the day's volume heavier at both ends."""
    step = step_of(every)
    counts = -(-(on.closes_at - on.opens_at) // step)
    most = int(390 * MINUTE // step)
    noise = _generator(seed, SYMBOL, f"{daily.symbol} {every}").standard_normal((len(on), most, STEPS))
    rows = np.repeat(np.arange(len(on)), counts)
    places = np.concatenate([np.arange(count) for count in counts.tolist()])
    paths = [draw_bridge(noise[n, :count].ravel()) for n, count in enumerate(counts.tolist())]
    moves = np.concatenate([path[1:].reshape(-1, STEPS) for path in paths])
    done = (places[:, None] + np.arange(1, STEPS + 1) / STEPS) / counts[rows, None]
    whole = log(daily.close / daily.open)
    reach = volatility * np.sqrt((STEPS - 1) / (STEPS * 252))
    logs = whole[rows, None] * done + reach[rows, None] * moves
    path = np.maximum(np.round(daily.open[rows, None] * exp(logs), 4), 0.0001)
    path[places == counts[rows] - 1, -1] = daily.close
    first = np.r_[0.0, path[:-1, -1]]
    first[places == 0] = daily.open
    busy = 1.0 + 3.0 * (2.0 * (places + 0.5) / counts[rows] - 1.0) ** 2
    volume = np.round(daily.volume[rows] * busy / np.bincount(rows, busy)[rows])
    starts = on.opens_at[rows] + places * step
    high, low = np.maximum(first, path.max(1)), np.minimum(first, path.min(1))
    nothing = np.zeros(len(rows))
    return BarTable(
        daily.symbol, daily.source, every, on.session_of[rows], starts, first, high, low, path[:, -1], volume, nothing
    )


def draw_bridge(noise: Floats) -> Floats:
    """Return a Brownian bridge from 0 to 0 over (n,) steps of standard normal `noise`: n + 1 points, unit time."""
    walk = np.r_[0.0, np.cumsum(noise)] / np.sqrt(len(noise))
    return np.asarray(walk - np.linspace(0.0, 1.0, len(walk)) * walk[-1])
