"""`sim run --plan`: the plan as a table or as JSON."""

from __future__ import annotations

import json
import textwrap
from typing import TYPE_CHECKING

import click

from simulator.workspace import Workspace

if TYPE_CHECKING:
    from simulator.runs.cost_history import Range
    from simulator.runs.plan import Line, Plan
    from simulator.runs.spec import RunSpec


def show_plan(spec: RunSpec, workspace: Workspace, as_json: bool) -> None:
    """Make the plan of `spec` and print it. Nothing is asked and nothing written."""
    from simulator.runs.plan import make_plan

    plan = make_plan(spec, workspace)
    if as_json:
        click.echo(json.dumps(plan.to_json()))
        return
    again = f" and {plan.checkpoints} checkpoints" if plan.checkpoints else ""
    often = f"{plan.decisions} decisions{again}"
    header = f"{plan.strategy}, {plan.first} to {plan.last}, {often}, models {plan.models or 'none'}"
    click.echo(textwrap.fill(header, 79, break_on_hyphens=False))
    if not plan.lines:
        click.echo("It asks no model: nothing to pay.")
        return
    _print_table(plan)
    for sentence in sentences(plan):
        click.echo(textwrap.fill(sentence, 79, break_on_hyphens=False))


def sentences(plan: Plan) -> list[str]:
    """What the table comes to, and what it rests on."""
    hits = plan.calls - plan.misses
    told = [f"{plan.calls:,} questions: {hits:,} answered on disk, {plan.misses:,} to ask."]
    if plan.usd.high:
        told[0] += f" About ${plan.usd.likely:.2f} (${plan.usd.low:.2f} to ${plan.usd.high:.2f}), {_minutes(plan)}."
    elif plan.minutes:
        told[0] += f" No money, {_minutes(plan)}."
    if plan.usd.likely > plan.max_cost:
        told.append(f"More than --max-cost {plan.max_cost:g}: the run would stop there and keep what it paid for.")
    elif plan.usd.high > plan.max_cost:
        told.append(f"It may come to more than --max-cost {plan.max_cost:g}, where the run would stop.")
    if plan.usd.high > plan.max_day:
        told.append(f"All runs of a day may spend ${plan.max_day:g} (max_usd_per_day in config/models.yaml).")
    if guessed := sorted({line.model for line in plan.lines if line.usd.high and not line.past}):
        told.append(f"A first guess for {', '.join(guessed)}: no answers of theirs are on disk yet.")
    if plan.fails:
        told.append(f"As asked for it would fail: {plan.fails}.")
    return told


def _minutes(plan: Plan) -> str:
    if plan.minutes < 1.5:
        return f"{max(1, round(60 * plan.minutes))} s"
    return f"{plan.minutes:.0f} min" if plan.minutes < 120 else f"{plan.minutes / 60:.1f} h"


def _print_table(plan: Plan) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, header_style="bold", pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("stage", no_wrap=True)
    table.add_column("model", overflow="fold", min_width=24)
    for name in ("on disk", "to ask", "tokens in, out", "dollars"):
        table.add_column(name, justify="right", no_wrap=True)
    for line in plan.lines:
        table.add_row(line.stage, line.model, f"{line.hits:,}", f"{line.misses:,}", *_money(line))
    Console().print(table)


def _money(line: Line) -> tuple[str, str]:
    if not line.prompt_tokens.high:
        return "", ""
    return f"{_thousands(line.prompt_tokens)}, {_thousands(line.completion_tokens)}", f"{line.usd.likely:.2f}"


def _thousands(tokens: Range) -> str:
    return f"{tokens.likely / 1000:,.0f}k" if tokens.likely >= 10_000 else f"{tokens.likely / 1000:,.1f}k"
