"""Findings of a desk for a terminal and as a watchlist in CSV."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import cast

from rich.console import Console, RenderableType
from rich.padding import Padding

from simulator.number_format import UNDEFINED, ratio, whole
from simulator.report.renderers.console import Text
from simulator.report.renderers.terminal import make_grid
from simulator.report.table import Column, make_row, make_table
from simulator.store.folders import csv_bytes

COLUMNS = ("rank", "symbol", "score", "price", "rationale", "as_of")
WIDEST = 120
UNSAID = ("shown", "keys", "tools")
"""Parts of an agent's record that --json and `sim explain` show."""


def watchlist_csv(found: Mapping[str, object]) -> bytes:
    """Return the candidates of a screening, best first."""
    return csv_bytes(
        COLUMNS,
        (
            (n, one["symbol"], one["score"], one["price"], one.get("rationale", ""), found["as_of"])
            for n, one in enumerate(cast("Sequence[Mapping[str, object]]", found["candidates"]), 1)
        ),
    )


def print_desk(found: Mapping[str, object], console: Console) -> None:
    """Print a task's facts by name: lists of records as tables, an agent's words without what it was shown."""
    console.width = min(console.width, WIDEST)
    for part in _lines(found):
        console.print(part)


def _lines(found: Mapping[str, object]) -> Iterator[RenderableType]:
    for name, value in found.items():
        label = name.replace("_", " ")
        if isinstance(value, Mapping) and value:
            yield Text(label, "bold")
            inner = {key: one for key, one in value.items() if name != "agent" or key not in UNSAID}
            yield from (Padding(one, (0, 0, 0, 2)) for one in _lines(inner))
        elif isinstance(value, list | tuple) and value and all(isinstance(one, Mapping) for one in value):
            yield Text(label, "bold")
            yield Padding(_grid(value), (0, 0, 0, 2))
        else:
            shown = whole(value) if name == "trials" and isinstance(value, float) else _write_value(value)
            yield Text(f"{label}: {shown}")


def _grid(rows: Sequence[Mapping[str, object]]) -> RenderableType:
    names = [*dict.fromkeys(name for row in rows for name in row)]
    columns = [Column(name.replace("_", " "), words=isinstance(rows[0].get(name), str)) for name in names[1:]]
    made = [
        make_row(_write_value(row.get(names[0])), [_write_value(row.get(name)) for name in names[1:]]) for row in rows
    ]
    return make_grid(make_table("", columns, made, corner=names[0]), WIDEST - 4)


def _write_value(value: object) -> str:
    if value is None:
        return UNDEFINED
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return ratio(value, 4 if abs(value) < 10 else 2)
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {_write_value(one)}" for name, one in value.items()) or "none"
    if isinstance(value, list | tuple):
        return ", ".join(map(_write_value, value)) or "none"
    return str(value)
