"""Reports of the day and the week, by code: what was traded, what it earned, and a grade of it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from typing import Any

from simulator.desk.formulas import grade
from simulator.desk.state import DeskState, fallen
from simulator.market.bars import moment
from simulator.market.calendar import NEW_YORK
from simulator.stats.metrics import ENOUGH_SESSIONS, sharpe
from simulator.stats.series import Undefined
from simulator.trading.model import RoundTrip

STOP_SLIPPAGE = 0.001
"""Fraction of the price that a stop may be filled under it."""


def session_of(at: int) -> date:
    """Return the exchange's date of an instant."""
    return moment(at).astimezone(NEW_YORK).date()


def measure(state: DeskState) -> dict[str, float | None]:
    """Return win rate, profit factor, Sharpe ratio and largest drawdown (≥ 0) so far, as the report of a run has them:
    over what cash earned, from the start of the account on; None where there is too little to say."""
    trips = [trip for trip in state.trips if trip.exit_at is not None]
    won = math.fsum(trip.pnl for trip in trips if trip.pnl > 0.0)
    lost = -math.fsum(trip.pnl for trip in trips if trip.pnl < 0.0)
    ratio = sharpe(*state.returns) if len(state.returns[0]) >= ENOUGH_SESSIONS else None
    return {
        "win_rate": sum(trip.pnl > 0.0 for trip in trips) / len(trips) if trips else None,
        "profit_factor": won / lost if lost else None,
        "sharpe": None if isinstance(ratio, Undefined) else ratio,
        "largest_drawdown": float(fallen(state.path).max(initial=0.0)),
    }


def report_period(state: DeskState, sessions: int, days: int) -> dict[str, Any]:
    """Return the report of the last `days` calendar days, today among them, JSON-able; `sessions` are graded by all
    that has been."""
    today = state.snapshot.as_of.astimezone(NEW_YORK).date()
    since = today - timedelta(days=days - 1)
    ended = [trip for trip in state.trips if trip.exit_at is not None]
    recent = [trip for trip in ended if session_of(trip.exit_at or 0) >= since]
    start = state.equity_before(since)
    numbers = measure(state)
    return {
        "session": str(today),
        "days": days,
        "equity": state.book.equity,
        "profit": state.book.equity - start if start is not None else None,
        "return": state.book.equity / start - 1.0 if start else None,
        "entries": sum(session_of(trip.entry_at) >= since for trip in state.trips),
        "trades": [_trade(trip) for trip in recent],
        "beyond_stop_limit": [trip.symbol for trip in recent if fell_beyond(trip, state.caps.stop)],
        "positions": {symbol: state.book.weight(symbol) for symbol in sorted(state.book.positions)},
        "drawdown": round(state.drawdown, 9),
        "so_far": {**numbers, "trades": len(ended), "sessions": sessions},
        "grade": grade_of(ended, numbers),
        "poor_performers": poor_performers(recent),
    }


def fell_beyond(trip: RoundTrip, most: float) -> bool:
    """Return True where the price that was got lies further below the one that was paid than the widest stop, as over a
    gap; slippage of a stop and commission are no gap."""
    return trip.exit_price is not None and trip.exit_price < (1.0 - most - STOP_SLIPPAGE) * trip.entry_price


def grade_of(trips: Sequence[RoundTrip], numbers: Mapping[str, float | None]) -> str:
    """Return the grade of what `measure` found."""

    def number(name: str, otherwise: float) -> float:
        found = numbers[name]
        return otherwise if found is None else found

    never_lost = math.inf if trips else 0.0
    return grade(
        len(trips),
        number("win_rate", 0.0),
        number("profit_factor", never_lost),
        number("sharpe", 0.0),
        number("largest_drawdown", 0.0),
    )


def poor_performers(trips: Sequence[RoundTrip]) -> list[str]:
    """Return symbols that lost on the whole, worst first."""
    profits: dict[str, float] = {}
    for trip in trips:
        profits[trip.symbol] = profits.get(trip.symbol, 0.0) + trip.pnl
    return sorted((symbol for symbol in profits if profits[symbol] < 0.0), key=lambda symbol: (profits[symbol], symbol))


def _trade(trip: RoundTrip) -> dict[str, Any]:
    return {
        "symbol": trip.symbol,
        "entered": str(session_of(trip.entry_at)),
        "left": str(session_of(trip.exit_at or 0)),
        "profit": trip.pnl,
        "profit_fraction": trip.pnl_fraction,
        "ended": trip.ended,
    }
