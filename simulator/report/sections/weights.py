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
    every = list_trades(evidence)
    holdings = []
    for symbol, weight in evidence.weights.items():
        trades = [trade for trade in every if trade.symbol == symbol]
        panel = drawing.draw([drawing.staircase("weight", weight), *draw_markers(trades)], frame, ticks)
        holdings.append(Holding(symbol, panel, _summary(weight, trades)))
    return tuple(holdings)


def _summary(weight: Series, trades: Sequence[Trade]) -> str:
    bought = sum(trade.shares > 0 for trade in trades)
    forced = sum(trade.why.replace(" ", "_") in FORCED for trade in trades)
    closed = f", {whole(forced)} by stop, target or margin call" if forced else ""
    text = f"{counted(bought, 'buy')}, {counted(len(trades) - bought, 'sale')}{closed}" if trades else "no trades"
    finite = weight[np.isfinite(weight)]
    return f"mean {percent(mean(weight))}, last {percent(finite[-1] if len(finite) else None)}; {text}"
