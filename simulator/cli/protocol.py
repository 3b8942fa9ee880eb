"""`sim protocol RUN`: thirteen questions of two reviews, answered from the evidence of a run."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from simulator.cli.completers import complete_run
from simulator.cli.options import AS_JSON, FORCE, open_run
from simulator.cli.output import print_result
from simulator.workspace import Workspace

if TYPE_CHECKING:
    from rich.console import Console

    from simulator.analysis.protocol import Answer


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
    from simulator.evidence.reader import read

    opened = open_run(workspace, run, force)
    answers = answer_protocol(read(opened.folder, opened.altered))
    found = {"run_id": opened.run["run_id"], "answers": [vars(one) for one in answers]}
    print_result(found, as_json, lambda console: _print(answers, console))


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
