"""`sim council research|pitch|review|run --as-of DATE`: one meeting, up to that stage."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import click

from simulator.cli.complete import complete_strategy, complete_symbol
from simulator.workspace import Workspace


def _symbols(_ctx: click.Context, _param: click.Parameter, value: str) -> tuple[str, ...]:
    names = tuple(dict.fromkeys(name.strip().upper() for name in value.split(",") if name.strip()))
    if not names:
        raise click.BadParameter("name at least one symbol, e.g. SPY,QQQ")
    return names


OPTIONS = (
    click.option("--as-of", required=True, metavar="DATE", help="Day of the meeting, or an instant: 2024-01-31T08:00."),
    click.option(
        "--strategy", default="macro_council", show_default=True, shell_complete=complete_strategy, help="Name or path."
    ),
    click.option(
        "--symbols",
        default="SPY,QQQ",
        show_default=True,
        callback=_symbols,
        shell_complete=complete_symbol,
        help="What may be traded.",
    ),
    click.option("--models", metavar="PROFILE", help="Who answers: a profile of config/models.yaml."),
    click.option("--max-cost", type=float, metavar="USD", default=5.0, show_default=True, help="Dollars it may spend."),
    click.option(
        "--cache",
        type=click.Choice(["record", "replay", "refresh", "off"]),
        default="record",
        show_default=True,
        help="replay never asks; refresh asks again.",
    ),
    click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout."),
)


def _options(command: Callable[..., None]) -> Callable[..., None]:
    for option in reversed(OPTIONS):
        command = option(command)
    return command


@click.group()
def council() -> None:
    """One meeting of a council as of a date, up to the stage named.

    \b
    sim council run --as-of 2024-06-03
    sim council pitch --as-of 2024-06-03 --symbols SPY,GLD --json

    The decision is that of config/schedule.yaml: a holiday or an early close moves it to the next whole session.
    Answers on disk are used and new ones kept, as in `sim run`. Exits 4 where too few members answered.
    """


@council.command()
@_options
@click.pass_obj
def research(workspace: Workspace, /, **asked: Any) -> None:
    """The research packs, side by side."""
    _show("research", workspace, **asked)


@council.command()
@_options
@click.pass_obj
def pitch(workspace: Workspace, /, **asked: Any) -> None:
    """What each manager pitches."""
    _show("pitch", workspace, **asked)


@council.command()
@_options
@click.pass_obj
def review(workspace: Workspace, /, **asked: Any) -> None:
    """What the managers make of each other's pitches."""
    _show("review", workspace, **asked)


@council.command()
@_options
@click.pass_obj
def run(workspace: Workspace, /, **asked: Any) -> None:
    """The whole meeting: pitches, reviews, the chairman's decision, the targets of an empty account."""
    _show("run", workspace, **asked)


def _show(up_to: str, workspace: Workspace, as_json: bool, **asked: Any) -> None:
    from simulator.runs.meeting import Call, cost, hold

    call = Call(up_to=up_to, **asked)
    if call.cache != "replay":
        expected = cost(call, workspace)
        if expected.to_ask:
            likely = f"about ${expected.usd:.2f}, at most ${expected.most_usd:.2f}"
            money = likely if expected.most_usd else "no money"
            click.echo(f"{expected.to_ask} questions to ask, {money}", err=True)
    with _progress() as tell:
        held = hold(call, workspace, tell)
    if as_json:
        click.echo(json.dumps(held.facts))
    else:
        from rich.console import Console

        from simulator.report.meeting import print_meeting

        print_meeting(held.facts, Console())
    if held.undecided is not None:
        raise held.undecided


@contextmanager
def _progress() -> Iterator[Callable[[int, int, float], None]]:
    """A progress bar on stderr, none where stderr is no terminal."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (
        TextColumn("asking"),
        BarColumn(bar_width=24),
        TextColumn("{task.completed}/{task.total}"),
        TimeElapsedColumn(),
        TextColumn("{task.description}"),
    )
    console = Console(stderr=True)
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("", total=None)
        yield lambda done, total, usd: bar.update(task, completed=done, total=total, description=f"${usd:.2f}")
