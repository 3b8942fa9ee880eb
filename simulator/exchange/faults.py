"""Faults of a broker on purpose: what can go wrong around a request, on a stream, with a fill."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass, field

from simulator.errors import UsageError, did_you_mean

FAULTS: Mapping[str, str] = {
    "reply-lost": "the request is carried out, and the connection breaks before its answer",
    "504-after": "the request is carried out and answered with 504",
    "hang-after": "the request is carried out, and its answer does not come for a minute",
    "hang": "neither answer nor effect for a minute",
    "429": "refused as too many requests",
    "502-html": "a page of HTML where JSON was meant, without effect",
    "fill-lost": "a fill that the trading stream does not tell",
    "fill-twice": "a fill that the trading stream tells twice, under one execution id",
    "mute": "a trading stream that is open and tells nothing",
    "partial": "an order fills in two parts, a bar between them",
}

AFTER = ("reply-lost", "504-after", "hang-after")
BEFORE = ("hang", "429", "502-html")


@dataclass
class Faults:
    """Likelihood of each fault, 0 to 1, drawn from `seed`; `happened` counts them."""

    likely: dict[str, float] = field(default_factory=dict)
    seed: int = 0
    happened: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._luck = random.Random(self.seed)
        self.set(self.likely)

    def set(self, likely: Mapping[str, float]) -> None:
        """Change the likelihoods. Raises UsageError for an unknown fault or a number that is no probability."""
        for name, chance in likely.items():
            if name not in FAULTS:
                raise UsageError(f'no fault "{name}"{did_you_mean(name, FAULTS)}', mend=f"one of {', '.join(FAULTS)}")
            if not 0.0 <= chance <= 1.0:
                raise UsageError(f"fault {name} was {chance}", mend="give a probability from 0 to 1")
        self.likely = {**self.likely, **likely}

    def strikes(self, *names: str) -> str | None:
        """Return the first of `names` that happens now, None where none does."""
        for name in names:
            if self.likely.get(name, 0.0) > 0.0 and self._luck.random() < self.likely[name]:
                self.happened[name] = self.happened.get(name, 0) + 1
                return name
        return None
