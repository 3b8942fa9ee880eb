"""Assumptions and notes: what a reader must grant before believing the numbers, out of the config of the run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from simulator.desk.records import desk_record
from simulator.evidence.reader import Evidence
from simulator.evidence.records import RunRecord
from simulator.market.calendar import NEW_YORK
from simulator.number_format import SPACE, counted, dollars, number_of, percent, ratio, rough_percent, small, whole

MOST_SOURCES = 50
"""Lines that sources take."""


@dataclass(frozen=True)
class Assumptions:
    """`sources` and `context` are (source, its symbols); those of `context` were shown, not traded."""

    notes: tuple[str, ...]
    assumptions: tuple[str, ...]
    sources: tuple[tuple[str, str], ...]
    context: tuple[tuple[str, str], ...]
    audit: str


def compose(evidence: Evidence) -> Assumptions:
    """Return the section."""
    run = evidence.run
    sources, context = group_sources(run["sources"]), group_sources(run["context"])
    return Assumptions(tuple(run["notes"]), list_assumptions(evidence), sources, context, describe_audit(run))


def list_assumptions(evidence: Evidence) -> tuple[str, ...]:
    """Return sentences on timing, costs, sizing, margin and what is left out; none on what the config lacks."""
    run = evidence.run
    costs, risk = run["config"].get("costs") or {}, run["config"].get("risk") or {}
    sentences = [
        _timing(evidence),
        "Where a stop and a take-profit lie in the same bar the stop is taken; a gap beyond either fills at the open.",
        _costs(costs) if costs else "",
        _sizing(risk) if risk else "",
        _margin(risk) if risk else "",
        f"Risk-free return: {run['risk_free']}." if run["risk_free"] else "",
        "Figures a year count 252 sessions; flat sessions are included.",
        "Not modelled: taxes, market impact beyond the stated slippage, and orders left unfilled for lack of volume.",
    ]
    return tuple(filter(None, sentences))


def _timing(evidence: Evidence) -> str:
    at = str((evidence.run["config"].get("schedule") or {}).get("decision_time") or "")[:5]
    at = _points_of_desk(evidence) or at
    made = f"A decision is made at {at} in New York, knows" if at else "A decision knows"
    return f"{made} the bars closed by then, and fills no earlier than the next open."


def _points_of_desk(evidence: Evidence) -> str:
    """Return ``06:30 (premarket), 09:30 (open)``, the usual time of each point; empty for anything but a desk."""
    times: dict[str, Counter[str]] = {}
    for row in evidence.decisions:
        if (record := desk_record(row["record"])) is not None:
            at = datetime.fromisoformat(row["as_of"]).astimezone(NEW_YORK)
            times.setdefault(record["point"], Counter())[f"{at:%H:%M}"] += 1
    usual = sorted((found.most_common(1)[0][0], point) for point, found in times.items())
    return ", ".join(f"{at} ({point.replace('_', ' ')})" for at, point in usual)


def _costs(costs: Mapping[str, object]) -> str:
    share, least = _as_stated(costs.get("commission_per_share")), _as_stated(costs.get("commission_min"))
    borrow, spread = percent(costs.get("borrow_rate")), percent(costs.get("margin_spread", 0.0))
    stated = costs.get("cash_interest")
    cash = "the return of the cash instrument" if stated == "cash" else f"{percent(stated)} a year"
    limits = "goes through them by a tick" if costs.get("limit_fill") == "through" else "touches them"
    return (
        f"Costs: commission {share} a share and {_bps(costs.get('commission_bps'))}, at least {least} a fill; "
        f"slippage {_bps(costs.get('slippage_bps'))}; borrowing shares {borrow} a year. "
        f"Idle cash earns {cash}, a debit pays that and {spread} a year. Limits fill where the price {limits}."
    )


def _sizing(risk: Mapping[str, object]) -> str:
    limits = [
        f"{rough_percent(risk.get(key))} {what}"
        for key, what in (("max_weight", "in one symbol"), ("max_gross", "in all"), ("max_group", "in one group"))
        if number_of(risk.get(key)) is not None
    ]
    shares = str(risk.get("shares", "fractional")).capitalize()
    stated = risk.get("min_trade")
    least = f"{stated.removesuffix('%')}{SPACE}% of equity" if isinstance(stated, str) else _as_stated(stated)
    return (
        f"Limits, as parts of equity: {', '.join(limits)}. {shares} shares; a change below {least} is not traded, "
        "leaving a position always is."
    )


def _margin(risk: Mapping[str, object]) -> str:
    initial, maintenance = (
        " / ".join(rough_percent(risk.get(f"{kind}_{side}")) for side in ("long", "short"))
        for kind in ("initial_margin", "maintenance")
    )
    return f"Margin, long / short: initial {initial}, maintenance {maintenance}."


def _as_stated(value: object) -> str:
    """Return dollars with as many decimals as were stated."""
    x = number_of(value)
    return dollars(value, next((d for d in range(6) if x is None or round(x, d) == x), 6))


def _bps(value: object) -> str:
    x = number_of(value)
    return "n/a" if x is None else f"{ratio(x, 0 if x == int(x) else 1)}\u00a0bps"


def group_sources(sources: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    """Return (source, its symbols), in the order of the symbols; files by their folder where there are very many."""
    grouped: dict[str, list[str]] = {}
    for symbol, source in sources.items():
        grouped.setdefault(source, []).append(symbol)
    if len(grouped) > MOST_SOURCES:
        grouped = {}
        for symbol, source in sources.items():
            folder, slash, _ = source.rpartition("/")
            grouped.setdefault(f"{folder}/" if slash else source, []).append(symbol)
    return tuple((source, ", ".join(symbols)) for source, symbols in grouped.items())


def describe_audit(run: RunRecord) -> str:
    """Return how far the two engines differ, in one sentence."""
    audit = run["audit"]
    if audit is None or number_of(audit["max_relative_difference"]) is None:
        return "Not audited by a second engine."
    engines, difference = f"{audit['engine']} and {audit['auditor']}", audit["max_relative_difference"]
    part = audit.get("slice")
    if part is not None:
        held = [counted(part["fills"], "fill"), counted(part["dividends"], "dividend")]
        held.append(counted(part["rejections"], "rejection"))
        where = f"{whole(part['bars'])} of {whole(part['of'])} bars, {part['from']} to {part['to']}"
        engines = f"the kernel played every bar; on a slice of {where} ({', '.join(held)}) {engines}"
    if difference == 0:
        return f"{engines} agree to the last bit in cash, positions and equity."
    return f"{engines} differ by at most {small(difference)} of equity."
