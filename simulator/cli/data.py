"""`sim data`: bring bars into data/, list them, check them."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from simulator.cli.completers import complete_symbol
from simulator.cli.options import AS_JSON, parse_symbols
from simulator.printing import say

if TYPE_CHECKING:
    from datetime import date
    from zoneinfo import ZoneInfo

    from simulator.market.load import Found
    from simulator.workspace import Workspace

SOURCES = ("yahoo", "alpaca", "files", "synthetic")
EVERY = ("1d", "30min", "5min")


def _parse_day(_ctx: click.Context, param: click.Parameter, value: str | None) -> date | None:
    from datetime import date

    from simulator.market.calendar import check_year

    try:
        return check_year(date.fromisoformat(value), param.opts[0]) if value else None
    except ValueError:
        raise click.BadParameter(f'"{value}" is not a date like 2024-01-31') from None


def _parse_zone(_ctx: click.Context, _param: click.Parameter, value: str | None) -> ZoneInfo | None:
    from zoneinfo import ZoneInfo

    try:
        return ZoneInfo(value) if value else None
    except (KeyError, ValueError, OSError):
        raise click.BadParameter(f'"{value}" is not a time zone like UTC or Europe/Berlin') from None


SYMBOLS = click.option(
    "--symbols",
    metavar="A,B,…",
    callback=parse_symbols,
    shell_complete=complete_symbol,
    help="Which; all when left out.",
)


@click.group()
def data() -> None:
    """Fetch, list and check bars."""


@data.command()
@click.option("--source", type=click.Choice(SOURCES), default="yahoo", show_default=True, help="Where from.")
@click.option("--symbols", metavar="A,B,…", callback=parse_symbols, help="Which; --source files: all when left out.")
@click.option("--from", "first", metavar="DATE", callback=_parse_day, help="First session.")
@click.option(
    "--to", "last", metavar="DATE", callback=_parse_day, help="Last session.  [default: the last complete one]"
)
@click.option("--path", type=click.Path(path_type=Path), help="--source files: folder of CSV, Parquet, or one file.")
@click.option("--tz", "zone", metavar="ZONE", callback=_parse_zone, help="--source files: zone of labels without one.")
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="--source synthetic: its seed.")
@click.option(
    "--universe", type=click.Choice(EVERY), help="--source synthetic: its 24 symbols, in bars of this length."
)
@click.pass_obj
def fetch(
    workspace: Workspace,
    /,
    source: str,
    symbols: tuple[str, ...],
    universe: str | None,
    **asked: Any,
) -> None:
    """Bring bars into data/, one CSV per symbol: all of them, checked, or none.

    \b
    yahoo      Yahoo Finance: pip install 'council-simulator[yahoo]'
    alpaca     Alpaca: keys in ALPACA_API_KEY, ALPACA_SECRET_KEY
    files      a folder of yours: SYMBOL.csv, SYMBOL.csv.gz or SYMBOL.parquet; or one file of one or more symbols
    synthetic  of no market, from a seed: for tests and null models; --universe has names of its own
    """
    import os
    from datetime import UTC, datetime

    from simulator.market.fetch import FetchRequest
    from simulator.market.fetch import fetch as bring

    if universe:
        if source != "synthetic" or symbols:
            raise click.UsageError("--universe stands for the symbols of --source synthetic.")
        from simulator.market.sources.synthetic import UNIVERSE

        symbols = tuple(UNIVERSE)
    url = os.environ.get("APCA_API_DATA_URL") or None
    request = FetchRequest(source, symbols, url=url, every=universe or EVERY[0], **asked)
    for kept in bring(request, workspace.data, datetime.now(UTC), lambda line: say(line, err=True)):
        say(f"{kept.symbol:<8} {kept.first} to {kept.last}  {kept.bars:>6,} bars  {kept.path}")
        for problem in kept.problems:
            say(f"look at {problem}", err=True)


@data.command("list")
@SYMBOLS
@AS_JSON
@click.pass_obj
def list_(workspace: Workspace, symbols: tuple[str, ...], as_json: bool) -> None:
    """List the symbols with bars, and where a run would take them from."""
    from simulator.market.load import select

    rows = [_describe_file(found) for found in select(workspace.bar_folders, symbols)]
    if as_json:
        say(json.dumps({"symbols": rows}))
        return
    for row in rows:
        if row["error"]:
            say(f"{row['symbol']:<8} {row['error']}")
        else:
            dividends = ", dividends" if row["dividends"] else ""
            span = f"{row['from']} to {row['to']}  {row['bars']:>7,} × {row['frequency']}"
            say(f"{row['symbol']:<8} {span}  {row['source']}{dividends}")


@data.command()
@SYMBOLS
@AS_JSON
@click.pass_obj
def check(workspace: Workspace, symbols: tuple[str, ...], as_json: bool) -> None:
    """Look for gaps, duplicates, impossible prices and unadjusted splits. Exits with 3 when there is something."""
    from simulator.market.load import select
    from simulator.market.quality import Problem
    from simulator.market.sources.files import find_misnamed, shown_path

    chosen = select(workspace.bar_folders, symbols)
    problems = [problem for found in chosen for problem in found.problems()]
    for folder in () if symbols else workspace.bar_folders:
        for path in find_misnamed(folder):
            problems.append(Problem(path.name, None, "is not named after a symbol, as in SPY.csv", shown_path(path)))
    if as_json:
        listed = [asdict(problem) for problem in problems]
        say(json.dumps({"checked": [found.symbol for found in chosen], "problems": listed}, default=str))
    else:
        for problem in problems:
            say(str(problem))
        refused = sum(problem.refused for problem in problems)
        say(f"{len(chosen)} symbols, {len(problems)} problems, {refused} of them keep a run from starting")
    if problems:
        click.get_current_context().exit(3)


def _describe_file(found: Found) -> dict[str, Any]:
    from simulator.errors import DataError

    row: dict[str, Any] = {"symbol": found.symbol, "source": found.source, "path": str(found.path), "error": None}
    try:
        table = found.read()
    except DataError as error:
        return row | {"error": str(error)}
    span = {"from": str(table.first), "to": str(table.last), "bars": len(table), "frequency": table.frequency}
    return row | span | {"source": table.source, "dividends": bool((table.dividend > 0).any())}
