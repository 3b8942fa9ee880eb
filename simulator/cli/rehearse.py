"""`sim rehearse`: the complete forward mode through past sessions, against an exchange on this machine."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import click

from simulator.cli.completers import complete_run
from simulator.cli.options import AS_JSON, BARS, MAX_COST, MODELS, STRATEGY, SYMBOLS, InSections, Whole, set_parameters
from simulator.cli.output import print_result
from simulator.printing import say
from simulator.workspace import Workspace

if TYPE_CHECKING:
    from rich.console import Console

    from simulator.rehearsal.rehearse import Rehearsal


class RehearseCommand(InSections):
    """`sim rehearse`, its options by what they decide."""

    sections: ClassVar = {
        "What is rehearsed": ("--strategy", "--symbols", "--from", "--set", "--bars", "--backtest"),
        "What goes wrong": ("--fault",),
        "Who answers, and for how much": ("--models", "--max-cost", "--approvals"),
        "Output": ("--json", "--help"),
    }
    paired: ClassVar = {
        "--from": ("--from DATE, --sessions N", "First session, and how many.  [required, 15]"),
        "--fault": (
            "--fault NAME=P, --script FILE, --seed N, --unattended",
            "A fault of the exchange and its likelihood, each with a --fault (`python -m simulator.exchange --fault "
            "list` names them); a file of such lines, some at their instants; of what is drawn. Unattended the loop is "
            "killed, stopped and upgraded on the way: exit code 1 where anything is other than its replay.",
        ),
    }


@click.command(cls=RehearseCommand)
@STRATEGY
@SYMBOLS
@click.option("--from", "first", required=True)
@click.option("--sessions", "count", type=Whole(min=1, max=2000), default=15)
@BARS
@set_parameters("A strategy parameter.")
@click.option("--fault", "faults", multiple=True)
@click.option("--script", type=click.Path(path_type=Path))
@click.option("--seed", type=Whole(min=0), default=0)
@click.option("--approvals", metavar="FILE", help="Who approves entries: a file of answers, or `person`, who answers.")
@click.option("--backtest", metavar="RUN", shell_complete=complete_run, help="Run that says what its models may cost.")
@click.option("--unattended", is_flag=True)
@click.option("--until", metavar="INSTANT", hidden=True)
@click.option("--exchange", "url", metavar="URL", hidden=True, help="An exchange that runs already.")
@MODELS
@MAX_COST
@AS_JSON
@click.pass_obj
def rehearse(workspace: Workspace, /, url: str | None, unattended: bool, as_json: bool, **options: Any) -> None:
    """Hold a strategy's sessions as `sim forward` would, against an exchange on this machine.

    \b
    sim rehearse --from 2024-06-03 --sessions 15 --strategy macro_council

    No key is needed, and no waiting: the exchange's clock goes on when nothing is left to do. A rehearsal that was
    stopped goes on with the same command. `sim forward parity` holds it against a replay of the same sessions.
    """
    from simulator.errors import UsageError
    from simulator.rehearsal.rehearse import rehearse as hold
    from simulator.rehearsal.summary import summarise
    from simulator.rehearsal.unattended import FAULTS, Unattended
    from simulator.report.renderers.progress import progress_bar

    if unattended:
        if options["backtest"] or options["approvals"] or url:
            what = "--unattended starts sessions that nobody answers and no backtest is held against"
            raise UsageError(what, mend="leave --backtest, --approvals and --exchange out")
        if not options["script"]:
            options["faults"] = options["faults"] or FAULTS
    rehearsal = _read_rehearsal(workspace, **options)
    with progress_bar() as advance:

        def tick(done: int, total: int, now: str) -> None:
            advance(done, total, before=now, line="rehearsing")

        if not unattended:
            session = hold(rehearsal, tick, url)
        else:
            outcome = Unattended(rehearsal, tick).run()
    if unattended:
        print_result(outcome.to_json(), as_json, lambda _: say(outcome.page.read_text("utf-8").rstrip()))
        click.get_current_context().exit(0 if outcome.is_sound else 1)
    facts = summarise(rehearsal, session)
    print_result(facts, as_json, lambda console: _print(facts, console))


def _read_rehearsal(workspace: Workspace, /, first: str, count: int, seed: int, **options: Any) -> Rehearsal:
    """Return the rehearsal of what was typed."""
    from datetime import datetime

    from simulator.cli.forward import read_begun
    from simulator.exchange.script import read_lines
    from simulator.market.calendar import parse_date
    from simulator.rehearsal.answers import PERSON, parse_answers
    from simulator.rehearsal.rehearse import Rehearsal as Rehearsed
    from simulator.runs.spec import RunSpec

    script, approvals, until = (options.pop(name) for name in ("script", "approvals", "until"))
    lines, begun = options.pop("faults"), read_begun(workspace, options.pop("backtest"))
    parameters = {"risk.execution": "alpaca", **options.pop("parameters")}
    spec = RunSpec(first=parse_date(first, "--from"), parameters=parameters, **options)
    lines = (*lines, *(read_lines(script) if script else ()))
    answers = (
        None
        if approvals is None
        else (PERSON,)
        if approvals == PERSON
        else tuple(read_lines(Path(approvals), "--approvals"))
    )
    if answers is not None and answers != (PERSON,):
        parse_answers(answers, str(approvals))
    at, _, how = (until or "").partition(" ")
    ends = (datetime.fromisoformat(at), how == "stop") if until else None
    return Rehearsed(spec, count, workspace.reading(spec.bars), lines, seed, answers, begun, ends)


def _print(facts: dict[str, Any], console: Console) -> None:
    from simulator.number_format import counted, dollars
    from simulator.report.renderers.terminal import print_path

    say(f"{facts['strategy']}: {counted(facts['sessions'], 'session')} from {facts['from']} to {facts['to']} rehearsed")
    for name, one in facts["accounts"].items():
        numbers = f"{counted(one['orders'], 'order')}, {counted(one['fills'], 'fill')}"
        say(f"  {name:10} {dollars(one['equity'])}  {numbers}")
    for name, why in facts["left_alone"].items():
        say(f"  {name} was left alone: {why}")
    for refused in facts["refused"]:
        say(f"  refused: {refused}")
    if told := ", ".join(f"{kind} ({count})" for kind, count in facts["alerts"].items()):
        say(f"  alerts: {told}; `sim forward report {facts['run']}` and logs/forward have them")
    for day in facts["unbooked"]:
        say(f"  not booked: {day}: bars or broker did not answer for an hour after it, or its shares were in doubt")
    say(f"  registered as {facts['digest']}")
    print_path(console, "folder", Path(facts["dir"]))
    say(
        f"`sim forward parity {facts['run']}` holds it against a replay, `sim forward report {facts['run']}` reports it"
    )
