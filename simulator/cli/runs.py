"""`sim runs`: the runs made so far, and which of them count as trials of one."""

from __future__ import annotations

import click

from simulator.cli.completers import complete_run
from simulator.cli.output import print_result
from simulator.printing import say
from simulator.workspace import Workspace


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
        from simulator.report.run_list import print_trials
        from simulator.store.folders import find_run

        folder = find_run(workspace.reports, chosen)
        run = read(folder).run
        with store:
            facts = trials_facts(store.results(), run, folder)
        print_result(facts, as_json, lambda console: print_trials(facts, console))
        return
    from simulator.report.run_list import print_runs

    with store:
        rows = store.runs()
    if rows or as_json:
        print_result(rows, as_json, lambda console: print_runs(rows, console))
    else:
        say("no runs yet; `sim run` makes one")
