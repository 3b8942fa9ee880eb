"""`sim mcp`: the desk's tools for any client of the Model Context Protocol."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import click

from simulator.cli.completers import complete_symbol
from simulator.cli.options import BARS, Whole, parse_symbols
from simulator.workspace import Workspace


@click.command()
@click.argument("group", type=click.Choice(["market", "position", "risk", "backtest"]))
@click.option("--http", "port", type=Whole(min=0, max=65535), metavar="PORT", help="On loopback, not stdin and stdout.")
@click.option(
    "--symbols",
    callback=parse_symbols,
    shell_complete=complete_symbol,
    help="What is looked at.  [default: assets.yaml, or the run's]",
)
@click.option(
    "--as-of", metavar="WHEN", help="A date, its session over, or an instant in New York time.  [default: now]"
)
@click.option("--run", metavar="RUN", help="A run or forward test whose account is looked at.")
@click.option("--account", metavar="NAME", help="One of its accounts.  [default: the one it reports]")
@BARS
@click.pass_obj
def mcp(workspace: Workspace, /, group: Any, port: int | None, **looked_at: Any) -> None:
    """Serve tools of the desk to a client that speaks the Model Context Protocol.

    \b
    sim mcp market --symbols SPY,QQQ,AAPL,NVDA
    sim mcp position --run last
    SIM_MCP_TOKEN=... sim mcp risk --run last --http 8765

    Without --http the client starts it and talks over stdin and stdout. `sim init --mcp` writes the .mcp.json that
    names all four. Tools read, and none of them orders anything; backtests count as trials, as any run.
    """

    from simulator.errors import UsageError
    from simulator.runs.desk_state import DeskRequest, open_desk

    try:
        from simulator.mcp import serve
    except ModuleNotFoundError as error:
        if not str(error.name).startswith("mcp"):
            raise
        raise UsageError("the package mcp is missing", mend="pip install 'council-simulator[mcp]'") from None
    state = open_desk(DeskRequest(**looked_at), workspace)
    if group == "backtest":
        from simulator.api import make_backtester

        backtester = make_backtester(workspace, looked_at["bars"], by_tool=True)
        serve.serve(group, lambda: replace(state(), backtester=backtester), port)
        return
    serve.serve(group, state, port)
