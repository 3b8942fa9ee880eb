"""The tools of the desk: what they answer, what they refuse, and that they know nothing of later."""

from __future__ import annotations

import json
import math
import re
from dataclasses import replace
from datetime import date, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simulator.desk.formulas import read_technicals
from simulator.desk.report import report_period
from simulator.desk.screening import screen
from simulator.desk.tools import load_tools
from simulator.desk.tools.registry import ToolError
from simulator.market.bars import NUMBERS, instant
from simulator.market.calendar import NEW_YORK, day_number
from simulator.market.indicators import atr, macd, rsi, sma

TOOLS = load_tools()
MARKET = [name for name, tool in TOOLS.items() if tool.group in ("market", "position", "risk")]


@pytest.fixture(scope="module", params=[0, 30], ids=["daily", "half-hours"])
def bars(desk, request):
    return desk.bars("2024-01-02", "2024-07-31", request.param)


@pytest.fixture(scope="module")
def daily(desk):
    return desk.bars("2023-01-03", "2024-12-31")


def ask(state, name, **given):
    return json.loads(TOOLS[name].call(state, given).model_dump_json())


def test_fifteen_tools_in_three_groups_besides_those_of_backtests():
    assert len(MARKET) == 15
    assert all(tool.description and "\n" not in tool.description.split(".")[0] for tool in TOOLS.values())


arguments = {
    "symbol": st.sampled_from(["AAA", "BBB", "LATE", "SPY", "NOPE"]),
    "bars": st.integers(1, 500),
    "most": st.integers(1, 100),
    "shares": st.floats(0.01, 1e6),
    "entry": st.floats(1.0, 500.0),
    "stop": st.floats(1.0, 500.0),
    "target": st.floats(1.0, 500.0),
}


@settings(max_examples=60)
@given(data=st.data())
def test_no_tool_tells_of_anything_after_now(desk, bars, data):
    minutes = data.draw(st.integers(0, 60 * 24 * 200), "minutes since the beginning")
    now = desk.at("2024-01-04", "00:00") + timedelta(minutes=minutes)
    known = int(np.searchsorted(bars.closes_at, instant(now), side="right"))
    # After now all bars are other ones: whatever rests on them would be another answer.
    later = {name: np.concatenate([getattr(bars, name)[:known], getattr(bars, name)[known:] * 3.7]) for name in NUMBERS}
    trips = [desk.trip("AAA", "2024-01-03", "2024-01-03", -5.0)]
    account = {"trips": trips, "equity": [(date(2024, 1, 2), 1e5)], "stops": {"AAA": 90.0}}
    states = [desk.state(now, one, {"AAA": 10.0}, **account) for one in (bars, replace(bars, **later))]
    for name in MARKET:
        takes = TOOLS[name].arguments.model_fields
        given = {key: data.draw(values) for key, values in arguments.items() if key in takes}
        told = []
        for state in states:
            try:
                told.append(ask(state, name, **given))
            except ToolError as error:
                told.append({"error": str(error)})
        assert told[0] == told[1], name
        for key, value in walk(told[0]):
            if key not in ("next_open", "next_close") and isinstance(value, str) and re.match(r"20\d\d-", value):
                assert datetime.fromisoformat(value) <= now, (name, key)


def walk(answer, key=""):
    """Yield every (key, value) of an answer."""
    if isinstance(answer, dict):
        for name, value in answer.items():
            yield from walk(value, name)
    elif isinstance(answer, list):
        for value in answer:
            yield from walk(value, key)
    else:
        yield key, answer


@settings(max_examples=25)
@given(data=st.data())
def test_whatever_is_asked_the_answer_is_json_or_a_tool_error_with_a_reason(desk, bars, data):
    now = desk.at("2024-01-03", "00:00") + timedelta(hours=data.draw(st.integers(0, 24 * 200)))
    state = desk.state(now, bars)
    anything = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5), st.just([]))
    for name in MARKET:
        known = sorted(TOOLS[name].arguments.model_fields)
        given = data.draw(st.dictionaries(st.sampled_from([*known, "extra"]), st.one_of(anything, arguments["symbol"])))
        try:
            answer = TOOLS[name].call(state, given)
        except ToolError:
            continue
        json.loads(answer.model_dump_json(), parse_constant=pytest.fail)  # NaN and Infinity are none


