"""Re-identification: can the model name asset and quarter from the facts a blind council is shown?

If it can, the blind arms are not blind. A guesser who knows the assets and the span of the run, and nothing else, is
right about one asset a meeting on average, for which is which is drawn anew each time, and about one of the quarters of
the run, whatever it answers. A hit rate surely above that, and by more than 10 points: masking failed.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import fsum
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import BaseModel, ConfigDict

from simulator.config import Seat
from simulator.contamination.blind import BOTH, disguises
from simulator.contamination.case import Case
from simulator.contamination.disguise import Disguise, masks
from simulator.contamination.results import Figure, Result
from simulator.contamination.words import percent
from simulator.council.prompt_files import json_text
from simulator.llm.answers import schema_of
from simulator.llm.messages import Message
from simulator.llm.registry import request_for
from simulator.market.calendar import NEW_YORK
from simulator.stats.adjust import adjust
from simulator.stats.distributions import binomial_low, binomial_sf

if TYPE_CHECKING:
    from simulator.council.strategy import Council

TITLE = "Reidentification"
MOST_DATES = 24
"""Meetings asked about, evenly spaced over the run."""
ALLOWED = 0.10
"""Hit rate above chance that masking may leave, however sure."""
LEVEL = 0.05
YEARS_AROUND = 4
"""Quarters offered reach this far before and after the run."""

SYSTEM = "You recognise financial markets from numbers alone."
TASK = """The facts below describe real markets. Their names are hidden, their dates are moved by an unknown number of
weeks, and their prices are scaled so that the newest close is 100.

```json
{facts}
```

Which asset is each, and in which quarter were the facts taken? Assets to choose from: {assets}. Quarters to choose
from: {quarters}. If you are not sure, name the likeliest.

Answer with one JSON object: `assets`, an object with one of the assets for each hidden name, and `quarter`, one of the
quarters. No text before or after it."""


class Reidentification(BaseModel):
    """A model's guess at the hidden markets."""

    # Title and description are part of the cache key of every question: data, whatever class and docstring say.
    model_config = ConfigDict(
        json_schema_extra={"additionalProperties": False, "description": "What a model takes the hidden markets for."},
        title=TITLE,
    )
    assets: dict[str, str]
    quarter: str


@dataclass(frozen=True)
class Guess:
    """One hidden asset at one date: what it was, what it was taken for, and by the model in which seat; `date` counts
    meetings."""

    date: int
    asset: str
    taken_for: str
    quarter: str
    taken_for_quarter: str
    seat: str = ""


@dataclass(frozen=True)
class Recognised:
    """Hit rate of a model in naming `what`: `rate` over `units` that can be guessed apart, its one-sided 95 % lower
    bound, the chance of the best guesser, and p of one's having reached as much."""

    what: str
    seat: str
    rate: float
    low: float
    chance: float
    p: float
    units: int


async def ask(case: Case) -> tuple[Guess, ...]:
    """A question per chosen meeting and distinct model; an unusable answer is a miss."""
    if case.council is None or not case.asks_models:
        return ()
    hidden = disguises(case)[BOTH]
    chosen = spread_over(len(case.at_meetings.instants), MOST_DATES)
    models = distinct_models(case.seats)
    asked = [_one(case, case.council, k, seat, chair, hidden) for k in chosen for seat, chair in models]
    return tuple(guess for some in await asyncio.gather(*asked) for guess in some)


def judge(case: Case, guesses: Sequence[Guess]) -> Result:
    """Flagged where a model names assets or quarters better than a guesser could: more than 10 points above it, and the
    exact binomial p below 5 % after Holm over models and both questions."""
    if not case.asks_models:
        return Result("not applicable", "Needs a model: rules and analysts recognise nothing.")
    if not guesses:
        return Result("not assessable", "Not assessable: no meeting shows a symbol.")
    found = rate_recognition(guesses)
    dates, options = len({guess.date for guess in guesses}), len(candidates(case))
    notes = [f"{dates} meetings, {len(distinct_models(case.seats))} models, {options} assets offered"]
    if len({g.asset for g in guesses}) == 1:
        notes.append("one asset only: recognising it and always naming it are the same; quarters are judged")
    if not found:
        return Result("not assessable", "Not assessable: one asset in one quarter can always be guessed.")
    figures: list[Figure] = []
    for one in found:
        name = f"{one.what} named" + (f" by {one.seat}" if len({other.seat for other in found}) > 1 else "")
        figures.append(Figure(name, one.rate, "share", one.low, 1.0, one.p, f"{one.units} independent questions"))
        figures.append(Figure(f"{name}: best guesser", one.chance, "share"))
    surest = {one.what: one for one in sorted(found, key=lambda one: -one.p)}
    rates = [f"{what} {percent(one.rate, 0)} (chance {percent(one.chance, 0)})" for what, one in sorted(surest.items())]
    listed = ", ".join(rates)
    failed = masking_failed(found)
    if failed:
        text = f"FLAGGED: masking failed, {' and '.join(failed)} are recognised: {listed}."
        return Result("flagged", text, tuple(figures), tuple(notes))
    return Result("passed", f"Masking holds: {listed}.", tuple(figures), tuple(notes))


