"""Distribution: how often sessions and months gained and lost how much, and the best and worst of them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

import numpy as np

from simulator.analysis.course import Course
from simulator.analysis.distribution import Distribution, distribute
from simulator.analysis.periods import period_returns
from simulator.evidence.reader import Evidence
from simulator.number_format import counted, percent, whole
from simulator.report import drawing
from simulator.report.catalogue import fine_percent
from simulator.report.charts import spell
from simulator.report.drawing import MONTHS, Frame, Layer, Panel, Scale, Tick
from simulator.report.table import Cell, Table, make_row, make_table
from simulator.stats.series import Floats, Undefined

FEWEST_SESSIONS, FEWEST_MONTHS = 20, 6
"""Returns below which a histogram says nothing the tables do not."""


@dataclass(frozen=True)
class Histogram:
    """Bars of counts over returns, with ticks in percent from the left and a sentence for the ear.

    `name` is that of a period, session or month; `labels` name the returns: ``2024-03-15``, ``2024-03``.
    """

    name: str
    labels: tuple[str, ...]
    found: Distribution
    panel: Panel
    ticks: tuple[Tick, ...]
    spoken: str


@dataclass(frozen=True)
class DistributionSection:
    """A histogram of sessions and, where there are enough, of months; the best and the worst of both."""

    histograms: tuple[Histogram, ...]
    table: Table


def compose(evidence: Evidence, course: Course | Undefined) -> DistributionSection | None:
    """Return the section; None where there are too few sessions, nothing was traded or the account was lost."""
    sessions, cash = evidence.sessions, float(evidence.run["cash"])
    if isinstance(course, Undefined) or len(sessions) < FEWEST_SESSIONS:
        return None
    drawn = [_draw("session", tuple(day.isoformat() for day in sessions), course.returns)]
    months = period_returns(sessions, evidence.equity["equity"], cash, lambda day: (day.year, day.month))
    values = np.array([np.nan if value is None else value for value in months.values()])
    if len(values) >= FEWEST_MONTHS and np.isfinite(values).all():
        drawn.append(_draw("month", tuple(f"{year}-{month:02}" for year, month in months), values))
    return DistributionSection(tuple(drawn), _tabulate(drawn))


def _draw(name: str, labels: tuple[str, ...], returns: Floats) -> Histogram:
    found = distribute(returns, int(min(40, 2 + 1.5 * math.sqrt(len(returns)))))
    edges, counts = np.array(found.edges), np.array(found.counts, dtype=np.float64)
    x, y, losses = np.repeat(edges, 2)[1:-1], np.repeat(counts, 2), 2 * int((edges < 0).sum())
    frame = Frame(float(edges[0]), float(edges[-1]), 0.0, float(counts.max()) * 1.06, 170)
    layers = [Layer("bars worse", "area", x[:losses], y[:losses]), Layer("bars", "area", x[losses:], y[losses:])]
    scale = Scale(frame.left, frame.right)
    ticks = tuple(
        Tick(scale.at(v), text) for v, text in drawing.percent_ticks(drawing.steps(frame.left, frame.right, 7))
    )
    gained, lost = int((returns > 0).sum()), int((returns < 0).sum())
    spoken = (
        f"{counted(len(returns), name)}: {whole(gained)} gained, {whole(lost)} lost; median "
        f"{fine_percent(float(np.median(returns)))}, from {fine_percent(float(returns.min()))} to "
        f"{fine_percent(float(returns.max()))}."
    )
    levels = drawing.plain_ticks([v for v in drawing.steps(0.0, frame.high, 4) if v > 0.0 and v == int(v)])
    panel = drawing.draw([layer for layer in layers if len(layer.x)], frame, levels)
    return Histogram(name, labels, found, panel, ticks, spoken)


def _tabulate(drawn: Sequence[Histogram]) -> Table:
    """Return a row per place, the best and the worst of each histogram beside each other."""

    def cell(one: Histogram, at: int, value: float) -> Cell:
        label = one.labels[at]
        day = spell(date.fromisoformat(label)) if one.name == "session" else f"{MONTHS[int(label[5:]) - 1]} {label[:4]}"
        return Cell(percent(value, 2, sign=True), note=day, value=value)

    columns = [f"{side} {one.name}s" for one in drawn for side in ("Best", "Worst")]
    lists = [(one, places) for one in drawn for places in (one.found.best, one.found.worst)]
    rows = [
        make_row(str(n + 1), [cell(one, *places[n]) if n < len(places) else "" for one, places in lists])
        for n in range(max(len(places) for _, places in lists))
    ]
    return make_table("Best and worst", columns, rows, css="dated")
