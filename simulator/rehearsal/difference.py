"""A value by which a forward test and what it is held against differ."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

Part = Literal["inputs", "prompts", "decisions", "orders", "fills", "books"]
PARTS: tuple[Part, ...] = ("inputs", "prompts", "decisions", "orders", "fills", "books")

CENT, SHARE, PRICE, ROUNDING, NOTHING = 0.005, 1e-6, 1e-8, 1e-12, 1e-9
"""Dollars, shares, fractions of a price and of a number decided by which the two may differ; what of the latter counts
as zero."""


@dataclass(frozen=True)
class Difference:
    """A value that is not the same; None on the side that has none. `where` is account, instant or session, thing.

    `against` names what it is held against: the replay, or records of the test itself.
    """

    part: Part
    where: tuple[str, ...]
    forward: Any
    replay: Any
    against: str = "in the replay"

    def __str__(self) -> str:
        if self.part == "inputs":
            return f"inputs: {self.where[0]} is not what it was when {self.where[1]} was booked"
        sides = ("none" if one is None else str(one) for one in (self.forward, self.replay))
        return f"{self.part}: {' '.join(self.where)}: {' in the forward test, '.join(sides)} {self.against}"