@pytest.mark.parametrize(
    ("name", "given", "told"),
    [
        ("get_quote", {}, "symbol"),
        ("get_quote", {"symbol": "NOPE"}, 'no bars of "NOPE"'),
        ("get_quote", {"symbol": "AAB"}, "AAA"),  # the nearest
        ("get_quote", {"symbol": "AAA", "day": "2025-01-01"}, "day"),
        ("get_quote", {"symbol": 7}, "symbol"),
        ("get_historical", {"symbol": "AAA", "bars": "7"}, "bars"),
        ("get_historical", {"symbol": "AAA", "bars": 0}, "bars"),
        ("get_historical", {"symbol": "AAA", "bars": 501}, "bars"),
        ("get_position_details", {"symbol": "BBB"}, "no position in BBB"),
        ("calculate_position_risk", {"symbol": "AAA", "shares": 1, "entry": 5, "stop": 5}, "not below the entry"),
        (
            "calculate_position_risk",
            {"symbol": "AAA", "shares": 1, "entry": 5, "stop": 4, "target": 5},
            "not above the entry",
        ),
        ("calculate_position_risk", {"symbol": "AAA", "shares": math.nan, "entry": 5, "stop": 4}, "shares"),
        ("calculate_max_position_size", {"symbol": "AAA", "entry": 0, "stop": 4}, "entry"),
        ("get_trade_history", {"most": True}, "most"),
    ],
)
def test_what_is_wrong_is_refused_with_the_reason(desk, daily, name, given, told):
    with pytest.raises(ToolError, match=told):
        TOOLS[name].call(desk.state(desk.at("2024-06-03"), daily, {"AAA": 1.0}), given)


@pytest.mark.parametrize(
    ("day", "clock", "is_open", "next_open", "next_close"),
    [
        ("2024-06-03", "09:29:59", False, "2024-06-03T09:30", "2024-06-03T16:00"),
        ("2024-06-03", "09:30", True, "2024-06-04T09:30", "2024-06-03T16:00"),
        ("2024-06-03", "15:59:59", True, "2024-06-04T09:30", "2024-06-03T16:00"),
        ("2024-06-03", "16:00", False, "2024-06-04T09:30", "2024-06-04T16:00"),
        ("2024-07-03", "12:59", True, "2024-07-05T09:30", "2024-07-03T13:00"),  # a 13:00 close, then a holiday
        ("2024-07-03", "13:00", False, "2024-07-05T09:30", "2024-07-05T16:00"),
        ("2024-11-29", "12:30", True, "2024-12-02T09:30", "2024-11-29T13:00"),
        ("2024-03-28", "16:00", False, "2024-04-01T09:30", "2024-04-01T16:00"),  # a week that ends on a Thursday
        ("2023-12-30", "12:00", False, "2024-01-02T09:30", "2024-01-02T16:00"),
    ],
)
def test_market_status(desk, daily, day, clock, is_open, next_open, next_close):
    told = ask(desk.state(desk.at(day, clock), daily), "get_market_status")
    assert (told["is_open"], told["next_open"][:16], told["next_close"][:16]) == (is_open, next_open, next_close)


def test_indicators_are_those_of_sessions_that_are_over_whatever_the_bars(desk, bars):
    now = desk.at("2024-07-03", "12:00")
    before = replace(desk.state(desk.at("2024-07-02", "20:00"), bars))
    told = ask(desk.state(now, bars), "calculate_indicators", symbol="AAA")
    assert told == ask(before, "calculate_indicators", symbol="AAA")
    days = {}
    for row in np.flatnonzero(bars.closes_at <= instant(desk.at("2024-07-02", "16:00"))).tolist():
        o, h, low, c, v = (getattr(bars, name)[row, 0] for name in ("open", "high", "low", "close", "volume"))
        was = days.setdefault(int(bars.session_of[row]), [o, h, low, c, 0.0])
        was[1:] = [max(was[1], h), min(was[2], low), c, was[4] + v]
    _, high, low, close, volume = np.array(list(days.values())).T
    assert told["price"] == close[-1]
    assert told["rsi_14"] == pytest.approx(rsi(close)[-1], abs=1e-12)
    assert told["atr_14"] == pytest.approx(atr(high, low, close)[-1], abs=1e-12)
    assert told["macd_histogram"] == pytest.approx(macd(close).histogram[-1], abs=1e-12)
    assert told["sma_50"] == pytest.approx(sma(close, 50)[-1], abs=1e-12)
    assert told["sma_200"] is None
    technicals = read_technicals(bars.snapshot(now), "AAA")
    assert (technicals.volume, technicals.volume20) == (volume[-1], math.fsum(volume[-21:-1]) / 20)
    # The half-day is over at 13:00, and at once among the sessions.
    after = ask(desk.state(desk.at("2024-07-03", "13:00"), bars), "calculate_indicators", symbol="AAA")
    assert after["price"] == bars.snapshot(desk.at("2024-07-03", "13:00")).last("AAA") != told["price"]


