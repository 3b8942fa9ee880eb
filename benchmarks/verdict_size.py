"""Size and power of the verdict's test: books and noise without skill, planted skill. Table of docs/verdict.md.

    python benchmarks/verdict_size.py [--replicates 2000]

Each cell is the share of simulated histories in which p < 0.05 as one trial, in percent.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable

import numpy as np

from simulator.stats.series import Undefined
from simulator.stats.skill import mean_test, usual_exposure

LENGTHS = (60, 125, 251, 501, 1000)
DRIFT, SPREAD = 0.0006, 0.011
"""A session's mean excess return and its standard deviation in the bull market: 15 % and 17 % a year."""

Series = Callable[[np.random.Generator, int], np.ndarray]


def garch(rng: np.random.Generator, n: int) -> np.ndarray:
    """Standardised GARCH(1, 1) with Student's t of 5 degrees: α 0.08, β 0.9."""
    shocks, out, variance = rng.standard_t(5, n + 200) / math.sqrt(5 / 3), np.empty(n + 200), 1.0
    for t, shock in enumerate(shocks):
        out[t] = math.sqrt(variance) * shock
        variance = 0.02 + 0.08 * out[t] ** 2 + 0.9 * variance
    return out[200:]


def ar1(rng: np.random.Generator, n: int) -> np.ndarray:
    x = rng.normal(size=n)
    for t in range(1, n):
        x[t] += 0.2 * x[t - 1]
    return x


def book(weigh: Callable[[np.random.Generator, np.ndarray], np.ndarray]) -> Series:
    """Returns beyond its usual exposure of the weights (n, 2) that `weigh` makes of the moves before each session."""

    def series(rng: np.random.Generator, n: int) -> np.ndarray:
        moves = DRIFT + SPREAD * np.column_stack([garch(rng, n + 60), garch(rng, n + 60)])
        w, x = weigh(rng, moves)[60:], moves[60:]
        return (w * x).sum(axis=1) - usual_exposure(w, x)

    return series


def weekly(values: np.ndarray, n: int) -> np.ndarray:
    return np.repeat(values, 5, axis=0)[:n]


def coins(rng: np.random.Generator, moves: np.ndarray) -> np.ndarray:
    return weekly(0.5 * (rng.random((len(moves) // 5 + 1, 2)) < 0.5), len(moves))


def pick(rng: np.random.Generator, moves: np.ndarray) -> np.ndarray:
    return weekly(np.eye(2)[rng.integers(0, 2, len(moves) // 5 + 1)], len(moves))


def neutral(rng: np.random.Generator, moves: np.ndarray) -> np.ndarray:
    side = rng.choice([-0.5, 0.5], len(moves) // 5 + 1)
    return weekly(np.column_stack([side, -side]), len(moves))


def trend_of(moves: np.ndarray, sessions: int) -> np.ndarray:
    """(n, 2) return over the sessions before each, 0 where there are too few."""
    level = np.vstack([np.zeros((1, 2)), np.cumsum(moves, axis=0)])
    trend = np.zeros(moves.shape)
    trend[sessions:] = level[sessions:-1] - level[: -sessions - 1]
    return trend


def double_down(_: np.random.Generator, moves: np.ndarray) -> np.ndarray:
    """A tenth in each, doubled up to eight times after each losing week, back to a tenth after a winning one."""
    w, size = np.full(moves.shape, 0.1), np.full(2, 0.1)
    for start in range(0, len(moves), 5):
        w[start : start + 5] = size
        lost = moves[start : start + 5].sum(axis=0) < 0
        size = np.where(lost, np.minimum(2 * size, 0.8), 0.1)
    return w


KINDS: dict[str, Series] = {
    "noise: iid normal": lambda rng, n: rng.normal(size=n),
    "noise: Student t, 4 degrees": lambda rng, n: rng.standard_t(4, n),
    "noise: AR(1), 0.2": ar1,
    "noise: GARCH-t": garch,
    "noise: 1 − Exp(1)": lambda rng, n: 1.0 - rng.exponential(size=n),
    "noise: gamma, skew −4": lambda rng, n: 0.5 - rng.gamma(0.25, 2.0, n),
    "noise: puts that lose in 5 %": lambda rng, n: (
        rng.normal(scale=0.5, size=n) + np.where(rng.random(n) < 0.05, -19.0, 1.0)
    ),
    "noise: a disaster in 1 %": lambda rng, n: (
        rng.normal(scale=0.5, size=n) + np.where(rng.random(n) < 0.01, -99.0, 1.0)
    ),
    "bull market: weekly coin a symbol": book(coins),
    "bull market: weekly picker, fully invested": book(pick),
    "bull market: long one, short the other": book(neutral),
    "bull market: buys 20-session dips": book(lambda _, moves: 0.5 * (trend_of(moves, 20) < 0)),
    "bull market: buys 60-session dips": book(lambda _, moves: 0.5 * (trend_of(moves, 60) < 0)),
    "bull market: follows the 50-session trend": book(lambda _, moves: 0.5 * (trend_of(moves, 50) > 0)),
    "bull market: doubles down": book(double_down),
    "skill: 0.06 a session": lambda rng, n: rng.normal(0.06, 1, n),
    "skill: 0.12 a session": lambda rng, n: rng.normal(0.12, 1, n),
}


def share(series: Series, n: int, replicates: int) -> float:
    """Percent of histories called significant; the seed is that of the length."""
    rng = np.random.default_rng(n)
    found = [mean_test(series(rng, n)) for _ in range(replicates)]
    return 100.0 * sum(not isinstance(one, Undefined) and one.p < 0.05 for one in found) / replicates


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--replicates", type=int, default=100)
    replicates = options.parse_args().replicates
    print("| % of histories with p < 0.05 | " + " | ".join(f"n = {n}" for n in LENGTHS) + " |")
    print("|---|" + "---|" * len(LENGTHS))
    for name, series in KINDS.items():
        print(f"| {name} | " + " | ".join(f"{share(series, n, replicates):.1f}" for n in LENGTHS) + " |", flush=True)


if __name__ == "__main__":
    main()
