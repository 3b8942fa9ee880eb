"""Curves as SVG paths that stretch with the page; axes as ticks the page sets in its own type.

Colour, line width and labels stay with the style sheet, so that one drawing reads well in light, dark and print, at any
width. What is left to draw are points on a plane; a plotting library would add most of a second to every report.

    Layer(s) + Frame ──draw──► <path class="strategy" d="…"> in a viewBox of WIDTH × height
    bounds           ──ticks─► Tick(percent from the left or top, label)
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from functools import partial
from itertools import pairwise
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from simulator.number_format import axis_number, dollars, percent
from simulator.numerics import log
from simulator.stats.series import Floats

Shape = Literal["line", "area", "dots", "buys", "sells", "exits"]

WIDTH = 1000
"""Units of the viewBox from left to right; about one for a pixel on a wide screen."""

LANE = 14
"""Height of the strip for trade markers at the foot of a panel."""

MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


@dataclass(frozen=True)
class Layer:
    """One drawn thing. `name` is its CSS class; `x`, `y` in data units, NaN breaks a line.

    ``line`` is a polyline, ``area`` is filled down to zero, ``dots`` stay round however the panel is stretched;
    ``buys``, ``sells`` and ``exits`` are markers: in the strip, where the frame has one, `y` unused.
    """

    name: str
    shape: Shape
    x: Floats
    y: Floats


@dataclass(frozen=True)
class Frame:
    """The data rectangle a panel shows and its height in pixels; with `lane` a strip for markers lies below it."""

    left: float
    right: float
    low: float
    high: float
    height: int
    log: bool = False
    lane: bool = False


@dataclass(frozen=True)
class Tick:
    """A label at `at` percent of the axis, from the left or from the top."""

    at: float
    label: str
    strong: bool = False


@dataclass(frozen=True)
class TimeAxis:
    """Ticks below a panel, on wide screens and on narrow ones."""

    wide: tuple[Tick, ...]
    narrow: tuple[Tick, ...]


@dataclass(frozen=True)
class Scale:
    """A horizontal axis from `left` to `right`; positions are percentages from the left."""

    left: float
    right: float

    def at(self, value: float) -> float:
        """Return the position of `value`."""
        return round(100 * (value - self.left) / (self.right - self.left), 2)

    def ticks(self, most: int) -> tuple[Tick, ...]:
        """Return at most `most` round values with their positions."""
        return tuple(Tick(self.at(v), axis_number(v)) for v in steps(self.left, self.right, most))


@dataclass(frozen=True)
class Panel:
    """One drawing as a template needs it: SVG paths, their height, the ticks of the vertical axis."""

    paths: str
    height: int
    ticks: tuple[Tick, ...]


def draw(layers: Sequence[Layer], frame: Frame, ticks: Sequence[tuple[float, str]] = ()) -> Panel:
    """`layers` in `frame`, first at the back, over a grid line for each tick (value, label)."""
    shown = [(v, label) for v, label in ticks if frame.low <= v <= frame.high]
    edge = np.array([frame.left, frame.right])
    grid = [Layer("zero" if v == 0 else "grid", "line", edge, np.array([v, v])) for v, _ in shown]
    return Panel(
        paths="".join(f'<path class="{one.name}" d="{_outline(one, frame)}"/>' for one in (*grid, *layers)),
        height=frame.height,
        ticks=tuple(Tick(round(_from_top(v, frame), 2), label) for v, label in shown),
    )


def _outline(layer: Layer, frame: Frame) -> str:
    """The path data of one layer, in units of the viewBox."""
    across = (layer.x - frame.left) / (frame.right - frame.left) * WIDTH
    if layer.shape == "line":
        return _polyline(across, _down(layer.y, frame))
    if layer.shape == "area":
        foot = _down(np.zeros(1), frame)
        y = _down(np.nan_to_num(layer.y), frame)
        return _polyline(np.r_[across[:1], across, across[-1:]], np.r_[foot, y, foot]) + "z"
    if layer.shape == "dots":
        points = zip(across.tolist(), _down(layer.y, frame).tolist(), strict=True)
        return "".join(f"M{_unit(x)} {_unit(y)}h0" for x, y in points if math.isfinite(y))
    down = np.full(len(across), frame.height - LANE / 2) if frame.lane else _down(layer.y, frame)
    wide = min(4.0 if frame.lane else 6.0, max(1.0, 0.25 * WIDTH / max(1, len(across))))
    return "".join(_marker(x, y, layer.shape, wide) for x, y in zip(across.tolist(), down.tolist(), strict=True))


def _down(values: Floats, frame: Frame) -> Floats:
    """Units from the top of the panel."""
    low, high = (math.log(x) if frame.log else x for x in (frame.low, frame.high))
    with np.errstate(divide="ignore", invalid="ignore"):
        scaled = log(values) if frame.log else values
    return (high - scaled) / (high - low) * (frame.height - (LANE if frame.lane else 0))


def _polyline(x: Floats, y: Floats) -> str:
    """Points joined by lines; a NaN lifts the pen."""
    words, pen = [], "M"
    for across, down in zip(x.tolist(), y.tolist(), strict=True):
        if math.isfinite(down):
            words.append(f"{pen}{_unit(across)} {_unit(down)}")
            pen = "L"
        else:
            pen = "M"
    return "".join(words)


def _marker(x: float, y: float, shape: Shape, wide: float) -> str:
    """▲ bought, ▼ sold, ✕ closed by protection. The more there are, the slimmer each is."""
    tall = 4.0
    left, right, top, bottom = _unit(x - wide), _unit(x + wide), _unit(y - tall), _unit(y + tall)
    if shape == "exits":
        return f"M{left} {bottom}L{right} {top}M{left} {top}L{right} {bottom}"
    base, tip = (bottom, top) if shape == "buys" else (top, bottom)
    return f"M{left} {base}L{right} {base}L{_unit(x)} {tip}z"


def _unit(value: float) -> str:
    """One decimal, none where it would be 0."""
    written = f"{value:.1f}".removesuffix(".0")
    return "0" if written == "-0" else written


def _from_top(value: float, frame: Frame) -> float:
    low, high, v = (math.log(x) if frame.log else x for x in (frame.low, frame.high, value))
    drawn = (frame.height - LANE) / frame.height if frame.lane else 1.0
    return 100 * (high - v) / (high - low) * drawn


def thin(values: Floats, most: int = 1600) -> NDArray[np.intp]:
    """Positions to draw: all of them up to `most`, else first, last, smallest and largest in each of most/4 stretches.

    A line through them covers the same pixels as a line through all.
    """
    if len(values) <= most:
        return np.arange(len(values))
    edges = np.linspace(0, len(values), most // 4 + 1).astype(int)
    keep: set[int] = set()
    for start, stop in zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True):
        part = np.nan_to_num(values[start:stop])
        keep |= {start, start + int(part.argmin()), start + int(part.argmax()), stop - 1}
    return np.array(sorted(keep), dtype=np.intp)


def staircase(name: str, values: Floats, most: int = 800) -> Layer:
    """Return a filled staircase: a weight at the close of session i stands over the session, from i − 1 to i."""
    at = thin(values, most)
    x = np.repeat(np.r_[-1.0, at.astype(float)], 2)[1:-1]
    return Layer(name, "area", x, np.repeat(values[at], 2))


def line(name: str, values: Floats, first: float = 0.0, most: int = 1600) -> Layer:
    """Return a line through `values` at first, first + 1 …; a path with its start begins at −1."""
    at = thin(values, most)
    return Layer(name, "line", at.astype(np.float64) + first, values[at])


def bounds(series: Sequence[Floats], log: bool = False, room: float = 0.04) -> tuple[float, float]:
    """Lowest and highest of all, with a little room; never of zero height."""
    finite = np.concatenate([s[np.isfinite(s)] for s in series])
    low, high = float(finite.min()), float(finite.max())
    if log:
        span = max(high / low, 1.02) ** room
        return low / span, high * span
    span = (high - low) or abs(high) * 0.02 or 1.0
    return low - room * span, high + room * span


def steps(low: float, high: float, most: int = 5) -> list[float]:
    """Round values from `low` to `high`, 1, 2, 2.5 or 5 × 10ᵏ apart, at most `most` of them."""
    scale = 10.0 ** (math.floor(math.log10((high - low) / most)) - 1)
    for step in (m * scale for m in (5, 10, 20, 25, 50, 100, 200, 250, 500)):
        first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
        if last - first < most:
            break
    return [k * step for k in range(first, last + 1)]


def log_steps(low: float, high: float, most: int = 5) -> list[float]:
    """Round values for a log axis: evenly spaced within a factor of 2.5, else the same few of each decade."""
    if high / low < 2.5:
        return steps(low, high, most)
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for mantissas in ((1, 1.5, 2, 3, 4, 5, 7), (1, 2, 3, 5), (1, 2, 5), (1, 3), (1,)):
        values = [m * 10.0**k for k in decades for m in mantissas if low <= m * 10.0**k <= high]
        if len(values) <= most:
            break
    return values[:: math.ceil(len(values) / most)]


def dollar_ticks(values: Sequence[float]) -> list[tuple[float, str]]:
    """``$950``, ``$102.5k``, ``$1.2M``: with just the decimals that keep neighbours apart."""
    top = max((abs(v) for v in values), default=0.0)
    unit, suffix = (1e6, "M") if top >= 2e6 else (1e3, "k") if top >= 2e4 else (1.0, "")
    gap = min((abs(b - a) for a, b in pairwise(values)), default=top or 1.0) / unit
    digits = min(3, next((d for d in range(4) if abs(round(gap, d) - gap) < gap * 0.01), 3))
    return [(v, dollars(v / unit, digits) + (suffix if v else "")) for v in values]


def percent_ticks(values: Sequence[float]) -> list[tuple[float, str]]:
    """``−10 %``, ``2.5 %``."""
    gap = 100 * min((abs(b - a) for a, b in pairwise(values)), default=1.0)
    digits = next((d for d in range(3) if abs(round(gap, d) - gap) < gap * 0.01), 2)
    return [(v, percent(v, digits)) for v in values]


def plain_ticks(values: Sequence[float]) -> list[tuple[float, str]]:
    """``−2.5``, ``100``."""
    return [(v, axis_number(v)) for v in values]


def time_axis(sessions: Sequence[date]) -> TimeAxis:
    """Return the ticks below a chart of `sessions`."""
    return TimeAxis(session_ticks(sessions, 13), session_ticks(sessions, 5)) if sessions else TimeAxis((), ())


def session_ticks(sessions: Sequence[date], most: int) -> tuple[Tick, ...]:
    """Labels below a time axis that runs from −1 to T − 1: the finest of days, weeks, months, quarters … that fits.

    A tick stands at the first session of its period, i.e. at the close before it.
    """
    starts, name = next(found for found in _calendars(sessions) if len(found[0]) <= most)
    ticks: list[Tick] = []
    year: int | None = None
    for i in starts:
        label, strong = name(sessions[i], year)
        ticks.append(Tick(round(100 * i / len(sessions), 2), label, strong))
        year = sessions[i].year
    return tuple(tick for tick in ticks if tick.at <= 100 - 50 / most) or tuple(ticks[:1])


def _calendars(sessions: Sequence[date]) -> Iterator[tuple[list[int], Callable[[date, int | None], tuple[str, bool]]]]:
    """Positions where a period begins, and how to name it, from days up to centuries."""
    yield list(range(len(sessions))), _day_name
    yield _begins(sessions, lambda d: (d - timedelta(days=d.weekday())).toordinal(), 7), _day_name
    for months in (1, 3, 6):
        yield _begins(sessions, partial(_month_period, months), 31 * months), _month_name
    for years in (1, 2, 5, 10, 20, 50, 100, 10_000):
        yield _begins(sessions, partial(_month_period, 12 * years), 366 * years), _year_name


def _begins(sessions: Sequence[date], period: Callable[[date], int], days: int) -> list[int]:
    """Return the positions where the period changes.

    The first session too, when little of its period of `days` days is missing or it is the only one.
    """
    starts = [i for i in range(1, len(sessions)) if period(sessions[i]) != period(sessions[i - 1])]
    earlier = sessions[0] - timedelta(days=max(2, days // 8))
    return [0, *starts] if not starts or period(earlier) != period(sessions[0]) else starts


def _month_period(months: int, day: date) -> int:
    return (day.year * 12 + day.month - 1) // months


def _day_name(day: date, year: int | None) -> tuple[str, bool]:
    return f"{day.day} {MONTHS[day.month - 1]}" + (f" {day.year}" if day.year != year and year else ""), False


def _month_name(day: date, year: int | None) -> tuple[str, bool]:
    month = MONTHS[day.month - 1]
    if day.year == year:
        return month, False
    return (str(day.year), True) if day.month == 1 else (f"{month} {day.year}", True)


def _year_name(day: date, year: int | None) -> tuple[str, bool]:
    del year
    return str(day.year), False
