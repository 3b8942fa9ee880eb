"""`sim explain RUN [DATE]`: from a number or a date to the answers behind it."""

from __future__ import annotations

import click

from simulator.cli.completers import complete_account, complete_decision, complete_run
from simulator.cli.options import FORCE, open_run
from simulator.cli.output import print_result
from simulator.workspace import Workspace


@click.command()
@click.argument("run", shell_complete=complete_run)
@click.argument("date", required=False, shell_complete=complete_decision)
@click.argument("symbol", required=False)
@click.option("--account", metavar="NAME", shell_complete=complete_account, help="Another account than the council's.")
@FORCE
@click.option("--json", "as_json", is_flag=True, help="The whole record as one JSON object.")
@click.pass_obj
def explain(
    workspace: Workspace,
    run: str,
    date: str | None,
    symbol: str | None,
    account: str | None,
    force: bool,
    as_json: bool,
) -> None:
    """From the numbers of RUN back to the answers behind them.

    Without DATE: an account's numbers, its trades and the decision behind each. With DATE: what each member saw, said
    and voted on the decision in force then, and what came of it; with SYMBOL only what concerns it.
    """
    opened = open_run(workspace, run, force)
    folder, badge = opened.folder, {"altered": opened.altered} if opened.altered else {}
    if date is None:
        from simulator.analysis.explain import trace_account
        from simulator.report.explain import print_trace

        trace = trace_account(folder, account)
        print_result({**trace.to_json(), **badge}, as_json, lambda console: print_trace(trace, console))
    else:
        from simulator.analysis.explain import explain_decision
        from simulator.market.calendar import parse_date
        from simulator.report.explain import print_explanation

        found = explain_decision(folder, parse_date(date, "DATE"), symbol and symbol.upper(), account)
        print_result({**found.to_json(), **badge}, as_json, lambda console: print_explanation(found, console))
