"""A sweep from prepared bars to results on disk, beside vectorbt: `python benchmarks/sweep.py`.

Ours is what `sim sweep` does with members once the bars are read: weights, fills with slippage, total return, Sharpe,
drawdown, exposure, turnover and what lies beyond each member's usual exposure, in Parquet. vectorbt's is signals,
total return and Sharpe, in memory. Milliseconds a member, least of several in turn: elapsed, ours on two threads as
the command has it and vectorbt's as it comes, and of CPU, ours on one thread; imports, reading bars and the inference
stand apart. What only the inference reads, a series of each member, is sealed and written by ours: how long that takes
is said. The portfolio is brought back to equal parts every week by ours and left to drift by vectorbt.
"""

from __future__ import annotations

import argparse
import resource
import shutil
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from datetime import date
from functools import partial
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pandas as pd
from engines import market

from simulator.evidence.verify_sweep import series_digest, series_head
from simulator.files import write_file
from simulator.market.bars import Bars, Floats
from simulator.market.calendar import sessions
from simulator.market.months import month_digests
from simulator.studies.executors import Executor
from simulator.studies.study_file import make_study
from simulator.studies.sweep import Sweep
from simulator.workspace import Workspace, shipped

FIRST, COUNT = date(2015, 1, 2), 2520
FAST, SLOW = "5:44:1", "50:242:8"
PAIRS = [(fast, slow) for fast in range(5, 45) for slow in range(50, 243, 8)]


def write_bars(folder: Path, bars: Bars) -> None:
    """Write `bars` as files of a workspace, on sessions of the exchange."""
    days = sessions(FIRST, date(2025, 12, 31)).dates[: len(bars)]
    folder.mkdir(parents=True)
    for n, symbol in enumerate(bars.symbols):
        columns = {name: getattr(bars, name)[:, n] for name in ("open", "high", "low", "close", "volume")}
        pd.DataFrame({"date": days, **columns}).to_csv(folder / f"{symbol}.csv", index=False)


def ours(folder: Path, bars: Bars, cadence: str, slow: str) -> tuple[Sweep, float]:
    """Return a sweep, its bars read, and the CPU seconds of that."""
    write_bars(folder / "data", bars)
    for part in ("strategies", "config"):
        shutil.copytree(shipped() / part, folder / part)
    shutil.copy(shipped() / "data" / "events.csv", folder / "data")
    (folder / "sim.toml").write_text((shipped() / "sim.toml").read_text())
    workspace = Workspace(folder, folder)
    start = time.process_time()
    given = {"strategy": "sma_cross", "symbols": bars.symbols, "first": str(FIRST)}
    sweep = Sweep(
        make_study(workspace, None, [("fast", FAST), ("slow", slow), ("cadence", cadence)], **given), workspace
    )
    staged = sweep.inputs.prepare().staged(sweep.inputs.member(0))
    month_digests(staged.inputs.bars, FIRST)  # for the count of trials; kept with the bars
    return sweep, time.process_time() - start


def play(sweep: Sweep, threads: int) -> None:
    sweep.play(Executor(workers=threads))


def seal(sweep: Sweep, blocks: list[Floats]) -> None:
    """Write the series of all members once more, beside the sweep, with their digests."""
    for n, block in enumerate(blocks):
        series_digest(block)
        write_file(sweep.workspace.reports.parent / "again" / f"{n}.npy", block.data.cast("B"), head=series_head(block))


def vectorbt(bars: Bars, pairs: list[tuple[int, int]]) -> Callable[[], float]:
    import vectorbt as vbt

    index = pd.DatetimeIndex(bars.opens_at)
    close, opened = (pd.DataFrame(getattr(bars, name), index, bars.symbols) for name in ("close", "open"))

    def run() -> float:
        fast = vbt.MA.run(close, [fast for fast, _ in pairs], short_name="fast")
        slow = vbt.MA.run(close, [slow for _, slow in pairs], short_name="slow")
        up, down = (
            signal.shift(1, fill_value=False) for signal in (fast.ma_crossed_above(slow), fast.ma_crossed_below(slow))
        )
        prices = vbt.base.reshape_fns.broadcast_to(opened, up) if len(bars.symbols) == 1 else None
        tiled = prices if prices is not None else pd.concat([opened] * len(pairs), axis=1).set_axis(up.columns, axis=1)
        closes = pd.concat([close] * len(pairs), axis=1).set_axis(up.columns, axis=1)
        groups = np.repeat(np.arange(len(pairs)), len(bars.symbols))
        played = vbt.Portfolio.from_signals(
            closes, up, down, price=tiled, size=1 / len(bars.symbols), size_type="percent", slippage=2e-4,
            init_cash=1e6, freq="1D", group_by=groups, cash_sharing=True,
        )  # fmt: skip
        played.sharpe_ratio()
        return float(played.total_return().mean())

    return run


def timed(run: Callable[[], object]) -> tuple[float, float]:
    """Return elapsed and CPU seconds."""
    wall, cpu = time.perf_counter(), time.process_time()
    run()
    return time.perf_counter() - wall, time.process_time() - cpu


def show(name: str, symbols: int, cadence: str, slow: str, few: int, turns: int) -> None:
    bars = market(symbols, COUNT)
    other = vectorbt(bars, PAIRS[:few]) if find_spec("vectorbt") else None
    with tempfile.TemporaryDirectory() as place:
        sweep, reading = ours(Path(place) / "lab", bars, cadence, slow)
        times: dict[str, list[tuple[float, float]]] = defaultdict(list)
        for _ in range(turns):
            for threads in (1, 2):
                shutil.rmtree(sweep.folder.path, ignore_errors=True)
                times[f"{threads} threads"].append(timed(partial(play, sweep, threads)))
            times["series"].append(timed(partial(seal, sweep, list(sweep.folder.blocks()))))
            if other:
                times["other"].append(timed(other))
        inference = timed(sweep.conclude)[1]
    count = len(sweep.study)
    for part, clock, title, aim in (
        ("2 threads", 0, f"{count:,} {name}", "≥ 20"),
        ("1 threads", 1, "  the same in CPU time", ""),
    ):
        each, beside = min(one[clock] for one in times[part]) / count * 1e3, f"{'n/a':>10}{'':>8}"
        if other:
            theirs = min(one[clock] for one in times["other"]) / few * 1e3
            beside = f"{theirs:>10.3f}{theirs / each:>8.1f}"
        print(f"{title:<44}{each:>10.3f}{beside}  {aim}")
    series = min(one[1] for one in times["series"]) / count * 1e3
    print(f"  of that, series for the inference, sealed and written {series:.3f}")
    print(f"  apart: bars {reading:.2f} s, inference {inference:.2f} s")


def main() -> None:
    argparse.ArgumentParser(description=__doc__).parse_args()
    print(f"{'work, ms a member':<44}{'ours':>10}{'other':>10}{'ratio':>8}  aim")
    show("SMA pairs, daily, 1 × 2,520", 1, "daily", SLOW, 1000, turns=9)
    show("SMA pairs, weekly, 100 × 2,520", 100, "weekly", "50:90:8", 10, turns=3)
    print(f"peak memory of this process {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:,.0f} MB")


if __name__ == "__main__":
    main()
