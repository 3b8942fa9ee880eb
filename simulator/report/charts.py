"""Which curves go into which figure, and what a reader who cannot see them is told."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

import numpy as np

from simulator.analysis.verdict import Verdict, complete, inferred, judged, withheld
from simulator.evidence.reader import Evidence, Series
from simulator.number_format import MINUS, counted, dollars, number_of, percent, ratio, whole
from simulator.report import figures
from simulator.report.figures import Frame, Layer, Panel
from simulator.report.tables import drawdown

BENCHMARKS = (("buy_and_hold", "hold", "Buy-and-hold"), ("equal_weight", "equal", "Equal-weight"))
FORCED = ("stop", "take_profit", "margin_call")


@dataclass(frozen=True)
class Key:
    """An entry of a legend: CSS class, name, and the number that goes with it."""

    name: str
    label: str
    value: str = ""


@dataclass(frozen=True)
class Chart:
    """A panel with its legend, the sentence that replaces it for the ear, and a note below it."""

    panel: Panel
    keys: tuple[Key, ...]
    spoken: str
    note: str = ""


def equity(evidence: Evidence) -> Chart:
    """Dollars of the strategy and both benchmarks on a log axis; on a linear one where an account reaches zero."""
    cash = float(evidence.run["cash"])
    curves = [("strategy", str(evidence.run["strategy"]), evidence.equity["equity"])]
    curves += [(css, label, evidence.equity[column]) for column, css, label in BENCHMARKS if column in evidence.equity]
    curves = [curve for curve in curves if np.isfinite(curve[2]).any()]
    values = [np.array([cash]), *(v for _, _, v in curves)]
    log = min(float(np.nanmin(v)) for v in values) > 0
    low, high = figures.bounds(values, log)
    ticks = figures.dollar_ticks(figures.log_steps(low, high, 6) if log else figures.steps(low, high, 6))
    frame = Frame(-1, len(evidence.sessions) - 1, low, high, 320, log)
    layers = [figures.line(css, v, start=cash) for css, _, v in reversed(curves)]
    keys = tuple(Key(css, label, _grown(v, cash)) for css, label, v in curves)
    scale = "logarithmic" if log else "linear"
    spoken = f"Equity on a {scale} axis, {_span(evidence)}, from {dollars(cash)}: " + _spoken(keys)
    note = "" if log else "The axis is linear: an account reached zero or less, which has no logarithm."
    return Chart(figures.draw(layers, frame, ticks), keys, spoken, note)


def underwater(evidence: Evidence) -> Chart:
    """Fraction below the highest close so far."""
    cash = float(evidence.run["cash"])
    own = drawdown(evidence.equity["equity"], cash)
    layers, keys = [], [_deepest("strategy", str(evidence.run["strategy"]), own, evidence.sessions)]
    shown = [own, np.array([0.0, -0.01])]
    for column, css, label in BENCHMARKS[:1]:
        if column in evidence.equity and np.isfinite(evidence.equity[column]).any():
            other = drawdown(evidence.equity[column], cash)
            layers.append(figures.line(css, other, start=0.0))
            keys.append(_deepest(css, label, other, evidence.sessions))
            shown.append(other)
    low = figures.bounds(shown)[0]
    outline = figures.line("strategy", own, start=0.0)
    fill = Layer("strategy fill", "area", outline.x, outline.y)
    frame = Frame(-1, len(evidence.sessions) - 1, low, 0.0, 150)
    ticks = figures.percent_ticks(figures.steps(low, 0.0, 4))
    spoken = f"Drawdown, {_span(evidence)}. Deepest: " + _spoken(keys)
    return Chart(figures.draw([fill, *layers, outline], frame, ticks), tuple(keys), spoken)


def exposure(evidence: Evidence) -> Chart:
    """Gross and net exposure as fractions of equity."""
    gross, net = evidence.equity["gross"], evidence.equity["net"]
    low, high = figures.bounds([gross, net, np.array([0.0, 0.1])], room=0.03)
    low = low if float(np.nanmin(np.r_[net, gross, 0.0])) < 0 else 0.0
    frame = Frame(-1, len(evidence.sessions) - 1, low, high, 110)
    keys = tuple(
        Key(css, label, f"mean {percent(_mean(v))}")
        for css, label, v in (("gross", "Gross", gross), ("net", "Net", net))
    )
    layers = [figures.held("gross fill", gross), figures.line("net", net)]
    ticks = figures.percent_ticks(figures.steps(low, high, 4))
    return Chart(figures.draw(layers, frame, ticks), keys, f"Exposure, {_span(evidence)}: " + _spoken(keys))


@dataclass(frozen=True)
class Holding:
    """The weight of one symbol over time, with its trades."""

    symbol: str
    panel: Panel
    summary: str


def holdings(evidence: Evidence) -> tuple[Holding, ...]:
    """One panel per symbol, all on the same scale."""
    if not evidence.weights:
        return ()
    low, high = figures.bounds([np.array([0.0, 0.05]), *evidence.weights.values()], room=0.0)
    frame = Frame(-1, len(evidence.sessions) - 1, low, high, 66, lane=True)
    ticks = figures.percent_ticks(figures.steps(low, high, 3))
    row = {day.isoformat(): i for i, day in enumerate(evidence.sessions)}
    return tuple(
        Holding(
            symbol,
            figures.draw([figures.held("weight", weight), *_markers(evidence, symbol, row)], frame, ticks),
            _traded(evidence, symbol, weight),
        )
        for symbol, weight in evidence.weights.items()
    )


def _markers(evidence: Evidence, symbol: str, row: Mapping[str, int]) -> list[Layer]:
    spots: dict[str, set[float]] = {"buys": set(), "sells": set(), "exits": set()}
    for fill in evidence.fills:
        at = row.get(str(fill.session))
        if fill.symbol == symbol and at is not None:
            kind = "exits" if fill.why in FORCED else "buys" if fill.quantity > 0 else "sells"
            spots[kind].add(at - 0.5)
    shapes = (("buys", "buys"), ("sells", "sells"), ("exits", "exits"))
    found = [(name, shape, np.array(sorted(spots[name]))) for name, shape in shapes if spots[name]]
    return [Layer(name, shape, x, np.zeros_like(x)) for name, shape, x in found]  # type: ignore[arg-type]


def _traded(evidence: Evidence, symbol: str, weight: Series) -> str:
    fills = [f for f in evidence.fills if f.symbol == symbol]
    bought = sum(1 for f in fills if f.quantity > 0)
    forced = sum(1 for f in fills if f.why in FORCED)
    closed = f", {whole(forced)} by stop, target or margin call" if forced else ""
    trades = f"{counted(bought, 'buy')}, {counted(len(fills) - bought, 'sale')}{closed}" if fills else "no trades"
    return f"mean {percent(_mean(weight))}, last {percent(_last(weight))}; {trades}"


@dataclass(frozen=True)
class IntervalPlot:
    """The Sharpe interval on a line: positions in percent from the left."""

    low: float
    high: float
    point: float
    zero: float
    marks: tuple[tuple[str, str, float], ...]
    ticks: tuple[figures.Tick, ...]
    spoken: str


def sharpe_interval(run: Mapping[str, Any], verdict: Verdict) -> IntervalPlot | None:
    """What the verdict rests on: the interval beside zero and the benchmarks' Sharpe ratios.

    None when withheld, undefined, or not the point (nothing held, everything lost). Benchmarks are those of all
    sessions, so that they are left out where only those after the models' cut-off are judged.
    """
    part = judged(run)
    if part is None or verdict.settled or withheld(run):
        return None
    sharpe, low, high = (inferred(part, key) for key in ("sharpe", "sharpe_ci_low", "sharpe_ci_high"))
    if sharpe is None or low is None or high is None:
        return None
    benchmarks = run["benchmarks"] if complete(run, part) else {}
    others = [(css, label, number_of((benchmarks.get(key) or {}).get("sharpe"))) for key, css, label in BENCHMARKS]
    known = [(css, label, value) for css, label, value in others if value is not None]
    left, right = figures.bounds([np.array([low, high, sharpe, 0.0, *(v for _, _, v in known)])], room=0.06)

    def across(value: float) -> float:
        return round(100 * (value - left) / (right - left), 2)

    ticks = tuple(figures.Tick(across(v), f"{MINUS if v < 0 else ''}{abs(v):g}") for v in figures.steps(left, right, 7))
    marks = tuple((css, f"{label} {ratio(value)}", across(value)) for css, label, value in known)
    return IntervalPlot(across(low), across(high), across(sharpe), across(0.0), marks, ticks, verdict.headline)


def _grown(values: Series, cash: float) -> str:
    return f"{dollars(_last(values))} ({percent(_last(values) / cash - 1, sign=True)})"


def _deepest(css: str, label: str, falls: Series, sessions: Sequence[date]) -> Key:
    if not np.isfinite(falls).any():
        return Key(css, label, "n/a")
    at = int(np.nanargmin(falls))
    when = f" on {spell(sessions[at])}" if falls[at] < 0 else ""
    return Key(css, label, f"{percent(falls[at])}{when}")


def spell(day: date) -> str:
    """``2 Jan 2024``, in any locale."""
    return f"{day.day} {figures.MONTHS[day.month - 1]} {day.year}"


def _span(evidence: Evidence) -> str:
    return f"{spell(evidence.sessions[0])} to {spell(evidence.sessions[-1])}"


def _spoken(keys: Sequence[Key]) -> str:
    return "; ".join(f"{key.label} {key.value}" for key in keys) + "."


def _last(values: Series) -> float:
    finite = values[np.isfinite(values)]
    return float(finite[-1]) if len(finite) else math.nan


def _mean(values: Series) -> float:
    finite = values[np.isfinite(values)]
    return float(finite.mean()) if len(finite) else math.nan
