"""`sim run`, `sim report`, `sim runs`, `sim explain`: parse, call, print."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from simulator.cli.complete import complete_run, complete_strategy, complete_symbol
from simulator.workspace import Workspace

if TYPE_CHECKING:
    from simulator.research.run import Tick

STAGES = {"ask": "asking", "replay": "replaying"}


def _symbols(_ctx: click.Context, _param: click.Parameter, value: str) -> tuple[str, ...]:
    names = tuple(dict.fromkeys(name.strip().upper() for name in value.split(",") if name.strip()))
    if not names:
        raise click.BadParameter("name at least one symbol, e.g. SPY,QQQ")
    return names


def _parameters(_ctx: click.Context, _param: click.Parameter, value: tuple[str, ...]) -> dict[str, Any]:
    pairs: dict[str, Any] = {}
    for word in value:
        name, equals, text = word.partition("=")
        if not equals or not name:
            raise click.BadParameter(f'"{word}" is not NAME=VALUE')
        try:
            pairs[name] = json.loads(text)
        except ValueError:
            pairs[name] = text
    return pairs


@click.command()
@click.option(
    "--strategy", default="macro_council", show_default=True, shell_complete=complete_strategy, help="Name or path."
)
@click.option(
    "--symbols",
    default="SPY,QQQ",
    show_default=True,
    callback=_symbols,
    shell_complete=complete_symbol,
    help="What may be traded.",
)
@click.option("--from", "first", default="2024-01-01", show_default=True, metavar="DATE", help="First session.")
@click.option("--to", "last", metavar="DATE", help="Last session.  [default: the last one all symbols have]")
@click.option("--models", metavar="PROFILE", help="Who answers: a profile of config/models.yaml.")
@click.option(
    "--cache",
    type=click.Choice(["record", "replay", "refresh", "off"]),
    default="record",
    show_default=True,
    help="replay never asks; refresh asks again.",
)
@click.option(
    "--set", "parameters", multiple=True, metavar="NAME=VALUE", callback=_parameters, help="A strategy parameter."
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")
@click.pass_obj
def run(workspace: Workspace, /, first: str, last: str | None, as_json: bool, **asked: Any) -> None:
    """Replay a strategy over historical bars and write its report.

    \b
    sim run --from 2024-01-01 --symbols SPY,QQQ
    sim run --strategy sma_cross --symbols SPY --from 2020-01-01 --set fast=20
    """
    from simulator.api import parse_date
    from simulator.research.run import simulate
    from simulator.research.spec import RunSpec

    spec = RunSpec(first=parse_date(first, "--from"), last=parse_date(last, "--to") if last else None, **asked)
    with _progress() as tick:
        made = simulate(spec, workspace, tick)
    made.report()
    if as_json:
        click.echo(json.dumps(made.summary()))
    else:
        from rich.console import Console

        from simulator.report.terminal import print_run

        print_run(made.facts, made.folder, Console())


@contextmanager
def _progress() -> Iterator[Callable[[Tick], None]]:
    """A progress bar on stderr: date, time left, share of cached answers, dollars. Silent when not a terminal."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description:<9} {task.fields[session]}"),
        BarColumn(),
        TextColumn("{task.completed}/{task.total}"),
        TimeRemainingColumn(),
        TextColumn("{task.fields[answers]}"),
    )
    console = Console(stderr=True)
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        tasks: dict[str, Any] = {}

        def tick(now: Tick) -> None:
            if now.stage not in tasks:
                tasks[now.stage] = bar.add_task(STAGES[now.stage], total=now.total, session="", answers="")
            answers = now.asked + now.cached
            took = f"{now.cached / answers:.0%} cached, ${now.cost_usd:.2f}" if answers else ""
            bar.update(tasks[now.stage], completed=now.done, session=now.session, answers=took)

        yield tick


@click.command()
@click.argument("run", default="last", shell_complete=complete_run)
@click.pass_obj
def report(workspace: Workspace, run: str) -> None:
    """Build the report of RUN again from its folder and print its path.

    RUN is a folder of reports/, the beginning of its name, its id, or "last".
    """
    from simulator.report import build
    from simulator.store.folders import find_run

    click.echo(build(find_run(workspace.reports, run)))


@click.command()
@click.option("--json", "as_json", is_flag=True, help="One JSON array on stdout.")
@click.pass_obj
def runs(workspace: Workspace, as_json: bool) -> None:
    """List the distinct runs made in this workspace, the newest last."""
    from simulator.store.registry import Registry

    registry = Registry(workspace.registry)
    rows = registry.rows() if workspace.registry.exists() else []
    registry.close()
    if as_json:
        click.echo(json.dumps(rows, default=str))
    elif not rows:
        click.echo("no runs yet; `sim run` makes one")
    else:
        from rich.console import Console

        from simulator.cli.listing import runs_table

        Console().print(runs_table(rows))


@click.command()
@click.argument("run", shell_complete=complete_run)
@click.argument("date")
@click.argument("symbol", required=False)
@click.option("--json", "as_json", is_flag=True, help="The whole record as one JSON object.")
@click.pass_obj
def explain(workspace: Workspace, run: str, date: str, symbol: str | None, as_json: bool) -> None:
    """What each member saw, said and voted on the decision of RUN in force on DATE, and what came of it."""
    from simulator.api import parse_date
    from simulator.report.explain import explanation, print_explanation
    from simulator.store.folders import find_run

    found = explanation(find_run(workspace.reports, run), parse_date(date, "DATE"), symbol and symbol.upper())
    if as_json:
        click.echo(json.dumps(found))
    else:
        from rich.console import Console

        print_explanation(found, Console())
