"""The one table: made once, written to a terminal, a page, Markdown or JSON by `simulator.report.renderers`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

Reasons = Literal["footnotes", "titles", "inline"]


@dataclass(frozen=True)
class Cell:
    """`text` as people read it; `why` it is no number; a `note` in small print; the number itself where it is one."""

    text: str
    why: str = ""
    note: str = ""
    value: float | None = None


@dataclass(frozen=True)
class Column:
    """A heading and its small print; `words` stand to the left, numbers to the right; `css` is its class."""

    name: str
    hint: str = ""
    words: bool = False
    css: str = ""


@dataclass(frozen=True)
class Row:
    """A label with its small print, and a cell for each column; `css` marks rows that stand out."""

    label: str
    cells: tuple[Cell, ...]
    hint: str = ""
    css: str = ""


@dataclass(frozen=True)
class Group:
    """Rows under a heading of their own; an empty title has none."""

    title: str
    rows: tuple[Row, ...]


@dataclass(frozen=True)
class Table:
    """Groups of rows under the same columns.

    Attributes
    ----------
    title : what the table shows; the accessible name in a page
    columns : headings of the cells; `corner` is that of the labels
    reasons : where a cell's `why` is shown: below the table, as a title of the cell, or in the cell
    css : class of the table in a page
    caption : whether the page shows the title
    long_labels : labels are names or dotted keys, and may be broken
    """

    title: str
    columns: tuple[Column, ...]
    groups: tuple[Group, ...]
    corner: str = ""
    reasons: Reasons = "titles"
    css: str = ""
    caption: bool = False
    long_labels: bool = False

    @property
    def rows(self) -> tuple[Row, ...]:
        """All rows, in order."""
        return tuple(row for group in self.groups for row in group.rows)

    @property
    def footnotes(self) -> dict[str, str]:
        """Reason → its mark, in order of appearance: a, b … z, then numbers; none where reasons stand elsewhere."""
        if self.reasons != "footnotes":
            return {}
        reasons = dict.fromkeys(cell.why for row in self.rows for cell in row.cells if cell.why)
        return {why: chr(ord("a") + n) if n < 26 else str(n + 1) for n, why in enumerate(reasons)}


def make_row(label: str, cells: Iterable[Cell | str], hint: str = "", css: str = "") -> Row:
    """Return a row; texts become cells."""
    return Row(label, tuple(Cell(cell) if isinstance(cell, str) else cell for cell in cells), hint, css)


def make_table(
    title: str,
    columns: Sequence[str | Column],
    rows: Iterable[Row],
    corner: str = "",
    reasons: Reasons = "titles",
    css: str = "",
    caption: bool = False,
    long_labels: bool = False,
) -> Table:
    """Return a table of one group; names become columns of numbers."""
    heads = tuple(Column(column) if isinstance(column, str) else column for column in columns)
    return Table(title, heads, (Group("", tuple(rows)),), corner, reasons, css, caption, long_labels)
