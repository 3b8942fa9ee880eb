"""Prices: the closes of each symbol, where it was bought and sold, and the stops and targets in force meanwhile.

decisions ─┐  a bracket is the position's at once where the target keeps its side,   stop, target (T,)
fills ─────┴─ else with the fill that opens it; flat, it is gone (decision 0001) ──►  ──────────────────
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np

from simulator.evidence.reader import Evidence, Series
from simulator.evidence.records import DecisionRow
from simulator.evidence.rows import exchange_time
from simulator.market.bars import instant
from simulator.number_format import counted, price, signed_percent, whole
from simulator.report import drawing
from simulator.report.drawing import Frame, Layer, Panel, Shape
from simulator.report.sections.equity_and_trades import FORCED, Trade, list_trades
from simulator.stats.trades import FLAT
from simulator.trading.model import Fill

MOST_CHARTS = 12
"""Charts of a page: those of the symbols traded most."""

SHOWN = 4
"""Charts that are there at once; the others unfold."""

OPENING = "09:30"
"""A decision made later in a day takes effect in the next session, unless a fill says otherwise."""


@dataclass(frozen=True)
class PriceChart:
    """The prices of one symbol, and a line on them."""

    symbol: str
    panel: Panel
    summary: str


@dataclass(frozen=True)
class Prices:
    """Charts, the symbols traded most first, and a sentence on what is missing."""

    charts: tuple[PriceChart, ...]
    note: str

    @property
    def shown(self) -> tuple[PriceChart, ...]:
        return self.charts[:SHOWN]

    @property
    def folded(self) -> tuple[PriceChart, ...]:
        return self.charts[SHOWN:]


def compose(evidence: Evidence) -> Prices | None:
    """Return the section for the run's own account, None where nothing was traded."""
    trades = list_trades(evidence)
    if not trades:
        return None
    if not evidence.prices:
        note = f"An earlier version wrote this folder, without prices; `{evidence.run['command']}` adds them."
        return Prices((), note)
    by_symbol: dict[str, list[Trade]] = {}
    for trade in trades:
        by_symbol.setdefault(trade.symbol, []).append(trade)
    priced = [symbol for symbol in by_symbol if np.isfinite(evidence.prices.get(symbol, math.nan)).any()]
    chosen = sorted(priced, key=lambda symbol: -len(by_symbol[symbol]))[:MOST_CHARTS]
    if not chosen:
        return None
    levels = protection(evidence, chosen)
    charts = tuple(_draw(evidence, symbol, by_symbol[symbol], levels[symbol]) for symbol in chosen)
    left = len(by_symbol) - len(chosen)
    note = f"The {len(chosen)} symbols traded most, of {whole(len(by_symbol))}." if left else ""
    return Prices(charts, note)


@dataclass
class Protection:
    """Stop and target in force in each of T sessions, NaN where there is none, and what has to be known meanwhile."""

    stop: Series
    target: Series
    held: float = 0.0
    bracket: tuple[float, float] = (math.nan, math.nan)
    ordered: tuple[float, float] = (math.nan, math.nan)
    side: float = 0.0
    since: int = 0

    def write(self, until: int) -> None:
        """Note what was in force from `since` to session `until`."""
        if self.held:
            self.stop[self.since : until + 1], self.target[self.since : until + 1] = self.bracket
        self.since = max(self.since, until + 1)


def protection(evidence: Evidence, symbols: Sequence[str]) -> dict[str, Protection]:
    """Return the stops and targets of the run's own account in `symbols`, by session."""
    sessions = evidence.sessions
    found = {name: Protection(*np.full((2, len(sessions)), math.nan)) for name in symbols}
    number = {str(day): n for n, day in enumerate(sessions)}
    events: list[tuple[int, int, int, DecisionRow | Fill]] = []
    for decision in evidence.decisions:
        at = datetime.fromisoformat(decision["as_of"])
        session = (bisect_left if f"{at:%H:%M}" <= OPENING else bisect_right)(sessions, at.date())
        events.append((instant(at), 0, session, decision))
    for fill in evidence.fills:
        if fill.symbol in found and (session := number.get(exchange_time(fill.at)[:10], -1)) >= 0:
            events.append((fill.at, 1, session, fill))
    for _, _, session, event in sorted(events, key=lambda one: one[:2]):
        if isinstance(event, Fill):
            _fill(found[event.symbol], event, session)
        else:
            _decide(found, event, session)
    for one in found.values():
        one.write(len(sessions) - 1)
    return found


