"""Reasons for a trade of the desk, as a person who approves it is shown them."""

from __future__ import annotations

from datetime import UTC, datetime

from simulator.desk.reasons import explain_trade
from simulator.trading.model import Decision

PLAN = {"symbol": "NVDA", "shares": 129, "entry": 116.23, "stop": 115.22, "targets": [116.74, 118.77]}
RECORD = {
    "analyses": [
        {"symbol": "AMD", "points": {}, "score": 10, "recommendation": "AVOID"},
        {"symbol": "NVDA", "points": {"rsi": 20, "weekly_trend": -5, "volume": 0}, "score": 70,
         "recommendation": "BUY", "agent": "AVOID"},
    ],
    "agents": [
        {"agent": "screener", "said": {"candidates": [{"symbol": "NVDA", "rationale": "It rises."}]}},
        {"agent": "analyzer", "said": {"symbol": "AMD", "rationale": "Not this."}},
        {"agent": "analyzer", "said": {"symbol": "NVDA", "rationale": "Dear.", "key_risks": ["earnings"]}},
        {"agent": "optimizer", "said": None},
        {"agent": "reviewer", "said": {"summary": "Not of a trade."}},
    ],
    "plans": [PLAN],
}  # fmt: skip


def test_a_trade_is_explained_by_the_newest_analysis_of_its_symbol_and_by_what_agents_said_of_it() -> None:
    now = datetime(2024, 3, 4, 13, tzinfo=UTC)
    journal = [Decision(now, (), RECORD), Decision(now, (), {"analyses": []}), Decision(now, (), {"plans": [PLAN]})]
    assert explain_trade("NVDA", journal) == [
        "BUY by the formulas: score 70 (rsi +20, weekly trend -5)",
        "AVOID by the analyzer, which decides",
        "screener: It rises.",
        "analyzer: Dear.",
        "analyzer, risk: earnings",
        "plan: 129 shares near 116.23, stop 115.22, targets 116.74 and 118.77",
    ]
    assert explain_trade("SPY", journal) == []
