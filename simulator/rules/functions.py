"""A function as a rule: ``def decide(market, fast=20) -> weights``."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from simulator.errors import UsageError
from simulator.market.bars import Snapshot
from simulator.rules.base import Rule

Decide = Callable[..., Mapping[str, float]]

SIGNATURE = 'write `def decide(market, fast=20, cadence="weekly", window=1)`: what has a default is a parameter'


def rule_of(function: Decide) -> type[Rule]:
    """Return the rule whose weights are what `function` returns of the market.

    Arguments after the first are its parameters, so each has a default; of these ``cadence`` and ``window`` say when it
    decides and how many bars it needs, as in `Rule`. Raises UsageError for a function that cannot be one.
    """
    named = function.func if isinstance(function, partial) else function
    name = getattr(named, "__name__", type(named).__name__).strip("<>")
    if inspect.iscoroutinefunction(function) or inspect.isgeneratorfunction(function):
        raise UsageError(f"{name} is asynchronous or a generator", mend="write `def decide(market)` returning weights")
    try:
        market, *others = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        raise UsageError(f"{name} takes no market", mend=SIGNATURE) from None
    bare = [one.name for one in others if one.default is one.empty or one.kind is one.VAR_KEYWORD]
    if market.kind not in (market.POSITIONAL_ONLY, market.POSITIONAL_OR_KEYWORD) or bare:
        what = f"argument {bare[0]} has no default" if bare else "its first argument is not the market"
        raise UsageError(f"{name}: {what}", mend=SIGNATURE)
    taken = [one.name for one in others if one.name in ("name", "file", "weights", "decide", "parameters")]
    if taken:
        raise UsageError(f"{name}: argument {taken[0]} is a name a rule has", mend="call it something else")
    names = tuple(one.name for one in others)

    def weights(self: Rule, snapshot: Snapshot) -> Mapping[str, float]:
        return function(snapshot, **{one: getattr(self, one) for one in names})

    body: dict[str, Any] = {one.name: one.default for one in others}
    return type(name, (Rule,), {**body, "weights": weights, "name": name, "__doc__": function.__doc__})
