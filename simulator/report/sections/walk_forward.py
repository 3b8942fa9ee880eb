"""Walk-forward and combinatorial cross-validation of a sweep: what was chosen in sample, and what became of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from simulator.evidence.sweep_reader import shorten
from simulator.evidence.sweep_records import CombinatorialRecord, FoldRecord, WalkForwardRecord
from simulator.number_format import (
    counted,
    dollars,
    interval,
    number_of,
    p_value,
    percent,
    ratio,
    rough_percent,
    whole,
    write_setting,
)
from simulator.report import drawing
from simulator.report.charts import Chart, Key
from simulator.report.drawing import Frame, Layer, Scale, Tick
from simulator.report.sections.sweep_luck import Scaled
from simulator.report.table import Cell, Column, Row, Table, make_row, make_table

TICKS = 5

Figure = tuple[str, str, float | None, str]
"""Label, text, number, small print."""


@dataclass(frozen=True)
class WalkForward:
    """The path of choices: sentences, figures, a row per fold, ratios in and out of sample by fold; address and command
    of the run that played it."""

    sentences: tuple[str, ...]
    figures: Table
    folds: Table
    chart: Scaled
    address: str
    command: str


@dataclass(frozen=True)
class Combinatorial:
    """The ratios of all paths, lowest first, and their figures."""

    sentence: str
    figures: Table
    chart: Scaled


def compose_walk_forward(found: WalkForwardRecord) -> WalkForward:
    """Return the section."""
    path = found["path"]
    return WalkForward(
        sentences=describe_walk_forward(found),
        figures=make_table("Out of sample", [Column("")], _figures(_measures(found)), css="results"),
        folds=tabulate_folds(found["folds"]),
        chart=_draw_folds(found["folds"]),
        address=f"../{path['folder']}/report.html" if path else "",
        command=path["command"] if path else "",
    )


def describe_walk_forward(found: WalkForwardRecord) -> tuple[str, ...]:
    """Return what was done and what came of it, in sentences for page and terminal."""
    decline, spread, path = found["degradation"], found["spread"], found["path"]
    trained = "all sessions before" if found["anchored"] else counted(found["train"], "session")
    gap = f", {whole(found['purge'])} left out between" if found["purge"] else ""
    done = (
        f"Settings were chosen on {trained} and judged on the next {whole(found['test'])}{gap}, "
        f"{counted(spread['folds'], 'time')}: a ratio of {ratio(decline['in_sample'])} where they were chosen, "
        f"{ratio(decline['out_of_sample'])} after it; the chosen did better than {rough_percent(decline['rank'])} "
        "of all members there, and chance gives half."
    )
    if path is None:
        return (done, *_sentences(found["notes"]))
    p = path["skill"]["p"] if path["skill"] else None
    played = (
        f"Played as one account the choices returned {percent(path['metrics'].get('total_return'), sign=True)}; "
        f"p {p_value(p)} for nothing beyond its own exposure, as the one trial it is."
    )
    return (done, played, *_sentences(found["notes"]))


def _sentences(notes: Sequence[str]) -> list[str]:
    return [f"{note[0].upper()}{note[1:]}." for note in notes]


def _rank(share: float | None) -> Figure:
    return "Rank of the chosen", percent(share, 0), share, "members that did worse in the tests; 50 % is chance"


def _measures(found: WalkForwardRecord) -> list[Figure]:
    decline, spread, stable = found["degradation"], found["spread"], found["stability"]
    lowest, highest = spread["lowest"], spread["highest"]
    ends = f"{ratio(lowest)} to {ratio(highest)}" if lowest is not None else ""
    changed = ", ".join(f"{name} {whole(times)}" for name, times in stable["changes_by_parameter"].items())
    rows: list[Figure] = [
        ("Ratio in sample", ratio(decline["in_sample"]), decline["in_sample"], "mean of the chosen, a year"),
        ("Ratio out of sample", ratio(decline["out_of_sample"]), decline["out_of_sample"], "of the whole path"),
        ("Kept", percent(decline["kept"], 0), decline["kept"], "of the ratio in sample"),
        _rank(decline["rank"]),
        ("Spread of folds", ratio(spread["deviation"]), spread["deviation"], ends),
        (
            "Folds that gained",
            f"{whole(spread['gaining'])} of {whole(spread['folds'])}",
            spread["gaining"],
            "beyond exposure",
        ),
        ("Changes of settings", whole(stable["changes"]), stable["changes"], changed),
        ("Distinct choices", whole(stable["distinct"]), stable["distinct"], ""),
    ]
    if (money := found["concentration"]) is not None:
        share = money["best_fold_share"]
        best = f"{percent(share, 0)} of all gains came from fold {money['best_fold'] + 1}" if share is not None else ""
        rows += [
            ("Profit", dollars(money["profit"]), money["profit"], best),
            ("… without the best fold", dollars(money["without_best_fold"]), money["without_best_fold"], ""),
            (
                "… without the ten best sessions",
                dollars(money["without_best_sessions"]),
                money["without_best_sessions"],
                "",
            ),
        ]
    return rows


def _figures(rows: Sequence[Figure]) -> list[Row]:
    return [make_row(name, (Cell(text, value=number_of(value)),), hint) for name, text, value, hint in rows]


def tabulate_folds(folds: Sequence[FoldRecord]) -> Table:
    """Return a row per fold: what was chosen, and what it did."""
    names = [*folds[0]["settings"]]
    played = folds[0]["profit"] is not None
    columns = [Column("Member"), *(Column(name) for name in names), Column("In sample"), Column("Out"), Column("Rank")]
    columns += [Column("Return"), Column("Profit")] if played else []
    rows = []
    for fold in folds:
        cells = [str(fold["member"]), *(shorten(write_setting(fold["settings"][name])) for name in names)]
        cells += [ratio(fold["in_sample"]), ratio(fold["out_of_sample"]), percent(fold["rank"], 0)]
        cells += [percent(fold["total_return"], sign=True), dollars(fold["profit"])] if played else []
        rows.append(make_row(f"{fold['test']['from']} to {fold['test']['to']}", cells))
    return make_table("Folds", columns, rows, corner="Judged on", css="folds")


def _draw_folds(folds: Sequence[FoldRecord]) -> Scaled:
    """Return the ratios of the chosen, in sample and out of sample, fold by fold."""
    inside, outside = (
        np.array([number_of(one[key]) or 0.0 for one in folds]) for key in ("in_sample", "out_of_sample")
    )
    x, count = np.arange(len(folds), dtype=float), len(folds)
    low, high = drawing.bounds([inside, outside, np.zeros(1)])
    layers = [
        Layer("luck", "line", x, inside),
        Layer("strategy", "line", x, outside),
        Layer("dot chosen", "dots", x, outside),
    ]
    keys = (
        Key("luck", "In sample", f"mean {ratio(float(inside.mean()))}"),
        Key("strategy", "Out of sample", f"mean {ratio(float(outside.mean()))}"),
    )
    panel = drawing.draw(
        layers, Frame(-0.5, count - 0.5, low, high, 220), drawing.plain_ticks(drawing.steps(low, high, 5))
    )
    named = range(count // TICKS // 2, count, -(-count // TICKS))
    ticks = tuple(Tick(100.0 * (n + 0.5) / count, folds[n]["test"]["from"][:7]) for n in named)
    spoken = (
        f"Ratio a year of the chosen in {counted(len(folds), 'fold')}, median {ratio(float(np.median(inside)))} in "
        f"sample, {ratio(float(np.median(outside)))} out of sample."
    )
    return Scaled(Chart(panel, keys, spoken), ticks)


def compose_combinatorial(found: CombinatorialRecord) -> Combinatorial:
    """Return the section."""
    ratios = np.sort([number_of(one) or 0.0 for one in found["ratios"]])
    rows: list[Figure] = [
        (
            "Splits",
            whole(found["splits"]),
            found["splits"],
            f"{whole(found['test'])} of {whole(found['folds'])} folds judged",
        ),
        ("Paths", whole(len(ratios)), len(ratios), "through all sessions"),
        ("Mean ratio", ratio(found["mean"]), found["mean"], f"from {interval(ratios[0], ratios[-1])}"),
        ("Spread", ratio(found["deviation"]), found["deviation"], "from path to path"),
        ("Paths that lost", percent(found["loss"], 0), found["loss"], "beyond exposure"),
        _rank(found["rank"]),
    ]
    return Combinatorial(
        describe_combinatorial(found),
        make_table("Paths", [Column("")], _figures(rows), css="results"),
        _draw_paths(ratios),
    )


def describe_combinatorial(found: CombinatorialRecord) -> str:
    """Return what was done and what came of it, in a sentence for page and terminal."""
    chosen, paths = whole(found["folds"] - found["test"]), counted(len(found["ratios"]), "path")
    done = (
        f"Settings chosen on {chosen} of {whole(found['folds'])} folds and judged on the others, in "
        f"{counted(found['splits'], 'split')}: {paths} through all of history with a mean ratio of "
        f"{ratio(found['mean'])}, of which {percent(found['loss'], 0)} lost."
    )
    return " ".join((done, *_sentences(found.get("notes", ()))))


def _draw_paths(ratios: np.ndarray) -> Scaled:
    """Return the ratios of the paths, lowest first."""
    x, count = np.arange(len(ratios), dtype=float) + 1.0, len(ratios)
    low, high = drawing.bounds([ratios, np.zeros(1)])
    layers = [Layer("strategy", "line", x, ratios), Layer("dot chosen", "dots", x, ratios)]
    panel = drawing.draw(
        layers, Frame(0.5, count + 0.5, low, high, 180), drawing.plain_ticks(drawing.steps(low, high, 5))
    )
    spoken = f"Ratios of {counted(len(ratios), 'path')}, lowest first: {interval(ratios[0], ratios[-1])}."
    keys = (Key("strategy", "Paths, lowest first", interval(ratios[0], ratios[-1])),)
    return Scaled(Chart(panel, keys, spoken), Scale(0.5, count + 0.5).ticks(TICKS))
