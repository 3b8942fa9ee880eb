"""Reasons for a trade of the desk, by what stands in its records: analysis, plan, and the words of its agents."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from simulator.trading.model import Decision

RATIONALES = {"screener": "candidates", "analyzer": "", "optimizer": ""}
"""Agents that speak of one symbol, and the list of their answer in which they do; empty for the answer itself."""


def explain_trade(symbol: str, journal: Sequence[Decision]) -> list[str]:
    """Return the analysis of `symbol` in the newest decision that has one, its plan and what agents said of it, a line
    each; [] where no decision has one."""
    for record in (one.record for one in reversed(journal)):
        analyses = [row for row in record.get("analyses", ()) if row["symbol"] == symbol]
        if analyses:
            return [*_say_analysis(analyses[0]), *_say_words(symbol, record), *_say_plan(symbol, record)]
    return []


def _say_analysis(row: Mapping[str, Any]) -> Iterator[str]:
    points = ", ".join(f"{name.replace('_', ' ')} {count:+d}" for name, count in row["points"].items() if count)
    yield f"{row['recommendation']} by the formulas: score {row['score']}" + (f" ({points})" if points else "")
    if row.get("agent", row["recommendation"]) != row["recommendation"]:
        yield f"{row['agent']} by the analyzer, which decides"


def _say_words(symbol: str, record: Mapping[str, Any]) -> Iterator[str]:
    for row in record.get("agents", ()):
        said = row["said"] if isinstance(row["said"], Mapping) else {}
        rows = RATIONALES.get(row["agent"])
        for one in () if rows is None else said.get(rows, ()) if rows else (said,):
            if one.get("symbol") == symbol:
                yield f"{row['agent']}: {one.get('rationale', '')}"
                yield from (f"{row['agent']}, risk: {risk}" for risk in one.get("key_risks", ()))


def _say_plan(symbol: str, record: Mapping[str, Any]) -> Iterator[str]:
    for plan in record.get("plans", ()):
        if plan["symbol"] == symbol:
            targets = " and ".join(f"{target:.2f}" for target in plan["targets"])
            yield f"plan: {plan['shares']} shares near {plan['entry']:.2f}, stop {plan['stop']:.2f}, targets {targets}"
