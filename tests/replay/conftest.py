"""Small markets drawn by hand, and random ones that reach every branch of the fill rules."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from simulator.market.bars import Bars
from simulator.replay import backtrader_engine, kernel
from simulator.replay.ledger import Ledger
from simulator.replay.tape import Tape
from simulator.trading.execution import ExecutionRules

DAY = 86_400_000_000_000
HOUR = 3_600_000_000_000
FIRST_DAY = 19_724  # 2024-01-02


@dataclass(frozen=True)
class Scenario:
    """Everything a replay takes."""

    bars: Bars
    tape: Tape
    rules: ExecutionRules
    cash: float
    opening_marks: NDArray[np.float64] | None = None

    def __iter__(self) -> Iterator[Any]:
        return iter((self.bars, self.tape, self.rules, self.cash, self.opening_marks))


def make_bars(rows: Mapping[str, Sequence[tuple[float, float, float, float] | None]], **changed: object) -> Bars:
    """Daily bars from {symbol: [(open, high, low, close) or None, …]}; opening at 14:30, closing at 21:00 UTC."""
    symbols = tuple(rows)
    count = len(next(iter(rows.values())))
    prices = np.full((4, count, len(symbols)), np.nan)
    for n, symbol in enumerate(symbols):
        for t, row in enumerate(rows[symbol]):
            if row is not None:
                prices[:, t, n] = row
    days = FIRST_DAY + np.arange(count)
    given = {
        "opens_at": days * DAY + 14 * HOUR + HOUR // 2,
        "closes_at": days * DAY + 21 * HOUR,
        "session_of": days,
        "dividend": np.zeros((count, len(symbols))),
        **changed,
    }
    volume = np.where(np.isnan(prices[3]), np.nan, 1e6)
    return Bars(symbols, open=prices[0], high=prices[1], low=prices[2], close=prices[3], volume=volume,
                sources=("test",) * len(symbols), **given)  # fmt: skip


def make_tape(bars: Bars, *decisions: tuple[int, Mapping[str, float | tuple[float, float, float, float]]]) -> Tape:
    """A tape from (bar, {symbol: weight or (weight, limit, stop, take_profit)}); each decided at that bar's open."""
    cells = np.full((4, len(decisions), len(bars.symbols)), np.nan)
    for k, (_, targets) in enumerate(decisions):
        for symbol, target in targets.items():
            cells[:, k, bars.column(symbol)] = target if isinstance(target, tuple) else (target, *[np.nan] * 3)
    instants = np.array([bars.opens_at[t] for t, _ in decisions], dtype=np.int64)
    return Tape(instants, bars.symbols, *cells)


def random_scenario(seed: int) -> Scenario:
    """1 to 12 symbols over 5 to 70 bars: gaps, missing bars, late starts, ticks that tie, margin calls, all costs."""
    rng = np.random.default_rng(seed)
    count, symbols = int(rng.integers(5, 70)), int(rng.integers(1, 13))
    bars = _random_bars(rng, count, symbols)
    marks = None
    if rng.random() < 0.6:
        marks = np.where(rng.random(symbols) < 0.8, np.nan_to_num(bars.open[0], nan=50.0), 0.0)
    cash = float(rng.choice([1_000.0, 10_000.0, 123_456.78, 1e6]))
    return Scenario(bars, _random_tape(rng, bars), _random_rules(rng), cash, marks)


