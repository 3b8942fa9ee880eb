"""`sim ablate RUN`: what each part of a council adds, from its recorded votes."""

from __future__ import annotations

from functools import partial

import click

from simulator.cli.completers import complete_run
from simulator.cli.options import AS_JSON, FORCE, open_run
from simulator.cli.output import print_result
from simulator.cli.progress import progress_bar
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
    from simulator.analysis.ablation import ablate as take_apart
    from simulator.evidence.verify import add_parts
    from simulator.files import check_writable
    from simulator.report.ablation import FACTS, FILE, page, print_ablation
    from simulator.report.formats import write
    from simulator.store.folders import json_bytes

    opened = open_run(workspace, run, force)
    folder = opened.folder
    check_writable(folder)
    with progress_bar() as advance:
        facts = take_apart(folder, workspace, lambda done, total, part: advance(done, total, after=part))
    if opened.altered:
        facts = {**facts, "altered": opened.altered}
    add = partial(add_parts, workspace, opened.run)
    add(folder, {FACTS: json_bytes(facts), FILE: page(facts)})
    write(folder, "html", opened.altered, add)
    place = folder / FILE
    print_result({**facts, "page": str(place)}, as_json, lambda console: print_ablation(facts, place, console))
