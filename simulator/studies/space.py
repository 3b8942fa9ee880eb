"""The space of a study: parameters, the values each may have, and the settings of each member by its number."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Parameter:
    """One parameter and its distinct values, in the order they were given.

    `name` is one of the strategy's (``fast``) or of a file of ``config/`` (``costs.slippage_bps``).
    """

    name: str
    values: tuple[Any, ...]


@dataclass(frozen=True)
class Space:
    """All combinations of the values of `parameters`; the last one changes fastest."""

    parameters: tuple[Parameter, ...]

    def __len__(self) -> int:
        return math.prod(len(one.values) for one in self.parameters)

    def settings(self, number: int) -> Mapping[str, Any]:
        """Return {name: value} of member `number`, counted from 0."""
        found: dict[str, Any] = {}
        for one in reversed(self.parameters):
            number, place = divmod(number, len(one.values))
            found[one.name] = one.values[place]
        return dict(reversed(found.items()))
