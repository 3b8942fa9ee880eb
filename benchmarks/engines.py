"""How fast the engines are, as ratios measured in one run: `python benchmarks/engines.py`.

The task: SMA(20/50) long or flat on 20 symbols over 2520 daily bars, a twentieth of equity each, from prices to the
equity curve, indicators included. CPU seconds of all threads, the best of several runs after one to warm up.
"""

from __future__ import annotations

import os
import resource
import sys
import time
from collections.abc import Callable
from importlib.util import find_spec

import numpy as np

from simulator.market.bars import Bars
from simulator.replay import backtrader_engine, kernel
from simulator.replay.backtrader_feed import ArrayFeed, bt, feeds
from simulator.replay.tape import Tape
from simulator.trading.execution import ExecutionRules

SYMBOLS, BARS, FAST, SLOW, CASH = 20, 2520, 20, 50, 1e6
RULES = ExecutionRules(slippage_bps=2.0)

Run = Callable[[], float]
"""Runs the task once and returns the final equity."""


def market(symbols: int = SYMBOLS, bars: int = BARS) -> Bars:
    """Seeded random walks."""
    rng = np.random.default_rng(7)
    shape = bars, symbols
    close = 100 * np.exp(np.cumsum(rng.normal(3e-4, 0.015, shape), axis=0))
    opened = np.vstack([np.full((1, symbols), 100.0), close[:-1]]) * np.exp(rng.normal(0, 0.004, shape))
    high = np.maximum(opened, close) * np.exp(np.abs(rng.normal(0, 0.004, shape)))
    low = np.minimum(opened, close) * np.exp(-np.abs(rng.normal(0, 0.004, shape)))
    day = 86_400_000_000_000
    days = 16_000 + np.arange(bars)
    opens_at = days * day + day * 3 // 5
    names = tuple(f"S{n:03}" for n in range(symbols))
    arrays = {"open": opened, "high": high, "low": low, "close": close, "volume": np.ones(shape)}
    return Bars(names, opens_at, opens_at + day // 4, dividend=np.zeros(shape), session_of=days,
                sources=("random walk",) * symbols, **arrays)  # fmt: skip


def crosses(bars: Bars) -> Tape:
    """A tape with a target wherever the fast average of closes has crossed the slow one, filled at the next open."""
    sums = np.zeros((len(bars) + 1, len(bars.symbols)))
    np.cumsum(bars.close, axis=0, out=sums[1:])
    end = sums[SLOW:]
    above = (end - sums[SLOW - FAST : -FAST]) * (SLOW / FAST) > end - sums[:-SLOW]
    turned = above[1:-1] != above[:-2]
    rows = np.flatnonzero(turned.any(axis=1))
    weight = np.where(turned[rows], np.where(above[rows + 1], 1.0 / len(bars.symbols), 0.0), np.nan)
    none = np.full(weight.shape, np.nan)
    return Tape(bars.opens_at[rows + SLOW + 1], bars.symbols, weight, none, none, none)


class PlainFeed(bt.feed.DataBase):  # type: ignore[misc]
    """An array feed as short as one can be: lines filled at once, everything else backtrader's."""

    lines = ("dividend",)

    def preload(self) -> None:
        ArrayFeed.preload(self)


class Crosses(bt.Strategy):  # type: ignore[misc]
    def __init__(self) -> None:
        self.crossings = [
            bt.ind.CrossOver(bt.ind.SMA(d.close, period=FAST), bt.ind.SMA(d.close, period=SLOW)) for d in self.datas
        ]

    def next(self) -> None:
        for data, crossing in zip(self.datas, self.crossings, strict=True):
            if crossing[0] > 0:
                self.order_target_percent(data, 1.0 / len(self.datas))
            elif crossing[0] < 0:
                self.order_target_percent(data, 0.0)