def test_nobody_leads_a_benchmark_that_is_not_there(desk, daily):
    alone = daily.select(["AAA", "BBB"])
    now = desk.at("2024-06-03")
    assert math.isnan(read_technicals(alone.snapshot(now), "AAA").lead63)
    shown = alone.snapshot(now, context=daily.select(["SPY"]))
    assert read_technicals(shown, "AAA").lead63 == read_technicals(daily.snapshot(now), "AAA").lead63
    assert read_technicals(daily.snapshot(now), "SPY").lead63 == 0.0


def test_a_quote_within_a_session_is_held_against_the_close_before_it(desk):
    bars = desk.bars("2024-01-02", "2024-02-29", 30)
    now = desk.at("2024-02-14", "10:15")
    told = ask(desk.state(now, bars), "get_quote", symbol="AAA")
    close = bars.snapshot(desk.at("2024-02-13", "16:00")).last("AAA")
    first = bars.snapshot(now)
    assert told["change_pct"] == pytest.approx(100 * (told["price"] / close - 1))
    assert (told["at"][:16], told["volume"]) == ("2024-02-14T10:00", first.last("AAA", "volume"))


def test_a_scan_gives_each_symbol_a_score_or_reasons(desk, daily):
    for month in range(1, 13):
        state = desk.state(datetime(2024, month, 20, 6, 30, tzinfo=NEW_YORK), daily)
        told = ask(state, "scan_momentum", most=100)
        named = [one["symbol"] for one in told["candidates"]]
        assert sorted([*named, *told["rejected"]]) == sorted(daily.symbols)
        assert all(told["rejected"].values())
        scores = [one["score"] for one in told["candidates"]]
        assert scores == sorted(scores, reverse=True)
        assert all(45 <= one["rsi_14"] <= 70 for one in told["candidates"])


def test_a_symbol_whose_bars_have_ended_is_no_candidate(desk, daily):
    gone, column = daily.session_of > day_number(date(2024, 6, 5)), daily.columns["AAA"]
    cut = {name: getattr(daily, name).copy() for name in NUMBERS}
    for values in cut.values():
        values[gone, column] = np.nan
    state = desk.state(desk.at("2024-09-03"), replace(daily, **cut))
    assert ask(state, "scan_momentum", most=100)["rejected"]["AAA"] == ["no bar in 2024-08-30"]
    assert screen(state).rejected["AAA"] == ["no bar in 2024-08-30"]
    assert state.snapshot.is_traded("BBB")


def test_the_account_in_numbers(desk, daily):
    now = desk.at("2024-06-04", "10:00")
    price = daily.snapshot(now).last("AAA")
    opened = desk.trip("AAA", "2024-06-03", None, 0.0)
    ended = desk.trip("BBB", "2024-05-01", "2024-05-06", -50.0)
    equity = [(date(2024, 5, 31), 120_000.0), (date(2024, 6, 3), 100_000.0)]
    state = desk.state(
        now, daily, {"AAA": 100.0, "BBB": 0.0}, 90_000.0, trips=[ended, opened], equity=equity, stops={"AAA": 97.0}
    )
    worth = 90_000 + 100 * price
    (position,) = ask(state, "get_positions")["positions"]
    assert position == ask(state, "get_position_details", symbol="AAA")
    assert position["profit"] == pytest.approx(100 * (price - 100))
    assert (position["stop"], position["target"], position["sector"]) == (97.0, None, "tech")
    summary = ask(state, "get_portfolio_summary")
    assert (summary["positions"], summary["day_profit"]) == (1, pytest.approx(worth - 100_000))
    assert summary["drawdown"] == pytest.approx(1 - worth / 120_000)
    assert ask(state, "get_buying_power")["largest_position"] == pytest.approx(0.15 * worth)
    history = ask(state, "get_trade_history", most=1)
    assert (history["trades"][0]["symbol"], history["trades"][0]["exit_at"], history["left_out"]) == ("AAA", None, 1)
    assert ask(state, "get_portfolio_exposure")["by_sector"] == {"tech": pytest.approx(100 * price / worth)}
    # At 16:05 today's close is among them: the day's profit is still the day's.
    late = replace(state, equity=[*equity, (date(2024, 6, 4), worth)])
    assert ask(late, "get_portfolio_summary")["day_profit"] == summary["day_profit"]


