"""`sim ablate RUN`: what each part of a council adds, from its recorded votes."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import click

from simulator.cli.complete import complete_run
from simulator.workspace import Workspace


@click.command()
@click.argument("run", default="last", shell_complete=complete_run)
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")
@click.pass_obj
def ablate(workspace: Workspace, run: str, as_json: bool) -> None:
    """What the council adds: its recorded votes decided again with one part taken away.

    RUN is a folder of reports/, the beginning of its name, its id, or "last". Nobody is asked. Checkpoints, chairman,
    reviews, weighing, each manager and deciding together are left out in turn; each difference comes with a paired
    interval. Writes ablation.html and ablation.json into the folder and builds the report again.
    """
    from simulator.analysis.ablation import ablate as take_apart
    from simulator.report import build
    from simulator.report.ablation import FACTS, FILE, page, print_ablation, write
    from simulator.store.folders import find_run, json_bytes

    folder = find_run(workspace.reports, run)
    with _progress() as tell:
        facts = take_apart(folder, workspace, tell)
    write(folder, {FACTS: json_bytes(facts), FILE: page(facts)})
    build(folder)
    if as_json:
        click.echo(json.dumps({**facts, "page": str(folder / FILE)}))
        return
    from rich.console import Console

    print_ablation(facts, folder / FILE, Console())


@contextmanager
def _progress() -> Iterator[Callable[[int, int, str], None]]:
    """A progress bar on stderr, none where stderr is no terminal."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (
        BarColumn(bar_width=24),
        TextColumn("{task.completed}/{task.total}"),
        TimeElapsedColumn(),
        TextColumn("{task.description}"),
    )
    console = Console(stderr=True)
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("reading the run", total=None)
        yield lambda done, total, what: bar.update(task, completed=done, total=total, description=what)