def _decide(found: Mapping[str, Protection], decision: DecisionRow, session: int) -> None:
    for target in decision["targets"]:
        one = found.get(target["symbol"])
        if one is None:
            continue
        weight = decision["allowed"].get(target["symbol"], target["weight"])
        one.side = math.copysign(1.0, weight) if weight else 0.0
        one.ordered = (target.get("stop", math.nan), target.get("take_profit", math.nan))
        if one.held * one.side > 0:
            one.write(session - 1)
            one.bracket = one.ordered


def _fill(one: Protection, fill: Fill, session: int) -> None:
    held = one.held + fill.quantity
    if abs(held) <= FLAT * max(abs(one.held), abs(fill.quantity)):
        # A bracket that closed it was in force in that session too.
        one.write(session - (fill.why == "open"))
        one.held, one.bracket = 0.0, (math.nan, math.nan)
        return
    one.write(session - 1)
    if held * one.side > 0:
        one.bracket = one.ordered
    one.held = held
    one.since = min(one.since, session)


def _draw(evidence: Evidence, symbol: str, trades: Sequence[Trade], levels: Protection) -> PriceChart:
    closes = evidence.prices[symbol]
    paid = np.array([trade.price for trade in trades])
    low, high = drawing.bounds([closes, paid, levels.stop, levels.target])
    frame = Frame(-1, len(evidence.sessions) - 1, low, high, 190)
    layers = [_steps("stop", levels.stop), _steps("target", levels.target)]
    layers += [drawing.line("close", closes, most=800), *_markers(trades)]
    panel = drawing.draw(layers, frame, drawing.dollar_ticks(drawing.steps(low, high, 5)))
    finite = closes[np.isfinite(closes)]
    bought = sum(trade.shares > 0 for trade in trades)
    forced = sum(trade.why.replace(" ", "_") in FORCED for trade in trades)
    closed = f", {whole(forced)} by stop, target or margin call" if forced else ""
    path = f"{price(finite[0])} to {price(finite[-1])} ({signed_percent(finite[-1] / finite[0] - 1)}); "
    traded = f"{counted(bought, 'buy')}, {counted(len(trades) - bought, 'sale')}{closed}"
    return PriceChart(symbol, panel, path + traded)


def _markers(trades: Sequence[Trade]) -> Iterator[Layer]:
    forced = {why.replace("_", " ") for why in FORCED}
    shapes: dict[Shape, list[Trade]] = {"buys": [], "sells": [], "exits": []}
    for trade in trades:
        shapes["exits" if trade.why in forced else "buys" if trade.shares > 0 else "sells"].append(trade)
    for shape, these in shapes.items():
        if these:
            # A fill at the open lies between two closes.
            at = np.array([trade.session - 0.5 for trade in these])
            yield Layer(shape, shape, at, np.array([trade.price for trade in these]))


def _steps(name: str, levels: Series) -> Layer:
    """Return a line over each stretch of sessions with one level; that of session i stands from i − 1 to i."""
    with np.errstate(invalid="ignore"):
        starts = np.flatnonzero(np.r_[True, ~(levels[1:] == levels[:-1])])
    ends = np.r_[starts[1:], len(levels)] - 1
    x, y = [], []
    for start, end in zip(starts.tolist(), ends.tolist(), strict=True):
        if math.isfinite(levels[start]):
            x += [start - 1.0, float(end), float(end)]
            y += [levels[start], levels[start], math.nan]
    return Layer(name, "line", np.array(x, dtype=float), np.array(y, dtype=float))