def rate_recognition(guesses: Sequence[Guess]) -> tuple[Recognised, ...]:
    """Hit rates of each model on assets and on quarters, where these can be told from guessing.

    Guesses of one meeting hang together, and so do those of one quarter: a meeting is one trial of naming assets, a
    quarter one of naming quarters, and what was right in part of one counts in part.
    """
    found = []
    for seat in sorted({guess.seat for guess in guesses}):
        own = [guess for guess in guesses if guess.seat == seat]
        meetings, quarters = defaultdict(list), defaultdict(list)
        for guess in own:
            meetings[guess.date].append(guess.asset == guess.taken_for)
            quarters[guess.quarter].append(guess.quarter == guess.taken_for_quarter)
        several = {date: hits for date, hits in meetings.items() if len(hits) > 1}
        if several:
            chance = fsum(1 / len(hits) for hits in several.values()) / len(several)
            found.append(_against_guesser("assets", seat, several, chance))
        if len(quarters) > 1:
            found.append(_against_guesser("quarters", seat, quarters, 1 / len(quarters)))
    return tuple(found)


def _against_guesser(what: str, seat: str, trials: Mapping[Any, Sequence[bool]], chance: float) -> Recognised:
    shares, n = [sum(hits) / len(hits) for hits in trials.values()], len(trials)
    whole = int(fsum(shares) + 1e-9)  # parts of a hit that do not make a whole one are left: no guesser gains by them
    low, p = binomial_low(whole, n, 1 - LEVEL), binomial_sf(whole, n, chance)
    return Recognised(what, seat, fsum(shares) / n, low, chance, p, n)


def masking_failed(found: Sequence[Recognised]) -> list[str]:
    """Return what was named surely, and by more than 10 points, better than a guesser could: assets, quarters."""
    adjusted = adjust([one.p for one in found], "holm").tolist()
    pairs = zip(found, adjusted, strict=True)
    sure = {one.what for one, p in pairs if p < LEVEL and one.rate - one.chance > ALLOWED}
    return [what for what in ("assets", "quarters") if what in sure]


def candidates(case: Case) -> tuple[str, ...]:
    """Assets offered: those of the run and of config/assets.yaml, in alphabetical order."""
    assets = case.config.assets
    return tuple(sorted({*case.inputs.bars.symbols, *assets.assets} - {*assets.context}))


def quarters_around(case: Case) -> tuple[str, ...]:
    """Quarters offered, oldest first."""
    first, last = (int(str(day)[:4]) for day in (case.sessions[0], case.sessions[-1]))
    years = range(first - YEARS_AROUND, last + YEARS_AROUND + 1)
    return tuple(f"{year}Q{quarter}" for year in years for quarter in range(1, 5))


def distinct_models(seats: Mapping[str, Seat]) -> tuple[tuple[str, Seat], ...]:
    """(seat, model) of each distinct model in `seats`, offline analysts left out; the first seat stands for all."""
    found: dict[tuple[str, str, str], tuple[str, Seat]] = {}
    for name, seat in sorted(seats.items()):
        if seat.provider != "offline":
            found.setdefault((seat.provider, seat.endpoint, seat.model), (name, seat))
    return tuple(found.values())


def spread_over(count: int, most: int) -> list[int]:
    """At most `most` of the numbers 0 … count − 1, evenly spaced."""
    return np.unique(np.linspace(0, count - 1, min(count, most)).astype(int)).tolist() if count else []


def shuffle(names: Sequence[str], key: str) -> list[str]:
    """`names` in an order that follows from `key`: what is offered first must not be right more often."""
    return sorted(names, key=lambda name: hashlib.sha256(f"{key}|{name}".encode()).digest())


async def _one(case: Case, council: Council, k: int, seat: str, chair: Seat, hidden: Disguise) -> list[Guess]:
    real = case.at_meetings.snapshots[k]
    # Which hidden name is which is drawn for each meeting, and the facts stand in the order of hidden names: else a
    # model that always gives the same answer could be right at every meeting, and be taken for one that recognises.
    order = shuffle(real.symbols, f"hidden {k}")
    names = dict(zip(order, masks(order).values(), strict=True))
    shuffled = replace(real, bars=real.bars.select(order))
    facts = council.open(replace(hidden, names=names).snapshot(shuffled)).facts
    shown = [symbol for symbol in real.symbols if names[symbol] in facts["symbols"]]
    if not shown:
        return []
    day = real.as_of.astimezone(NEW_YORK).date()
    text = TASK.format(
        facts=json_text(facts, 2),
        assets=", ".join(shuffle(candidates(case), str(k))),
        quarters=", ".join(quarters_around(case)),
    )
    messages = (Message("system", SYSTEM), Message("user", text))
    purpose = {"stage": "reidentify", "seat": seat, "session": str(day)}
    request = request_for(chair, messages, schema_of(Reidentification), purpose)
    answered = await case.asking.gateway.ask_for(request, Reidentification)
    guess = answered.value or Reidentification(assets={}, quarter="")
    quarter = f"{day.year}Q{(day.month + 2) // 3}"
    return [Guess(k, symbol, guess.assets.get(names[symbol], ""), quarter, guess.quarter, seat) for symbol in shown]
