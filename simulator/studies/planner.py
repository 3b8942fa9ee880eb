"""Plan of a sweep before it is played: what each parameter changes, how many members, questions, dollars, minutes.

rule      signal      decisions are made anew                 by the kernel, from bars: no model is asked
          schedule    decisions at other times
          execution   the same decisions, filled otherwise
          risk        the same decisions, cut or sized otherwise
council   downstream  answers on disk are scored again        no question differs from those of the first member
          upstream    other prompts, models or settings       questions are counted once, whoever shares them
desk      upstream    the same, of those before the open      these read the market alone, and are shared
          account     the same before the open                what is asked on the account is asked for each member
"""

from __future__ import annotations

import time
from collections.abc import Collection, Sequence
from dataclasses import replace

from simulator.config import SETTABLE
from simulator.evidence.plan import PlanLine, PlannedParameter, SweepPlan
from simulator.llm.spending.prices import OFFLINE
from simulator.replay.run import replay_strategy
from simulator.rules.exits import NAMES as EXITS
from simulator.runs.plan import STAGES, make_plan, plan_shared
from simulator.runs.spec import RunSpec
from simulator.studies.chunks import play_chunk
from simulator.studies.inputs import SweepInputs, is_hidden
from simulator.studies.results import name_folder
from simulator.studies.space import Parameter
from simulator.studies.study import Study, with_settings
from simulator.studies.walk_forward import describe_splits
from simulator.workspace import Workspace

MOST_PLANNED = 20
"""Combinations of upstream settings that are met with stand-ins; of more, these are taken for the rest."""

MORNING = ("screener", "analyzer")
"""Stages of a desk that read the market alone."""

POINTS = 60
"""Points of a desk that its time is told from."""

SAMPLED_S = 1.0
"""Seconds of playing from which the time of all members is told."""

LONGEST_SHOWN = 40
"""Characters of the values of a parameter; of more, the first and the last are shown."""


def plan_sweep(study: Study, workspace: Workspace, threads: int = 1) -> SweepPlan:
    """Return the plan of `study`. Nobody is asked and nothing is written; a few members are played for their time."""
    inputs = SweepInputs(study, workspace)
    known = range(study.space.known)
    if inputs.of_council:
        return _plan_asked(study, workspace, STAGES, known)
    staged = inputs.staged(inputs.member(0))
    parameters = tuple(_plan_parameter(one, kind_of(one.name)) for one in study.space.parameters)
    folder = name_folder(inputs)
    missing = [n for n in known if not folder.has(n, n + 1)] if inputs.kind == "desk" else known
    done = len(known) - len(missing)
    seconds = _sample(inputs) * (len(study) - done) / (1 if inputs.asks_in_turn else threads)
    plan = SweepPlan(
        strategy=inputs.name,
        first=str(study.base.first),
        last=str(staged.last),
        decisions=len(staged.inputs.instants),
        search=study.space.search,
        members=len(study),
        parameters=parameters,
        minutes=seconds / 60,
        max_cost=study.base.max_cost,
        splits=describe_splits(study, inputs.sessions),
        notes=(f"{done:,} of {len(study):,} members are there already.",) if done else (),
    )
    return _add_questions(plan, inputs, missing) if inputs.asks_in_turn else plan


def kind_of(name: str) -> str:
    """Return what a parameter of a rule, or of a desk without agents, changes."""
    if name.startswith("schedule."):
        return "schedule"
    if name.startswith(("risk.max_", "caps.")) or name == "sizing.scale":
        return "risk"
    settable = (*SETTABLE, "exits")
    return "execution" if name in EXITS or name.partition(".")[0] in settable else "signal"


def _plan_parameter(one: Parameter, kind: str) -> PlannedParameter:
    spread = one.spread
    shown = one.typed.replace("null", "none")
    if len(shown) > LONGEST_SHOWN:
        shown = f"{one.values[0]} … {one.values[-1]}"
    return PlannedParameter(one.name, kind, None if spread else len(one.values), shown)


def _sample(inputs: SweepInputs) -> float:
    """Return the seconds that a member takes, from members spread over all of them; of desks from the first points of
    one, whose agents are not asked."""
    if inputs.kind == "desk":
        member = inputs.member(0)
        whole = inputs.staged(member).inputs
        part, begun = whole.until(POINTS), time.perf_counter()
        assert member.desk is not None, "the members of a desk have one"
        replay_strategy(member.desk, part, member.rules, member.cash)
        return (time.perf_counter() - begun) * len(whole.instants) / len(part.instants)
    count = inputs.study.space.known
    inputs.check()
    play_chunk(inputs, 0, 1)  # compiles, and prepares the bars
    begun, played = time.perf_counter(), 0
    while played < 64 and (not played or time.perf_counter() - begun < SAMPLED_S):
        number = (played * 7919) % count
        play_chunk(inputs, number, number + 1)
        played += 1
    return (time.perf_counter() - begun) / played