def _random_bars(rng: np.random.Generator, count: int, symbols: int) -> Bars:
    shape = count, symbols
    days, a_day = _days(rng, count)
    wildness = rng.choice([0.01, 0.03, 0.1])
    close = rng.uniform(2, 300, symbols) * np.exp(np.cumsum(rng.normal(0, wildness, shape), axis=0))
    jumps = np.where(rng.random(shape) < 0.02, rng.choice([0.4, 0.7, 1.5, 2.5], shape), 1.0)
    close = close * np.cumprod(jumps, axis=0)
    opened = np.vstack([close[:1], close[:-1]]) * np.exp(rng.normal(0, wildness / 2, shape))
    opened = np.where(rng.random(shape) < 0.03, opened * rng.choice([0.5, 2.0], shape), opened)
    high = np.maximum(opened, close) * np.exp(np.abs(rng.normal(0, wildness / 2, shape)))
    low = np.minimum(opened, close) * np.exp(-np.abs(rng.normal(0, wildness / 2, shape)))
    prices = _on_ticks(np.stack([opened, high, low, close]), _tick(rng, close))
    missing = rng.random(shape) < rng.choice([0.0, 0.05, 0.3])
    for n in range(symbols):
        if rng.random() < 0.2:
            missing[: rng.integers(0, count), n] = True
        if rng.random() < 0.1:
            missing[rng.integers(0, count) :, n] = True
    prices[:, missing] = np.nan
    dividend = np.where(rng.random(shape) < rng.choice([0.0, 0.1]), rng.uniform(0, 2, shape), 0.0)
    part = np.arange(count) % a_day
    length = int(rng.choice([1, 2])) * HOUR  # two hours: a bar opens at the instant the last one closes
    return Bars(
        symbols=tuple(f"S{n}" for n in range(symbols)),
        opens_at=days * DAY + 14 * HOUR + part * 2 * HOUR,
        closes_at=days * DAY + 14 * HOUR + part * 2 * HOUR + length,
        open=prices[0], high=prices[1], low=prices[2], close=prices[3],
        volume=np.where(missing, np.nan, 1e6),
        dividend=dividend,
        session_of=days,
        sources=("random",) * symbols,
        cash_return=np.where(np.append(np.diff(days) != 0, True), rng.normal(1e-4, 2e-4, count), 0.0),
    )  # fmt: skip


def _days(rng: np.random.Generator, count: int) -> tuple[NDArray[np.int64], int]:
    a_day = int(rng.choice([1, 1, 4]))
    return FIRST_DAY + np.arange(count) // a_day, a_day


def _tick(rng: np.random.Generator, close: NDArray[np.float64]) -> float:
    """None, a cent, a dollar, or so coarse that prices tie with limits and stops all the time."""
    return float(rng.choice([0.0, 0.01, 1.0, np.ceil(np.median(close) / 20)]))


def _on_ticks(prices: NDArray[np.float64], tick: float) -> NDArray[np.float64]:
    return np.maximum(np.round(prices / tick), 1.0) * tick if tick else prices


