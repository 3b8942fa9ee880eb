"""The numbers members are shown."""

from __future__ import annotations

import json
import math
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulator.council.facts import market_facts, symbol_facts
from simulator.market import indicators
from simulator.market.bars import Bars, instant
from simulator.market.events import Event

NINE = datetime(2024, 3, 4, 14, 0, tzinfo=UTC)


def bars_of(closes: dict[str, list[float]], per_session: int = 1, spread: float = 1.0) -> Bars:
    """Bars ending the day before NINE; `per_session` of them share a session."""
    table = np.array(list(closes.values()), dtype=float).T
    count = len(table)
    sessions = np.arange(count) // per_session
    sessions = sessions - sessions[-1] + (NINE.date() - datetime(1970, 1, 1).date()).days - 1
    opens = [
        instant(datetime(1970, 1, 1, 15, tzinfo=UTC) + timedelta(days=int(day), minutes=n % per_session))
        for n, day in enumerate(sessions)
    ]
    return Bars(
        symbols=tuple(closes),
        opens_at=np.array(opens),
        closes_at=np.array(opens) + 60_000_000_000,
        open=table,
        high=table + spread,
        low=table - spread,
        close=table,
        volume=np.where(np.isnan(table), np.nan, 1.0),
        dividend=np.zeros_like(table),
        session_of=sessions,
        sources=("test",) * len(closes),
        frequency="1d" if per_session == 1 else "1min",
    )


def rising(count: int, start: float = 100.0) -> list[float]:
    return [start + n for n in range(count)]


def test_facts_of_spy_at_the_first_meeting_of_2024_are_those_of_its_bars(year):
    facts = market_facts(year.snapshot(0))
    assert facts["as_of"] == "2024-01-02T08:00-05:00"
    assert facts["session"] == "2023-12-29"
    snapshot = year.snapshot(0)
    close, high, low = (snapshot.history("SPY", name) for name in ("close", "high", "low"))
    spy = facts["symbols"]["SPY"]
    assert spy["close"] == float(f"{close[-1]:.6g}")
    for k in (1, 5, 21, 63, 252):
        assert spy[f"return_{k}_pct"] == pytest.approx(100 * (close[-1] / close[-1 - k] - 1), abs=0.005)
    assert spy["rsi_14"] == pytest.approx(indicators.rsi(close)[-1], abs=0.06)
    assert spy["atr_14"] == pytest.approx(indicators.atr(high, low, close)[-1], rel=1e-4)
    macd = indicators.macd(close)
    assert spy["macd_pct"] == pytest.approx(100 * macd.line[-1] / close[-1], abs=0.001)
    assert spy["sma_200_distance_pct"] == pytest.approx(100 * (close[-1] / close[-200:].mean() - 1), abs=0.005)
    deviation = np.diff(np.log(close[-64:])).std(ddof=1) * math.sqrt(252)
    assert spy["volatility_63_pct"] == pytest.approx(100 * deviation, abs=0.005)
    assert spy["drawdown_252_pct"] == pytest.approx(100 * (close[-1] / close[-252:].max() - 1), abs=0.005)
    assert spy["prior_high_55"] == float(f"{high[-56:-1].max():.6g}")
    assert spy["prior_low_20"] == float(f"{low[-21:-1].min():.6g}")
    qqq = facts["symbols"]["QQQ"]
    assert spy["relative_strength_63_pct"] == pytest.approx(spy["return_63_pct"] - qqq["return_63_pct"], abs=0.005)
    closes = np.column_stack([snapshot.history(s)[-64:] for s in ("SPY", "QQQ")])
    expected = np.corrcoef((closes[1:] / closes[:-1]).T)[0, 1]
    assert facts["correlations"] == {"SPY/QQQ": round(float(expected), 2)}
    assert facts["vix"]["level"] == 12.45
    bil = snapshot.context.history("BIL")
    assert facts["cash_yield_pct"] == pytest.approx(100 * ((bil[-1] / bil[-64]) ** 4 - 1), abs=0.005)
    assert facts["events"] == [
        {"date": "2024-01-05", "time": "08:30", "event": facts["events"][0]["event"], "impact": "high"},
        {"date": "2024-01-11", "time": "08:30", "event": "CPI", "impact": "high"},
    ]


def test_facts_do_not_depend_on_how_far_back_the_bars_reach(year):
    snapshot = year.snapshot(52)
    short = type(snapshot)(snapshot.bars.rows(len(snapshot) - 253, len(snapshot)), snapshot.as_of)
    long = type(snapshot)(snapshot.bars, snapshot.as_of)
    assert len(long) > len(short)
    assert market_facts(short) == market_facts(long)


