"""Equity, drawdown, exposure and trades over one axis: drawn once for paper, and as numbers for the script."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from simulator.evidence.reader import Evidence, Series
from simulator.number_format import counted, number_of, whole
from simulator.report import charts, figures
from simulator.report.charts import FORCED, Chart
from simulator.report.debates import as_json, trades
from simulator.report.figures import LANE, Frame, Layer, Panel

STRIP = LANE
"""Height of a row of trade markers."""


@dataclass(frozen=True)
class Linked:
    """Three charts, the rows of markers below the first, what is said of them, and the numbers the script reads."""

    equity: Chart
    drawdown: Chart
    exposure: Chart
    bought: Panel | None
    sold: Panel | None
    traded: str
    evidence: str


def linked(evidence: Evidence) -> Linked:
    """The chart of the run's own account."""
    fills = trades(evidence)
    return Linked(
        equity=charts.equity(evidence),
        drawdown=charts.underwater(evidence),
        exposure=charts.exposure(evidence),
        bought=_strip(evidence, fills, bought=True),
        sold=_strip(evidence, fills, bought=False),
        traded=_traded(fills),
        evidence=as_json({**_curves(evidence), "trades": fills}),
    )


def _strip(evidence: Evidence, fills: Sequence[Sequence[Any]], bought: bool) -> Panel | None:
    """One row of markers: purchases, or sales with forced exits crossed out."""
    if not fills:
        return None
    forced = {why.replace("_", " ") for why in FORCED}
    mine = [fill for fill in fills if (fill[2] > 0) == bought]
    shapes: dict[str, set[float]] = {"buys" if bought else "sells": set(), "exits": set()}
    for day, _, _, _, why, _ in mine:
        shapes["exits" if why in forced else "buys" if bought else "sells"].add(day - 0.5)
    frame = Frame(-1, len(evidence.sessions) - 1, 0.0, 1.0, STRIP, lane=True)
    layers = [Layer(n, n, np.array(sorted(x)), np.zeros(len(x))) for n, x in shapes.items() if x]  # type: ignore[arg-type]
    return figures.draw(layers, frame)


def _traded(fills: Sequence[Sequence[Any]]) -> str:
    if not fills:
        return "Nothing was traded."
    bought = sum(1 for fill in fills if fill[2] > 0)
    forced = sum(1 for fill in fills if fill[4] in {why.replace("_", " ") for why in FORCED})
    closed = f", {whole(forced)} of them by stop, target or margin call" if forced else ""
    return f"{counted(bought, 'purchase')} and {counted(len(fills) - bought, 'sale')}{closed}."


def _curves(evidence: Evidence) -> dict[str, Any]:
    own = evidence.equity
    names = {"equity": "equity", "hold": "buy_and_hold", "equal": "equal_weight"}
    dollars = {short: _rounded(own[column], 2) for short, column in names.items() if column in own}
    return {
        "run": evidence.run["run_id"],
        "cash": number_of(evidence.run["cash"]),
        "who": {str(entry.get("seat")): str(entry.get("name")) for entry in evidence.run.get("accounts") or []},
        "days": [day.isoformat() for day in evidence.sessions],
        "curves": {**dollars, "gross": _rounded(own["gross"], 4), "net": _rounded(own["net"], 4)},
    }


def _rounded(values: Series, digits: int) -> list[float | None]:
    return [round(v, digits) if np.isfinite(v) else None for v in values.tolist()]
