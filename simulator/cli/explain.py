"""`sim explain RUN [DATE]`: from a number or a date to the answers behind it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from simulator.cli.completers import complete_account, complete_decision, complete_run
from simulator.cli.output import print_result
from simulator.workspace import Workspace

if TYPE_CHECKING:
    from rich.console import Console


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

        day, only = parse_date(date, "DATE"), symbol and symbol.upper()
        found, show = explanation(folder, day, only, account), print_explanation
    print_result(found, as_json, lambda console: show(found, console))
