"""`sim compare A B`: are runs different, and since when?"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import click

from simulator.cli.completers import complete_run
from simulator.cli.options import AS_JSON, FORCE, OPEN, open_run
from simulator.cli.output import open_page, print_result
from simulator.workspace import Workspace


@click.command()
@click.argument("runs", nargs=-1, required=True, metavar="A B [C …]", shell_complete=complete_run)
@click.option("--html", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE", help="Where the page goes.")
@click.option("--draws", type=click.IntRange(1), default=10_000, show_default=True, help="Bootstrap replicates.")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Of the bootstrap.")
@FORCE
@OPEN
@AS_JSON
@click.pass_obj
def compare(
    workspace: Workspace,
    /,
    runs: tuple[str, ...],
    html: Path | None,
    opened: bool,
    as_json: bool,
    force: bool,
    **resampling: int,
) -> None:
    """Are runs different, since which decision, and what was different about them?

    A, B … are folders of reports/, beginnings of their names, ids, or "last". With three or more every pair is tested
    and p adjusted for all of them. The page goes to reports/compare-A-B/.
    """
    from simulator.notebook.commands import compare_runs
    from simulator.report.comparison import judge_comparison, print_comparison

    found = [open_run(workspace, run, force) for run in runs]
    facts, page = compare_runs(found, workspace, target=html, **resampling)
    result = {"verdict": asdict(judge_comparison(facts)), **facts, "page": str(page)}
    print_result(result, as_json, lambda console: print_comparison(facts, page, console))
    if opened:
        open_page(page)
