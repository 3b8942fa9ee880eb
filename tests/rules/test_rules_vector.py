"""The vector form of a rule is its step form, date by date, and the kernel plays both to the same books."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from simulator.errors import UsageError
from simulator.market.bars import NUMBERS, Bars, moment
from simulator.replay import kernel
from simulator.replay.kernel import Batch, PreparedMarket
from simulator.replay.tape import Tape
from simulator.rules import Occasions, Rule, load_rule
from simulator.rules.base import step_by_step
from simulator.runs.measure import account
from simulator.trading.execution import ExecutionRules

ROOT = Path(__file__).parents[2]
DAY = 86_400_000_000_000
RULES = ExecutionRules(commission_bps=1.0, slippage_bps=2.0)
CASES = [
    ("buy_and_hold", {}),
    ("equal_weight", {}),
    ("momentum_12_1", {}),
    ("random_entry", {"seed": 3, "probability": 0.4}),
    ("sixty_forty", {"stocks": 0.7}),
    ("sma_cross", {"fast": 5, "slow": 21}),
    ("sma_cross", {"fast": 1, "slow": 2}),
    ("sma_cross", {"fast": 30, "slow": 30}),
    ("sma_cross", {"fast": 30, "slow": 10}),
    ("sma_cross", {"fast": 0, "slow": 10}),
]


def rule_class(name: str) -> type[Rule]:
    loaded = load_rule(ROOT / "strategies" / f"{name}.py")
    assert isinstance(loaded, Rule)
    return type(loaded)


def some_bars(seed: int, count: int = 330) -> Bars:
    """Gaps, late starts, prices on coarse ticks, and one symbol whose price never moves: averages tie."""
    rng = np.random.default_rng(seed)
    symbols = ("A", "B", "C", "AGG")
    shape = count, len(symbols)
    close = 50 * np.cumprod(1 + rng.normal(0, 0.02, shape), axis=0)
    close[:, 0] = np.round(close[:, 0] / 10, 0) + 1
    close[:, 2] = 0.1
    opened = np.vstack([close[:1], close[:-1]])
    missing = rng.random(shape) < 0.05
    missing[: rng.integers(0, 60), 1] = True
    prices = {"open": opened, "high": np.maximum(opened, close), "low": np.minimum(opened, close), "close": close}
    kept = {name: np.where(missing, np.nan, each) for name, each in prices.items()}
    days = 19_000 + np.arange(count)
    at = days * DAY + 14 * DAY // 24
    return Bars(symbols, at, at + DAY // 4, volume=np.where(missing, np.nan, 1.0), dividend=np.zeros(shape),
                session_of=days, sources=("random",) * len(symbols), **kept)  # fmt: skip


def tape_of(bars: Bars, instants: np.ndarray, weights: np.ndarray) -> Tape:
    none = np.full(weights.shape, np.nan)
    return Tape(instants, bars.symbols, weights, none, none, none)


@pytest.mark.medium
@pytest.mark.parametrize(("name", "parameters"), CASES)
@pytest.mark.parametrize("seed", [0, 1])
def test_the_vector_form_is_the_step_form_to_the_last_bit(name: str, parameters: dict[str, float], seed: int) -> None:
    bars = some_bars(seed)
    market = Occasions(bars, bars.opens_at[3::4])
    vector = rule_class(name).weights_for(market, parameters)
    rule = rule_class(name)(**parameters)
    decisions = [rule.decide(bars.snapshot(moment(int(at)))) for at in market.instants]
    step = Tape.from_decisions(decisions, bars.symbols)
    assert vector.tobytes() == step.weight.tobytes()
    assert vector.tobytes() == step_by_step(rule_class(name), market, parameters).tobytes()
    books = [kernel.replay_tape(bars, tape, RULES, 1e5) for tape in (tape_of(bars, market.instants, vector), step)]
    for rows in ("order_rows", "fill_rows", "rejection_rows"):
        assert getattr(books[0], rows).tobytes() == getattr(books[1], rows).tobytes()


@pytest.mark.medium
@pytest.mark.parametrize("name", sorted({name for name, _ in CASES}))
def test_many_sets_of_parameters_at_once_are_what_each_gives_alone(name: str) -> None:
    bars, rule = some_bars(3), rule_class(name)
    market, sets = Occasions(bars, bars.opens_at[2::3]), [given for each, given in CASES if each == name]
    if name == "sma_cross":  # one of them has no vector form: its fast window is the longer one
        sets += [{"fast": fast, "slow": slow} for fast in (1, 2, 7) for slow in (1, 7, 30, 200)]
        # Windows longer than all bars, or of no length, once read memory beyond the sums.
        sets += [{"fast": fast, "slow": slow} for fast in (-7, 10**9) for slow in (-3, 20, 10**9)]
    together = rule.weights_for_many(market, sets)
    assert together.tobytes() == np.array([rule.weights_for(market, each) for each in sets]).tobytes()
    assert together.tobytes() == np.array([step_by_step(rule, market, each) for each in sets]).tobytes()
    assert rule.weights_for_many(market, []).shape == (0, *market.listed.shape)


def test_averages_that_tie_are_compared_as_the_step_form_compares_them() -> None:
    rng, bars, rule = np.random.default_rng(1), some_bars(1), rule_class("sma_cross")
    close = np.where(bars.fresh, np.round(rng.uniform(1, 3, bars.close.shape)) * 0.1, np.nan)
    tied = replace(bars, open=close, high=close, low=close, close=close)
    market, sets = Occasions(tied, tied.opens_at[1:]), [{"fast": 2, "slow": slow} for slow in (2, 3, 4, 6, 8, 12)]
    together = rule.weights_for_many(market, sets)
    assert together.tobytes() == np.array([step_by_step(rule, market, each) for each in sets]).tobytes()


@pytest.mark.parametrize(("name", "parameters"), CASES)
def test_noise_in_the_future_changes_no_weight_of_the_past(name: str, parameters: dict[str, float]) -> None:
    bars, cut = some_bars(2), 300
    noise = np.random.default_rng(9).uniform(1, 99, (len(bars) - cut, len(bars.symbols)))
    later = replace(bars, **{each: np.vstack([getattr(bars, each)[:cut], noise]) for each in NUMBERS})
    instants = bars.opens_at[:cut:3]
    one, other = (rule_class(name).weights_for(Occasions(each, instants), parameters) for each in (bars, later))
    assert one.tobytes() == other.tobytes()


def test_a_parameter_a_rule_does_not_have_is_refused() -> None:
    for name in {name for name, _ in CASES}:
        with pytest.raises(UsageError, match='has no parameter "sow"'):
            rule_class(name).weights_for(Occasions(some_bars(0), some_bars(0).opens_at[5:9]), {"sow": 3})


@pytest.mark.medium
def test_many_parameter_sets_are_what_each_gives_alone_whatever_the_threads() -> None:
    bars = some_bars(4)
    market, rule, instants = PreparedMarket.of(bars), rule_class("sma_cross"), bars.opens_at[1:]
    occasions = Occasions(bars, instants)
    sets = [{"fast": fast, "slow": slow} for fast in (1, 2, 3, 5, 8) for slow in (13, 21, 34)]
    batch = Batch.weighed(market, instants, lambda r: rule.weights_for(occasions, sets[r]), RULES, [1e5] * len(sets))
    found = kernel.play_many(batch, paths=True)
    assert found.equity is not None
    for threads in (1, 3):
        again = kernel.play_many(batch, threads)
        for name in ("total_return", "sharpe", "max_drawdown", "exposure", "turnover", "costs"):
            assert getattr(again, name).tobytes() == getattr(found, name).tobytes()
    for r, parameters in enumerate(sets):
        alone = kernel.replay_tape(bars, tape_of(bars, instants, rule.weights_for(occasions, parameters)), RULES, 1e5)
        assert found.equity[r].tobytes() == alone.equity.tobytes()
        assert batch.ledger(r).fill_rows.tobytes() == alone.fill_rows.tobytes()
        expected = account(alone, 1e5, np.zeros(len(bars))).values
        for name in ("total_return", "sharpe", "max_drawdown", "exposure", "turnover"):
            assert getattr(found, name)[r] == pytest.approx(expected[name], rel=1e-9)
        assert found.costs[r] == pytest.approx(alone.fill_rows["slippage"].sum() + alone.fill_rows["commission"].sum())


def test_a_member_that_never_trades_has_no_sharpe_ratio() -> None:
    bars = some_bars(5)
    none = np.full((1, len(bars.symbols)), np.nan)
    batch = Batch.weighed(PreparedMarket.of(bars), bars.opens_at[:1], lambda _: none, RULES, 1e5)
    found = kernel.play_many(batch)
    assert np.isnan(found.sharpe[0])
    assert (found.total_return[0], found.max_drawdown[0], found.costs[0]) == (0.0, 0.0, 0.0)
