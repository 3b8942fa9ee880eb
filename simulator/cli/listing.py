"""The table of `sim runs`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rich.table import Table

from simulator.report.numbers import percent, ratio


def runs_table(rows: Sequence[dict[str, Any]]) -> Table:
    """A row per distinct run: what it was, and the three numbers people look for first."""
    table = Table(box=None, header_style="bold", pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column("id", no_wrap=True)
    table.add_column("strategy", overflow="fold")
    table.add_column("symbols", overflow="fold")
    table.add_column("from", no_wrap=True)
    table.add_column("to", no_wrap=True)
    for name in ("return", "Sharpe", "drawdown"):
        table.add_column(name, justify="right", no_wrap=True)
    for row in rows:
        metrics = row["metrics"]
        table.add_row(
            row["run_id"],
            f"{row['strategy']}, partial" if row["partial"] else row["strategy"],
            ",".join(row["symbols"]),
            row["first"],
            row["last"],
            percent(metrics.get("total_return")),
            ratio(metrics.get("sharpe")),
            percent(metrics.get("max_drawdown")),
        )
    return table
