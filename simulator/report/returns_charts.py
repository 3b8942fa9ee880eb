"""Drawings of the `sim stats` pages: growth, drawdowns, intervals side by side, a sweep against luck."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING

import numpy as np

from simulator.analysis.returns.summary import About, Description, PairedDifference
from simulator.number_format import counted, number_of, p_value, percent, ratio, rough_percent, signed_percent
from simulator.report import charts, drawing
from simulator.report.charts import Chart, Curve, Forest, Interval, Key, draw_intervals, speak
from simulator.report.drawing import Frame, Layer, Panel, Scale, Tick, TimeAxis
from simulator.stats.series import Floats

if TYPE_CHECKING:
    from simulator.analysis.returns.best_of_many import BestOfMany
    from simulator.analysis.returns.load import Returns

MOST_LINES = 8
"""Strategies with a colour of their own; further ones are drawn faint."""


def row_axis(read: Returns) -> TimeAxis:
    """Return the ticks of the time axis; row numbers where there are no dates."""
    if read.dates is not None:
        return drawing.time_axis([date.fromisoformat(str(day)[:10]) for day in read.dates])
    return TimeAxis(_row_ticks(read.sessions, 9), _row_ticks(read.sessions, 4))


def _row_ticks(rows: int, most: int) -> tuple[Tick, ...]:
    steps = drawing.steps(0, max(rows, 1), most)
    return tuple(Tick(round(100 * v / rows, 2), f"{v:g}") for v in steps if v < rows * 0.95)


def draw_growth(about: About, read: Returns, names: Sequence[str]) -> Chart | None:
    """Return what 1 became, compounded, on a log axis; None where no strategy compounds."""
    from simulator.stats.drawdowns import path
    from simulator.stats.series import Undefined

    curves = []
    for css, name in _style(names):
        first, values = _history(read, name)
        value = path(values)
        if not isinstance(value, Undefined):
            curves.append(Curve(css, name, value, first))
    if not curves:
        return None
    panel, log = charts.draw_growth(curves, read.sessions, 300)
    keys = tuple(Key(curve.css, curve.name, signed_percent(curve.growth)) for curve in curves)
    scale = "logarithmic" if log else "linear"
    spoken = f"Value of 1 invested, {scale} axis, {_between(about)}. Total: {speak(keys)}"
    return Chart(panel, _shorten(keys), spoken)


def draw_underwater(about: About, read: Returns, names: Sequence[str]) -> Chart | None:
    """Return the distance from the highest close so far; None where no strategy compounds."""
    from simulator.stats.drawdowns import underwater
    from simulator.stats.series import Undefined

    falls = []
    for css, name in _style(names):
        first, values = _history(read, name)
        fall = underwater(values)
        if not isinstance(fall, Undefined):
            falls.append(Curve(css, name, fall, first))
    if not falls:
        return None
    keys = tuple(Key(fall.css, fall.name, percent(fall.path.min())) for fall in falls)
    spoken = f"Drawdown, {_between(about)}. Deepest: {speak(keys)}"
    return Chart(charts.draw_drawdown(falls, read.sessions, 170), _shorten(keys), spoken)


def draw_sharpes(found: Description) -> Forest | None:
    """Return the Sharpe ratio of each strategy with its interval; None where all are withheld or undefined."""
    every = dict(found.strategies)
    if found.benchmark_metrics and found.about.benchmark:
        every[found.about.benchmark] = found.benchmark_metrics
    rows: list[Interval] = [
        (name, css, *(one.values.get(key) for key in ("sharpe", "sharpe_ci_low", "sharpe_ci_high")))  # type: ignore[misc]
        for (css, name), one in zip(_style(list(every)), every.values(), strict=True)
        if not one.annualised_withheld
    ]
    return _forest(rows, "Sharpe ratios with their 95 % intervals")


def draw_difference(found: PairedDifference) -> Forest | None:
    """Return both Sharpe ratios and their difference, with intervals."""
    values = found.values
    if values["sharpe_difference"] is None:
        return None
    rows: list[Interval] = []
    for css, name, key in (("s0", found.a, "sharpe_a"), ("s1", found.b, "sharpe_b")):
        alone = found.strategies[name].values
        rows.append((name, css, values[key], alone.get("sharpe_ci_low"), alone.get("sharpe_ci_high")))
    rows.append(("difference", "ink", values["sharpe_difference"], values["ci_low"], values["ci_high"]))
    return _forest(rows, "Two Sharpe ratios and their difference")


def _forest(rows: Sequence[Interval], title: str) -> Forest | None:
    from dataclasses import replace

    forest = draw_intervals(rows, "", room=0.05)
    bars = "; ".join(f"{bar.label} {bar.text}" for bar in forest.bars) if forest else ""
    return forest and replace(forest, spoken=f"{title}: {bars}.")


def draw_ranked(found: BestOfMany) -> Chart:
    """Return every Sharpe ratio, the best first, against the best of as many trials without skill."""
    rows = [(one.sharpe, one.romano_wolf_p) for one in found.configurations if one.sharpe is not None]
    rows.sort(key=lambda row: -row[0])
    value = np.array([sharpe for sharpe, _ in rows])
    chosen = np.array([p is not None and p <= 0.05 for _, p in rows], dtype=bool)
    x = np.arange(len(rows), dtype=float)
    expected = number_of(found.values["expected_maximum_sharpe"])
    lines = [
        ("luck", "Expected best without skill", expected),
        ("effective", "… of the effective trials", number_of(found.values["expected_maximum_sharpe_effective"])),
    ]
    drawn = [(css, label, level) for css, label, level in lines if level is not None]
    low, high = drawing.bounds([value, np.array([0.0, *(level for *_, level in drawn)])], room=0.08)
    frame = Frame(-0.75, len(rows) - 0.25, low, high, 300)
    edge = np.array([frame.left, frame.right])
    layers = [Layer(css, "line", edge, np.full(2, level)) for css, _, level in drawn]
    layers += [Layer("dot", "dots", x[~chosen], value[~chosen]), Layer("dot chosen", "dots", x[chosen], value[chosen])]
    keys = [Key("dot", "Configurations", counted(int((~chosen).sum()), "within luck", "within luck"))]
    if chosen.any():
        keys.insert(0, Key("dot chosen", "Romano-Wolf p ≤ 0.05", str(int(chosen.sum()))))
    keys += [Key(css, label, ratio(level)) for css, label, level in drawn]
    spoken = (
        f"Sharpe ratios of {counted(len(rows), 'configuration')}, best {ratio(value[0])}, worst {ratio(value[-1])}; "
        f"expected best without skill {ratio(expected)}; reality check p {p_value(found.reality_check_p)}."
    )
    ticks = drawing.plain_ticks(drawing.steps(low, high, 6))
    return Chart(drawing.draw([layer for layer in layers if len(layer.x)], frame, ticks), tuple(keys), spoken)


@dataclass(frozen=True)
class Histogram:
    """Bars with a labelled axis below: ticks in percent from the left."""

    panel: Panel
    ticks: tuple[Tick, ...]
    spoken: str


def draw_logits(edges: Sequence[float], counts: Sequence[int], probability: float | None) -> Histogram:
    """Return the ranks out of sample of the best in sample, as logits; `probability` is that of 0 or less.

    Bins at and below 0 are as many as those above.
    """
    at, count = np.array(edges), np.array(counts, dtype=float)
    share = count / count.sum()
    x, y, half = np.repeat(at, 2)[1:-1], np.repeat(share, 2), len(count)
    frame = Frame(float(at[0]), float(at[-1]), 0.0, float(share.max()) * 1.08, 180)
    layers = [Layer("bars worse", "area", x[:half], y[:half]), Layer("bars", "area", x[half:], y[half:])]
    levels = [v for v in drawing.steps(0.0, frame.high, 4) if v > 0.0]
    ticks = drawing.percent_ticks(levels) if len(levels) > 1 else [(levels[0], rough_percent(levels[0]))]
    spoken = (
        f"Logits of the rank out of sample over {int(count.sum())} splits; {percent(probability)} at or below 0, the "
        "lower half."
    )
    return Histogram(drawing.draw(layers, frame, ticks), Scale(frame.left, frame.right).ticks(9), spoken)


def _style(names: Sequence[str]) -> list[tuple[str, str]]:
    return [(f"s{i}" if i < MOST_LINES else "faint", name) for i, name in enumerate(names)]


def _shorten(keys: Sequence[Key]) -> tuple[Key, ...]:
    coloured = tuple(key for key in keys if key.css != "faint")
    faint = len(keys) - len(coloured)
    return (*coloured, Key("faint", f"{faint} more")) if faint else coloured


def _history(read: Returns, name: str) -> tuple[int, Floats]:
    """Return the row of the first return, and the returns to the last."""
    values = read.columns[name]
    there = np.flatnonzero(np.isfinite(values))
    return int(there[0]), values[there[0] : there[-1] + 1]


def _between(about: About) -> str:
    span = about.span
    return f"{span['from']} to {span['to']}" if span["from"] else counted(span["sessions"], "session")
