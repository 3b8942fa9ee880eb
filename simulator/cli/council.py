"""`sim council research|pitch|review|run --as-of DATE`: one meeting, up to that stage."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import click

from simulator.cli.options import AS_JSON, MAX_COST, MODELS, STRATEGY, SYMBOLS, InSections, apply_options, cache_mode
from simulator.cli.output import print_result
from simulator.printing import say
from simulator.report.renderers.progress import progress_bar
from simulator.workspace import Workspace

AS_OF = click.option(
    "--as-of", required=True, metavar="DATE", help="Day of the meeting, or an instant: 2024-01-31T08:00."
)
of_meeting = apply_options(AS_OF, STRATEGY, SYMBOLS, MODELS, MAX_COST, cache_mode(), AS_JSON)


@click.group()
def council() -> None:
    """One meeting of a council as of a date, up to the stage named.

    \b
    sim council run --as-of 2024-06-03
    sim council pitch --as-of 2024-06-03 --symbols SPY,GLD --json
    sim council run --as-of 2024-06-03 --question "Is gold a hedge this year?" --plan

    The decision is that of config/schedule.yaml: a holiday or an early close moves it to the next whole session.
    Answers on disk are used and new ones kept, as in `sim run`. Exits 4 where too few members answered.
    """


QUESTION = click.option("--question", metavar="TEXT", help="Your own question, on record and never traded.")
PLAN = click.option("--plan", is_flag=True, help="Say what it would cost, and ask nobody.")


class WholeMeeting(InSections):
    """`sim council run`, whose help tells the meeting from what is asked of models."""

    sections: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "Meeting": ("--as-of", "--strategy", "--symbols", "--question"),
        "Models and money": ("--models", "--max-cost", "--cache", "--plan"),
        "Output": ("--json", "--help"),
    }


def _add_stage(stage: str, short_help: str) -> None:
    @council.command(stage, cls=WholeMeeting if stage == "run" else None, help=short_help)
    @(apply_options(of_meeting, QUESTION, PLAN) if stage == "run" else of_meeting)
    @click.pass_obj
    def command(workspace: Workspace, /, **options: Any) -> None:
        _hold(stage, workspace, **options)


for stage, short_help in {
    "research": "The research packs, side by side.",
    "pitch": "What each manager pitches.",
    "review": "What the managers make of each other's pitches.",
    "run": "The whole meeting: pitches, reviews, the chairman's decision, the targets of an empty account.",
}.items():
    _add_stage(stage, short_help)


def _hold(up_to: str, workspace: Workspace, as_json: bool, plan: bool = False, **options: Any) -> None:
    from simulator.cli.person import name_person
    from simulator.number_format import cents
    from simulator.report.meeting import print_meeting
    from simulator.runs.meeting import OFFLINE, MeetingRequest, answer_question, estimate_cost, hold_meeting

    request = MeetingRequest(up_to=up_to, **options)
    if plan:
        expected = estimate_cost(request, workspace)
        numbers = {"to_ask": expected.to_ask, "usd": expected.usd, "most_usd": expected.most_usd}
        told = f"{expected.to_ask} questions to models, about {cents(expected.usd)}, at most {cents(expected.most_usd)}"
        print_result(numbers, as_json, lambda _: say(told))
        return
    if request.cache != "replay":
        expected = estimate_cost(request, workspace)
        if expected.to_ask:
            likely = f"about ${expected.usd:.2f}, at most ${expected.most_usd:.2f}"
            money = likely if expected.most_usd else "no money"
            say(f"{expected.to_ask} questions to ask, {money}", err=True)
    with progress_bar() as advance:

        def tick(done: int, total: int, usd: float) -> None:
            advance(done, total, before="asking", after=f"${usd:.2f}")

        meeting = (
            hold_meeting(request, workspace, tick)
            if request.question is None
            else answer_question(request, workspace, name_person(workspace), tick)
        )
    if request.question is not None and meeting.facts["models"] == OFFLINE:
        say("the rule-based analysts do not read the question: their answer is the council's own", err=True)
    print_result(meeting.facts, as_json, lambda console: print_meeting(meeting.facts, console))
    if meeting.undecided is not None:
        raise meeting.undecided