def _random_tape(rng: np.random.Generator, bars: Bars) -> Tape:
    count, symbols = len(bars), len(bars.symbols)
    decisions = int(rng.integers(1, max(2, int(count * rng.choice([0.1, 0.5, 1.2])))))
    rows = np.sort(rng.integers(0, count, decisions))
    shift = rng.choice([-12 * HOUR, 0, 1_000, HOUR // 2, 5 * HOUR], decisions)
    shape = decisions, symbols
    weight = rng.normal(0, 1, shape) / symbols * rng.choice([0.5, 1.5, 4.0])
    if rng.random() < 0.4:
        weight = np.abs(weight)
    kind = rng.random(shape)
    weight = np.where(kind < 0.15, 0.0, np.where(kind < 0.2, weight * 1e-3, weight))
    if rng.random() < 0.3:  # the same wish again and again: orders below the least trade
        weight = np.tile(weight[:1], (decisions, 1))
    weight = np.where(rng.random(shape) < rng.choice([0.1, 0.5, 0.9]), np.nan, weight)
    known = np.nan_to_num(bars.close[np.maximum(rows - 1, 0)], nan=20.0)
    reach = rng.choice([0.01, 0.05, 0.2])
    tick = _tick(rng, known)
    side = np.where(np.nan_to_num(weight) >= 0, 1.0, -1.0)

    def near(share: float, direction: NDArray[np.float64]) -> NDArray[np.float64]:
        away = np.abs(rng.normal(0, reach, shape)) * np.where(rng.random(shape) < 0.9, 1.0, -1.0)
        price = np.maximum(known * (1 + direction * away), 0.01)
        price = _on_ticks(price, tick)
        return np.where(rng.random(shape) < share, price, np.nan)

    share = rng.choice([0.0, 0.3, 0.8])
    return Tape(
        np.sort(bars.opens_at[rows] + shift),
        bars.symbols,
        weight,
        near(share, -side),
        near(share, -side),
        near(share, side),
    )


def in_parts(scenario: Scenario, seed: int) -> Scenario:
    """The scenario whose targets leave in up to three parts."""
    rng, tape, bars = np.random.default_rng(seed), scenario.tape, scenario.bars
    rows = np.searchsorted(bars.opens_at, tape.instants)
    known = np.nan_to_num(bars.close[np.clip(rows - 1, 0, len(bars) - 1)], nan=20.0)
    side = np.where(np.nan_to_num(tape.weight) >= 0, 1.0, -1.0)
    exits, rest = _random_exits(rng, known, side * rng.choice([0.01, 0.05]), _tick(rng, known), tape.take_profit)
    return replace(scenario, tape=replace(tape, take_profit=rest, exits=exits))


def _random_exits(
    rng: np.random.Generator,
    known: NDArray[np.float64],
    reach: NDArray[np.float64],
    tick: float,
    take_profit: NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Up to three parts of two cells in three, whose prices lead away, and the take-profits that lie beyond them."""
    exits, take_profit = np.full((*known.shape, 3, 2), np.nan), take_profit.copy()
    for k, n in np.ndindex(*known.shape):
        up, most = np.sign(reach[k, n]), int(rng.integers(0, 4))
        away = np.cumsum(np.abs(rng.normal(0, abs(reach[k, n]), most + 1)))
        prices = _on_ticks(np.maximum(known[k, n] * (1.0 + up * away), 0.01), tick)
        steps = up * np.diff(prices) > 0.0
        parts = int(np.argmin(np.append(steps, False))) if most else 0
        shares = rng.choice([[1 / 3, 1 / 3, 1 / 3], [0.5, 0.25, 0.125], [0.9, 0.05, 0.05]])[:parts]
        exits[k, n, :parts, 0], exits[k, n, :parts, 1] = shares, prices[:parts]
        if parts:
            take_profit[k, n] = np.nan if shares.sum() > 0.99 or rng.random() < 0.3 else prices[parts]
    return exits, take_profit


def _random_rules(rng: np.random.Generator) -> ExecutionRules:
    def some(*values: float) -> float:
        return float(rng.choice(values))

    return ExecutionRules(
        commission_per_share=some(0, 0, 0.005, 0.1),
        commission_bps=some(0, 0, 1, 30),
        commission_min=some(0, 0, 1, 25),
        slippage_bps=some(0, 2, 10, 150),
        borrow_rate=some(0, 0.01, 0.5),
        cash_interest=some(0, 0.05, np.nan),
        margin_spread=some(0, 0.015, 0.2),
        short_proceeds_earn=bool(rng.random() < 0.3),
        limit_through=bool(rng.random() < 0.5),
        initial_margin_long=some(1, 1, 0.5, 0.2),
        initial_margin_short=some(0.5, 0.5, 1.5, 0.2),
        maintenance_long=some(0.25, 0.25, 0.15, 0.9),
        maintenance_short=some(0.3, 0.3, 0.15),
        whole_shares=bool(rng.random() < 0.4),
        min_trade=some(0, 1, 1, 200),
        min_trade_share=some(0, 0, 0.001, 0.05),
    )


@pytest.fixture(params=["reference", "kernel"])
def replay(request: pytest.FixtureRequest) -> Callable[..., Ledger]:
    """Each engine in turn, as a function (bars, tape, rules, cash, opening_marks) → Ledger."""
    return {"reference": backtrader_engine.replay_tape, "kernel": kernel.replay_tape}[request.param]


@pytest.fixture(scope="session")
def bars_of() -> Callable[..., Bars]:
    return make_bars


@pytest.fixture(scope="session")
def tape_of() -> Callable[..., Tape]:
    return make_tape


@pytest.fixture(scope="session")
def scenario_of() -> Callable[[int], Scenario]:
    return random_scenario


@pytest.fixture(scope="session")
def scenario_in_parts() -> Callable[[int], Scenario]:
    return lambda seed: in_parts(random_scenario(seed), seed)
