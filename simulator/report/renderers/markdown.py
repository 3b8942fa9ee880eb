"""Tables and text as Markdown, with what Markdown or HTML would read as markup made harmless."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable

import numpy as np

from simulator.number_format import MINUS, UNDEFINED
from simulator.report.table import Cell, Table
from simulator.stats.series import Floats

BLOCKS = "▁▂▃▄▅▆▇█"


def render_table(table: Table, hints: str = "", write: Callable[[str], str] | None = None) -> str:
    """Return `table` in Markdown, columns of numbers to the right, its footnotes below.

    With `hints` the small print of rows stands in a last column of that name.
    """
    notes, write = table.footnotes, write or escape
    names = [table.corner, *(column.name for column in table.columns), *([hints] if hints else [])]
    rows = [
        [
            write(text)
            for text in (row.label, *(_text(cell, notes) for cell in row.cells), *([row.hint] if hints else []))
        ]
        for row in table.rows
    ]
    rule = ["---:" if all(map(_is_number, column)) else "---" for column in zip(*rows, strict=True)]
    lines = [list(map(escape, names)), rule or ["---"] * len(names), *rows]
    text = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    return f"{text}\n\n{bullets(f'({mark}) {why}' for why, mark in notes.items())}" if notes else text


def _text(cell: Cell, notes: dict[str, str]) -> str:
    small = notes.get(cell.why) or cell.note
    return f"{cell.text} ({small})" if small else cell.text


def _is_number(cell: str) -> bool:
    return not cell or cell.startswith((UNDEFINED, "withheld")) or cell.lstrip(f"+{MINUS}$")[:1].isdigit()


def escape(text: object) -> str:
    """Return `text` on one line, with what Markdown or HTML would read as markup made harmless."""
    line = " ".join(str(text).replace("\u00a0", " ").split()).replace("\\", "\\\\")
    for sign in "|`[]*_":
        line = line.replace(sign, f"\\{sign}")
    return line.replace("&", "&amp;").replace("<", "&lt;")


def prose(sentence: object) -> str:
    """As `escape`, and what stands between backticks is code. Only for sentences of our own: code escapes nothing."""
    return re.sub(r"\\`([a-z -]+)\\`", r"`\1`", escape(sentence))


def bullets(sentences: Iterable[str]) -> str:
    """Return a list of the sentences that are not empty."""
    return "\n".join(f"- {escape(sentence)}" for sentence in sentences if sentence)


def sparkline(values: Floats, most: int = 48) -> str:
    """Return the course of `values` in blocks of eight heights; empty where nothing varies."""
    finite = values[np.isfinite(values)]
    if len(finite) < 2 or finite.min() == finite.max():
        return ""
    picked = finite[np.linspace(0, len(finite) - 1, min(most, len(finite))).astype(int)]
    heights = (picked - picked.min()) / max(float(picked.max() - picked.min()), 1e-12) * (len(BLOCKS) - 1)
    return "".join(BLOCKS[round(h)] for h in heights.tolist())
