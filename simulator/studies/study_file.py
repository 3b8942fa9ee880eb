"""A study from its file and from what is typed beside it; typed values come before those of the file.

study.yaml                                    sim sweep study.yaml --set slow=100,200 --seed 7
├── what all members share                    strategy, symbols, from, to, models, bars, set
├── what differs                              sweep: {fast: 5:50:5, costs.slippage_bps: {low: 0.5, high: 50, log: true}}
├── which of them are played                  where: fast < slow; search: grid | random | sobol | tpe; members; seed
└── which are chosen in sample                walk_forward: {train: 252, test: 63}; cpcv: {folds: 9, test: 2, purge: 5}
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import ConfigDict, Field

from simulator.config import Section, load_config, read_yaml
from simulator.desk.spec import load_definition
from simulator.errors import UsageError, did_you_mean
from simulator.market.calendar import parse_date
from simulator.number_format import counted
from simulator.rules import RuleStrategy
from simulator.rules.base import settings_of
from simulator.runs.spec import MAX_COST, RunSpec, check_max_cost
from simulator.runs.strategies import find_strategy, is_desk_file, load_strategy
from simulator.studies.conditions import Condition
from simulator.studies.inputs import FEWEST_SESSIONS, SweepInputs, is_hidden
from simulator.studies.space import SEARCHES, Parameter, Space
from simulator.studies.splitting import read_combinatorial, read_walk_forward
from simulator.studies.study import OBJECTIVE, HoldOut, Study
from simulator.studies.tpe import ask
from simulator.studies.values import LARGEST_WHOLE, read_parameter
from simulator.studies.walk_forward import check_splits, describe_splits
from simulator.workspace import Workspace

STRATEGY, SYMBOLS, FIRST = "macro_council", ("SPY", "QQQ"), "2024-01-01"

NOTHING = (Parameter("cadence", ("daily",)),)
"""Takes the place of what is swept where members are not asked for."""

OBJECTIVES = ("sharpe", "total_return", "max_drawdown")


class StudyFile(Section):
    """A study as it is written. Keys that are left out are as `sim run` has them."""

    model_config = ConfigDict(populate_by_name=True)

    strategy: str | None = None
    symbols: list[str] | str | None = None
    first: date | None = Field(default=None, alias="from")
    last: date | None = Field(default=None, alias="to")
    models: str | None = None
    bars: str | None = None
    set: dict[str, Any] = Field(default={})
    """Parameters that are the same for all members."""
    sweep: dict[str, Any] = Field(default={})
    """Parameters that differ, with their values as `simulator.studies.values` reads them."""
    where: list[str] | str = Field(default=[])
    search: str | None = None
    members: int | None = None
    seed: int | None = None
    objective: str | None = None
    walk_forward: dict[str, Any] | str | None = None
    cpcv: dict[str, Any] | str | None = None
    hold_out: date | None = None
    """First of the last sessions, that no member is played on."""


def make_study(
    workspace: Workspace, file: Path | None = None, sets: Sequence[tuple[str, Any]] = (), **typed: Any
) -> Study:
    """Return the study of `file` with what was `typed` in its place: keys of :class:`StudyFile`, None for nothing.

    `sets` are parameters and their values, {name: value} pairs in order; one value is fixed, more are swept. Raises
    UsageError, ConfigError and DataError before any work for what no member could be played with.
    """
    written = StudyFile() if file is None else _read(file)
    given = {key: value for key, value in typed.items() if value is not None and value != ()}
    parameters = _parameters(written, sets)
    symbols = given.get("symbols", written.symbols) or SYMBOLS
    listed = symbols.split(",") if isinstance(symbols, str) else symbols
    last = given.get("last", written.last)
    held = _hold_out(given.get("hold_out", written.hold_out), last, bool(given.get("open_hold_out")))
    last = held.first - timedelta(days=1) if held else last
    base = RunSpec(
        given.get("strategy", written.strategy) or STRATEGY,
        tuple(dict.fromkeys(one.strip().upper() for one in listed if one.strip())),
        parse_date(given.get("first", written.first) or FIRST, "--from"),
        None if last is None else parse_date(last, "--to"),
        models=given.get("models", written.models),
        bars=given.get("bars", written.bars),
        max_cost=given.get("max_cost", MAX_COST),
        parameters={one.name: one.values[0] for one in parameters if _is_fixed(one)},
    )
    check_max_cost(base.max_cost)
    seed = whole_number("seed", given.get("seed", written.seed), least=0) or 0
    count = whole_number("members", given.get("members", written.members))
    search = _choice("search", given.get("search", written.search) or "grid", SEARCHES)
    objective = _choice("objective", given.get("objective", written.objective) or OBJECTIVE, OBJECTIVES)
    conditions = [written.where] if isinstance(written.where, str) else written.where
    where = tuple(Condition(text) for text in dict.fromkeys((*conditions, *given.get("where", ()))))
    swept = tuple(one for one in parameters if not _is_fixed(one))
    known = _find_shared(base, workspace, where)
    for condition in where:
        condition.check_names({**known, **dict.fromkeys(one.name for one in swept)})
    try:
        space = Space(swept, where, search, count, seed, known)
    except UsageError:  # a misspelt name is told before how many members there would be
        firsts = tuple(replace(one, values=one.values[:1]) for one in swept if one.spread is None)
        one = SweepInputs(Study(base, Space(firsts or NOTHING, (), "random", 1)), workspace)
        _ = one.settings(one.study.spec(0).overrides), one.strategy
        raise
    space = ask(space, ()) if search == "tpe" else space
    walk, cpcv = (given.get(key, vars(written)[key]) for key in ("walk_forward", "cpcv"))
    walk_forward = None if walk is None else read_walk_forward(walk)
    combinatorial = None if cpcv is None else read_combinatorial(cpcv)
    study = Study(base, space, seed, objective, walk_forward, combinatorial, held)
    inputs = SweepInputs(study, workspace)
    inputs.check()
    _check_hold_out(inputs)
    if inputs.of_council and search == "tpe" and (shown := [one.name for one in swept if not is_hidden(one.name)]):
        raise UsageError(f"a tpe search of {shown[0]} asks models batch after batch", mend="take --search grid")
    if study.walk_forward is not None or study.combinatorial is not None:
        check_splits(study, inputs.kind)
        describe_splits(study, inputs.sessions)
    return study


def whole_number(name: str, given: Any, least: int = 1) -> int | None:
    """Return `given` as a number. Raises UsageError for another kind, and below `least`; None stands for none."""
    if given is None:
        return None
    if isinstance(given, bool) or not isinstance(given, int | np.integer) or not least <= given <= LARGEST_WHOLE:
        raise UsageError(f"{name} was {given!r:.40}", mend=f"give a whole number from {least} on")
    return int(given)


def _hold_out(first: date | str | None, last: date | str | None, opened: bool) -> HoldOut | None:
    """Return the hold-out that begins at `first`. Raises UsageError where there is none to open, or it is empty."""
    if first is None:
        if opened:
            raise UsageError(
                "--open-hold-out without a hold-out", mend="keep the last sessions back: --hold-out 2024-01-01"
            )
        return None
    begin, end = parse_date(first, "--hold-out"), None if last is None else parse_date(last, "--to")
    if end is not None and end < begin:
        raise UsageError(f"the hold-out begins {begin}, after the last session, {end}")
    return HoldOut(begin, end, opened)


def _check_hold_out(inputs: SweepInputs) -> None:
    """Raise UsageError for a hold-out that leaves too few sessions after or before it to show anything."""
    held = inputs.study.hold_out
    if held is None:
        return
    sessions = inputs.whole().sessions
    before = int(np.searchsorted(sessions, np.datetime64(held.first)))
    for count, where in ((len(sessions) - before, "in"), (before, "before")):
        if count < FEWEST_SESSIONS:
            found = f"{counted(count, 'session')} {where} the hold-out from {held.first}; bars end {sessions[-1]}"
            raise UsageError(found, mend=f"begin it so that at least {FEWEST_SESSIONS} lie before it and in it")


def _read(file: Path) -> StudyFile:
    if not file.is_file():
        near = did_you_mean(file.name, [one.name for one in file.parent.glob("*.y*ml")] if file.parent.is_dir() else [])
        found = "is a folder" if file.is_dir() else f"no such file{near}"
        raise UsageError(found, where=str(file), mend="name a study file, e.g. study.yaml; docs/sweeps.md shows one")
    return read_yaml(file, StudyFile)


def _parameters(written: StudyFile, sets: Sequence[tuple[str, Any]]) -> list[Parameter]:
    """Return the parameters of the file, what was typed under their names in their place, then the others."""
    for name in written.set:
        if name in written.sweep:
            raise UsageError(f'parameter "{name}" stands under set and under sweep')
    names = [name for name, _ in sets]
    for name in names:
        if names.count(name) > 1:
            raise UsageError(f'parameter "{name}" stands there twice', mend=f"give all values at once: {name}=5,10,20")
    fixed = {name: [value] for name, value in written.set.items()}
    found: dict[str, Any] = {**fixed, **written.sweep, **dict(sets)}
    return [read_parameter(str(name), value) for name, value in found.items()]


def _is_fixed(one: Parameter) -> bool:
    return len(one.values) == 1


def _find_shared(base: RunSpec, workspace: Workspace, where: Sequence[Condition]) -> Mapping[str, Any]:
    """Return the values that conditions may speak of and that all members share: those of config/, the strategy's own
    by default, and those that were fixed."""
    if not where:
        return base.parameters
    config = load_config(workspace.config).dump()
    known = {f"{name}.{key}": value for name, part in config.items() for key, value in part.items()}
    name = base.strategy
    if not isinstance(name, str) or find_strategy(name, workspace.strategies).suffix == ".py":
        strategy = load_strategy(name, workspace.strategies).strategy
        known |= settings_of(strategy.rule) if isinstance(strategy, RuleStrategy) else {}
    elif is_desk_file(path := find_strategy(name, workspace.strategies)):
        known |= load_definition(path, workspace.config).settings
    return {**known, **base.parameters}


def _choice(key: str, word: str, known: Sequence[Any]) -> Any:
    if word not in known:
        near = did_you_mean(word, known) or f"; one of {', '.join(known)}"
        raise UsageError(f'{key} was "{word}"{near}')
    return word
