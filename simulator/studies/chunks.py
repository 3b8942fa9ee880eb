"""Members of a sweep played a chunk at a time: pure, from inputs alone; no clock is read, and no model is asked but by
desks with agents, whose chunks the command itself plays."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simulator.errors import UsageError
from simulator.evidence.verify_sweep import series_digest
from simulator.market.bars import Floats
from simulator.replay.kernel.batch import AT_ONCE, MEASURES, Batch, play_many
from simulator.replay.tape import Tape
from simulator.rules import Occasions, Rule
from simulator.rules.base import has_form_of_many, settings_of, settings_of_many, weights_by_step
from simulator.studies.desk_tapes import decide_desk
from simulator.studies.inputs import Member, SweepInputs


@dataclass(frozen=True, eq=False)
class Chunk:
    """Results of members `first` and those after it.

    Attributes
    ----------
    columns : {name: (R,)}: settings, and measures as :class:`simulator.replay.kernel.batch.Results` has them
    beyond : (R, S) what each member earned beyond its own usual exposure, session by session
    digest : of the file of `beyond`; taken where it was played, side by side with other chunks
    failures : {member: why it could not be played}; its measures and returns are NaN
    """

    first: int
    columns: Mapping[str, NDArray[Any]]
    beyond: Floats
    digest: str
    failures: Mapping[int, str] = field(default_factory=dict)


def play_chunk(inputs: SweepInputs, first: int, end: int) -> Chunk:
    """Play members `first` to before `end`; the bytes do not depend on how members are cut into chunks."""
    space, numbers = inputs.study.space, range(first, end)
    settings = [space.settings(number) for number in numbers]
    places: dict[tuple[Any, ...], tuple[int, bytes]] = {}
    failures: dict[int, str] = {}
    groups: dict[tuple[tuple[int, bytes], bool], list[Member]] = defaultdict(list)
    for one in inputs.members(numbers, settings):
        key = one.place
        if key not in places:
            places[key] = inputs.shared(one)
        groups[places[key], one.priced].append(one)
    parts = [_play_or_fail(inputs, alike, failures) for alike in groups.values()]
    order = np.argsort([one.number for alike in groups.values() for one in alike], kind="stable")
    rows, beyond = (_joined([part[n] for part in parts], order) for n in (0, 1))
    columns = space.tidy(settings) | dict(zip(MEASURES, rows.T, strict=True))
    return Chunk(first, columns, beyond, series_digest(beyond), failures)


def _joined(parts: Sequence[Floats], order: NDArray[np.int64]) -> Floats:
    return parts[0] if len(parts) == 1 else np.concatenate(parts)[order]


def batch_of(inputs: SweepInputs, alike: Sequence[Member]) -> Batch:
    """Return what the kernel plays for members that trade on the same bars at the same instants, all with stops and
    take-profits or all without."""
    market, instants = inputs.market(alike[0]), inputs.staged(alike[0]).inputs.instants
    trading = [one.rules for one in alike]
    if all(one is trading[0] for one in trading):  # as they are unless a setting of theirs is swept
        trading = trading[:1]
    execution, limits = [one.execution for one in trading], [one.limits for one in trading]
    cash = [one.cash for one in alike]
    if decided := [one.tape for one in alike if one.tape is not None]:
        return Batch.of(market, decided, execution, cash, limits)
    if alike[0].desk is not None:  # limits cut the decisions as they were made
        return Batch.of(market, [decide_desk(inputs, one) for one in alike], execution, cash)
    rules = [one.rule for one in alike if one.rule is not None]

    def weigh(r: int) -> Floats:
        return _weigh(rules[r], inputs.occasions(alike[r])) * alike[r].exits.scale

    def tape(r: int) -> Tape:
        weights = weigh(r)
        prices = alike[r].exits.prices(weights, inputs.occasions(alike[r]).newest)
        return Tape(instants, market.bars.symbols, weights, np.full_like(weights, np.nan), *prices)

    def weigh_many(first: int, last: int) -> Floats:
        part, kind = alike[first:last], type(rules[first])
        dates = {id(each): each for each in map(inputs.occasions, {one.place: one for one in part}.values())}.values()
        longest = max(dates, key=lambda each: len(each.bars))
        # Histories differ in length; a form that reads the last bars alone takes the longest, where none has a gap.
        if len(dates) == 1 or (has_form_of_many(kind) and longest.bars.fresh.all()):
            try:
                weights = kind.weights_for_many(longest, settings_of_many(rules[first:last]))
                scales: Floats = np.array([one.exits.scale for one in part])
                return weights if (scales == 1.0).all() else weights * scales[:, None, None]
            except Exception:  # one of them fails: that one says why, below
                pass
        return np.array([weigh(r) for r in range(first, last)])

    if alike[0].priced:
        return Batch.of(market, [tape(r) for r in range(len(alike))], execution, cash, limits)
    return Batch.weighed(market, instants, weigh, execution, cash, limits, weigh_many)


def _weigh(rule: Rule, market: Occasions) -> Floats:
    """(K, N) weights at all dates. Raises UsageError where the rule fails."""
    try:
        return type(rule).weights_for(market, settings_of(rule))
    except Exception:  # the step form says what is wrong, and on which date
        try:
            return weights_by_step(rule, market)
        except UsageError:
            raise
        except Exception as error:
            raise UsageError(f"{type(error).__name__}: {error}") from error


def _play_or_fail(inputs: SweepInputs, alike: Sequence[Member], failures: dict[int, str]) -> tuple[Floats, Floats]:
    """`_play`, with NaN for members whose rule fails; why is written into `failures`."""
    try:
        return _play(inputs, alike)
    except UsageError as error:  # that of a strategy is one
        if len(alike) > 1:  # each by itself, with the same bytes
            parts = [_play_or_fail(inputs, [one], failures) for one in alike]
            return np.concatenate([one for one, _ in parts]), np.concatenate([one for _, one in parts])
        failures[alike[0].number] = str(error)
        return np.full((1, len(MEASURES)), np.nan), np.full((1, len(inputs.market(alike[0]).free)), np.nan)


def _play(inputs: SweepInputs, alike: Sequence[Member]) -> tuple[Floats, Floats]:
    """(R, 11) measures and (R, S) d of members that trade on the same bars at the same instants."""
    cells = len(inputs.staged(alike[0]).inputs.instants) * len(inputs.study.base.symbols)
    # Tapes with prices are made before they are played: no more at once than fit into memory.
    step = max(1, AT_ONCE // max(1, cells)) if alike[0].priced else len(alike)
    parts = [alike[first : first + step] for first in range(0, len(alike), step)]
    played = [play_many(batch_of(inputs, part), beyond=True, excess=False) for part in parts]
    measures = np.concatenate([np.array([getattr(one, name) for name in MEASURES]).T for one in played])
    series = [np.asarray(one.beyond) for one in played]
    return measures, series[0] if len(series) == 1 else np.concatenate(series)
