"""The rule-based analysts answer in schema, whatever the market looks like, and rest on the facts alone."""

from __future__ import annotations

import json
import re
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simulator.council import analysts
from simulator.council.answers import ChairmanDecision, Pitch, ResearchPack, Review
from simulator.council.facts import market_facts, symbol_facts

SCHEMAS = {"Pitch": Pitch, "Review": Review, "ResearchPack": ResearchPack, "ChairmanDecision": ChairmanDecision}


def walk(seed: int, count: int, drift: float, swing: float) -> dict[str, float]:
    random = np.random.default_rng(seed)
    close = 100 * np.exp(np.cumsum(random.normal(drift, swing, count)))
    spread = close * swing * random.uniform(0.2, 2.0, count)
    return symbol_facts(close, close + spread, close - spread)


@st.composite
def markets(draw: st.DrawFn) -> dict[str, Any]:
    names = draw(st.lists(st.sampled_from(["SPY", "QQQ", "TLT", "X1"]), min_size=1, max_size=4, unique=True))
    market: dict[str, Any] = {"as_of": "2024-03-04T08:00-05:00", "session": "2024-03-01", "symbols": {}}
    for name in names:
        market["symbols"][name] = walk(
            draw(st.integers(0, 10_000)),
            draw(st.sampled_from([1, 2, 16, 40, 100, 260])),
            draw(st.sampled_from([-0.004, -0.001, 0.0, 0.001, 0.004])),
            draw(st.sampled_from([0.0001, 0.005, 0.02, 0.06])),
        )
    if draw(st.booleans()):
        market["vix"] = {"level": draw(st.sampled_from([12.0, 45.0]))}
        market["cash_yield_pct"] = draw(st.sampled_from([0.0, 5.4]))
        market["events"] = [{"date": "2024-03-04", "time": "14:00", "event": "FOMC", "impact": "high"}]
        market["correlations"] = {"SPY/QQQ": 0.9}
    return market


def ask(rule: str, facts: dict[str, Any]) -> Any:
    answer = analysts.RULES[rule]({"facts": json.loads(json.dumps(facts)), "system": "", "seat": rule.split("/")[0]})
    text = json.dumps(answer, allow_nan=False)
    return SCHEMAS[rule.split("/")[1]].model_validate_json(text)


@settings(max_examples=60)
@given(markets())
def test_a_whole_meeting_of_analysts_answers_in_schema_in_any_market(market):
    packs = [ask(f"{name}/ResearchPack", {"market": market}).model_dump() for name in ("macro", "narrative")]
    facts = {"market": market, "research": packs}
    pitches = {label: ask(f"{name}/Pitch", facts) for label, name in zip("ABCDE", analysts.LENSES, strict=True)}
    shown = {label: pitch.model_dump() for label, pitch in pitches.items()}
    for name in analysts.LENSES:
        for label, pitch in pitches.items():
            review = ask(f"{name}/Review", {"market": market, "pitches": shown, "review": label})
            close = market["symbols"][pitch.instrument]["close"]
            if pitch.stop is not None:
                assert (close - pitch.stop) * pitch.conviction > 0
                assert (pitch.target - close) * pitch.conviction > 0
                assert review.scores.risk_definition >= 4
    net = {pitch["instrument"]: 3.0 for pitch in shown.values()}
    rest = {"reviews": {}, "sizes": {"half": "10%", "full": "20%"}, "max_trades": 2}
    decided = ask("chairman/ChairmanDecision", {"market": market, "pitches": shown, "net_votes": net, **rest})
    assert len(decided.approved_trades) == min(2, len(net))


def test_every_seat_of_the_offline_profile_has_its_rules():
    assert set(analysts.RULES) == {
        *(f"{name}/{schema}" for name in analysts.LENSES for schema in ("Pitch", "Review", "CheckpointReview")),
        "macro/ResearchPack",
        "narrative/ResearchPack",
        "chairman/ChairmanDecision",
        "chairman/CheckpointReview",
        "screener/Shortlist",
    }


def test_the_version_is_eight_hex_digits():
    assert re.fullmatch("[0-9a-f]{8}", analysts.VERSION)


def up(**changes: float) -> dict[str, float]:
    return {**walk(3, 260, 0.002, 0.008), **changes}


