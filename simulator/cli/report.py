"""`sim report RUN`: build the report of a run again."""

from __future__ import annotations

import click

from simulator.cli.completers import complete_run
from simulator.printing import say
from simulator.workspace import Workspace


@click.command()
@click.argument("run", default="last", shell_complete=complete_run)
@click.option(
    "--format",
    "kind",
    type=click.Choice(["html", "md", "json"]),
    default="html",
    show_default=True,
    help="A page, Markdown, or everything the page shows as numbers.",
)
@click.pass_obj
def report(workspace: Workspace, run: str, kind: str) -> None:
    """Build the report of RUN again from its folder and print its path.

    RUN is a folder of reports/, the beginning of its name, its id, or "last".
    """
    from simulator.analysis.trials import count_trials
    from simulator.evidence.reader import read_run
    from simulator.report.formats import write
    from simulator.store.folders import find_run

    folder = find_run(workspace.reports, run)
    count_trials(workspace, folder, read_run(folder))
    say(write(folder, kind))
