"""Members of a TPE search (Bergstra et al. 2011, by optuna): each batch is asked for by the results of those before it.

    batch ──► played, its chunk on disk ──► all results so far, a seed of the batch's own ──► next batch

A batch follows from study, seed and earlier results alone: the search goes on after a kill as if there had been none.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from simulator.errors import UsageError
from simulator.studies.space import Parameter, Space

BATCH = 20
"""Members asked for at once: they are played side by side, and a chunk each."""

TRIES = 50
"""Suggestions a member before others are drawn at random: conditions rule them out, or they were played already."""


def ask(space: Space, scores: Sequence[float]) -> Space:
    """Return `space` with the next batch asked for; `scores` are those of its members so far, more is better.

    A member that repeats an earlier one or breaks a condition is suggested anew. Raises UsageError without optuna, and
    where there are fewer different members than were wanted.
    """
    count = min(BATCH, len(space) - len(space.asked))
    seen = set(map(repr, space.asked))
    found: list[tuple[Any, ...]] = []
    for settings in _suggest(space, scores, TRIES * count):
        if repr(settings) not in seen and space.allows(settings):
            seen.add(repr(settings))
            found.append(settings)
        if len(found) == count:
            break
    if len(found) < count:
        luck = replace(space, search="random", members=len(space), asked=(), seed=space.seed)
        drawn = (tuple(luck.settings(number).values()) for number in range(len(luck)))
        found += [settings for settings in drawn if repr(settings) not in seen][: count - len(found)]
    return replace(space, asked=(*space.asked, *found))


def _suggest(space: Space, scores: Sequence[float], count: int) -> Iterator[tuple[Any, ...]]:
    try:
        import optuna
    except ImportError:
        mend = "pip install 'council-simulator[tpe]', or take --search sobol"
        raise UsageError("--search tpe needs optuna", mend=mend) from None
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    kinds = {one.name: _distribution(one) for one in space.parameters}
    seed = np.random.SeedSequence([space.seed, len(space.asked)]).generate_state(1)[0]
    sampler = optuna.samplers.TPESampler(seed=int(seed), constant_liar=True, multivariate=True)
    study = optuna.create_study(direction="maximize", sampler=sampler)
    for settings, score in zip(space.asked, scores, strict=True):
        cells = {one.name: _cell(one, value) for one, value in zip(space.parameters, settings, strict=True)}
        done = optuna.trial.TrialState.COMPLETE if np.isfinite(score) else optuna.trial.TrialState.FAIL
        value = float(score) if np.isfinite(score) else None
        study.add_trial(optuna.trial.create_trial(state=done, params=cells, distributions=kinds, value=value))
    for _ in range(count):
        cells = study.ask(kinds).params
        yield tuple(_value(one, cells[one.name]) for one in space.parameters)


def _distribution(one: Parameter) -> Any:
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    spread = one.spread
    if spread is None:
        places = len(one.values)
        return IntDistribution(0, places - 1) if one.numeric else CategoricalDistribution(tuple(range(places)))
    if spread.whole:
        return IntDistribution(int(spread.low), int(spread.high), log=spread.log)
    return FloatDistribution(spread.low, spread.high, log=spread.log)


def _cell(one: Parameter, value: Any) -> Any:
    return one.values.index(value) if one.spread is None else value


def _value(one: Parameter, cell: Any) -> Any:
    if one.spread is None:
        return one.values[cell]
    if one.spread.whole:
        return int(cell)
    return min(max(float(f"{cell:.6g}"), one.spread.low), one.spread.high)
