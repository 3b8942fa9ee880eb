"""Sizes and exits that are set on a rule from outside: ``--set sizing.scale=0.5 --set exits.stop=0.05``.

They stand beside the rule's own parameters and need no code in it: its weights are scaled, and each position gets a
stop and a take-profit so far from the newest price known at the decision. The next decision sets them anew.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np

from simulator.errors import UsageError, did_you_mean
from simulator.market.bars import Floats
from simulator.trading.fills import price_or_none
from simulator.trading.model import Target

NAMES = {"sizing.scale": "scale", "exits.stop": "stop", "exits.take_profit": "take_profit"}
MOST = {"scale": 10.0, "stop": 0.999, "take_profit": 10.0}
MEANING = {
    "scale": "times what the rule wants, above 0 up to 10",
    "stop": "a distance as a fraction of the price, above 0 and below 1, 0.05 for 5 %, or none",
    "take_profit": "a distance as a fraction of the price, above 0 up to 10, 0.1 for 10 %, or none",
}


@dataclass(frozen=True)
class Exits:
    """Factor on weights, and distances of stop and take-profit as fractions of the price; None where there is none."""

    scale: float = 1.0
    stop: float | None = None
    take_profit: float | None = None

    @classmethod
    def split(cls, parameters: Mapping[str, Any]) -> tuple[Exits, dict[str, Any]]:
        """Return the exits among `parameters`, and the other parameters. Raises UsageError for a wrong one."""
        own: dict[str, Any] = {}
        given: dict[str, Any] = {}
        for name, value in parameters.items():
            if name in NAMES:
                given[NAMES[name]] = _check_value(name, value)
            elif name.partition(".")[0] in ("sizing", "exits") and "." in name:
                mend = f"there are {', '.join(NAMES)}"
                raise UsageError(f'no parameter "{name}"{did_you_mean(name, NAMES)}', mend=mend)
            else:
                own[name] = value
        return replace(cls(), **given) if given else NO_EXITS, own

    @property
    def named(self) -> dict[str, float | None]:
        """{name as it is set: value} of those that differ from none."""
        names = {field: name for name, field in NAMES.items()}
        values = {one.name: getattr(self, one.name) for one in fields(self)}
        return {names[key]: value for key, value in values.items() if value != getattr(NO_EXITS, key)}

    @property
    def priced(self) -> bool:
        return self.stop is not None or self.take_profit is not None

    def prices(self, weights: Floats, last: Floats) -> tuple[Floats, Floats]:
        """Return stops and take-profits of positions of `weights`, `last` the newest price known; NaN for none."""
        side = np.sign(weights)
        stop, take = (np.nan if one is None else one for one in (self.stop, self.take_profit))
        stops, takes = last * (1.0 - side * stop), last * (1.0 + side * take)
        held = (side != 0) & ~np.isnan(weights)
        return np.where(held, stops, np.nan), np.where(held & (takes > 0), takes, np.nan)

    def on(self, target: Target, last: float) -> Target:
        """Return `target` with its stop and take-profit, `last` the newest price known."""
        stop, take = self.prices(np.array(target.weight), np.array(last))
        return replace(target, stop=price_or_none(float(stop)), take_profit=price_or_none(float(take)))


NO_EXITS = Exits()


def _check_value(name: str, value: Any) -> float | None:
    field = NAMES[name]
    if field != "scale" and (value is None or value == "none"):
        return None
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not number or not 0 < value <= MOST[field]:
        raise UsageError(f"{name} was {value!r}", mend=f"give {MEANING[field]}")
    return float(value)
