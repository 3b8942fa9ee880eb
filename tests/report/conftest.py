"""Run folders as docs/decisions/0002-run-folder.md describes them, out of a seed: ordinary and awkward ones."""

from __future__ import annotations

import csv
import hashlib
import json
import math
import os
import re
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
QUIET = ("--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking")

HASH = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
MEMBERS = ("CHATGPT", "GEMINI", "CLAUDE", "GROQ", "DEEPSEEK")
SEATS = dict(zip(MEMBERS, ("pm.trend", "pm.reversion", "pm.risk", "pm.carry", "pm.breakout"), strict=True))
DIMENSIONS = ("clarity", "edge_plausibility", "timing_catalyst", "risk_definition")


@dataclass(frozen=True)
class Shape:
    """What kind of run to write."""

    sessions: int = 252
    symbols: tuple[str, ...] = ("SPY", "QQQ")
    strategy: str = "macro_council"
    analysts: str | None = "rule-based analysts, no LLM"
    members: tuple[str, ...] = MEMBERS
    trades: bool = True
    undefined: bool = False
    ruin: bool = False
    short: bool = False
    start: date = date(2024, 1, 2)
    drift: float = 0.0005
    notes: tuple[str, ...] = ("The run ends on 2024-12-31, the last session that all symbols have.",)
    seed: int = 7
    multiples: tuple[float, ...] = (0, 1, 2, 5)


WriteRun = Callable[..., Path]


@pytest.fixture
def write_run(tmp_path: Path) -> WriteRun:
    """Write a run folder of the given shape below the test's own folder and return it."""

    def write(name: str = "run", **shape: Any) -> Path:
        return write_folder(tmp_path / name, Shape(**shape))

    return write


def write_folder(folder: Path, shape: Shape) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(shape.seed)
    sessions = weekdays(shape.start, shape.sessions)
    returns = rng.normal(shape.drift, 0.009, (shape.sessions, len(shape.symbols)))
    weights, fills, rejected, orders = trade(shape, sessions, rng)
    own = (weights * returns).sum(axis=1) - 0.00002 * len(shape.symbols)
    equity = 100_000 * np.cumprod(1 + own)
    if shape.ruin:
        equity = np.linspace(100_000, -12_000, shape.sessions)
    held = 100_000 * np.cumprod(1 + returns, axis=0).mean(axis=1)
    equal = 100_000 * np.cumprod(1 + returns.mean(axis=1))
    columns = {
        "equity": equity,
        "cash": equity * (1 - weights.sum(axis=1)),
        "gross": np.abs(weights).sum(axis=1),
        "net": weights.sum(axis=1),
        "risk_free": np.full(shape.sessions, 0.00018),
        "buy_and_hold": held,
        "equal_weight": equal,
    }
    for n, member in enumerate(shape.members):
        swing = np.random.default_rng(shape.seed + n).normal(0.0003, 0.007, shape.sessions)
        columns[f"account:{member}"] = 100_000 * np.cumprod(1 + swing)
    write_csv(folder / "equity.csv", ["session", *columns], zip(sessions, *columns.values(), strict=True))
    write_csv(
        folder / "weights.csv", ["session", *shape.symbols], ([s, *w] for s, w in zip(sessions, weights, strict=True))
    )
    write_csv(folder / "fills.csv", FILLS, fills)
    write_csv(folder / "rejected.csv", REJECTED, rejected)
    write_csv(folder / "orders.csv", ORDERS, orders)
    write_csv(folder / "trades.csv", TRADES, round_trips(fills, sessions))
    prices = 472.3 * np.cumprod(1 + returns, axis=0)
    write_csv(
        folder / "prices.csv", ["session", *shape.symbols], ([s, *p] for s, p in zip(sessions, prices, strict=True))
    )
    write_evidence(folder, shape, sessions)
    facts = run_json(shape, sessions, columns, len(fills))
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    facts["parts"] = {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}
    (folder / "run.json").write_text(json.dumps(facts, indent=1, ensure_ascii=False), encoding="utf-8")
    runtime = {
        "seconds": 2.13,
        "asked": 0,
        "cached": 1240,
        "cost_usd": 0.0,
        "python": "3.11.7",
        "platform": "Linux x86_64",
    }
    (folder / "runtime.json").write_text(json.dumps(runtime), encoding="utf-8")
    return folder


