"""The space of a study: parameters, the values each may have, and the settings of each member by its number.

grid            every combination; the last parameter changes fastest
random, sobol   so many points of the unit cube, in the order they are drawn
                └─► what `where` rules out is left out, of equal members the first stays; numbers count what is left
tpe             members that were asked for, in that order: each batch rests on the results before it
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from functools import cached_property
from itertools import pairwise
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from simulator import numerics
from simulator.errors import UsageError
from simulator.market.bars import Floats
from simulator.studies.conditions import Condition

Search = Literal["grid", "random", "sobol", "tpe"]
SEARCHES: tuple[Search, ...] = ("grid", "random", "sobol", "tpe")

MOST_MEMBERS = 1_000_000
MOST_COMBINATIONS = 20_000_000
"""Of a grid before its conditions: these are looked at one by one."""

BLOCK = 2**16
DRAWS_A_MEMBER = 1_000
"""Points drawn per member at most, before conditions are said to leave too little."""


@dataclass(frozen=True)
class Spread:
    """A distribution: even from `low` to `high`, by its logarithm with `log`, in whole numbers with `whole`."""

    low: float
    high: float
    log: bool = False
    whole: bool = False

    def at(self, place: Floats) -> Floats:
        """Return (n,) the values at `place` (n,) of the unit interval, to six digits: they are to be typed again."""
        low, high = self.low, self.high + self.whole
        if self.log:
            low, high = numerics.log(np.array([low, high])).tolist()
        values = low + (high - low) * place
        values = numerics.exp(values) if self.log else values
        values = np.floor(values) if self.whole else np.array([float(f"{one:.6g}") for one in values.tolist()])
        found: Floats = np.clip(values, self.low, self.high)
        return found


@dataclass(frozen=True)
class Parameter:
    """One parameter: its distinct values in the order they were given, or a distribution.

    `name` is one of the strategy's (``fast``) or of a file of ``config/`` (``costs.slippage_bps``).
    """

    name: str
    values: tuple[Any, ...] = ()
    spread: Spread | None = None

    @property
    def typed(self) -> str:
        """Return what stands for it behind ``--set NAME=``: ``5:50:5``, ``10,20``, ``log(0.5, 50)``."""
        if self.spread is not None:
            one = self.spread
            ends = [f"{int(end)}" if one.whole else f"{end!r}" for end in (one.low, one.high)]
            return f"{'log' * one.log}{'int' * one.whole or 'uniform' * (not one.log)}({', '.join(ends)})"
        steps = {Decimal(repr(b)) - Decimal(repr(a)) for a, b in pairwise(self.values)} if self._numbers else set()
        if len(self.values) > 3 and len(steps) == 1:
            return f"{self.values[0]!r}:{self.values[-1]!r}:{steps.pop()}"
        return ",".join(json.dumps(one, default=str) for one in self.values)

    @property
    def _numbers(self) -> bool:
        return {type(one) for one in self.values} in ({int}, {float})

    @property
    def numeric(self) -> bool:
        """True where all values are numbers, or none at all."""
        return self.spread is not None or all(type(one) in (int, float, type(None)) for one in self.values)

    def column(self, cells: NDArray[Any]) -> NDArray[Any]:
        """Return (n,) values of `cells` (n,): their places among the values, or what was drawn."""
        if self.spread is not None:
            return cells.astype(np.int64) if self.spread.whole else cells
        simple = {type(one) for one in self.values} <= {int, float} or {type(one) for one in self.values} == {bool}
        values = np.empty(len(self.values), dtype=object)
        values[:] = self.values
        found: NDArray[Any] = (np.array(self.values) if simple else values)[cells]
        return found

    def tidy(self, values: Sequence[Any]) -> NDArray[Any]:
        """Return `values` (n,) of this parameter as one type of numpy's, whichever ones they are."""
        kinds = {type(one) for one in self.values}
        if self.numeric:
            whole = self.spread.whole if self.spread is not None else kinds == {int}
            return np.array([math.nan if one is None else one for one in values], np.int64 if whole else np.float64)
        if kinds == {bool}:
            return np.array(values, np.bool_)
        texts = np.empty(len(values), dtype=object)
        texts[:] = [one if isinstance(one, str | None) else json.dumps(one, default=str) for one in values]
        return texts


