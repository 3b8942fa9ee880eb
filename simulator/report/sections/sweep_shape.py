"""Shape of a sweep: slices through it by one parameter, small maps by two, and its members across all parameters."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from simulator.evidence.sweep_reader import RATIO, SweepEvidence, shorten
from simulator.number_format import counted, ratio, whole
from simulator.report import drawing
from simulator.report.charts import Key
from simulator.report.drawing import Frame, Layer, Panel, Tick
from simulator.report.sections.sweep_members import Axis, Members, medians_by
from simulator.stats.series import Floats

LINES = 1_000
"""Members drawn across the parameters."""
FIFTHS = 5
MOST_MAPS = 12
TONES = 6
"""Steps of colour on either side of zero."""


@dataclass(frozen=True)
class Slice:
    """Ratios by the values of one parameter: the median of all members, four fifths of them, and the line through the
    best member."""

    name: str
    panel: Panel
    ticks: tuple[Tick, ...]
    spoken: str


@dataclass(frozen=True)
class SmallMap:
    """Median ratios by two parameters at one value of a third: an SVG of `columns` × `rows` squares."""

    title: str
    place: int
    columns: int
    rows: int
    paths: str


@dataclass(frozen=True)
class Shape:
    """Slices; small maps by the first two parameters, one for each value of the third; lines across all parameters, of
    which the script highlights one."""

    slices: tuple[Slice, ...]
    keys: tuple[Key, ...]
    maps: tuple[SmallMap, ...]
    third: str
    lines: Panel | None
    verticals: tuple[tuple[Tick, str, str], ...]
    note: str
    bounds: tuple[float, float]


def compose(sweep: SweepEvidence, members: Members) -> Shape:
    """Return the section; parts of it are empty with fewer than two parameters that differ."""
    values, axes = sweep.measures[RATIO], members.axes
    finite = values[np.isfinite(values)]
    low, high = drawing.bounds([finite]) if len(finite) else (0.0, 1.0)
    keys = (
        Key("w252", "Median"),
        Key("band", "Four fifths of the members"),
        Key("lead", f"Through member {sweep.best}", ratio(values[sweep.best])),
    )
    slices = tuple(_slice(axis, axes, values, sweep.best, (low, high)) for axis in axes)
    several = len(axes) > 1 and len(finite) > 0
    return Shape(
        slices=slices,
        keys=keys,
        maps=_small_maps(axes, values) if several else (),
        third=axes[2].name if len(axes) > 2 else "",
        lines=_draw_lines(axes, values, members, (low, high)) if several else None,
        verticals=_verticals(axes, (low, high)),
        note=_describe_lines(members),
        bounds=(low, high),
    )


def _slice(axis: Axis, axes: Sequence[Axis], values: Floats, best: int, bounds: tuple[float, float]) -> Slice:
    count = len(axis.labels)
    median = medians_by(axis.places, values, count)
    parts = [values[(axis.places == n) & np.isfinite(values)] for n in range(count)]
    tenth, ninetieth = (np.array([np.quantile(part, q) if len(part) else np.nan for part in parts]) for q in (0.1, 0.9))
    alike = np.ones(len(values), dtype=bool)
    for one in axes:
        alike &= (one is axis) | (one.places == one.places[best])
    through = medians_by(axis.places[alike], values[alike], count)
    x = np.arange(count, dtype=np.float64)
    low, high = min(0.0, bounds[0]), max(0.0, bounds[1])
    there = np.isfinite(tenth)
    band = Layer("band", "line", np.r_[x[there], x[there][::-1]], np.r_[ninetieth[there], tenth[there][::-1]])
    layers = [band, Layer("w252", "line", x, median), Layer("lead", "line", x, through)]
    frame = Frame(-0.5, count - 0.5, low, high, 150)
    panel = drawing.draw(layers, frame, drawing.plain_ticks(drawing.steps(low, high, 4)))
    every = math.ceil(count / max(2, min(6, 40 // max(map(len, axis.labels)))))
    ticks = tuple(Tick(round(100 * (n + 0.5) / count, 2), axis.labels[n]) for n in range(0, count, every))
    told = [n for n in range(count) if math.isfinite(median[n])]
    ends = f"from {ratio(float(np.nanmin(median)))} to {ratio(float(np.nanmax(median)))}" if told else "none"
    best_at = axis.labels[max(told, key=lambda n: median[n])] if told else ""
    own = axis.labels[axis.places[best]]
    spoken = f"{axis.name}: median ratios {ends}, the highest at {best_at}; the best member at {own}."
    return Slice(axis.name, panel, ticks, spoken)


def _small_maps(axes: Sequence[Axis], values: Floats) -> tuple[SmallMap, ...]:
    across, up, *others = axes
    size = len(across.labels) * len(up.labels)
    cell = up.places * len(across.labels) + across.places
    if not others:
        return (_small_map("", -1, across, up, medians_by(cell, values, size), float(np.nanmax(np.abs(values)))),)
    third = others[0]
    count = len(third.labels)
    picked = sorted({round(n) for n in np.linspace(0, count - 1, min(count, MOST_MAPS)).tolist()})
    medians = {n: medians_by(cell[third.places == n], values[third.places == n], size) for n in picked}
    largest = max(float(np.nanmax(np.abs(one))) for one in medians.values() if np.isfinite(one).any())
    return tuple(
        _small_map(f"{third.name} {third.labels[n]}", n, across, up, one, largest) for n, one in medians.items()
    )


def _small_map(title: str, place: int, across: Axis, up: Axis, medians: Floats, largest: float) -> SmallMap:
    columns, rows = len(across.labels), len(up.labels)
    tones: dict[str, list[str]] = {}
    for n, value in enumerate(medians.tolist()):
        if math.isfinite(value):
            step = min(TONES, 1 + int(abs(value) / (largest or 1.0) * TONES))
            x, y = n % columns, rows - 1 - n // columns
            tones.setdefault(f"{'gain' if value >= 0 else 'loss'} t{step}", []).append(f"M{x} {y}h1v1h-1z")
    paths = "".join(f'<path class="{tone}" d="{"".join(squares)}"/>' for tone, squares in sorted(tones.items()))
    return SmallMap(title, place, columns, rows, paths)


def _draw_lines(axes: Sequence[Axis], values: Floats, members: Members, bounds: tuple[float, float]) -> Panel:
    """Return the lines of members, those with the highest ratios in front."""
    every = max(1, math.ceil(len(members.shown) / LINES))
    ranked = members.ranked[np.isin(members.ranked, members.shown)]
    ranked = ranked[np.isfinite(values[ranked])]
    drawn = np.r_[ranked[: LINES // 10], ranked[LINES // 10 :: every]][::-1]
    # From 0 at the foot to 1: where the lines cross each axis, and the ratios.
    places = [axis.places[drawn] / max(1, len(axis.labels) - 1) for axis in axes]
    heights, layers = np.column_stack([*places, (values[drawn] - bounds[0]) / (bounds[1] - bounds[0])]), []
    gap = np.full((len(drawn), 1), np.nan)
    x = np.tile(np.r_[np.arange(len(axes) + 1, dtype=np.float64), np.nan], (len(drawn), 1))
    y = np.hstack([heights, gap])
    edges = np.linspace(0, len(drawn), FIFTHS + 1).astype(int)
    for n, (start, stop) in enumerate(pairwise(edges.tolist())):
        if stop > start:
            layers.append(Layer(f"across f{n}", "line", np.nan_to_num(x[start:stop].ravel()), y[start:stop].ravel()))
    return drawing.draw(layers, Frame(0, len(axes), 0.0, 1.0, 280))


def _verticals(axes: Sequence[Axis], bounds: tuple[float, float]) -> tuple[tuple[Tick, str, str], ...]:
    """Return (name at its place, label at the head, label at the foot) of each vertical."""
    ends = [(axis.name, shorten(axis.labels[-1], 12), shorten(axis.labels[0], 12)) for axis in axes]
    ends.append(("ratio", ratio(bounds[1]), ratio(bounds[0])))
    return (
        tuple((Tick(round(100 * n / len(axes), 2), name), top, foot) for n, (name, top, foot) in enumerate(ends))
        if axes
        else ()
    )


def _describe_lines(members: Members) -> str:
    drawn = min(len(members.shown), LINES)
    if drawn == len(members.ranked):
        return f"Each line is one of {counted(drawn, 'member')}."
    return f"The {whole(LINES // 10)} best of {counted(len(members.ranked), 'member')}, and others evenly by rank."
