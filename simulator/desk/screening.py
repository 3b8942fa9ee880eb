"""Before the open: what the formulas make of the market, and of what they find a plan for the open.

Snapshot ──► screen ──► analyze ──► propose: stop, size, targets ──► rules ──► plans, vetoes
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from simulator.desk import formulas
from simulator.desk.formulas import Caps, Recommendation, Technicals, read_technicals
from simulator.desk.records import AnalysisRow, PlanRecord, VetoRecord, WatchRow
from simulator.desk.rules import Proposal, find_vetoes
from simulator.desk.state import DeskState

NEAREST_PULLBACK, FARTHEST_PULLBACK = 0.25, 1.0
"""ATR14 below the last close at which an entry waits for a pullback."""


@dataclass(frozen=True)
class Screen:
    """Symbols that passed every filter, best score first, and of the others why not."""

    passed: tuple[Technicals, ...]
    rejected: Mapping[str, list[str]]

    @property
    def rows(self) -> list[WatchRow]:
        """Watchlist of the record."""
        scored = [(t, *formulas.momentum_score(t)) for t in self.passed]
        return [
            {"symbol": t.symbol, "score": round(score, 2), "price": t.price, "missing": [*missing]}
            for t, score, missing in scored
        ]


def screen(state: DeskState) -> Screen:
    """Hold every symbol against the screener's filters."""
    passed, rejected = [], {}
    for symbol in state.snapshot.symbols:
        if not state.snapshot.has(symbol):
            rejected[symbol] = ["no bar yet"]
            continue
        if not state.snapshot.is_traded(symbol):
            rejected[symbol] = [f"no bar in {state.snapshot.session}"]
            continue
        t = read_technicals(state.snapshot, symbol, state.benchmark)
        if failed := formulas.failed_filters(t, state.as_traded, state.caps.filters):
            rejected[symbol] = [*failed]
        else:
            passed.append(t)
    return Screen(tuple(sorted(passed, key=lambda t: (-formulas.momentum_score(t)[0], t.symbol))), rejected)


def analyze(t: Technicals) -> AnalysisRow:
    """Return the signals of a symbol, their score and its class."""
    points = formulas.signal_points(t)
    score = formulas.confidence([*points.values()], t.lead63 > 0.0)
    return {"symbol": t.symbol, "points": points, "score": score, "recommendation": formulas.classify(score)}


def entry_of(t: Technicals) -> tuple[float, float | None]:
    """Return the price of entry, and the limit to wait at: SMA20 or support where it lies a little below the close."""
    below = max((one for one in (t.sma20, t.support) if not math.isnan(one)), default=math.nan)
    limit = round(below, 2) if not math.isnan(below) else math.nan
    if NEAREST_PULLBACK * t.atr <= t.price - limit <= FARTHEST_PULLBACK * t.atr:
        return limit, limit
    return t.price, None


def propose(
    state: DeskState, chosen: Sequence[Technicals], class_of: Callable[[Technicals], Recommendation]
) -> tuple[list[PlanRecord], list[VetoRecord]]:
    """Return plans for those of `chosen` that are to be bought and whom no rule forbids, and the vetoes on others.

    Each plan counts as carried out before the next one is sized. What is held already is passed over.
    """
    plans: list[PlanRecord] = []
    vetoes: list[VetoRecord] = []
    for t in chosen:
        if class_of(t) not in ("STRONG_BUY", "BUY") or state.book.positions.get(t.symbol):
            continue
        entry, limit = entry_of(t)
        stop = formulas.stop_price(entry, t.atr, t.lows, state.caps.stop)
        if stop is None:
            vetoes.append(
                {"rule": "stop", "symbol": t.symbol, "why": f"too volatile for a {state.caps.stop * 100:g} % stop"}
            )
            continue
        size = size_of(state, t.symbol, entry, stop)
        if size.shares <= 0:
            vetoes.append({"rule": size.binding, "symbol": t.symbol, "why": "leaves not one share"})
            continue
        if found := find_vetoes(Proposal(t.symbol, size.shares, entry, stop), state):
            vetoes += [{"rule": one.rule, "symbol": one.symbol, "why": one.why} for one in found]
            continue
        support = formulas.find_support(t.lows, entry)
        plan: PlanRecord = {
            "symbol": t.symbol,
            "shares": size.shares,
            "entry": entry,
            "limit": limit,
            "stop": stop,
            "targets": [*formulas.target_prices(entry, stop, state.caps.exits)],
            "atr": t.atr,
            "support": None if math.isnan(support) else support,
            "lows": [*t.lows],
            "binding": size.binding,
        }
        plans.append(plan)
        state = with_plan(state, plan)
    return plans, vetoes


def at_price(plan: PlanRecord, price: float, caps: Caps) -> PlanRecord | None:
    """Return `plan` at today's price: entry, stop and targets as they would have been planned, so that reward and risk
    stand to each other as they did. One that waits at its limit stays as it is. None where no stop fits."""
    if plan["limit"] is not None:
        return plan
    lows = plan.get("lows", ())
    stop = formulas.stop_price(price, plan["atr"], lows, caps.stop)
    if stop is None:
        return None
    support = formulas.find_support(lows, price)
    return {
        **plan,
        "entry": price,
        "support": None if math.isnan(support) else support,
        "stop": stop,
        "targets": [*formulas.target_prices(price, stop, caps.exits)],
    }


def size_of(state: DeskState, symbol: str, entry: float, stop: float) -> formulas.Size:
    """Return the size of a long entry as the account stands."""
    book = state.book
    left = state.caps.sector - state.sector_weight(state.sector(symbol))
    multiplier = formulas.exposure_multiplier(state.gross, state.drawdown)
    return formulas.position_size(entry, stop, max(0.0, book.equity), book.cash, left, multiplier, state.caps)


def with_plan(state: DeskState, plan: PlanRecord) -> DeskState:
    """Return the state as it will be once `plan` has filled at its price."""
    symbol, shares, entry = plan["symbol"], plan["shares"], plan["entry"]
    positions = {**state.book.positions, symbol: state.book.positions.get(symbol, 0.0) + shares}
    marks = {**state.book.marks, symbol: entry}
    book = replace(state.book, cash=state.book.cash - shares * entry, positions=positions, marks=marks)
    return replace(state, book=book, entries_today=state.entries_today + 1)
