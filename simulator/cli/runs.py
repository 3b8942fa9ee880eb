"""`sim runs`: the runs made so far, and which of them count as trials of one."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from simulator.cli.completers import complete_run
from simulator.workspace import Workspace

if TYPE_CHECKING:
    from rich.table import Table


@click.command()
@click.option(
    "--trials",
    "judged",
    is_flag=False,
    flag_value="last",
    metavar="[RUN]",
    shell_complete=complete_run,
    help="What counts as a trial of RUN (the last), and why.",
)
@click.option("--json", "as_json", is_flag=True, help="One JSON array on stdout; with --trials one object.")
@click.pass_obj
def runs(workspace: Workspace, judged: str | None, as_json: bool) -> None:
    """List the distinct runs made in this workspace, the newest last."""
    if judged is not None:
        _trials(workspace, judged, as_json)
        return
    from simulator.store.connection import store_place
    from simulator.store.database import Store

    with Store(store_place(workspace.registry)) as store:
        rows = store.runs()
    if as_json:
        click.echo(json.dumps(rows, default=str))
    elif not rows:
        click.echo("no runs yet; `sim run` makes one")
    else:
        from rich.console import Console

        Console().print(runs_table(rows))


def _trials(workspace: Workspace, judged: str, as_json: bool) -> None:
    from simulator.analysis.trials import trials_facts
    from simulator.evidence.reader import read
    from simulator.store.connection import store_place
    from simulator.store.database import Store
    from simulator.store.folders import find_run

    folder = find_run(workspace.reports, judged)
    run = read(folder).run
    with Store(store_place(workspace.registry)) as store:
        facts = trials_facts(store.results(), run, folder)
    if as_json:
        click.echo(json.dumps(facts))
        return
    from rich.console import Console

    console = Console()
    console.print(trials_table(facts["counted"]))
    if facts["left_out"]:
        console.print()
        console.print(left_out_table(facts["left_out"]))
    console.print()
    for line in _told(facts):
        console.print(line, markup=False, highlight=False)


def _told(facts: Mapping[str, Any]) -> Iterator[str]:
    """What follows from the trials, in sentences."""
    from simulator.number_format import counted, percent, ratio

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


def runs_table(rows: Sequence[dict[str, Any]]) -> Table:
    """A row per distinct run: what it was, and the three numbers people look for first."""
    from simulator.number_format import percent, ratio

    table = _table("id", "strategy", "symbols", "from", "to")
    for name in ("return", "Sharpe", "drawdown"):
        table.add_column(name, justify="right", no_wrap=True)
    for row in rows:
        metrics = row["metrics"]
        table.add_row(
            row["run_id"],
            _name(row),
            _symbols(row),
            row["first"],
            row["last"],
            percent(metrics.get("total_return")),
            ratio(metrics.get("sharpe")),
            percent(metrics.get("max_drawdown")),
        )
    return table


def trials_table(rows: Sequence[Mapping[str, Any]]) -> Table:
    """A row per result that counts."""
    from simulator.number_format import ratio

    table = _table("counted", "strategy", "symbols", "from", "to")
    table.add_column("Sharpe", justify="right", no_wrap=True)
    for row in rows:
        table.add_row(row["run_id"], _name(row), _symbols(row), row["first"], row["last"], ratio(row["sharpe"]))
    return table


def left_out_table(rows: Sequence[Mapping[str, Any]]) -> Table:
    """A row per result that does not count, with the reason."""
    table = _table("left out", "strategy", "why")
    for row in rows:
        table.add_row(row["run_id"], _name(row), row["why"])
    return table


def _name(row: Mapping[str, Any]) -> str:
    return f"{row['strategy']}, partial" if row["partial"] else str(row["strategy"])


def _symbols(row: Mapping[str, Any]) -> str:
    """As many as are read at a glance, else the first and how many more; `--json` has them all."""
    symbols = [str(symbol) for symbol in row["symbols"]]
    named = ",".join(symbols)
    return named if len(symbols) == 1 or len(named) <= len("SPY,QQQ") else f"{symbols[0]} +{len(symbols) - 1}"


def _table(*names: str) -> Table:
    from rich.table import Table

    table = Table(box=None, header_style="bold", pad_edge=False, padding=(0, 1, 0, 0))
    for name in names:
        wide = name in ("strategy", "symbols", "why")
        # Room for the name of the shipped council in one line of 80 columns.
        table.add_column(name, overflow="fold", no_wrap=not wide, min_width=13 if name == "strategy" else None)
    return table
