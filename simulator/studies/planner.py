"""Plan of a sweep before it is played: what each parameter changes, how many members, questions, dollars, minutes.

rule      signal      decisions are made anew                 by the kernel, from bars: no model is asked
          schedule    decisions at other times
          execution   the same decisions, filled otherwise
          risk        the same decisions, cut or sized otherwise
council   downstream  answers on disk are scored again        no question differs from those of the first member
          upstream    other prompts, models or settings       questions are counted once, whoever shares them
"""

from __future__ import annotations

import time
from dataclasses import replace

from simulator.config import SETTABLE
from simulator.evidence.plan import PlanLine, PlannedParameter, SweepPlan
from simulator.rules.exits import NAMES as EXITS
from simulator.runs.plan import plan_shared
from simulator.runs.spec import RunSpec
from simulator.studies.chunks import play_chunk
from simulator.studies.inputs import SweepInputs, is_hidden
from simulator.studies.space import Parameter
from simulator.studies.study import Study, with_settings
from simulator.studies.walk_forward import describe_splits
from simulator.workspace import Workspace

MOST_PLANNED = 20
"""Combinations of upstream settings that are met with stand-ins; of more, these are taken for the rest."""

SAMPLED_S = 1.0
"""Seconds of playing from which the time of all members is told."""

LONGEST_SHOWN = 40
"""Characters of the values of a parameter; of more, the first and the last are shown."""


def plan_sweep(study: Study, workspace: Workspace, threads: int = 1) -> SweepPlan:
    """Return the plan of `study`. Nobody is asked and nothing is written; a few members are played for their time."""
    inputs = SweepInputs(study, workspace)
    if inputs.of_council:
        return _plan_council(study, workspace)
    staged = inputs.staged(inputs.member(0))
    parameters = tuple(_plan_parameter(one, kind_of(one.name)) for one in study.space.parameters)
    seconds = _sample(inputs) * len(study) / threads
    return SweepPlan(
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
    )


def kind_of(name: str) -> str:
    """Return what a parameter of a rule changes."""
    if name.startswith("schedule."):
        return "schedule"
    if name.startswith("risk.max_") or name == "sizing.scale":
        return "risk"
    return "execution" if name in EXITS or name.partition(".")[0] in SETTABLE else "signal"


def _plan_parameter(one: Parameter, kind: str) -> PlannedParameter:
    spread = one.spread
    shown = one.typed.replace("null", "none")
    if len(shown) > LONGEST_SHOWN:
        shown = f"{one.values[0]} … {one.values[-1]}"
    return PlannedParameter(one.name, kind, None if spread else len(one.values), shown)


def _sample(inputs: SweepInputs) -> float:
    """Return the seconds that a member takes, from members spread over all of them."""
    count = inputs.study.space.known
    inputs.check()
    play_chunk(inputs, 0, 1)  # compiles, and prepares the bars
    begun, played = time.perf_counter(), 0
    while played < 64 and (not played or time.perf_counter() - begun < SAMPLED_S):
        number = (played * 7919) % count
        play_chunk(inputs, number, number + 1)
        played += 1
    return (time.perf_counter() - begun) / played


def _plan_council(study: Study, workspace: Workspace) -> SweepPlan:
    space, first = study.space, study.spec(0)
    asking = [one for one in space.parameters if not is_hidden(one.name)]
    variants = [(one.name, value) for one in asking for value in one.values[:3] if value != space.settings(0)[one.name]]
    alone = [with_settings(first, {name: value}) for name, value in variants]
    found = plan_shared([first, *alone], workspace)
    upstream = {name for (name, _), keys in zip(variants, found.keys[1:], strict=True) if not keys <= found.keys[0]}
    distinct: dict[str, RunSpec] = {}
    for number in range(space.known):
        settings = {name: value for name, value in space.settings(number).items() if name in upstream}
        distinct.setdefault(repr(settings), with_settings(first, settings))
    planned = plan_shared(list(distinct.values())[:MOST_PLANNED], workspace)
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
    return replace(made, prompt_tokens=prompt, completion_tokens=completion, usd=usd)
