"""How fast the statistics are, as ratios measured in one run: `python benchmarks/inference.py [--json]`.

A 10,000-draw interval of the Sharpe ratio on 2,520 sessions beside arch (where installed) and plain index matrices; PBO
with 16 blocks on 1,000 × 2,520 beside the naive loop over splits, of which a few are timed and the rest multiplied.
"""

from __future__ import annotations

import argparse
import itertools
import json
import math
import time
from collections.abc import Callable
from importlib.util import find_spec

import numpy as np
from numpy.typing import NDArray

from simulator.stats.bootstrap import drawdown_band, sharpe_interval
from simulator.stats.compare import compare
from simulator.stats.inference import inference_summary
from simulator.stats.metrics import summary
from simulator.stats.overfitting import backtest_overfitting
from simulator.stats.selection import Resampling, max_sharpe_reality_check

DRAWS, SESSIONS, CONFIGURATIONS, BLOCKS = 10_000, 2_520, 1_000, 16
MEAN_BLOCK = 5.0


def seconds(task: Callable[[], object], repeat: int = 3) -> float:
    """CPU seconds of all threads together, the fastest of `repeat` runs after one to warm up."""
    task()
    times = []
    for _ in range(repeat):
        started = time.process_time()
        task()
        times.append(time.process_time() - started)
    return min(times)


def by_index_matrix(returns: NDArray[np.float64]) -> tuple[float, float]:
    """The same interval with a (draws, n) matrix of row numbers, as most programs do it."""
    rng, n = np.random.default_rng(0), returns.size
    jump = rng.random((DRAWS, n)) < 1.0 / MEAN_BLOCK
    rows = rng.integers(0, n, size=(DRAWS, n))
    for column in range(1, n):
        rows[:, column] = np.where(jump[:, column], rows[:, column], (rows[:, column - 1] + 1) % n)
    drawn = returns[rows]
    low, high = np.quantile(drawn.mean(axis=1) / drawn.std(axis=1, ddof=1), (0.025, 0.975)) * math.sqrt(252)
    return float(low), float(high)


def by_arch(returns: NDArray[np.float64]) -> tuple[float, float]:
    """The same interval by arch's StationaryBootstrap."""
    from arch.bootstrap import StationaryBootstrap

    bootstrap = StationaryBootstrap(MEAN_BLOCK, returns, seed=0)
    drawn = bootstrap.apply(lambda x: x.mean() / x.std(ddof=1) * math.sqrt(252), DRAWS)
    low, high = np.quantile(drawn, (0.025, 0.975))
    return float(low), float(high)


def naive_splits(returns: NDArray[np.float64], count: int) -> None:
    """`count` splits of the cross-validation by cutting and pasting rows."""
    parts = np.split(returns[len(returns) % BLOCKS :], BLOCKS)
    for inside in itertools.islice(itertools.combinations(range(BLOCKS), BLOCKS // 2), count):
        a = np.concatenate([parts[i] for i in inside])
        b = np.concatenate([parts[i] for i in range(BLOCKS) if i not in inside])
        best = np.argmax(a.mean(axis=0) / a.std(axis=0, ddof=1))
        outside = b.mean(axis=0) / b.std(axis=0, ddof=1)
        np.sum(outside < outside[best])


def measure() -> dict[str, float]:
    """Seconds by task, and the ratios the project holds itself to."""
    rng = np.random.default_rng(7)
    returns = rng.normal(4e-4, 0.01, SESSIONS)
    other = 0.7 * returns + rng.normal(0.0, 0.007, SESSIONS)
    many = rng.normal(0.0, 0.01, (SESSIONS, CONFIGURATIONS))
    few = 20
    splits = math.comb(BLOCKS, BLOCKS // 2)
    found = {
        "sharpe interval": seconds(lambda: sharpe_interval(returns, block=MEAN_BLOCK)),
        "sharpe interval, blocks of 1": seconds(lambda: sharpe_interval(returns, block=1.0)),
        "sharpe interval by index matrix": seconds(lambda: by_index_matrix(returns), 1),
        "drawdown band": seconds(lambda: drawdown_band(returns, block=MEAN_BLOCK)),
        "metrics": seconds(lambda: summary(returns, 1e-4, other)),
        "inference of one year": seconds(lambda: inference_summary(returns[:252])),
        "inference of ten years": seconds(lambda: inference_summary(returns)),
        "comparison of two": seconds(lambda: compare(returns, other)),
        "reality check, 100 configurations": seconds(
            lambda: max_sharpe_reality_check(many[:, :100], Resampling(block=MEAN_BLOCK)), 1
        ),
        "overfitting": seconds(lambda: backtest_overfitting(many, BLOCKS), 1),
        "overfitting, naive loop": seconds(lambda: naive_splits(many, few), 1) / few * splits,
    }
    if find_spec("arch"):
        found["sharpe interval by arch"] = seconds(lambda: by_arch(returns), 1)
        found["arch / ours"] = found["sharpe interval by arch"] / found["sharpe interval"]
    found["index matrix / ours"] = found["sharpe interval by index matrix"] / found["sharpe interval"]
    found["naive overfitting / ours"] = found["overfitting, naive loop"] / found["overfitting"]
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="one JSON object on stdout")
    found = measure()
    if parser.parse_args().json:
        print(json.dumps(found))
        return
    for name, value in found.items():
        print(f"{name:36} {value:10.1f} ×" if "/" in name else f"{name:36} {value:10.4f} s")


if __name__ == "__main__":
    main()
