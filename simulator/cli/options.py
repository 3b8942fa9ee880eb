"""Options that several commands share, and the parsing of what is typed behind them."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import click

from simulator.cli.completers import complete_parameter, complete_strategy, complete_symbol
from simulator.printing import say

if TYPE_CHECKING:
    from simulator.evidence.verify import Verified
    from simulator.workspace import Workspace

Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]


def split_names(value: str | None) -> tuple[str, ...]:
    """Return the names of a comma-separated list, each once, in the order typed."""
    return tuple(dict.fromkeys(name.strip() for name in (value or "").split(",") if name.strip()))


def parse_symbols(_ctx: click.Context, _param: click.Parameter, value: str | None) -> tuple[str, ...]:
    """Return the symbols typed, in capitals. Raises BadParameter where something was typed that names none."""
    symbols = split_names((value or "").upper())
    if not symbols and value is not None:
        raise click.BadParameter("name at least one symbol, e.g. SPY,QQQ")
    return symbols


def _in_ascii(kind: click.IntRange | click.types.FloatParamType, value: Any) -> Any:
    """Refuse a number in other digits than 0 to 9: Python reads those of every script."""
    if isinstance(value, str) and not value.isascii():
        kind.fail(f"{value!r} is no number in the digits 0 to 9.")
    return value


class Whole(click.IntRange):
    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        return super().convert(_in_ascii(self, value), param, ctx)


class Real(click.types.FloatParamType):
    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        return super().convert(_in_ascii(self, value), param, ctx)


class InSections(click.Command):
    """A command whose help shows its options under the headings of `sections`.

    `paired` gives the help record of an option that shares its line with another, as ``--from`` does with ``--to``.
    """

    sections: ClassVar[Mapping[str, tuple[str, ...]]] = {}
    paired: ClassVar[Mapping[str, tuple[str, str]]] = {}

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        records = {name: option.get_help_record(ctx) for option in self.get_params(ctx) for name in option.opts}
        for heading, names in self.sections.items():
            with formatter.section(heading):
                rows = [self.paired.get(name, records[name]) for name in names if name in records]
                formatter.write_dl([row for row in rows if row is not None])


def open_run(workspace: Workspace, name: str, force: bool = False) -> Verified:
    """Find and verify a run; what could not be verified is a note on stderr. Raises as `verify.open_run`."""
    from simulator.evidence import verify

    found = verify.open_run(workspace, name, force)

    def tell() -> None:
        if sys.exc_info()[0] is not None:
            return  # an error is the one line to read
        for note in found.notes:
            say(f"sim: note: {found.folder.name}: {note}", err=True)
        if found.altered:
            say(f"sim: warning: {found.folder.name} is {found.altered}", err=True)

    click.get_current_context().call_on_close(tell)
    return found


def apply_options(*options: Decorator) -> Decorator:
    """Return a decorator that adds `options` to a command, in this order in its help."""

    def decorate(command: Callable[..., Any]) -> Callable[..., Any]:
        for option in reversed(options):
            command = option(command)
        return command

    return decorate


AS_JSON = click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")
OPEN = click.option("--open", "opened", is_flag=True, help="Open the page in a browser, where there is a display.")
STRATEGY = click.option(
    "--strategy", default="macro_council", show_default=True, shell_complete=complete_strategy, help="Name or path."
)
SYMBOLS = click.option(
    "--symbols",
    default="SPY,QQQ",
    show_default=True,
    callback=parse_symbols,
    shell_complete=complete_symbol,
    help="What may be traded.",
)
BARS = click.option("--bars", metavar="DIR", help="Take bars from DIR where it has them.")
FORCE = click.option("--force", is_flag=True, help="Show a run that has changed since it was made, with a badge.")
FACTORS = click.option(
    "--factors",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="Hold the return against factors: Kenneth French's file, or date and fractions.",
)
MODELS = click.option("--models", metavar="PROFILE", help="Who answers: a profile of config/models.yaml.")
MAX_COST = click.option(
    "--max-cost", type=Real(), metavar="USD", default=5.0, show_default=True, help="Dollars it may spend."
)


def parse_parameters(_ctx: click.Context, _param: click.Parameter, value: tuple[str, ...]) -> dict[str, Any]:
    """Return the NAME=VALUE pairs typed, values as JSON where they are."""
    pairs: dict[str, Any] = {}
    for word in value:
        name, equals, text = word.partition("=")
        if not equals or not name:
            raise click.BadParameter(f'"{word}" is not NAME=VALUE')
        try:
            pairs[name] = json.loads(text)
        except ValueError:
            pairs[name] = text
    return pairs


def set_parameters(about: str) -> Decorator:
    """Return the option ``--set NAME=VALUE``, which says what it is `about`."""
    return click.option(
        "--set",
        "parameters",
        multiple=True,
        metavar="NAME=VALUE",
        callback=parse_parameters,
        shell_complete=complete_parameter,
        help=about,
    )


def cache_mode(*more: str, hint: str = "") -> Decorator:
    """Return the option ``--cache``, with `more` modes than those of the gateway and a `hint` at them."""
    return click.option(
        "--cache",
        type=click.Choice(["record", "replay", "refresh", "retry", "off", *more]),
        default="record",
        show_default=True,
        help=f"replay never asks; refresh asks again; retry asks again what failed{hint}.",
    )
