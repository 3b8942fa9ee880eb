"""Rolling figures: Sharpe ratio, volatility and beta of the quarter, half-year and year up to each session."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

import numpy as np

from simulator.analysis.course import Course, roll_course
from simulator.report import drawing
from simulator.report.catalogue import METRICS
from simulator.report.charts import Chart, Key, span, speak, spell
from simulator.report.drawing import Frame
from simulator.report.table import Cell, Column, Group, Row, Table
from simulator.stats.rolling import Rolling
from simulator.stats.series import Floats, Undefined

NAMES = {
    "sharpe": "Sharpe ratio",
    "volatility": "Volatility",
    "beta": "Beta to buy-and-hold",
}
"""Figure of a window → its name here; how it is written is the catalogue's."""

MOST_POINTS = 600
"""Points of a line: nine of them have to leave room for debates."""


@dataclass(frozen=True)
class RollingSection:
    """A chart of each figure with a line for each window, and the table of where they stand and stood."""

    rolls: tuple[Rolling, ...]
    keys: tuple[Key, ...]
    charts: tuple[Chart, ...]
    table: Table


def compose(course: Course | Undefined, sessions: Sequence[date]) -> RollingSection | None:
    """Return the section; None where the sessions do not fill the shortest window, or nothing can be rolled."""
    rolls = () if isinstance(course, Undefined) else roll_course(course)
    if not rolls:
        return None
    names = [name for name in NAMES if any(np.isfinite(vars(one)[name]).any() for one in rolls)]
    return RollingSection(
        rolls,
        tuple(Key(f"w{one.window}", f"{one.window} sessions") for one in rolls),
        tuple(_draw(name, rolls, sessions) for name in names),
        Table(
            "Rolling figures",
            tuple(Column(name) for name in ("Latest", "Lowest", "Median", "Highest")),
            tuple(Group(NAMES[name], _rows(name, rolls, sessions)) for name in names),
            css="dated",
        ),
    )


def _draw(name: str, rolls: Sequence[Rolling], sessions: Sequence[date]) -> Chart:
    write = METRICS[name].format
    values = [vars(one)[name] for one in rolls]
    low, high = drawing.bounds([np.array([0.0]), *values])
    ticks = (drawing.percent_ticks if name == "volatility" else drawing.plain_ticks)(drawing.steps(low, high, 4))
    layers = [drawing.line(f"w{one.window}", vars(one)[name], most=MOST_POINTS) for one in rolls]
    keys = tuple(Key(f"w{one.window}", str(one.window), write(float(vars(one)[name][-1]))) for one in rolls)
    panel = drawing.draw(layers, Frame(-1, len(sessions) - 1, low, high, 120), ticks)
    return Chart(
        panel, keys, f"{NAMES[name]} of moving windows, {span(sessions)}; at the end: {speak(keys)}", NAMES[name]
    )


def _rows(name: str, rolls: Sequence[Rolling], sessions: Sequence[date]) -> tuple[Row, ...]:
    write, rows = METRICS[name].format, []
    for one in rolls:
        values: Floats = vars(one)[name]
        if not np.isfinite(values).any():
            rows.append(Row(f"{one.window} sessions", (Cell("n/a", "undefined in every window"),) * 4))
            continue
        low, high = int(np.nanargmin(values)), int(np.nanargmax(values))
        latest, middle = float(values[-1]), float(np.nanmedian(values))
        cells = (
            Cell(write(latest), value=latest if np.isfinite(latest) else None),
            Cell(write(values[low]), note=spell(sessions[low]), value=float(values[low])),
            Cell(write(middle), value=middle),
            Cell(write(values[high]), note=spell(sessions[high]), value=float(values[high])),
        )
        rows.append(Row(f"{one.window} sessions", cells))
    return tuple(rows)