FILLS = ["order_id", "symbol", "at", "session", "quantity", "price", "slippage", "commission", "why"]
REJECTED = ["order_id", "symbol", "at", "session", "wanted", "got", "why"]
ORDERS = ["id", "symbol", "submitted_at", "kind", "quantity", "notional", "limit", "stop", "take_profit", "status"]


TRADES = [
    *("symbol", "side", "entry_at", "exit_at", "quantity", "entry_price", "exit_price", "costs", "pnl", "pnl_fraction"),
    *("sessions", "mae", "mfe", "mae_usd", "mfe_usd", "entry_order", "exit_order", "ended"),
]


def weekdays(start: date, count: int) -> list[date]:
    days, day = [], start
    while len(days) < count:
        if day.weekday() < 5:
            days.append(day)
        day += timedelta(days=1)
    return days


def trade(shape: Shape, sessions: list[date], rng: np.random.Generator) -> tuple[Any, list[Any], list[Any], list[Any]]:
    """Weekly weights in steps of 10 %, a fill where a weight changes, now and then a stop or a refusal."""
    weights = np.zeros((shape.sessions, len(shape.symbols)))
    fills: list[Any] = []
    rejected: list[Any] = []
    orders: list[Any] = []
    if not shape.trades:
        return weights, fills, rejected, orders
    cap = 1 / max(len(shape.symbols) / 2, 1.3)
    now = np.zeros(len(shape.symbols))
    for t, day in enumerate(sessions):
        at = f"{day}T09:30:00-05:00"
        for n, symbol in enumerate(shape.symbols):
            stopped = now[n] != 0 and rng.random() < 0.008
            if t % 5 == 0 or stopped:
                low = -cap if shape.short else 0.0
                want = 0.0 if stopped else float(np.clip(now[n] + rng.choice([-0.2, -0.1, 0, 0, 0.1, 0.2]), low, cap))
                if abs(want - now[n]) < 1e-9:
                    continue
                number, quantity = len(orders), (want - now[n]) * 211.7
                refused = rng.random() < 0.04
                status = "rejected" if refused else "filled"
                asked = f"{sessions[t - t % 5]}T08:00:00-05:00"
                orders.append([number, symbol, asked, "market", quantity, "", "", "", "", status])
                if refused:
                    rejected.append([number, symbol, at, day, quantity, quantity * 0.4, "not enough free margin"])
                    continue
                fills.append(
                    [number, symbol, at, day, quantity, 472.3, abs(quantity) * 0.09, 0.0, "stop" if stopped else "open"]
                )
                now[n] = want
        weights[t] = now * rng.normal(1, 0.01)
    return weights, fills, rejected, orders


def round_trips(fills: list[Any], sessions: list[date]) -> list[list[Any]]:
    """Rows of trades.csv: the fills of each symbol from flat to flat, at prices that move a little."""
    trips: list[list[Any]] = []
    for symbol in dict.fromkeys(fill[1] for fill in fills):
        own, held = [fill for fill in fills if fill[1] == symbol], 0.0
        first = own[0]
        for fill in own:
            first = first if held else fill
            closed = (bool(held) and abs(held + fill[4]) < 1e-6) or held * (held + fill[4]) < 0
            held = 0.0 if abs(held + fill[4]) < 1e-6 else held + fill[4]
            if closed or fill is own[-1]:
                trips.append(round_trip(first, fill if closed else None, sessions))
                first = fill
    return sorted(trips, key=lambda trip: trip[2])


