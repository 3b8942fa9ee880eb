"""The command `sim`: parse, call, print. Nothing but click is imported until a command is chosen.

main ──► sim (this file) ──► COMMANDS[name] ──► simulator.cli.<module>
  └── whatever goes wrong ──► one line on stderr and an exit code (simulator/errors.py)
"""

from __future__ import annotations

import atexit
import gc
import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from typing import NamedTuple, NoReturn

import click

from simulator import __version__


class Entry(NamedTuple):
    """A command: the heading it stands under, ``module:function``, and its line in ``sim --help``."""

    group: str
    where: str
    help: str
    in_workspace: bool = True


COMMANDS = {
    "run": Entry("research", "simulator.cli.run:run", "Replay a strategy over historical bars and write its report."),
    "report": Entry("research", "simulator.cli.report:report", "Build the report of a run again from its folder."),
    "runs": Entry("research", "simulator.cli.runs:runs", "List the runs made so far."),
    "explain": Entry("research", "simulator.cli.explain:explain", "From a number or a date to the answers behind it."),
    "verify": Entry("research", "simulator.cli.verify:verify", "Is a run folder still what the run wrote?"),
    "protocol": Entry("research", "simulator.cli.protocol:protocol", "What must be shown before it may be believed?"),
    "compare": Entry("research", "simulator.cli.compare:compare", "Are runs different, since when, and over what?"),
    "check": Entry("research", "simulator.cli.check:check", "Did its models know the future? What do they go by?"),
    "ablate": Entry("research", "simulator.cli.ablate:ablate", "What each part of a council adds, by recorded votes."),
    "sweep": Entry("research", "simulator.cli.sweep:sweep", "One strategy in many settings: what is its best worth?"),
    "stats": Entry("research", "simulator.cli.stats:stats", "Metrics and significance of anyone's returns.", False),
    "council": Entry("decide", "simulator.cli.council:council", "One meeting of a council as of a date, by stages."),
    "desk": Entry("trade", "simulator.cli.desk:desk", "Ask the trading desk: screen, analyze, review; its status."),
    "forward": Entry("trade", "simulator.cli.forward:forward", "A test on paper accounts: start, look, pause, stop."),
    "rehearse": Entry(
        "trade", "simulator.cli.rehearse:rehearse", "Past sessions as forward trading would hold them, without a key."
    ),
    "mcp": Entry("trade", "simulator.cli.mcp:mcp", "The desk's tools for clients of the Model Context Protocol."),
    "web": Entry("trade", "simulator.cli.web:web", "Pages of the desk: approvals, forward tests, runs."),
    "init": Entry("house", "simulator.cli.init:init", "Make a workspace: strategies, config and sample bars.", False),
    "doctor": Entry(
        "house", "simulator.cli.doctor:doctor", "Check Python, packages, data, cache, write access.", False
    ),
    "data": Entry("house", "simulator.cli.data:data", "Fetch, list and check bars."),
    "cache": Entry("house", "simulator.cli.cache:cache", "Look into the LLM cache, verify and share it."),
    "batch": Entry("house", "simulator.cli.batch:batch", "Batches of questions that are out: list, fetch, cancel."),
    "db": Entry("house", "simulator.cli.db:db", "Make, upgrade, look at and rebuild the store of all runs."),
    "completion": Entry(
        "house", "simulator.cli.completion:completion", "Print the completion script of a shell.", False
    ),
}


