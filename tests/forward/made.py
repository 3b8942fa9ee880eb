"""Forward tests as they are registered and recorded, made up: weekly coins on two symbols, with an edge or none."""

from __future__ import annotations

from datetime import date
from typing import Any

import numpy as np

from simulator.forward.records import (
    Accruals,
    AlertRow,
    DayRow,
    ExpectedCost,
    FillRow,
    ForwardRecord,
    HeldWeights,
    OrderRow,
    PointRow,
    Recommendation,
    SessionRow,
)
from simulator.forward.registration import Registration, Usual
from simulator.forward.settings import Forward
from simulator.market import calendar

SYMBOLS = ("SPY", "QQQ")
FREE = 0.0002
CASH = 100_000.0


def make_registration(**more: Any) -> Registration:
    given: dict[str, Any] = {
        "strategy": "macro_council",
        "files": {"strategy.yaml": "aa" * 32, "prompts/pitch.md": "bb" * 32},
        "prompts": {"prompts/pitch.md": "bb" * 32},
        "models": {"COUNCIL": "openai/gpt-5"},
        "parameters": {"costs.slippage_bps": 5},
        "config": "cc" * 32,
        "code": "dd" * 32,
        "symbols": SYMBOLS,
        "benchmark": "its own usual exposure",
        "question": "Does the council earn more than its own usual exposure to SPY and QQQ?",
        "primary": "COUNCIL",
        "smallest_edge": 1.0,
        "sessions_needed": 4358,
        "accounts": {"COUNCIL": "PA3COUNCIL", "SECOND": "PA3SECOND"},
        "registered_at": "2024-06-03T08:00:00-04:00",
        "cash_instrument": "BIL",
        "usual": Usual({"SPY": 0.25, "QQQ": 0.25}, 251),
        "terms": Forward().terms,
    }
    return Registration(**{**given, **more})


def make_record(registration: Registration, n: int, edge: float = 0.0, seed: int = 1, **more: Any) -> ForwardRecord:
    """Return `n` sessions from 2024-06-03 on, each account by coins of its own; `edge` a session goes to the equity."""
    on = [str(day) for day in calendar.sessions(date(2024, 6, 3), date(2030, 6, 3)).dates[:n]]
    rng, days = np.random.default_rng(seed), []
    moves = 0.0005 + 0.01 * rng.normal(size=(n, 2))
    for account in registration.accounts:
        weights = np.repeat((rng.random((n // 5 + 1, 2)) < 0.5) / 2, 5, axis=0)[:n]
        equity = CASH
        for t, session in enumerate(on):
            before, held = equity, dict(zip(SYMBOLS, weights[t].tolist(), strict=True))
            earned = float((weights[t] * (moves[t] - FREE)).sum()) + FREE + edge * (1 + 0.5 * float(rng.normal()))
            equity *= 1 + earned
            bar = HeldWeights(f"{session}T09:30:00-04:00", held, dict(zip(SYMBOLS, moves[t].tolist(), strict=True)))
            positions = {symbol: round(weight * before / 400, 4) for symbol, weight in held.items() if weight}
            days.append(
                DayRow(
                    account, session, equity, equity / 2, equity - before, positions, (bar,), FREE, 1.5,
                    t % 3 == 0 and t > 0, Accruals(interest=FREE * before), equity - 20.0 * t, equity / 2 - 20.0 * t,
                    0.0,
                )
            )  # fmt: skip
    rows = sorted(days, key=lambda row: row.session)
    made = ForwardRecord(
        registration.id, registration.digest, tuple(registration.accounts), dict.fromkeys(registration.accounts, CASH),
        tuple(rows),
    )  # fmt: skip
    return ForwardRecord(**{**vars(made), **(_traffic(registration, on, rng) if n else {}), **more})


def _traffic(registration: Registration, on: list[str], rng: np.random.Generator) -> dict[str, Any]:
    """What happened beside the books: a meeting each week, orders of it, calls of models, an alert."""
    meetings = on[::5]
    points = [PointRow(f"{day}T09:00:00-04:00", day, "done", "meeting", f"{day}T09:00:02-04:00") for day in meetings]
    points[-1] = PointRow(points[-1].due, points[-1].session, "missed", "meeting", None, "the loop was not running")
    orders, fills, told = [], [], []
    for n, day in enumerate(meetings):
        for symbol in SYMBOLS:
            up = bool(rng.random() < 0.5)
            told.append(Recommendation(points[n].due, day, symbol, 0.5 * up, 0.5 * (not up), 1 if up else -1))
            for account in registration.accounts:
                at, key = f"{day}T09:30:00-04:00", f"{account}-{symbol}-{n}"
                state = "rejected" if n == 1 and symbol == "QQQ" else "filled"
                why = "insufficient buying power" if state == "rejected" else ""
                orders.append(OrderRow(key, account, symbol, at, day, "market", state, 12.0 if up else -12.0, why=why))
                if state == "filled":
                    fills.append(
                        FillRow(f"x{key}", key, account, symbol, at, day, 12.0 if up else -12.0, 400.06, 400.0, "open")
                    )
    sessions = [SessionRow(day, 390.0, 390.0 - 13.0 * (i == 3), 120, i % 2, int(i == 3), 9 * (day in meetings), 0,
                           0.04 * (day in meetings)) for i, day in enumerate(on)]  # fmt: skip
    alerts = (AlertRow(f"{on[-1]}T09:10:00-04:00", "missed_point", "the meeting of 09:00 was missed"),)
    return {
        "points": tuple(points), "orders": tuple(orders), "fills": tuple(fills), "alerts": alerts,
        "sessions": tuple(sessions), "recommendations": tuple(told), "expected_cost": ExpectedCost(0.004, 0.01, 0.02),
    }  # fmt: skip
