"""Ratios of all members of a sweep against luck, and what became of those chosen in one half of the history."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from simulator.analysis.verdict import FEWEST_DECISIONS
from simulator.evidence.sweep_reader import RATIO, SweepEvidence
from simulator.evidence.sweep_records import OverfittingRecord
from simulator.number_format import counted, number_of, p_value, percent, ratio, rough_percent, whole, years
from simulator.numerics import exp
from simulator.report import drawing
from simulator.report.catalogue import Format, tenths
from simulator.report.charts import Chart, Key
from simulator.report.drawing import Frame, Layer, Scale, Tick
from simulator.report.returns_charts import Histogram, draw_logits
from simulator.report.sections.sweep_members import describe_member
from simulator.report.table import Cell, Column, Table, make_row, make_table
from simulator.stats.series import Floats

MOST_BINS = 48
LISTED = 12
"""Members of the confidence set that are named."""


@dataclass(frozen=True)
class Scaled:
    """A chart with a labelled axis below: ticks in percent from the left."""

    chart: Chart
    ticks: tuple[Tick, ...]


@dataclass(frozen=True)
class Luck:
    """The distribution of all ratios, figures of the selection, the fate of those chosen in sample, the members that
    cannot be told from the best."""

    ratios: Scaled | None
    figures: Table
    logits: Histogram | None
    halves: Scaled | None
    overfitting: str
    confidence: tuple[str, ...]


def compose(sweep: SweepEvidence) -> Luck:
    """Return the section."""
    found = sweep.facts["inference"]["overfitting"]
    return Luck(
        ratios=_draw_ratios(sweep),
        figures=tabulate_selection(sweep),
        logits=draw_logits(found["logits"]["edges"], found["logits"]["counts"], found["pbo"]) if found else None,
        halves=_draw_halves(found) if found else None,
        overfitting=describe_overfitting(sweep),
        confidence=describe_confidence(sweep),
    )


def _draw_ratios(sweep: SweepEvidence) -> Scaled | None:
    """Return the histogram of the ratios and what as many members without skill would show."""
    values, facts = _select_ratios(sweep), sweep.facts["inference"]
    if len(values) < 2:
        return None
    spread, largest = 1 / math.sqrt(facts["years"]), float(values.max())
    own = float(sweep.measures[RATIO][sweep.best])
    top = float(facts["null_best"][95])
    low, high = drawing.bounds([values, np.array([-2 * spread, 2 * spread, top])])
    bins = int(min(MOST_BINS, 8 + math.sqrt(len(values))))
    counts, edges = np.histogram(values, bins=bins, range=(low, high))
    grid = np.linspace(low, high, 161)
    density = np.asarray(exp(-((grid / spread) ** 2) / 2)) / (spread * math.sqrt(2 * math.pi))
    curve = density * len(values) * (high - low) / bins
    tall = 1.12 * max(float(counts.max()), float(curve.max()))
    lines = [
        *([("best", f"Member {sweep.best}", own)] if math.isfinite(own) else []),
        *([("largest", "Largest", largest)] if own != largest else []),
        ("luck", "Best of as many without skill, expected", facts["expected_maximum"]),
        ("effective", "… 95 % stay below", top),
    ]
    layers = [Layer("bars", "area", np.repeat(edges, 2)[1:-1], np.repeat(counts.astype(float), 2))]
    layers += [Layer("coin", "line", grid, curve)]
    layers += [Layer(css, "line", np.full(2, at), np.array([0.0, tall])) for css, _, at in lines]
    keys = (
        Key("bars", counted(len(values), "member")),
        Key("coin", "All of them without skill", f"spread {ratio(spread)}"),
        *(Key(css, label, ratio(at)) for css, label, at in lines),
    )
    spoken = (
        f"Ratios beyond exposure of {counted(len(values), 'member')}, from {ratio(float(values.min()))} to "
        f"{ratio(largest)}, median {ratio(float(np.median(values)))}. The best of as many without skill is expected at "
        f"{ratio(facts['expected_maximum'])} and stays below {ratio(top)} 95 % of the time."
    )
    frame = Frame(low, high, 0.0, tall, 240)
    ticks = drawing.plain_ticks([v for v in drawing.steps(0.0, tall, 5) if v > 0 and v == int(v)])
    return Scaled(Chart(drawing.draw(layers, frame, ticks), keys, spoken), Scale(low, high).ticks(9))


def _select_ratios(sweep: SweepEvidence) -> Floats:
    """Return the ratios of the members that can be the best; nearly idle ones have vast ones that mean nothing."""
    measures, values = sweep.measures, sweep.measures[RATIO]
    able = np.isfinite(values)
    if sweep.facts["counts"]["tested"] and {"decisions", "held"} <= {*measures}:
        able &= (measures["decisions"] >= FEWEST_DECISIONS) & (measures["held"] == 1)
    return np.asarray(values[able])


def tabulate_selection(sweep: SweepEvidence) -> Table:
    """Return what is held against the best."""
    facts, counts, test = sweep.facts["inference"], sweep.facts["counts"], sweep.facts["inference"]["overfitting"]
    besides = {
        "failed": counts["failed"],
        "held nothing": counts["idle"],
        "decided too seldom": counts["few_decisions"],
    }
    others = ", ".join(f"{whole(count)} {words}" for words, count in besides.items() if count)
    needed = facts["minimum_backtest_years"]
    figures: tuple[tuple[str, float | None, Format, str, str], ...] = (
        ("Members", counts["members"], whole, others or "each of them is a trial", ""),
        ("Effective members", facts["effective"], tenths, "independent ones they amount to", ""),
        ("Best ratio", facts["best_ratio"], ratio, "a year, beyond its exposure", "best_ratio"),
        ("Expected best without skill", facts["expected_maximum"], ratio, "a year, of as many as can be judged", ""),
        ("… of the effective members", facts["expected_maximum_effective"], ratio, "", ""),
        ("Reality check p", facts["reality_check_p"], p_value, "of the largest ratio (White 2000)", ""),
        ("p of the best", facts["p"], p_value, "Romano-Wolf, as one of all members", ""),
        ("Better than luck", facts["significant"], whole, "members with such a p of at most 0.05", ""),
        ("Deflated ratio", facts["deflated"], percent, "probability of skill as the best of all", "deflated"),
        ("… as published", facts["dsr"], percent, "near copies raise it; it decides nothing", "dsr"),
        ("… by effective members", facts["dsr_effective"], percent, "", "dsr_effective"),
        ("PBO", test and test["pbo"], percent, _blocks(test), "overfitting"),
        ("Loss out of sample", test and test["loss"], percent, "splits in which the chosen lost", "overfitting"),
        ("In sample to out of sample", test and test["slope"], ratio, "slope; 1 keeps what was chosen", "slope"),
        ("Minimum backtest length", needed, years, f"there are {tenths(facts['years'])}", "minimum_backtest_years"),
    )
    rows = []
    for name, value, write, hint, key in figures:
        why = str(facts["reasons"].get(key, "")) if number_of(value) is None else ""
        rows.append(make_row(name, (Cell(write(value), why, value=number_of(value)),), hint))
    return make_table("Selection", [Column("")], rows, reasons="inline", css="results")


def _blocks(test: OverfittingRecord | None) -> str:
    if test is None:
        return ""
    dropped = f", {counted(test['dropped'], 'oldest session')} dropped" if test["dropped"] else ""
    return f"{test['blocks']} blocks, {whole(test['splits'])} splits{dropped}; noise gives about 50 %"


def describe_overfitting(sweep: SweepEvidence) -> str:
    """Return what became out of sample of the best in sample; empty where nothing was chosen."""
    test = sweep.facts["inference"]["overfitting"]
    if test is None:
        return ""
    return (
        f"Choosing the best in one half of the history put it in the lower half of the other "
        f"{rough_percent(test['pbo'])} of the time, and lost money there {rough_percent(test['loss'])} of the time."
    )


def _draw_halves(test: OverfittingRecord) -> Scaled | None:
    """Return a point for each split: the ratio of the member chosen in one half, and its ratio in the other."""
    points = np.array(test["scatter"], dtype=float).reshape(-1, 2)
    points = points[np.isfinite(points).all(axis=1)]
    if len(points) < 2:
        return None
    x, y = points.T
    left, right = drawing.bounds([x])
    low, high = drawing.bounds([y, np.zeros(1)])
    edge, keys = np.array([left, right]), [Key("dot", "Splits", whole(test["splits"]))]
    layers = [Layer("dot", "dots", x, y)]
    slope, intercept = test["slope"], test["intercept"]
    if slope is not None and intercept is not None:
        layers.append(Layer("luck", "line", edge, intercept + slope * edge))
        keys.append(Key("luck", "Line through them", f"slope {ratio(slope)}"))
    spoken = (
        f"Ratio out of sample by ratio in sample of the member chosen, {whole(len(x))} of "
        f"{counted(test['splits'], 'split')}: median {ratio(float(np.median(x)))} in sample, "
        f"{ratio(float(np.median(y)))} out of sample."
    )
    panel = drawing.draw(layers, Frame(left, right, low, high, 220), drawing.plain_ticks(drawing.steps(low, high, 5)))
    return Scaled(Chart(panel, tuple(keys), spoken), Scale(left, right).ticks(7))


def describe_confidence(sweep: SweepEvidence) -> tuple[str, ...]:
    """Return which members cannot be told from the best; empty where no set was made."""
    found = sweep.facts["inference"]["confidence_set"]
    if found is None:
        return ()
    few = found["among"] < (sweep.facts["counts"]["tested"] or sweep.facts["counts"]["members"])
    among = f" of the {whole(found['among'])} best by Romano-Wolf p" if few else ""
    listed, size = found["members"][:LISTED], found["size"]
    named = "; ".join(f"{n} ({describe_member(sweep, n)})" for n in listed)
    more = f" and {whole(size - len(listed))} more" if size > len(listed) else ""
    return (
        f"{counted(size, 'member')}{among} cannot be told from the best (model confidence set, "
        f"{percent(1 - found['level'], 0)}): {named}{more}.",
    )
