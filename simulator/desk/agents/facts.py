"""Facts that agents are shown: what the formulas say of a moment, JSON-able, rounded; what has no value is left out."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import timedelta
from typing import Any

from simulator.desk import formulas
from simulator.desk.agents.protocol import AgentRow, rounded
from simulator.desk.formulas import Technicals
from simulator.desk.headlines import ENVELOPE, LONGEST_HEADLINE, newest, published
from simulator.desk.state import DeskState
from simulator.market.bars import Snapshot, moment
from simulator.market.calendar import NEW_YORK

SHOWN = 30
"""Round trips that a reviewer sees one by one, the newest of its period."""


def show_technicals(t: Technicals) -> dict[str, Any]:
    """Return the technical state of a symbol by name."""
    known = {
        name: value for name, value in asdict(t).items() if name not in ("symbol", "lows") and math.isfinite(value)
    }
    return {
        name: round(value) if name.startswith(("volume", "dollars")) else rounded(value)
        for name, value in known.items()
    }


def headlines(snapshot: Snapshot, symbols: Sequence[str]) -> dict[str, Any]:
    """Return {"headlines": …}: the newest of the last days on `symbols`, in an envelope; {} where there are none."""
    items = [
        {"published_at": published(news), "symbols": about, "text": news.headline[:LONGEST_HEADLINE]}
        for news, about in newest(snapshot, symbols)
    ]
    return {"headlines": {"note": ENVELOPE, "items": items}} if items else {}


def screener_facts(
    snapshot: Snapshot, passed: Sequence[Technicals], rejected: Mapping[str, Sequence[str]]
) -> dict[str, Any]:
    """Return what the screener sees: symbols that passed every filter, best score first, and why others did not."""
    shown = {}
    for t in passed:
        score, missing = formulas.momentum_score(t)
        shown[t.symbol] = {"score": rounded(score, 2), **show_technicals(t)}
        if missing:
            shown[t.symbol]["without"] = [*missing]
    order = [t.symbol for t in passed]
    rejections = {symbol: [*why] for symbol, why in rejected.items()}
    return {"passed": shown, "order_by_score": order, "rejected": rejections, **headlines(snapshot, order)}


def analyzer_facts(snapshot: Snapshot, t: Technicals, caps: formulas.Caps = formulas.USUAL) -> dict[str, Any]:
    """Return what the analyzer sees of one symbol: signals, score and class by the formulas, stop, targets."""
    points = formulas.signal_points(t)
    score = formulas.confidence([*points.values()], t.lead63 > 0.0)
    stop = formulas.stop_price(t.price, t.atr, t.lows, caps.stop)
    plan: dict[str, Any] = {"refused": f"too volatile for a {caps.stop * 100:g} % stop"}
    if stop is not None:
        plan = {"entry": t.price, "stop": stop, "targets": [*formulas.target_prices(t.price, stop, caps.exits)]}
    return {
        "symbol": t.symbol,
        "technicals": show_technicals(t),
        "signals": dict(points),
        "score": score,
        "class": formulas.classify(score),
        "plan": rounded(plan),
        **headlines(snapshot, (t.symbol,)),
    }


def optimizer_facts(state: DeskState, plan: Mapping[str, Any], analysis: AgentRow | None) -> dict[str, Any]:
    """Return what the optimizer sees of one plan: the plan, the analysis behind it, the account beside it."""
    book = state.book
    held = {symbol: rounded(book.weight(symbol)) for symbol in sorted(book.positions) if book.positions[symbol]}
    return {
        "plan": rounded({name: value for name, value in plan.items() if name != "lows"}),
        "analysis": None if analysis is None else analysis["said"],
        "account": {
            "equity": rounded(book.equity, 2),
            "cash": rounded(book.cash, 2),
            "weights": held,
            "gross": rounded(state.gross),
            "drawdown": rounded(state.drawdown),
            "entries_today": state.entries_today,
        },
    }


def reviewer_facts(
    state: DeskState, period_days: int, detailed: bool, metrics: Mapping[str, Any], grade: str
) -> dict[str, Any]:
    """Return what the reviewer sees: `metrics` and `grade` of the account so far by the formulas; of the period, counts
    of all its round trips and the newest of them."""
    since = state.today - timedelta(days=period_days - 1)
    closed = sorted((trip for trip in state.trips if trip.exit_at is not None), key=lambda trip: trip.exit_at or 0)
    recent = [trip for trip in closed if _day(trip.exit_at or 0) >= since.isoformat()]
    by_symbol: dict[str, float] = {}
    for trip in recent:
        by_symbol[trip.symbol] = by_symbol.get(trip.symbol, 0.0) + trip.pnl
    often = Counter(trip.symbol for trip in recent)
    return {
        "period_days": period_days,
        "detailed": detailed,
        "metrics": rounded(dict(metrics)),
        "grade": grade,
        "by_symbol": {name: {"trades": often[name], "profit": rounded(total, 2)} for name, total in by_symbol.items()},
        "closed": len(recent),
        "lost": sum(trip.pnl < 0.0 for trip in recent),
        "left_out": max(0, len(recent) - SHOWN),
        "trades": [
            {
                "symbol": trip.symbol,
                "entered": _day(trip.entry_at),
                "left": _day(trip.exit_at or 0),
                "profit": rounded(trip.pnl, 2),
                "profit_pct": rounded(100.0 * trip.pnl_fraction, 2),
                "sessions": trip.sessions,
                "ended": trip.ended,
            }
            for trip in recent[-SHOWN:]
        ],
    }


def backtester_facts(strategy: str, results: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the backtester sees of one strategy: what a backtest measured, its risk score and class."""
    return {"strategy": strategy, "results": rounded(dict(results))}


def _day(at: int) -> str:
    return moment(at).astimezone(NEW_YORK).date().isoformat()
