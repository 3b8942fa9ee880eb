"""Tables as JSON: texts as people read them, the numbers behind them, and why there are none."""

from __future__ import annotations

from typing import TypedDict

from simulator.number_format import plain
from simulator.report.table import Table


class CellRecord(TypedDict):
    text: str
    value: float | None
    why: str | None


class RowRecord(TypedDict):
    label: str
    group: str | None
    cells: list[CellRecord]


class TableRecord(TypedDict):
    title: str
    columns: list[str]
    rows: list[RowRecord]


def render_table(table: Table) -> TableRecord:
    """Return `table` as one object; ``value`` is null for words and for what is undefined, which has a ``why``."""
    return {
        "title": table.title,
        "columns": [plain(column.name) for column in table.columns],
        "rows": [
            {
                "label": row.label,
                "group": group.title or None,
                "cells": [
                    {"text": plain(cell.text), "value": cell.value, "why": cell.why or None} for cell in row.cells
                ],
            }
            for group in table.groups
            for row in group.rows
        ],
    }
