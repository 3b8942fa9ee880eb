"""`sim check RUN`: may a model have known the outcome, and what do the decisions rest on? Parse, call, print."""

from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING

import click

from simulator.cli.completers import complete_run
from simulator.cli.options import AS_JSON, FORCE, MAX_COST, open_run, split_names
from simulator.cli.output import print_result
from simulator.report.renderers.progress import progress_bar
from simulator.workspace import Workspace

if TYPE_CHECKING:
    from simulator.contamination.bill import Bill
    from simulator.contamination.checks import Check


def _parse_names(_ctx: click.Context, _param: click.Parameter, value: str | None) -> tuple[str, ...] | None:
    return None if value is None else split_names(value)


@click.command()
@click.argument("run", default="last", shell_complete=complete_run)
@click.option("--only", callback=_parse_names, metavar="NAME,…", help="These checks only.")
@click.option("--models", is_flag=True, help="Ask models too; without it their checks are billed and left.")
@MAX_COST
@FORCE
@AS_JSON
@click.pass_obj
def check(
    workspace: Workspace,
    run: str,
    only: tuple[str, ...] | None,
    models: bool,
    max_cost: float,
    force: bool,
    as_json: bool,
) -> None:
    """Check what the decisions of RUN rest on: what they were shown, or what was remembered.

    \b
    cutoff      what was earned on dates its models can remember, and after
    costs       the same decisions at twice the costs
    execution   filled at the close and the open of the bar before
    future      bars after each decision replaced by noise: it must not change
    inputs      signs of all facts flipped: it should change
    blind       names, dates and price levels hidden, then exact digits too
    reidentify  does the model see through that?
    recall      are forecasts better where it remembers more?
    replicates  the same questions asked again

    Every check says first what it would ask and what that costs. Writes checks.html and checks.json into the folder
    and builds the report again.
    """
    from simulator.contamination.checks import select_checks
    from simulator.notebook.commands import check_run
    from simulator.report.checks import print_bill, print_checks
    from simulator.runs.spec import check_max_cost

    check_max_cost(max_cost)
    opened, wanted = open_run(workspace, run, force), select_checks(only)

    def show_bill(one: Check, bill: Bill) -> None:
        print_bill(one.name, str(bill), err=as_json)

    begun = count()
    with progress_bar() as advance:

        def show_check(one: Check) -> None:
            advance(next(begun), len(wanted), before=one.name, after=one.what)

        facts, results, page = check_run(opened, workspace, wanted, max_cost, models, show_bill, show_check)
    print_result({**facts, "page": str(page)}, as_json, lambda console: print_checks(facts, results, page, console))
