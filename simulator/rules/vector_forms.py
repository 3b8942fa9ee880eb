"""Vector forms of the shipped rules: ``weights_for = classmethod(vector_forms.sma_cross)`` in the rule's class.

Each gives, at all dates of `market` at once, the targets that the step form of the rule gives date by date.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from simulator import numerics
from simulator.market.bars import Floats
from simulator.rules.base import FORMS_OF_MANY, Rule, settings_of, step_by_step, uniform
from simulator.rules.crossings import compare_averages
from simulator.rules.occasions import Occasions

Given = Mapping[str, Any]


def _all_parameters(kind: type[Rule], given: Given) -> dict[str, Any]:
    return settings_of(kind(**given))  # refuses what it does not have


def buy_and_hold(kind: type[Rule], market: Occasions, given: Given) -> Floats:
    _all_parameters(kind, given)
    return market.targets(np.full(market.listed.shape, 1 / len(market.symbols)))


def equal_weight(kind: type[Rule], market: Occasions, given: Given) -> Floats:
    _all_parameters(kind, given)
    return market.targets(1 / np.maximum(market.listed.sum(axis=1, keepdims=True), 1))


def constant(kind: type[Rule], market: Occasions, given: Given) -> Floats:
    """Of a rule whose weights rest on the symbols alone."""
    held = kind(**given).weights(market.snapshot(0)) if len(market) else {}
    return market.targets(np.array([[held.get(symbol, 0.0) for symbol in market.symbols]]))


def random_entry(kind: type[Rule], market: Occasions, given: Given) -> Floats:
    p = _all_parameters(kind, given)
    days = market.instants.astype("datetime64[ns]").astype("datetime64[D]").tolist()
    luck = np.array([[uniform(p["seed"], day, symbol) for symbol in market.symbols] for day in days])
    held = luck.reshape(len(days), len(market.symbols)) < p["probability"]
    return market.targets(np.where(held, 1 / len(market.symbols), 0.0))


def momentum_12_1(kind: type[Rule], market: Occasions, given: Given) -> Floats:
    _all_parameters(kind, given)
    gains = np.full(market.listed.shape, -np.inf)
    for n in range(len(market.symbols)):
        closes, known = market.history(n)
        long = known >= 253
        gains[long, n] = closes[known[long] - 22] / closes[known[long] - 253] - 1
    best = (np.isfinite(gains).sum(axis=1) + 1) // 2
    rank = np.argsort(np.argsort(-gains, axis=1, kind="stable"), axis=1, kind="stable")
    held = (rank < best[:, None]) & (gains > 0)
    return market.targets(np.where(held, 1 / np.maximum(best, 1)[:, None], 0.0))


def sma_cross(kind: type[Rule], market: Occasions, given: Given) -> Floats:
    targets: Floats = sma_crosses(kind, market, [given])[0]
    return targets


def sma_crosses(kind: type[Rule], market: Occasions, many: Sequence[Given]) -> Floats:
    known = kind.parameters()
    settings = [
        {**known, **given} if like else _all_parameters(kind, given)
        for given, like in zip(many, kind.like_defaults(many), strict=True)
    ]
    pairs = [(each["fast"], each["slow"]) for each in settings]
    windows = np.array(pairs, dtype=np.int64).reshape(-1, 2)
    # Others than the comparison can take, and read past the sums with, are asked date by date below.
    windows[(windows[:, 0] <= 0) | (windows[:, 0] > windows[:, 1])] = 1, 2**62
    unsigned = windows.astype(np.uint64)
    targets = numerics.room(len(many), *market.listed.shape)
    weight, histories = 1 / len(market.symbols), [market.history(n) for n in range(len(market.symbols))]
    known_then, room = np.array([ends for _, ends in histories], dtype=np.uint64), 1024
    while True:
        unsure, count = np.empty((room, 3), dtype=np.int64), np.zeros(1, dtype=np.int64)
        rows = targets.reshape(len(many), market.listed.size)
        compare_averages(market.running_sums, known_then, unsigned, weight, rows, unsure, count)
        if count[0] <= room:
            break
        room = int(count[0])
    # Differences of running sums round otherwise than means of the closes, which decide where it is that close.
    for r, k, n in unsure[: count[0]].tolist():
        (fast, slow), (closes, ends) = pairs[r], histories[n]
        window = closes[ends[k] - slow : ends[k]]
        targets[r, k, n] = weight if window[-fast:].mean() > window.mean() else 0.0
    for r, (fast, slow) in enumerate(pairs):
        if not 0 < fast <= slow:
            targets[r] = step_by_step(kind, market, many[r])
    return targets


FORMS_OF_MANY[sma_cross] = sma_crosses