def test_the_first_day_is_held_against_the_dollars_the_account_began_with(desk, daily):
    now = desk.at("2024-06-04", "16:00")
    state = desk.state(now, daily, cash=94_000.0, equity=[(date(2024, 6, 4), 94_000.0)], began=100_000.0)
    report = report_period(state, 1, 1)
    assert (report["profit"], report["return"]) == (-6_000.0, pytest.approx(-0.06))
    assert [report["drawdown"], report["so_far"]["largest_drawdown"]] == pytest.approx([0.06, 0.06])
    assert ask(state, "get_portfolio_summary")["day_profit"] == -6_000.0
    assert ask(state, "get_risk_metrics")["worst_day"] == pytest.approx(-0.06)
    assert ask(state, "generate_equity_curve")["points"][0]["drawdown"] == pytest.approx(0.06)
    measured = ask(state, "calculate_metrics")
    assert (measured["total_return"], measured["profit_dollars"]) == (pytest.approx(-0.06), -6_000.0)
    price = daily.snapshot(now).last("AAA")
    wanted = {"symbol": "AAA", "entry": price, "stop": 0.98 * price}
    assert ask(state, "calculate_max_position_size", **wanted)["multiplier"] == 0.5
    assert [*ask(state, "check_trade_rules", shares=1, **wanted)["vetoes"]] == ["daily loss"]


def test_the_largest_size_is_one_that_the_rules_allow_and_one_share_more_is_not(desk, daily):
    now = desk.at("2024-06-04", "10:00")
    price = daily.snapshot(now).last("AAA")
    state = desk.state(now, daily, {"AAA": 5_000 / price}, 95_000.0)
    wanted = {"symbol": "AAA", "entry": price, "stop": 0.98 * price}
    most = ask(state, "calculate_max_position_size", **wanted)
    assert most["binding_rule"] == "position"
    assert ask(state, "check_trade_rules", shares=float(most["shares"]), **wanted)["allowed"]
    assert [*ask(state, "check_trade_rules", shares=most["shares"] + 1.0, **wanted)["vetoes"]] == ["position"]


def test_risk_of_an_account_by_hand(desk, daily):
    few = [(date(2024, 1, 1) + timedelta(days=n), 100.0 + n % 2) for n in range(20)]
    told = ask(desk.state(desk.at("2024-06-04"), daily, equity=few), "get_risk_metrics")
    assert (told["volatility"], told["reason"]) == (None, "19 daily returns, 20 are needed")
    more = [*few, (date(2024, 1, 21), 90.0)]
    told = ask(desk.state(desk.at("2024-06-04"), daily, cash=90.0, equity=more), "get_risk_metrics")
    assert told["cvar95"] == pytest.approx(1 - 90 / 101) == -told["worst_day"]
    assert told["largest_drawdown"] == pytest.approx(1 - 90 / 101)
    risk = ask(
        desk.state(desk.at("2024-06-04"), daily),
        "calculate_position_risk",
        symbol="AAA", shares=100, entry=100, stop=97, target=104.5,
    )  # fmt: skip
    assert (risk["risk"], risk["risk_pct"], risk["reward_to_risk"]) == (300.0, pytest.approx(0.3), 1.5)


def test_an_answer_that_would_be_no_number_is_refused(desk, daily):
    poor = desk.with_equity(desk.state(desk.at("2024-06-04"), daily), 5e-324)
    with pytest.raises(ToolError, match="risk_pct of the answer"):
        TOOLS["calculate_position_risk"].call(poor, {"symbol": "AAA", "shares": 1, "entry": 5, "stop": 4})
