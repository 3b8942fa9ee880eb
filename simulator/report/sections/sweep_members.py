"""Members of a sweep on its page: the numbers its map, its parallel coordinates and its table are made of.

settings ──► an axis for each parameter, its values or ranges of them ──► cells of a map for each two
members  ──► all up to MOST, else the best, those the maps need, and every nth of the rest: noted on the page
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simulator.analysis.plateau import Plateau, is_ordered
from simulator.evidence.sweep_reader import RATIO, SweepEvidence, shorten
from simulator.number_format import counted, whole, write_setting
from simulator.report.sections.equity_and_trades import embed_json
from simulator.report.sweep_measures import MEASURES, Measure
from simulator.stats.series import Floats, Integers

MOST = 8_000
"""Members of a page."""
CELLS = 3_000
"""Cells of all maps together, and the best of each of them, where not all members are on the page."""
FINEST, COARSEST = 40, 8
"""Values of an axis before they are taken together, with one map and with many."""
BEST = 500
ON_PAPER = 20
"""Rows that are there without a script."""


@dataclass(frozen=True, eq=False)
class Axis:
    """A parameter that differs: `labels` of its values, or of ranges of them, and the label's number of each member.

    `texts` are the values as they are where a label is shorter, else empty.
    """

    name: str
    labels: tuple[str, ...]
    places: Integers
    ordered: bool
    binned: bool
    texts: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class Members:
    """Members on a page: axes, measures that are known, those `shown` by number, and all as `data` of the script.

    `rows` are the best, in words, for paper; `note` says which members are not on the page.
    """

    axes: tuple[Axis, ...]
    measures: tuple[Measure, ...]
    shown: Integers
    ranked: Integers
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    note: str
    data: str


def compose(sweep: SweepEvidence, plateau: Plateau) -> Members:
    """Return the members for the page."""
    axes = make_axes(sweep.settings)
    values = {**sweep.measures, "around": plateau.around}
    measures = tuple(one for one in MEASURES if one.key in values)
    ranked = np.argsort(-np.nan_to_num(values[RATIO], nan=-np.inf), kind="stable")
    shown, note = _choose(axes, ranked, sweep.best)
    columns = ("Member", *(axis.name for axis in axes), *(one.name for one in measures))
    rows = tuple(
        (
            str(n),
            *(shorten(write_setting(sweep.settings[axis.name][n])) for axis in axes),
            *(
                "failed" if n in sweep.failures and one.key == RATIO else one.write(values[one.key][n])
                for one in measures
            ),
        )
        for n in ranked[:ON_PAPER].tolist()
    )
    data = {
        "axes": [
            {"name": axis.name, "labels": axis.labels, "texts": axis.texts or None, "ordered": axis.ordered}
            for axis in axes
        ],
        "measures": [{"key": one.key, "name": one.name, "unit": one.unit, "better": one.better} for one in measures],
        "numbers": shown.tolist(),
        "places": [axis.places[shown].tolist() for axis in axes],
        "settings": {
            axis.name: [write_setting(sweep.settings[axis.name][n]) for n in shown] for axis in axes if axis.binned
        },
        "values": [_round_measures(values[one.key][shown]) for one in measures],
        "medians": _medians(axes, measures, values) if note else None,
        "failures": {n: sweep.failures[n][:300] for n in shown[: 10 * BEST].tolist() if n in sweep.failures},
        "failed": [n for n in shown.tolist() if n in sweep.failures],
        "members": len(ranked),
        "best": sweep.best,
        "command": sweep.base_command,
        "fixed": {name: write_setting(value) for name, value in sweep.fixed.items()},
    }
    return Members(axes, measures, shown, ranked, columns, rows, note, embed_json(data))


def make_axes(settings: Mapping[str, Sequence[Any]]) -> tuple[Axis, ...]:
    """Return an axis for each parameter of which there are two values."""
    differ = {name: column for name, column in settings.items() if len({repr(one) for one in column}) > 1}
    pairs = max(1, math.comb(len(differ), 2))
    most = max(COARSEST, min(FINEST, math.isqrt(CELLS // pairs)))
    return tuple(_make_axis(name, column, most) for name, column in differ.items())


def _make_axis(name: str, column: Sequence[Any], most: int) -> Axis:
    if not is_ordered(column):
        texts = {repr(one): write_setting(one) for one in column}
        at = {key: n for n, key in enumerate(texts)}
        places = np.array([at[repr(one)] for one in column], dtype=np.int64)
        labels = _label(tuple(texts.values()))
        whole_texts = tuple(texts.values()) if labels != tuple(texts.values()) else ()
        return Axis(name, labels, places, ordered=False, binned=False, texts=whole_texts)
    found, places = np.unique(np.asarray(column, dtype=np.float64), return_inverse=True)
    if len(found) <= most:
        written = {float(one): write_setting(one) for one in column}
        return Axis(name, tuple(written[value] for value in found.tolist()), places, ordered=True, binned=False)
    # Ranges of equally many values each, the last of what is left.
    size = math.ceil(len(found) / most)
    lows, highs = found[::size].tolist(), [*found[size - 1 :: size].tolist(), float(found[-1])]
    ends = list(zip(lows, highs, strict=False))
    digits = next(n for n in range(3, 18) if n == 17 or len({f"{one:.{n}g}" for one in lows}) == len(lows))
    ranges = tuple(
        " to ".join(dict.fromkeys(np.format_float_positional(float(f"{value:.{digits}g}"), trim="-") for value in pair))
        for pair in ends
    )
    return Axis(name, ranges, places // size, ordered=True, binned=True)


def _label(texts: Sequence[str]) -> tuple[str, ...]:
    """Return what a map has room for of each text; those that begin alike are numbered."""
    short = [shorten(one) for one in texts]
    alike, seen, labels = Counter(short), Counter[str](), []
    for one in short:
        seen[one] += 1
        labels.append(one if alike[one] == 1 else f"{one[:13]}… #{seen[one]}")
    return tuple(labels)


def _choose(axes: Sequence[Axis], ranked: Integers, best: int) -> tuple[Integers, str]:
    """Return the members on the page, by number, and a sentence on the others."""
    if len(ranked) <= MOST:
        return np.sort(ranked), ""
    kept = {best, *ranked[:BEST].tolist()}
    for one, other in combinations(axes, 2):
        cells = one.places[ranked] * len(other.labels) + other.places[ranked]
        kept.update(ranked[np.unique(cells, return_index=True)[1]].tolist())
    rest = ranked[np.isin(ranked, list(kept), invert=True)]
    every = math.ceil(len(rest) / max(1, MOST - len(kept)))
    kept.update(rest[::every].tolist())
    note = (
        f"{whole(len(kept))} of {whole(len(ranked))} members are on this page: the {whole(BEST)} with the highest "
        f"ratio, the best of each cell of each map, and every {every}th of the others by rank. The folder has all."
    )
    return np.array(sorted(kept), dtype=np.int64), note


def _round_measures(values: Floats) -> list[float | None]:
    """Ten significant digits: a page that rounds to two or three gives what is rounded here."""
    return [float(f"{one:.10g}") if math.isfinite(one) else None for one in values.tolist()]


def _medians(
    axes: Sequence[Axis], measures: Sequence[Measure], values: Mapping[str, Floats]
) -> dict[str, list[list[float | None]]]:
    """{"i,j": for each measure the median over all members of each cell, row by row}."""
    found = {}
    for (i, one), (j, other) in combinations(enumerate(axes), 2):
        cell = one.places * len(other.labels) + other.places
        count = len(one.labels) * len(other.labels)
        found[f"{i},{j}"] = [_round_measures(medians_by(cell, values[measure.key], count)) for measure in measures]
    return found


def medians_by(cell: NDArray[np.integer[Any]], values: Floats, count: int) -> Floats:
    """Return (count,) the median of the finite `values` of each cell, NaN without one."""
    there = np.isfinite(values)
    cell, values = cell[there], values[there]
    order = np.lexsort((values, cell))
    ranked, size = values[order], np.bincount(cell, minlength=count)
    start = np.cumsum(size) - size
    found = np.full(count, np.nan)
    some = size > 0
    low, high = start[some] + (size[some] - 1) // 2, start[some] + size[some] // 2
    found[some] = (ranked[low] + ranked[high]) / 2
    return found


def describe_failures(sweep: SweepEvidence) -> str:
    """``4 of 12 members failed: …``, with the first reason; empty where none did."""
    failed, count = sweep.facts["counts"]["failed"], counted(sweep.facts["counts"]["members"], "member")
    why = f": {sweep.failures[min(sweep.failures)]}" if sweep.failures else "."
    return f"{whole(failed)} of {count} failed{why}" if failed else ""


def describe_member(sweep: SweepEvidence, number: int) -> str:
    """``fast 15, slow 20``"""
    return ", ".join(f"{name} {shorten(write_setting(column[number]))}" for name, column in sweep.settings.items())
