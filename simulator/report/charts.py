"""Charts of reports and pages: paths of accounts, distances from their peaks, and intervals on a common scale."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date

import numpy as np

from simulator.number_format import interval, number_of, ratio
from simulator.report import drawing
from simulator.report.drawing import Frame, Layer, Panel, Scale, Tick
from simulator.stats.series import Floats


@dataclass(frozen=True)
class Key:
    """An entry of a legend: CSS class, name, and the number that goes with it."""

    css: str
    label: str
    value: str = ""


@dataclass(frozen=True)
class Chart:
    """A panel with its legend, the sentence that replaces it for the ear, and a note below it."""

    panel: Panel
    keys: tuple[Key, ...]
    spoken: str
    note: str = ""


@dataclass(frozen=True)
class Curve:
    """The path of an account: (n + 1,) values, its start and then one at each close from session `first` on."""

    css: str
    name: str
    path: Floats
    first: int = 0

    @property
    def last(self) -> float:
        """The last value there is, NaN without one."""
        finite = self.path[np.isfinite(self.path)]
        return float(finite[-1]) if len(finite) else math.nan

    @property
    def growth(self) -> float:
        """Total return since the start, as a fraction."""
        return self.last / float(self.path[0]) - 1


def draw_growth(
    curves: Sequence[Curve],
    sessions: int,
    height: int,
    ticks: Callable[[Sequence[float]], list[tuple[float, str]]] = drawing.plain_ticks,
    most: int = 1600,
) -> tuple[Panel, bool]:
    """Return the panel of `curves`, the first in front, and whether its axis is logarithmic: linear where one ≤ 0."""
    values = [curve.path for curve in curves]
    log = min(float(np.nanmin(v)) for v in values) > 0
    low, high = drawing.bounds(values, log)
    at = drawing.log_steps(low, high, 6) if log else drawing.steps(low, high, 6)
    layers = [drawing.line(c.css, c.path, c.first - 1, most) for c in reversed(curves)]
    return drawing.draw(layers, Frame(-1, sessions - 1, low, high, height, log), ticks(at)), log


def draw_drawdown(falls: Sequence[Curve], sessions: int, height: int, filled: bool = False) -> Panel:
    """Return the panel of distances from the highest close so far, the first in front, `filled` down from zero."""
    low = drawing.bounds([np.array([0.0, -0.01]), *(curve.path for curve in falls)])[0]
    layers = [drawing.line(c.css, c.path, c.first - 1) for c in reversed(falls)]
    if filled:
        layers.insert(0, Layer(f"{falls[0].css} fill", "area", layers[-1].x, layers[-1].y))
    ticks = drawing.percent_ticks(drawing.steps(low, 0.0, 4))
    return drawing.draw(layers, Frame(-1, sessions - 1, low, 0.0, height), ticks)


@dataclass(frozen=True)
class Bar:
    """An interval on a scale, in percent from the left; `low` and `high` are None where there is none."""

    label: str
    css: str
    text: str
    point: float
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Forest:
    """Intervals below each other on one axis; `marks` are further points on it, `name` says what the bars are."""

    bars: tuple[Bar, ...]
    zero: float
    ticks: tuple[Tick, ...]
    spoken: str
    name: str = ""
    marks: tuple[Bar, ...] = ()


Interval = tuple[str, str, float | None, float | None, float | None]
"""Label, CSS class, point, low, high."""


def draw_intervals(
    rows: Sequence[Interval],
    spoken: str,
    *,
    name: str = "",
    marks: Sequence[tuple[str, str, float]] = (),
    room: float = 0.06,
    most: int = 7,
) -> Forest | None:
    """Return `rows` and `marks` (label, CSS class, value) on one axis that holds zero; None without a point."""
    points = [row for row in rows if number_of(row[2]) is not None]
    if not points:
        return None
    ends = [v for row in points for v in row[2:] if number_of(v) is not None]
    scale = Scale(*drawing.bounds([np.array([0.0, *ends, *(value for *_, value in marks)])], room=room))
    bars = tuple(_bar(scale, *row) for row in points)
    drawn = tuple(Bar(label, css, ratio(value), scale.at(value)) for label, css, value in marks)
    return Forest(bars, scale.at(0.0), scale.ticks(most), spoken, name, drawn)


def _bar(scale: Scale, label: str, css: str, point: float | None, low: float | None, high: float | None) -> Bar:
    at = scale.at(point or 0.0)
    if number_of(low) is None or number_of(high) is None or low is None or high is None:
        return Bar(label, css, ratio(point), at)
    return Bar(label, css, f"{ratio(point)} ({interval(low, high)})", at, scale.at(low), scale.at(high))


def speak(keys: Sequence[Key]) -> str:
    """Return a legend as a sentence."""
    return "; ".join(f"{key.label} {key.value}" for key in keys) + "."


def spell(day: date) -> str:
    """``2 Jan 2024``, in any locale."""
    return f"{day.day} {drawing.MONTHS[day.month - 1]} {day.year}"


def span(sessions: Sequence[date]) -> str:
    """``2 Jan 2024 to 30 Dec 2024``."""
    return f"{spell(sessions[0])} to {spell(sessions[-1])}"
