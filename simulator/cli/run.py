"""`sim run`: replay a strategy and write its report, or say beforehand what it would cost."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import click

from simulator.cli.options import (
    AS_JSON,
    BARS,
    FACTORS,
    MAX_COST,
    MODELS,
    OPEN,
    STRATEGY,
    SYMBOLS,
    InSections,
    cache_mode,
    set_parameters,
)
from simulator.cli.output import open_page, print_result
from simulator.notebook.progress import show_run
from simulator.printing import say
from simulator.workspace import Workspace

if TYPE_CHECKING:
    from rich.console import Console

    from simulator.runs.execute import FinishedRun
    from simulator.runs.spec import RunSpec


class RunCommand(InSections):
    """`sim run`, its options by what they decide."""

    sections: ClassVar = {
        "What is replayed": ("--strategy", "--symbols", "--from"),
        "Who answers, and for how much": ("--models", "--plan", "--max-cost", "--batch", "--replicates", "--cache"),
        "Output": ("--factors", "--format", "--help"),
    }
    paired: ClassVar = {
        "--symbols": (
            "--symbols TEXT, --bars DIR",
            "What may be traded, and bars that come before the workspace's.  [default: SPY,QQQ]",
        ),
        "--strategy": (
            "--strategy TEXT, --set NAME=VALUE",
            "Name or path, and parameters of it, each with a --set.  [default: macro_council]",
        ),
        "--format": (
            "--format [html|md|json], --json, --open",
            "Also report.md or report.json, md to docs/backtest_results.md too; one JSON object on stdout; "
            "the report in a browser, where there is a display.",
        ),
        "--from": ("--from DATE, --to DATE", "First and last session.  [default: 2024-01-01, the last all have]"),
    }


@click.command(cls=RunCommand)
@STRATEGY
@SYMBOLS
@click.option("--from", "first", default="2024-01-01")
@click.option("--to", "last")
@BARS
@set_parameters("A strategy parameter.")
@click.option(
    "--engine",
    type=click.Choice(["auto", "backtrader", "kernel"]),
    default="auto",
    hidden=True,  # auto does for all but who doubts it: docs/performance.md
    help="Who plays; auto takes the kernel for rules past 200,000 bars, backtrader then audits a slice.",
)
@MODELS
@click.option("--plan", is_flag=True, help="Say what would be asked and what it would cost; ask nothing.")
@MAX_COST
@click.option(
    "--batch",
    type=click.Choice(["all", "meetings"]),
    is_flag=False,
    flag_value="all",
    help="Ask in batches, at half price, in days; `meetings` leaves checkpoints to ordinary asking.",
)
@click.option("--replicates", type=int, metavar="K", default=1, show_default=True, help="Ask each question K times.")
@cache_mode("verify-opinions", hint="; verify-opinions forms every kept opinion again")
@FACTORS
@click.option(
    "--format",
    "kind",
    type=click.Choice(["html", "md", "json"]),
    default="html",
    show_default=True,
    help="Also report.md or report.json; md goes to docs/backtest_results.md too.",
)
@OPEN
@AS_JSON
@click.pass_obj
def run(
    workspace: Workspace,
    /,
    first: str,
    last: str | None,
    plan: bool,
    kind: str,
    factors: Path | None,
    opened: bool,
    as_json: bool,
    **options: Any,
) -> None:
    """Replay a strategy over historical bars and write its report.

    \b
    sim run --from 2024-01-01 --symbols SPY,QQQ
    sim run --strategy sma_cross --symbols SPY --from 2020-01-01 --set fast=20
    sim run --models requesty --plan
    sim run --set risk.execution=alpaca   (orders by the terms they will trade under)

    Exits 4 where models did not answer: the money was spent or a service kept failing, and the result is partial; or
    meetings ended without a decision because too few members answered. The same command continues.
    """
    from simulator.api import simulate
    from simulator.evidence.reader import read_factors
    from simulator.market.calendar import parse_date
    from simulator.runs.execute import PartialRunError
    from simulator.runs.spec import RunSpec

    spec = RunSpec(first=parse_date(first, "--from"), last=parse_date(last, "--to") if last else None, **options)
    if plan:
        _print_plan(spec, workspace, as_json)
        return
    stopped: PartialRunError | None = None
    with show_run() as tick:
        try:
            made = simulate(spec, workspace, tick, factors)
        except PartialRunError as error:
            made, stopped = error.run, error
    files = _write_report(workspace, made, kind) if kind != "html" else ()
    facts = {**made.summary(), "files": [str(path) for path in files]}
    if factors is not None and (known := read_factors(made.folder, made.facts)):
        facts["factors"] = known["regression"]
    print_result(facts, as_json, lambda console: _print_run(made, files, console))
    if opened:
        open_page(made.report())
    if stopped is not None:
        raise stopped
    if made.undecided is not None:
        raise made.undecided


def _print_plan(spec: RunSpec, workspace: Workspace, as_json: bool) -> None:
    from simulator.report.plan import print_plan
    from simulator.runs.plan import make_plan

    plan = make_plan(spec, workspace)
    print_result(plan.to_json(), as_json, lambda console: print_plan(plan, console))


def _print_run(made: FinishedRun, files: tuple[Path, ...], console: Console) -> None:
    from simulator.report.terminal import print_run

    print_run(made.folder, console)
    for path in files:
        say(path)


def _write_report(workspace: Workspace, made: FinishedRun, kind: str) -> tuple[Path, ...]:
    """Write the report in another form into the run's folder; Markdown also where a repository's readers look for it.

    Returns the paths written.
    """
    from simulator.evidence.verify import add_parts
    from simulator.files import write_file
    from simulator.report.formats import write

    path = write(made.folder, kind, add=partial(add_parts, workspace, made.facts))
    if kind != "md":
        return (path,)
    return path, write_file(workspace.out / "docs" / "backtest_results.md", path.read_bytes())
