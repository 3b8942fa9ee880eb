"""`sim stats FILE`, `sim stats compare FILE`, `sim stats sweep FILE`: parse, call, print."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import click
from click.shell_completion import CompletionItem

from simulator.cli.options import AS_JSON, FACTORS, InSections, apply_options
from simulator.cli.output import print_result
from simulator.printing import say
from simulator.report.renderers.progress import progress_bar

if TYPE_CHECKING:
    from simulator.analysis.returns.load import Returns
    from simulator.report.returns import Answer


class StatsCommand(InSections):
    """A form of `sim stats`; its help keeps what the columns mean apart from what comes out."""

    sections: ClassVar = {
        "What FILE holds": (
            *("--a", "--b", "--benchmark", "--factors", "--trades", "--trials", "--blocks"),
            *("--rf", "--periods", "--percent", "--prices"),
        ),
        "Output": ("--html", "--json", "--draws", "--seed", "--help"),
    }
    paired: ClassVar = {
        "--prices": (
            "--prices, --cumulative, --returns",
            "Values are prices or an account, returns since the start, or returns whatever they look like.",
        )
    }


class WithForms(StatsCommand):
    """A command whose first word may name another form of it: `sim stats FILE`, `sim stats compare FILE`."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.commands: dict[str, click.Command] = {}

    def make_context(
        self, info_name: str | None, args: list[str], parent: click.Context | None = None, **extra: Any
    ) -> click.Context:
        if args and args[0] in self.commands:
            return self.commands[args[0]].make_context(f"{info_name} {args[0]}", args[1:], parent, **extra)
        return super().make_context(info_name, args, parent, **extra)

    def invoke(self, ctx: click.Context) -> Any:
        return super().invoke(ctx) if ctx.command is self else ctx.command.invoke(ctx)

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Two strategies, or many"):
            rows = [
                (f"{ctx.command_path} {name} FILE", form.get_short_help_str(90)) for name, form in self.commands.items()
            ]
            formatter.write_dl(rows)
        super().format_epilog(ctx, formatter)


class ReturnsFile(click.Path):
    """A path whose completion offers the other forms of the command beside files."""

    def __init__(self, *forms: str) -> None:
        super().__init__(dir_okay=True, path_type=Path)
        self.forms = forms

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        forms = [CompletionItem(name) for name in self.forms if name.startswith(incomplete)] if incomplete else []
        return [*forms, *super().shell_complete(ctx, param, incomplete)]


SHARED = (
    click.option("--rf", metavar="COL|RATE", help="Risk-free: a column per session, or a year's rate, 0.04 or 4%."),
    click.option(
        "--periods",
        type=click.FloatRange(min=0, min_open=True),
        metavar="N",
        help="Rows a year.  [default: as their dates lie apart]",
    ),
    click.option("--percent", is_flag=True, help="Values are percentages: 1.5 is 1.5 %."),
    click.option("--prices", "values", flag_value="prices", default=""),
    click.option("--cumulative", "values", flag_value="cumulative"),
    click.option("--returns", "values", flag_value="returns"),
    click.option("--html", "page", metavar="OUT", type=click.Path(path_type=Path), help="Write a page to OUT."),
    AS_JSON,
    click.option(
        "--draws",
        type=click.IntRange(min=100),
        default=10_000,
        show_default=True,
        metavar="N",
        help="Bootstrap histories.",
    ),
    click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, metavar="N"),
)
"""Options of all three forms, after those each has of its own."""

BENCHMARK = click.option("--benchmark", metavar="COL|FILE", help="Hold the others against it.")


@click.command(cls=WithForms)
@click.argument("file", type=ReturnsFile("compare", "sweep"))
@apply_options(
    BENCHMARK,
    click.option("--trades", metavar="FILE", type=Path, help="Closed trades (net) or fills."),
    FACTORS,
    *SHARED,
)
def stats(file: Path, trades: Path | None, benchmark: str | None, factors: Path | None, **given: Any) -> None:
    """Metrics and significance of the returns in FILE, a CSV or Parquet file with a column `date` and one column of
    returns per session for each strategy.

    \b
    sim stats returns.csv --benchmark SPY --rf 0.04
    sim stats monthly.parquet --periods 12 --json
    """
    from simulator.analysis.returns.summary import Settings, describe
    from simulator.analysis.returns.trades import read_trades

    returns, settings = _read(file, given)
    returns, settings["benchmark"] = _lay_benchmark(returns, benchmark, given)
    if factors is not None:
        from simulator.analysis.factors import unit_of
        from simulator.analysis.returns.factor_file import read_factors

        settings["factors"] = read_factors(factors, unit_of(returns.dates))
    if trades is not None:
        rest = returns.without(benchmark, settings["risk_free"])
        closed = read_trades(trades, list(rest.columns))
        settings |= {"trades": closed.profits, "notes": closed.notes}
        settings["warnings"] += closed.warnings
    with _show_progress() as tick:
        found = describe(returns, Settings(**settings), tick)
    _print(found, returns, given)


