"""Knowledge cut-offs of the models of a council."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Literal

from simulator.config import Seat
from simulator.llm.spending.prices import OFFLINE, WHERE, Prices

Part = Literal["before", "grey", "after"]
BEFORE: Part = "before"
GREY: Part = "grey"
AFTER: Part = "after"
PARTS: tuple[Part, ...] = (BEFORE, GREY, AFTER)

GREY_DAYS = 90
"""Days after a cut-off in which a model may still have learnt of what happened, by later training."""


@dataclass(frozen=True)
class ModelCutoff:
    """One model, the seats it has, and the last day it can know of; None where nobody says."""

    provider: str
    model: str
    seats: tuple[str, ...]
    cutoff: date | None

    @property
    def answers_by_rule(self) -> bool:
        """Whether it is an offline analyst: no model, nothing to remember."""
        return self.provider == OFFLINE


def cutoffs_of(seats: Mapping[str, Seat], prices: Prices) -> tuple[ModelCutoff, ...]:
    """The models in `seats`, in alphabetical order; config/models.yaml is asked first, then the packaged tables."""
    by_model: dict[tuple[str, str, str], list[str]] = {}
    for name, seat in sorted(seats.items()):
        by_model.setdefault((seat.model, seat.provider, seat.endpoint), []).append(name)
    return tuple(
        ModelCutoff(provider, model, tuple(names), prices.cutoff(seats[names[0]]))
        for (model, provider, _), names in sorted(by_model.items())
    )


def asked(models: Sequence[ModelCutoff]) -> tuple[ModelCutoff, ...]:
    """Those that are models: offline analysts left out."""
    return tuple(one for one in models if not one.answers_by_rule)


def unknown(models: Sequence[ModelCutoff]) -> tuple[str, ...]:
    """Names of the models whose cut-off nobody says."""
    return tuple(dict.fromkeys(one.model for one in asked(models) if one.cutoff is None))


def latest(models: Sequence[ModelCutoff]) -> date | None:
    """The cut-off of a council: its latest member's. None without models, and while one of them is not known."""
    known = [one.cutoff for one in asked(models)]
    return None if not known or None in known else max(day for day in known if day is not None)


def grey_until(cutoff: date) -> date:
    """The last day of the grey stretch."""
    return cutoff + timedelta(days=GREY_DAYS)


def part_of(day: date, cutoff: date) -> Part:
    """Where `day` lies: on or before the cut-off, in the grey days after it, or after those."""
    return BEFORE if day <= cutoff else GREY if day <= grey_until(cutoff) else AFTER


def mend_of(names: Sequence[str]) -> str:
    """What to write so that the cut-offs of `names` are known."""
    lines = ", ".join(f'"{name}": {{input: …, output: …, cutoff: YYYY-MM}}' for name in names)
    return f"add `prices: {{{lines}}}` to {WHERE}"
