"""Weights: what was held of each symbol over time, with its trades."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from simulator.evidence.reader import Evidence, Series
from simulator.number_format import counted, percent, whole
from simulator.report import drawing
from simulator.report.drawing import Frame, Panel
from simulator.report.sections.equity_and_trades import FORCED, Trade, draw_markers, list_trades, mean

MOST_PANELS = 40
"""Panels of a page: those of the symbols held most. weights.csv has all."""


@dataclass(frozen=True)
class Holding:
    """The weight of one symbol over time, and a line on it."""

    symbol: str
    panel: Panel
    summary: str


def compose(evidence: Evidence) -> tuple[Holding, ...]:
    """Return a panel per symbol, all on the same scale."""
    if not evidence.weights:
        return ()
    low, high = drawing.bounds([np.array([0.0, 0.05]), *evidence.weights.values()], room=0.0)
    frame = Frame(-1, len(evidence.sessions) - 1, low, high, 66, lane=True)
    ticks = drawing.percent_ticks(drawing.steps(low, high, 3))
    holdings, shown = [], _largest(evidence)
    by_symbol: dict[str, list[Trade]] = {}
    for trade in list_trades(evidence, shown):
        by_symbol.setdefault(trade.symbol, []).append(trade)
    for symbol, weight in shown.items():
        trades = by_symbol.get(symbol, [])
        panel = drawing.draw([drawing.staircase("weight", weight), *draw_markers(trades)], frame, ticks)
        holdings.append(Holding(symbol, panel, _summary(weight, trades)))
    return tuple(holdings)


def _largest(evidence: Evidence) -> dict[str, Series]:
    """Return the weights of the MOST_PANELS symbols that were held most, in their order."""
    weights = evidence.weights
    if len(weights) <= MOST_PANELS:
        return dict(weights)
    sizes = {symbol: float(np.nansum(np.abs(weight))) for symbol, weight in weights.items()}
    kept = set(sorted(sizes, key=lambda symbol: -sizes[symbol])[:MOST_PANELS])
    return {symbol: weight for symbol, weight in weights.items() if symbol in kept}


def _summary(weight: Series, trades: Sequence[Trade]) -> str:
    bought = sum(trade.shares > 0 for trade in trades)
    forced = sum(trade.why.replace(" ", "_") in FORCED for trade in trades)
    closed = f", {whole(forced)} by stop, target or margin call" if forced else ""
    text = f"{counted(bought, 'buy')}, {counted(len(trades) - bought, 'sale')}{closed}" if trades else "no trades"
    finite = weight[np.isfinite(weight)]
    return f"mean {percent(mean(weight))}, last {percent(finite[-1] if len(finite) else None)}; {text}"
