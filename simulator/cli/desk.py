"""`sim desk`: one task of the trading desk as of an instant, and how the desk stands."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar, cast

import click

from simulator.cli.completers import complete_run, complete_strategy, complete_symbol
from simulator.cli.options import AS_JSON, MAX_COST, MODELS, InSections, Whole, apply_options, cache_mode, parse_symbols
from simulator.cli.output import print_result
from simulator.printing import say
from simulator.workspace import Workspace

AS_OF = click.option("--as-of", metavar="WHEN", help="A date, its session over, or an instant.  [default: now]")
RUN = click.option(
    "--run", metavar="RUN", shell_complete=complete_run, help="A run or forward test whose account is looked at."
)
SYMBOLS = click.option(
    "--symbols",
    callback=parse_symbols,
    shell_complete=complete_symbol,
    help="What is looked at.  [default: assets.yaml, or the run's]",
)
STRATEGY = click.option(
    "--strategy", default="momentum_desk", show_default=True, shell_complete=complete_strategy, help="The desk."
)
of_task = apply_options(AS_OF, RUN, SYMBOLS, STRATEGY, MODELS, MAX_COST, cache_mode(), AS_JSON)


class TaskCommand(InSections):
    """A task of the desk, its options by what they decide."""

    sections: ClassVar = {
        "What is asked": ("--most", "--period", "--detailed", "--from", "--as-of", "--run", "--symbols"),
        "Who answers, and for how much": ("--strategy", "--models", "--max-cost", "--cache"),
        "Output": ("--out", "--json", "--help"),
    }


@click.group()
def desk() -> None:
    """Ask the desk: screen, analyze, optimize, review, backtest; or see how it stands.

    \b
    sim desk screen --as-of 2024-06-03 --symbols AAPL,SPY,QQQ,NVDA --out watchlist.csv
    sim desk analyze NVDA --as-of 2024-06-03 --json
    sim desk review --run last --period 7 --detailed

    These run beside its workflow and move no state: trading is `sim run --strategy momentum_desk`, `sim rehearse` and
    `sim forward start`. Answers on disk are used and new ones kept, as in `sim run`.
    """


@desk.command(cls=TaskCommand)
@click.option("--most", type=Whole(min=1, max=100), default=5, show_default=True, help="Candidates to list.")
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), help="Write the watchlist as CSV too.")
@of_task
@click.pass_obj
def screen(workspace: Workspace, /, out: Path | None, as_json: bool, **asked: Any) -> None:
    """Symbols that pass every filter, best momentum first."""
    found = _carry_out(workspace, "screen", "", **asked)
    _show(found, as_json)
    if out is not None:
        from simulator.files import write_file
        from simulator.report.desk import watchlist_csv

        say(write_file(out, watchlist_csv(found)), err=as_json)


@desk.command(cls=TaskCommand)
@click.argument("symbol", shell_complete=complete_symbol)
@of_task
@click.pass_obj
def analyze(workspace: Workspace, /, symbol: str, as_json: bool, **asked: Any) -> None:
    """Signals, score and class of SYMBOL: STRONG_BUY, BUY, HOLD or AVOID."""
    _show(_carry_out(workspace, "analyze", symbol.upper(), **asked), as_json)


@desk.command(cls=TaskCommand)
@click.argument("symbol", shell_complete=complete_symbol)
@of_task
@click.pass_obj
def optimize(workspace: Workspace, /, symbol: str, as_json: bool, **asked: Any) -> None:
    """Entry, size, stop and targets of SYMBOL, or the rules that forbid it."""
    _show(_carry_out(workspace, "optimize", symbol.upper(), **asked), as_json)


@desk.command(cls=TaskCommand)
@click.option("--period", type=Whole(min=1, max=3660), default=1, show_default=True, help="Calendar days back.")
@click.option("--detailed", is_flag=True, help="With every trade.")
@of_task
@click.pass_obj
def review(workspace: Workspace, /, as_json: bool, **asked: Any) -> None:
    """Trades and results of an account, a grade, and what the reviewer makes of them."""
    _show(_carry_out(workspace, "review", "", **asked), as_json)


@desk.command("backtest-strategy", cls=TaskCommand)
@click.argument("name", shell_complete=complete_strategy)
@click.option("--from", "first", default="2024-01-01", show_default=True, metavar="DATE", help="First session.")
@of_task
@click.pass_obj
def backtest(workspace: Workspace, /, name: str, as_json: bool, **asked: Any) -> None:
    """Backtest NAME, on record and counted as a trial, and judge whether it may be traded."""
    _show(_carry_out(workspace, "backtest", name, **asked), as_json)


@desk.command()
@AS_JSON
@click.pass_obj
def status(workspace: Workspace, as_json: bool) -> None:
    """State of the desk: running or not, its workflow, today's bill, what comes next."""
    from simulator.runs.desk_status import desk_status

    _show(cast("dict[str, Any]", desk_status(workspace)), as_json)


def _carry_out(
    workspace: Workspace,
    kind: Any,
    about: str,
    *,
    as_of: str | None,
    run: str | None,
    symbols: tuple[str, ...],
    **asked: Any,
) -> dict[str, Any]:
    from simulator.api import make_backtester
    from simulator.runs.desk import DeskTask, carry_out
    from simulator.runs.desk_state import DeskRequest

    task = DeskTask(kind, about, DeskRequest(symbols, as_of, run), **asked)
    return carry_out(task, workspace, make_backtester(workspace) if kind == "backtest" else None)


def _show(found: dict[str, Any], as_json: bool) -> None:
    from simulator.report.desk import print_desk

    print_result(found, as_json, lambda console: print_desk(found, console))
