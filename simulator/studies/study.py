"""A study: what its members have in common, and what differs among them."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from datetime import date
from typing import Any

from simulator.runs.spec import RunSpec
from simulator.studies.space import Space
from simulator.studies.splitting import Combinatorial, WalkForward, describe

OBJECTIVE = "sharpe"


@dataclass(frozen=True)
class HoldOut:
    """The last sessions, from `first` to `last` (None: the last all have), that no member is played on; `opened` where
    the best one shall be."""

    first: date
    last: date | None = None
    opened: bool = False


@dataclass(frozen=True)
class Study:
    """A sweep before it is played.

    Attributes
    ----------
    base : specification that all members share; its parameters are fixed
    space : parameters that differ
    seed : of everything drawn: members of a random search, replicates of the inference
    objective : measure that a TPE search looks for more of
    walk_forward, combinatorial : splits to choose members in sample by; the members themselves do not depend on them
    hold_out : sessions after `base.last`, which has been set before them
    """

    base: RunSpec
    space: Space
    seed: int = 0
    objective: str = OBJECTIVE
    walk_forward: WalkForward | None = None
    combinatorial: Combinatorial | None = None
    hold_out: HoldOut | None = None

    def __len__(self) -> int:
        return len(self.space)

    def spec(self, number: int) -> RunSpec:
        """Return the run that gives member `number` alone: the same books to the last bit, sums of them to 1e-12."""
        return with_settings(self.base, self.space.settings(number))

    def command(self, strategy: str, last: date) -> str:
        """Return the `sim sweep` that makes this study again, with everything that was left open filled in; empty where
        the strategy was passed from Python."""
        space = self.space
        if not isinstance(self.base.strategy, str):
            return ""
        held = self.hold_out
        words = self.base.command(strategy, (held and held.last) or last).split(" ", 2)
        if held is not None and held.last is None:
            words[2] = words[2].replace(f" --to {last}", "")
        more = [word for one in space.parameters for word in ("--set", f"{one.name}={one.typed}")]
        more += [word for one in space.where for word in ("--where", one.text)]
        if space.search != "grid":
            more += ["--search", space.search, "--members", str(len(space))]
        more += ["--objective", self.objective] if space.search == "tpe" else []
        more += ["--seed", str(self.seed)] if self.seed else []
        splits = (("--walk-forward", self.walk_forward), ("--cpcv", self.combinatorial))
        more += [word for option, one in splits if one is not None for word in (option, describe(one))]
        more += ["--hold-out", str(held.first)] if held else []
        return f"sim sweep {words[2]} {shlex.join(more)}"

    def described(self) -> Mapping[str, Any]:
        """Return all that the members follow from beside config, bars and code, JSON-able."""
        base, space = self.base, self.space
        swept = {one.name: asdict(one.spread) if one.spread else list(one.values) for one in space.parameters}
        found: dict[str, Any] = {
            "strategy": base.strategy if isinstance(base.strategy, str) else base.strategy.__name__,
            "symbols": list(base.symbols),
            "from": str(base.first),
            "to": None if base.last is None else str(base.last),
            "models": base.models,
            "bars": base.bars,
            "set": dict(base.parameters),
            "sweep": swept,
            "where": [one.text for one in space.where],
            "search": space.search,
            "members": len(space),
            "seed": self.seed,
        }
        return {**found, "objective": self.objective} if space.search == "tpe" else found


def with_settings(spec: RunSpec, settings: Mapping[str, Any]) -> RunSpec:
    """Return `spec` with parameters in place; ``models`` among them is the profile that is asked."""
    own = {name: value for name, value in settings.items() if name != "models"}
    return replace(spec, models=settings.get("models", spec.models), parameters={**spec.parameters, **own})
