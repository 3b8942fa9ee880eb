"""How fast the statistics are, as ratios measured in one run: `python benchmarks/inference.py [--json]`.

A 10,000-draw interval of the Sharpe ratio on 2,520 sessions beside arch (where installed) and plain index matrices; PBO
with 16 blocks on 1,000 × 2,520 beside the naive loop over splits, of which a few are timed and the rest multiplied; the
page of `sim stats --html` for one strategy and a benchmark beside the tear sheet of quantstats (where installed); all
figures of 50 series, as `sim stats` computes them, beside their 50 intervals alone by arch and by index matrices.
"""

from __future__ import annotations

import os

# One thread each: on a machine that is shared, threads of a matrix product wait for each other, and waiting is counted.
os.environ.update(dict.fromkeys(("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"), "1"))

import argparse
import itertools
import json
import logging
import math
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from dataclasses import replace
from importlib.util import find_spec

import numpy as np
from numpy.typing import NDArray

from simulator.analysis.returns.load import Returns
from simulator.analysis.returns.summary import Settings, describe
from simulator.report.returns import render
from simulator.stats.bootstrap import drawdown_band, sharpe_interval
from simulator.stats.compare import compare
from simulator.stats.inference import inference_summary
from simulator.stats.metrics import summary
from simulator.stats.overfitting import backtest_overfitting
from simulator.stats.selection import Resampling, max_sharpe_reality_check

DRAWS, SESSIONS, CONFIGURATIONS, BLOCKS, SERIES = 10_000, 2_520, 1_000, 16, 50
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


def dated(returns: NDArray[np.float64], other: NDArray[np.float64]) -> Returns:
    """The two as a file of returns would be read."""
    days = np.datetime64("2014-01-02") + np.arange(returns.size) * 7 // 5
    columns = {"strategy": returns, "benchmark": other}
    return Returns("returns.csv", days.astype("datetime64[s]"), columns, np.arange(2, returns.size + 2))


def many_series(columns: NDArray[np.float64]) -> Returns:
    """The columns (T, N) as a file of so many strategies would be read."""
    read = dated(columns[:, 0], columns[:, 1])
    return replace(read, columns={f"s{n}": values for n, values in enumerate(columns.T)})


def page(read: Returns) -> bytes:
    """What `sim stats returns.csv --benchmark benchmark --html page.html` computes and writes."""
    return render(describe(read, Settings(benchmark="benchmark")), read, "")


def by_quantstats(read: Returns) -> None:
    """quantstats' HTML tear sheet of the same strategy and benchmark."""
    import pandas as pd
    import quantstats

    logging.getLogger("matplotlib.font_manager").setLevel(logging.ERROR)
    index = pd.DatetimeIndex(read.dates)
    strategy, benchmark = (pd.Series(read.columns[name], index, name=name) for name in ("strategy", "benchmark"))
    with tempfile.NamedTemporaryFile(suffix=".html") as target, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        quantstats.reports.html(strategy, benchmark, output=target.name)


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
        "sim stats of 50 series": seconds(lambda: describe(many_series(many[:, :SERIES]), Settings()), 2),
        "overfitting": seconds(lambda: backtest_overfitting(many, BLOCKS)),
        "overfitting, naive loop": seconds(lambda: naive_splits(many, few), 1) / few * splits,
    }
    read = dated(returns, other)
    found["page of sim stats"] = seconds(lambda: page(read))
    if find_spec("quantstats"):
        found["tear sheet of quantstats"] = seconds(lambda: by_quantstats(read), 1)
        found["quantstats / ours"] = found["tear sheet of quantstats"] / found["page of sim stats"]
    if find_spec("arch"):
        found["sharpe interval by arch"] = seconds(lambda: by_arch(returns), 1)
        found["arch / ours"] = found["sharpe interval by arch"] / found["sharpe interval"]
        found["50 intervals by arch / 50 series"] = (
            SERIES * found["sharpe interval by arch"] / found["sim stats of 50 series"]
        )
    found["index matrix / ours"] = found["sharpe interval by index matrix"] / found["sharpe interval"]
    found["naive overfitting / ours"] = found["overfitting, naive loop"] / found["overfitting"]
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="one JSON object on stdout")
    wanted = parser.parse_args()
    for program in ("arch", "quantstats"):
        if not find_spec(program):
            print(f"{program} is not installed and is left out; pip install {program}", file=sys.stderr)
    found = measure()
    if wanted.json:
        print(json.dumps(found))
        return
    for name, value in found.items():
        print(f"{name:36} {value:10.1f} ×" if "/" in name else f"{name:36} {value:10.4f} s")


if __name__ == "__main__":
    main()
