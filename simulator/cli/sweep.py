"""`sim sweep`: play a strategy in many settings, and say what the best of them is worth."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import click

from simulator.cli.completers import complete_parameter, complete_strategy, complete_symbol
from simulator.cli.options import AS_JSON, MAX_COST, MODELS, InSections, Whole, parse_symbols
from simulator.cli.output import print_result
from simulator.printing import is_animated, say
from simulator.workspace import Workspace


def _split_sets(_ctx: click.Context, _param: click.Parameter, words: tuple[str, ...]) -> list[tuple[str, str]]:
    pairs = []
    for word in words:
        name, equals, text = word.partition("=")
        if not equals or not name.strip():
            raise click.BadParameter(f'"{word}" is not NAME=VALUES')
        pairs.append((name.strip(), text))
    return pairs


def _parse_symbols(ctx: click.Context, param: click.Parameter, value: str | None) -> tuple[str, ...]:
    symbols = parse_symbols(ctx, param, value)
    if value is not None and not symbols:
        raise click.BadParameter("name at least one symbol, e.g. SPY,QQQ")
    return symbols


class SweepCommand(InSections):
    """`sim sweep`, its options by what they decide."""

    sections: ClassVar = {
        "What is swept": ("--strategy", "--symbols", "--from", "--set", "--where"),
        "Which members": ("--search",),
        "Out of sample": ("--walk-forward", "--hold-out"),
        "Who answers, and for how much": ("--plan",),
        "Who plays": ("--executor",),
        "Output": ("--json", "--help"),
    }
    paired: ClassVar = {
        "--symbols": ("--symbols TEXT, --bars DIR", "What may be traded, and bars that come before the workspace's."),
        "--from": ("--from DATE, --to DATE", "First and last session.  [default: 2024-01-01, the last all have]"),
        "--search": (
            "--search grid|random|sobol|tpe, --members N, --seed N, --objective MEASURE",
            "How members are chosen and, where it is no grid, how many; of all that is drawn; of what tpe wants more.  "
            "[default: grid, 0, sharpe]",
        ),
        "--walk-forward": (
            "--walk-forward train=252,test=63,purge=5, --cpcv folds=10,test=2,purge=5,embargo=5",
            "Choose in sample, fold after fold, and play the choices out of sample as one account; `anchored` trains "
            "on all before. Combinatorial purged cross-validation.",
        ),
        "--hold-out": (
            "--hold-out DATE, --open-hold-out",
            "Keep the sessions from DATE on from every member; play the best on them. Openings are counted.",
        ),
        "--plan": (
            "--models PROFILE, --plan, --max-cost USD",
            "A profile of config/models.yaml; say what would be played and asked, and for how much; most to spend.",
        ),
        "--executor": (
            "--executor threads|loky|dask|ray, --threads N, --shard I/N",
            "Threads of this process, processes, or a cluster (dask=tcp://10.0.0.1:8786, ray=10.0.0.1:6379); how many; "
            "one part of N, as a job of an array does: the last one concludes.",
        ),
    }


@click.command(cls=SweepCommand)
@click.argument("study", required=False, type=click.Path(path_type=Path), metavar="[STUDY.yaml]")
@click.option("--strategy", shell_complete=complete_strategy, help="Name or path.  [default: macro_council]")
@click.option("--symbols", callback=_parse_symbols, shell_complete=complete_symbol)
@click.option("--from", "first")
@click.option("--to", "last")
@click.option("--bars", metavar="DIR")
@click.option(
    "--set",
    "sets",
    multiple=True,
    metavar="NAME=VALUES",
    callback=_split_sets,
    shell_complete=complete_parameter,
    help="A parameter of the strategy or of config/ (costs.slippage_bps) and its values: 5:50:5, both ends in; "
    "10,20,50; log(0.5, 50) or int(5, 200) for a random search. One value is the same for all.",
)
@click.option("--where", multiple=True, metavar="CONDITION", help="A condition all members meet, e.g. 'fast < slow'.")
@click.option("--search", shell_complete=lambda *_: ["grid", "random", "sobol", "tpe"])
@click.option("--objective")
@click.option("--members", type=Whole(min=1))
@click.option("--seed", type=Whole(min=0))
@click.option("--walk-forward")
@click.option("--cpcv")
@click.option("--hold-out")
@click.option("--open-hold-out", is_flag=True)
@click.option("--executor", shell_complete=lambda *_: ["threads", "loky", "dask", "ray"])
@click.option("--threads", type=Whole(min=1))
@click.option("--shard")
@MODELS
@click.option("--plan", is_flag=True, help="Say what would be played and asked, and what it would cost; do nothing.")
@MAX_COST
@AS_JSON
@click.pass_obj
def sweep(
    workspace: Workspace,
    /,
    study: Path | None,
    sets: list[tuple[str, str]],
    plan: bool,
    as_json: bool,
    executor: str | None,
    threads: int | None,
    shard: str | None,
    **options: Any,
) -> None:
    """Play a strategy in many settings.

    \b
    sim sweep --strategy sma_cross --symbols SPY --set fast=5:50:5 --set slow=20:200:10 --where 'fast < slow'
    sim sweep study.yaml

    What is done is kept: after Ctrl-C (exit code 130) or a failure the same command goes on from there.
    """
    from simulator.api import play_sweep
    from simulator.evidence.sweep_reader import read_sweep
    from simulator.report.sweep_formats import print_sweep, summarise
    from simulator.studies.executors import Executor, choose_executor
    from simulator.studies.study_file import make_study
    from simulator.studies.sweep import Shard

    players, part = choose_executor(executor, threads), None if shard is None else Shard.parse(shard)
    chosen = make_study(workspace, study, sets, **options)
    if plan:
        from simulator.report.plan import print_sweep_plan
        from simulator.studies.planner import plan_sweep

        planned = plan_sweep(chosen, workspace, (players or Executor()).count)
        print_result(planned.to_json(), as_json, lambda console: print_sweep_plan(planned, console))
        return
    with _show() as (tick, asking):
        made = play_sweep(chosen, workspace, tick, players, part, asking)
    if isinstance(made, int):
        told = f"shard {shard} is done; {made} chunks of the others are missing, the last shard concludes"
        found = {"shard": shard, "chunks_missing": made}
        print_result(found, as_json, lambda _: say(told))
        return
    sweep = read_sweep(made.folder.path)
    print_result(summarise(sweep) if as_json else {}, as_json, lambda console: print_sweep(sweep, console))


@dataclass
class _Course:
    """Way of the members, or the decisions of councils, from the `first` that this command does."""

    unit: str
    told: bool
    done: int = 0
    total: int = 0
    first: int = 0
    begun: float = 0.0

    def move(self, done: int, total: int) -> str:
        """Return the time left; said once in a line of its own where stderr is no terminal and it is long."""
        from simulator.report.plan import say_duration

        if not self.total:
            self.begun, self.first = time.monotonic(), done  # what was there before took no time
        self.done, self.total = done, total
        gained = done - self.first
        known = 100 * gained >= total  # the first ones wait for what all of them need
        left = (total - done) * (time.monotonic() - self.begun) / gained if known else 0.0
        after = f"about {say_duration(left / 60)} left" if known and done < total else ""
        if not self.told and left >= 10:
            self.told = True
            say(f"sim: {done:,} of {total:,} {self.unit}, {after}", err=True)
        return after


@contextmanager
def _show() -> Iterator[tuple[Callable[[int, int], None], Callable[[int, int, str], None]]]:
    """Yield what shows how many members are done and the time left, and what shows the same of the questions before
    them: on bars, or in one line. Interrupted, it says what is kept."""
    from simulator.errors import StoppedByUserError
    from simulator.report.renderers.progress import progress_bar

    members, decisions = (_Course(unit, is_animated()) for unit in ("members", "decisions"))
    with progress_bar() as advance:

        def tick(done: int, total: int) -> None:
            advance(done, total, before="sweeping", after=members.move(done, total), line="sweeping")

        def asking(done: int, total: int, session: str) -> None:
            advance(done, total, before=f"asking {session}", after=decisions.move(done, total), line="asking")

        try:
            yield tick, asking
        except KeyboardInterrupt:
            kept = "stopped before a chunk"
            if seen := next((one for one in (members, decisions) if one.total), None):
                kept = f"stopped: {seen.done:,} of {seen.total:,} {seen.unit} are done and kept"
            raise StoppedByUserError(kept, mend="the same command goes on from there") from None