def round_trip(first: list[Any], last: list[Any] | None, sessions: list[date]) -> list[Any]:
    size, side = abs(first[4]) or 1.0, "long" if first[4] > 0 else "short"
    days = sessions.index(last[3] if last else sessions[-1]) - sessions.index(first[3])
    gain = (first[0] * 37 % 19 - 8) / 400
    end = [last[2], size, first[5], first[5] * (1 + gain)] if last else ["", size, first[5], ""]
    paid = size * first[5]
    extremes = [-0.02 + min(gain, 0), 0.03 + max(gain, 0)]
    result = [first[6] * 2, gain * paid, gain, days, *extremes, *(paid * one for one in extremes)]
    why = [first[0], last[0], last[8]] if last else [first[0], "", "still held"]
    return [first[1], side, first[2], *end, *result, *why]


def write_csv(path: Path, header: list[str], rows: Any) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        writer.writerows([v if not isinstance(v, np.floating) else float(v) for v in row] for row in rows)


def write_evidence(folder: Path, shape: Shape, sessions: list[date]) -> None:
    """A meeting on every fifth session, a checkpoint on the others; a rule where nobody sits in the council."""
    decisions: list[Any] = []
    calls: list[Any] = []
    mine: dict[str, list[Any]] = {member: [] for member in shape.members}
    for n, day in enumerate(sessions):
        meeting = n % 5 == 0
        if not meeting and not shape.members:
            continue
        as_of = f"{day}T0{8 if meeting else 9}:00:00-05:00"
        record = council_record(shape, as_of, n) if meeting else checkpoint_record(shape, sessions[n - n % 5], n)
        decision = {"as_of": as_of, "session": str(day), "targets": [], "allowed": {}, "cuts": [], "record": {}}
        cuts = ["SPY: 0.4 cut to 0.3"] if n % 35 == 15 else []
        decisions.append({**decision, "cuts": cuts, "record": record if shape.members else {}})
        for number, member in enumerate(shape.members):
            own = record["pitches"][number] if meeting else record["theses"][0]
            said = {"kind": "member", "no_decision": None, "pitch": own} if meeting else None
            kept = {"kind": "member_checkpoint", "meeting": record.get("meeting"), "thesis": own}
            mine[member].append({**decision, "record": {**(said or kept), "execution": []}})
            call = {"key": key_of(seat(member), n), "stage": "pitch", "seat": seat(member), "session": str(day)}
            call |= {"provider": "offline", "model": member, "outcome": "answer", "cost_usd": 0.0}
            if meeting:
                calls.append({**call, "prompt_tokens": 700, "completion_tokens": 112})
    write_lines(folder / "decisions.jsonl", decisions)
    write_lines(folder / "llm_calls.jsonl", calls)
    for number, member in enumerate(shape.members):
        place = folder / "accounts" / re.sub(r"\W", "_", member)
        place.mkdir(parents=True, exist_ok=True)
        write_lines(place / "decisions.jsonl", mine[member])
        at = f"{sessions[0]}T09:30:00-05:00"
        write_csv(
            place / "orders.csv",
            ORDERS,
            [[0, "SPY", mine[member][0]["as_of"], "market", number + 1, *"    ", "filled"]],
        )
        fills = [[0, "SPY", at, sessions[0], number + 1, 472.3, 0.09, 0.0, "open"]]
        write_csv(place / "fills.csv", FILLS, fills)
        write_csv(place / "trades.csv", TRADES, round_trips(fills, sessions))
        write_csv(place / "rejected.csv", REJECTED, [])


