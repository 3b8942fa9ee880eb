"""`sim sweep`: play a strategy in many settings, and say what the best of them is worth."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import click

from simulator.cli.completers import complete_strategy, complete_symbol
from simulator.cli.options import AS_JSON, MAX_COST, MODELS, InSections, parse_symbols
from simulator.cli.output import print_result
from simulator.workspace import Workspace


def _split_sets(_ctx: click.Context, _param: click.Parameter, words: tuple[str, ...]) -> list[tuple[str, str]]:
    pairs = []
    for word in words:
        name, equals, text = word.partition("=")
        if not equals or not name.strip():
            raise click.BadParameter(f'"{word}" is not NAME=VALUES')
        pairs.append((name.strip(), text))
    return pairs


class SweepCommand(InSections):
    """`sim sweep`, its options by what they decide."""

    sections: ClassVar = {
        "What is swept": ("--strategy", "--symbols", "--from", "--set", "--where"),
        "Which members": ("--search", "--members", "--seed"),
        "Out of sample": ("--walk-forward", "--cpcv"),
        "Who answers, and for how much": ("--models", "--plan", "--max-cost"),
        "Output": ("--json", "--help"),
    }
    paired: ClassVar = {
        "--symbols": ("--symbols TEXT, --bars DIR", "What may be traded, and bars that come before the workspace's."),
        "--from": ("--from DATE, --to DATE", "First and last session.  [default: 2024-01-01, the last all have]"),
    }


@click.command(cls=SweepCommand)
@click.argument("study", required=False, type=click.Path(path_type=Path), metavar="[STUDY.yaml]")
@click.option("--strategy", shell_complete=complete_strategy, help="Name or path.  [default: macro_council]")
@click.option("--symbols", callback=parse_symbols, shell_complete=complete_symbol)
@click.option("--from", "first")
@click.option("--to", "last")
@click.option("--bars", metavar="DIR")
@click.option(
    "--set",
    "sets",
    multiple=True,
    metavar="NAME=VALUES",
    callback=_split_sets,
    help="A parameter of the strategy or of config/ (costs.slippage_bps) and its values: 5:50:5, both ends in; "
    "10,20,50; log(0.5, 50) or int(5, 200) for a random search. One value is the same for all.",
)
@click.option("--where", multiple=True, metavar="CONDITION", help="A condition all members meet, e.g. 'fast < slow'.")
@click.option("--search", metavar="[grid|random|sobol|tpe]", help="How members are chosen.  [default: grid]")
@click.option("--members", type=int, metavar="N", help="How many, where it is no grid.")
@click.option("--seed", type=int, help="Of all that is drawn.  [default: 0]")
@click.option(
    "--walk-forward",
    metavar="train=252,test=63,purge=5",
    help="Choose in sample, fold after fold, and play the choices out of sample as one account; `anchored` trains on "
    "all before.",
)
@click.option("--cpcv", metavar="folds=10,test=2,purge=5,embargo=5", help="Combinatorial purged cross-validation.")
@MODELS
@click.option("--plan", is_flag=True, help="Say what would be played and asked, and what it would cost; do nothing.")
@MAX_COST
@AS_JSON
@click.pass_obj
def sweep(
    workspace: Workspace, /, study: Path | None, sets: list[tuple[str, str]], plan: bool, as_json: bool, **options: Any
) -> None:
    """Play a strategy in many settings.

    \b
    sim sweep --strategy sma_cross --symbols SPY --set fast=5:50:5 --set slow=20:200:10 --where 'fast < slow'
    sim sweep study.yaml
    """
    from simulator.api import play_sweep
    from simulator.evidence.sweep_reader import read_sweep
    from simulator.printing import say
    from simulator.report.renderers.progress import progress_bar
    from simulator.report.sweep_formats import print_sweep, summarise
    from simulator.studies.study_file import make_study

    chosen = make_study(workspace, study, sets, **options)
    if plan:
        from simulator.report.plan import print_sweep_plan
        from simulator.studies.planner import plan_sweep

        planned = plan_sweep(chosen, workspace)
        print_result(planned.to_json(), as_json, lambda console: print_sweep_plan(planned, console))
        return
    with progress_bar() as advance:
        made = play_sweep(
            chosen,
            workspace,
            lambda done, total: advance(done, total, before="sweeping"),
        )
    if isinstance(made, int):
        say(f"{made} chunks of other shards are missing")
        return
    sweep = read_sweep(made.folder.path)
    print_result(summarise(sweep) if as_json else {}, as_json, lambda console: print_sweep(sweep, console))
