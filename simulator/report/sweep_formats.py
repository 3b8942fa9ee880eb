"""A sweep in other forms than its page: for a terminal, Markdown for a repository, numbers for a program."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from simulator.analysis.plateau import describe, find_plateau
from simulator.errors import UsageError
from simulator.evidence.sweep_reader import RATIO, SweepEvidence, read_sweep, shorten
from simulator.files import write_file
from simulator.number_format import number_of, plain, write_setting
from simulator.report import sweep_page
from simulator.report.formats import FORMATS
from simulator.report.renderers import markdown
from simulator.report.renderers.json import render_table
from simulator.report.sections.sweep_luck import tabulate_selection
from simulator.report.sections.sweep_members import make_axes
from simulator.report.sweep_measures import MEASURES
from simulator.report.table import Table, make_row, make_table
from simulator.stats.series import Floats

if TYPE_CHECKING:
    from rich.console import Console

LISTED = 10
SHOWN = ("ratio", "around", "p", "total_return", "sharpe", "max_drawdown")
"""Measures of the list in a terminal."""


def write(folder: Path, kind: str) -> Path:
    """Write the report of a sweep as ``sweep.<kind>`` into its folder and return the path.

    Raises UsageError for a format there is not, DataError for a damaged folder, SimError when it cannot be written.
    """
    if kind == "html":
        return sweep_page.build(folder)
    if kind not in FORMATS:
        raise UsageError(f'no format "{kind}" of a sweep', mend=f"it is one of {', '.join(FORMATS)}")
    sweep = read_sweep(folder)
    text = as_markdown(sweep) if kind == "md" else json.dumps(as_json(sweep), indent=1, allow_nan=False) + "\n"
    return write_file(folder / f"sweep.{kind}", text.encode())


def summarise(sweep: SweepEvidence) -> dict[str, object]:
    """Return what ``sim sweep --json`` prints: folder, page, study.json, the verdict and the ground around the best."""
    near = find_plateau(sweep.settings, sweep.measures[RATIO], sweep.grid)
    best = sweep.best
    around, own = float(near.around[best]), float(sweep.measures[RATIO][best])
    return {
        "folder": str(sweep.folder),
        "page": str(sweep.folder / sweep_page.FILE),
        **sweep.facts,
        "verdict": sweep.verdict,
        "neighbours": {
            "count": int(near.neighbours[best]),
            "median": number_of(around),
            "kind": describe(own, around),
            "steadiest": near.steadiest,
        },
        "larger_ratios": sweep_page.describe_larger(sweep),
        "runtime": sweep.runtime,
    }


def as_json(sweep: SweepEvidence) -> dict[str, object]:
    """Return the report as numbers: `summarise`, and ``members``: {column: values of all}, null for undefined;
    ``tables`` are those of the page."""
    page = sweep_page.compose(sweep)
    columns: dict[str, object] = {
        "member": list(range(len(sweep.measures[RATIO]))),
        **{
            name: [one.tolist() if isinstance(one, np.ndarray) else one for one in v]
            for name, v in sweep.settings.items()
        },
        **{name: [number_of(one) for one in v.tolist()] for name, v in sweep.measures.items()},
    }
    tables: list[Table] = [page.best, page.luck.figures, sweep_page.tabulate_study(sweep)]
    tables += [page.walk.figures, page.walk.folds] if page.walk else []
    tables += [page.paths.figures] if page.paths else []
    return {**summarise(sweep), "members": columns, "tables": [render_table(one) for one in tables]}


def tabulate_members(sweep: SweepEvidence, most: int = LISTED) -> Table:
    """Return the members with the highest ratios, the best of the verdict first."""
    values: Mapping[str, Floats] = {
        **sweep.measures,
        "around": find_plateau(sweep.settings, sweep.measures[RATIO], sweep.grid).around,
    }
    ranked = np.argsort(-np.nan_to_num(sweep.measures[RATIO], nan=-np.inf), kind="stable").tolist()
    first = [sweep.best, *(n for n in ranked[:most] if n != sweep.best)][:most]
    shown = [one for one in MEASURES if one.key in SHOWN and one.key in values]
    axes = make_axes(sweep.settings)
    rows = [
        make_row(
            str(n),
            [
                *(shorten(write_setting(sweep.settings[axis.name][n])) for axis in axes),
                *(
                    "failed" if n in sweep.failures and one.key == RATIO else one.write(values[one.key][n])
                    for one in shown
                ),
            ],
            css="chosen" if n == sweep.best else "",
        )
        for n in first
    ]
    columns = [*(axis.name for axis in axes), *(one.name for one in shown)]
    return make_table("Members", columns, rows, corner="Member")


def print_sweep(sweep: SweepEvidence, console: Console) -> None:
    """Print verdict, best members, what is held against them, and where the page lies. Fits 80 columns."""
    from simulator.report.renderers.console import Text
    from simulator.report.renderers.terminal import print_paragraph, print_path, print_table

    page = sweep_page.compose(sweep)
    console.print()
    console.print(Text(f"{sweep.facts['identity']['strategy']}, a sweep", style="bold cyan"))
    print_paragraph(console, " · ".join(page.facts), "dim")
    console.print()
    print_table(console, tabulate_members(sweep))
    console.print()
    print_paragraph(console, page.headline, "bold")
    for sentence in (*page.details, page.larger, page.neighbours, page.luck.overfitting, page.failed):
        print_paragraph(console, sentence)
    for sentence in page.walk.sentences if page.walk else ():
        print_paragraph(console, sentence, label="forward")
    if page.paths is not None:
        print_paragraph(console, page.paths.sentence, label="paths")
    if page.hold_out is not None:
        print_paragraph(console, page.hold_out[0], label="hold-out")
    console.print()
    print_paragraph(console, sweep.facts["best"]["command"], label="best")
    print_path(console, "page", sweep.folder / sweep_page.FILE)
    print_paragraph(console, sweep_page.describe_runtime(sweep), "dim", label="took")


def as_markdown(sweep: SweepEvidence) -> str:
    """Return the report in Markdown."""
    page = sweep_page.compose(sweep)
    sentences = (*page.details, page.larger, page.neighbours, page.luck.overfitting, page.failed, *page.luck.confidence)
    parts = [
        f"# {markdown.escape(page.title)}",
        markdown.escape(" · ".join(page.facts)),
        f"**{markdown.prose(page.headline)}**",
        markdown.bullets(sentences),
        f"## Members with the highest ratios\n\n{markdown.render_table(tabulate_members(sweep, 25))}",
        f"## The best member\n\n{markdown.render_table(page.best, 'Note')}",
        f"```\n{sweep.facts['best']['command']}\n```",
        f"## Selection\n\n{markdown.render_table(tabulate_selection(sweep), 'Note')}",
        f"## The study\n\n{markdown.render_table(sweep_page.tabulate_study(sweep))}",
    ]
    if page.walk is not None:
        tables = (markdown.render_table(one, "Note") for one in (page.walk.figures, page.walk.folds))
        command = f"```\n{page.walk.command}\n```" * bool(page.walk.command)
        parts.insert(-1, "\n\n".join(("## Walk-forward", markdown.bullets(page.walk.sentences), *tables, command)))
    if page.paths is not None:
        figures = markdown.render_table(page.paths.figures, "Note")
        parts.insert(-1, f"## Cross-validation\n\n{markdown.prose(page.paths.sentence)}\n\n{figures}")
    if page.hold_out is not None:
        parts.insert(
            -1, f"## Hold-out\n\n{markdown.prose(page.hold_out[0])}\n\n{markdown.render_table(page.hold_out[1])}"
        )
    return plain("\n\n".join(part for part in parts if part)) + "\n"
