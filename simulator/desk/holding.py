"""Positions between entry and exit: stops that follow, and exits near the second target.

Half leaves at the first target and the rest at the second, by orders that stand from the entry on. Protection is worked
out at every point, whatever the state of the workflow.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from simulator.desk.formulas import read_technicals, stop_price, target_prices
from simulator.desk.records import HeldRecord, PlanRecord
from simulator.desk.state import DeskState
from simulator.trading.model import RoundTrip, Target
from simulator.trading.sizes import APART

HALF = 0.5
"""Share of a position that leaves at its first target."""

HAIR = 1e-12
"""Fraction by which a weight is raised, lest a product of roundings cut a share off a position that stays."""


@dataclass(frozen=True)
class Kept:
    """Positions after a point: {symbol: what protects it}, targets that change something, and each change in words."""

    held: Mapping[str, HeldRecord]
    targets: tuple[Target, ...]
    moves: tuple[str, ...]


def keep(state: DeskState, held: Mapping[str, HeldRecord], plans: Sequence[PlanRecord], sells: bool) -> Kept:
    """Return what protects every position now; `sells` also leaves positions, as monitoring does."""
    kept: dict[str, HeldRecord] = {}
    targets: list[Target] = []
    moves: list[str] = []
    for symbol, shares in sorted(state.book.positions.items()):
        if shares <= 0.0:
            continue
        trip = next((one for one in state.trips if one.symbol == symbol and one.exit_at is None), None)
        if symbol not in held:
            plan = next((one for one in plans if one["symbol"] == symbol), None)
            if plan is not None and trip is None:
                continue  # what was paid is known when its bar has closed; till then it has the exits it was sent with
            kept[symbol] = protect(state, symbol, shares, trip, plan)
            targets.append(as_target(state, symbol, kept[symbol]))
            moves.append(f"{symbol} entered at {kept[symbol]['entry']:.2f}, stop {kept[symbol]['stop']:.2f}")
            continue
        before = held[symbol]
        stop, why = next_stop(state, symbol, shares, before, trip)
        kept[symbol] = {**before, "stop": stop}
        left = why_left(state, symbol, kept[symbol]) if sells else ""
        if left:
            targets.append(Target(symbol, 0.0, reason="left at a point of monitoring"))
        elif stop > before["stop"]:
            targets.append(as_target(state, symbol, kept[symbol]))
        if left or stop > before["stop"]:
            moves.append(f"{symbol} {left or f'stop moved to {stop:.2f}: {why}'}")
    return Kept(kept, tuple(targets), tuple(moves))


def protect(
    state: DeskState, symbol: str, shares: float, trip: RoundTrip | None, plan: PlanRecord | None
) -> HeldRecord:
    """Return stop and targets of a new position, from what was paid: never wider than the caps allow, and never under
    the stop of its plan, which has stood since the fill. A fill just above that one leaves half an ATR as its risk,
    by which the targets lie."""
    entry = trip.entry_price if trip is not None else state.book.marks[symbol]
    most = state.caps.stop
    found = None if plan is None else stop_price(entry, plan["atr"], plan.get("lows", ()), most)
    stop = math.ceil((1.0 - most) * entry * 100 - 1e-9) / 100 if found is None else found
    if stop >= entry:  # of shares for cents: a cent below is wider than the caps, and there is none between
        stop = round(math.ceil(entry * 100 - 1e-9) / 100 - 0.01, 2)
    live = stop if plan is None else max(stop, plan["stop"])
    if plan is not None and live > stop:
        nearest = math.floor((entry - 0.5 * plan["atr"]) * 100 + 1e-9) / 100
        stop = max(stop, min(live, nearest))
    targets = [*target_prices(entry, stop, state.caps.exits)]
    bought = trip.quantity if trip is not None else shares  # the first target may be reached before the next point
    return {"entry": entry, "shares": bought, "first_stop": stop, "stop": live, "targets": targets}


def next_stop(
    state: DeskState, symbol: str, shares: float, held: HeldRecord, trip: RoundTrip | None
) -> tuple[float, str]:
    """Return the stop as it is now, and why it moved: never down, to the entry at one risk of profit, after the first
    target to the highest close less two ATR."""
    stop, why, price = held["stop"], "", state.book.marks[symbol]
    highest = max(price, highest_close(state, symbol, trip))
    if highest >= 2.0 * held["entry"] - held["first_stop"]:
        entry = math.ceil(held["entry"] * 100 - 1e-9) / 100
        stop, why = (entry, "one risk of profit") if entry > stop else (stop, why)
    if highest >= held["targets"][0] or not is_whole(shares, held):
        atr = read_technicals(state.snapshot, symbol, state.benchmark).atr
        trailing = (
            math.floor((highest - state.caps.exits.trailing_atr * atr) * 100 + 1e-9) / 100
            if math.isfinite(atr)
            else stop
        )
        stop, why = (trailing, "after the first target") if trailing > stop else (stop, why)
    return stop, why


def why_left(state: DeskState, symbol: str, held: HeldRecord) -> str:
    """Return why a position is left at a point of monitoring; empty where it stays."""
    price, (_, second) = state.book.marks[symbol], held["targets"]
    if price <= held["stop"]:
        return f"left: {price:.2f} is not above its stop {held['stop']:.2f}"
    if price >= second - state.caps.exits.near * (held["entry"] - held["first_stop"]):
        return f"left: {price:.2f} is near its second target {second:.2f}"
    return ""


def is_whole(shares: float, held: HeldRecord) -> bool:
    """Return True where nothing of a position has left at its first target; a part of a share may have been paid out
    after a split."""
    return shares >= (math.floor(held["shares"]) or held["shares"]) * (1.0 - 1e-9)


def highest_close(state: DeskState, symbol: str, trip: RoundTrip | None) -> float:
    """Return the highest close since the entry; -inf before the first."""
    bars = state.snapshot.bars
    first = int(np.searchsorted(bars.closes_at, trip.entry_at, side="right")) if trip is not None else len(bars)
    closes = bars.close[first:, bars.column(symbol)]
    known = closes[~np.isnan(closes)]
    return float(known.max()) if len(known) else -math.inf


def as_target(state: DeskState, symbol: str, held: HeldRecord) -> Target:
    """Return the target that keeps a position, protected as `held` says."""
    weight, (first, second) = state.book.weight(symbol) * (1.0 + HAIR), held["targets"]
    whole = is_whole(state.book.positions[symbol], held) and first - held["stop"] >= APART
    exits = ((HALF, first),) if whole else ()
    return Target(
        symbol, weight, stop=held["stop"], take_profit=second, exits=exits, reason="protected anew",
    )  # fmt: skip
