"""Replays of a run: one per replicate, from the same inputs, with answers of their own, and how far they spread."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from simulator.errors import LLMError, NoResultError, UsageError
from simulator.evidence.records import Metrics, Spread
from simulator.replay.inputs import ReplayInputs
from simulator.replay.kept_opinions import KeptOpinions
from simulator.replay.prefetch import Progress
from simulator.replay.run import Replayed, replay_strategy
from simulator.trading.cycle import TradingRules
from simulator.trading.strategy import Replicable, Strategy


def replay_replicates(
    strategy: Strategy[Any],
    replicates: int,
    inputs: ReplayInputs,
    rules: TradingRules,
    cash: float,
    progress: Progress | None,
    loop: asyncio.Runner,
    kept: KeptOpinions | None,
) -> tuple[tuple[Replayed, ...], LLMError | None]:
    """A replay per replicate, and why there are fewer dates or replicates than asked for.

    The first is never missing: where its asking stops early it is what there is, a later one is left out. Raises
    UsageError for several replicates of a strategy that asks nothing, and what ends a replay without a result.
    """
    check_replicates(strategy, replicates)
    replays: list[Replayed] = []
    for number in range(replicates):
        again = replicate_of(strategy, number)
        try:
            replayed = replay_strategy(again, inputs, rules, cash, _part(progress, number, replicates), loop, kept)
        except LLMError as stopped:
            if not replays or isinstance(stopped, NoResultError):
                raise
            return tuple(replays), stopped
        if replayed.stopped is not None:
            return tuple(replays) or (replayed,), replayed.stopped
        replays.append(replayed)
    return tuple(replays), None


def check_replicates(strategy: Strategy[Any], replicates: int) -> None:
    """Raises UsageError for a number there is not, and for several of a strategy that asks nothing."""
    if replicates < 1:
        raise UsageError(f"--replicates was {replicates}", mend="1 asks each question once, K asks it K times")
    if replicates > 1 and not isinstance(strategy, Replicable):
        raise UsageError(f"{strategy.name} asks no model: all replicates are the same", mend="leave --replicates out")


def replicate_of(strategy: Strategy[Any], number: int) -> Strategy[Any]:
    """Return the strategy that puts its questions for the answers of that number; 0 is `strategy` itself."""
    return strategy.for_replicate(number) if number and isinstance(strategy, Replicable) else strategy


def _part(progress: Progress | None, number: int, replicates: int) -> Progress | None:
    """Progress of one replay as progress of all."""
    if progress is None:
        return None
    return lambda stage, done, total, session: progress(stage, number * total + done, replicates * total, session)


def spread(values: Sequence[float | None]) -> Spread:
    """mean, min, max and sd (ddof 1) of one metric over replicates; None where one has none, sd for a single one."""
    known = [value for value in values if value is not None and math.isfinite(value)]
    if len(known) < len(values) or not known:
        return {"mean": None, "min": None, "max": None, "sd": None}
    sd = float(np.std(known, ddof=1)) if len(known) > 1 else None
    return {"mean": float(np.mean(known)), "min": min(known), "max": max(known), "sd": sd}


def spreads(replicates: Sequence[Metrics]) -> dict[str, Spread]:
    """Return {metric: its spread over `replicates`}, in the order of the first."""
    return {name: spread([metrics.get(name) for metrics in replicates]) for name in replicates[0]}
