"""`sim report RUN`: build the report of a run again."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import click

from simulator.cli.completers import complete_run
from simulator.cli.options import FACTORS, FORCE, OPEN, open_run
from simulator.cli.output import open_page
from simulator.printing import say
from simulator.workspace import Workspace


@click.command()
@click.argument("run", default="last", shell_complete=complete_run)
@click.option(
    "--format",
    "kind",
    type=click.Choice(["html", "md", "json", "png"]),
    default="html",
    show_default=True,
    help="A page, Markdown, everything the page shows as numbers, or a picture.",
)
@FACTORS
@FORCE
@OPEN
@click.pass_obj
def report(workspace: Workspace, run: str, kind: str, factors: Path | None, force: bool, opened: bool) -> None:
    """Build the report of RUN, or of a sweep, again from its folder and print its path.

    RUN is a folder of reports/, the beginning of its name, its id, or "last".
    """
    from simulator.analysis.trials import count_trials
    from simulator.evidence.sweep_reader import find_sweep
    from simulator.evidence.verify import add_parts
    from simulator.report.formats import write
    from simulator.report.shelf import keep_shelf

    sweep = find_sweep(workspace.reports, run)
    if sweep is not None:
        from simulator.report.sweep_formats import write as write_sweep

        path = write_sweep(sweep, kind)
        say(path)
        keep_shelf(sweep, workspace.reports)
        if opened:
            open_page(path)
        return
    found = open_run(workspace, run, force)
    count_trials(workspace, found.folder, found.run)
    add = partial(add_parts, workspace, found.run)
    if factors is not None:
        from simulator.analysis.factors import explaining

        add(found.folder, explaining(factors)(found.folder))
    if kind != "png":
        path = write(found.folder, kind, found.altered, add)
    else:
        from simulator.notebook.plots import PICTURE
        from simulator.notebook.run import Run

        path = found.folder / PICTURE
        add(found.folder, {PICTURE: Run.of(found.folder, workspace).plot.picture("png")})
    say(path)
    keep_shelf(found.folder, workspace.reports)
    if opened:
        open_page(path)
