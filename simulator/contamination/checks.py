"""`sim check`: the checks there are, their bills, and their results.

names ─► bill of each ─► shown ─► more than --max-cost? stop ─► ask ─► judge ─► results by name
"""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

from simulator.config import load_config
from simulator.contamination import blind, books, future, inputs, recall, reidentify
from simulator.contamination.bill import Bill, plan_check
from simulator.contamination.case import Case, open_case
from simulator.contamination.results import Result
from simulator.errors import BudgetError, LLMError, NoResultError, UsageError, did_you_mean
from simulator.evidence.records import CheckRecord, FigureRecord
from simulator.runs.gateway_setup import open_gateway
from simulator.runs.reload import config_of, read_spec
from simulator.workspace import Workspace


async def _nothing(case: Case) -> None:
    """A check that asks nobody."""


@dataclass(frozen=True)
class Check:
    """`ask` puts the questions, `judge` makes a Result of what came back; `asks` whether models are needed at all."""

    name: str
    title: str
    what: str
    judge: Callable[[Case, Any], Result]
    ask: Callable[[Case], Awaitable[Any]] = _nothing
    needs_model: bool = False


CHECKS: tuple[Check, ...] = (
    Check(
        "cutoff",
        "Cut-off split",
        "what was earned on dates its models can remember, and on dates they cannot",
        books.judge_cutoff,
    ),
    Check("costs", "Costs × 2", "the recorded decisions at twice the costs", books.judge_costs),
    Check(
        "execution",
        "Execution toggles",
        "the recorded decisions filled at the close and at the open of the bar before",
        books.judge_toggles,
    ),
    Check(
        "future",
        "Future bars",
        "every decision again, with noise for a future: it must stay, byte for byte",
        future.judge,
        future.ask,
    ),
    Check(
        "inputs",
        "Counterfactuals",
        "signs of price and news facts flipped: do decisions use what they are shown?",
        inputs.judge_flipped,
        inputs.ask_flipped,
    ),
    Check(
        "blind",
        "Blind A/B",
        "names and dates hidden, prices at 100; then facts without exact digits; another real name as placebo",
        blind.judge,
        blind.ask,
    ),
    Check(
        "reidentify",
        "Re-identification",
        "does the model name asset and quarter from the blind facts?",
        reidentify.judge,
        reidentify.ask,
        needs_model=True,
    ),
    Check(
        "recall",
        "Recall regression",
        "are forecasts better where the model recalls prices better?",
        recall.judge,
        recall.ask,
        needs_model=True,
    ),
    Check(
        "replicates",
        "Replicates",
        "the same questions asked again: how far does one draw carry?",
        inputs.judge_replicates,
        inputs.ask_replicates,
        needs_model=True,
    ),
)
NOT_ASKED = Result("not asked", "")

NAMES = tuple(check.name for check in CHECKS)


@dataclass(frozen=True)
class Done:
    """One check, its bill before it was asked, and its result; None where models would have had to be asked."""

    check: Check
    bill: Bill
    result: Result | None

    def to_json(self) -> CheckRecord:
        """Return the entry of checks.json; what is not a finite number is null."""
        result = self.result or NOT_ASKED
        figures = [
            {
                key: None if isinstance(value, float) and not math.isfinite(value) else value
                for key, value in vars(one).items()
            }
            for one in result.figures
        ]
        return {
            "name": self.check.name,
            "title": self.check.title,
            "what": self.check.what,
            "outcome": result.outcome,
            "verdict": result.verdict,
            "figures": cast(list[FigureRecord], figures),
            "notes": list(result.notes),
            "bill": self.bill.to_json(),
        }


def select_checks(names: Iterable[str] | None) -> tuple[Check, ...]:
    """The checks called `names`, all where None, in the order they are made. Raises UsageError for one there is not."""
    if names is None:
        return CHECKS
    selected = list(names)
    if not selected:
        raise UsageError("no check named", mend=f"there are {', '.join(NAMES)}")
    for name in selected:
        if name not in NAMES:
            raise UsageError(f'no check "{name}"{did_you_mean(name, NAMES)}', mend=f"there are {', '.join(NAMES)}")
    return tuple(check for check in CHECKS if check.name in selected)


def run_checks(
    folder: Path,
    workspace: Workspace,
    checks: Sequence[Check],
    max_cost: float,
    models: bool,
    on_bill: Callable[[Check, Bill], None],
    on_start: Callable[[Check], None],
    altered: str = "",
) -> tuple[Done, ...]:
    """Make `checks` of the run in `folder`, `altered` as in `ReloadedRun`.

    Every bill is handed to `on_bill` before anything is asked. Unless `models`, models are not asked: a check whose
    answers are not all on disk has no result. Raises BudgetError, before anything is asked, where the questions to ask
    are likely to cost more than `max_cost` dollars together; DataError and UsageError where the run cannot be made
    again. A check whose questions a service does not answer is not assessable.
    """
    facts, spec = read_spec(folder)
    spec = replace(spec, max_cost=max_cost)
    config = config_of(facts, load_config(workspace.config).models)
    bills: dict[str, Bill] = {}
    with plan_check(spec, workspace, config) as plan:
        case = open_case(folder, workspace, config, plan.asking, altered)
        asks_models = case.asks_models
    for check in checks:
        bills[check.name] = Bill()
        if asks_models and check.ask is not _nothing:
            with plan_check(spec, workspace, config) as plan:
                case = open_case(folder, workspace, config, plan.asking, altered)
                plan.asking.loop.run(_ask(check, case))
                bills[check.name] = plan.bill()
        on_bill(check, bills[check.name])
    if models:
        _check_affordable(checks, bills, max_cost)
    with open_gateway(spec, workspace, config) as asking:
        case = open_case(folder, workspace, config, asking, altered)
        asking.open_for(f"{facts['run_id']}-check-{'-'.join(check.name for check in checks)}", case.seats)
        done = []
        for check in checks:
            bill = bills[check.name]
            if bill.misses and not models:
                done.append(Done(check, bill, None))
                continue
            on_start(check)
            done.append(Done(check, bill, _run_check(check, case)))
    return tuple(done)


def _run_check(check: Check, case: Case) -> Result:
    if check.needs_model and not case.asks_models:
        who = "rule-based analysts answered in this run" if case.council is not None else "this run asks nobody"
        return Result("not applicable", f"Needs a model: {who}.")
    try:
        answers = case.asking.loop.run(_ask(check, case))
    except (BudgetError, NoResultError):
        raise
    except LLMError as error:
        # A model that refuses one check's questions may answer the next one's.
        return Result("not assessable", f"Its questions were not answered: {error.found}.")
    return check.judge(case, answers)


async def _ask(check: Check, case: Case) -> Any:
    return await check.ask(case)


def _check_affordable(checks: Sequence[Check], bills: Mapping[str, Bill], max_cost: float) -> None:
    likely = sum(bill.usd.likely for bill in bills.values())
    if likely > max_cost:
        dearest = max(checks, key=lambda check: bills[check.name].usd.likely)
        share = bills[dearest.name].usd.likely
        raise BudgetError(
            f"these checks would cost about ${likely:.2f}, more than --max-cost {max_cost:g} "
            f"({dearest.name} alone ${share:.2f})",
            mend="nothing was asked; raise --max-cost, or choose with --only",
        )
