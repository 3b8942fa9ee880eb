"""`sim verify RUN`: is a run folder still what the run wrote?"""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from simulator.cli.completers import complete_run
from simulator.cli.options import AS_JSON
from simulator.cli.output import print_result
from simulator.workspace import Workspace

if TYPE_CHECKING:
    from rich.console import Console


@click.command()
@click.argument("run", required=False, shell_complete=complete_run)
@click.option("--all", "each", is_flag=True, help="Every folder of reports/, and runs that have none.")
@AS_JSON
@click.pass_obj
def verify(workspace: Workspace, run: str | None, each: bool, as_json: bool) -> None:
    """Hold the files of RUN (the last), or of a sweep, against its run.json, and that against the store.

    A changed, missing or added file is named and ends in exit code 3. A folder this store does not know, or of an
    earlier version, is a note. trials.json and runtime.json stand in no digest: they differ between reruns.
    """
    from simulator.errors import DataError, UsageError
    from simulator.evidence.sweep_reader import find_sweep, find_sweeps
    from simulator.evidence.verify import verify_folders
    from simulator.store.folders import find_run, run_folders

    if each and run:
        raise UsageError(f"--all and {run}", mend="name one run or all of them")
    if each:
        folders = [*run_folders(workspace.reports), *find_sweeps(workspace.reports)]
    else:
        folders = [find_sweep(workspace.reports, run or "") or find_run(workspace.reports, run or "last")]
    found = verify_folders(workspace, folders, gone=each)
    print_result({"runs": found}, as_json, lambda console: _print(found, console))
    changed = [one["folder"] for one in found if one["state"] == "changed"]
    if changed:
        what = f"{len(changed)} of {len(found)} runs have" if each else f"{changed[0]} has"
        raise DataError(f"{what} changed since it was made" if not each else f"{what} changed since they were made")


def _print(found: list[dict[str, object]], console: Console) -> None:
    from simulator.report.renderers.console import Text

    for one in found:
        console.print(Text(f"{one['state']:<13} {one['folder']}"), soft_wrap=True)
        for line in (*_lines(one["changed"]), *_lines(one["notes"])):
            console.print(Text(f"              {line}", "dim"), soft_wrap=True)
    if not found:
        console.print("no runs yet; `sim run` makes one")


def _lines(value: object) -> list[str]:
    return [str(line) for line in value] if isinstance(value, list | tuple) else []