def _add_questions(plan: SweepPlan, inputs: SweepInputs, missing: Sequence[int]) -> SweepPlan:
    """Return `plan` with the questions of its desks. Those before the open are counted once, whoever shares them; what
    is asked on the account is counted for each member that is `missing`, as often as the first of them asks it."""
    study, workspace = inputs.study, inputs.workspace
    left = len(missing) + len(study) - study.space.known
    if not missing:
        return plan
    begun = time.perf_counter()
    one = make_plan(study.spec(missing[0]), workspace)
    minutes = plan.minutes + left * (time.perf_counter() - begun) / 60
    asked = _plan_asked(study, workspace, MORNING, missing)
    most = {line.stage: line.most_calls / max(1, line.calls) for line in one.lines}
    shared = [line.at_most(round(line.calls * most.get(line.stage, 0))) for line in asked.lines]
    apart = [_times(line, float(left)) for line in one.lines if line.stage not in MORNING]
    kinds = (replace(one, kind="account") if one.kind == "downstream" else one for one in asked.parameters)
    in_a_row = sum(line.misses * line.seconds for line in apart if line.provider != OFFLINE) / 60
    of_all = sum(line.calls for line in apart)
    new = f"{of_all:,} of them read the account and are new for every member, but for what members share by chance."
    return replace(
        plan,
        parameters=tuple(kinds),
        lines=(*shared, *apart),
        minutes=minutes,
        asking_minutes=asked.asking_minutes + in_a_row,
        asked_apart=asked.asked_apart,
        notes=(*plan.notes, new),
    )


def _plan_asked(study: Study, workspace: Workspace, stages: Collection[str], numbers: Sequence[int]) -> SweepPlan:
    """Return the plan of the members `numbers` with their questions in `stages`."""
    space, first = study.space, study.spec(0)
    asking = [one.name for one in space.parameters if not is_hidden(one.name)]
    met = [space.settings(number) for number in space.examples()]
    others = {name: [one[name] for one in met if one[name] != met[0][name]] for name in asking}
    variants = [(name, value) for name, values in others.items() for value in list(dict.fromkeys(values))[:3]]
    alone = [with_settings(first, {name: value}) for name, value in variants]
    found = plan_shared([first, *alone], workspace, stages)
    upstream = {name for (name, _), keys in zip(variants, found.keys[1:], strict=True) if not keys <= found.keys[0]}
    begin = {name: value for name, value in space.settings(0).items() if name in upstream}
    there = {repr(begin), *(repr({**begin, name: value}) for name, value in variants if name in upstream)}
    distinct: dict[str, RunSpec] = {}
    for number in numbers:
        settings = {name: value for name, value in space.settings(number).items() if name in upstream}
        distinct.setdefault(repr(settings), with_settings(first, settings))
    # Those met already are all there are where one parameter is upstream: the others ask nothing that these do not.
    planned = (
        found if distinct.keys() == there else plan_shared(list(distinct.values())[:MOST_PLANNED], workspace, stages)
    )
    factor = max(1.0, len(distinct) / MOST_PLANNED)
    parameters = tuple(
        _plan_parameter(one, "upstream" if one.name in upstream else "downstream") for one in space.parameters
    )
    lines = tuple(_times(line, factor) for line in planned.lines)
    return SweepPlan(
        strategy=str(study.base.strategy),
        first=str(study.base.first),
        last=str(study.base.last or "the last session"),
        decisions=0,
        search=space.search,
        members=len(study),
        parameters=parameters,
        minutes=0.0,
        max_cost=study.base.max_cost,
        lines=lines,
        asking_minutes=factor * planned.minutes,
        asked_apart=len(distinct),
    )


def _times(line: PlanLine, factor: float) -> PlanLine:
    if factor == 1.0:
        return line
    hits, misses = round(factor * line.hits), round(factor * line.misses)
    prompt, completion, usd = (one.times(factor) for one in (line.prompt_tokens, line.completion_tokens, line.usd))
    made = replace(line, calls=hits + misses, hits=hits, misses=misses)
    most = round(factor * line.most_calls)
    return replace(made, prompt_tokens=prompt, completion_tokens=completion, usd=usd, most_calls=most)