class TapePlayer(bt.Strategy):  # type: ignore[misc]
    """The same orders read from a tape, so that no time goes into indicators."""

    params = (("targets", None),)

    def next(self) -> None:
        for n, weight in self.p.targets.get(len(self), ()):
            self.order_target_percent(self.datas[n], weight)


def plain_backtrader(bars: Bars, strategy: type[bt.Strategy], **given: object) -> float:
    cerebro = bt.Cerebro(stdstats=False)
    for feed in feeds(bars):
        cerebro.adddata(PlainFeed(dataname=feed.p.dataname), name=feed.p.name)
    cerebro.broker.setcash(CASH)
    cerebro.broker.set_slippage_perc(2e-4)
    cerebro.addstrategy(strategy, **given)
    cerebro.run()
    return float(cerebro.broker.getvalue())


def plain_from_tape(bars: Bars) -> float:
    tape = crosses(bars)
    at = np.searchsorted(bars.opens_at, tape.instants)
    targets = {
        int(t): [(n, w) for n, w in enumerate(row) if w == w] for t, row in zip(at, tape.weight.tolist(), strict=True)
    }
    return plain_backtrader(bars, TapePlayer, targets=targets)


def vectorbt(bars: Bars) -> Run:
    import pandas as pd
    import vectorbt as vbt

    index = pd.DatetimeIndex(bars.opens_at)
    close = pd.DataFrame(bars.close, index=index, columns=list(bars.symbols))
    opened = pd.DataFrame(bars.open, index=index, columns=list(bars.symbols))

    def run() -> float:
        fast, slow = vbt.MA.run(close, FAST, short_name="fast"), vbt.MA.run(close, SLOW, short_name="slow")
        up, down = fast.ma_crossed_above(slow).to_numpy(), fast.ma_crossed_below(slow).to_numpy()
        wanted = np.full(up.shape, np.nan)
        wanted[1:] = np.where(up, 1.0 / SYMBOLS, np.where(down, 0.0, np.nan))[:-1]
        portfolio = vbt.Portfolio.from_orders(
            close, wanted, size_type="targetpercent", price=opened, slippage=2e-4, init_cash=CASH,
            cash_sharing=True, group_by=True, call_seq="auto",
        )  # fmt: skip
        return float(portfolio.value().iloc[-1])

    return run


def backtesting_py(bars: Bars) -> Run:
    import pandas as pd
    from backtesting import Backtest, Strategy
    from backtesting.lib import crossover

    index = pd.DatetimeIndex(bars.opens_at)
    frames = [
        pd.DataFrame(
            {"Open": bars.open[:, n], "High": bars.high[:, n], "Low": bars.low[:, n], "Close": bars.close[:, n]}, index
        )
        for n in range(len(bars.symbols))
    ]

    class Cross(Strategy):  # type: ignore[misc]
        def init(self) -> None:
            self.fast = self.I(lambda c: pd.Series(c).rolling(FAST).mean(), self.data.Close)
            self.slow = self.I(lambda c: pd.Series(c).rolling(SLOW).mean(), self.data.Close)

        def next(self) -> None:
            if crossover(self.fast, self.slow):
                self.buy()
            elif crossover(self.slow, self.fast):
                self.position.close()

    def run() -> float:
        runs = (Backtest(f, Cross, cash=CASH / SYMBOLS, spread=2e-4, finalize_trades=True).run() for f in frames)
        return float(sum(r["Equity Final [$]"] for r in runs))

    return run


def measured(run: Run, times: int) -> tuple[float, float]:
    """Least CPU seconds of `times` runs after one to warm up, and what the run returned."""
    result = run()
    least = float("inf")
    for _ in range(times):
        start = time.process_time()
        run()
        least = min(least, time.process_time() - start)
    return least, result


