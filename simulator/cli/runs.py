"""`sim runs`: the runs made so far, and which of them count as trials of one."""

from __future__ import annotations

import click

from simulator.cli.completers import complete_run
from simulator.cli.options import open_run
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
    if chosen is not None:
        from simulator.analysis.trials import trials_facts, with_earlier
        from simulator.evidence.unrecorded import all_results
        from simulator.report.run_list import print_trials
        from simulator.store.connection import store_place
        from simulator.store.database import Store

        opened = open_run(workspace, chosen)
        with Store(store_place(workspace.registry)) as store:
            seen = with_earlier(all_results(store, workspace.reports), opened.run, [opened.folder])
        facts = trials_facts(seen, opened.run, opened.folder, workspace.reports)
        print_result(facts, as_json, lambda console: print_trials(facts, console))
        return
    from simulator.evidence.unrecorded import list_runs
    from simulator.report.run_list import print_runs

    listed = list_runs(workspace)
    found = [row for row in listed if not row["recorded"]]
    if listed or as_json:
        print_result(listed, as_json, lambda console: print_runs(listed, console))
    else:
        say("no runs yet; `sim run` makes one")
    if found:
        names = ", ".join(str(row["folder"]) for row in found[:3]) + (" …" if len(found) > 3 else "")
        say(f"sim: note: not recorded here: {names}; `sim db rebuild` records what is not", err=True)
