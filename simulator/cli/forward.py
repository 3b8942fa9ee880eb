"""`sim forward`: a strategy on paper accounts, from the first order to the verdict, and how to stop it."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, ClassVar

import click

from simulator.cli.approvals import approvals
from simulator.cli.completers import complete_loop, complete_run
from simulator.cli.options import (
    AS_JSON,
    MAX_COST,
    MODELS,
    OPEN,
    STRATEGY,
    SYMBOLS,
    InSections,
    Real,
    Whole,
    open_run,
    set_parameters,
)
from simulator.cli.output import open_page, print_result
from simulator.printing import say
from simulator.workspace import Workspace

if TYPE_CHECKING:
    from simulator.forward.registration import Registration
    from simulator.forward.status import Status
    from simulator.forward.switches import Heartbeat
    from simulator.rehearsal.parity import Parity
    from simulator.runs.registering import Backtest

STOPPING_S = 60.0
"""Seconds `stop` waits for the loop to end."""


@click.group()
def forward() -> None:
    """Trade a strategy on paper accounts, with the code of replay.

    \b
    sim forward start --strategy macro_council --models requesty
    sim forward status
    touch forward.stop      # in the workspace: the kill switch, whatever else does not answer
    """


forward.add_command(approvals)


def check_frequency(_ctx: click.Context, _param: click.Parameter, given: str) -> str:
    """Return ``1d`` or ``5min`` as they are. Raises BadParameter for what Alpaca has no bars of."""
    if given not in ("1d", *(f"{n}min" for n in range(1, 60) if 390 % n == 0)):
        raise click.BadParameter(f"was {given}, give 1d, or minutes that make up a session: 1min, 5min, 30min")
    return given


class StartCommand(InSections):
    """`sim forward start`, its options by what they decide."""

    sections: ClassVar = {
        "What is tried": ("--strategy", "--symbols", "--frequency", "--set", "--sessions"),
        "What is asked of it": ("--edge", "--backtest", "--carry"),
        "Who answers, and for how much": ("--models", "--max-cost"),
        "Where": ("--exchange", "--help"),
    }


@forward.command(cls=StartCommand, short_help="Register a test and trade it until it ends or is stopped.")
@STRATEGY
@SYMBOLS
@set_parameters("A parameter of the strategy or of config/.")
@click.option("--edge", type=Real(), default=1.0, show_default=True,
              help="Smallest ratio a year, beyond its own usual exposure, that is of interest.")  # fmt: skip
@click.option("--sessions", type=Whole(min=1, max=2000), default=252, show_default=True, help="Most that are traded.")
@click.option("--backtest", metavar="RUN", shell_complete=complete_run, help="Run whose usual exposure it begins with.")
@click.option("--carry", is_flag=True, help="Carry in that run's evidence after the models' cut-off.")
@click.option("--frequency", metavar="1d|5min", default="1d", show_default=True, callback=check_frequency,
              help="Bars it is decided on: days, or so many minutes.")  # fmt: skip
@click.option("--exchange", "url", metavar="URL", help="A rehearsal exchange on this machine instead of Alpaca.")
@MODELS
@MAX_COST
@click.pass_obj
def start(
    workspace: Workspace,
    /,
    edge: float,
    sessions: int,
    url: str | None,
    backtest: str | None,
    carry: bool,
    frequency: str,
    **options: Any,
) -> None:
    """Register a test and trade it on paper accounts until its last session, or until it is stopped.

    \b
    sim forward start --strategy sma_cross --symbols SPY,QQQ

    It stays in the foreground, for a service manager to keep. After a crash the same words go on: what is on record
    and what the broker has say where. Keys are ALPACA_PAPER_KEY_COUNCIL and ALPACA_PAPER_SECRET_COUNCIL, where a rule
    trades, or one pair per account of config/accounts.yaml. Accounts are flat when a test begins.
    """
    from datetime import date

    from simulator.cli import stay_small
    from simulator.forward.watch import StoppedError
    from simulator.number_format import counted
    from simulator.runs.forward_start import ForwardTest, start_forward
    from simulator.runs.spec import RunSpec

    def tell(registration: Registration, fresh: bool, first: date, last: date) -> None:
        how = "registered" if fresh else "goes on, registered"
        accounts = ", ".join(f"{name} {number}" for name, number in registration.accounts.items())
        say(
            f"{registration.id}  {registration.strategy} {how} {registration.registered_at}, {registration.digest[:12]}"
        )
        say(f"  {accounts}; from {first} to {last}")
        needed = counted(registration.sessions_needed, "session")
        say(f"  an edge of {registration.smallest_edge:g} a year shows in {needed}, four times in five")

    spec = RunSpec(first=date.min, **{**options, "parameters": dict(options["parameters"])})
    stay_small()
    try:
        begun = read_begun(workspace, backtest, carry)
        start_forward(ForwardTest(spec, sessions, edge, url, begun, frequency), workspace, _have_typed, tell, say)
    except StoppedError as stopped:
        say(f"stopped: {stopped.found}; the same words go on")


def read_begun(workspace: Workspace, run: str | None, carry: bool = False) -> Backtest | None:
    """Return what a test begins with, None without a RUN."""
    from simulator.analysis.registering import read_backtest
    from simulator.analysis.trials import count_trials
    from simulator.errors import UsageError

    if run is None:
        if carry:
            raise UsageError("--carry without a run", mend="name the run it comes from with --backtest RUN")
        return None
    found = open_run(workspace, run)
    if run == "last":
        what = "--backtest last is another run after the next one, and the same words would begin another test"
        raise UsageError(what, mend=f"give --backtest {found.run['run_id']}")
    count_trials(workspace, found.folder, found.run)
    return read_backtest(open_run(workspace, run), carry)


def _have_typed(sentence: str) -> str:
    from simulator.errors import UsageError

    if not sys.stdin.isatty():
        raise UsageError("live trading is confirmed by a person at a terminal", mend="start it in one")
    say(f"Live trading, with real money. To go on, type: {sentence}")
    return sys.stdin.readline().strip()


@forward.command(short_help="Show what is at work, what it holds, what comes next.")
@AS_JSON
@click.pass_context
def status(ctx: click.Context, as_json: bool) -> None:
    """Show what is at work, what it holds and what comes next. Exit code 1 where a loop hangs or is gone, or a
    close-all is not done."""
    from simulator.forward.closing import find_owed
    from simulator.forward.status import read_status
    from simulator.forward.switches import read_switches
    from simulator.store.database import open_store

    workspace: Workspace = ctx.obj
    with open_store(workspace) as store:
        loops, owed = read_status(workspace, store), find_owed(store)
    switches = read_switches(workspace)
    facts = {
        "kill_switch": switches.stop,
        "paused": switches.pause,
        "owed": {run: {"since": one.since, "by": one.by} for run, one in owed.items()},
        "loops": [{**asdict(one), "error_rate": one.error_rate} for one in loops],
    }
    print_result(facts, as_json, lambda _: _show(loops))
    for run, one in owed.items() if not as_json else ():
        say(f"close-all of {run} is not done: {one}; `sim forward close-all {run}` closes, as its next start does, and "
            f"`sim forward close-all {run} --withdraw` takes it back")  # fmt: skip
    for name, reason in (("the kill switch is thrown", switches.stop), ("entries are paused", switches.pause)):
        if reason is not None and not as_json:
            say(f"{name}: {reason}")
    ctx.exit(0 if all(one.is_sound for one in loops) and not owed else 1)


def _show(loops: Sequence[Status]) -> None:
    from simulator.number_format import counted, dollars, percent, shares
    from simulator.report.plan import say_duration

    if not loops:
        say("no loop has run here yet")
    for one in loops:
        say(f"{one.run}  {one.strategy}, {one.mode}: {', '.join(dict.fromkeys((one.health, one.state)))}")
        say(f"  last heartbeat {say_duration(one.age_s / 60)} ago, since {one.since}")
        if one.last_point is not None:
            say(f"  last point {one.last_point['name']} at {one.last_point['at']}, {one.last_point['state']}")
        if one.next_point:
            say(f"  next {one.next_point}")
        if one.requests:
            share = percent(one.error_rate, 2)
            say(f"  error rate {share}: {one.failed} of {counted(one.requests, 'request')} failed or were refused")
        for name, account in one.accounts.items():
            held = ", ".join(f"{symbol} {shares(count)}" for symbol, count in account.positions.items())
            worth = "no close yet" if account.session is None else f"{dollars(account.equity)} on {account.session}"
            say(f"  {name} ({account.number}): {worth}; {held or account.without_shares}")
        for name, why in one.left_alone.items():
            say(f"  {name} is left alone: {why}")
        for change in one.programs:
            say(f"  {change}")
        for alert in one.alerts:
            say(f"  {alert['at']} {alert['kind']}: {' '.join((alert['account'], alert['text'])).strip()}")


@forward.command(short_help="Write the report of a test: page, docs/forward_test_results.md.")
@click.argument("run", default="last", shell_complete=complete_run)
@AS_JSON
@OPEN
@click.pass_obj
def report(workspace: Workspace, run: str, as_json: bool, opened: bool) -> None:
    """Write the report of RUN, a test or a rehearsal: report.html in its folder and docs/forward_test_results.md; of a
    rehearsal beside a registered test both in its folder.

    RUN is the id of its registration, the beginning of that or of its folder's name, or "last".
    """
    from simulator.analysis.forward_facts import read_facts
    from simulator.forward.registration import registrations
    from simulator.rehearsal.shadow import decided_days
    from simulator.report.forward_page import as_json as as_numbers
    from simulator.report.forward_page import print_forward, write_report

    folder, facts = read_facts(workspace, run, decided_days)
    said = facts.registration
    is_test = (said.is_registered and not said.rehearsal) or not registrations(workspace.reports)
    written = write_report(facts, folder, workspace.out / "docs" if is_test else folder)
    numbers = {"page": str(written[0]), "results": str(written[1]), **as_numbers(facts)} if as_json else {}
    print_result(numbers, as_json, lambda console: print_forward(facts, console, written))
    if opened:
        open_page(written[0])


@forward.command(short_help="Enter nothing more; exits and stops go on.")
@click.argument("reason", default="by hand")
@click.pass_obj
def pause(workspace: Workspace, reason: str) -> None:
    """Enter nothing more in any account; exits, stops and reconciling go on."""
    from simulator.forward.switches import PAUSE, throw

    say(f"entries are paused ({throw(workspace, PAUSE, reason).name}); `sim forward resume` allows them again")


@forward.command(short_help="Allow entries again.")
@click.pass_obj
def resume(workspace: Workspace) -> None:
    """Allow entries again, from the next point on: those that were refused are not made good."""
    from simulator.forward.switches import PAUSE, reset

    say("entries are allowed again" if reset(workspace, PAUSE) else "entries were not paused")


@forward.command(short_help="End a loop; positions keep their stops and targets.")
@click.argument("run", required=False, shell_complete=complete_loop)
@click.option("--gone", is_flag=True, help="RUN was held on another machine, which is gone for good.")
@click.pass_obj
def stop(workspace: Workspace, run: str | None, gone: bool) -> None:
    """End the loop of RUN, or the one that is at work; positions keep their stops and targets at the broker.

    One that is gone counts as stopped from then on: status and /healthz do not miss it. Of one on another machine
    nobody can tell but you: two loops on one account would order twice.
    """
    from simulator.forward.lock import count_as_stopped
    from simulator.forward.switches import ask_to_stop, give_up
    from simulator.store.database import open_store

    if gone:
        with open_store(workspace) as store:
            count_as_stopped(store, run or "")
        say(f"the loop of {run} counts as stopped; `sim forward start` with the same words goes on here")
        return
    heart = _find_loop(workspace, run)
    if not heart.is_running() and heart.state != "stopped":
        give_up(workspace, heart)
        say(f"the loop of {heart.run} was gone; it counts as stopped")
        return
    ask_to_stop(heart)
    until = time.monotonic() + STOPPING_S
    while heart.is_running():
        if time.monotonic() > until:
            raise _still_running(heart)
        time.sleep(0.1)
    say(f"the loop of {heart.run} has ended; `sim forward start` with the same words goes on")


EXCHANGE = click.option("--exchange", "url", metavar="URL", help="The rehearsal exchange it traded at.")


@forward.command("close-all", short_help="Stop the loop and close every position.")
@click.argument("run", required=False, shell_complete=complete_loop)
@click.option("--withdraw", "is_withdrawn", is_flag=True, help="Keep what a close-all has not closed yet.")
@EXCHANGE
@AS_JSON
@click.pass_context
def close_all(ctx: click.Context, run: str | None, is_withdrawn: bool, url: str | None, as_json: bool) -> None:
    """Throw the kill switch, cancel our orders and close every position of RUN, or of the loop that was last at work.
    The loop does it while it is at work; keys are needed here where none is.

    Outside of a session a close fills at the next open, and the exits of the position are withdrawn until then. Orders
    that were entered by hand are left. Repeated, it goes on with what is left to close. Exit code 5 where
    something could not be ordered; `rm forward.stop` lets loops start again. What is owed then is closed by the next
    start all the same, first of all, unless --withdraw takes it back.
    """
    from simulator.cli.person import name_person
    from simulator.forward.closing import FILL_LATER, list_closed, withdraw
    from simulator.runs.forward_accounts import close_all as close
    from simulator.runs.forward_accounts import find_registration
    from simulator.store.database import open_store

    registration = find_registration(ctx.obj, run)
    if is_withdrawn:
        with open_store(ctx.obj) as store:
            withdraw(ctx.obj, store, registration.id, name_person(ctx.obj))
        facts = {"run": registration.id, "accounts": {}, "withdrawn": True}
        print_result(facts, as_json, lambda _: say(f"the close-all of {registration.id} is withdrawn"))
        return
    closings = close(registration, ctx.obj, _have_typed, url, name_person(ctx.obj))

    def show() -> None:
        for line in list_closed(closings):
            say(line)
        if any(one.ordered for one in closings.values()):
            say(FILL_LATER)
        say("the kill switch is thrown; `rm forward.stop` lets loops start again")

    accounts = {
        name: {"closing": one.ordered, "failed": one.failed, "closed": one.closed} for name, one in closings.items()
    }
    print_result({"run": registration.id, "accounts": accounts}, as_json, lambda _: show())
    ctx.exit(5 if any(one.failed for one in closings.values()) else 0)


@forward.command(short_help="Hold the books against what the broker has.")
@click.argument("run", required=False, shell_complete=complete_loop)
@EXCHANGE
@AS_JSON
@click.pass_context
def reconcile(ctx: click.Context, run: str | None, url: str | None, as_json: bool) -> None:
    """Hold the books of RUN, or of the loop that was last at work, against what its broker has; changes nothing.

    Exit code 1 where shares differ, 5 where an account could not be asked.
    """
    from simulator.runs.forward_accounts import find_registration
    from simulator.runs.forward_accounts import reconcile as hold_against

    registration = find_registration(ctx.obj, run)
    found = hold_against(registration, ctx.obj, _have_typed, url)
    failed = {name: str(error) for name, error in found.failed.items()}
    differences = [asdict(one) for one in found.differences]

    def show() -> None:
        for one in found.differences:
            say(f"{one.account}: {one.symbol} {one.booked:g} in the books, {one.held:g} at the broker")
        for name, symbol, order in found.external:
            say(f"{name}: an order on {symbol} is not ours ({order})")
        for name, why in failed.items():
            say(f"{name}: {why}")
        if not differences and not failed:
            say(f"{registration.id}: the books of {', '.join(registration.accounts)} are the broker's")

    facts = {"run": registration.id, "differences": differences, "failed": failed, "external": list(found.external)}
    print_result(facts, as_json, lambda _: show())
    ctx.exit(5 if failed else 1 if differences else 0)


def _find_loop(workspace: Workspace, run: str | None) -> Heartbeat:
    from simulator.errors import UsageError
    from simulator.forward.switches import read_heartbeats

    hearts = read_heartbeats(workspace)
    found = [one for one in hearts if (one.is_running() if run is None else one.run.startswith(run))]
    if len(found) != 1:
        names = ", ".join(one.run for one in found or hearts)
        what = "no loop is at work here" if run is None else f'no loop "{run}"'
        what = f"{len(found)} loops fit" if found else what
        raise UsageError(what, mend=f"name one of {names}" if names else "`sim forward status` lists them")
    return found[0]


def _still_running(heart: Heartbeat) -> Exception:
    from simulator.errors import SimError

    what = f"the loop of {heart.run} has not ended within {STOPPING_S:.0f} s (process {heart.pid})"
    return SimError(what, mend=f"`kill -9 {heart.pid}` loses nothing: the next start reads store and broker")


@forward.command(short_help="Hold a test against a replay of its sessions.")
@click.argument("run", default="last", shell_complete=complete_loop)
@click.option("--most", default=5, show_default=True, help="Differences of each part that are shown.")
@AS_JSON
@click.pass_context
def parity(ctx: click.Context, run: str, most: int, as_json: bool) -> None:
    """Replay the sessions of RUN, or of the test written to last, from the inputs it recorded, with strategy and
    settings as they are now, and compare prompts, decisions, orders, fills and books. Exit code 1 where anything
    differs.

    Slippage that was paid is told as a setting for backtests.
    """
    from simulator.rehearsal.parity import compare, find_run

    workspace: Workspace = ctx.obj
    found = compare(*find_run(workspace, run), workspace)
    print_result(found.to_json(most), as_json, lambda _: _show_parity(found, most))
    ctx.exit(0 if found.holds else 1)


def _show_parity(found: Parity, most: int) -> None:
    from simulator.number_format import counted, dollars

    if found.changed:
        say(f"changed    since the test began: {', '.join(found.changed)}; differences may come of it")
    for part, compared in found.compared.items():
        different = [one for one in found.differences if one.part == part]
        together = "; those of a symbol on one side in a session count as one" if part == "fills" else ""
        say(f"{part:10} {compared:6,} compared, {len(different):,} different{together}")
        for one in different[:most]:
            say(f"  {one}")
        if len(different) > most:
            say(f"  and {len(different) - most:,} more (--most)")
    if found.slippage_bps is not None:
        setting = f"--set costs.slippage_bps={found.slippage_bps:.2f}"
        say(f"slippage   {found.slippage_bps:.2f} basis points of {dollars(found.traded)}: `sim run … {setting}`")
    if found.since is not None:
        told = ", ".join(f"{count:,} of {part}" for part, count in found.count_approved().items()) or "none"
        since = found.since[:16].replace("T", " ")
        say(f"approved   a person changed trades from {since} on; of the book as decided differ {told}")
    days = f"from {found.first} to {found.last}"
    what = "the replay is the same" if found.holds else counted(len(found.differences), "difference")
    say(f"{found.run}, {days}: {what}")
