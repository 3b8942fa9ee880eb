"""`sim runs`: the runs made so far, and which of them count as trials of one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from simulator.cli.completers import complete_run
from simulator.cli.options import OPEN, open_run
from simulator.cli.output import open_page, print_result
from simulator.printing import say
from simulator.workspace import Workspace

if TYPE_CHECKING:
    pass

MANY = 200
"""Runs above which a list is written in plain columns, at once."""


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
@click.option("--html", is_flag=True, help="Bring reports/index.html, the table of all runs, up to date instead.")
@OPEN
@click.option("--json", "as_json", is_flag=True, help="One JSON array on stdout; with --trials or --html one object.")
@click.pass_obj
def runs(workspace: Workspace, chosen: str | None, html: bool, opened: bool, as_json: bool) -> None:
    """List the distinct runs made in this workspace, the newest last.

    As a page with --html or --open: to sort, filter and compare, without a server.
    """
    if (html or opened) and chosen is not None:
        raise click.UsageError("--trials is printed; leave out --html and --open")
    if html or opened:
        _write_shelf(workspace, opened, as_json)
        return
    if chosen is not None:
        from simulator.analysis.trials import fresh_trials
        from simulator.report.run_list import print_trials

        found = open_run(workspace, chosen)
        facts = fresh_trials(workspace, found.folder, found.run, most=None)
        print_result(facts, as_json, lambda console: print_trials(facts, console))
        return
    from simulator.evidence.unrecorded import list_runs

    listed = list_runs(workspace, short=not as_json)
    unrecorded = [row for row in listed if not row["recorded"]]
    if len(listed) > MANY and not as_json:
        say(_in_columns(listed))
    elif listed or as_json:
        from simulator.report.run_list import print_runs

        print_result(listed, as_json, lambda console: print_runs(listed, console))
    else:
        say("no runs yet; `sim run` makes one")
    if unrecorded:
        names = ", ".join(str(row["folder"]) for row in unrecorded[:3]) + (" …" if len(unrecorded) > 3 else "")
        say(f"sim: note: not recorded here: {names}; `sim db rebuild` records what is not", err=True)


def _write_shelf(workspace: Workspace, opened: bool, as_json: bool) -> None:
    from simulator.report.shelf import update_shelf

    page = update_shelf(workspace.reports)
    print_result({"page": str(page)}, as_json, lambda _: say(page))
    if opened:
        open_page(page)


def _in_columns(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return a line for each run, as `print_runs` has them, but not folded: a table of thousands is searched."""
    from simulator.number_format import percent, ratio

    heads = ("id", "strategy", "symbols", "from", "to", "return", "Sharpe", "drawdown")
    lines = [heads]
    for row in rows:
        metrics, symbols = row["metrics"], row["symbols"]
        lines.append(
            (
                row["run_id"],
                f"{row['strategy']}, partial" if row["partial"] else row["strategy"],
                ",".join(symbols) if len(symbols) < 3 else f"{symbols[0]} +{len(symbols) - 1}",
                row["first"],
                row["last"],
                percent(metrics.get("total_return")),
                ratio(metrics.get("sharpe")),
                percent(metrics.get("max_drawdown")),
            )
        )
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    form = " ".join(f"{{:{'>' if at > 4 else '<'}{width}}}" for at, width in enumerate(widths))
    return "\n".join(form.format(*line).rstrip() for line in lines)
