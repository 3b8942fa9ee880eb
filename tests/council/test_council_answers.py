"""Which answers are taken, and which go back for repair."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from simulator.council.answers import (
    DIMENSIONS,
    ChairmanDecision,
    Pitch,
    ResearchPack,
    Review,
    decision_on,
    pitch_on,
)

PITCH: dict[str, Any] = {
    "instrument": "SPY",
    "direction": "LONG",
    "horizon": "2-4 weeks",
    "thesis_bullets": ["Strong earnings", "Rate cuts", "Above the average"],
    "indicators": ["rsi_14 65"],
    "conviction": 2,
    "invalidation": "Break below 470",
    "stop": 470.0,
    "target": 520.0,
}
TRADE: dict[str, Any] = {
    "instrument": "SPY",
    "direction": "LONG",
    "conviction": 2,
    "position_size": "20%",
    "rationale": "Strong consensus",
}
DECISION: dict[str, Any] = {
    "approved_trades": [TRADE],
    "rejected_trades": [{"instrument": "TLT", "direction": "SHORT", "reason": "Low conviction"}],
    "dissent_summary": "2 opposed",
    "monitoring_plan": "Watch CPI",
}


def test_the_answers_of_the_handoff_report_are_taken():
    Pitch.model_validate(PITCH | {"model": "gpt-5.2-pm", "account": "CHATGPT"})
    ChairmanDecision.model_validate(DECISION)
    Review.model_validate({"scores": dict.fromkeys(DIMENSIONS, 7), "kill_shot": "CPI", "flip_condition": "CPI > 3.5 %"})
    ResearchPack.model_validate(
        {
            "macro_regime": "Late cycle",
            "top_narratives": ["Cuts", "Rotation", "Oil"],
            "consensus_map": {"SPY": "Bullish", "TLT": "Bearish", "GLD": "Neutral"},
            "tradable_candidates": [{"ticker": "SPY", "rationale": "Earnings"}],
            "event_calendar": [{"date": "2025-01-15", "event": "FOMC", "impact": "High"}],
        }
    )


def test_field_names_are_those_of_the_handoff_report():
    assert set(ResearchPack.model_fields) == {
        *("macro_regime", "top_narratives", "consensus_map", "tradable_candidates", "event_calendar")
    }
    assert set(Pitch.model_fields) == {*PITCH}
    assert (
        *("clarity", "edge_plausibility", "timing_catalyst", "risk_definition"),
        *("indicator_integrity", "originality", "tradeability"),
    ) == DIMENSIONS
    assert set(Review.model_fields) == {"scores", "kill_shot", "flip_condition"}
    assert set(ChairmanDecision.model_fields) == {*DECISION}


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"conviction": -2}, "does not fit direction LONG"),
        ({"direction": "SHORT", "conviction": 1}, "does not fit direction SHORT"),
        ({"direction": "FLAT"}, "does not fit direction FLAT"),
        ({"conviction": 3}, "less than or equal to 2"),
        ({"conviction": 1.5}, "valid integer"),
        ({"stop": None}, "needs a stop and a target"),
        ({"stop": 530.0}, "the stop of a LONG lies below its target"),
        ({"direction": "SHORT", "conviction": -1}, "the stop of a SHORT lies above its target"),
        ({"stop": -1.0}, "the stop of a LONG lies below its target"),
        ({"thesis_bullets": ["one", "two"]}, "at least 3"),
        ({"horizon": ""}, "at least 1 character"),
    ],
)
def test_a_pitch_that_contradicts_itself_is_sent_back(change, complaint):
    with pytest.raises(ValidationError, match=complaint):
        Pitch.model_validate(PITCH | change)


def test_a_flat_pitch_needs_neither_stop_nor_target():
    flat = Pitch.model_validate(PITCH | {"direction": "FLAT", "conviction": 0, "stop": None, "target": None})
    assert flat.stop is None


def test_an_instrument_that_is_not_traded_is_sent_back():
    kind = pitch_on(("SPY", "QQQ"))
    assert kind.model_json_schema()["properties"]["instrument"]["enum"] == ["SPY", "QQQ"]
    assert kind.model_json_schema()["title"] == "Pitch"
    with pytest.raises(ValidationError, match="instrument"):
        kind.model_validate(PITCH | {"instrument": "TSLA"})
    with pytest.raises(ValidationError, match="instrument"):
        decision_on(("QQQ",)).model_validate(DECISION)


def test_a_chairman_who_approves_an_instrument_twice_is_asked_again():
    with pytest.raises(ValidationError, match="SPY is approved twice"):
        ChairmanDecision.model_validate(DECISION | {"approved_trades": [TRADE, TRADE | {"conviction": 1}]})


def test_an_approved_trade_may_not_contradict_itself():
    with pytest.raises(ValidationError, match="does not fit direction LONG"):
        ChairmanDecision.model_validate(DECISION | {"approved_trades": [TRADE | {"conviction": -2}]})


def test_the_mean_score_is_that_of_all_seven_dimensions():
    scores = dict(zip(DIMENSIONS, range(1, 8), strict=True))
    review = Review.model_validate({"scores": scores, "kill_shot": "x", "flip_condition": "y"})
    assert review.scores.mean == 4.0
