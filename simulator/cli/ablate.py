"""`sim ablate RUN`: what each part of a council adds, from its recorded votes."""

from __future__ import annotations

import click

from simulator.cli.completers import complete_run
from simulator.cli.options import AS_JSON, FORCE, open_run
from simulator.cli.output import print_result
from simulator.report.renderers.progress import progress_bar
from simulator.workspace import Workspace


@click.command()
@click.argument("run", default="last", shell_complete=complete_run)
@FORCE
@AS_JSON
@click.pass_obj
def ablate(workspace: Workspace, run: str, force: bool, as_json: bool) -> None:
    """Show what the council adds: its recorded votes decided again with one part taken away.

    RUN is a folder of reports/, the beginning of its name, its id, or "last". Nobody is asked. Checkpoints, chairman,
    reviews, weighing, each manager and deciding together are left out in turn; each difference comes with a paired
    interval. Writes ablation.html and ablation.json into the folder and builds the report again.
    """
    from simulator.notebook.commands import ablate_run
    from simulator.report.ablation import print_ablation

    opened = open_run(workspace, run, force)
    with progress_bar() as advance:
        facts, page = ablate_run(opened, workspace, lambda done, total, part: advance(done, total, after=part))
    print_result({**facts, "page": str(page)}, as_json, lambda console: print_ablation(facts, page, console))
