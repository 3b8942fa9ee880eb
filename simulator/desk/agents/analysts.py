"""Offline analysts of the desk: rules in the five seats, which answer from the facts of a question and nothing else.

    RULES["<seat>/<title of the schema>"]({"facts", "system", "seat"}) ─► result, or a tool and its arguments

They follow the formulas to the letter, so that a desk runs without key, network or cost, through the same questions,
tools, parser and cache as with a model. They are no LLM, and what rests on them says so.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

Facts = Mapping[str, Any]

VERSION = "d2"
"""Stands behind the model's name in every question. Whoever changes an answer of a rule changes it too, lest the rule
meet an older one's answers in the cache; tests/desk/test_desk_analysts.py notices."""

MOST_CANDIDATES = 5
POOR_TRADES = 2
"""Trades after which a symbol that lost on the whole is called a poor performer."""


def screen(prompt: Facts) -> Facts:
    """Ask for the scan where that is possible, then name the best scores."""
    facts = prompt["facts"]
    if call := _first_call(prompt, "scan_momentum", {"most": MOST_CANDIDATES}):
        return call
    passed: Facts = facts["passed"]
    chosen = facts["order_by_score"][:MOST_CANDIDATES]
    return {
        "candidates": [
            {
                "symbol": symbol,
                "rationale": f"Momentum score {passed[symbol]['score']:.1f} of 100, RSI {passed[symbol]['rsi']:.1f}, "
                f"MACD {passed[symbol]['macd']:.2f} over its signal {passed[symbol]['signal']:.2f}.",
            }
            for symbol in chosen
        ],
        "market_note": f"{len(passed)} of {len(passed) + len(facts['rejected'])} symbols pass every filter.",
    }


def analyze(prompt: Facts) -> Facts:
    """Recommend the class of the score; AVOID where no stop fits."""
    facts = prompt["facts"]
    signals: Mapping[str, int] = facts["signals"]
    refused = facts["plan"].get("refused")
    weak = [name for name, points in signals.items() if points == 0]
    counted = ", ".join(f"{name} {points}" for name, points in sorted(signals.items()))
    risks = [f"No point from {', '.join(sorted(weak))}."] if weak else []
    return {
        "symbol": facts["symbol"],
        "recommendation": "AVOID" if refused else facts["class"],
        "rationale": f"Score {facts['score']} of 100: {counted}." + (f" It is {refused}." if refused else ""),
        "key_risks": [*risks, *(["A stop would lie too far away."] if refused else [])],
    }


def optimize(prompt: Facts) -> Facts:
    """Hold the plan against the rules, then approve what they allow."""
    facts = prompt["facts"]
    plan = facts["plan"]
    arguments = {
        "symbol": plan["symbol"],
        "shares": float(plan["shares"]),
        "entry": plan["entry"],
        "stop": plan["stop"],
    }
    if call := _first_call(prompt, "check_trade_rules", arguments):
        return call
    checked: Facts = next((row["answer"] for row in facts.get("tools", ()) if row["tool"] == "check_trade_rules"), {})
    vetoes: Mapping[str, str] = checked.get("vetoes", {})
    approve = checked.get("allowed", True) is True and "error" not in checked
    why = "; ".join(f"{rule}: {reason}" for rule, reason in sorted(vetoes.items()))
    return {
        "symbol": plan["symbol"],
        "approve": approve,
        "rationale": f"{plan['shares']} shares, bound by {plan['binding']}; the stop costs "
        f"{100 * (1 - plan['stop'] / plan['entry']):.1f} %." + (f" Forbidden by {why}." if why else ""),
        "scaling_note": "Half at 1.5 times the risk, half at 2.5 times.",
    }


def review(prompt: Facts) -> Facts:
    """Read the risk of the account where that is possible, then say what the trades show."""
    facts = prompt["facts"]
    if call := _first_call(prompt, "get_risk_metrics", {}):
        return call
    trades = facts["trades"]
    lost = [one for one in trades if one["profit"] < 0.0]
    sums: Mapping[str, Facts] = facts["by_symbol"]
    poor = sorted(name for name, one in sums.items() if one["profit"] < 0.0 and one["trades"] >= POOR_TRADES)
    run = 0
    for one in reversed(trades):
        if one["profit"] >= 0.0:
            break
        run += 1
    stops = sum("stop" in one["ended"] for one in lost)
    shown = f" of the {len(trades)} shown, {facts['left_out']} left out," if facts["left_out"] else ""
    return {
        "summary": f"{_count(facts['closed'], 'trade')} in {_count(facts['period_days'], 'day')}, {facts['lost']} at a "
        f"loss. So far: {facts['grade']}.",
        "patterns": [f"{stops} of {len(lost)} losing trades{shown} ended at their stop."] if lost else [],
        "psychology": [f"{run} losing trades in a row: the desk rests before it trades again."] if run >= 3 else [],
        "recommendations": [f"Leave {symbol} alone until its trend is back." for symbol in poor],
        "poor_performers": poor,
    }


def validate(prompt: Facts) -> Facts:
    """Adopt what has trades enough, is significant, reaches the viable bar and whose risk is bearable."""
    facts = prompt["facts"]
    results = facts["results"]
    bars: dict[str, tuple[str, Callable[[float], bool]]] = {
        "trades": ("30 trades", lambda x: x >= 30),
        "p": ("p below 0.05", lambda x: x < 0.05),
        "win_rate": ("a win rate above 40 %", lambda x: x > 0.4),
        "sharpe": ("a Sharpe ratio above 0.5", lambda x: x > 0.5),
        "risk_score": ("a risk score below 75", lambda x: x < 75),
    }
    unknown = [words for name, (words, _) in bars.items() if results.get(name) is None]
    failed = [
        f"{words}, it is {results[name]}"
        for name, (words, met) in bars.items()
        if results.get(name) is not None and not met(results[name])
    ]
    verdict = "reject" if failed else "more evidence" if unknown else "adopt"
    reasons = [f"Wanted {one}." for one in failed] or [f"Not known: {one}." for one in unknown]
    return {
        "strategy": facts["strategy"],
        "verdict": verdict,
        "reasons": reasons or ["Every bar is met."],
        "concerns": [],
    }


def _count(count: int, one: str) -> str:
    return f"{count} {one}" if count == 1 else f"{count} {one}s"


def _first_call(prompt: Facts, tool: str, arguments: Facts) -> Facts | None:
    """Return the call of `tool`, None where it is not offered or was made."""
    if "tools" in prompt["facts"] or f"- {tool}(" not in prompt["system"]:
        return None
    return {"tool": tool, "arguments": dict(arguments)}


RULES: dict[str, Callable[[Facts], Facts]] = {
    "screener/Screening": screen,
    "analyzer/Analysis": analyze,
    "optimizer/Optimization": optimize,
    "reviewer/PerformanceReview": review,
    "backtester/Validation": validate,
}