@click.command(cls=StatsCommand, short_help="Can two strategies be told apart?")
@click.argument("file", type=ReturnsFile())
@apply_options(
    click.option("--a", "first", metavar="COL", help="One of the two; the first column when there are only two."),
    click.option("--b", "second", metavar="COL", help="The other."),
    *SHARED,
)
def compare(file: Path, first: str | None, second: str | None, **given: Any) -> None:
    """Can two strategies be told apart? Ledoit-Wolf test, paired bootstrap and power on their common sessions.

    \b
    sim stats compare returns.csv --a council --b SPY --rf 0.04
    """
    from simulator.analysis.returns.summary import Settings, compare_two
    from simulator.errors import UsageError

    returns, settings = _read(file, given)
    names = list(returns.without(settings["risk_free"]).columns)
    if first is None or second is None:
        if len(names) != 2 or first is not None or second is not None:
            missing = "--b" if first is not None else "--a" if second is not None else "--a and --b"
            raise UsageError(f"{missing} not given; {file} has {', '.join(names[:12])}", mend="name two of its columns")
        first, second = names
    with _show_progress() as tick:
        found = compare_two(returns, first, second, Settings(**settings), tick)
    _print(found, returns, given)


@click.command(cls=StatsCommand, short_help="Is the best of many more than luck?")
@click.argument("file", type=ReturnsFile())
@apply_options(
    BENCHMARK,
    click.option("--trials", type=click.IntRange(min=1), metavar="N", help="Configurations ever run, if more."),
    click.option("--blocks", type=int, metavar="S", help="Blocks for the overfitting test.  [default: up to 16]"),
    *SHARED,
)
def sweep(file: Path, benchmark: str | None, trials: int | None, blocks: int | None, **given: Any) -> None:
    """Is the best of many more than luck? Reality check, Romano-Wolf, confidence set, deflated Sharpe, overfitting.

    Every column of FILE is a configuration that was tried; an empty one is a trial that failed.

    \b
    sim stats sweep sweep.csv --rf 0.04
    """
    from simulator.analysis.returns.best_of_many import judge_best
    from simulator.analysis.returns.summary import Settings

    returns, settings = _read(file, given)
    returns, benchmark = _lay_benchmark(returns, benchmark, given)
    with _show_progress() as tick:
        found = judge_best(returns, Settings(benchmark=benchmark, **settings), trials, blocks, tick)
    _print(found, returns, given)


stats.commands = {"compare": compare, "sweep": sweep}


def _read(file: Path, given: dict[str, Any]) -> tuple[Returns, dict[str, Any]]:
    from simulator.analysis.returns.load import read_returns
    from simulator.analysis.returns.scale import returns_of
    from simulator.analysis.returns.summary import choose_periods
    from simulator.errors import UsageError

    if given["percent"] and given["values"] == "prices":
        raise UsageError("--percent and --prices were both given", mend="a price is no percentage: leave one out")
    returns = returns_of(read_returns(file, percent=given["percent"]), given["values"], given["rf"])
    periods, warnings = choose_periods(returns, given["periods"])
    kept = {key: given[key] for key in ("percent", "values", "draws", "seed")}
    return returns, {**kept, "risk_free": given["rf"], "periods": periods, "warnings": warnings}


def _lay_benchmark(returns: Returns, named: str | None, given: dict[str, Any]) -> tuple[Returns, str | None]:
    """Return `returns` with the benchmark among its columns, and the name of that: a column of it, or of a file."""
    if named is None or named in returns.columns or not Path(named).is_file():
        return returns, named
    from simulator.analysis.returns.load import add_benchmark, read_returns
    from simulator.analysis.returns.scale import returns_of

    path = Path(named)
    return add_benchmark(returns, path, returns_of(read_returns(path, percent=given["percent"]), given["values"]))


def _print(found: Answer, returns: Returns, given: dict[str, Any]) -> None:
    """Write the page where one is asked for, then print JSON or the table."""
    import shlex
    import sys

    from simulator.analysis.returns.summary import to_json
    from simulator.files import write_file
    from simulator.report.returns import print_answer, render

    page: Path | None = given["page"]
    if page is not None:
        write_file(page, render(found, returns, shlex.join(["sim", *sys.argv[1:]])))
    print_result(to_json(found), given["as_json"], lambda console: print_answer(found, console))
    if given["as_json"]:
        for warning in found.about.warnings:
            say(f"sim: {warning}", err=True)
    elif page is not None:
        say(f"page: {page}")


@contextmanager
def _show_progress() -> Iterator[Callable[[str, int, int], None]]:
    with progress_bar() as advance:
        yield lambda stage, done, total: advance(done, total, before=stage)
