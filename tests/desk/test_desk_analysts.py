"""Offline analysts answer by the formulas, and their version follows their answers."""

from __future__ import annotations

import hashlib
import json

import pytest

from simulator.desk.agents.analysts import RULES, VERSION
from simulator.desk.agents.answers import turn_of
from simulator.desk.agents.personas import ANSWERS
from simulator.llm.answers import read_answer
from simulator.llm.messages import ChatResponse

OFFERED = "- scan_momentum(\n- check_trade_rules(\n- get_risk_metrics("
TRADE = {"symbol": "NVDA", "entered": "2024-03-01", "left": "2024-03-05", "profit": -50.0, "sessions": 2}
LOSSES = [{**TRADE, "ended": "stop"}] * 3
PLAN = {"symbol": "AAPL", "shares": 75, "entry": 200.0, "stop": 195.0, "binding": "position"}
SIGNALS = {"trend": 20, "rsi": 20, "macd": 20, "volume": 0, "range": 20}

FACTS = {
    "screener": {
        "passed": {"A": {"score": 81.2, "rsi": 60.0, "macd": 2.0, "signal": 1.5}},
        "order_by_score": ["A"],
        "rejected": {"B": ["MACD not positive"]},
    },
    "analyzer": {"symbol": "A", "signals": SIGNALS, "score": 80, "class": "STRONG_BUY", "plan": {"entry": 1.0}},
    "optimizer": {"plan": PLAN},
    "reviewer": {
        "period_days": 7,
        "grade": "too few to grade",
        "closed": 3,
        "lost": 3,
        "left_out": 0,
        "trades": LOSSES,
        "by_symbol": {"NVDA": {"trades": 3, "profit": -150.0}},
    },
    "backtester": {"strategy": "sma_cross", "results": {"trades": 44, "p": 0.01, "win_rate": 0.5, "sharpe": 0.9}},
}

DIGEST = "de6a9cf2198f33ba"


def said(name, facts, system=""):
    rule = RULES[f"{name}/{ANSWERS[name].__name__}"]
    return rule({"facts": facts, "system": system, "seat": name})


@pytest.mark.parametrize("name", FACTS)
def test_every_rule_answers_in_the_schema_it_is_asked_for(name):
    read = read_answer(ChatResponse(json.dumps(said(name, FACTS[name]))), turn_of(ANSWERS[name], False))
    assert read.error is None
    assert not read.fixes


def test_a_changed_answer_changes_the_version():
    answers = [[said(name, facts), said(name, facts, OFFERED)] for name, facts in FACTS.items()]
    assert (VERSION, hashlib.sha256(json.dumps(answers).encode()).hexdigest()[:16]) == ("d2", DIGEST)


def test_a_symbol_without_a_stop_is_avoided_whatever_its_score():
    refused = {**FACTS["analyzer"], "plan": {"refused": "too volatile for a 3 % stop"}}
    assert said("analyzer", refused)["recommendation"] == "AVOID"
    assert said("analyzer", FACTS["analyzer"])["recommendation"] == "STRONG_BUY"


def test_the_optimizer_asks_the_rules_and_does_as_they_say():
    call = said("optimizer", FACTS["optimizer"], OFFERED)
    assert call == {
        "tool": "check_trade_rules",
        "arguments": {"symbol": "AAPL", "shares": 75.0, "entry": 200.0, "stop": 195.0},
    }
    answer = {"allowed": False, "vetoes": {"sector": "31 % of equity in technology, most is 30 %"}}
    told = {**FACTS["optimizer"], "tools": [{**call, "answer": answer}]}
    assert said("optimizer", told, OFFERED)["approve"] is False
    assert said("optimizer", {**told, "tools": [{**call, "answer": {"error": "?"}}]})["approve"] is False
    assert said("optimizer", {**told, "tools": [{**call, "answer": {"allowed": True}}]})["approve"] is True


@pytest.mark.parametrize(
    ("results", "verdict"),
    [
        ({"trades": 30, "p": 0.049, "win_rate": 0.41, "sharpe": 0.51, "risk_score": 74}, "adopt"),
        ({"trades": 29, "p": 0.049, "win_rate": 0.41, "sharpe": 0.51, "risk_score": 74}, "reject"),
        ({"trades": 30, "p": 0.05, "win_rate": 0.41, "sharpe": 0.51, "risk_score": 74}, "reject"),
        ({"trades": 30, "p": 0.01, "win_rate": 0.4, "sharpe": 0.51, "risk_score": 74}, "reject"),
        ({"trades": 30, "p": 0.01, "win_rate": 0.41, "sharpe": 0.5, "risk_score": 74}, "reject"),
        ({"trades": 30, "p": 0.01, "win_rate": 0.41, "sharpe": 0.51, "risk_score": 75}, "reject"),
        ({"trades": 30, "win_rate": 0.41, "sharpe": 0.51, "risk_score": None}, "more evidence"),
    ],
)
def test_the_bars_of_the_backtester_at_their_edges(results, verdict):
    assert said("backtester", {"strategy": "x", "results": results})["verdict"] == verdict
