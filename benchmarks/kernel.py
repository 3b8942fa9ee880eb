"""The kernel beside bare loops, as ratios in one run: `python benchmarks/kernel.py`.

A bare loop is what one would write by hand for this one task: targets as fractions of the last close's equity, filled
at the next open with slippage, sales first, purchases cut to the cash there is; no ledger, limits, dividends, interest
or checks. CPU seconds, least of several runs after one to warm up, one thread. vectorbt is measured where installed.
"""

from __future__ import annotations

import argparse
import resource
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from engines import CASH, RULES, Run, bracketed, crosses, market, measured
from numba import njit

from simulator.market.bars import Bars
from simulator.replay import kernel
from simulator.replay.tape import Tape
from simulator.rules import Occasions, load_rule

COMBINATIONS = [(fast, slow) for fast in range(5, 45) for slow in range(50, 250, 8)]
SLIP = 2e-4
SMA_CROSS = type(load_rule(Path(__file__).parents[1] / "strategies" / "sma_cross.py"))


@njit(error_model="numpy")  # type: ignore[untyped-decorator]
def rebalance(opened: Any, close: Any, weight: Any, held: Any, wish: Any, cash: float, worth: float) -> float:
    """Trade one bar's open to `weight` of `worth`; returns the cash left."""
    need = 0.0
    for n in range(len(held)):
        wish[n] = weight[n] * worth / close[n] - held[n] if weight[n] == weight[n] else 0.0
        if wish[n] < 0.0:
            cash -= wish[n] * opened[n] * (1.0 - SLIP)
            held[n] += wish[n]
        elif wish[n] > 0.0:
            need += wish[n] * opened[n] * (1.0 + SLIP)
    scale = 1.0 if need <= cash else cash / need
    for n in range(len(held)):
        if wish[n] > 0.0:
            cash -= wish[n] * scale * opened[n] * (1.0 + SLIP)
            held[n] += wish[n] * scale
    return cash


@njit(error_model="numpy")  # type: ignore[untyped-decorator]
def bare(bars: Any, rows: Any, weight: Any, stop: Any, take: Any, equity: Any) -> None:
    """Play one tape; with `stop` and `take` (K, N) or (0, N), prices that close a position within a bar."""
    opened, high, low, close = bars
    held, wish, k, cash, worth = np.zeros(opened.shape[1]), np.zeros(opened.shape[1]), 0, CASH, CASH
    for t in range(len(opened)):
        if k < len(rows) and rows[k] == t:
            cash = rebalance(opened[t], close[t - 1], weight[k], held, wish, cash, worth)
            k += 1
        if len(stop) > 0 and k > 0:
            for n in range(len(held)):
                if held[n] <= 0.0:
                    continue
                price = 0.0
                if opened[t, n] <= stop[k - 1, n] or opened[t, n] >= take[k - 1, n]:
                    price = opened[t, n]
                elif low[t, n] <= stop[k - 1, n]:
                    price = stop[k - 1, n]
                elif high[t, n] >= take[k - 1, n]:
                    price = take[k - 1, n]
                if price > 0.0:
                    cash += held[n] * price * (1.0 - SLIP)
                    held[n] = 0.0
        worth = cash
        for n in range(len(held)):
            worth += held[n] * close[t, n]
        equity[t] = worth


@njit(error_model="numpy")  # type: ignore[untyped-decorator]
def bare_sweep(opened: Any, close: Any, pairs: Any, found: Any) -> None:
    """Of each (fast, slow): signals, daily targets of all or nothing, total return and Sharpe."""
    sums = np.zeros(len(close) + 1)
    for t in range(len(close)):
        sums[t + 1] = sums[t] + close[t]
    for r in range(len(pairs)):
        fast, slow = pairs[r]
        cash, held, worth, total, squares = CASH, 0.0, CASH, 0.0, 0.0
        for t in range(1, len(close)):
            above = t >= slow and (sums[t] - sums[t - fast]) * slow > (sums[t] - sums[t - slow]) * fast
            wish = (worth / close[t - 1] if above else 0.0) - held
            price = opened[t] * (1.0 + SLIP if wish > 0.0 else 1.0 - SLIP)
            if wish * price > cash:
                wish = cash / price
            cash -= wish * price
            held += wish
            before, worth = worth, cash + held * close[t]
            earned = worth / before - 1.0
            total += earned
            squares += earned * earned
        mean = total / len(close)
        found[r, 0] = worth / CASH - 1.0
        found[r, 1] = mean / np.sqrt((squares - total * mean) / (len(close) - 1)) * np.sqrt(252.0)