def bracketed(symbols: int, bars: int) -> tuple[Bars, Tape]:
    """Every fifth bar all symbols get a target with a stop and a take-profit."""
    prices = market(symbols, bars)
    rows = np.arange(5, bars, 5)
    rng = np.random.default_rng(3)
    close = prices.close[rows - 1]
    weight = rng.dirichlet(np.ones(symbols), len(rows)) * 0.9
    none = np.full(weight.shape, np.nan)
    return prices, Tape(prices.opens_at[rows], prices.symbols, weight, none, close * 0.97, close * 1.04)


def show_batch(bars: Bars, members: int = 1_000) -> None:
    """Print wall milliseconds a play of many cost levels over the same bars, on one thread and on each core."""
    rules = [RULES.scale(level / members) for level in range(members)]
    batch = kernel.Batch.of(kernel.PreparedMarket.of(bars), crosses(bars), rules, CASH)
    print(f"\n{members:,} cost levels over {SYMBOLS} × {BARS} bars, wall milliseconds a play")
    for threads in dict.fromkeys((1, os.cpu_count() or 1)):
        kernel.play_many(batch, threads)
        least = float("inf")
        for _ in range(5):
            start = time.perf_counter()
            kernel.play_many(batch, threads)
            least = min(least, time.perf_counter() - start)
        print(f"{'kernel: play_many, threads: ' + str(threads):<44}{least / members * 1e3:>10.5f}")


def final_equity(batch: kernel.Batch) -> float:
    return float(CASH * (1 + kernel.play_many(batch).total_return[0]))


def main() -> None:
    os.environ["TQDM_DISABLE"] = "1"  # backtesting.py's progress bar
    bars = market()
    prepared = kernel.PreparedMarket.of(bars)
    contenders: list[tuple[str, Run | None, int]] = [
        (
            "kernel: equity curve",
            lambda: float(
                CASH * (1 + kernel.play_many(kernel.Batch.of(prepared, crosses(bars), RULES, CASH)).total_return[0])
            ),
            50,
        ),
        ("kernel: whole ledger", lambda: float(kernel.replay_tape(bars, crosses(bars), RULES, CASH).equity[-1]), 50),
        ("vectorbt", vectorbt(bars) if find_spec("vectorbt") else None, 5),
        ("backtesting.py", backtesting_py(bars) if find_spec("backtesting") else None, 2),
        (
            "our backtrader engine",
            lambda: float(backtrader_engine.replay_tape(bars, crosses(bars), RULES, CASH).equity[-1]),
            3,
        ),
        ("plain backtrader, array feed, our signals", lambda: plain_from_tape(bars), 3),
        ("plain backtrader, array feed", lambda: plain_backtrader(bars, Crosses), 3),
    ]
    print(f"SMA({FAST}/{SLOW}), {SYMBOLS} symbols × {BARS} bars, CPU seconds; Python {sys.version.split()[0]}")
    print(f"{'engine':<44}{'seconds':>10}{'× kernel':>10}{'final equity':>16}")
    base = 0.0
    for name, run, times in contenders:
        if run is None:
            print(f"{name:<44}{'not installed: pip install ' + name.split('.')[0]:>36}")
            continue
        seconds, equity = measured(run, times)
        base = base or seconds
        print(f"{name:<44}{seconds:>10.5f}{seconds / base:>10.1f}{equity:>16,.2f}")

    prices, tape = bracketed(100, 2520)
    print(f"\nbrackets: 100 symbols × 2520 bars, {len(tape) * 100:,} targets with stop and take-profit")
    for name, run in (
        ("kernel: whole ledger", lambda: float(kernel.replay_tape(prices, tape, RULES, CASH).equity[-1])),
        ("our backtrader engine", lambda: float(backtrader_engine.replay_tape(prices, tape, RULES, CASH).equity[-1])),
    ):
        start = time.process_time()
        equity = run()
        print(f"{name:<44}{time.process_time() - start:>10.5f}{'':>10}{equity:>16,.2f}")
    show_batch(bars)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"peak memory of this process {peak:,.0f} MB")


if __name__ == "__main__":
    main()
