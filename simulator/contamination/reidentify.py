"""Re-identification: can the model name asset and quarter from the facts a blind council is shown?

If it can, the blind arms are not blind. Hit rate less chance above 10 points: masking failed.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from pydantic import BaseModel, ConfigDict

from simulator.config import Seat
from simulator.contamination.blind import BOTH, disguises
from simulator.contamination.case import Case
from simulator.contamination.results import Figure, Result
from simulator.contamination.words import percent
from simulator.council.prompt_files import json_text
from simulator.llm.answers import schema_of
from simulator.llm.messages import Message
from simulator.llm.registry import request_for
from simulator.market.calendar import NEW_YORK
from simulator.stats.mean import mean_of
from simulator.stats.series import Floats

if TYPE_CHECKING:
    from simulator.council.strategy import Council

TITLE = "Reidentification"
MOST_DATES = 24
"""Meetings asked about, evenly spaced over the run."""
ALLOWED = 0.10
"""Hit rate above chance that masking may leave."""
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
    """One hidden asset at one date: what it was, what it was taken for; `date` counts meetings."""

    date: int
    asset: str
    taken_for: str
    quarter: str
    taken_for_quarter: str


async def ask(case: Case) -> tuple[Guess, ...]:
    """A question per chosen meeting and distinct model; an unusable answer is a miss."""
    if case.council is None or not case.asks_models:
        return ()
    hidden = disguises(case)[BOTH]
    chosen = spread_over(len(case.at_meetings.instants), MOST_DATES)
    models = distinct_models(case.seats)
    asked = [_one(case, case.council, k, seat, chair, hidden.names) for k in chosen for seat, chair in models]
    return tuple(guess for some in await asyncio.gather(*asked) for guess in some)


def judge(case: Case, guesses: Sequence[Guess]) -> Result:
    """Flagged where assets or quarters are named more than 10 points better than by chance."""
    if not case.asks_models:
        return Result("not applicable", "Needs a model: rules and analysts recognise nothing.")
    if not guesses:
        return Result("not assessable", "Not assessable: no meeting shows a symbol.")
    options = len(candidates(case))
    tried = {
        "assets": _hits([(g.asset, g.taken_for) for g in guesses], options),
        "quarters": _hits([(g.quarter, g.taken_for_quarter) for g in guesses], len(quarters_around(case))),
    }
    figures: list[Figure] = []
    rates, failed = [], []
    for name, (hits, chance) in tried.items():
        by_date = _by_date(hits, guesses)
        rate, edge = mean_of(by_date), mean_of(by_date - chance)
        figures.append(Figure(f"{name} named", rate.value, "share", rate.low, rate.high))
        figures.append(Figure(f"{name}: chance", chance, "share"))
        figures.append(Figure(f"{name}: above chance", edge.value, "share", edge.low, edge.high, edge.p))
        rates.append(f"{name} {percent(rate.value, 0)} (chance {percent(chance, 0)})")
        failed += [name] if edge.value > ALLOWED else []
    dates = len({guess.date for guess in guesses})
    notes = [f"{dates} meetings, {len(distinct_models(case.seats))} models, {options} assets offered"]
    if len({g.asset for g in guesses}) == 1:
        notes.append("one asset only: a model that always names it looks as if it recognised it")
    listed = ", ".join(rates)
    if failed:
        text = f"FLAGGED: masking failed, {' and '.join(failed)} are recognised: {listed}."
        return Result("flagged", text, tuple(figures), tuple(notes))
    return Result("passed", f"Masking holds: {listed}.", tuple(figures), tuple(notes))


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


async def _one(case: Case, council: Council, k: int, seat: str, chair: Seat, names: Mapping[str, str]) -> list[Guess]:
    real = case.at_meetings.snapshots[k]
    facts = council.open(disguises(case)[BOTH].snapshot(real)).facts
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
    return [Guess(k, symbol, guess.assets.get(names[symbol], ""), quarter, guess.quarter) for symbol in shown]


def _hits(pairs: Sequence[tuple[str, str]], options: int) -> tuple[Floats, float]:
    """(n,) 1 where right, and the hit rate of guesses that have nothing to do with the truth: what was named how often
    against what was right how often; one in `options` where only one thing ever was right."""
    truth, named = [a for a, _ in pairs], [b for _, b in pairs]
    hits = np.array([float(a == b) for a, b in pairs])
    if len(set(truth)) < 2:
        return hits, 1 / options
    chance = sum(truth.count(one) * named.count(one) for one in set(truth)) / len(pairs) ** 2
    return hits, max(chance, 1 / options)


def _by_date(hits: Floats, guesses: Sequence[Guess]) -> Floats:
    """(dates,) mean of each date, oldest first."""
    dates = np.array([guess.date for guess in guesses])
    return np.array([hits[dates == day].mean() for day in np.unique(dates)])
