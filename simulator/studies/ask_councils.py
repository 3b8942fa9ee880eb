"""Questions of a sweep of councils, put before its first member is played: workers ask nobody and write no answer.

members ──► settings that a question may show, each set once ──► gateway (cache, one budget) ──► CouncilTape
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from simulator.errors import LLMError, UsageError
from simulator.llm.spending.budget import RunBudgetError
from simulator.replay.prefetch import prefetch
from simulator.runs.gateway_setup import SECONDS_AFTER_STOP, open_gateway, open_opinions
from simulator.runs.spec import RunSpec
from simulator.runs.strategies import load_strategy
from simulator.studies.council_tapes import CouncilTape, tape_of
from simulator.studies.inputs import SweepInputs
from simulator.trading.strategy import points_of, seats_of


@dataclass(frozen=True)
class Asked:
    """Questions of a sweep: put to a provider, answered from disk, failed for good; and dollars paid."""

    asked: int = 0
    cached: int = 0
    failed: int = 0
    cost_usd: float = 0.0


Progress = Callable[[int, int, str], None]
"""Called with (decisions answered, decisions to answer, session)."""


def ask_councils(inputs: SweepInputs, name: str, progress: Progress | None = None) -> Asked:
    """Put all questions of the members of ``inputs.study`` that are not on disk, and leave what was decided in
    ``inputs.decided``; nothing is done for rules, nor for councils that stand there already.

    ``study.base.max_cost`` dollars are for the whole sweep `name`, restarts within a day included. Raises LLMError
    where they are spent or a question stays without an answer: what was answered is kept, the same command continues.
    """
    specs = {} if not inputs.of_council else distinct_councils(inputs)
    missing = {key: spec for key, spec in specs.items() if key not in inputs.decided}
    total = Asked()
    for done, (key, spec) in enumerate(missing.items()):

        def report(_: str, at: int, count: int, session: str, done: int = done) -> None:
            if progress is not None:
                progress(done * count + at, len(missing) * count, session)

        inputs.decided[key], added = _ask(inputs, spec, name, report)
        total = Asked(*(getattr(total, one) + getattr(added, one) for one in vars(total)))
    return total


def distinct_councils(inputs: SweepInputs) -> Mapping[str, RunSpec]:
    """Return {key: specification of the first member} of members whose questions may differ, in order of members."""
    found: dict[str, RunSpec] = {}
    for number in range(inputs.study.space.known):
        spec = inputs.study.spec(number)
        found.setdefault(inputs.council_key(spec), spec)
    return found


def _ask(
    inputs: SweepInputs, spec: RunSpec, name: str, report: Callable[[str, int, int, str], None]
) -> tuple[CouncilTape, Asked]:
    from simulator.council.strategy import Council

    config, workspace = inputs.settings(spec.overrides).config, inputs.workspace
    with open_gateway(spec, workspace, config) as asking:
        council = load_strategy(spec.strategy, workspace.strategies, asking, spec.own, len(spec.symbols)).strategy
        if not isinstance(council, Council):
            raise UsageError(f"{council.name} is neither a rule nor a council", mend="`sim run` plays it")
        points = points_of(council, config.schedule)
        weekday, interest = config.schedule.weekday, config.costs.cash_interest
        staged = inputs.stage(council.window, points, weekday, interest).inputs
        asking.open_for(name, seats_of(council))
        kept, gateway = open_opinions(spec, workspace, asking.gateway), asking.gateway
        ahead = asking.loop.run(prefetch(council, staged, report, kept))
        asking.drain(None if ahead.stopped is None else SECONDS_AFTER_STOP)
        if ahead.stopped is not None:
            raise add_continuation(ahead.stopped, spec.max_cost)
        asked = Asked(gateway.asked, gateway.cached, gateway.failed, gateway.cost_usd)
        return tape_of(council, staged, ahead.opinions, points), asked


def add_continuation(error: LLMError, max_cost: float) -> LLMError:
    """Return `error` with what continues the sweep, which had `max_cost` dollars to spend."""
    if isinstance(error, RunBudgetError):
        error.mend = f"a higher --max-cost than {max_cost:g} continues, answers paid for are kept"
    else:
        error.mend = f"{error.mend}; the same command continues" if error.mend else "the same command continues"
    return error