@pytest.mark.parametrize(
    ("manager", "known", "conviction"),
    [
        ("trend", up(sma_50_distance_pct=2, sma_200_distance_pct=5, return_63_pct=4, return_252_pct=20), 2),
        ("trend", up(sma_50_distance_pct=-1, sma_200_distance_pct=5, return_63_pct=4, return_252_pct=20), 1),
        ("trend", up(sma_50_distance_pct=-1, sma_200_distance_pct=5, return_63_pct=-4, return_252_pct=20), 0),
        ("trend", up(sma_50_distance_pct=-1, sma_200_distance_pct=-5, return_63_pct=-4, return_252_pct=-2), -2),
        ("reversion", up(rsi_14=25, sma_200_distance_pct=3), 2),
        ("reversion", up(rsi_14=25, sma_200_distance_pct=-3), 1),
        ("reversion", up(rsi_14=85, sma_20_distance_pct=1, atr_14=5), -1),
        ("reversion", up(rsi_14=55, sma_20_distance_pct=0, sma_200_distance_pct=5), 0),
        ("risk", up(volatility_21_pct=8, volatility_63_pct=12, drawdown_252_pct=-1), 2),
        ("risk", up(volatility_21_pct=13, volatility_63_pct=12, drawdown_252_pct=-6), 1),
        ("risk", up(volatility_21_pct=30, volatility_63_pct=15, drawdown_252_pct=-12, sma_50_distance_pct=-4), -1),
        ("risk", up(volatility_21_pct=16, volatility_63_pct=12, drawdown_252_pct=-9, sma_50_distance_pct=1), 0),
        ("carry", up(return_252_pct=25, volatility_63_pct=10), 2),
        ("carry", up(return_252_pct=10, volatility_63_pct=10), 1),
        ("carry", up(return_252_pct=6, volatility_63_pct=10), 0),
        ("carry", up(return_252_pct=-20, volatility_63_pct=10), -1),
        ("breakout", up(close=101, prior_high_55=100, prior_low_55=80), 2),
        ("breakout", up(close=95, prior_high_55=100, prior_low_55=80, prior_high_20=94), 1),
        ("breakout", up(close=90, prior_high_55=100, prior_low_55=80, prior_high_20=99, prior_low_20=85), 0),
        ("breakout", up(close=79, prior_high_55=100, prior_low_55=80, sma_200_distance_pct=-4), -2),
    ],
)
def test_a_manager_takes_the_side_its_approach_names(manager, known, conviction):
    market = {"as_of": "2024-03-04T08:00-05:00", "symbols": {"SPY": known}, "cash_yield_pct": 5.0}
    pitch = ask(f"{manager}/Pitch", {"market": market})
    assert pitch.conviction == conviction
    assert all(re.search(r"\d", bullet) for bullet in pitch.thesis_bullets)


def test_full_conviction_is_halved_when_all_research_takes_the_other_side():
    market = {"as_of": "2024-03-04T08:00-05:00", "symbols": {"SPY": up(return_252_pct=30, volatility_63_pct=10)}}
    bears = {"consensus_map": {"SPY": "Bearish"}}
    bulls = {"consensus_map": {"SPY": "Bullish"}}
    assert ask("carry/Pitch", {"market": market, "research": [bears, bears]}).conviction == 1
    assert ask("carry/Pitch", {"market": market, "research": [bears, bulls]}).conviction == 2


def test_a_fund_that_hardly_moves_is_compared_with_and_not_pitched(wide_year):
    for k in range(0, 52, 5):
        market = market_facts(wide_year.snapshot(k))
        assert {ask(f"{name}/Pitch", {"market": market}).instrument for name in analysts.LENSES} <= {
            *("SPY", "QQQ", "GLD", "AAPL", "NVDA")
        }


def test_reviewers_mark_down_what_the_facts_do_not_bear_out():
    market = {"as_of": "2024-03-04T08:00-05:00", "symbols": {"SPY": up()}}
    good = ask("trend/Pitch", {"market": market}).model_dump()
    close = market["symbols"]["SPY"]["close"]
    bad = {
        **good,
        "direction": "SHORT",
        "conviction": -2,
        "thesis_bullets": ["It feels heavy", "Everybody is long", "I would sell"],
        "indicators": ["rsi_14 99.0", f"close {close * 2}"],
        "stop": close * 1.5,
        "target": close * 0.99,
        "invalidation": "none",
    }
    pitches = {"A": good, "B": bad}
    for name in analysts.LENSES:
        a = ask(f"{name}/Review", {"market": market, "pitches": pitches, "review": "A"}).scores
        b = ask(f"{name}/Review", {"market": market, "pitches": pitches, "review": "B"}).scores
        for dimension in ("clarity", "edge_plausibility", "risk_definition", "indicator_integrity"):
            assert getattr(a, dimension) > getattr(b, dimension), dimension


def test_a_pitch_like_all_others_is_less_original():
    market = {"as_of": "2024-03-04T08:00-05:00", "symbols": {"SPY": up()}}
    good = ask("trend/Pitch", {"market": market}).model_dump()
    alone = ask("risk/Review", {"market": market, "pitches": {"A": good}, "review": "A"})
    crowd = ask("risk/Review", {"market": market, "pitches": {"A": good, "B": good, "C": good}, "review": "A"})
    assert alone.scores.originality > crowd.scores.originality
