"""Members of a sweep played a chunk at a time: pure, from inputs alone; no model is asked, no clock is read."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simulator.market.bars import Floats
from simulator.replay.kernel.batch import MEASURES, Batch, play_many
from simulator.rules.base import settings_of
from simulator.studies.inputs import Member, SweepInputs


@dataclass(frozen=True, eq=False)
class Chunk:
    """Results of members `first` and those after it.

    Attributes
    ----------
    columns : {name: (R,)}: settings, and measures as :class:`simulator.replay.kernel.batch.Results` has them
    beyond : (R, S) what each member earned beyond its own usual exposure, session by session
    """

    first: int
    columns: Mapping[str, NDArray[Any]]
    beyond: Floats


def play_chunk(inputs: SweepInputs, first: int, end: int) -> Chunk:
    """Play members `first` to before `end`; the bytes do not depend on how members are cut into chunks."""
    members = [inputs.member(number) for number in range(first, end)]
    found: dict[int, tuple[Floats, Floats]] = {}
    groups: dict[tuple[int, bytes], list[Member]] = defaultdict(list)
    for one in members:
        groups[id(inputs.market(one)), inputs.staged(one).inputs.instants.tobytes()].append(one)
    for alike in groups.values():
        played = play_many(batch_of(inputs, alike), beyond=True)
        measures, beyond = np.array([getattr(played, name) for name in MEASURES]).T, np.asarray(played.beyond)
        found |= {one.number: (row, series) for one, row, series in zip(alike, measures, beyond, strict=True)}
    rows, beyond = (np.array([found[n][part] for n in range(first, end)]) for part in (0, 1))
    settings = [inputs.study.space.settings(number) for number in range(first, end)]
    columns = {name: np.array([one[name] for one in settings]) for name in settings[0]}
    return Chunk(first, columns | dict(zip(MEASURES, rows.T, strict=True)), beyond)


def batch_of(inputs: SweepInputs, alike: Sequence[Member]) -> Batch:
    """Return what the kernel plays for members that trade on the same bars at the same instants."""
    market, instants = inputs.market(alike[0]), inputs.staged(alike[0]).inputs.instants

    def weigh(r: int) -> Floats:
        rule = alike[r].rule
        return type(rule).weights_for(inputs.occasions(alike[r]), settings_of(rule))

    rules, cash = [one.rules.execution for one in alike], [one.cash for one in alike]
    return Batch.weighed(market, instants, weigh, rules, cash, [one.rules.limits for one in alike])