class Commands(click.Group):
    """Imports a command when it is called, finds the workspace for those that work in one."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        if cmd_name not in COMMANDS:
            return None
        from importlib import import_module

        module, _, attribute = COMMANDS[cmd_name].where.partition(":")
        command: click.Command = getattr(import_module(module), attribute)
        return command

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        return super().parse_args(ctx, _move_workspace_first(args))

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name = args[0]
        if name not in COMMANDS and not ctx.resilient_parsing and not name.startswith("-"):
            from simulator.errors import did_you_mean

            ctx.fail(f'no command "{name}"{did_you_mean(name, COMMANDS)}')
        # `sim run --help` helps wherever it is typed.
        if name in COMMANDS and COMMANDS[name].in_workspace and not {"-h", "--help"} & set(args):
            ctx.obj = _find_workspace(ctx)
        return super().resolve_command(ctx, args)

    def invoke(self, ctx: click.Context) -> None:
        # Commands print what they have to say. What they return is no exit code, only `ctx.exit(code)` is.
        super().invoke(ctx)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        width = max(map(len, COMMANDS))
        for group in dict.fromkeys(entry.group for entry in COMMANDS.values()):
            with formatter.section(group):
                shown = [(name.ljust(width), entry.help) for name, entry in COMMANDS.items() if entry.group == group]
                formatter.write_dl(shown)


def _move_workspace_first(args: list[str]) -> list[str]:
    """``sim run --workspace W`` as ``sim --workspace W run``: people remember the option, not its place."""
    end = args.index("--") if "--" in args else len(args)
    for i, word in enumerate(args[:end]):
        if word.startswith("--workspace="):
            return [word, *args[:i], *args[i + 1 :]]
        if word == "--workspace" and i + 1 < end:
            return [word, args[i + 1], *args[:i], *args[i + 2 :]]
    return args


def _find_workspace(ctx: click.Context) -> object:
    from simulator.errors import UsageError
    from simulator.workspace import find_workspace

    try:
        return find_workspace(ctx.params["workspace"])
    except UsageError:
        if ctx.resilient_parsing:
            return None
        raise


@click.group(
    cls=Commands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="SIM_DEBUG=1 shows where an error came from.",
)
@click.option(
    "--workspace",
    metavar="DIR",
    type=click.Path(file_okay=False),
    help="Work in DIR instead of the workspace above the current folder.",
)
@click.version_option(
    __version__, message=f"sim %(version)s, Python {sys.version.split()[0]}", help="Show it and exit."
)
def sim(workspace: str | None) -> None:
    """Backtest-first research simulator for LLM trading."""


def main(args: Sequence[str] | None = None) -> NoReturn:
    """Run the console script. Exits 0, or with the code of the error (simulator/errors.py), 130 after Ctrl-C."""
    # Objects of a run live until its end: collecting garbage at every turn costs an eighth of its time, and to look
    # through all of them for cycles before the process ends a twentieth.
    gc.set_threshold(300_000, 50, 50)
    atexit.register(gc.disable)
    from simulator.errors import UsageError
    from simulator.printing import fill_streams, guard_streams

    closed = fill_streams()
    with guard_streams():
        mend = "`> FILE` or `> /dev/null` takes what is printed"
        code = _print_error(UsageError("stdout is closed", mend=mend)) if closed else _run(args)
    sys.exit(code)


def stay_small() -> None:
    """Collect garbage as often as Python does: for commands that go on for months instead of ending with their run."""
    gc.set_threshold(700, 10, 10)
    # All objects are looked through once those that are new make a quarter of the old: what is loaded counts no more.
    gc.collect()
    gc.freeze()


def _run(args: Sequence[str] | None) -> int:
    from simulator.printing import close_stdout, say

    try:
        code = sim.main(args, prog_name="sim", standalone_mode=False)
        sys.stdout.flush()
    except (KeyboardInterrupt, click.Abort):
        say("sim: interrupted", err=True)
        return 130
    except BrokenPipeError:
        close_stdout()
        return 1
    except click.exceptions.NoArgsIsHelpError as error:
        say(error.format_message(), err=True)
        return error.exit_code
    except Exception as error:
        return _print_error(error)
    except BaseException as error:
        if isinstance(error, SystemExit) and _is_of_click(error):  # after completion, and where the reader is gone
            if error.code:
                close_stdout()
            return int(error.code or 0)
        from simulator.rules.failure import exit_of_strategy

        return _print_error(exit_of_strategy(error))
    return code or 0


def _is_of_click(error: SystemExit) -> bool:
    at = error.__traceback__
    while at is not None and at.tb_next is not None:
        at = at.tb_next
    return at is not None and str(at.tb_frame.f_globals.get("__name__")).startswith("click.")


def _print_error(error: Exception) -> int:
    from simulator.keys import scrub
    from simulator.printing import close_stdout, say

    line, code = _describe(error)
    told = []
    if os.environ.get("SIM_DEBUG") or not line:
        # Not among what can go wrong: a bug, here or in a strategy file, and the traceback is its message.
        import traceback

        told = ["".join(traceback.format_exception(error))]
    # A broken strategy file brings its own traceback as a note.
    told += getattr(error, "__notes__", ())
    told += [f"sim: error: {' '.join(line.split())}"] if line else []
    for text in told:
        with suppress(OSError):
            say(scrub(text).rstrip(), err=True)
    try:
        sys.stdout.flush()
    except OSError:
        close_stdout()
    return code


def _describe(error: BaseException) -> tuple[str, int]:
    """Return one line for a person and the exit code; an empty line for what was not foreseen."""
    from simulator.errors import SimError, disk_fault

    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    if isinstance(error, SimError):
        return str(error), error.exit_code
    if isinstance(error, click.UsageError):
        return _describe_usage(error), error.exit_code
    if isinstance(error, click.ClickException):
        return error.format_message(), error.exit_code
    return disk_fault(error), 1


def _describe_usage(error: click.UsageError) -> str:
    path = error.ctx.command_path if error.ctx else "sim"
    message = " ".join(error.format_message().split()).rstrip(".")
    return f"{message[:1].lower()}{message[1:]}{' ' if message.endswith('?') else '; '}see `{path} --help`"


__all__ = ["COMMANDS", "Entry", "main", "sim"]
