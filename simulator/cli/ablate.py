"""`sim ablate RUN`: what each part of a council adds, from its recorded votes."""

from __future__ import annotations

import click

from simulator.cli.completers import complete_run
from simulator.cli.options import AS_JSON
from simulator.cli.output import print_result
from simulator.cli.progress import progress_bar
from simulator.workspace import Workspace


@click.command()
@click.argument("run", default="last", shell_complete=complete_run)
@AS_JSON
@click.pass_obj
def ablate(workspace: Workspace, run: str, as_json: bool) -> None:
    """Show what the council adds: its recorded votes decided again with one part taken away.

    RUN is a folder of reports/, the beginning of its name, its id, or "last". Nobody is asked. Checkpoints, chairman,
    reviews, weighing, each manager and deciding together are left out in turn; each difference comes with a paired
    interval. Writes ablation.html and ablation.json into the folder and builds the report again.
    """
    from simulator.analysis.ablation import ablate as take_apart
    from simulator.report import build
    from simulator.report.ablation import FACTS, FILE, page, print_ablation, write
    from simulator.store.folders import find_run, json_bytes

    folder = find_run(workspace.reports, run)
    with progress_bar() as advance:
        facts = take_apart(folder, workspace, lambda done, total, part: advance(done, total, after=part))
    write(folder, {FACTS: json_bytes(facts), FILE: page(facts)})
    build(folder)
    place = folder / FILE
    print_result({**facts, "page": str(place)}, as_json, lambda console: print_ablation(facts, place, console))