@dataclass(frozen=True)
class Space:
    """The members of a study: which combinations of the values of `parameters`, in which order.

    Attributes
    ----------
    where : conditions that every member meets
    search, members, seed : how, how many and by which luck they are drawn; a grid has as many as it has
    given : values that are the same for all, for conditions to speak of
    asked : settings of the members of a TPE search so far, in the order of `parameters`
    """

    parameters: tuple[Parameter, ...]
    where: tuple[Condition, ...] = ()
    search: Search = "grid"
    members: int | None = None
    seed: int = 0
    given: Mapping[str, Any] = field(default_factory=dict)
    asked: tuple[tuple[Any, ...], ...] = ()

    def __post_init__(self) -> None:
        self._check()

    def __len__(self) -> int:
        if self.search == "tpe":
            return self.members or 0
        return self.combinations if self._cells is None else self._cells.shape[1]

    @property
    def known(self) -> int:
        """Number of members whose settings are known: those that were asked for by now of a TPE search, else all."""
        return len(self.asked) if self.search == "tpe" else len(self)

    def allows(self, settings: Sequence[Any]) -> bool:
        """Return True where the values of a member, in the order of `parameters`, meet all conditions."""
        columns = {**self.given, **{one.name: value for one, value in zip(self.parameters, settings, strict=True)}}
        return all(bool(condition.holds(columns)) for condition in self.where)

    @property
    def combinations(self) -> int:
        """Number of combinations of values before conditions; 0 where a distribution has no end of them."""
        if any(one.spread is not None for one in self.parameters):
            return 0
        return math.prod(len(one.values) for one in self.parameters)

    def settings(self, number: int) -> Mapping[str, Any]:
        """Return {name: value} of member `number`, counted from 0."""
        if self.search == "tpe":
            return dict(zip((one.name for one in self.parameters), self.asked[number], strict=True))
        cells = self._unravel(number) if self._cells is None else self._cells[:, number].tolist()
        found: dict[str, Any] = {}
        for one, cell in zip(self.parameters, cells, strict=True):
            if one.spread is None:
                found[one.name] = one.values[int(cell)]
            else:
                found[one.name] = int(cell) if one.spread.whole else float(cell)
        return found

    def columns(self, first: int, end: int) -> dict[str, NDArray[Any]]:
        """Return {name: (R,) values} of members `first` to before `end`, of the same type whichever members these are:
        numbers (NaN for none), true and false, or texts (JSON for what is no text)."""
        return self.tidy([self.settings(number) for number in range(first, end)])

    def tidy(self, rows: Sequence[Mapping[str, Any]]) -> dict[str, NDArray[Any]]:
        """Return `rows`, settings of members, as columns."""
        return {one.name: one.tidy([row[one.name] for row in rows]) for one in self.parameters}

    def examples(self) -> tuple[int, ...]:
        """Return members that between them show each value of each parameter, as far as members have it, and the first
        and last: checked before any work."""
        shown: dict[tuple[str, str], int] = {}
        step = max(1, self.known // 2_000)
        chosen = {0, self.known - 1}
        short = [one.name for one in self.parameters if len(one.values) <= 2_000]
        for number in range(0, self.known, step):
            for name, value in self.settings(number).items():
                shown.setdefault((name, repr(value)), number)
        few = [number for (name, _), number in shown.items() if name in short]
        return tuple(sorted(chosen | set(few)))

    def _unravel(self, number: int) -> list[int]:
        places: list[int] = []
        for one in reversed(self.parameters):
            number, place = divmod(number, len(one.values))
            places.append(place)
        return places[::-1]

    @cached_property
    def _cells(self) -> NDArray[Any] | None:
        """(P, N) place among its values, or value drawn, of each parameter of each member; None for a whole grid."""
        if self.search == "grid" and not self.where:
            return None
        if self.search == "grid" or (self.search == "random" and 0 < self.combinations <= MOST_COMBINATIONS):
            met = np.concatenate(list(self._allowed_numbers()))
            if not len(met):
                raise self._contradiction()
            if self.search == "random":
                met = np.random.default_rng(self.seed).permutation(met)[: self.members]
                self._refuse_few(len(met))
            return np.array(np.unravel_index(met, [len(one.values) for one in self.parameters]))
        return self._draw()

    def _allowed_numbers(self) -> Iterator[NDArray[np.int64]]:
        shape, count = [len(one.values) for one in self.parameters], self.combinations
        for first in range(0, count, BLOCK):
            numbers = np.arange(first, min(first + BLOCK, count))
            yield numbers[self._allowed(np.unravel_index(numbers, shape))]

    def _allowed(self, cells: Any) -> NDArray[np.bool_]:
        columns = {**self.given, **{one.name: one.column(c) for one, c in zip(self.parameters, cells, strict=True)}}
        allowed = np.ones(len(cells[0]), dtype=np.bool_)
        for condition in self.where:
            allowed &= condition.holds(columns)
        return allowed

    def _draw(self) -> NDArray[Any]:
        count, kept, tried = self.members or 0, np.empty((len(self.parameters), 0)), 0
        for points in self._points():
            tried += len(points)
            drawn = np.array([self._cell(one, points[:, p]) for p, one in enumerate(self.parameters)], dtype=np.float64)
            pairs = zip(self.parameters, drawn, strict=True)
            places = [row.astype(np.int64) if one.spread is None else row for one, row in pairs]
            kept = np.concatenate([kept, drawn[:, self._allowed(places)]], axis=1)
            kept = kept[:, np.sort(np.unique(kept, axis=1, return_index=True)[1])]
            if kept.shape[1] >= count:
                return kept[:, :count]
            if tried >= DRAWS_A_MEMBER * max(count, 64):
                break
        if not kept.shape[1]:
            raise self._contradiction()
        self._refuse_few(kept.shape[1])
        return kept

    def _points(self) -> Iterator[Floats]:
        size, count = len(self.parameters), max(64, self.members or 0)
        if self.search == "random":
            rng = np.random.default_rng(self.seed)
            while True:
                yield rng.random((count, size))
        from scipy.stats import qmc

        sobol, power = qmc.Sobol(size, scramble=True, rng=np.random.default_rng(self.seed)), count.bit_length()
        yield sobol.random_base2(power)
        while power < 29:  # only powers of two of its points are even over the cube
            yield sobol.random_base2(power)
            power += 1

    @staticmethod
    def _cell(one: Parameter, place: Floats) -> Floats:
        return np.floor(place * len(one.values)) if one.spread is None else one.spread.at(place)

    def _check(self) -> None:
        names = [one.name for one in self.parameters]
        for name in names:
            if names.count(name) > 1:
                raise UsageError(f'parameter "{name}" stands there twice')
        if not names:
            raise UsageError("nothing is swept", mend="say --set fast=5:50:5 with two or more values")
        drawn = [one.name for one in self.parameters if one.spread is not None]
        if self.search == "grid":
            if drawn:
                mend = f"give values, {drawn[0]}=FROM:TO:STEP, or say --search random --members 200"
                raise UsageError(f"{drawn[0]} is a distribution, which has no grid", mend=mend)
            if self.members is not None:
                raise UsageError("a grid has as many members as it has", mend="say --search random with --members")
            most = MOST_COMBINATIONS if self.where else MOST_MEMBERS
            self._refuse_many(self.combinations, most, f"the grid has {self.combinations:,} combinations")
        elif self.members is not None and self.members > MOST_MEMBERS:
            self._refuse_many(self.members, MOST_MEMBERS, f"{self.members:,} members")
        elif self.members is None or self.members < 1:
            found = f"a {self.search} search needs a number of members"
            raise UsageError(f"--members was {self.members}" if self.members is not None else found, mend="--members N")
        if self.search != "tpe":
            self._refuse_many(len(self), MOST_MEMBERS, f"{len(self):,} members")

    @staticmethod
    def _refuse_many(count: int, most: int, found: str) -> None:
        if count > most:
            mend = "give fewer values or larger steps, or say --search random --members 1000"
            raise UsageError(f"{found}, and a sweep takes at most {most:,}", mend=mend)

    def _refuse_few(self, count: int) -> None:
        if count < (self.members or 0):
            mend = f"say --members {count}, or --search grid" if self.combinations else f"say --members {count}"
            raise UsageError(f"there are only {count:,} different members, not {self.members:,}", mend=mend)

    def _contradiction(self) -> UsageError:
        conditions = " and ".join(f'"{one.text}"' for one in self.where)
        return UsageError(f"no combination meets {conditions}", mend="loosen a condition, or add values")
