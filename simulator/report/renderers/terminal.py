"""Tables and paragraphs in a terminal: nothing is cut, colour only where the console is a terminal."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console, ConsoleOptions
from rich.segment import Segment
from rich.table import Table as Grid

from simulator.number_format import plain
from simulator.printing import printable
from simulator.report.renderers.console import Text
from simulator.report.table import Cell, Column, Table

WIDEST = 100
"""Sentences are wrapped here even where the terminal is wider."""

WORDS = 26
"""A column of words is folded, but not to less than these characters."""


LABEL, SHORTEST_LABEL = 32, 18
"""Characters of a label for which intervals take two lines, and below which it takes several itself."""


def print_table(
    console: Console,
    table: Table,
    most: int | None = None,
    own: bool = False,
    headings: bool = True,
    hints: bool = False,
) -> None:
    """Print `table` within the width of `console`, its first `most` rows, and the reasons of what is no number.

    `own` sets off the first column; `headings` shows those of the groups; `hints` shows small print and reasons beside.
    """
    console.print(Trimmed(make_grid(table, min(console.width, WIDEST), most, own, headings, hints)))
    for why, mark in table.footnotes.items():
        print_paragraph(console, f"({mark}) {why}", "dim")


@dataclass(frozen=True)
class Trimmed:
    """A table of rich without the blanks at the end of its lines."""

    grid: Grid

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[Segment]:
        for line in console.render_lines(self.grid, options, pad=False):
            while line and not line[-1].text.strip():
                line.pop()
            *before, last = line or [Segment("")]
            yield from (*before, Segment(last.text.rstrip(), last.style), Segment.line())


def make_grid(
    table: Table,
    width: int,
    most: int | None = None,
    own: bool = False,
    headings: bool = True,
    hints: bool = False,
    marks: Mapping[str, str] | None = None,
) -> Grid:
    """Return `table` for rich: intervals take two lines where they must, and long names as many as they need.

    `marks` are those of reasons, where they are not the table's own.
    """
    titled = headings and any(group.title for group in table.groups)
    notes = table.footnotes if marks is None else marks
    cells = [[_text(cell, notes) for cell in row.cells] for row in table.rows[:most]]
    widths = _fit(table, cells, width)
    named = bool(table.corner) or any(column.name for column in table.columns)
    grid = Grid(box=None, padding=(0, 0, 0, 2), pad_edge=False, header_style="dim", show_header=named)
    longest = max((len(printable(row.label)) for row in table.rows), default=0)
    most_wide = max(width - sum(widths), SHORTEST_LABEL)
    grid.add_column(Text(plain(table.corner)), no_wrap=longest <= most_wide, max_width=most_wide, overflow="fold")
    for number, (column, wide) in enumerate(zip(table.columns, widths, strict=True)):
        strong = own and number == 0
        name = plain(column.name) if column.words else _break(plain(column.name), wide - 2)
        grid.add_column(
            Text(name, style="bold cyan" if strong else "dim"),
            justify="left" if column.words else "right",
            style="bold" if strong else "",
            min_width=wide - 2,
            overflow="fold",
        )
    if hints:
        grid.add_column(style="dim", overflow="fold")
    heads = {id(group.rows[0]): group.title for group in table.groups if group.title and group.rows} if titled else {}
    for row, texts in zip(table.rows, cells, strict=False):
        if id(row) in heads:
            grid.add_row(Text(heads[id(row)], style="dim"))
        beside = [Text(plain(next((cell.why for cell in row.cells if cell.why), "") or row.hint))] if hints else []
        label = Text(f"{'  ' if titled else ''}{plain(row.label)}")
        grid.add_row(label, *texts, *beside, style="bold" if row.css in ("own", "chosen") else "")
    return grid


def _text(cell: Cell, notes: Mapping[str, str]) -> Text:
    mark = notes.get(cell.why)
    return Text(f"{plain(cell.text)} ({mark})", style="dim not bold") if mark else Text(plain(cell.text))


def _fit(table: Table, cells: list[list[Text]], width: int) -> list[int]:
    """Return the width of each column of numbers, the two characters before it included.

    The first one may break its name anywhere, so that no number is cut.
    """
    room = width - min(max((len(printable(row.label)) for row in table.rows), default=0), LABEL)
    # A short first name stays whole, a long one is that of a strategy.
    first = [min(max(map(len, column.name.split()), default=0), 7) for column in table.columns[:1]]
    names = [*first, *(len(column.name) for column in table.columns[1:])]
    widths = _widths(table.columns, cells, names)
    if sum(widths) > room:
        for text in (text for row in cells for text in row):
            text.plain = text.plain.replace(" to ", " to\n")
        words = [max(map(len, column.name.split()), default=0) for column in table.columns]
        widths = _widths(table.columns, cells, [*first, *words[1:]])
    if table.columns:
        widths[0] = max(widths[0], min(len(table.columns[0].name) + 2, room - sum(widths[1:])))
    return widths


def _widths(columns: Sequence[Column], cells: list[list[Text]], heads: Sequence[int]) -> list[int]:
    widths = []
    for number, (column, head) in enumerate(zip(columns, heads, strict=False)):
        lines = (line for row in cells for line in row[number].plain.split("\n"))
        wide = 2 + max([head, *map(len, lines)])
        widths.append(min(wide, WORDS) if column.words else wide)
    return widths


def _break(name: str, width: int) -> str:
    """Return `name` in lines of at most `width`, broken behind an underscore or a space where there is one."""
    lines = [""]
    for piece in re.split(r"(?<=[_ ])", name):
        if lines[-1] and len(lines[-1]) + len(piece.rstrip()) > width:
            lines.append("")
        lines[-1] += piece
        while len(lines[-1].rstrip()) > width:
            lines[-1:] = [lines[-1][:width], lines[-1][width:]]
    return "\n".join(line.rstrip() for line in lines)


def print_paragraph(console: Console, sentence: str, style: str = "", label: str = "") -> None:
    """Print a sentence wrapped to the console; with a label its lines stand in their own column. Nothing for ""."""
    if not sentence:
        return
    # Wrapped before the hard spaces become soft ones: a number stays with its unit.
    indent, width = max(len(label) + 1, 8) if label else 0, min(console.width, WIDEST)
    wrapped = plain(textwrap.fill(printable(sentence), width - indent - 1, break_on_hyphens=False))
    text = textwrap.indent(wrapped, " " * indent)[indent:]
    console.print(Text.assemble((f"{label:<7} " if label else "", "dim"), (text, style)), soft_wrap=True)


def print_path(console: Console, label: str, path: Path) -> None:
    """Print where a file is, as seen from the current folder where it lies below it."""
    here, whole = Path.cwd(), path.resolve()
    shown = whole.relative_to(here) if whole.is_relative_to(here) else whole
    console.print(Text.assemble((f"{label:<8}", "dim"), str(shown)), soft_wrap=True)
