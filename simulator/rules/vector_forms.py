"""Vector forms of the shipped rules: ``weights_for = classmethod(vector_forms.sma_cross)`` in the rule's class.

Each gives, at all dates of `market` at once, the targets that the step form of the rule gives date by date.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from simulator.market.bars import Floats
from simulator.rules.base import Rule, settings_of, step_by_step, uniform
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
    p = _all_parameters(kind, given)
    fast, slow = p["fast"], p["slow"]
    if not 0 < fast <= slow:
        return step_by_step(kind, market, given)
    held = np.zeros((len(market), len(market.symbols)))
    for n in range(len(market.symbols)):
        closes, known = market.history(n)
        sums, first = market.running_sums(n), int(np.searchsorted(known, slow))
        end = known[first:]
        newest = sums[end]
        above = (newest - sums[end - fast]) / fast - (newest - sums[end - slow]) / slow
        # Differences of running sums round otherwise than means of the closes, which decide where it is that close.
        rounding = 1e-15 * len(sums) * abs(sums[-1]) / fast
        for k in np.flatnonzero(np.abs(above) <= rounding):
            window = closes[end[k] - slow : end[k]]
            above[k] = window[-fast:].mean() > window.mean()
        held[first:, n] = above > 0
    return market.targets(held / len(market.symbols))
