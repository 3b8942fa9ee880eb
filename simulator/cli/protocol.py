"""`sim protocol RUN`: thirteen questions of two reviews, answered from the evidence of a run."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import click

from simulator.cli.completers import complete_run
from simulator.cli.options import AS_JSON, FORCE, open_run
from simulator.cli.output import print_result
from simulator.workspace import Workspace

if TYPE_CHECKING:
    from rich.console import Console

    from simulator.analysis.protocol import Answer
    from simulator.evidence.records import RunRecord


@click.command()
@click.argument("run", default="last", shell_complete=complete_run)
@FORCE
@AS_JSON
@click.pass_obj
def protocol(workspace: Workspace, run: str, force: bool, as_json: bool) -> None:
    """Answer for RUN what two reviews of the field ask before a result may be believed.

    Each of the thirteen answers is worked out of the run's own files: shown, with the figure and where it stands; not
    shown, with the command that would show it; or does not apply, and why.
    """
    from simulator.analysis.protocol import answer_protocol
    from simulator.analysis.trials import fresh_trials
    from simulator.evidence.reader import read

    opened = open_run(workspace, run, force)
    tried = fresh_trials(workspace, opened.folder, opened.run)
    evidence = read(opened.folder, opened.altered, tried)
    until = _last_bars(workspace, opened.run)
    answers = answer_protocol(replace(evidence, run={**evidence.run, "bars_until": until}) if until else evidence)
    found = {"run_id": opened.run["run_id"], "answers": [vars(one) for one in answers]}
    print_result(found, as_json, lambda console: _print(answers, console))


def _last_bars(workspace: Workspace, run: RunRecord) -> str:
    """Return the session up to which there are bars of all symbols by now; empty where they cannot be read."""
    from simulator.errors import SimError
    from simulator.market.load import ends_of, select

    try:
        files = select(workspace.reading(run.get("bars")).bar_folders, run["symbols"])
        return str(ends_of([one.read() for one in files]))
    except SimError:
        return ""


def _print(answers: tuple[Answer, ...], console: Console) -> None:
    from simulator.report.renderers.console import Text
    from simulator.report.renderers.terminal import print_paragraph

    review = ""
    for one in answers:
        if one.review != review:
            review = one.review
            console.print(Text(f"\n{review}", style="dim"))
        console.print(Text.assemble((f"{one.standing:<15}", "bold"), one.question), soft_wrap=True)
        print_paragraph(console, one.evidence)
        print_paragraph(console, one.where or one.command, "dim", label="in" if one.where else "type")
