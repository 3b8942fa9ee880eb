"""A study: what its members have in common, and what differs among them."""

from __future__ import annotations

from dataclasses import dataclass, replace

from simulator.runs.spec import RunSpec
from simulator.studies.space import Space


@dataclass(frozen=True)
class Study:
    """A sweep before it is played.

    Attributes
    ----------
    base : specification that all members share; its parameters are fixed
    space : parameters that differ
    seed : of everything drawn: members of a random search, replicates of the inference
    """

    base: RunSpec
    space: Space
    seed: int = 0

    def __len__(self) -> int:
        return len(self.space)

    def spec(self, number: int) -> RunSpec:
        """Return the run that gives member `number` by itself, with the same result to the last bit."""
        return replace(self.base, parameters={**self.base.parameters, **self.space.settings(number)})
