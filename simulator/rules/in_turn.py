"""Rules in turn: parameters that change at dates, as ``--set fast@2024-03-01=20`` says: `fast` is 20 from that day on.

A walk-forward is replayed so, as one account. On the first whole session after a change the rule decides anew.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import date, time
from typing import Any, TypeVar

import numpy as np

from simulator.errors import UsageError
from simulator.market.bars import Bars, Instants, Snapshot, instant
from simulator.market.calendar import day_number, wall_to_utc
from simulator.rules.base import Rule
from simulator.rules.occasions import Occasions
from simulator.trading.model import Book, Cadence, Decision
from simulator.trading.strategy import Reads

T = TypeVar("T")
Dated = Mapping[date, Mapping[str, Any]]


class RulesInTurn:
    """A rule whose parameters change: each of `turns` {day: rule} decides from its day on, the first from the start."""

    reads: Reads = "nothing"

    def __init__(self, turns: Mapping[date, Rule]) -> None:
        self._days = sorted(turns)
        self._rules = [turns[day] for day in self._days]
        self._starts = wall_to_utc(np.array([day_number(day) for day in self._days[1:]], dtype=np.int64), time())

    @property
    def name(self) -> str:
        return self._rules[0].name

    @property
    def cadence(self) -> Cadence:
        return self._rules[0].cadence

    @property
    def window(self) -> int:
        return max(rule.window for rule in self._rules)

    @property
    def turns(self) -> Mapping[date, Cadence]:
        """Cadence from each day on at which parameters change."""
        return {day: rule.cadence for day, rule in zip(self._days, self._rules, strict=True)}

    async def opine(self, _snapshot: Snapshot, _journal: Sequence[Decision]) -> None:
        """Rules have no opinion apart from their decision."""

    def decide(self, snapshot: Snapshot, _opinion: None, _book: Book, _journal: Sequence[Decision]) -> Decision:
        """Return the decision of the rule whose turn it is."""
        return self.decide_alone(snapshot)

    def decide_alone(self, snapshot: Snapshot) -> Decision:
        """Return the decision of the rule whose turn it is."""
        return self._rules[int(self._turn(instant(snapshot.as_of)))].decide(snapshot)

    def decide_ahead(self, snapshots: Sequence[Snapshot], bars: Bars, instants: Instants) -> Iterator[Decision]:
        """Yield the decisions at `instants` (K,), `snapshots` of `bars`."""
        turns = self._turn(instants)
        for number, rule in enumerate(self._rules):
            first, end = np.searchsorted(turns, [number, number + 1]).tolist()
            yield from rule.decide_ahead(snapshots[first:end], Occasions(bars, instants[first:end]))

    def _turn(self, instants: Instants | int) -> Any:
        return np.searchsorted(self._starts, instants, side="right")


def split_dated(parameters: Mapping[str, Any]) -> tuple[dict[str, Any], Dated]:
    """Return those of `parameters` that hold from the start, and {day: those that change then}, by date.

    Raises UsageError for what stands behind an @ and is no date.
    """
    fixed: dict[str, Any] = {}
    dated: dict[date, dict[str, Any]] = {}
    for given, value in parameters.items():
        name, at, text = given.partition("@")
        if not at:
            fixed[name] = value
            continue
        try:
            dated.setdefault(date.fromisoformat(text), {})[name] = value
        except ValueError:
            raise UsageError(
                f'no date "{text}"', where=given, mend=f"{name}@2024-03-01 is {name} from then on"
            ) from None
    return fixed, dict(sorted(dated.items()))


def in_turn(make: Callable[[dict[str, Any]], T], fixed: Mapping[str, Any], dated: Dated) -> T | RulesInTurn:
    """Return what `make` makes of `fixed`, with parameters that change at the dates of `dated`.

    Raises UsageError for one that the rule has not, or where it is no rule.
    """
    settings = dict(fixed)
    first = make(settings)
    if not dated:
        return first
    turns = {date.min: first}
    for day, changes in dated.items():
        settings |= changes
        turns[day] = make(settings)
    return RulesInTurn({day: as_rule(made) for day, made in turns.items()})


def as_rule(made: object) -> Rule:
    """Return `made`; raises UsageError where it is no rule."""
    if not isinstance(made, Rule):
        raise UsageError(
            f"{type(made).__name__} is no rule, and only a rule's parameters change at dates",
            mend="leave the @DATE out",
        )
    return made