def weekly(bars: Bars) -> Tape:
    """Every fifth bar new weights for every symbol."""
    rows = np.arange(5, len(bars), 5)
    weight = np.random.default_rng(3).dirichlet(np.ones(len(bars.symbols)), len(rows)) * 0.95
    none = np.full(weight.shape, np.nan)
    return Tape(bars.opens_at[rows], bars.symbols, weight, none, none, none)


def one_run(bars: Bars, tape: Tape, brackets: bool = False) -> tuple[Run, Run]:
    """Return the kernel and the bare loop on one tape that stands ready."""
    prepared, rows = kernel.PreparedMarket.of(bars), np.searchsorted(bars.opens_at, tape.instants)
    equity, prices = np.empty(len(bars)), (bars.open, bars.high, bars.low, bars.close)
    stop, take = (tape.stop, tape.take_profit) if brackets else (tape.stop[:0], tape.take_profit[:0])

    def ours() -> float:
        return float(CASH * (1 + kernel.play_many(kernel.Batch.of(prepared, tape, RULES, CASH)).total_return[0]))

    def other() -> float:
        bare(prices, rows, tape.weight, stop, take, equity)
        return float(equity[-1])

    return ours, other


def sweep(bars: Bars) -> tuple[Run, Run]:
    """Return the kernel and the bare loop over all combinations: mean total return."""
    prepared, pairs, found = kernel.PreparedMarket.of(bars), np.array(COMBINATIONS), np.empty((len(COMBINATIONS), 2))
    opened, close = bars.open[:, 0].copy(), bars.close[:, 0].copy()

    def ours() -> float:
        dates = Occasions(bars, bars.closes_at[:-1])

        sets = [{"fast": fast, "slow": slow} for fast, slow in COMBINATIONS]

        def weigh(first: int, last: int) -> Any:
            return SMA_CROSS.weights_for_many(dates, sets[first:last])

        batch = kernel.Batch.weighed(prepared, bars.opens_at[1:], None, [RULES] * len(sets), CASH, None, weigh)
        return float(kernel.play_many(batch).total_return.mean())

    def other() -> float:
        bare_sweep(opened, close, pairs, found)
        return float(found[:, 0].mean())

    return ours, other


def vectorbt_sweep(bars: Bars) -> Run:
    """Return the sweep by vectorbt: all or nothing where averages cross."""
    import pandas as pd
    import vectorbt as vbt

    index = pd.DatetimeIndex(bars.opens_at)
    close, opened = (pd.Series(column[:, 0], index) for column in (bars.close, bars.open))

    def run() -> float:
        fast = vbt.MA.run(close, [fast for fast, _ in COMBINATIONS], short_name="fast")
        slow = vbt.MA.run(close, [slow for _, slow in COMBINATIONS], short_name="slow")
        up, down = (
            signal.shift(1, fill_value=False) for signal in (fast.ma_crossed_above(slow), fast.ma_crossed_below(slow))
        )
        played = vbt.Portfolio.from_signals(close, up, down, price=opened, slippage=SLIP, init_cash=CASH, freq="1D")
        played.sharpe_ratio()
        return float(played.total_return().mean())

    return run


def show(work: str, ours: Run, other: Run | None, aim: str, times: int = 7) -> None:
    a, result = measured(ours, times)
    if other is None:
        print(f"{work:<48}{a * 1e3:>10.3f}{'n/a':>10}{'':>8}  {aim:<8}{result:>14,.4f}")
        return
    b, expected = measured(other, times)
    ratio = a / b if aim.startswith("≤") else b / a
    print(f"{work:<48}{a * 1e3:>10.3f}{b * 1e3:>10.3f}{ratio:>8.2f}  {aim:<8}{result:>14,.4f}{expected:>14,.4f}")


def main() -> None:
    argparse.ArgumentParser(description=__doc__).parse_args()
    print(f"{'work':<48}{'ours ms':>10}{'other ms':>10}{'ratio':>8}  {'aim':<8}{'our result':>14}{'other result':>14}")
    bars = market()
    show("one run, tape of crossings, 20 × 2,520", *one_run(bars, crosses(bars)), "≤ 2", 50)
    show("one run, weekly tape, 20 × 2,520", *one_run(bars, weekly(bars)), "≤ 3", 50)
    show("brackets, 100 × 2,520", *one_run(*bracketed(100, 2_520), brackets=True), "≤ 2", 20)
    single = market(1)
    ours, other = sweep(single)
    name = f"{len(COMBINATIONS):,} SMA pairs, 1 × 2,520, "
    show(name + "bare loop", ours, other, "≤ 2")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    show(name + "vectorbt", ours, vectorbt_sweep(single) if find_spec("vectorbt") else None, "≥ 20", 3)
    print(f"peak memory of this process before vectorbt {peak:,.0f} MB (aim ≤ 300)")


if __name__ == "__main__":
    main()
