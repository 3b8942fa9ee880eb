"""`sim compare`: parse, call, print."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from simulator.cli.completers import complete_run
from simulator.cli.options import AS_JSON
from simulator.cli.output import print_result
from simulator.workspace import Workspace

PAGE = "comparison.html"


@click.command()
@click.argument("runs", nargs=-1, required=True, metavar="A B [C …]", shell_complete=complete_run)
@click.option("--html", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE", help="Where the page goes.")
@click.option("--draws", type=click.IntRange(1), default=10_000, show_default=True, help="Bootstrap replicates.")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Of the bootstrap.")
@AS_JSON
@click.pass_obj
def compare(
    workspace: Workspace, runs: tuple[str, ...], html: Path | None, draws: int, seed: int, as_json: bool
) -> None:
    """Are runs different, since which decision, and what was different about them?

    A, B … are folders of reports/, beginnings of their names, ids, or "last". With three or more every pair is tested
    and p adjusted for all of them. The page goes to reports/compare-A-B/.
    """
    from simulator.analysis.compare import common_sessions, compare_runs
    from simulator.report.comparison import judge_comparison, print_comparison
    from simulator.report.comparison_page import render_comparison
    from simulator.store.folders import find_run

    facts, compared = compare_runs([find_run(workspace.reports, run) for run in runs], draws=draws, seed=seed)
    sessions = common_sessions([one.evidence for one in compared])
    page = _write(workspace, facts, render_comparison(facts, compared, sessions), html)
    result = {"verdict": asdict(judge_comparison(facts)), **facts, "page": str(page)}
    print_result(result, as_json, lambda console: print_comparison(facts, page, console))


def _write(workspace: Workspace, facts: Mapping[str, Any], content: bytes, target: Path | None) -> Path:
    """Write the page in one step, to `target` or into a folder of reports/ named after the runs."""
    from simulator.errors import SimError
    from simulator.store.folders import json_bytes, write_file, write_folder

    if target is None:
        name = "-".join(["compare", *(run["run_id"] for run in facts["runs"])])
        files = {PAGE: content, "comparison.json": json_bytes(facts)}
        return write_folder(workspace.reports, name, files) / PAGE
    if not target.parent.is_dir():
        mend = "choose another place with --html"
        raise SimError("cannot be written (No such file or directory)", where=str(target), mend=mend)
    return write_file(target, content)
