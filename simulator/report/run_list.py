"""Terminal output of `sim runs`: the runs of a workspace, and the results a run was chosen among."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

from simulator.evidence.records import TrialsRecord
from simulator.number_format import counted, percent, ratio
from simulator.report.renderers.console import Text

Row = Mapping[str, Any]
"""A result as the store has it, or a trial of trials.json."""


def print_runs(rows: Sequence[Row], console: Console) -> None:
    """Print a line for each run: what was run, and the three figures people look for first."""
    console.print(_table(rows, RUNS))


def print_trials(trials: TrialsRecord, console: Console) -> None:
    """Print what counts as a trial of a run, what does not and why, and what follows for its Sharpe ratio."""
    console.print(_table(trials["counted"], COUNTED))
    if trials["left_out"]:
        console.print()
        console.print(_table(trials["left_out"], LEFT_OUT))
    console.print()
    for line in _sentences(trials):
        console.print(Text(line))


def _sentences(trials: TrialsRecord) -> Iterator[str]:
    found, reasons = trials["inference"], trials["reasons"]
    many, effective = int(found["trials"] or 1), found["effective_trials"]
    worth = "" if effective is None or many == 1 else f", for {ratio(effective, 1)} independent trials"
    yield str(trials.get("summary", counted(many, "trial"))).replace("\u00a0", " ")
    if found["dsr"] is None:
        yield f"The deflated Sharpe ratio is n/a: {reasons['dsr']}."
    elif many > 1:
        best = ratio(found["expected_max_sharpe"])
        yield f"As published, which decides nothing{worth}: without skill the best is expected to show a Sharpe ratio"
        yield f"of {best}; that of this run is above it with probability {percent(found['dsr'])} (deflated)."


def _name(row: Row) -> str:
    """The strategy, and of what is no whole run how much it is."""
    members = (row.get("sweep") or {}).get("members")
    return f"{row['strategy']}{f', sweep of {members:,}' if members else ''}{', partial' if row['partial'] else ''}"


def _symbols(row: Row) -> str:
    """As many as are read at a glance, else the first and how many more; `--json` has them all."""
    symbols = [str(symbol) for symbol in row["symbols"]]
    listed = ",".join(symbols)
    return listed if len(symbols) == 1 or len(listed) <= len("SPY,QQQ") else f"{symbols[0]} +{len(symbols) - 1}"


Columns = Mapping[str, Callable[[Row], str]]

WHAT: Columns = {
    "strategy": _name,
    "symbols": _symbols,
    "from": lambda row: str(row["first"]),
    "to": lambda row: str(row["last"]),
}
RUNS: Columns = {
    "id": lambda row: str(row["run_id"]),
    **WHAT,
    "return": lambda row: percent(row["metrics"].get("total_return")),
    "Sharpe": lambda row: ratio(row["metrics"].get("sharpe")),
    "drawdown": lambda row: percent(row["metrics"].get("max_drawdown")),
}
COUNTED: Columns = {
    "counted": RUNS["id"],
    **WHAT,
    "Sharpe": lambda row: ratio(row["sharpe"]),
    "why": lambda row: str(row.get("why", "")),
}
LEFT_OUT: Columns = {"left out": RUNS["id"], "strategy": _name, "why": lambda row: str(row["why"])}

WRAPPED = ("strategy", "symbols", "why")
NUMBERS = ("return", "Sharpe", "drawdown")


def _table(rows: Sequence[Row], columns: Columns) -> Table:
    table = Table(box=None, header_style="bold", pad_edge=False, padding=(0, 1, 0, 0))
    for name in columns:
        table.add_column(
            name,
            justify="right" if name in NUMBERS else "left",
            overflow="fold",
            no_wrap=name not in WRAPPED,
            # Room for the name of the shipped council in one line of 80 columns.
            min_width=13 if name == "strategy" else None,
        )
    for row in rows:
        table.add_row(*(Text(text(row)) for text in columns.values()))
    return table
