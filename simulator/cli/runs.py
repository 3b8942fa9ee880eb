"""`sim runs`: the runs made so far, and which of them count as trials of one."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from simulator.cli.completers import complete_run
from simulator.cli.output import print_result
from simulator.number_format import counted, percent, ratio
from simulator.workspace import Workspace

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

Row = Mapping[str, Any]


@click.command()
@click.option(
    "--trials",
    "chosen",
    is_flag=False,
    flag_value="last",
    metavar="[RUN]",
    shell_complete=complete_run,
    help="What counts as a trial of RUN (the last), and why.",
)
@click.option("--json", "as_json", is_flag=True, help="One JSON array on stdout; with --trials one object.")
@click.pass_obj
def runs(workspace: Workspace, chosen: str | None, as_json: bool) -> None:
    """List the distinct runs made in this workspace, the newest last."""
    from simulator.store.connection import store_place
    from simulator.store.database import Store

    store = Store(store_place(workspace.registry))
    if chosen is not None:
        from simulator.analysis.trials import trials_facts
        from simulator.evidence.reader import read
        from simulator.store.folders import find_run

        folder = find_run(workspace.reports, chosen)
        run = read(folder).run
        with store:
            facts = trials_facts(store.results(), run, folder)
        print_result(facts, as_json, lambda console: _print_trials(facts, console))
        return
    with store:
        rows = store.runs()
    if rows or as_json:
        print_result(rows, as_json, lambda console: console.print(_table(rows, RUNS)))
    else:
        click.echo("no runs yet; `sim run` makes one")


def _print_trials(facts: Row, console: Console) -> None:
    console.print(_table(facts["counted"], COUNTED))
    if facts["left_out"]:
        console.print()
        console.print(_table(facts["left_out"], LEFT_OUT))
    console.print()
    for line in _sentences(facts):
        console.print(line, markup=False, highlight=False)


def _sentences(facts: Row) -> Iterator[str]:
    """What follows from the trials."""
    found, reasons = facts["inference"], facts["reasons"]
    effective = found["effective_trials"]
    worth = "" if effective is None or found["trials"] == 1 else f", worth {ratio(effective, 1)} independent ones"
    yield f"{counted(found['trials'], 'trial')} on the data of {facts['run_id']}{worth}.".replace("\u00a0", " ")
    if found["dsr"] is None:
        yield f"The deflated Sharpe ratio is n/a: {reasons['dsr']}."
    elif found["trials"] == 1:
        yield f"Nothing to deflate: the Sharpe ratio is above 0 with probability {percent(found['dsr'])}."
    else:
        best = ratio(found["expected_max_sharpe"])
        yield f"Without skill the best of as many is expected to show a Sharpe ratio of {best};"
        yield f"that of this run is above it with probability {percent(found['dsr'])} (deflated Sharpe ratio)."


def _name(row: Row) -> str:
    return f"{row['strategy']}, partial" if row["partial"] else str(row["strategy"])


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
COUNTED: Columns = {"counted": RUNS["id"], **WHAT, "Sharpe": lambda row: ratio(row["sharpe"])}
LEFT_OUT: Columns = {"left out": RUNS["id"], "strategy": _name, "why": lambda row: str(row["why"])}

WRAPPED = ("strategy", "symbols", "why")
NUMBERS = ("return", "Sharpe", "drawdown")


def _table(rows: Sequence[Row], columns: Columns) -> Table:
    from rich.table import Table

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
        table.add_row(*(text(row) for text in columns.values()))
    return table
