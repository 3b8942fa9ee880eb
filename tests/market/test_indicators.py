"""Against values worked out by hand, and against other ways to compute the same."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulator.market import indicators as ind
from simulator.market.bars import Floats

NAN = math.nan


def walk(count: int, seed: int = 3) -> Floats:
    steps = np.random.default_rng(seed).normal(0.0004, 0.012, count)
    return np.asarray(100 * np.exp(np.cumsum(steps)))


def bars(count: int, seed: int = 3) -> tuple[Floats, Floats, Floats]:
    close = walk(count, seed)
    spread = np.random.default_rng(seed + 1).uniform(0.0, 0.02, (2, count))
    return close * (1 + spread[0]), close * (1 - spread[1]), close


# ---- by hand -----------------------------------------------------------------------------------------------------


def test_sma_by_hand() -> None:
    np.testing.assert_array_equal(ind.sma(np.array([1.0, 2.0, 4.0, 8.0]), 2), [NAN, 1.5, 3.0, 6.0])


def test_ema_begins_with_the_mean_and_then_moves_by_its_weight() -> None:
    np.testing.assert_allclose(ind.ema(np.array([1.0, 2.0, 3.0, 6.0, 2.0]), 3), [NAN, NAN, 2.0, 4.0, 3.0])


def test_rsi_by_hand() -> None:
    # changes +2 −1 +3: first averages 1 and 0.5, then (1 + 3) / 2 = 2 and (0.5 + 0) / 2 = 0.25
    np.testing.assert_allclose(ind.rsi(np.array([10.0, 12.0, 11.0, 14.0]), 2), [NAN, NAN, 200 / 3, 100 * 2 / 2.25])


def test_rsi_at_its_ends() -> None:
    assert ind.rsi(np.arange(1.0, 20.0), 5)[-1] == 100.0
    assert ind.rsi(np.arange(20.0, 1.0, -1.0), 5)[-1] == 0.0
    assert ind.rsi(np.full(20, 7.0), 5)[-1] == 50.0


def test_rsi_of_wilders_worked_series() -> None:
    # 14-day series of the textbook example as reprinted by chart services; first value 70.53, then 66.32, 66.55
    close = [44.3389, 44.0902, 44.1497, 43.6124, 44.3278, 44.8264, 45.0955, 45.4245, 45.8433, 46.0826, 45.8931, 46.0328,
             45.6140, 46.2820, 46.2820, 46.0028, 46.0328]  # fmt: skip
    np.testing.assert_allclose(ind.rsi(np.array(close))[14:], [70.53, 66.32, 66.55], atol=0.005)


def test_atr_by_hand() -> None:
    high, low, close = (
        np.array([10.0, 12.0, 11.0, 15.0]),
        np.array([8.0, 9.0, 9.5, 14.0]),
        np.array([9.0, 11.0, 10.0, 14.0]),
    )
    # true ranges: unknown, max(3, 3, 0) = 3, max(1.5, 0, 1.5) = 1.5, max(1, 5, 4) = 5
    np.testing.assert_allclose(ind.atr(high, low, close, 2), [NAN, NAN, 2.25, 3.625])


def test_macd_by_hand() -> None:
    close = np.array([1.0, 2.0, 3.0, 5.0, 9.0])
    fast, slow = [NAN, 1.5, 2.5, 25 / 6, 133 / 18], [NAN, NAN, 2.0, 3.5, 6.25]
    line = np.array(fast) - np.array(slow)
    found = ind.macd(close, 2, 3, 2)
    np.testing.assert_allclose(found.line, line)
    first = (line[2] + line[3]) / 2
    np.testing.assert_allclose(found.signal, [NAN, NAN, NAN, first, first + (line[4] - first) * 2 / 3])
    np.testing.assert_allclose(found.histogram, found.line - found.signal)


def test_returns_and_drawdown_by_hand() -> None:
    x = np.array([100.0, 110.0, 88.0, 132.0, 99.0])
    np.testing.assert_allclose(ind.returns(x), [NAN, 0.1, -0.2, 0.5, -0.25])
    np.testing.assert_allclose(ind.returns(x, 2), [NAN, NAN, -0.12, 0.2, 0.125])
    np.testing.assert_allclose(ind.drawdown(x), [0.0, 0.0, -0.2, 0.0, -0.25])


def test_zscore_and_volatility_by_hand() -> None:
    np.testing.assert_allclose(ind.zscore(np.array([1.0, 2.0, 3.0, 3.0]), 3), [NAN, NAN, 1.0, 1 / math.sqrt(3)])
    close = np.exp(np.array([0.0, 0.01, -0.01, 0.03]))
    expected = np.std([0.01, -0.02, 0.04], ddof=1) * math.sqrt(252)
    np.testing.assert_allclose(ind.realised_volatility(close, 3), [NAN, NAN, NAN, expected])


def test_what_does_not_move_has_no_score_no_correlation_and_no_volatility() -> None:
    flat, x = np.full(9, 0.1), walk(9)
    assert np.isnan(ind.zscore(flat, 4)).all()
    assert np.isnan(ind.correlation(flat, x, 4)).all()
    assert ind.realised_volatility(flat, 4)[4:].tolist() == [0.0] * 5


# ---- against other implementations -------------------------------------------------------------------------------


@pytest.mark.parametrize("n", [1, 2, 5, 20, 60])
def test_windows_agree_with_pandas(n: int) -> None:
    x, other = walk(200), walk(200, 9)
    rolling = pd.Series(x).rolling(n)
    np.testing.assert_allclose(ind.sma(x, n), rolling.mean(), rtol=1e-12)
    np.testing.assert_array_equal(ind.rolling_max(x, n), rolling.max())
    np.testing.assert_array_equal(ind.rolling_min(x, n), rolling.min())
    if n > 2:
        np.testing.assert_allclose(ind.zscore(x, n), (x - rolling.mean()) / rolling.std(), rtol=1e-9)
        np.testing.assert_allclose(ind.correlation(x, other, n), rolling.corr(pd.Series(other)), rtol=1e-7)
        logs = np.log(pd.Series(x)).diff().rolling(n).std() * math.sqrt(252)
        np.testing.assert_allclose(ind.realised_volatility(x, n), logs, rtol=1e-9)


@pytest.mark.parametrize("n", [2, 12, 26])
def test_averages_agree_with_pandas_once_begun_alike(n: int) -> None:
    x = walk(200)
    begun = np.concatenate(([x[:n].mean()], x[n:]))
    expected = pd.Series(begun).ewm(span=n, adjust=False).mean()
    np.testing.assert_allclose(ind.ema(x, n)[n - 1 :], expected, rtol=1e-12)


def straightforward_rsi(close: list[float], n: int) -> list[float]:
    found = [NAN] * len(close)
    gains = [max(b - a, 0.0) for a, b in pairwise(close)]
    losses = [max(a - b, 0.0) for a, b in pairwise(close)]
    for t in range(n, len(close)):
        if t == n:
            gain, loss = sum(gains[:n]) / n, sum(losses[:n]) / n
        else:
            gain, loss = (gain * (n - 1) + gains[t - 1]) / n, (loss * (n - 1) + losses[t - 1]) / n
        found[t] = 100.0 - 100.0 / (1.0 + gain / loss) if loss else 100.0
    return found


def test_rsi_agrees_with_wilders_own_steps() -> None:
    x = walk(120)
    np.testing.assert_allclose(ind.rsi(x), straightforward_rsi(x.tolist(), 14), rtol=1e-9)


def test_atr_agrees_with_wilders_own_steps() -> None:
    high, low, close = bars(80)
    spans = [max(h - lo, abs(h - c), abs(lo - c)) for h, lo, c in zip(high[1:], low[1:], close, strict=False)]
    average, expected = sum(spans[:14]) / 14, [NAN] * 14
    expected.append(average)
    for span in spans[14:]:
        average = (average * 13 + span) / 14
        expected.append(average)
    np.testing.assert_allclose(ind.atr(high, low, close), expected, rtol=1e-12)


# ---- what holds for all of them ----------------------------------------------------------------------------------

Bars = tuple[Floats, Floats, Floats]
EVERY: dict[str, Callable[[Bars], Floats]] = {
    "sma": lambda b: ind.sma(b[2], 7),
    "ema": lambda b: ind.ema(b[2], 7),
    "rsi": lambda b: ind.rsi(b[2], 7),
    "macd": lambda b: ind.macd(b[2], 3, 6, 4).histogram,
    "atr": lambda b: ind.atr(*b, 7),
    "returns": lambda b: ind.returns(b[2], 7),
    "realised_volatility": lambda b: ind.realised_volatility(b[2], 7),
    "drawdown": lambda b: ind.drawdown(b[2]),
    "correlation": lambda b: ind.correlation(b[2], b[0], 7),
    "rolling_max": lambda b: ind.rolling_max(b[2], 7),
    "rolling_min": lambda b: ind.rolling_min(b[2], 7),
    "zscore": lambda b: ind.zscore(b[2], 7),
}


@pytest.mark.medium
@pytest.mark.parametrize("name", EVERY)
@given(count=st.integers(0, 40), more=st.integers(1, 40), seed=st.integers(0, 9999))
def test_later_bars_change_no_earlier_value_by_a_single_bit(name: str, count: int, more: int, seed: int) -> None:
    longer = bars(count + more, seed)
    high, low, close = (array[:count].copy() for array in longer)
    assert EVERY[name](longer)[:count].tobytes() == EVERY[name]((high, low, close)).tobytes()


@pytest.mark.parametrize("name", EVERY)
@pytest.mark.parametrize("count", [0, 1, 3])
def test_too_few_bars_give_as_many_nan(name: str, count: int) -> None:
    found = EVERY[name](bars(count))
    assert len(found) == count
    assert name == "drawdown" or np.isnan(found).all()


@pytest.mark.parametrize("name", EVERY)
def test_inputs_stay_as_they_were(name: str) -> None:
    given_bars = bars(30)
    for array in given_bars:
        array.flags.writeable = False
    EVERY[name](given_bars)


@pytest.mark.parametrize("call", [ind.sma, ind.ema, ind.rsi, ind.rolling_max, ind.zscore, ind.realised_volatility])
def test_a_window_of_no_bars_is_refused(call: Callable[[Floats, int], Floats]) -> None:
    with pytest.raises(ValueError, match="0"):
        call(walk(5), 0)


def test_series_of_different_lengths_do_not_correlate() -> None:
    with pytest.raises(ValueError, match="5 and 6"):
        ind.correlation(walk(5), walk(6), 3)
