"""`sim run`, `sim report`, `sim explain`: parse, call, print."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from simulator.cli.complete import (
    complete_account,
    complete_decision,
    complete_run,
    complete_strategy,
    complete_symbol,
)
from simulator.workspace import Workspace

if TYPE_CHECKING:
    from rich.console import Console

    from simulator.runs.execute import Tick

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


class InSections(click.Command):
    """A command whose help shows its options under headings; two that belong together share a line."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        records = {name: option.get_help_record(ctx) for option in self.get_params(ctx) for name in option.opts}
        for heading, names in SECTIONS.items():
            with formatter.section(heading):
                rows = [(PAIRED[name] if name in PAIRED else records[name]) for name in names]
                formatter.write_dl([row for row in rows if row is not None])


SECTIONS = {
    "What is replayed": ("--strategy", "--symbols", "--from", "--set"),
    "Who answers, and for how much": ("--models", "--plan", "--max-cost", "--replicates", "--cache"),
    "Output": ("--format", "--json", "--help"),
}
PAIRED = {"--from": ("--from DATE, --to DATE", "First and last session.  [default: 2024-01-01, the last all have]")}


@click.command(cls=InSections)
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
@click.option("--from", "first", default="2024-01-01")
@click.option("--to", "last")
@click.option(
    "--set", "parameters", multiple=True, metavar="NAME=VALUE", callback=_parameters, help="A strategy parameter."
)
@click.option("--models", metavar="PROFILE", help="Who answers: a profile of config/models.yaml.")
@click.option("--plan", is_flag=True, help="Say what would be asked and what it would cost; ask nothing.")
@click.option("--max-cost", type=float, metavar="USD", default=5.0, show_default=True, help="Dollars it may spend.")
@click.option("--replicates", type=int, metavar="K", default=1, show_default=True, help="Ask each question K times.")
@click.option(
    "--cache",
    type=click.Choice(["record", "replay", "refresh", "off"]),
    default="record",
    show_default=True,
    help="replay never asks; refresh asks again.",
)
@click.option(
    "--format",
    "kind",
    type=click.Choice(["html", "md", "json"]),
    default="html",
    show_default=True,
    help="Also report.md or report.json; md goes to docs/backtest_results.md too.",
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")
@click.pass_obj
def run(
    workspace: Workspace, /, first: str, last: str | None, plan: bool, kind: str, as_json: bool, **asked: Any
) -> None:
    """Replay a strategy over historical bars and write its report.

    \b
    sim run --from 2024-01-01 --symbols SPY,QQQ
    sim run --strategy sma_cross --symbols SPY --from 2020-01-01 --set fast=20
    sim run --models requesty --plan

    Exits 4 where models did not answer: the money was spent or a service kept failing, and the result is partial; or
    meetings ended without a decision because too few members answered. The same command continues.
    """
    from simulator.api import parse_date, simulate
    from simulator.runs.execute import PartialRunError
    from simulator.runs.spec import RunSpec

    spec = RunSpec(first=parse_date(first, "--from"), last=parse_date(last, "--to") if last else None, **asked)
    if plan:
        from simulator.cli.plan import show_plan

        show_plan(spec, workspace, as_json)
        return
    stopped: PartialRunError | None = None
    with _progress() as tick:
        try:
            made = simulate(spec, workspace, tick)
        except PartialRunError as error:
            made, stopped = error.run, error
    further = _written(workspace, made.folder, kind) if kind != "html" else ()
    if as_json:
        click.echo(json.dumps({**made.summary(), "files": [str(path) for path in further]}))
    else:
        from rich.console import Console

        from simulator.report.terminal import print_run

        print_run(made.facts, made.folder, Console())
        for path in further:
            click.echo(path)
    if stopped is not None:
        raise stopped
    if made.undecided is not None:
        raise made.undecided


def _written(workspace: Workspace, folder: Path, kind: str) -> tuple[Path, ...]:
    """The report in another form, in the run's folder; Markdown also where a repository's readers look for it."""
    from simulator.report.formats import write
    from simulator.store.folders import write_file

    path = write(folder, kind)
    if kind != "md":
        return (path,)
    return path, write_file(workspace.out / "docs" / "backtest_results.md", path.read_bytes())


@contextmanager
def _progress() -> Iterator[Callable[[Tick], None]]:
    """A progress bar on stderr: date, time left, share of cached answers, dollars. Where stderr is no terminal, one
    line once the first real calls tell what the run will cost."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (
        TextColumn("{task.description:<9} {task.fields[session]}"),
        BarColumn(bar_width=24),
        TextColumn("{task.completed}/{task.total}"),
        TimeElapsedColumn(),
        TextColumn("{task.fields[answers]}"),
    )
    console = Console(stderr=True)
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        tasks: dict[str, Any] = {}
        told = console.is_terminal

        def tick(now: Tick) -> None:
            nonlocal told
            if now.stage not in tasks:
                tasks[now.stage] = bar.add_task(STAGES[now.stage], total=now.total, session="", answers="")
            bar.update(tasks[now.stage], completed=now.done, session=now.session, answers=_answers(now))
            # Rules answer for nothing and at once: there is nothing to tell.
            if not told and ((now.expected_usd or 0.0) > 0.0 or (now.seconds_left or 0.0) >= 10.0):
                told = True
                click.echo(f"sim: {now.asked} answers so far: {_answers(now)}", err=True)

        yield tick


def _answers(now: Tick) -> str:
    """``41% cached, $0.42 of about $3.10, 4 min left``"""
    answers = now.asked + now.cached
    if not answers:
        return ""
    spent = f"{now.cached / answers:.0%} cached, ${now.cost_usd:.2f}"
    if now.expected_usd is None or now.seconds_left is None:
        return spent
    left = f"{now.seconds_left / 60:.0f} min" if now.seconds_left >= 90 else f"{now.seconds_left:.0f} s"
    return f"{spent} of about ${now.expected_usd:.2f}, {left} left"


@click.command()
@click.argument("run", default="last", shell_complete=complete_run)
@click.option(
    "--format",
    "kind",
    type=click.Choice(["html", "md", "json"]),
    default="html",
    show_default=True,
    help="A page, Markdown, or everything the page shows as numbers.",
)
@click.pass_obj
def report(workspace: Workspace, run: str, kind: str) -> None:
    """Build the report of RUN again from its folder and print its path.

    RUN is a folder of reports/, the beginning of its name, its id, or "last".
    """
    from simulator.analysis.trials_file import count_trials
    from simulator.evidence.reader import read_run
    from simulator.report.formats import write
    from simulator.store.folders import find_run

    folder = find_run(workspace.reports, run)
    count_trials(workspace, folder, read_run(folder))
    click.echo(write(folder, kind))


@click.command()
@click.argument("run", shell_complete=complete_run)
@click.argument("date", required=False, shell_complete=complete_decision)
@click.argument("symbol", required=False)
@click.option("--account", metavar="NAME", shell_complete=complete_account, help="Another account than the council's.")
@click.option("--json", "as_json", is_flag=True, help="The whole record as one JSON object.")
@click.pass_obj
def explain(
    workspace: Workspace, run: str, date: str | None, symbol: str | None, account: str | None, as_json: bool
) -> None:
    """From the numbers of RUN back to the answers behind them.

    Without DATE: an account's numbers, its trades and the decision behind each. With DATE: what each member saw, said
    and voted on the decision in force then, and what came of it; with SYMBOL only what concerns it.
    """
    from simulator.store.folders import find_run

    folder = find_run(workspace.reports, run)
    show: Callable[[Any, Console], None]
    if date is None:
        from simulator.report.trace import account_trace, print_trace

        found, show = account_trace(folder, account), print_trace
    else:
        from simulator.api import parse_date
        from simulator.report.explain import explanation, print_explanation

        found, show = (
            explanation(folder, parse_date(date, "DATE"), symbol and symbol.upper(), account),
            print_explanation,
        )
    if as_json:
        click.echo(json.dumps(found))
    else:
        from rich.console import Console

        show(found, Console())
