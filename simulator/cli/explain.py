"""`sim explain RUN [NUMBER | DATE]`: from a number or a date to what is behind it."""

from __future__ import annotations

from typing import Any

import click

from simulator.cli.completers import complete_account, complete_run, complete_symbol_of_run, complete_topic
from simulator.cli.options import FORCE, open_run
from simulator.cli.output import print_result
from simulator.printing import say
from simulator.workspace import Workspace


@click.command()
@click.argument("run", shell_complete=complete_run)
@click.argument("what", metavar="[NUMBER|DATE]", required=False, shell_complete=complete_topic)
@click.argument("symbol", required=False, shell_complete=complete_symbol_of_run)
@click.option("--account", metavar="NAME", shell_complete=complete_account, help="Another account, or a benchmark.")
@click.option(
    "--symbol", "only", metavar="SYMBOL", shell_complete=complete_symbol_of_run, help="What concerns it only."
)
@click.option("--trades", type=click.IntRange(1), metavar="N", help="The N trades that added or took most.")
@click.option("--page", type=click.IntRange(1), metavar="N", help="Forty rows at a time, from page 1 on.")
@FORCE
@click.option("--json", "as_json", is_flag=True, help="The whole record as one JSON object.")
@click.pass_obj
def explain(
    workspace: Workspace, /, run: str, symbol: str | None, only: str | None, force: bool, as_json: bool, **options: Any
) -> None:
    """From the numbers of RUN back to the answers behind them.

    \b
    sim explain last                     an account's numbers, its trades, the decision behind each
    sim explain last sharpe              how a number is worked out, and what each session adds to it
    sim explain last alpha --trades 5    … and the five trades that added or took most
    sim explain last 2024-03-08 SPY      what each member saw, said and voted then, and what came of it

    A terminal shows what is longer than its screen in $PAGER; --page turns the pages of a table by number.
    """
    from simulator.notebook.commands import Topic, explain_run
    from simulator.runs.strategies import list_changed

    opened = open_run(workspace, run, force)
    facts, show = explain_run(opened, Topic(symbol=only or symbol, **options))
    if changed := list_changed(opened.run["strategy_files"], workspace.strategies):
        say(f"sim: changed since this run: {', '.join(changed)}; what is told is of then", err=True)
    print_result(facts, as_json, show, paged=True)
