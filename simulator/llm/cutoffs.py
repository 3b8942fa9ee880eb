"""Knowledge cut-offs of the models of a council."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
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
    """A model asked for, its seats, and the last day those that answered can know of; None where nothing says.

    `served` are the models that answered, as their service named them; empty where that was not recorded.
    """

    provider: str
    model: str
    seats: tuple[str, ...]
    cutoff: date | None
    served: tuple[str, ...] = ()

    @property
    def answers_by_rule(self) -> bool:
        """True for an offline analyst: no model, nothing to remember."""
        return self.provider == OFFLINE


def cutoffs_of(
    seats: Mapping[str, Seat], prices: Prices, served: Mapping[str, Collection[str]] | None = None
) -> tuple[ModelCutoff, ...]:
    """The models in `seats`, in alphabetical order; config/models.yaml goes before the packaged tables.

    `served` is {seat: names of the models that answered there}, an empty name for answers whose model was not recorded.
    """
    by_model: dict[tuple[str, str, str, tuple[str, ...]], list[str]] = {}
    for name, seat in sorted(seats.items()):
        answered = tuple(sorted((served or {}).get(name, ())))
        by_model.setdefault((seat.model, seat.provider, seat.endpoint, answered), []).append(name)
    return tuple(
        ModelCutoff(
            provider, model, tuple(names), _cutoff_of(seats[names[0]], answered, prices), tuple(filter(None, answered))
        )
        for (model, provider, _, answered), names in sorted(by_model.items())
    )


def _cutoff_of(seat: Seat, served: Collection[str], prices: Prices) -> date | None:
    """The latest cut-off of the models that `served`; for one that is not known, the latest of what is.

    An answer whose model was not recorded is taken to be of the model that was asked.
    """
    asked = prices.cutoff(seat)
    own = [prices.cutoff(seat.model_copy(update={"model": name})) if name else asked for name in served or ("",)]
    known = [day for day in own if day is not None]
    if None in own and asked is not None:
        known.append(asked)
    return max(known, default=None)


def language_models(models: Sequence[ModelCutoff]) -> tuple[ModelCutoff, ...]:
    """Return `models` without the offline analysts."""
    return tuple(one for one in models if not one.answers_by_rule)


def without_cutoff(models: Sequence[ModelCutoff]) -> tuple[str, ...]:
    """Names of the models whose cut-off is not known, as they served where that was recorded."""
    unknown = [one for one in language_models(models) if one.cutoff is None]
    return tuple(dict.fromkeys(name for one in unknown for name in one.served or (one.model,)))


def latest_cutoff(models: Sequence[ModelCutoff]) -> date | None:
    """Cut-off of a council: the latest of its members'. None without models, and where one of them is not known."""
    known = [one.cutoff for one in language_models(models)]
    return None if not known or None in known else max(day for day in known if day is not None)


def grey_until(cutoff: date) -> date:
    """Last of the grey days."""
    return cutoff + timedelta(days=GREY_DAYS)


def part_of(day: date, cutoff: date) -> Part:
    """Part of `day`: on or before the cut-off, in the grey days after it, or after those."""
    return BEFORE if day <= cutoff else GREY if day <= grey_until(cutoff) else AFTER


def prices_to_add(names: Sequence[str]) -> str:
    """Say what to add to config/models.yaml so that the cut-offs of `names` are known."""
    lines = ", ".join(f'"{name}": {{input: …, output: …, cutoff: YYYY-MM}}' for name in names)
    return f"add `prices: {{{lines}}}` to {WHERE}"