def write_lines(path: Path, rows: list[Any]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def key_of(who: str, n: int) -> str:
    return hashlib.sha256(f"{who} {n}".encode()).hexdigest()


def seat(member: str) -> str:
    return SEATS.get(member, f"pm.{member}")


def council_record(shape: Shape, as_of: str, n: int) -> dict[str, Any]:
    """What was seen, said and voted at one meeting, in the words of simulator/council/write_record.py."""
    symbol = shape.symbols[n % len(shape.symbols)]
    seats = [seat(member) for member in shape.members]
    pitches = [
        {
            "seat": name,
            "keys": [key_of(name, n)],
            "answer": {
                "instrument": symbol,
                "direction": "LONG",
                "horizon": "2-4 weeks",
                "thesis_bullets": [f"{symbol} stands above its average at meeting {n}.", "Breadth has widened."],
                "indicators": ["rsi_14 62.8"],
                "conviction": k % 5 - 2,
                "invalidation": f"A close below {400 + n}.",
                "stop": 400.0 + n,
                "target": 470.0 + n,
            },
        }
        for k, name in enumerate(seats)
    ]
    reviews = [
        {
            "seat": reader,
            "about": name,
            "keys": [key_of(reader + name, n)],
            "answer": {
                "scores": dict.fromkeys(DIMENSIONS, 7),
                "kill_shot": f"What {symbol} gained at meeting {n} may be spent.",
                "flip_condition": "A close below the lowest price of 20 sessions.",
            },
        }
        for reader in seats
        for name in seats
        if reader != name
    ]
    ruling = {
        "approved_trades": [
            {
                "instrument": symbol,
                "direction": "LONG",
                "conviction": 1,
                "position_size": "10%",
                "rationale": "Net votes +1.3.",
            }
        ],
        "rejected_trades": [],
        "dissent_summary": "Pitch A wanted to wait.",
        "monitoring_plan": "Watch the lows.",
    }
    research = {"macro_regime": "Risk-on over the quarter", "top_narratives": ["Breadth widens.", "Rates fall."]}
    facts = {"close": 434.2, "return_5_pct": 1.2, "rsi_14": 62.8}
    return {
        "kind": "council",
        "no_decision": None,
        "user_query": "Which positions?",
        "facts": {"as_of": as_of[:16], "symbols": dict.fromkeys(shape.symbols, facts), "events": []},
        "seats": {name: f"offline/{name}" for name in [*seats, "research.1", "chairman"]},
        "research": [{"seat": "research.1", "keys": [key_of("research.1", n)], "answer": research}],
        "pitches": pitches,
        "reviews": reviews,
        "chairman": {"seat": "chairman", "keys": [key_of("chairman", n)], "answer": ruling},
        "labels": {},
        "scores": dict.fromkeys(seats, 7.0),
        "net_votes": {symbol: 1.3},
        "execution": [{"symbol": symbol, "weight": 0.1, "order": "limit", "seat": "chairman", "notes": []}],
    }


def checkpoint_record(shape: Shape, met: date, n: int) -> dict[str, Any]:
    """A thesis read again between two meetings."""
    symbol = shape.symbols[n % len(shape.symbols)]
    turned = n % 5 == 3
    thesis = {
        "seat": "chairman",
        "instrument": symbol,
        "direction": "LONG",
        "conviction_before": 1,
        "conviction": 0 if turned else 1,
        "action": "CLOSE" if turned else "KEEP",
        "state": "open",
        "entry": {"at": f"{met}T09:30:00-05:00", "price": 433.1},
        "stop": 400.0,
        "target": 470.0,
        "thesis_bullets": ["It stands above its average."],
        "invalidation": "A close below 400.",
        "keys": [key_of("checkpoint", n)],
        "answer": {
            "conviction": 0 if turned else 1,
            "reason": "It fell through." if turned else "Nothing has changed.",
        },
        "reason": "It fell through." if turned else "Nothing has changed.",
    }
    facts = {"symbols": {symbol: {"close": 431.0, "return_1_pct": -0.4}}}
    seats = {"chairman": "offline/chairman"}
    meeting = f"{met}T08:00:00-05:00"
    return {
        "kind": "checkpoint",
        "meeting": meeting,
        "facts": facts,
        "seats": seats,
        "theses": [thesis],
        "execution": [],
    }


def account_entry(shape: Shape, name: str, n: int, columns: dict[str, Any]) -> dict[str, Any]:
    """An entry of ``accounts`` in run.json."""
    metrics = measure(columns.get(f"account:{name}", columns["equity"]))
    if shape.undefined:
        metrics = dict.fromkeys(metrics)
    sharpe = metrics["sharpe"]
    steps = [
        {"conviction": c, "n": 9, "mean_return": 0.004 * c + 0.001 * n, "low": -0.02, "high": 0.02} for c in (-1, 1, 2)
    ]
    return {
        "name": name,
        "seat": seat(name) if name in shape.members else "chairman",
        "model": f"model-{n}",
        "decisions": shape.sessions // 5,
        "metrics": {**metrics, "hit_rate": 0.4 + n / 50, "turnover": 3.0 + n},
        "reasons": {"sharpe": "returns never vary"} if sharpe is None else {},
        "sharpe_ci_low": None if sharpe is None else sharpe - 1.6,
        "sharpe_ci_high": None if sharpe is None else sharpe + 1.5,
        "llm": {"calls": 260, "cost_usd": 0.31 * n},
        "calibration": {
            "n": 27,
            "horizon_sessions": 15,
            "ic": 0.1,
            "ic_low": -0.2,
            "ic_high": 0.4,
            "by_conviction": steps,
        },
        "reviews": {"n": 27, "correlation": -0.04, "low": -0.3, "high": 0.2, "mean_score": 7.0},
        "audit": {"max_relative_difference": 0.0},
    }


def measure(equity: Any) -> dict[str, float | None]:
    values = np.r_[100_000.0, equity]
    with np.errstate(all="ignore"):
        r = values[1:] / values[:-1] - 1
        falls = values / np.maximum.accumulate(values) - 1
        sd = r.std(ddof=1) if len(r) > 1 else math.nan
        sd = sd if sd > 1e-9 else math.nan
        numbers = {
            "total_return": values[-1] / values[0] - 1,
            "cagr": (values[-1] / values[0]) ** (252 / len(r)) - 1 if values[-1] > 0 else math.nan,
            "annual_return": r.mean() * 252,
            "volatility": sd * 252**0.5,
            "sharpe": (r.mean() - 0.00018) / sd * 252**0.5,
            "sortino": (r.mean() - 0.00018) / np.sqrt((np.minimum(r, 0) ** 2).mean()) * 252**0.5,
            "max_drawdown": falls.min(),
            "max_drawdown_sessions": 61,
            "calmar": r.mean() * 252 / -falls.min(),
            "ulcer": np.sqrt((falls**2).mean()),
            "omega": np.maximum(r, 0).sum() / -np.minimum(r, 0).sum(),
            "var_95": np.quantile(r, 0.05),
            "cvar_95": r[r <= np.quantile(r, 0.05)].mean(),
            "skew": -0.31,
            "kurtosis": 4.62,
        }
    return {k: float(v) if math.isfinite(v) else None for k, v in numbers.items()}


def run_json(shape: Shape, sessions: list[date], columns: dict[str, Any], fills: int) -> dict[str, Any]:
    metrics = measure(columns["equity"])
    trading = {"trades": fills // 2, "hit_rate": 0.534, "profit_factor": 1.38, "payoff": 1.21, "expectancy": 71.4}
    against = {
        "beta": 0.62,
        "alpha": 0.014,
        "alpha_t": 0.41,
        "information_ratio": -0.22,
        "turnover": 6.3,
        "exposure": 0.71,
    }
    metrics |= {**trading, **against} if fills else dict.fromkeys((*trading, *against))
    if shape.undefined:
        metrics = dict.fromkeys(metrics)
    why = {"sharpe": "returns never vary", "hit_rate": "no closed trade", "beta": "the strategy never traded"}
    sharpe = metrics["sharpe"]
    inference = {
        "sharpe_ci_low": None if sharpe is None else sharpe - 1.63,
        "sharpe_ci_high": None if sharpe is None else sharpe + 1.49,
        "block_length": 4.2,
        "sharpe_p_hac": None if sharpe is None else 0.5 * math.erfc(sharpe / 0.8 / 2**0.5),
        "sharpe_se_hac": 0.8,
        "min_trl": None if sharpe is None or sharpe <= 0 else 812.0,
        "sharpe_p_iid": 0.21,
        "psr": 0.79,
        "rho_1": -0.04,
        "ljung_box_p": 0.44,
        "eta": 15.2,
        "sharpe_eta": None if sharpe is None else sharpe * 0.96,
        "detectable_sharpe": 2.49,
        "max_drawdown_5": -0.213,
        "max_drawdown_50": -0.117,
        "max_drawdown_95": -0.064,
    }
    first, last = str(sessions[0]), str(sessions[-1])
    symbols = ",".join(shape.symbols)
    return {
        "schema": 2,
        "run_id": HASH[:12],
        "digest": HASH,
        "strategy": shape.strategy,
        "analysts": shape.analysts,
        "symbols": list(shape.symbols),
        "from": first,
        "to": last,
        "sessions": shape.sessions,
        "cash": 100_000.0,
        "sources": {s: "sample" if n % 3 else f"data/{s}.csv" for n, s in enumerate(shape.symbols)},
        "context": {"VIX": "sample", "BIL": "sample"},
        "notes": list(shape.notes),
        "command": f"sim run --strategy {shape.strategy} --from {first} --to {last} --symbols {symbols}",
        "risk_free": "return of BIL (sample)",
        "config": CONFIG,
        "strategy_files": {"strategies/macro_council/council.yaml": HASH},
        "data_digest": HASH,
        "code": {"digest": HASH, "commit": HASH[:40], "dirty": True},
        "packages": {"backtrader": "1.9.78.123", "numba": "0.61", "numpy": "2.1"},
        "metrics": metrics,
        "reasons": {k: why.get(k, "no closed trade") for k, v in {**metrics, **inference}.items() if v is None},
        "benchmarks": {name: measure(columns[name]) for name in ("buy_and_hold", "equal_weight")},
        "account": "COUNCIL" if shape.members else None,
        "accounts": [
            account_entry(shape, name, n, columns)
            for n, name in enumerate((*shape.members, "COUNCIL") if shape.members else ())
        ],
        "cost_sensitivity": [
            {"multiple": m, "costs_paid": 155.79 * m, "metrics": measure(columns["equity"] * (1 - 0.003 * m))}
            for m in shape.multiples
        ],
        "audit": {"engine": "backtrader", "auditor": "kernel", "max_relative_difference": 0.0},
        "inference": inference,
        "llm": {
            "calls": 260 if shape.members else 0,
            "failed": 0,
            "cost_usd": 0.0,
            "analysts": shape.analysts,
            "cache_entries": HASH,
        },
    }


CONFIG = {
    "schedule": {"decision_time": "08:00:00", "cadence": None},
    "costs": {
        "commission_per_share": 0.0,
        "commission_bps": 0.0,
        "commission_min": 0.0,
        "slippage_bps": 2.0,
        "borrow_rate": 0.01,
        "cash_interest": 0.0,
    },
    "risk": {
        "max_weight": 1.0,
        "max_gross": 1.0,
        "max_group": 1.0,
        "shares": "fractional",
        "min_trade": 1.0,
        "initial_margin_long": 1.0,
        "initial_margin_short": 0.5,
        "maintenance_long": 0.25,
        "maintenance_short": 0.3,
    },
}


class Browser:
    """Chromium at the other end of a pipe, spoken to in the DevTools protocol."""

    def __init__(self, profile: Path) -> None:
        to_browser, from_us = os.pipe()
        from_browser, to_us = os.pipe()
        # Chromium reads descriptor 3 and writes descriptor 4.
        wired = f'exec "$@" 3<&{to_browser} 4>&{to_us}'
        command = ["bash", "-c", wired, "-", str(CHROMIUM), *QUIET]
        self.process = subprocess.Popen(
            [*command, "--remote-debugging-pipe", f"--user-data-dir={profile}", "about:blank"],
            pass_fds=(to_browser, to_us),
            stderr=subprocess.DEVNULL,
        )
        os.close(to_browser)
        os.close(to_us)
        self.pipe_out, self.pipe_in = os.fdopen(from_us, "wb"), os.fdopen(from_browser, "rb")
        self.number, self.session, self.left_over = 0, "", b""
        self.events: list[dict[str, Any]] = []
        target = self.ask("Target.getTargets")["targetInfos"]
        page = next(t["targetId"] for t in target if t["type"] == "page")
        self.session = self.ask("Target.attachToTarget", targetId=page, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.ask(f"{domain}.enable")

    def ask(self, method: str, **parameters: Any) -> dict[str, Any]:
        self.number += 1
        wanted = {"id": self.number, "method": method, "params": parameters}
        if self.session:
            wanted["sessionId"] = self.session
        self.pipe_out.write(json.dumps(wanted).encode() + b"\0")
        self.pipe_out.flush()
        while True:
            message = self._next()
            if message.get("id") == self.number:
                assert "error" not in message, message
                return dict(message["result"])
            self.events.append(message)

    def _next(self) -> dict[str, Any]:
        while b"\0" not in self.left_over:
            read = os.read(self.pipe_in.fileno(), 1 << 20)
            assert read, "the browser has gone"
            self.left_over += read
        line, _, self.left_over = self.left_over.partition(b"\0")
        return dict(json.loads(line))

    def open(self, page: Path, width: int = 1440, height: int = 1000, fragment: str = "") -> None:
        self.ask("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)
        if fragment:  # from the same page it would be no loading of it
            self.ask("Page.navigate", url="about:blank")
        self.events.clear()
        self.ask("Page.navigate", url=page.as_uri() + (f"#{fragment}" if fragment else ""))
        deadline = time.monotonic() + 30
        while self.run("document.readyState") != "complete" or self.run("location.href") == "about:blank":
            assert time.monotonic() < deadline, "the page does not load"
            time.sleep(0.02)

    def run(self, script: str) -> Any:
        """The value of a JavaScript expression, of a promise when it is kept."""
        found = self.ask("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in found, found
        return found["result"].get("value")

    def press(self, key: str, shift: bool = False) -> None:
        code = {
            "Enter": 13,
            "Escape": 27,
            "ArrowLeft": 37,
            "ArrowUp": 38,
            "ArrowRight": 39,
            "ArrowDown": 40,
            "Home": 36,
            "End": 35,
            "Tab": 9,
        }[key]
        named = {"key": key, "code": key, "windowsVirtualKeyCode": code, "modifiers": 8 * shift}
        text = {"text": "\r"} if key == "Enter" else {}
        self.ask("Input.dispatchKeyEvent", type="keyDown", **named, **text)
        self.ask("Input.dispatchKeyEvent", type="keyUp", **named)

    def click(self, x: float, y: float) -> None:
        for kind in ("mouseMoved", "mousePressed", "mouseReleased"):
            self.ask("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)

    @property
    def complaints(self) -> list[dict[str, Any]]:
        """What was written to the console, thrown, or refused, since the page was opened."""
        loud = ("Runtime.consoleAPICalled", "Runtime.exceptionThrown", "Log.entryAdded")
        return [event for event in self.events if event.get("method") in loud]

    @property
    def requests(self) -> list[str]:
        sent = [e["params"]["request"]["url"] for e in self.events if e.get("method") == "Network.requestWillBeSent"]
        return [url for url in sent if not url.startswith("data:")]

    def close(self) -> None:
        self.session = ""
        self.ask("Browser.close")
        self.process.wait(timeout=20)
        self.pipe_out.close()
        self.pipe_in.close()


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    if CHROMIUM is None:
        pytest.skip("needs Chromium: apt-get install chromium")
    it = Browser(tmp_path_factory.mktemp("profile"))
    yield it
    it.close()
