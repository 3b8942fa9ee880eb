"""`sim sweep`: play a strategy in many settings, and say what the best of them is worth."""

from __future__ import annotations

from typing import Any

import click

from simulator.cli.options import AS_JSON, STRATEGY, SYMBOLS
from simulator.cli.output import print_result
from simulator.workspace import Workspace


@click.command()
@STRATEGY
@SYMBOLS
@click.option("--from", "first", default="2024-01-01", help="First session.")
@click.option("--to", "last", help="Last session.")
@click.option("--set", "words", multiple=True, metavar="NAME=FROM:TO:STEP", help="A parameter and its values.")
@click.option("--seed", type=int, default=0)
@AS_JSON
@click.pass_obj
def sweep(
    workspace: Workspace,
    /,
    strategy: str,
    symbols: tuple[str, ...],
    first: str,
    last: str | None,
    words: tuple[str, ...],
    seed: int,
    as_json: bool,
) -> None:
    """Play a strategy in many settings.

    \b
    sim sweep --strategy sma_cross --set fast=5:50:5 --set slow=20:200:10 --symbols SPY
    """
    from simulator.market.calendar import parse_date
    from simulator.runs.spec import RunSpec
    from simulator.studies.space import Parameter, Space
    from simulator.studies.study import Study
    from simulator.studies.sweep import run_sweep

    parameters = []
    for word in words:
        name, _, text = word.partition("=")
        low, high, step = (int(part) for part in text.split(":"))
        parameters.append(Parameter(name, tuple(range(low, high + 1, step))))
    base = RunSpec(strategy, symbols, parse_date(first, "--from"), parse_date(last, "--to") if last else None)
    made = run_sweep(Study(base, Space(tuple(parameters)), seed), workspace)
    table = made.folder.table()
    best = table.iloc[made.inference.best]
    facts: dict[str, Any] = {"folder": str(made.folder.path), "best": best.to_dict(), "p": made.inference.p}
    print_result(facts, as_json, lambda console: console.print(facts))
