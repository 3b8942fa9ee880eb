"""Facts worked out for all dates of a run at once are those that each date alone gives."""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import date

import numpy as np
import pytest

from simulator.council.fact_table import percent, six_digits
from simulator.council.facts import market_facts, symbol_facts
from simulator.market import indicators
from simulator.market.bars import FIELDS, Bars, Floats, Snapshot
from simulator.market.load import load_bars
from simulator.numerics import log
from simulator.replay.inputs import ReplayInputs
from simulator.workspace import shipped

SYMBOLS = ("SPY", "QQQ", "GLD")
WINDOWS = {**dict.fromkeys(("sma", "ema", "rolling_max", "rolling_min", "zscore"), (20,)), "returns": (5,)}


def facts_of_one_date(close: Floats, high: Floats, low: Floats) -> dict[str, float]:
    """As they were worked out before, one date at a time."""
    last = float(close[-1])
    facts = {"close": six_digits(last)}
    for k in (1, 5, 21, 63, 252):
        if len(close) > k:
            facts[f"return_{k}_pct"] = percent(last / float(close[-1 - k]) - 1)
    logs = np.diff(log(close[-64:]))
    for k in (21, 63):
        if len(logs) >= k:
            facts[f"volatility_{k}_pct"] = percent(float(logs[-k:].std(ddof=1)) * math.sqrt(252))
    shorter = close[-251:], high[-251:], low[-251:]
    if len(close) > 14:
        facts["rsi_14"] = round(float(indicators.rsi(shorter[0], 14)[-1]), 1)
        facts["atr_14"] = six_digits(float(indicators.atr(shorter[1], shorter[2], shorter[0], 14)[-1]))
    if len(close) >= 26 + 9:
        macd = indicators.macd(shorter[0])
        facts["macd_pct"] = round(100 * float(macd.line[-1] / close[-1]), 3) + 0.0
        facts["macd_signal_pct"] = round(100 * float(macd.signal[-1] / close[-1]), 3) + 0.0
    for k in (20, 50, 200):
        if len(close) >= k:
            facts[f"sma_{k}_distance_pct"] = percent(last / float(close[-k:].mean()) - 1)
    if len(close) > 1:
        facts["drawdown_252_pct"] = percent(last / float(close[-252:].max()) - 1)
    for k in (20, 55):
        if len(close) > k:
            facts[f"prior_high_{k}"] = six_digits(float(high[-1 - k : -1].max()))
            facts[f"prior_low_{k}"] = six_digits(float(low[-1 - k : -1].min()))
    return facts


@pytest.fixture(scope="module")
def real() -> Bars:
    folder = shipped() / "data"
    return load_bars(SYMBOLS, folder, first=date(2019, 1, 2), last=date(2023, 12, 29)).bars


@pytest.fixture(scope="module")
def holed(real: Bars) -> Bars:
    """The same with a third of the bars missing, one symbol listed late, one halted for longer than facts look back."""
    there = np.random.default_rng(4).random(real.close.shape) > 0.3
    there[:, 1] = np.arange(len(real)) >= 600
    there[300:760, 2] = False
    return replace(real, **{name: np.where(there, getattr(real, name), np.nan) for name in FIELDS})


def inputs_of(bars: Bars, every: int = 1) -> ReplayInputs:
    return ReplayInputs(bars, bars, 0, bars.closes_at[::every] + 1_000)


def alone(snapshot: Snapshot) -> Snapshot:
    """The snapshot with bars of its own, of which nothing was worked out before."""
    return replace(snapshot, bars=replace(snapshot.bars), context=None)


@pytest.mark.parametrize("kind", ["real", "holed"])
def test_facts_of_every_date_are_those_worked_out_for_it_alone(kind, request):
    bars = request.getfixturevalue(kind)
    for snapshot in inputs_of(bars, every=17 if kind == "holed" else 29).snapshots:
        facts = market_facts(snapshot)["symbols"]
        assert list(facts) == [s for s in SYMBOLS if len(snapshot.history(s)) and _seen_lately(snapshot, s)]
        for n, symbol in enumerate(bars.symbols):
            newest = slice(max(0, len(snapshot) - 400), len(snapshot))
            columns = [getattr(snapshot.bars, name)[newest, n] for name in ("close", "high", "low")]
            columns = [values[~np.isnan(values)] for values in columns]
            if not len(columns[0]):
                continue
            shown = {k: v for k, v in facts[symbol].items() if k not in ("relative_strength_63_pct", "last_bar")}
            assert list(shown.items()) == list(facts_of_one_date(*columns).items())
            assert list(shown.items()) == list(symbol_facts(*columns).items())


def _seen_lately(snapshot: Snapshot, symbol: str) -> bool:
    return bool((~np.isnan(snapshot.bars.close[-400:, snapshot.bars.column(symbol)])).any())


def test_minutes_are_put_together_to_the_sessions_that_each_date_alone_sees():
    rng = np.random.default_rng(5)
    count, day = 400, 86_400_000_000_000
    starts = np.concatenate([np.arange(7) * 3_600_000_000_000 + n * day + day * 3 // 5 for n in range(count)])
    close = 100 * np.exp(np.cumsum(rng.normal(0, 0.004, (len(starts), 2)), axis=0))
    close[rng.random(close.shape) < 0.2] = np.nan
    known = {"open": close, "high": close * 1.01, "low": close * 0.99, "close": close, "volume": close}
    sessions = np.repeat(np.arange(count), 7)
    bars = Bars(("A", "B"), starts, starts + 1, **known, dividend=np.zeros(close.shape), session_of=sessions,
                sources=("test", "test"), frequency="60min")  # fmt: skip
    for snapshot in inputs_of(bars, every=37).snapshots:
        assert market_facts(snapshot) == market_facts(alone(snapshot))


@pytest.mark.parametrize("name", indicators.FIELDS_OF)
def test_bars_replaced_by_noise_later_on_change_no_indicator_and_no_fact_before(name, real):
    cut = 900
    rng = np.random.default_rng(6)
    noise = {n: getattr(real, n).copy() for n in FIELDS}
    for values in noise.values():
        values[cut:] = rng.uniform(1, 900, values[cut:].shape)
    other = replace(real, **noise)
    for before, after in zip(inputs_of(real, 40).snapshots, inputs_of(other, 40).snapshots, strict=True):
        if len(before) > cut:
            break
        for symbol in SYMBOLS:
            np.testing.assert_array_equal(
                *(one.indicator(name, symbol, *WINDOWS.get(name, ())) for one in (before, after))
            )
        assert market_facts(before) == market_facts(after)
    assert len(before) > cut


@pytest.mark.parametrize("name", indicators.FIELDS_OF)
@pytest.mark.parametrize("kind", ["real", "holed"])
def test_an_indicator_of_a_run_is_that_of_each_dates_own_history(name, kind, request):
    for snapshot in inputs_of(request.getfixturevalue(kind), 97).snapshots:
        for symbol in SYMBOLS:
            history = [snapshot.history(symbol, field) for field in indicators.FIELDS_OF[name]]
            expected = getattr(indicators, name)(*history, *WINDOWS.get(name, ()))
            np.testing.assert_array_equal(snapshot.indicator(name, symbol, *WINDOWS.get(name, ())), expected)
