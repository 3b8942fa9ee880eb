"""What a reader must grant before believing the numbers, written out of the config the run was made with."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from simulator.number_format import dollars, number_of, percent, ratio


def assumptions(run: Mapping[str, Any]) -> tuple[str, ...]:
    """Sentences on timing, costs, sizing, margin and what is left out. Sections missing from the config are skipped."""
    config = run.get("config") or {}
    parts = {name: config.get(name) or {} for name in ("schedule", "costs", "risk")}
    sentences = [
        _timing(parts["schedule"]),
        "Where a stop and a take-profit lie in the same bar the stop is taken; a gap beyond either fills at the open.",
        _costs(parts["costs"]) if parts["costs"] else "",
        _sizing(parts["risk"]) if parts["risk"] else "",
        _margin(parts["risk"]) if parts["risk"] else "",
        f"Risk-free return: {run['risk_free']}." if run.get("risk_free") else "",
        "Figures a year count 252 sessions; flat sessions are included.",
        "Not modelled: taxes, market impact beyond the stated slippage, and orders left unfilled for lack of volume.",
    ]
    return tuple(s for s in sentences if s)


def _timing(schedule: Mapping[str, Any]) -> str:
    at = str(schedule.get("decision_time") or "")[:5]
    made = f"A decision is made at {at} in New York, knows" if at else "A decision knows"
    return f"{made} the bars closed by then, and fills no earlier than the next open."


def _costs(costs: Mapping[str, Any]) -> str:
    share, least = _cents(costs.get("commission_per_share")), _cents(costs.get("commission_min"))
    borrow, interest = percent(costs.get("borrow_rate")), percent(costs.get("cash_interest"))
    return (
        f"Costs: commission {share} a share and {_bps(costs.get('commission_bps'))}, at least {least} a fill; "
        f"slippage {_bps(costs.get('slippage_bps'))}; borrowing shares {borrow} and cash earns {interest} a year."
    )


def _sizing(risk: Mapping[str, Any]) -> str:
    limits = [
        f"{percent(risk.get(key), 0)} {what}"
        for key, what in (("max_weight", "in one symbol"), ("max_gross", "in all"), ("max_group", "in one group"))
        if number_of(risk.get(key)) is not None
    ]
    shares = str(risk.get("shares", "fractional")).capitalize()
    least = _cents(risk.get("min_trade"))
    return f"Limits, as parts of equity: {', '.join(limits)}. {shares} shares; a change below {least} is not traded."


def _margin(risk: Mapping[str, Any]) -> str:
    initial, upkeep = (
        " / ".join(percent(risk.get(f"{kind}_{side}"), 0) for side in ("long", "short"))
        for kind in ("initial_margin", "maintenance")
    )
    return f"Margin, long / short: initial {initial}, maintenance {upkeep}."


def _cents(value: Any) -> str:
    """Dollars with as many decimals as were stated."""
    x = number_of(value)
    return dollars(value, next((d for d in range(6) if x is None or round(x, d) == x), 6))


def _bps(value: Any) -> str:
    x = number_of(value)
    return "n/a" if x is None else f"{ratio(x, 0 if x == int(x) else 1)}\u00a0bps"
