"""`sim web`: the pages of the desk, and the tokens of who may see them."""

from __future__ import annotations

from typing import Any

import click

from simulator.cli.options import Whole
from simulator.printing import say
from simulator.workspace import Workspace


@click.group(invoke_without_command=True)
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", type=Whole(min=0, max=65535), default=8800, show_default=True, help="0 for a free one.")
@click.option(
    "--public", multiple=True, metavar="URL", help="Address of the proxy before it: https://desk.example.org."
)
@click.pass_context
def web(ctx: click.Context, host: str, port: int, public: tuple[str, ...]) -> None:
    """Serve the pages of the desk: approvals, forward tests as they go, runs and reports, the audit trail.

    \b
    sim web token add ann --role approve
    sim web --port 8800

    On this machine alone, unless --public names the proxy that brings https (docs/web.md).
    """
    if ctx.invoked_subcommand is None:
        from simulator.cli import stay_small
        from simulator.web.serve import serve

        stay_small()
        serve(ctx.obj, host, port, public)


@web.group(short_help="Who may see the pages, and who may answer.")
def token() -> None:
    """Tokens by which people log in: shown once, kept as hashes."""


@token.command(short_help="Make a token and show it once.")
@click.argument("name")
@click.option("--role", type=click.Choice(["read", "approve"]), required=True, help="May look, or answer too.")
@click.pass_obj
def add(workspace: Workspace, name: str, role: Any) -> None:
    """Make the token of NAME and show it, this once."""
    from simulator.web.tokens import add_token

    say(add_token(workspace, name, role))


@token.command("list", short_help="List who has one.")
@click.pass_obj
def list_(workspace: Workspace) -> None:
    """List names, roles and days; tokens are kept nowhere."""
    from simulator.web.tokens import read_tokens

    for one in read_tokens(workspace):
        say(f"{one.name}  {one.role}  {one.made_at}")


@token.command(short_help="Revoke one; its sessions end.")
@click.argument("name")
@click.pass_obj
def revoke(workspace: Workspace, name: str) -> None:
    """Revoke the token of NAME; browsers that are logged in by it are out at once."""
    from simulator.web.tokens import revoke_token

    revoke_token(workspace, name)
    say(f"{name} is out")
