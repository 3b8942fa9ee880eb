"""Drawings of the `sim stats` pages: growth, drawdowns, intervals side by side, a sweep against luck."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from simulator.number_format import MINUS, counted, interval, number_of, p_value, percent, ratio
from simulator.report import figures
from simulator.report.figures import Frame, Layer, Panel, Tick

if TYPE_CHECKING:
    from simulator.analysis.returns.load import Returns

Floats = NDArray[np.float64]
Numbers = Mapping[str, Any]

MOST_LINES = 8
"""Strategies with a colour of their own; further ones are drawn faint."""


@dataclass(frozen=True)
class Key:
    """An entry of a legend: CSS class, name, and the number that goes with it."""

    name: str
    label: str
    value: str = ""


@dataclass(frozen=True)
class Chart:
    """A panel, its legend, and the sentence that replaces it for the ear."""

    panel: Panel
    keys: tuple[Key, ...]
    spoken: str


@dataclass(frozen=True)
class Bar:
    """One interval of a forest: positions in percent from the left; `low` None where there is no interval."""

    label: str
    css: str
    text: str
    point: float
    low: float | None
    high: float | None


@dataclass(frozen=True)
class Forest:
    """Intervals below each other on one axis."""

    bars: tuple[Bar, ...]
    zero: float
    ticks: tuple[Tick, ...]
    spoken: str


def axis(found: Numbers, read: Returns) -> dict[str, tuple[Tick, ...]]:
    """Ticks of the time axis on wide and on narrow screens; row numbers where there are no dates."""
    del found
    if read.dates is not None:
        days: list[date] = [date.fromisoformat(str(d)[:10]) for d in read.dates]
        return {"wide": figures.session_ticks(days, 13), "narrow": figures.session_ticks(days, 5)}
    steps = {"wide": figures.steps(0, max(read.sessions, 1), 9), "narrow": figures.steps(0, max(read.sessions, 1), 4)}
    return {
        width: tuple(Tick(round(100 * v / read.sessions, 2), f"{v:g}") for v in at if v < read.sessions * 0.95)
        for width, at in steps.items()
    }


def growth(found: Numbers, read: Returns, names: Sequence[str]) -> Chart | None:
    """What 1 became, compounded, on a log axis; None where no strategy compounds."""
    from simulator.stats.drawdowns import path
    from simulator.stats.series import Undefined

    curves = []
    for css, name in _styled(names):
        first, values = _history(read, name)
        value = path(values)
        if not isinstance(value, Undefined):
            curves.append((css, name, first, value))
    if not curves:
        return None
    log = min(float(value.min()) for *_, value in curves) > 0.0
    low, high = figures.bounds([value for *_, value in curves], log)
    at = figures.log_steps(low, high, 6) if log else figures.steps(low, high, 6)
    frame = Frame(-1, read.sessions - 1, low, high, 300, log)
    layers = [_curve(css, first, value) for css, _, first, value in reversed(curves)]
    keys = tuple(Key(css, name, percent(value[-1] - 1.0, sign=True)) for css, name, _, value in curves)
    scale = "logarithmic" if log else "linear"
    spoken = f"Value of 1 invested, {scale} axis, {_between(found)}. Total: {_spoken(keys)}"
    return Chart(figures.draw(layers, frame, [(v, f"{v:g}") for v in at]), _legend(keys), spoken)


def underwater(found: Numbers, read: Returns, names: Sequence[str]) -> Chart | None:
    """Fraction below the highest close so far."""
    from simulator.stats.drawdowns import underwater as below
    from simulator.stats.series import Undefined

    curves = []
    for css, name in _styled(names):
        first, values = _history(read, name)
        fall = below(values)
        if not isinstance(fall, Undefined):
            curves.append((css, name, first, fall))
    if not curves:
        return None
    low = figures.bounds([np.array([0.0, -0.01]), *(fall for *_, fall in curves)])[0]
    frame = Frame(-1, read.sessions - 1, low, 0.0, 170)
    layers = [_curve(css, first, fall) for css, _, first, fall in reversed(curves)]
    keys = tuple(Key(css, name, percent(fall.min())) for css, name, _, fall in curves)
    ticks = figures.percent_ticks(figures.steps(low, 0.0, 4))
    return Chart(
        figures.draw(layers, frame, ticks), _legend(keys), f"Drawdown, {_between(found)}. Deepest: {_spoken(keys)}"
    )


def sharpes(found: Numbers) -> Forest | None:
    """Sharpe ratio of each strategy with its interval; None where all are withheld or undefined."""
    every = dict(found["strategies"])
    if found.get("benchmark_metrics"):
        every[found["benchmark"]] = found["benchmark_metrics"]
    rows = [
        (name, css, values.get("sharpe"), values.get("sharpe_ci_low"), values.get("sharpe_ci_high"))
        for (css, name), values in zip(_styled(list(every)), every.values(), strict=True)
        if not values["annualised_withheld"]
    ]
    return _forest(rows, "Sharpe ratios with their 95 % intervals")


def difference(found: Numbers) -> Forest | None:
    """Both Sharpe ratios and their difference, with intervals."""
    if found["sharpe_difference"] is None:
        return None
    alone = found["strategies"]
    rows: list[tuple[str, str, Any, Any, Any]] = [
        (name, css, found[key], alone[name].get("sharpe_ci_low"), alone[name].get("sharpe_ci_high"))
        for css, name, key in (("s0", found["a"], "sharpe_a"), ("s1", found["b"], "sharpe_b"))
    ]
    rows.append(("difference", "ink", found["sharpe_difference"], found["ci_low"], found["ci_high"]))
    return _forest(rows, "Two Sharpe ratios and their difference")


def ranked(found: Numbers) -> Chart:
    """Every Sharpe ratio, the best first, against what as many trials without skill would have shown as their best."""
    known = [c for c in found["configurations"] if c["sharpe"] is not None]
    known.sort(key=lambda c: -c["sharpe"])
    value = np.array([c["sharpe"] for c in known])
    chosen = np.array([c["romano_wolf_p"] is not None and c["romano_wolf_p"] <= 0.05 for c in known], dtype=bool)
    x = np.arange(len(known), dtype=float)
    lines = [
        (css, label, number_of(found[key]))
        for css, label, key in (
            ("luck", "Expected best without skill", "expected_maximum_sharpe"),
            ("effective", "… of the effective trials", "expected_maximum_sharpe_effective"),
        )
    ]
    drawn = [(css, label, level) for css, label, level in lines if level is not None]
    low, high = figures.bounds([value, np.array([0.0, *(level for *_, level in drawn)])], room=0.08)
    frame = Frame(-0.75, len(known) - 0.25, low, high, 300)
    edge = np.array([frame.left, frame.right])
    layers = [Layer(css, "line", edge, np.full(2, level)) for css, _, level in drawn]
    layers += [_dots("dot", x[~chosen], value[~chosen]), _dots("dot chosen", x[chosen], value[chosen])]
    keys = [Key("dot", "Configurations", counted(int((~chosen).sum()), "within luck", "within luck"))]
    if chosen.any():
        keys.insert(0, Key("dot chosen", "Romano-Wolf p ≤ 0.05", str(int(chosen.sum()))))
    keys += [Key(css, label, ratio(level)) for css, label, level in drawn]
    ticks = [(v, _axis_number(v)) for v in figures.steps(low, high, 6)]
    spoken = (
        f"Sharpe ratios of {counted(len(known), 'configuration')}, best {ratio(value[0])}, worst {ratio(value[-1])}; "
        f"expected best without skill {ratio(found['expected_maximum_sharpe'])}; "
        f"reality check p {p_value(found['reality_check_p'])}."
    )
    return Chart(figures.draw([layer for layer in layers if len(layer.x)], frame, ticks), tuple(keys), spoken)


@dataclass(frozen=True)
class Histogram:
    """Bars with a labelled axis below: ticks in percent from the left."""

    panel: Panel
    ticks: tuple[Tick, ...]
    spoken: str


def logits(found: Numbers) -> Histogram | None:
    """Rank out of sample of the best in sample, as logits; below 0 is the lower half."""
    counted_logits = found["pbo_logits"]
    if counted_logits is None:
        return None
    edges, counts = np.array(counted_logits["edges"]), np.array(counted_logits["counts"], dtype=float)
    share = counts / counts.sum()
    x, y, half = np.repeat(edges, 2)[1:-1], np.repeat(share, 2), len(counts)
    frame = Frame(float(edges[0]), float(edges[-1]), 0.0, float(share.max()) * 1.08, 180)
    layers = [Layer("bars worse", "area", x[:half], y[:half]), Layer("bars", "area", x[half:], y[half:])]
    levels = [v for v in figures.steps(0.0, frame.high, 4) if v > 0.0]
    panel = figures.draw(
        layers, frame, figures.percent_ticks(levels) if len(levels) > 1 else [(levels[0], percent(levels[0], 0))]
    )
    span = frame.right - frame.left
    ticks = tuple(
        Tick(round(100 * (v - frame.left) / span, 2), _axis_number(v))
        for v in figures.steps(frame.left, frame.right, 9)
    )
    spoken = (
        f"Logits of the rank out of sample over {int(counts.sum())} splits; {percent(found['pbo'])} at or below 0, "
        "the lower half."
    )
    return Histogram(panel, ticks, spoken)


def _forest(rows: Sequence[tuple[str, str, Any, Any, Any]], title: str) -> Forest | None:
    known = [row for row in rows if number_of(row[2]) is not None]
    if not known:
        return None
    ends = [v for _, _, point, low, high in known for v in (point, low, high) if number_of(v) is not None]
    left, right = figures.bounds([np.array([0.0, *ends])], room=0.05)

    def across(value: float) -> float:
        return round(100 * (value - left) / (right - left), 2)

    bars = []
    for label, css, point, low, high in known:
        there = number_of(low) is not None and number_of(high) is not None
        text = f"{ratio(point)} ({interval(low, high)})" if there else ratio(point)
        bars.append(
            Bar(label, css, text, across(point), across(low) if there else None, across(high) if there else None)
        )
    ticks = tuple(Tick(across(v), _axis_number(v)) for v in figures.steps(left, right, 7))
    return Forest(tuple(bars), across(0.0), ticks, f"{title}: " + "; ".join(f"{b.label} {b.text}" for b in bars) + ".")


def _axis_number(value: float) -> str:
    return f"{MINUS if value < 0 else ''}{abs(value):g}"


def _styled(names: Sequence[str]) -> list[tuple[str, str]]:
    return [(f"s{i}" if i < MOST_LINES else "faint", name) for i, name in enumerate(names)]


def _legend(keys: Sequence[Key]) -> tuple[Key, ...]:
    coloured = tuple(key for key in keys if key.name != "faint")
    faint = len(keys) - len(coloured)
    return (*coloured, Key("faint", f"{faint} more")) if faint else coloured


def _history(read: Returns, name: str) -> tuple[int, Floats]:
    """The row of the first return, and the returns to the last."""
    values = read.columns[name]
    there = np.flatnonzero(np.isfinite(values))
    return int(there[0]), values[there[0] : there[-1] + 1]


def _curve(css: str, first: int, values: Floats) -> Layer:
    """A path of n + 1 points that begins at the close before row `first`."""
    at = figures.thin(values)
    return Layer(css, "line", at.astype(float) + first - 1.0, values[at])


def _dots(css: str, x: Floats, y: Floats) -> Layer:
    """Lines of no length, which round line ends turn into dots."""
    gap = np.full(len(x), math.nan)
    return Layer(css, "line", np.column_stack([x, x, x]).ravel(), np.column_stack([y, y, gap]).ravel())


def _between(found: Numbers) -> str:
    return f"{found['from']} to {found['to']}" if found["from"] else counted(found["sessions"], "session")


def _spoken(keys: Sequence[Key]) -> str:
    return "; ".join(f"{key.label} {key.value}" for key in keys) + "."