def test_facts_do_not_depend_on_the_time_zone_the_instant_is_given_in(year):
    utc = year.snapshot(0)
    tokyo = type(utc)(utc.bars, utc.as_of.astimezone(datetime.now().astimezone().tzinfo), utc.events, utc.context)
    assert market_facts(tokyo) == market_facts(utc)


@pytest.mark.parametrize("count", [1, 2, 6, 15, 22, 34, 64, 200, 253])
def test_what_too_few_bars_cannot_tell_is_left_out(count):
    facts = market_facts(bars_of({"SPY": rising(count), "QQQ": rising(count, 50.0)}).snapshot(NINE))
    spy = facts["symbols"]["SPY"]
    for k in (1, 5, 21, 63, 252):
        assert (f"return_{k}_pct" in spy) == (count > k)
    assert ("sma_200_distance_pct" in spy) == (count >= 200)
    assert ("rsi_14" in spy) == (count > 14)
    assert ("volatility_21_pct" in spy) == (count > 21)
    assert ("prior_high_55" in spy) == (count > 55)
    assert ("correlations" in facts) == (count > 63)
    assert "vix" not in facts
    assert "cash_yield_pct" not in facts
    assert "events" not in facts
    json.dumps(facts, allow_nan=False)


def test_a_symbol_without_a_bar_yet_is_left_out_and_a_stale_one_says_so():
    nan = float("nan")
    closes = {"OLD": [*rising(79), nan], "NEW": [nan] * 80, "SPY": rising(80)}
    facts = market_facts(bars_of(closes).snapshot(NINE))
    assert set(facts["symbols"]) == {"OLD", "SPY"}
    assert facts["symbols"]["OLD"]["last_bar"] == "2024-03-02"
    assert "last_bar" not in facts["symbols"]["SPY"]
    assert "correlations" not in facts


def test_minute_bars_are_put_together_to_sessions():
    daily = bars_of({"SPY": rising(30)})
    minutes = bars_of({"SPY": [value for close in rising(30) for value in (close - 0.5, close + 0.5, close)]}, 3, 0.5)
    assert market_facts(minutes.snapshot(NINE)) == market_facts(daily.snapshot(NINE))


def test_a_symbol_that_misses_the_last_minutes_of_a_session_keeps_its_last_price():
    nan = float("nan")
    facts = market_facts(bars_of({"SPY": [1.0, 2.0, 3.0, 4.0, 5.0, nan]}, 3, 0.0).snapshot(NINE))
    assert facts["symbols"]["SPY"]["close"] == 5.0
    assert facts["symbols"]["SPY"]["return_1_pct"] == 66.67


def test_only_events_announced_by_then_and_due_within_fourteen_days_are_told():
    def event(name: str, days: float, known: float) -> Event:
        return Event(NINE + timedelta(days=days), name, "high", NINE + timedelta(days=known))

    events = [
        event("past", -1, -9),
        event("today", 0.1, -9),
        event("fortnight", 14.2, -9),
        event("later", 15.5, -9),
        event("secret", 3, 1),
    ]
    facts = market_facts(bars_of({"SPY": rising(5)}).snapshot(NINE, events))
    assert [told["event"] for told in facts["events"]] == ["today", "fortnight"]


def test_cash_and_volatility_series_are_found_among_the_traded_symbols_too():
    closes = {"VIX": rising(80, 10.0), "BIL": [100 * 1.0002**n for n in range(80)]}
    facts = market_facts(bars_of(closes).snapshot(NINE))
    assert facts["vix"] == {"level": 89.0, "change_5": 5.0}
    assert facts["cash_yield_pct"] == pytest.approx(100 * (1.0002**252 - 1), abs=0.01)


def test_a_price_that_never_moves_gives_facts_without_nan():
    facts = market_facts(bars_of({"SPY": [50.0] * 260, "QQQ": [20.0] * 260}, spread=0.0).snapshot(NINE))
    spy = facts["symbols"]["SPY"]
    assert (spy["rsi_14"], spy["volatility_63_pct"], spy["macd_pct"], spy["atr_14"]) == (50.0, 0.0, 0.0, 0.0)
    assert "correlations" not in facts
    assert "-0.0" not in json.dumps(facts, allow_nan=False)


@given(st.lists(st.floats(0.01, 1e6), min_size=1, max_size=300))
def test_facts_are_always_finite_json(closes):
    close = np.array(closes)
    facts = symbol_facts(close, close * 1.01, close * 0.99)
    text = json.dumps(facts, allow_nan=False)
    assert json.loads(text) == facts
