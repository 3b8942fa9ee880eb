"""Settings of a desk: `strategy.yaml` of its folder, and `config/desk.yaml`, the rules of the house it works in."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import time
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, ValidationError, model_validator

from simulator.config import Assets, Clocks, Section, check_clock, read_yaml, refuse_twice
from simulator.config_errors import say_wanted
from simulator.desk.formulas import Caps, Exits, Filters, Limits
from simulator.errors import ConfigError, UsageError, did_you_mean
from simulator.files import read_bytes
from simulator.market.calendar import CLOSE, OPEN

OFF = (False, "off")  # YAML 1.1 reads `off` as false
At = Annotated[time | None, BeforeValidator(lambda given: None if given in (*OFF, None) else check_clock(given))]
"""New York time of a point; ``off`` leaves it out."""


class Times(Section):
    """Points of a session, in this order: open and monitor within its hours, review and week from the close on. Those
    from 13:00 on keep their distance from an early close."""

    pre_market: At = time(6, 30)
    open: At = time(9, 30)
    monitor: Annotated[Clocks, BeforeValidator(lambda given: () if given in OFF else given)] = (
        time(10),
        time(11),
        time(14),
    )
    review: At = time(16)
    week: At = time(16, 5)
    """On the last session of the week."""

    @model_validator(mode="after")
    def _in_order(self) -> Times:
        watched = [("monitor", at) for at in sorted(self.monitor)]
        named = [("pre_market", self.pre_market), ("open", self.open), *watched]
        named += [("review", self.review), ("week", self.week)]
        held = [(name, at) for name, at in named if at is not None]
        for name, at in held:
            within = name == "pre_market" or (at >= CLOSE if name in ("review", "week") else OPEN <= at < CLOSE)
            if not within:
                hours = (
                    "from the close at 16:00 on" if name in ("review", "week") else "within the session, 09:30 to 15:59"
                )
                raise ValueError(f"{name} at {at:%H:%M} is not {hours}")
        for (before, first), (after, second) in pairwise(held):
            if first > second or (first == second and before == "pre_market"):
                raise ValueError(f"{before} at {first:%H:%M} is not before {after} at {second:%H:%M}")
        return self


class DeskSpec(Section):
    """The keys of `strategy.yaml`."""

    kind: Literal["desk"]
    window: Annotated[int, Field(ge=64, le=10_000)] = 260
    """Sessions of history loaded before the first day."""
    benchmark: Annotated[str, Field(min_length=1)] = "SPY"
    as_traded: bool = False
    """True where bars are as traded that day, not adjusted for later splits: filters are then in dollars and shares."""
    analysed: Annotated[int, Field(ge=1, le=20)] = 3
    """Symbols of the watchlist that are looked at closely."""
    agents: bool = True
    """False decides by the formulas alone and asks nobody."""
    caps: Limits = Limits()
    filters: Filters = Filters()
    exits: Exits = Exits()


class HouseRules(Section):
    """The keys of `config/desk.yaml`."""

    schedule: Times = Times()
    alternatives: Annotated[tuple[str, ...], AfterValidator(refuse_twice)] = ()
    """Strategies that the weekly review holds poor performers against."""


@dataclass(frozen=True, eq=False)
class DeskDefinition:
    """A desk as written. `files` is {name: sha256 (hex)} of all it was made from."""

    name: str
    folder: Path
    spec: DeskSpec
    house: HouseRules
    sectors: Mapping[str, str]
    files: Mapping[str, str]

    @property
    def caps(self) -> Caps:
        """Limits on a trade."""
        return Caps(**self.spec.caps.model_dump(), filters=self.spec.filters, exits=self.spec.exits)

    @property
    def settings(self) -> Mapping[str, object]:
        """Its keys as they are typed behind ``--set``, and their values."""
        return {**flatten(self.spec), **flatten(self.house)}

    def override(self, parameters: Mapping[str, object]) -> DeskDefinition:
        """Return it with `parameters` in place of keys: ``analysed``, ``caps.position``, ``schedule.open``. Raises
        UsageError for one there is no key for."""
        given = dict(parameters)
        of_house = {name: given.pop(name) for name in list(given) if name.partition(".")[0] in HouseRules.model_fields}
        return replace(self, spec=_override(self.spec, given), house=_override(self.house, of_house))


def load_definition(path: Path, config: Path, parameters: Mapping[str, object] | None = None) -> DeskDefinition:
    """Load the desk in the folder of `path` (its ``strategy.yaml``) for a workspace's folder `config`.

    `parameters` replace keys, as `DeskDefinition.override` has it. Raises ConfigError naming file and line, UsageError
    for a parameter there is no key for.
    """
    spec, house = read_yaml(path, DeskSpec), HouseRules()
    files = {path.name: hashlib.sha256(read_bytes(path)).hexdigest()}
    if (rules := config / "desk.yaml").is_file():
        house = read_yaml(rules, HouseRules)
        files["config/desk.yaml"] = hashlib.sha256(read_bytes(rules)).hexdigest()
    assets = config / "assets.yaml"
    sectors = sectors_of(read_yaml(assets, Assets)) if assets.is_file() else {}
    files["sectors of config/assets.yaml"] = hashlib.sha256(json.dumps(sectors, sort_keys=True).encode()).hexdigest()
    _check_alternatives(house, config)
    return DeskDefinition(path.parent.name, path.parent, spec, house, sectors, files).override(parameters or {})


def _check_alternatives(house: HouseRules, config: Path) -> None:
    """Raise ConfigError for an alternative that is no rule of the workspace: within a replay rules alone are played."""
    rules = [file.stem for file in sorted((config.parent / "strategies").glob("*.py"))]
    if wrong := [name for name in house.alternatives if rules and name not in rules]:
        found = f'alternatives: "{wrong[0]}" is no rule of strategies/{did_you_mean(wrong[0], rules)}'
        raise ConfigError(found, where=str(config / "desk.yaml"), mend=f"there are {', '.join(rules)}")


def sectors_of(assets: Assets) -> Mapping[str, str]:
    """Return {symbol: sector}, of those symbols that state one."""
    return {symbol: asset.sector for symbol, asset in assets.assets.items() if asset.sector}


def flatten(section: Section) -> Mapping[str, object]:
    """Return the keys of `section` as they are typed, ``caps.position``, and their values."""
    found: dict[str, object] = {}
    for name, value in section:
        inner = {f"{name}.{key}": one for key, one in flatten(value).items()} if isinstance(value, Section) else None
        found |= {name: value} if inner is None else inner
    return found


def _override(section: Any, parameters: Mapping[str, object]) -> Any:
    """Return `section` with ``{"caps.position": 1.0}`` in place."""
    content = section.model_dump()
    for name, value in parameters.items():
        *outer, last = name.split(".")
        inner = content
        for key in outer:
            inner = inner.get(key) if isinstance(inner, dict) else None
        if not isinstance(inner, dict) or last not in inner or name == "kind":
            known = [key for key in flatten(section) if key != "kind"]
            near = did_you_mean(name, known)
            raise UsageError(f'the desk has no parameter "{name}"{near}', mend=f"it has {', '.join(known)}")
        inner[last] = value
    try:
        return type(section).model_validate(content)
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(str(part) for part in first["loc"]) or " or ".join(parameters)
        shown = (
            "" if isinstance(first["input"], dict) else f" was {first['input']!r}"
        )  # of two that contradict each other
        raise UsageError(f"parameter {name}{shown}: {say_wanted(first)}") from None
