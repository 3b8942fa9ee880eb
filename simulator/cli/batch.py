"""`sim batch`: batches that are out, their answers once they are there, and how to give one up."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from simulator.cli.options import AS_JSON
from simulator.printing import say

if TYPE_CHECKING:
    from simulator.workspace import Workspace


@click.group(invoke_without_command=True)
@AS_JSON
@click.pass_context
def batch(ctx: click.Context, as_json: bool) -> None:
    """List the batches that are out; what is answered is fetched, stored and booked.

    \b
    sim batch
    sim batch cancel batch_67ab
    """
    if ctx.invoked_subcommand is not None:
        return
    from simulator.runs.batches import look_at_batches

    found = look_at_batches(ctx.obj)
    if as_json:
        say(json.dumps([asdict(one) for one in found]))
    elif not found:
        say("no batches are out")
    for one in () if as_json else found:
        age = f"{one.hours:.1f} h ago" if one.hours >= 1 else f"{60 * one.hours:.0f} min ago"
        what = f"{one.done:,} of {one.questions:,} answers, ${one.set_aside_usd:.2f} set aside"
        say(f"{one.id}  {one.status}  {what}  {one.model} at {one.endpoint}, {age}, run {one.run}")


@batch.command()
@click.argument("name")
@click.pass_obj
def cancel(workspace: Workspace, name: str) -> None:
    """Have the service cancel a batch; what it answered until then is paid for and kept."""
    from simulator.runs.batches import cancel_batch

    say(cancel_batch(workspace, name))


@batch.command()
@click.argument("name")
@click.pass_obj
def forget(workspace: Workspace, name: str) -> None:
    """Give up a batch that its service does not know: its likely price is booked, its questions are free."""
    from simulator.runs.batches import forget_batch

    say(forget_batch(workspace, name))
